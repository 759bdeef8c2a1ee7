"""How a student is trained: what the command line does not say is chosen by the data."""

import argparse

import keras
from keras.optimizers.schedules import CosineDecay

from keras_kd import _training_choices as choices
from keras_kd._core.texts import predict
from keras_kd.data import Augment, Dataset

#: A view for each epoch, never the same again.
VIEWS = 1 << 30


def choose(options: argparse.Namespace, examples: int) -> None:
    """Puts the batch size and the learning rate into options that do not say them."""
    if options.batch_size is None:
        options.batch_size = choices.batch_size(examples)
    if options.learning_rate is None:
        begun = options.student.endswith(".keras")
        options.learning_rate = choices.GOING_ON if begun else choices.BEGINNING


def rate(options: argparse.Namespace, steps: int) -> CosineDecay:
    """The learning rate at each of all `steps`: up to the one asked for, then down to 0."""
    return choices.rate(options.learning_rate, steps)


def augmentation(
    options: argparse.Namespace, teacher: keras.Model | None, data: Dataset
) -> tuple[Augment | None, str]:
    """The changes under which student and teacher see each image anew in every epoch, and why."""
    offered = choices.changes_for(data.info.shape)
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
    images, plain, shares, suit = choices.known_after(
        lambda x: predict(teacher, x, batch_size=128, verbose=0),
        data["validation"],
        offered.values(),
    )
    suits = [name for name, good in zip(offered, suit, strict=True) if good]
    why = (
        f"Of {images} images the teacher knows {plain:.1%}, and "
        + ", ".join(
            f"{share:.1%} after --augment {name}"
            for name, share in zip(offered, shares, strict=True)
        )
        + f". It is taught with {','.join(suits) or 'none'}."
    )
    return (Augment(*(offered[n] for n in suits), seed=options.seed) if suits else None), why
