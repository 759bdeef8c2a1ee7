"""Other ways to write the same distillation in Keras, side by side in one run.

    KERAS_BACKEND=tensorflow python benchmarks/peers.py
    KERAS_BACKEND=jax python benchmarks/peers.py --only time memory
    KERAS_BACKEND=torch python benchmarks/peers.py --only gradient

- keras_kd: `Distiller` with `recipes.hinton`, and with a hint beside it;
- keras.distillation: the `Distiller` that Keras ships, with `LogitsDistillation` as it comes, with
  `loss=KLDivergence()` ("KL object"), and with `FeatureDistillation` beside it;
- keras.io: the Distiller that the tutorial on keras.io describes, written afresh from that
  description: `compute_loss` calls the teacher and compares probabilities with `KLDivergence`;
- torchdistill, on torch, where it is installed: the gradient of its `KDLoss`;
- the floor: plain training of the student, and the teacher's answers to the same batches.

What is measured, each in one run: the time of a step (the contestants take turns, medians); the
most memory that training takes above what was there before it (each in a process of its own); the
error of the loss's gradient against float64 at logits of several scales; the accuracy after equally
many epochs from the same seeds on Fashion-MNIST.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import threading
import time

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table
from step_time import cross_entropy, in_turns

import keras_kd

BATCH, T, ALPHA = 128, 4.0, 0.5
JIT = keras.config.backend() == "jax"
TEACHERS = {"small": 32, "large": 96}


def network(name: str, channels: int, classes: int, dropout: float = 0.0) -> keras.Model:
    x = inputs = keras.Input((28, 28, 1))
    for i, width in enumerate((channels, 2 * channels)):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU(name=f"block{i}")(keras.layers.BatchNormalization()(x))
        x = keras.layers.Dropout(dropout)(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name=name)


class Tutorial(keras.Model):
    """As the tutorial has it: the loss is computed in one overridden method."""

    def __init__(self, student: keras.Model, teacher: keras.Model):
        super().__init__()
        self.student, self.teacher = student, teacher
        self.teacher.trainable = False
        self.softened = keras.losses.KLDivergence()

    def call(self, x, training=None):
        return self.student(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        answers = self.teacher(x, training=False)
        p, q = ops.softmax(answers / T, axis=1), ops.softmax(y_pred / T, axis=1)
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        return (1 - ALPHA) * own + ALPHA * T**2 * self.softened(p, q)


def ours(student, teacher, hint=False):
    terms = keras_kd.recipes.hinton(temperature=T, alpha=ALPHA)
    if hint:
        match = keras_kd.losses.FeatureMatch()
        terms += [keras_kd.Term(match, pred="student:block1", target="teacher:block1", name="hint")]
    return keras_kd.Distiller(student=student, teacher=teacher, terms=terms)


def shipped(student, teacher, hint=False, **loss):
    losses, weights = [keras.distillation.LogitsDistillation(temperature=T, **loss)], [1.0]
    if hint:
        names = {"teacher_layer_name": "block1", "student_layer_name": "block1"}
        losses.append(keras.distillation.FeatureDistillation(**names))
        weights.append(1.0)
    return keras.distillation.Distiller(
        student=student, teacher=teacher, distillation_losses=losses,
        distillation_loss_weights=weights, student_loss_weight=ALPHA,
    )  # fmt: skip


def made(name: str, teacher: keras.Model, channels: int, classes: int, seed: int = 0):
    """A contestant of this name, compiled, with a student of its own."""
    keras.utils.set_random_seed(seed)
    hint = name.endswith("hint")
    dropout = 0.3 if hint else 0.0
    student = network("student", channels, classes, dropout)
    build = {
        "keras_kd": ours, "keras_kd, hint": lambda s, t: ours(s, t, hint=True),
        "keras.distillation": shipped,
        "keras.distillation, KL object": lambda s, t: shipped(
            s, t, loss=keras.losses.KLDivergence()
        ),
        "keras.distillation, hint": lambda s, t: shipped(s, t, hint=True),
        "keras.io": Tutorial, "plain": lambda s, t: s, "plain, hint": lambda s, t: s,
    }[name]  # fmt: skip
    model = build(student, teacher)
    model.compile(
        keras.optimizers.Adam(1e-3), cross_entropy(), metrics=["accuracy"], jit_compile=JIT
    )
    return model, student


def names(hint: bool) -> list[str]:
    plain = ["plain", "keras_kd", "keras.distillation"]
    return [f"{name}, hint" for name in plain] if hint else [*plain, "keras.io"]


def made_up(examples: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((examples, 28, 28, 1), "float32"), rng.integers(0, classes, examples)


def step_times(options) -> Table:
    table = Table("teacher", "classes", "contestant", "ms a step", "over the floor", title="Time")
    for size, channels in TEACHERS.items():
        for classes in (10, 1000):
            for hint in (False, True):
                x, y = made_up(options.steps * BATCH, classes)
                # A hint compares layers of one size: the student is as wide as the teacher.
                width = 32 if hint else 8
                teacher = network("teacher", 32 if hint else channels, classes)
                if hint and size == "large":
                    continue
                teacher.compile(jit_compile=JIT)
                models = {name: made(name, teacher, width, classes)[0] for name in names(hint)}
                runs = {
                    name: lambda m=model, x=x, y=y: m.fit(
                        x, y, batch_size=BATCH, verbose=0, shuffle=False
                    )
                    for name, model in models.items()
                }
                runs["teacher"] = lambda t=teacher, x=x: t.predict(x, batch_size=BATCH, verbose=0)
                seconds = in_turns(runs, options.rounds)
                first = "plain, hint" if hint else "plain"
                for name, times in seconds.items():
                    ratios = [
                        own / (plain + asked)
                        for own, plain, asked in zip(
                            times, seconds[first], seconds["teacher"], strict=True
                        )
                    ]
                    shown = "" if name in (first, "teacher") else f"{statistics.median(ratios):.2f}"
                    ms = f"{1e3 * statistics.median(times) / options.steps:.2f}"
                    table.add_row(size, f"{classes:,}", name, ms, shown)
    return table


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def memory_of(name: str, channels: int, classes: int) -> float:
    """MiB that training takes above what is there before; for a process of its own."""
    x, y = made_up(16 * BATCH, classes)
    teacher = network("teacher", channels, classes)
    model, _ = made(name, teacher, 32 if "hint" in name else 8, classes)
    before, most, done = resident(), [0], threading.Event()

    def watch():
        while not done.wait(0.002):
            most[0] = max(most[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    model.fit(x, y, batch_size=BATCH, epochs=3, verbose=0)
    done.set()
    watcher.join()
    return (most[0] - before) / 2**20


def memories(options) -> Table:
    table = Table("teacher", "classes", "contestant", "MiB", title="Memory that training takes")
    for size, channels in TEACHERS.items():
        for classes in (10, 1000):
            for name in [*names(False), *(names(True) if size == "small" else [])]:
                asked = json.dumps([name, channels, classes])
                found = []
                for _ in range(options.processes):
                    run = subprocess.run(
                        [sys.executable, __file__, "--memory-of", asked], capture_output=True,
                        text=True, check=True,
                    )  # fmt: skip
                    found.append(float(run.stdout.split()[-1]))
                table.add_row(size, f"{classes:,}", name, f"{statistics.median(found):.0f}")
    return table


def gradient(loss, logits: np.ndarray) -> np.ndarray:
    """The gradient of the loss by the student's logits, on the backend in use."""
    if keras.config.backend() == "jax":
        import jax

        return np.asarray(jax.grad(loss)(ops.convert_to_tensor(logits)))
    if keras.config.backend() == "torch":
        import torch

        variable = torch.tensor(logits, requires_grad=True)
        return torch.autograd.grad(loss(variable), variable)[0].numpy()
    import tensorflow as tf

    with tf.GradientTape() as tape:
        variable = tf.convert_to_tensor(logits)
        tape.watch(variable)
        value = loss(variable)
    return tape.gradient(value, variable).numpy()


def torchdistill(alpha: float):
    """Its loss of teacher and student, the labels' part next to nothing."""
    import torch
    from torchdistill.losses.mid_level import KDLoss

    loss = KDLoss("out", "output", "out", "output", temperature=T, alpha=alpha, beta=1.0)
    return lambda t, s: loss(
        {"out": {"output": s}}, {"out": {"output": t}}, torch.zeros(len(s), dtype=torch.int64)
    )


def gradients(options) -> Table:
    title = "Error of the gradient: the largest difference to float64 over its largest entry"
    table = Table("contestant", "scale 1", "scale 20", "scale 100", title=title)
    softened = keras.losses.KLDivergence()
    forms = {
        "keras_kd": lambda t, s: keras_kd.losses.SoftTarget(T)(t, s),
        "keras.distillation": lambda t, s: keras.distillation.LogitsDistillation(
            temperature=T
        ).compute_loss(t, s),
        "keras.distillation, KL object": lambda t, s: keras.distillation.LogitsDistillation(
            temperature=T, loss=softened
        ).compute_loss(t, s),
        "keras.io": lambda t, s: (
            T**2 * softened(ops.softmax(t / T, axis=1), ops.softmax(s / T, axis=1))
        ),
    }
    if keras.config.backend() == "torch" and importlib.util.find_spec("torchdistill"):
        forms["torchdistill"] = torchdistill(1e-30)
        forms["torchdistill, alpha=0"] = torchdistill(0.0)
    rows = {name: [name] for name in forms}
    for scale in (1, 20, 100):
        rng = np.random.default_rng(0)
        t, s = (scale * rng.standard_normal((64, 10)) for _ in range(2))

        def soft(x):
            e = np.exp((x - x.max(1, keepdims=True)) / T)
            return e / e.sum(1, keepdims=True)

        exact = T * (soft(s) - soft(t)) / len(t)  # of T² KL, by the student's logits
        for name, form in forms.items():
            target = ops.convert_to_tensor(t.astype("float32"))
            found = gradient(lambda x, f=form, t=target: f(t, x), s.astype("float32"))
            rows[name].append(f"{np.abs(found - exact).max() / np.abs(exact).max():.1e}")
    for row in rows.values():
        table.add_row(*row)
    return table


def accuracies(options) -> Table:
    data = keras_kd.data.load("fashion_mnist")
    title = (
        f"Accuracy on Fashion-MNIST, 1,000 images, {options.epochs} epochs, {options.seeds} seeds"
    )
    table = Table("contestant", "%", "each", title=title)
    keras.utils.set_random_seed(0)
    teacher = network("teacher", 32, 10)
    teacher.compile("adam", cross_entropy(), jit_compile=JIT)
    teacher.fit(data.x_train[:20000], data.y_train[:20000], batch_size=BATCH, epochs=6, verbose=0)

    def right(model):
        answered = model.predict(data.x_test, batch_size=1000, verbose=0).argmax(1)
        return 100 * float((answered == data.y_test).mean())

    table.add_row("the teacher", f"{right(teacher):.2f}", "")
    x, y = data.x_train[-1000:], data.y_train[-1000:]
    for name in [*names(False), "keras.distillation, KL object"]:
        found = []
        for seed in range(1, options.seeds + 1):
            model, student = made(name, teacher, 8, 10, seed)
            keras.utils.set_random_seed(seed)
            model.fit(x, y, batch_size=32, epochs=options.epochs, verbose=0)
            found.append(right(student))
        table.add_row(
            name, f"{statistics.mean(found):.2f}", ", ".join(f"{value:.2f}" for value in found)
        )
    return table


def main() -> None:
    parts = {
        "time": step_times, "memory": memories, "gradient": gradients, "accuracy": accuracies,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=3, help="of each contestant's memory")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(memory_of(*json.loads(options.memory_of)))
        return
    start = time.perf_counter()
    console = Console(width=110)
    console.print(f"keras {keras.__version__}, {keras.config.backend()}, jit_compile={JIT}, "
                  f"batch {BATCH}, {options.steps} steps a round, {options.rounds} rounds")  # fmt: skip
    for part in options.only:
        console.print(parts[part](options))
    console.print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
