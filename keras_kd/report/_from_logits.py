"""Whether a model's answers are logits or probabilities."""

from collections.abc import Mapping

import keras
import numpy as np

from keras_kd._core.last_activation import last_activation

FromLogits = bool | Mapping[str, bool] | None


def reads_logits(
    name: str, model: keras.Model, outputs: np.ndarray, output: str | None, given: FromLogits
) -> tuple[bool, str]:
    """Whether `outputs` are logits, and how that is known: as told, or as the model ends."""
    stated = given.get(name) if isinstance(given, Mapping) else given
    if stated is not None:
        return stated, "as told"
    ending = last_activation(model, () if output is None else (output,))
    if ending is not None:
        return False, f"by the {ending} at the end"
    within = bool((outputs >= 0).all() and (outputs <= 1).all())
    sums = np.allclose(outputs.sum(axis=1), 1, atol=1e-3) or outputs.shape[1] == 1
    if within and sums:
        raise ValueError(
            f"'{name}' ends in no softmax or sigmoid that can be seen, and yet its answers look "
            f"like probabilities. Say what they are: from_logits={{{name!r}: False}} (or True)."
        )
    return True, "with no softmax or sigmoid at the end"
