"""The students and teachers of a distillation by role, and what they must satisfy."""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_kd._core.addresses import RESERVED, as_tuple, parse
from keras_kd._core.keras_private import layers_of, own_variables
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.models import no_model
from keras_kd.teachers import Momentum
from keras_kd.terms import Labels, Term

Participants: TypeAlias = keras.Model | Mapping[str, keras.Model]
Models: TypeAlias = Mapping[str, keras.Model]


def by_role(models: Participants, role: str) -> dict[str, keras.Model]:
    """The models by role: a single one has the role `role`."""
    by_role = dict(models) if isinstance(models, Mapping) else {role: models}
    for name, model in by_role.items():
        if not isinstance(model, keras.Model):
            raise no_model(model, role, "a keras.Model or a dict of them by role")
        if not name or ":" in name or name in RESERVED:
            raise ValueError(
                "A role is a non-empty name without ':' other than 'labels', 'ids', 'mask' and "
                "'spans'. "
                f"Received: {name!r}."
            )
    if not by_role:
        raise ValueError(f"`{role}` must hold at least one model. Received: an empty dict.")
    return by_role


def as_given(models: Models, role: str) -> Any:
    """The models as a constructor takes them."""
    if not models:
        return None
    return models[role] if list(models) == [role] else dict(models)


def only(models: Models, kind: str) -> keras.Model:
    """The one model there is; an error when there are several."""
    if len(models) > 1:
        raise ValueError(  # torch would swallow an AttributeError
            f"This distiller has {len(models)} {kind}s: {listing(models)}. Use "
            f"distiller.{kind}s['...']."
        )
    return next(iter(models.values()))


def check_participants(students: Models, teachers: Models) -> None:
    """Proves that each teacher is sound, and no part of a student."""
    if both := set(students) & set(teachers):
        raise ValueError(f"Role {both.pop()!r} is given to a student and to a teacher.")
    for role, model in teachers.items():
        if any(model is student for student in students.values()):
            raise ValueError(
                f"The {role} is the student itself: '{model.name}' cannot be frozen and learn. "
                "Give a trained model of its own, for example keras.models.clone_model(student) "
                "with its weights set."
            )
        for variable in model.variables:
            if "float" in variable.dtype and not _finite(variable):
                raise ValueError(
                    f"The {role} '{model.name}' holds NaN or infinite values in '{variable.path}', "
                    "so its outputs would be NaN. Load or train it again."
                )
    check_shared(students, teachers)


def check_tokenizers(models: Models, apart: Collection[str]) -> None:
    """Proves that models that read texts by a preprocessor of their own make the same ids of them,
    but for those that are given ids `apart`."""
    shared = {role: model for role, model in models.items() if role not in apart}
    known = {role: ids for role, model in shared.items() if (ids := _vocabulary(model))}
    first = next(iter(known), "")
    for role, vocabulary in known.items():
        if vocabulary != known[first]:
            raise ValueError(
                f"The {first} '{models[first].name}' and the {role} '{models[role].name}' have "
                f"tokenizers that differ, of {len(known[first])} and {len(vocabulary)} tokens: the "
                "same ids are other texts to them, and their positions others. Give "
                f"terms=keras_kd.recipes.gold({first}.preprocessor, {role}.preprocessor), which "
                "compares the two over the same spans of text, and fit on "
                "keras_kd.sources.TwoTokenizers. If the ids do mean the same, take one tokenizer "
                f"off: {role}.preprocessor = None."
            )


def _vocabulary(model: keras.Model) -> list[str]:
    """The tokens by id of the model's own tokenizer; none where it has none."""
    tokenizer = getattr(getattr(model, "preprocessor", None), "tokenizer", None)
    try:
        return [] if tokenizer is None else list(tokenizer.get_vocabulary())
    except (AttributeError, ValueError):  # it has none, or not yet
        return []


def warn_of_precision(students: Models) -> None:
    """Warns when the weights that learn have too few digits for the steps of an optimizer."""
    for role, model in students.items():
        kinds = {v.dtype for v in model.trainable_variables} & {"bfloat16", "float16"}
        if kinds:
            kind = kinds.pop()
            warnings.warn(
                f"The {role} '{model.name}' keeps its weights in {kind}, which rounds away most steps "
                f"of an optimizer: it hardly learns, or not at all. Make it with dtype='mixed_{kind}': "
                "weights in float32, computed with as now.",
                stacklevel=3,
            )


def check_shared(students: Models, teachers: Models) -> None:
    """Proves that what a teacher shares with a student moves in neither."""
    moving = {
        id(variable): role
        for role, model in students.items()
        for layer in layers_of(model)
        if layer.trainable
        for variable in own_variables(layer)
    }
    for role, model in teachers.items():
        for variable in model.variables:
            if id(variable) in moving:
                raise ValueError(
                    f"The {role} '{model.name}' shares the variable '{variable.path}' with the "
                    f"{moving[id(variable)]}, where it moves. Give the teacher weights of its own, "
                    "for example by keras.models.clone_model and set_weights; or freeze the shared "
                    "layer in both: layer.trainable = False."
                )


def freeze(teachers: Models) -> None:
    """Freezes the teachers."""
    for model in teachers.values():
        for layer in layers_of(model):  # TensorFlow hands down no flag that the model has already
            layer.trainable = False


def check_frozen(teachers: Models) -> None:
    """Proves that no layer of a teacher was made trainable since the distiller froze it."""
    for role, model in teachers.items():
        for layer in layers_of(model):
            if layer.trainable and own_variables(layer):
                raise ValueError(
                    f"The {role} '{model.name}' is frozen, and its layer '{layer.name}' was given "
                    "trainable=True after the distiller was made. Set it back to False; or train "
                    "the model by itself, before."
                )


def check_learners(students: Models, terms: Iterable[Term | Labels]) -> None:
    """Proves that something can learn; warns when a student cannot."""
    still = {role: model for role, model in students.items() if not model.trainable_variables}
    if not still:
        return
    projectors = [p for term in terms for p in term.projectors() if p.trainable_variables]
    names = " and ".join(f"the {role} '{model.name}'" for role, model in still.items())
    has = "has" if len(still) == 1 else "have"
    remedy = "Set student.trainable = True (or that of its layers), and call compile() again."
    if len(still) == len(students) and not projectors:
        raise ValueError(f"Nothing would learn: {names} {has} no trainable weights. {remedy}")
    rest = (
        f"{len(projectors)} projectors of the terms learn alone"
        if len(still) == len(students)
        else "the other students learn alone"
    )
    warnings.warn(
        f"{names[0].upper()}{names[1:]} {has} no trainable weights and will stay as now: {rest}. "
        f"If that is not meant: {remedy[0].lower()}{remedy[1:]}",
        stacklevel=2,
    )


def _finite(variable: keras.Variable) -> bool:
    # In numpy: one compiled kernel for each shape would cost more than the copy.
    return bool(np.isfinite(np.asarray(variable.numpy(), "float32")).all())


def as_list(terms: Any) -> list[Any]:
    """The terms as a list."""
    if isinstance(terms, Iterable) and not isinstance(terms, (str, Mapping)):
        return list(terms)
    advice = " Write terms=[term]." if _is_term(terms) else ""
    advice = " Call it: terms=recipe()." if not advice and callable(terms) else advice
    raise TypeError(f"`terms` must be a list of Term and Labels. Received: {terms!r}.{advice}")


def check_terms(
    terms: Sequence[Any], students: Mapping[str, Any], teachers: Mapping[str, Any]
) -> None:
    """Proves that `terms` are terms, and that every role they name is there."""
    if not terms:
        raise ValueError("`terms` must list at least one Term or Labels. Received: an empty list.")
    owners: dict[int, str] = {}
    for term in terms:
        if not _is_term(term):
            raise TypeError(
                f"`terms` must be a list of Term and Labels. Received: {term!r}.{_instead_of(term)}"
            )
        for projector in term.projectors():
            if id(projector) in owners:
                raise ValueError(
                    f"Terms '{owners[id(projector)]}' and '{term.name}' share the projector "
                    f"'{projector.name}', which a saved distiller would load as two. Give "
                    "each a layer of its own."
                )
            owners[id(projector)] = term.name
        check_roles(term.addresses(), f"Term '{term.name}'", students, teachers)
        _check_learns(term, students)


def _is_term(thing: Any) -> bool:
    return isinstance(thing, (Term, Labels))


def _instead_of(thing: Any) -> str:
    """What to write for something that is no term."""
    if isinstance(thing, keras.losses.Loss):
        return " Put the loss into a term: keras_kd.Term(loss)."
    if isinstance(thing, (list, tuple)) and all(map(_is_term, thing)):
        return " Lists add up: terms=[*recipe(), term]."
    if callable(thing):
        return " Call it: a recipe returns a list, so terms=[*recipe(), ...]."
    return ""


def _check_learns(term: Term | Labels, students: Mapping[str, Any]) -> None:
    """Proves that a term trains something: a student's signal, or a layer of its own."""
    pred = [a for a in as_tuple(term.pred) if a not in RESERVED]
    if term.projectors() or any(parse(a).role in students for a in pred):
        return
    first = next(iter(students))
    raise ValueError(
        f"Term '{term.name}' has pred='{pred[0]}', which is frozen: nothing would learn. `pred` "
        f"is the side that learns, such as '{first}:output', and `target` the side to learn from."
    )


def check_roles(
    addresses: Iterable[str], reader: str, students: Iterable[str], teachers: Iterable[str]
) -> None:
    """Proves that every role that `addresses` name is there."""
    roles = [*students, *(teachers or ["teacher"])]  # no teacher: its outputs come with the batch
    for address in map(parse, addresses):
        if address.role not in roles:
            raise ValueError(
                f"{reader} names the role '{address.role}' in '{address}', and there is none. "
                f"Expected one of {listing(roles)}." + did_you_mean(address.role, roles)
            )


def momentum_teachers(students: Models, teachers: Models) -> list[Momentum]:
    """The teachers, or models within teachers, that move after the students."""
    layers = [layer for model in teachers.values() for layer in layers_of(model)]
    found = [layer for layer in layers if isinstance(layer, Momentum)]
    for teacher in found:
        if teacher.of not in students:
            raise ValueError(
                f"Momentum '{teacher.name}' follows the student '{teacher.of}', and there is none. "
                f"Expected one of {listing(students)}; give Momentum(..., of='...')."
                + did_you_mean(teacher.of, students)
            )
        shapes = [
            [tuple(w.shape) for w in m.weights] for m in (teacher.model, students[teacher.of])
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Momentum '{teacher.name}' is no copy of the student '{teacher.of}' that it "
                "follows: their weights differ in shape. Make it from that student."
            )
    return found


def policy(students: Iterable[keras.Model]) -> Any:
    """The students' precision: float16 anywhere in them needs a scaled loss."""
    policies = {layer.dtype_policy.name for m in students for layer in layers_of(m)}
    mixed = [name for name in ("mixed_float16", "mixed_bfloat16") if name in policies]
    return mixed[0] if mixed else None
