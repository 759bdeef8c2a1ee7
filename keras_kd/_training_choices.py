"""How a student is trained when nobody says: batches, learning rates, views, running averages.

What the command line and `keras_kd.auto` share.
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
from keras.optimizers.schedules import CosineDecay

from keras_kd import teachers
from keras_kd._core.last_activation import last_activation
from keras_kd._with_logits import with_logits
from keras_kd.data import Augment, Crop, Flip, Part, Transform

#: The learning rates of a student that begins and of one that goes on from its weights.
BEGINNING, GOING_ON = 1e-2, 1e-3
#: A set below this size is small: half the batch gives it twice the steps.
_SMALL_SET = 4000
_WARMING = 0.1  # share of the steps in which the learning rate rises
_ASKED_ABOUT = 512  # images that the teacher is asked about, changed and unchanged
_MAY_LOSE = 0.03  # what the teacher's accuracy may lose by a change that suits the images
#: How much of where they began is left in the running averages after one epoch.
_LEFT = 0.05
_SLOWEST, _FASTEST = 0.99, 0.7


def batch_size(examples: int) -> int:
    """Examples in one step."""
    return 32 if examples < _SMALL_SET else 64


def rate(peak: float, steps: int) -> CosineDecay:
    """The learning rate at each of all `steps`: up to `peak`, then down to 0."""
    warming = max(1, round(_WARMING * steps))
    return CosineDecay(peak / 10, max(1, steps - warming), warmup_target=peak, warmup_steps=warming)


def momentum_for(steps: int) -> float:
    """BatchNormalization's momentum, of which after `steps` 5 % of the beginning are left."""
    return round(min(max(_LEFT ** (1 / steps), _FASTEST), _SLOWEST), 3)


def changes_for(shape: tuple[int, ...]) -> dict[str, Transform]:
    """The changes of images by name: by a fourteenth of the side, and left for right."""
    return {"shift": Crop(max(1, round(min(shape[:2]) / 14))), "mirror": Flip()}


def known_after(
    predict: Callable[[Any], np.ndarray], part: Part, changes: Iterable[Transform]
) -> tuple[int, float, list[float], list[bool]]:
    """After which changes a teacher still knows images: how many images were looked at, the share
    of them that it knows, the share after each change, and which of the changes suit.

    A change suits the images when the teacher knows them after it: mirrored photos of cats, and no
    mirrored digits. It is the teacher that answers for the changed image, so it is asked.
    """
    part = part.take(np.arange(min(len(part), _ASKED_ABOUT)))
    plain = _right(predict, part)
    shares = [_right(predict, part, step) for step in changes]
    return len(part), plain, shares, [plain - share <= _MAY_LOSE for share in shares]


def _right(
    predict: Callable[[Any], np.ndarray], part: Part, step: Transform | None = None
) -> float:
    """The share of the images that the teacher knows after a change."""
    x = part.x if step is None else Augment(step)(part.x, ids=part.ids)
    return float((predict(x).argmax(axis=-1) == part.y).mean())


def teaching(model: keras.Model, endings: tuple[str, ...] = ("softmax",)) -> keras.Model:
    """A teacher as losses on logits want it, live or stored: without the softmax that it ends in.

    Its layers keep their paths, unless it is of a kind that can only be looked at from outside.
    """
    ending = last_activation(model)
    if ending not in endings:
        return model
    try:
        return with_logits(model)
    except ValueError:  # neither Functional nor Sequential
        if ending != "softmax":
            raise
        return teachers.FromProbabilities(model)
