"""Arguments that belong elsewhere, and what to write instead."""

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_kd.losses import Loss

_RECIPE = "terms=keras_kd.recipes.hinton(temperature=4.0, alpha=0.9)"
_IN_A_TERM = (
    "A loss on the teacher's output belongs to a term: Distiller(..., terms=[keras_kd.Labels("
    "weight=0.1), keras_kd.Term(keras_kd.losses.SoftTarget(4.0), weight=0.9)])."
)
#: Arguments by the names that other code for distillation knows, and where they go here.
_ELSEWHERE = {
    "temperature": f"It belongs to a loss: Distiller(..., {_RECIPE}).",
    "alpha": f"It is the teacher's share in the terms: Distiller(..., {_RECIPE}).",
    "student_loss_fn": "The loss on the labels is `loss`: compile(optimizer, loss=...).",
    "distillation_loss_fn": _IN_A_TERM,
    "distillation_loss": _IN_A_TERM,
}


def check_named(args: tuple[Any, ...], write: str) -> None:
    """Raises when arguments that have names came without them."""
    if args:
        raise TypeError(
            f"These arguments are given by name, so that none stands for another: {write}. "
            f"Received {len(args)} without a name."
        )


def check_known(given: Iterable[str], where: str) -> None:
    """Raises when an argument belongs elsewhere."""
    for name in given:
        if name in _ELSEWHERE:
            raise TypeError(f"{where} takes no `{name}`. {_ELSEWHERE[name]}")


def check_label_losses(losses: Iterable[Any]) -> None:
    """Raises when a loss that compares logits with logits is given for the labels."""
    for loss in losses:
        if isinstance(loss, Loss) and loss.on_logits:
            name = type(loss).__name__
            raise ValueError(
                f"compile() was given loss={name}(...), which compares logits with logits, and the "
                f"labels are none. Put it into a term, Distiller(..., terms=[keras_kd.Labels(), "
                f"keras_kd.Term(keras_kd.losses.{name}(...))]), and compile with a loss on labels, "
                "such as keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
            )


def check_roles_of_default(students: Mapping[str, Any], teachers: Mapping[str, Any]) -> None:
    """Raises when terms were left out, and the roles do not decide which student learns from what."""
    if list(students) != ["student"]:
        names = ", ".join(map(repr, students))
        raise ValueError(
            f"The students have the roles {names}, and the default terms are for one 'student'. "
            f"Give the terms of each: terms=keras_kd.recipes.mutual({names}), or a list of "
            "keras_kd.Labels(pred='ROLE:output') and keras_kd.Term(..., pred='ROLE:output')."
        )
    if teachers and "teacher" not in teachers:
        terms = ", ".join(
            f"keras_kd.Term(keras_kd.losses.SoftTarget(4.0), target='{role}:output')"
            for role in teachers
        )
        raise ValueError(
            f"The teachers have the roles {', '.join(map(repr, teachers))}, and the default terms "
            f"learn from one 'teacher'. Write a term for each: terms=[keras_kd.Labels(), {terms}]; "
            "or make one teacher of them: keras_kd.teachers.Ensemble([...])."
        )


def check_address(address: Any, argument: str) -> None:
    """Raises when a layer is given where its address belongs."""
    if isinstance(address, (keras.layers.Layer, keras.KerasTensor)):
        role = "teacher" if argument == "target" else "student"
        raise TypeError(
            f"`{argument}` is an address, a role and a layer's name: "
            f"{argument}='{role}:{address.name}'. Received the layer or tensor itself."
        )


def check_weight(weight: Any) -> None:
    """Raises when the loss on the labels is given to `Labels`."""
    if isinstance(weight, (keras.losses.Loss, str)):
        raise TypeError(
            f"Labels() applies the loss that is given to compile(): compile(optimizer, loss=...). "
            f"Its first argument is its weight, as in Labels(0.1). Received: {weight!r}."
        )
