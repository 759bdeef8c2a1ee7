"""`keras-kd recipes`, and what a recipe becomes on the command line."""

import argparse
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
from rich.console import Console
from rich.padding import Padding

from keras_kd import recipes
from keras_kd._core.addresses import OUTPUT, as_tuple, parse
from keras_kd._core.messages import did_you_mean, listing
from keras_kd.cli._console import bad_input, give
from keras_kd.procedures import hint_layers
from keras_kd.recipes import Terms

_EPOCHS_OF_STEPS = 10  # as in the paper of the one recipe that asks for steps


def run(options: argparse.Namespace) -> None:
    if options.name:
        with bad_input():
            recipe = _known(options.name)
        text = f"{options.name}\n\n{inspect.getdoc(recipe)}"
        give(options, described(options.name, recipe), text)
        return
    found = [described(name, recipe) for name, recipe in known().items()]
    give(options, found, _listed(found))


def known() -> dict[str, Callable[..., Terms]]:
    """The recipes by name: the functions that give terms."""
    functions = inspect.getmembers(recipes, inspect.isfunction)
    return {n: f for n, f in functions if inspect.signature(f).return_annotation == Terms}


def described(name: str, recipe: Callable[..., Terms]) -> dict[str, Any]:
    """A recipe as plain data."""
    doc = inspect.getdoc(recipe) or ""
    paper = re.search(r"^Reference: (.*?)(?:\n\n|\Z)", doc, flags=re.MULTILINE | re.DOTALL)
    return {
        "name": name,
        "does": doc.partition("\n")[0],
        "paper": " ".join(paper[1].split()) if paper else None,
        "needs": [n for n, default in _settings(recipe) if default is inspect.Parameter.empty],
        "settings": {n: d for n, d in _settings(recipe) if d is not inspect.Parameter.empty},
        "in_python_only": _needs_roles(recipe),
    }


def _settings(recipe: Callable[..., Terms]) -> Iterator[tuple[str, Any]]:
    """What may be set, with the defaults."""
    for parameter in inspect.signature(recipe).parameters.values():
        if parameter.kind is not parameter.VAR_POSITIONAL and not _is_given(parameter):
            yield parameter.name, parameter.default


def _is_given(parameter: inspect.Parameter) -> bool:
    """Whether the command gives it: a model, or a layer that only Python can make."""
    return "keras.src" in str(parameter.annotation) and "schedules" not in str(parameter.annotation)


def _needs_roles(recipe: Callable[..., Terms]) -> bool:
    parameters = inspect.signature(recipe).parameters.values()
    return any(
        p.kind is p.VAR_POSITIONAL or (p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty)
        for p in parameters
    )


def _listed(found: list[dict[str, Any]]) -> str:
    console = Console(width=100, highlight=False, markup=False)
    with console.capture() as captured:
        for recipe in found:
            console.print(f"{recipe['name']}", style="bold")
            only = " (In Python only.)" if recipe["in_python_only"] else ""
            cells = [f"{n}=..." for n in recipe["needs"]]
            cells += [f"{n}={v}" for n, v in recipe["settings"].items()]
            for line in (recipe["does"] + only, ", ".join(cells), recipe["paper"]):
                console.print(Padding(str(line), (0, 0, 0, 4), expand=False))
    return captured.get().rstrip()


# From a name and settings to terms.


def _known(name: str) -> Callable[..., Terms]:
    found = known()
    if name not in found:
        raise ValueError(
            f"No recipe '{name}'. Run keras-kd recipes to see them." + did_you_mean(name, found)
        )
    return found[name]


def terms_of(
    name: str,
    settings: Mapping[str, str],
    *,
    student: keras.Model,
    teacher: keras.Model | None,
    classes: int,
    steps: int,
) -> Terms:
    """The terms of a recipe; what it needs and nobody set is taken from the models.

    Args:
        name: The recipe.
        settings: Its settings, as text.
        student: The student.
        teacher: The teacher; `None` when there are only its answers.
        classes: Number of classes.
        steps: Training steps in one epoch.
    """
    recipe = _known(name)
    if _needs_roles(recipe):
        raise ValueError(
            f"The recipe '{name}' is for several students or teachers, which the command line "
            f"does not have. Use keras_kd.recipes.{name} in Python."
        )
    chosen = chosen_settings(name, settings)
    for parameter in inspect.signature(recipe).parameters.values():
        named = {"student", "teacher"} <= set(inspect.signature(recipe).parameters)
        needed = parameter.default is parameter.empty
        if (
            named
            and parameter.name in ("student", "teacher")
            and not {"pred", "target"} & set(chosen)
        ):
            needed = True  # it finds the layers itself
        if needed and parameter.name not in chosen:
            chosen[parameter.name] = _from_models(parameter, name, student, teacher, classes, steps)
    terms = made(name, chosen, settings)
    if not any(OUTPUT in parse(a).path for term in terms for a in as_tuple(term.pred)):
        raise ValueError(
            f"The recipe '{name}' does not teach the student its answers, only its features. Add "
            "--set labels_weight=1."
        )
    return terms


def chosen_settings(name: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """The values of a recipe's settings that were given as text."""
    allowed = dict(_settings(_known(name)))
    for setting in settings:
        if setting not in allowed:
            raise ValueError(
                f"The recipe '{name}' has no setting '{setting}'. Expected {listing(allowed, 20)}."
                + did_you_mean(setting, allowed)
            )
    return {setting: _value(text) for setting, text in settings.items()}


def made(name: str, chosen: Mapping[str, Any], settings: Mapping[str, str]) -> Terms:
    """The terms of a recipe; what it cannot do with is said in the words of the `settings`."""
    try:
        return _known(name)(**chosen)
    except (AttributeError, TypeError) as error:  # a list where a name is meant, and the like
        given = ", ".join(f"{setting}={text}" for setting, text in settings.items())
        raise ValueError(
            f"The recipe '{name}' cannot do with {given or chosen}: {error}"
        ) from error


def _from_models(
    parameter: inspect.Parameter,
    recipe: str,
    student: keras.Model,
    teacher: keras.Model | None,
    classes: int,
    steps: int,
) -> Any:
    match parameter.name:
        case "units":
            return classes
        case "steps":
            return _EPOCHS_OF_STEPS * steps
        case "teacher" if teacher is not None:
            return teacher
        case "student":
            return student
        case "pred" | "target" if teacher is not None and "tuple" not in str(parameter.annotation):
            layers = hint_layers(student, teacher)[parameter.name]
            if layers:
                return layers[-1] if parameter.annotation is str else layers
    example = {"pred": "student:block3", "target": "teacher:block3"}.get(parameter.name, "...")
    raise ValueError(
        f"The recipe '{recipe}' needs '{parameter.name}', which the models do not tell: add "
        f"--set {parameter.name}={example}"
    )


def _value(text: str) -> Any:
    """`"4"` -> 4, `"true"` -> True, `"a,b"` -> a list, anything else as it is."""
    if "," in text:
        return [_value(part) for part in text.split(",")]
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
