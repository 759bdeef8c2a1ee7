"""Whether outputs are logits or probabilities."""

from collections.abc import Mapping

import keras
import numpy as np

from keras_kd._core.last_activation import last_activation
from keras_kd._core.probabilities import looks, read
from keras_kd.report._participants import Called, Participant

FromLogits = bool | Mapping[str, bool] | None


def reads_logits(
    name: str, model: Participant, outputs: np.ndarray, output: str | None, given: FromLogits
) -> tuple[bool, str]:
    """Whether `outputs` are logits, and how that is known: as told, as the model ends, or by what
    they look like."""
    if isinstance(model, Called) and model.gives_logits:
        return True, "as the teacher gives them"
    stated = given.get(name) if isinstance(given, Mapping) else given
    if stated is not None:
        return stated, "as told"
    seen = isinstance(model, keras.Model)
    ending = last_activation(model, () if output is None else (output,)) if seen else None
    if ending is not None:
        return False, f"by the {ending} at the end"
    if not seen and read(keras.ops.convert_to_numpy(looks(outputs))).softmax:
        return False, "as every row sums to 1"
    within = bool((outputs >= 0).all() and (outputs <= 1).all())
    sums = np.allclose(outputs.sum(axis=1), 1, atol=1e-3) or outputs.shape[1] == 1
    if within and sums:
        raise ValueError(
            f"'{name}' answers with what looks like probabilities, and no softmax or sigmoid is seen "
            f"at its end. Say what they are: from_logits={{{name!r}: False}} (or True)."
        )
    return True, "with no softmax or sigmoid at the end" if seen else "by their values"
