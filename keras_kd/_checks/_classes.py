"""The classes that a term compares: as many on both sides, and each the same one.

A trained projector between the logits of two models can turn any class into any other, and is
dropped after training: the term's loss would be small, and the student's own outputs wrong.
"""

from typing import Any

import keras

from keras_kd._core.addresses import JVP, LABELS, OUTPUT, RESERVED, as_tuple, parse
from keras_kd._core.messages import shape_of
from keras_kd._core.vocabularies import of_common_tokens
from keras_kd.losses import Loss


def compares_classes(term: Any) -> bool:
    """Whether the term's loss reads logits, each of one class."""
    loss = getattr(term, "loss", None)  # the term for the labels has none of its own
    return isinstance(loss, Loss) and loss.on_logits


def read_as_logits(term: Any) -> tuple[str, ...]:
    """The addresses that the term's loss reads as logits, as they are."""
    if not compares_classes(term):
        return ()
    sides = ((term.pred, term.projector), (term.target, term.target_projector))
    read = [a for side, projector in sides if keeps_logits(projector) for a in as_tuple(side)]
    return tuple(a for a in read if a not in RESERVED)


def is_model_output(term: Any, address: str) -> bool:
    """Whether `address` is a model's output, or a layer whose result is known to be one."""
    if address in RESERVED:
        return False
    return address in term.output_layers or parse(address).path.split("/")[0] in (OUTPUT, JVP)


def between_model_outputs(term: Any) -> bool:
    """Whether the term compares a model's output with another's."""
    pred, *_ = as_tuple(term.pred)
    target = next((a for a in as_tuple(term.target) if a not in RESERVED), LABELS)
    return is_model_output(term, pred) and is_model_output(term, target)


def check_projectors(term: Any) -> None:
    """Raises when a trained projector between two models' outputs could turn classes into others."""
    if not compares_classes(term) or not between_model_outputs(term):
        return
    for argument in ("projector", "target_projector"):
        projector = getattr(term, argument)
        if mixes_classes(projector):
            raise ValueError(
                f"Term '{term.name}' compares the logits of '{term.pred}' with those of "
                f"'{term.target}' by {type(term.loss).__name__}, and its {argument} "
                f"{type(projector).__name__} has trained weights that make each class out of all "
                "others. It would learn any order of the classes and be thrown away with it, and "
                "the student's own outputs would mean nothing. Leave it out; where the two sides "
                "have different classes, take keras_kd.projectors.Classes or "
                "keras_kd.teachers.ClassMap, which pick them."
            )


def of_common_classes(term: Any, pred: Any, target: Any) -> tuple[Any, Any]:
    """Both sides over the tokens that both have, where one vocabulary is padded."""
    own = getattr(term.loss, "own_classes", False)
    if own or not compares_classes(term) or not between_model_outputs(term):
        return pred, target
    if keras.tree.is_nested(target) and isinstance(term.target, str):
        return pred, target  # classes with their numbers, the largest or drawn: of any vocabulary
    told = getattr(term, "told_of_padding", False)
    who = f"Term '{term.name}'"
    pred, target, term.told_of_padding = of_common_tokens(who, pred, target, told)
    return pred, target


def check_classes(term: Any, pred: Any, targets: list[tuple[str, Any]]) -> None:
    """Raises when the two sides have different numbers of classes.

    Args:
        term: The term.
        pred: What learns, after its projector.
        targets: What it learns from, by address, after the projector.
    """
    pred = keras.tree.flatten(pred)[0]
    address, *_ = as_tuple(term.pred)
    if not is_model_output(term, address):
        return
    if getattr(term.loss, "own_classes", False):  # a loss of Keras has none
        return
    if not compares_classes(term) and parse(address).path.split("/")[0] != JVP:
        return
    for address, target in targets:
        if keras.tree.is_nested(target) or not is_model_output(term, address):
            continue
        mine, theirs = (tuple(x.shape) for x in (pred, target))
        if not mine or len(mine) != len(theirs) or None in (mine[-1], theirs[-1]):
            continue
        if mine[-1] != theirs[-1]:
            raise ValueError(
                f"Term '{term.name}' compares outputs with different numbers of classes: pred "
                f"'{term.pred}' is {shape_of(pred)}, target '{address}' is {shape_of(target)}. "
                + _which(mine[-1], theirs[-1], address)
            )


def _which(mine: int, theirs: int, address: str) -> str:
    pick = "keras_kd.projectors.Classes"
    first = range(min(mine, theirs))
    if theirs > mine:
        role = parse(address).role
        return (
            "Pick the student's classes from the teacher's, by the teacher's index of "
            "each; for the first of them, "
            f"{role}=keras_kd.teachers.ClassMap({role}, {first}), or where its outputs come with "
            f"the batch target_projector={pick}({first}) in the term. A trained projector would "
            "give the classes any order."
        )
    return (
        "Compare those of the student's classes that the teacher has, by the student's index of "
        f"each; for the first of them, give the term projector={pick}({first}). The labels "
        "train the others. A trained projector would give the classes any order."
    )


def keeps_logits(projector: keras.layers.Layer | None) -> bool:
    """Whether logits are known to be logits still behind `projector`, each of one class."""
    return projector is None or getattr(projector, "keeps_logits", False)


def mixes_classes(projector: keras.layers.Layer | None) -> bool:
    """Whether a built projector learns to make each class out of others: by a matrix, or more."""
    weights = [] if projector is None else projector.trainable_variables
    return any(len(weight.shape) > 1 for weight in weights)
