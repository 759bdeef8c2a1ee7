"""A student made from its teacher."""

from typing import Any

import keras
import numpy as np

from keras_kd._core.scalars import is_number
from keras_kd.compression._blocks import shortened
from keras_kd.compression._channels import MAKERS, Channels
from keras_kd.compression._graph import Graph, Step, again
from keras_kd.compression._importance import Importance, L1Norm
from keras_kd.compression._slices import sliced


def shrink(
    teacher: keras.Model,
    width: float = 0.5,
    depth: float = 1.0,
    *,
    copy_weights: bool = False,
    importance: Importance | None = None,
    name: str = "student",
) -> keras.Model:
    """A smaller student of the same make as a teacher.

    `width` takes a share of the filters and units of every layer but those that make the output,
    and `depth` a share of the blocks that repeat. Channels that meet in an addition or a product
    are chosen together, and what stands behind them follows: the inputs of the next layer,
    `BatchNormalization`, the columns behind a `Flatten`. Grouped convolutions, attention, group
    normalisation and `EinsumDense` stay as wide as they are, and so do the channels they take.

    With `copy_weights=True` the student begins with the teacher's weights: of each group of
    channels it has the most important ones,

    `importance_c = Σ_layers importance_c(layer)`

    over the layers that make channel `c`, and of the repeated blocks those it kept. Where whole
    channels of the teacher were zero, the student answers exactly like it; else it has a good
    start, and is trained by the `keras_kd.Distiller` like any student: pruned by channels, and
    distilled from the whole. `L1Norm` looks at the weights alone, `Taylor` at what the model does
    on examples.

    A block repeats when the same layers with the same settings follow one another, shape in equal
    to shape out, with nothing that leaps over the seam (the identity blocks of a residual stage;
    equal dense layers in a row). The first is always kept, the others are spread over the run.

    Args:
        teacher: A built Functional or Sequential model, data format channels last. Nested models
            are laid out flat.
        width: Share of the channels to keep, in `(0, 1]`; each layer keeps at least one. Defaults
            to `0.5`.
        depth: Share of each run of repeated blocks to keep, in `(0, 1]`; at least one of a run
            stays. Defaults to `1.0`.
        copy_weights: Whether the student begins with the teacher's most important channels; if
            not, with new random weights. Defaults to `False`.
        importance: `keras_kd.compression.L1Norm()` or `keras_kd.compression.Taylor(images)`; for
            `copy_weights=True`. Defaults to `None`: `L1Norm()`.
        name: Name of the student. Defaults to `"student"`.

    Returns:
        A Functional model with the teacher's inputs and outputs; its layers have the teacher's
        names.

    Raises:
        TypeError: If `importance` is none of these.
        ValueError: If `importance` is given without `copy_weights`; if `width` is below 1 and a
            layer's class is not known or nothing can be narrowed; if `depth` is below 1 and nothing
            repeats; if the teacher is not wired by tensors.

    Example:

    >>> layers = keras.layers
    >>> teacher = keras.Sequential(
    ...     [keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(8, "relu"), layers.Dense(3)]
    ... )
    >>> student = keras_kd.compression.shrink(teacher, width=0.25)
    >>> [layer.units for layer in student.layers[1:]]
    [2, 2, 3]
    >>> student = keras_kd.compression.shrink(teacher, width=1.0, copy_weights=True)
    >>> x = np.ones((1, 4))
    >>> bool(np.all(student.predict(x, verbose=0) == teacher.predict(x, verbose=0)))
    True

    Reference: Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", ICLR
    2017, arXiv:1608.08710, section 3; layers: Sanh, Debut, Chaumond, Wolf, "DistilBERT", 2019,
    arXiv:1910.01108, section 3.
    """
    for value, argument in ((width, "width"), (depth, "depth")):
        if not is_number(value) or not 0.0 < value <= 1.0:
            raise ValueError(f"`{argument}` must be in (0, 1]. Received: {argument}={value!r}.")
    if importance is not None and not isinstance(importance, Importance):
        raise TypeError(
            "`importance` must be keras_kd.compression.L1Norm() or "
            f"keras_kd.compression.Taylor(images). Received: {importance!r}."
        )
    if importance is not None and not copy_weights:
        raise ValueError(
            "`importance` says which of the teacher's channels are copied. Pass "
            "copy_weights=True with it."
        )
    graph = whole = Graph(teacher, "shrink() reads")
    if depth < 1.0:
        graph = shortened(graph, depth)
    channels = Channels(graph, narrow=width < 1.0)
    groups = channels.groups() if width < 1.0 else []
    makers = list({id(layer): layer for _, layers in groups for layer in layers}.values())
    found = (importance or L1Norm()).of(whole, makers) if copy_weights and makers else []
    scores = dict(zip(map(id, makers), found, strict=False))
    kept = _Kept(channels, width, groups, scores)
    made: dict[int, keras.Operation] = {}
    weights: dict[int, list[np.ndarray]] = {}

    def build(step: Step, args: tuple, kwargs: dict[str, Any]) -> Any:
        layer = step.operation
        if id(layer) not in made:
            made[id(layer)] = again(layer, step.name, **kept.settings(step))
            if copy_weights and isinstance(layer, keras.Layer):
                weights[id(layer)] = sliced(
                    layer, kept.among(step.inputs[0]), kept.among(step.outputs[0])
                )
        return made[id(layer)](*args, **kwargs)

    student = graph.assemble(build, name=name)
    for key, values in weights.items():
        made[key].set_weights(values)
    if not teacher.trainable:  # frozen by a distiller that it taught in
        for layer in student.layers:
            layer.trainable = True
    return student


class _Kept:
    """The channels that stay."""

    def __init__(
        self,
        channels: Channels,
        width: float,
        groups: list[tuple[list[int], list[keras.Layer]]],
        by_layer: dict[int, np.ndarray],
    ):
        self._channels = channels
        self._gone: set[int] = set()
        for roots, layers in groups:
            scores = dict.fromkeys(roots, 0.0)
            for layer in layers if by_layer else ():
                for root, score in zip(channels.made_by(layer), by_layer[id(layer)], strict=True):
                    if root in scores:
                        scores[int(root)] += float(score)
            count = max(1, int(width * len(roots) + 0.5))
            self._gone.update(sorted(roots, key=lambda root: -scores[root])[count:])
        if width < 1.0 and not self._gone:
            raise ValueError(
                f"width={width} narrows nothing in '{channels.graph.model.name}': every channel "
                "belongs to its inputs, its outputs or to layers that keep their size. Pass a "
                "smaller width, or width=1.0."
            )

    def among(self, tensor: keras.KerasTensor) -> np.ndarray:
        """True for the channels of the tensor that stay."""
        return np.array([i not in self._gone for i in self._channels.of(tensor)], bool)

    def settings(self, step: Step) -> dict[str, Any]:
        """What changes in the layer's arguments."""
        layer, stay = step.operation, self.among(step.outputs[0])
        if stay.all():
            return {}
        if isinstance(layer, keras.layers.Reshape):
            *others, last = layer.target_shape
            return {"target_shape": (*others, last if last == -1 else int(stay.sum()))}
        return {MAKERS[type(layer)]: int(stay.sum())} if type(layer) in MAKERS else {}
