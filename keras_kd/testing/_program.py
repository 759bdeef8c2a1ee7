"""The one program of a contract: values, gradient and reductions, compiled once."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_kd._core.tensors import Tensor
from keras_kd._trainers._programs import compiled
from keras_kd.testing._case import Contract

#: Takes the first example out, and counts the second twice.
WEIGHT = np.array([0.0, 2.0, 1.0, 1.0], "float32")


class Result(NamedTuple):
    """What the program of a contract gives for a batch."""

    total: Any  # the sum of the values, each by a share of its own
    gradient: Any  # of that, by the prediction
    values: Any  # one per example or position
    mean: Any  # the loss as it reduces by itself
    weighted: Any  # the sum with WEIGHT, by a loss that came back from its config


def result(contract: Contract, target: Tensor, pred: Tensor) -> Result:
    """The program's result for one batch."""
    if "result" not in contract.programs:
        contract.programs["result"] = _program(contract)
    total, gradient, rest = contract.programs["result"](target, pred)
    return Result(total, gradient, *rest)


def _program(contract: Contract) -> Any:
    loss, mean = contract.build(reduction=None), contract.build()
    config = keras.saving.serialize_keras_object(contract.build(name="mine", reduction="sum"))
    back = keras.saving.deserialize_keras_object(config)

    def everything(target: Tensor, pred: Tensor) -> Tensor:
        values = loss(target, pred)
        total = ops.sum(values * ops.convert_to_tensor(contract.shares()))
        return total, (values, mean(target, pred), back(target, pred, sample_weight=WEIGHT))

    return compiled(everything)


def steepest(gradient: Tensor) -> float:
    """The largest entry."""
    return max(float(np.abs(part).max()) for part in keras.tree.flatten(gradient))


def differences(
    function: Any, x: Tensor, places: int = 24, step: float = 1e-6
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The gradient of a float64 NumPy function of `x` by central differences.

    For each array of `x`: the indices tried, at most `places` of them spread over the array, and
    the derivatives there.
    """
    flat = [np.array(a, dtype="float64") for a in keras.tree.flatten(x)]
    found = []
    for array in flat:
        tried = np.unique(np.linspace(0, array.size - 1, places).astype(int))
        derivatives = []
        for place in tried:
            index = np.unravel_index(place, array.shape)
            kept, values = array[index], []
            for at in (kept + step, kept - step):
                array[index] = at
                values.append(function(keras.tree.pack_sequence_as(x, flat)))
            array[index] = kept
            derivatives.append((values[0] - values[1]) / (2 * step))
        found.append((tried, np.array(derivatives)))
    return found
