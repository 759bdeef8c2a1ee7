"""How a student is trained: what the command line does not say is chosen by the data."""

import argparse

import keras
import numpy as np
from keras.optimizers.schedules import CosineDecay

from keras_kd._core.texts import predict
from keras_kd.data import Augment, Crop, Dataset, Flip, Part, Transform

#: A set below this size is small: half the batch gives it twice the steps.
_SMALL_SET = 4000
_WARMING = 0.1  # share of the steps in which the learning rate rises
#: The learning rates of a student that begins and of one that goes on from its weights.
_BEGINNING, _GOING_ON = 1e-2, 1e-3
#: A view for each epoch, never the same again.
VIEWS = 1 << 30
_ASKED_ABOUT = 512  # images that the teacher is asked about, changed and unchanged
_MAY_LOSE = 0.03  # what the teacher's accuracy may lose by a change that suits the images


def choose(options: argparse.Namespace, examples: int) -> None:
    """Puts the batch size and the learning rate into options that do not say them."""
    if options.batch_size is None:
        options.batch_size = 32 if examples < _SMALL_SET else 64
    if options.learning_rate is None:
        options.learning_rate = _GOING_ON if options.student.endswith(".keras") else _BEGINNING


def rate(options: argparse.Namespace, steps: int) -> CosineDecay:
    """The learning rate at each of all `steps`: up to the one asked for, then down to 0."""
    peak, warming = options.learning_rate, max(1, round(_WARMING * steps))
    return CosineDecay(peak / 10, max(1, steps - warming), warmup_target=peak, warmup_steps=warming)


def augmentation(
    options: argparse.Namespace, teacher: keras.Model | None, data: Dataset
) -> tuple[Augment | None, str]:
    """The changes under which student and teacher see each image anew in every epoch, and why.

    A change suits the images when the teacher knows them after it: mirrored photos of cats, and no
    mirrored digits. It is the teacher that answers for the changed image, so it is asked.
    """
    offered = _offered(data.info.shape)
    asked = options.augment
    if asked == ["none"] or (teacher is None and asked == ["auto"]):
        return None, ""
    if teacher is None:
        raise ValueError(
            f"'{options.teacher}' holds answers for images as they were stored, so they cannot be "
            "changed now. Leave out --augment, or give the teacher's .keras file in place of them."
        )
    if asked != ["auto"]:
        return Augment(*(offered[name] for name in asked), seed=options.seed), ""
    part = data["validation"]
    part = part.take(np.arange(min(len(part), _ASKED_ABOUT)))
    plain = _right(teacher, part)
    known = {name: _right(teacher, part, step) for name, step in offered.items()}
    suits = [name for name, share in known.items() if plain - share <= _MAY_LOSE]
    why = (
        f"Of {len(part)} images the teacher knows {plain:.1%}, and "
        + ", ".join(f"{share:.1%} after --augment {name}" for name, share in known.items())
        + f". It is taught with {','.join(suits) or 'none'}."
    )
    return (Augment(*(offered[n] for n in suits), seed=options.seed) if suits else None), why


def _offered(shape: tuple[int, ...]) -> dict[str, Transform]:
    """The changes by name: by a fourteenth of the side, and left for right."""
    return {"shift": Crop(max(1, round(min(shape[:2]) / 14))), "mirror": Flip()}


def _right(teacher: keras.Model, part: Part, step: Transform | None = None) -> float:
    """The share of the images that the teacher knows after a change."""
    x = part.x if step is None else Augment(step)(part.x, ids=part.ids)
    return float((predict(teacher, x, batch_size=128, verbose=0).argmax(axis=-1) == part.y).mean())
