"""Regressors: from what the learner sees to what the target sees, whatever their shapes.

Given two signals, they map the first to the shape of the second, of which nothing but the shape
is read: `Term(..., pred=("student:a", "teacher:b"), target="teacher:b", projector=Regressor())`.
"""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._core.configs import restored
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import positive
from keras_kd._core.shapes import Shape, as_map, channel_axis, channels, pair, positions
from keras_kd._core.tensors import Tensor
from keras_kd.projectors._maps import Conv1x1, Conv3x3, ConvTransposed, Resize
from keras_kd.projectors._tokens import TokensToMap


def layers_to(shape: Shape, target: Shape, policy: Any) -> list[keras.layers.Layer]:
    """The linear layers from `shape` to `target`, by the rule of `Regressor`."""
    count = channels(target)
    if {len(shape), len(target)} == {3, 4}:
        ours, theirs = as_map(shape, target), as_map(target, shape)
        if ours is not None and theirs is not None:
            first = [TokensToMap(positions(ours), dtype=policy)] if len(shape) == 3 else []
            return [*first, *layers_to(ours, theirs, policy)]
    if len(shape) != len(target):
        raise ValueError(
            "A regressor maps between signals with the same number of axes, or between a map and "
            f"the tokens of a vision transformer. Received shapes {shape} and {target}."
        )
    if len(shape) != 4:
        return [keras.layers.Dense(count, use_bias=False, dtype=policy)]
    have, want = positions(shape), positions(target)
    if have == want:
        return [Conv1x1(count, dtype=policy)]
    if None in (*have, *want):
        raise ValueError(
            "A regressor must know the height and width of both maps when they may differ. "
            f"Received shapes {shape} and {target}."
        )
    if tuple(-(-n // 2) for n in have) == want:
        return [Conv3x3(count, strides=2, dtype=policy)]
    if tuple(2 * n for n in have) == want:
        return [ConvTransposed(count, dtype=policy)]
    return [Resize(want, dtype=policy), Conv1x1(count, dtype=policy)]


class _ToShape(keras.layers.Layer):
    """Linear layers to the shape of the second signal, and what follows them."""

    def __init__(self, *, target_projector: keras.layers.Layer | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.target_projector = target_projector

    def _then(self, axis: int) -> list[keras.layers.Layer]:
        return []

    def build(self, input_shape: Any) -> None:
        shape, target = pair(type(self).__name__, input_shape)
        if self.target_projector is not None:
            target = tuple(self.target_projector(keras.KerasTensor(target)).shape)
        linear = layers_to(shape, target, self.dtype_policy)
        self.map = keras.Sequential(
            [*linear, *self._then(channel_axis(max(len(shape), len(target))))]
        )
        self.map.build(shape)
        self.map.supports_masking = self.supports_masking = len(shape) == len(target) == 3

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return self.map(inputs[0], training=training)

    def compute_mask(self, inputs: Tensor, previous_mask: Any) -> Any:
        """That of the first: positions stay."""
        return previous_mask[0] if self.supports_masking and previous_mask else None

    def get_config(self) -> dict[str, Any]:
        given = keras.saving.serialize_keras_object(self.target_projector)
        return {**super().get_config(), "target_projector": given}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "_ToShape":
        return cls(**restored(config))


@serializable
class LinearRegressor(_ToShape):
    """Maps one signal to the shape of another, by a linear map alone.

    As `Regressor`, without BatchNorm and ReLU: for targets that may be negative, such as the
    hidden states of a transformer or what stands before an activation.

    Shapes: two signals `(batch, ..., a)` and `(batch, ..., b)` -> that of the second.

    Args:
        target_projector: Layer without weights that the second goes through on its way into the
            loss, such as `TokensToMap(class_tokens=5)`: the shape is that of its result. Defaults
            to `None`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If it is not given two signals, if these differ in their number of axes, or if
            the size of a map is needed and unknown.

    Example:

    >>> learner, target = np.zeros((2, 7, 3)), np.zeros((2, 7, 5))
    >>> keras_kd.projectors.LinearRegressor()((learner, target)).shape == (2, 7, 5)
    True

    Reference: Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding",
    Findings of EMNLP 2020, arXiv:1909.10351, section 3.1.
    """


@serializable
class NormalizedRegressor(_ToShape):
    """Maps one signal to the shape of another: a linear map, then BatchNorm.

    As `Regressor`, without ReLU: for targets from before an activation.

    Shapes: two signals `(batch, ..., a)` and `(batch, ..., b)` -> that of the second.

    Args:
        target_projector: Layer without weights that the second goes through on its way into the
            loss, such as `TokensToMap(class_tokens=5)`: the shape is that of its result. Defaults
            to `None`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If it is not given two signals, if these differ in their number of axes, or if
            the size of a map is needed and unknown.

    Example:

    >>> learner, target = np.zeros((2, 4, 4, 3)), np.zeros((2, 4, 4, 5))
    >>> keras_kd.projectors.NormalizedRegressor()((learner, target)).shape == (2, 4, 4, 5)
    True

    Reference: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019,
    arXiv:1904.01866, section 3.
    """

    def _then(self, axis: int) -> list[keras.layers.Layer]:
        return [keras.layers.BatchNormalization(axis, dtype=self.dtype_policy)]


@serializable
class Regressor(_ToShape):
    """Maps one signal to the shape of another: a linear map, BatchNorm, ReLU.

    The regressor of a hint, chosen by the two shapes:

    - maps of one size: a 1×1 convolution;
    - the first twice the size of the second: a 3×3 convolution with stride 2;
    - the first half the size: a 4×4 transposed convolution;
    - other sizes: bilinear resizing, then a 1×1 convolution;
    - vectors and sequences: a linear map of the channels;
    - a map and the tokens of a vision transformer: as between maps. The result is a map, so tokens
      that are a target take `target_projector=TokensToMap()`.

    Shapes: two signals `(batch, ..., a)` and `(batch, ..., b)` -> that of the second.

    Args:
        target_projector: Layer without weights that the second goes through on its way into the
            loss, such as `TokensToMap(class_tokens=5)`: the shape is that of its result. Defaults
            to `None`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If it is not given two signals, if these differ in their number of axes, or if
            the size of a map is needed and unknown.

    Example:

    >>> learner, target = np.zeros((2, 8, 8, 3)), np.zeros((2, 4, 4, 5))
    >>> keras_kd.projectors.Regressor()((learner, target)).shape == (2, 4, 4, 5)
    True

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550,
    section 2.2; the rule by shapes follows Tian et al., ICLR 2020, arXiv:1910.10699.
    """

    def _then(self, axis: int) -> list[keras.layers.Layer]:
        policy = self.dtype_policy
        return [
            keras.layers.BatchNormalization(axis, dtype=policy),
            keras.layers.ReLU(dtype=policy),
        ]


@serializable
class MatchedChannels(keras.layers.Layer):
    """Several signals with the numbers of channels of as many others; positions stay as they are.

    For losses between pairs of layers, such as a flow. A signal that has as many channels as its
    target passes as it is; any other goes through a 1×1 convolution (a linear map of the channels,
    for vectors and sequences) without a bias.

    Given the learner's signals and then as many targets, of which only the shapes are read:
    `pred=("student:a", "student:b", "teacher:a", "teacher:b"), target=("teacher:a", "teacher:b")`.

    Shapes: `2n` signals `(batch, ..., a_i)` and `(batch, ..., b_i)` -> `n` signals `(batch, ...,
    b_i)`.

    Args:
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If it is not given as many targets as signals, each with as many axes.

    Example:

    >>> learner = np.zeros((2, 8, 8, 4)), np.zeros((2, 4, 4, 7))
    >>> target = np.zeros((2, 8, 8, 5)), np.zeros((2, 2, 2, 7))
    >>> first, second = keras_kd.projectors.MatchedChannels()((*learner, *target))
    >>> first.shape == (2, 8, 8, 5), second.shape == (2, 4, 4, 7)
    (True, True)
    """

    def build(self, input_shape: Any) -> None:
        shapes = [tuple(shape) for shape in input_shape]
        count = len(shapes) // 2
        pairs = list(zip(shapes[:count], shapes[count:], strict=False))
        if not count or len(shapes) % 2 or any(len(a) != len(b) for a, b in pairs):
            raise ValueError(
                "MatchedChannels takes the learner's signals and then as many targets, each with as "
                f"many axes as its signal. Received shapes: {shapes}."
            )
        self.maps = []
        for number, (shape, target) in enumerate(pairs):
            if channels(shape) == channels(target):
                self.maps.append(keras.layers.Identity(dtype=self.dtype_policy))
                continue
            kind = Conv1x1 if len(shape) == 4 else keras.layers.Dense
            name = f"map_{number}"
            layer = kind(channels(target), use_bias=False, name=name, dtype=self.dtype_policy)
            layer.build(shape)
            self.maps.append(layer)

    def call(self, signals: Tensor) -> tuple:
        return tuple(m(x) for m, x in zip(self.maps, signals, strict=False))


@serializable
class VariationalRegressor(keras.layers.Layer):
    """What a learner makes of its target, and how sure of it: a mean, and a variance per channel.

    The mean is three 1×1 convolutions (linear maps of the channels, for vectors and sequences)
    with ReLU between them and no bias, the inner two twice as wide as the target. The variance is
    a trained number for each channel of the target,

    `σ² = softplus(α) + 1e-5`, with `α` such that it starts at `initial_variance`.

    A learner's map that differs in size is resized first.

    Shapes: two signals `(batch, ..., a)` and `(batch, ..., b)` -> a pair: the mean, in the shape
    of the second, and the variances, which broadcast against it.

    Args:
        initial_variance: Where every `σ²` starts. Defaults to `5.0`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If it is not given two signals.

    Example:

    >>> signals = np.zeros((2, 4, 4, 3)), np.zeros((2, 4, 4, 6))
    >>> mean, variance = keras_kd.projectors.VariationalRegressor()(signals)
    >>> mean.shape == (2, 4, 4, 6), round(float(keras.ops.max(variance)), 4)
    (True, 5.0)

    Reference: Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR
    2019, arXiv:1904.05835, section 2.2.
    """

    def __init__(self, *, initial_variance: float = 5.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial_variance = positive(initial_variance, "initial_variance")

    def build(self, input_shape: Any) -> None:
        shape, target = pair("VariationalRegressor", input_shape)
        policy, count = self.dtype_policy, channels(target)
        layers: list[keras.layers.Layer] = []
        if len(shape) == 4 and positions(shape) != positions(target):
            layers.append(Resize(positions(target), dtype=policy))
        for width, last in ((2 * count, False), (2 * count, False), (count, True)):
            layers.append(
                Conv1x1(width, dtype=policy)
                if len(shape) == 4
                else keras.layers.Dense(width, use_bias=False, dtype=policy)
            )
            if not last:
                layers.append(keras.layers.ReLU(dtype=policy))
        self.mean = keras.Sequential(layers)
        self.mean.build(shape)
        along = [1] * len(target)
        along[channel_axis(len(target))] = count
        start = math.log(math.expm1(self.initial_variance - 1e-5))
        self.alpha = self.add_weight(
            name="alpha",
            shape=tuple(along),
            initializer=keras.initializers.Constant(start),
            autocast=False,
        )

    def call(self, inputs: Tensor) -> Tensor:
        return self.mean(inputs[0]), ops.softplus(self.alpha) + 1e-5

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initial_variance": self.initial_variance}
