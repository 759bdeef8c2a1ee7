"""Students that learn to live with integers."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_kd._core.messages import listing
from keras_kd._core.scalars import count
from keras_kd.compression._fake_quantization import FakeQuant, check_keras
from keras_kd.compression._graph import Graph, Step, again
from keras_kd.compression._grid_layers import OnGrid
from keras_kd.compression._kept_patterns import Kept
from keras_kd.compression._layer_bits import bits_of_steps
from keras_kd.compression._learned_steps import LearnedQuant
from keras_kd.compression._quantization_scheme import WITH_KERNEL, check_known, is_quantized
from keras_kd.compression._quantizer import Quantizer
from keras_kd.compression._steps import RunningRanges, Steps


def quantize_aware(
    student: keras.Model,
    *,
    weight_bits: int = 8,
    activation_bits: int = 8,
    bits: Mapping[str, int | None] | None = None,
    steps: Steps | None = None,
    keep_zeros: bool | None = None,
    keep_clusters: bool | None = None,
    momentum: float = 0.99,
    name: str | None = None,
) -> keras.Model:
    """A copy of a student that computes as its int8 file will, and can be trained like that.

    Weights and activations pass through fake quantisation: they are rounded to the steps an
    integer device has, and the gradient passes as if they were not. A trained student, trained on
    for a few epochs under the `keras_kd.Distiller` from its float teacher, wins back what plain
    rounding loses. Begin from a trained student, and with about a tenth of its learning rate.

    The scheme is that of LiteRT's full int8: weights symmetric, a step size for each output
    channel (of an `Embedding` asymmetric and one for the whole table); activations asymmetric, one
    range for each tensor, which follows the batches and is held still outside training; biases
    exact. `BatchNormalization` after a convolution or a dense layer is folded into its weights,
    with its moving statistics; any other is frozen. No range stands between a layer and the ReLU
    that a device computes with it. `MultiHeadAttention` also has ranges within. Inside the loop of
    a recurrent layer and inside `LayerNormalization` activations are exact, which they are not on a
    device: the proof of `keras_kd.export` says what that costs. A `SeparableConv2D` becomes two
    layers, and so does a layer with another activation than ReLU; nested models are laid out flat.

    A student that was pruned keeps its zeros, and one that was clustered its clusters (see
    `keep_zeros`, `keep_clusters`), and so does the file. The way to all three is to prune a trained
    student under the `Distiller` (`Pruning`), and then to train its quantised copy under another.
    Where a norm was folded, the weights of a cluster are equal up to the factor of their channel:
    they have the same integer wherever the cluster's channels have the same largest weight.

    Until the first training batch the ranges are unknown (-6 to 6): train before you evaluate.
    For export, `plain` gives the student back.

    Args:
        student: A trained Functional or Sequential model (data format channels last) of layers
            `Conv1D`, `Conv2D`, `Conv1DTranspose`, `Conv2DTranspose`, `DepthwiseConv2D`,
            `SeparableConv2D`, `Dense`, `EinsumDense`, `Embedding`, `LSTM`, `GRU`, `SimpleRNN`,
            `Bidirectional` of these, `MultiHeadAttention`, `BatchNormalization`,
            `LayerNormalization`, `Normalization`, `Rescaling`, activations, poolings, `Add` and
            other merges, `Flatten`, `Reshape`, padding, dropout. It is left as it is.
        weight_bits: Bits of a weight, from 2 to 8. Defaults to `8`.
        activation_bits: Bits of an activation, from 2 to 16. Defaults to `8`.
        bits: Dict of what differs from `weight_bits`, by the name or path of a layer or of a model
            within (`"block3"`, `"backbone/conv4"`), or by how paths begin (`"block3"` for
            `"block3_conv"`): a number of bits, or `None` for a layer that stays in float, outputs
            too. The longest key decides. `{"block3": 4, "head": None}`. Defaults to none.
        steps: Where step sizes come from: `keras_kd.compression.RunningRanges()` or, for very few
            bits, `keras_kd.compression.LearnedSteps()`. Defaults to the former.
        keep_zeros: Whether weights that are exactly 0 stay so, whatever their pattern. `None`: in
            kernels of which a twentieth or more is 0, for learnt weights are hardly ever so.
            `True`: every zero. `False`: none. Defaults to `None`.
        keep_clusters: Whether weights of a kernel that are equal stay so, and move together.
            `None`: in kernels of at most 256 distinct values, each of four weights on average.
            `True`: of any number of distinct values, each of two weights on average, as with
            clusters for each channel; an error where there are none. `False`: none. Defaults to
            `None`.
        momentum: How slowly the running ranges move, in `[0, 1)`. Defaults to `0.99`.
        name: Name of the new model. Defaults to the student's.

    Returns:
        A Functional model. It saves, loads, trains and evaluates like any other.

    Raises:
        ValueError: If the student has a layer that is not among these and is not left in float by
            `bits`, or is quantised already, or has nothing to quantise; if a key of `bits` names no layer, or a number layers without
            weights; if an argument is out of its bounds.

    Example:

    >>> student = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="score")])
    >>> student.set_weights([np.array([[1.0], [0.3]]), np.zeros(1)])
    >>> aware = keras_kd.compression.quantize_aware(student)
    >>> rounded = keras_kd.compression.plain(aware).get_layer("score").kernel
    >>> round(float(rounded[1, 0]) * 127, 2)  # 0.3 is 38.1 steps of 1/127
    38.0

    Reference: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877, section 3; with a teacher:
    Mishra, Marr, "Apprentice: Using Knowledge Distillation Techniques To Improve Low-Precision
    Network Accuracy", ICLR 2018, arXiv:1711.05852, section 5.
    """
    check_keras("quantize_aware()")
    count(weight_bits, "weight_bits", least=2, most=8)
    count(activation_bits, "activation_bits", least=2, most=16)
    ranges = RunningRanges(momentum)
    if steps is not None and not hasattr(steps, "of_weights"):
        raise TypeError(
            "`steps` must be keras_kd.compression.RunningRanges() or LearnedSteps(). Received: "
            f"{steps!r}."
        )
    kept = Kept(keep_zeros, keep_clusters)
    graph = Graph(student, "quantize_aware() reads")
    rounded = [step for step in graph.steps if isinstance(step.operation, WITH_KERNEL)]
    by_step = bits_of_steps(graph, rounded, bits, weight_bits)
    check_known(graph, by_step)
    if all(by_step[id(step)] is None for step in rounded):
        why = "`bits` leaves all of them in float" if rounded else "none of its layers has weights"
        raise ValueError(
            f"Nothing to quantise in student '{student.name}': {why}. Expected at least one of "
            f"{listing(k.__name__ for k in WITH_KERNEL)} with a number of bits."
        )
    kept.check([s.operation for s in rounded if by_step[id(s)] is not None], student.name)
    quantizer = Quantizer(graph, by_step, activation_bits, steps or ranges, kept)
    model = graph.assemble(quantizer.build, name=name or student.name, entry=quantizer.entry)
    for begin in quantizer.begin:
        begin()
    return model


def plain(
    student: keras.Model, *, keep_ranges: bool = False, name: str | None = None
) -> keras.Model:
    """The plain Keras student inside one made by `quantize_aware`, for export to int8.

    Its weights lie on the steps that the quantised student had, so rounding to int8 gives these
    very weights. Without its ranges it is made of Keras layers alone, and a converter finds the
    ranges anew from calibration data. With `keep_ranges=True` the learnt ranges go into the file,
    and its answers are closer to those of the quantised student; convert with TensorFlow, whose
    converter knows them.

    Args:
        student: A model made by `quantize_aware`, trained.
        keep_ranges: Whether the layers that hold the ranges of activations stay. Defaults to
            `False`.
        name: Name of the new model. Defaults to the student's.

    Returns:
        A Functional model of Keras layers (and `FakeQuant` layers, when the ranges are kept).

    Raises:
        ValueError: If the student was not made by `quantize_aware`.

    Example:

    >>> student = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> aware = keras_kd.compression.quantize_aware(student)
    >>> [type(layer).__name__ for layer in keras_kd.compression.plain(aware).layers]
    ['InputLayer', 'Dense']
    """
    graph = Graph(student, "plain() reads")
    if not any(is_quantized(step.operation) for step in graph.steps):
        raise ValueError(
            f"plain() takes a model made by quantize_aware(). Model '{student.name}' has none of "
            "its layers."
        )
    made: dict[int, keras.Operation] = {}

    def build(step: Step, args: tuple, kwargs: dict[str, Any]) -> Any:
        layer = step.operation
        if isinstance(layer, (FakeQuant, LearnedQuant)) and not keep_ranges:
            return args[0]
        if id(layer) not in made:
            made[id(layer)] = _plain_layer(layer)
        return made[id(layer)](*args, **kwargs)

    model = graph.assemble(build, name=name or student.name)
    for step in graph.steps:
        new = made.get(id(step.operation))
        if isinstance(new, keras.Layer) and not isinstance(step.operation, LearnedQuant):
            new.set_weights(_plain_weights(step.operation))
    return model


def _plain_layer(layer: keras.Operation) -> keras.Operation:
    if isinstance(layer, LearnedQuant):
        return FakeQuant(layer.bits, fixed=layer.range(), name=layer.name)
    if isinstance(layer, keras.layers.Bidirectional):
        return keras.layers.Bidirectional(
            _plain_layer(layer.forward_layer), layer.merge_mode, name=layer.name,
            backward_layer=_plain_layer(layer.backward_layer), dtype=layer.dtype_policy,
        )  # fmt: skip
    if not isinstance(layer, OnGrid):
        return again(layer, layer.name)
    config = layer.get_config()
    return layer.stands_for.from_config(
        {name: value for name, value in config.items() if name not in layer.own_arguments}
    )


def _plain_weights(layer: Any) -> list[Any]:
    if isinstance(layer, keras.layers.Bidirectional):
        return [*_plain_weights(layer.forward_layer), *_plain_weights(layer.backward_layer)]
    return layer.plain_weights() if isinstance(layer, OnGrid) else layer.get_weights()
