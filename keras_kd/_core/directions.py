"""Random directions in the space of a model's inputs, for directional derivatives."""

from typing import Any

import keras
from keras import ops

from keras_kd._core.tensors import Tensor


class _SeedOf(keras.random.SeedGenerator):
    """A seed that follows from numbers alone: every draw with the same ones is the same."""

    def __init__(self, *numbers: Any):
        self.numbers = numbers  # and no state, for which Keras's own would make a variable

    def next(self, ordered: bool = True) -> Any:
        dtype = "uint32" if keras.config.backend() == "jax" else "int32"
        return ops.stack([ops.cast(number, dtype) for number in self.numbers])


def random_direction(step: Any, x: Tensor, model: str) -> Tensor:
    """A direction in the space of inputs like `x`: standard normal numbers, drawn anew each step.

    The same for every model that takes such an input.
    """
    leaves = keras.tree.flatten(x)
    for leaf in leaves:
        if "float" not in keras.backend.standardize_dtype(leaf.dtype):
            raise ValueError(
                f"'jvp' is a derivative by the input, and '{model}' takes an input of type "
                f"{keras.backend.standardize_dtype(leaf.dtype)}. Give it numbers that can change "
                "a little, such as embeddings in place of token numbers."
            )
    drawn = [
        keras.random.normal(ops.shape(leaf), dtype=leaf.dtype, seed=_SeedOf(number << 24, step))
        for number, leaf in enumerate(leaves)
    ]
    return keras.tree.pack_sequence_as(x, drawn)
