"""What rounding to few bits loses, won back from the float model itself, without labels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.last_activation import last_activation
from keras_kd._core.scalars import count, positive
from keras_kd._with_logits import with_logits
from keras_kd.compression._fake_quantization import check_keras
from keras_kd.compression._graph import Graph
from keras_kd.compression._quantize import quantize_aware
from keras_kd.compression._side_by_side import side_by_side, without_noise
from keras_kd.compression._steps import LearnedSteps, RunningRanges, Steps
from keras_kd.compression._still import still
from keras_kd.compression._unlabelled import checked, rows_of
from keras_kd.distiller import Distiller
from keras_kd.losses import BinarySoftTarget, FeatureMatch, SoftTarget
from keras_kd.terms import Labels, Term

_LOOKED_AT = 256  # images that tell how far the outputs of a block spread
_PARTS = 20  # of a phase: the loss that is shown is the mean of the last one
_FEW = 2  # bits, where the largest weight is a bad measure of the others
_FLOAT = "float_"


def recover(
    model: keras.Model,
    images: Any,
    bits: int = 4,
    *,
    activation_bits: int = 8,
    layer_bits: Mapping[str, int | None] | None = None,
    steps: Steps | None = None,
    block_steps: int = 0,
    whole_steps: int = 1000,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    terms: Sequence[Term | Labels] | None = None,
    verbose: int = 1,
    seed: int = 0,
) -> keras.Model:
    """A trained model in few bits that answers as it did in float, from images without labels.

    The model is its own teacher. `quantize_aware` makes the rounded copy, and the copy learns what
    the float model computes, in one or two parts:

    1. Block by block, with `block_steps`; left out by default, for it gained nothing in
       `benchmarks/recover.py`, and one run in twelve of 2 bits ended far below the others. Each
       block is given what the float model gives at its place, and learns to give what the float
       model gives there: all blocks side by side in one step, none disturbed by the errors of those
       before it. With `s_b` and `t_b` what rounded and float block `b` give,

       `loss = Σ_b mean((s_b - t_b)²) / var(t_b)`

       A block ends where one tensor carries everything and is rounded: after a residual addition,
       or after a layer of a plain chain.
    2. Whole. The rounded model, from its input to its output, learns the float model's outputs:
       `KL(teacher ‖ student)` at temperature 1.

    Weights have to cross half a step of their rounding to count, and with few bits that is far: the
    optimizer is LAMB, which moves every layer by a share of its own weights' size.

    No labels, no augmentation, and dropout rests. `benchmarks/recover.py` measures how many images
    are enough: a few hundred with 2 bits. The float model is left as it is.

    Where rounding alone loses little, as with 4 bits or more, a few hundred images may lose more than
    they win: compare with `quantize_aware` before you keep the result, or give a thousand or more.

    Where the images differ from those of later use, the model is right for the images: take them
    from where it will work.

    Args:
        model: A trained Functional or Sequential model of layers that `quantize_aware` knows, with
            an output of logits or probabilities of classes (for others give `terms`).
        images: Array of the model's inputs, `(examples, ...)`, scaled as in its training; a list or
            dict of arrays for a model of several inputs. At least 32 examples.
        bits: Bits of a weight, from 2 to 8. Defaults to `4`.
        activation_bits: Bits of an activation, from 2 to 16. Defaults to `8`.
        layer_bits: Dict of what differs from `bits`, as the `bits` of `quantize_aware`:
            `{"stem": 8, "logits": None}`. Defaults to none.
        steps: Where the size of a step of the rounding comes from, as in `quantize_aware`. Defaults
            to `None`: `LearnedSteps()` for 2 bits, and `RunningRanges()` for more.
        block_steps: Number of training steps of the first part; 0 leaves it out. Defaults to
            `0`.
        whole_steps: Number of training steps of the second part; 0 leaves it out. Defaults to
            `1000`.
        batch_size: Number of examples in a step. Defaults to `32`.
        learning_rate: Of LAMB at the start of each part: the share of its weights' size by which a
            layer moves in a step. It falls to 0 by a cosine. Defaults to `0.003`.
        terms: List of terms for the second part, between `"student:output"` and
            `"teacher:output"`. Defaults to `None`: `SoftTarget(temperature=1.0)`, or
            `BinarySoftTarget` after a sigmoid, on each output, its softmax or sigmoid taken off.
        verbose: 1 shows a bar for each part, 0 nothing. Defaults to `1`.
        seed: Seed of the order of the images. Defaults to `0`.

    Returns:
        A Functional model, as `quantize_aware` makes it: it evaluates, saves and can be trained on.
        `keras_kd.compression.plain` gives the Keras model for `keras_kd.export`.

    Raises:
        TypeError: If `images` are no arrays.
        ValueError: If there are fewer than 32 of them, if they are all alike, hold NaN, do not fit
            the model or come with labels; if the model is quantised already or has a layer that
            `quantize_aware` does not know; if its output says nothing of classes and no `terms`
            are given.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"),
    ...     keras.layers.Dense(3)])
    >>> x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    >>> aware = keras_kd.compression.recover(
    ...     model, x, bits=4, block_steps=5, whole_steps=5, verbose=0
    ... )
    >>> len(np.unique(keras_kd.compression.plain(aware).layers[-1].get_weights()[0][:, 0])) <= 15
    True

    Reference: Li, Gong, Tan, Yang, Hu, Zhang, Yu, Wang, Gu, "BRECQ: Pushing the Limit of
    Post-Training Quantization by Block Reconstruction", ICLR 2021, arXiv:2102.05426, section 3
    (without its Fisher weights and learned rounding); Mishra, Marr, "Apprentice", ICLR 2018,
    arXiv:1711.05852, section 5; Polino, Pascanu, Alistarh, "Model compression via distillation and
    quantization", ICLR 2018, arXiv:1802.05668, section 3; LAMB: You et al., "Large Batch
    Optimization for Deep Learning", ICLR 2020, arXiv:1904.00962.
    """
    check_keras("recover()")
    bits = count(bits, "bits", least=2, most=8)
    block_steps = count(block_steps, "block_steps", least=0)
    whole_steps = count(whole_steps, "whole_steps", least=0)
    batch_size = count(batch_size, "batch_size")
    rate = positive(learning_rate, "learning_rate")
    if not block_steps + whole_steps:
        raise ValueError(
            "`block_steps` and `whole_steps` are both 0: there is nothing to learn in."
        )
    if steps is None:
        steps = LearnedSteps() if bits == _FEW else RunningRanges()
    aware = quantize_aware(
        model, weight_bits=bits, activation_bits=activation_bits, bits=layer_bits, steps=steps
    )
    for layer in aware.layers:  # a model that was a teacher is frozen
        if not isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = True
    images = checked(images, model)
    teacher, _ = still(Graph(model, "recover() reads"), _FLOAT)
    teacher.trainable = False
    student = without_noise(aware)
    if terms is None:
        terms = _terms(model)
        if _probabilities(model):
            teacher, student = with_logits(teacher), with_logits(student)
    rng = np.random.default_rng(count(seed, "seed", least=0))

    def learn(distiller: Distiller, of: int, title: str, share: float = 1.0) -> None:
        falling = keras.optimizers.schedules.CosineDecay(rate, of)
        distiller.compile(keras.optimizers.Lamb(falling))
        parts = min(of, _PARTS)
        per_part = math.ceil(of / parts)
        batches = _Batches(images, batch_size, per_part, parts, rng)
        bar = [_Bar(title, per_part * parts, share)] if verbose else []
        distiller.fit(batches, epochs=parts, verbose=0, callbacks=[batches.next_part, *bar])

    if block_steps:
        both = side_by_side(student, teacher, _FLOAT)
        learn(
            Distiller(student=both.model, terms=_block_terms(both, images)),
            block_steps, f"{len(both.pairs)} blocks", 1.0 / len(both.pairs),
        )  # fmt: skip
    if whole_steps:
        learn(Distiller(student=student, teacher=teacher, terms=terms), whole_steps, "whole")
    return aware


class _Batches(keras.utils.PyDataset):
    """Batches drawn without end from images in an order that a seed gives."""

    def __init__(self, images: Any, size: int, length: int, parts: int, rng: np.random.Generator):
        super().__init__()
        self._images, self._length, self._part = images, length, 0
        rows, wanted = rows_of(images), length * parts * size
        order = [rng.permutation(rows) for _ in range(math.ceil(wanted / rows))]
        self._order = np.concatenate(order)[:wanted].reshape(parts, length, size)
        self.next_part = keras.callbacks.LambdaCallback(on_epoch_begin=self._begin)

    def _begin(self, epoch: int, logs: Any = None) -> None:
        self._part = epoch

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[Any]:
        rows = self._order[self._part, index]
        return (keras.tree.map_structure(lambda x: x[rows], self._images),)


class _Bar(keras.callbacks.Callback):
    """A bar over all steps of a phase, with the loss of its last part."""

    def __init__(self, title: str, steps: int, share: float):
        super().__init__()
        self._title, self._share, self._done = title, share, 0
        self._bar = keras.utils.Progbar(steps, stateful_metrics=["loss"])

    def on_train_begin(self, logs: Any = None) -> None:
        print(f"recover: {self._title}")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._done += self.params["steps"]
        self._bar.update(self._done, [("loss", self._share * float((logs or {})["loss"]))])


def _block_terms(both: Any, images: Any) -> list[Term]:
    """A term for each block, divided by how far the float outputs spread."""
    wanted = {theirs: both.model.output[theirs] for _, theirs in both.pairs}
    some = keras.tree.map_structure(lambda x: x[:_LOOKED_AT], images)
    floats = keras.Model(both.model.inputs, wanted).predict(some, batch_size=32, verbose=0)
    return [
        Term(
            FeatureMatch(),
            pred=f"student:output/{ours}",
            target=f"student:output/{theirs}",
            weight=1.0 / max(float(np.var(floats[theirs], dtype="float64")), 1e-12),
            name=ours,
        )
        for ours, theirs in both.pairs
    ]


def _outputs(model: keras.Model) -> list[tuple[str, ...]]:
    """The path of each output: `()` where there is one."""
    output = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    if isinstance(output, dict):
        return [(name,) for name in output]
    if isinstance(output, (list, tuple)):
        return [(str(place),) for place in range(len(output))]
    return [()]


def _probabilities(model: keras.Model) -> bool:
    return any(last_activation(model, path) for path in _outputs(model))


def _terms(model: keras.Model) -> list[Term]:
    """The divergence from the float model, of each output."""
    terms = []
    for path, output in zip(_outputs(model), model.outputs, strict=True):
        yes_or_no = last_activation(model, path) == "sigmoid"
        if output.shape[-1] == 1 and not yes_or_no:
            raise ValueError(
                f"Output '{'/'.join(path) or output.name}' of '{model.name}' has one number, which "
                "says nothing of classes. Pass terms=keras_kd.recipes.binary(alpha=1.0) for the "
                "logit of a yes or no, and terms=[keras_kd.Term(keras_kd.losses.FeatureMatch())] "
                "for a value."
            )
        address = "/".join(("output", *path))
        loss = BinarySoftTarget(1.0) if yes_or_no else SoftTarget(1.0)
        terms.append(Term(loss, pred=f"student:{address}", target=f"teacher:{address}"))
    return terms
