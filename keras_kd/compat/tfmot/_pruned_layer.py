"""The layer that is pruned while its model is trained."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.keras_private import input_shape_argument, layers_of
from keras_kd._core.kernels import kernel_names, kernels_in
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd.compat.tfmot._schedules import ConstantSparsity, PruningSchedule
from keras_kd.compression import Magnitude, NOfM, mask


def no_callback(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what} is to be pruned, and nothing prunes it: add "
        "tfmot.sparsity.keras.UpdatePruningStep() to the callbacks of fit(). (In a loop of your "
        "own, call its on_train_begin, on_train_batch_begin and on_epoch_end.)"
    )


class PrunableLayer:
    """What a layer class of your own inherits to say which of its weights may be pruned."""

    def get_prunable_weights(self) -> list[keras.Variable]:
        """The weights to prune."""
        raise NotImplementedError(
            f"{type(self).__name__} must define get_prunable_weights(), the list of its weights to "
            "prune."
        )


def can_be_pruned(layer: keras.Layer) -> bool:
    """Whether the layer, or one inside it, has weights to prune, built or not."""
    return any(
        hasattr(one, "get_prunable_weights")  # as tfmot has it: any class with it
        or isinstance(one, keras.layers.Embedding)
        or kernel_names(one)
        for one in layers_of(layer)
    )


def check_one_input(layer: keras.Layer, who: str, instead: str) -> None:
    """An error for layers of several inputs, which no wrapper stands around."""
    kinds = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    if isinstance(layer, kinds):
        raise ValueError(
            f"{who} does not wrap layer '{layer.name}', a {type(layer).__name__}, which has several "
            f"inputs. Give fit() the callback {instead} in place of wrapping: it needs no wrapper."
        )


def prunable(layer: keras.Layer) -> list[keras.Variable]:
    """The weights to prune in a built layer and in the layers inside it."""
    found: dict[int, keras.Variable] = {}
    for one in layers_of(layer):
        if hasattr(one, "get_prunable_weights"):
            kernels = one.get_prunable_weights()
        elif isinstance(one, keras.layers.Embedding):
            kernels = [one.embeddings]
        else:
            kernels = kernels_in(one)
        found.update({id(kernel): kernel for kernel in kernels})
    return list(found.values())


@serializable
class PruneLowMagnitude(keras.layers.Wrapper):
    """A layer whose smallest weights become zero while it is trained.

    What `prune_low_magnitude` makes of a layer. It computes what the layer computes; the callback
    `UpdatePruningStep` chooses the zeros and puts them back after every step.

    Args:
        layer: The layer to prune.
        pruning_schedule: As in `prune_low_magnitude`.
        block_size: As in `prune_low_magnitude`.
        block_pooling_type: As in `prune_low_magnitude`.
        sparsity_m_by_n: As in `prune_low_magnitude`.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is out of its bounds, or if the weights cannot have the pattern.
        RuntimeError: In training without `UpdatePruningStep` among the callbacks.
    """

    def __init__(
        self,
        layer: keras.Layer,
        pruning_schedule: PruningSchedule = ConstantSparsity(0.5, 0),  # noqa: B008, never changed
        block_size: Any = (1, 1),
        block_pooling_type: str = "AVG",
        sparsity_m_by_n: Any = None,
        **kwargs: Any,
    ):
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"`layer` must be a keras.layers.Layer. Received: {layer!r}.")
        if not callable(pruning_schedule):
            raise ValueError(
                "`pruning_schedule` must be a PruningSchedule, for example "
                "tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0). Received: "
                f"{pruning_schedule!r}."
            )
        if block_pooling_type not in ("AVG", "MAX"):
            raise ValueError(
                f"`block_pooling_type` must be 'AVG' or 'MAX'. Received: {block_pooling_type!r}."
            )
        check_one_input(layer, "prune_low_magnitude()", "keras_kd.compression.Pruning(0.5)")
        shape = input_shape_argument(layer)
        if shape is not None:
            kwargs.setdefault("input_shape", shape)
        kwargs["name"] = f"prune_low_magnitude_{layer.name}"
        super().__init__(layer, **kwargs)
        self.pruning_schedule = pruning_schedule
        self.block_size = _pair(block_size, "block_size")
        self.block_pooling_type = block_pooling_type
        self.sparsity_m_by_n = None
        if sparsity_m_by_n is not None:
            self.sparsity_m_by_n = _pair(sparsity_m_by_n, "sparsity_m_by_n")
            count(self.sparsity_m_by_n[0], "sparsity_m_by_n", most=self.sparsity_m_by_n[1] - 1)
        self.supports_masking = True
        self.is_updated = False  # whether a callback is at work

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self.pruning_step = self.add_weight(
            name="pruning_step", shape=(), dtype="int32", trainable=False,
            initializer=keras.initializers.Constant(-1), aggregation="only_first_replica",
        )  # fmt: skip
        for kernel in self.prunable_weights:
            self._check_pattern(tuple(kernel.shape))

    @property
    def prunable_weights(self) -> list[keras.Variable]:
        """The weights that are pruned."""
        return prunable(self.layer)

    def call(self, inputs: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if training and not self.is_updated:
            raise no_callback(f"Layer '{self.layer.name}'")
        return self.layer(inputs, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def mask_for(self, kernel: np.ndarray, share: float) -> np.ndarray:
        """1 where a weight stays and 0 where it goes."""
        if self.sparsity_m_by_n is not None:
            zeros, of = self.sparsity_m_by_n
            return mask(kernel, NOfM(keep=of - zeros, of=of))
        if not share:
            return np.ones(kernel.shape, "float32")
        if self.block_size == (1, 1):
            return mask(kernel, Magnitude(share))
        return _block_mask(kernel, share, self.block_size, self.block_pooling_type)

    def _check_pattern(self, shape: tuple[int, ...]) -> None:
        where = f"A weight of layer '{self.layer.name}', of shape {shape},"
        if self.sparsity_m_by_n is not None:
            zeros, of = self.sparsity_m_by_n
            if not NOfM(keep=of - zeros, of=of).fits(self.layer, shape):
                raise ValueError(
                    f"{where} cannot have the pattern sparsity_m_by_n={self.sparsity_m_by_n}: it "
                    f"is for Dense and convolution kernels whose number of inputs is divisible by "
                    f"{of}. Leave the layer as it is, or prune it without `sparsity_m_by_n`."
                )
        elif self.block_size != (1, 1) and len([size for size in shape if size != 1]) > 2:
            raise ValueError(
                f"{where} cannot be pruned in blocks of {self.block_size}: that is for matrices, "
                "the kernels of Dense. Leave out `block_size` for this layer."
            )

    def get_config(self) -> dict[str, Any]:
        schedule = keras.saving.serialize_keras_object(self.pruning_schedule)
        if set(schedule["config"]) == {"class_name", "config"}:  # as tfmot's own schedules have it
            schedule["config"] = schedule["config"]["config"]
        own = {
            "pruning_schedule": schedule, "block_size": self.block_size,
            "block_pooling_type": self.block_pooling_type, "sparsity_m_by_n": self.sparsity_m_by_n,
        }  # fmt: skip
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        config = dict(config)
        for name in ("layer", "pruning_schedule"):
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)


def _pair(value: Any, argument: str) -> tuple[int, int]:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"`{argument}` must be two whole numbers. Received: {value!r}.")
    first, second = (count(one, argument) for one in value)
    return first, second


def _block_mask(kernel: np.ndarray, share: float, block: tuple[int, int], pooling: str) -> Any:
    """The blocks whose weights are largest in the mean (`AVG`), or in their largest, stay."""
    high, wide = block
    matrix = np.abs(kernel).reshape([size for size in kernel.shape if size != 1] or [1])
    matrix = matrix.reshape(matrix.shape[0], -1)
    rows, columns = -(-matrix.shape[0] // high), -(-matrix.shape[1] // wide)
    padded = np.full((rows * high, columns * wide), np.nan, "float32")
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    pool = np.nanmean if pooling == "AVG" else np.nanmax
    pooled = pool(padded.reshape(rows, high, columns, wide), axis=(1, 3))
    kept = mask(pooled, Magnitude(share)).repeat(high, axis=0).repeat(wide, axis=1)
    return kept[: matrix.shape[0], : matrix.shape[1]].reshape(kernel.shape)


def pruned_layers(model: keras.Layer) -> list[PruneLowMagnitude]:
    return [layer for layer in layers_of(model) if isinstance(layer, PruneLowMagnitude)]


def share_of_zeros(layer: PruneLowMagnitude) -> float:
    """The share of zeros in the layer's prunable weights."""
    kernels = [ops.convert_to_numpy(kernel) for kernel in layer.prunable_weights]
    size = sum(kernel.size for kernel in kernels)
    return sum(int((kernel == 0).sum()) for kernel in kernels) / size if size else 0.0
