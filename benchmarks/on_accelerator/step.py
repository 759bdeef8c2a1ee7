"""The time of a step: ours, the floor, the Distiller of keras.io's tutorial, keras.distillation.

The floor is plain `fit` of the student on the same batches plus the teacher's compiled answers to
them, called batch by batch from host arrays and waited for once at the end.
"""

import keras
from keras import ops

import keras_kd as kd
from on_accelerator.bench import Bench, in_turns, median
from on_accelerator.pairs import PAIRS, TINY, examples

T, ALPHA = 4.0, 0.5
#: Pair, batch, precision: the most telling first, for the time may end.
CASES = [
    ("resnet32x4, resnet8x4", 64, "float32"),
    ("resnet32x4, resnet8x4", 512, "mixed_bfloat16"),
    ("Llama 512x8, 256x4", 16, "mixed_bfloat16"),
    ("ViT 384x6, 192x4", 128, "mixed_bfloat16"),
    ("resnet32x4, resnet8x4", 64, "mixed_bfloat16"),
    ("Llama 512x8, 256x4", 16, "float32"),
    ("ViT 384x6, 192x4", 128, "float32"),
    ("resnet32x4, resnet8x4", 512, "float32"),
]


class ByHand(keras.Model):
    """As keras.io's tutorial has it, written afresh: the teacher is called in `compute_loss`."""

    def __init__(self, student: keras.Model, teacher: keras.Model):
        super().__init__()
        self.student, self.teacher = student, teacher
        self.teacher.trainable = False
        self.softened = keras.losses.KLDivergence()

    def call(self, x, training=None):
        return self.student(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        answers = ops.cast(self.teacher(x, training=False), "float32")
        p = ops.softmax(answers / T, axis=-1)
        q = ops.softmax(ops.cast(y_pred, "float32") / T, axis=-1)
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        return (1 - ALPHA) * own + ALPHA * T**2 * self.softened(p, q)


def shipped(student, teacher):
    softened = keras.distillation.LogitsDistillation(
        temperature=T, loss=keras.losses.KLDivergence()
    )
    return keras.distillation.Distiller(
        student=student, teacher=teacher, distillation_losses=[softened], student_loss_weight=ALPHA
    )


def answering(teacher):
    """The teacher's answer to a batch from the host, compiled as the backend compiles."""
    if keras.config.backend() == "jax":
        import jax

        answer = jax.jit(lambda w, x: teacher.stateless_call([], w, x, training=False)[0])
        # Looked up anew: on an accelerator another's `fit` gives the weights' memory away.
        return lambda x: answer([v.value for v in teacher.variables], x)
    import torch

    def answer(x):
        with torch.no_grad():
            return teacher(ops.convert_to_tensor(x), training=False)

    return answer


def fitted(model, x, y, batch):
    jit = keras.config.backend() == "jax"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"], jit_compile=jit)

    def run():
        model.fit(x, y, batch_size=batch, verbose=0, shuffle=False)
        return [v.value for v in model.trainable_variables]

    return run


def measured(bench: Bench, pair: str, batch: int, policy: str, steps: int) -> dict:
    keras.config.set_dtype_policy(policy)
    big, small = (TINY if bench.tiny else PAIRS)[pair]
    x, y = examples(pair, batch * steps, bench.tiny)
    teacher = big()
    teacher.trainable = False
    answer = answering(teacher)

    def answers():
        said = None
        for i in range(steps):
            said = answer(x[i * batch : (i + 1) * batch])
        return said

    terms = kd.recipes.hinton(temperature=T, alpha=ALPHA)
    contestants = {
        "plain": fitted(small(), x, y, batch),
        "teacher": answers,
        "ours": fitted(kd.Distiller(student=small(), teacher=teacher, terms=terms), x, y, batch),
        "keras.io": fitted(ByHand(small(), teacher), x, y, batch),
        "keras.distillation": fitted(shipped(small(), teacher), x, y, batch),
    }
    seconds = in_turns(contestants, 2 if bench.tiny else 5, bench.left)
    row = {}
    for name, times in seconds.items():
        if isinstance(times, str):
            row[f"{name} error"] = times
            continue
        row[f"{name} ms"] = median([1e3 * t / steps for t in times])
        row["rounds"] = len(times)

    def over(*theirs):
        if any(isinstance(seconds[name], str) for name in ("ours", *theirs)):
            return None
        pairs = zip(seconds["ours"], *(seconds[name] for name in theirs), strict=True)
        return median([own / sum(other) for own, *other in pairs])

    return row | {"over floor": over("plain", "teacher"), "over keras.io": over("keras.io"),
                  "over keras.distillation": over("keras.distillation")}  # fmt: skip


def rows(bench: Bench):
    slowest = 0.0
    for pair, batch, policy in CASES:
        before = bench.left()
        # A case is not begun that would have to be cut off: what the longest took is a guess.
        if before < max(15.0, slowest):
            return
        # An epoch of 60 steps is measured at least twice, and five times where time allows.
        steps = 4 if bench.tiny else 60
        what = {"case": f"{pair}, {batch}, {policy}", "batch": batch, "steps a fit": steps}
        batch = 8 if bench.tiny else batch
        try:
            yield what | measured(bench, pair, batch, policy, steps)
        except Exception as error:
            yield what | {"error": f"{type(error).__name__}: {error}"[:1000]}
        finally:
            keras.config.set_dtype_policy("float32")
            keras.backend.clear_session()
        slowest = max(slowest, 0.8 * (before - bench.left()))
