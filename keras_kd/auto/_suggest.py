"""A first recipe, from what was measured of teacher and examples, each choice with its reason."""

import textwrap
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd import recipes
from keras_kd.auto._doctor import FOR_A_RECIPE
from keras_kd.auto._doctor._findings import Examination, Finding
from keras_kd.auto._doctor._knowledge import temperature_for
from keras_kd.auto._examine import made

_HINTON = "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015, section 2"
#: Of a teacher below a linear model, until it is better.
_LITTLE = 0.1


@dataclass(frozen=True)
class Choice:
    """One choice of a suggestion.

    Args:
        name: What was chosen, such as `"temperature"`; of a step before training `"before"`, of what
            to try next `"next"`.
        value: What it is; of a step a line of Python.
        reason: Why.
        reference: The paper; empty where there is none.
    """

    name: str
    value: Any
    reason: str
    reference: str = ""


@dataclass(frozen=True)
class Suggestion:
    """A first recipe; `print` shows it with its reasons.

    Args:
        recipe: Its name in `keras_kd.recipes`.
        settings: Its settings, those alone that are not its defaults.
        choices: Each choice with its reason.
    """

    recipe: str
    settings: dict[str, Any]
    choices: tuple[Choice, ...]

    @property
    def terms(self) -> list[Any]:
        """The terms for a `keras_kd.Distiller`, new ones each time."""
        return getattr(recipes, self.recipe)(**self.settings)

    @property
    def code(self) -> str:
        """The same as a line of Python."""
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"terms = kd.recipes.{self.recipe}({settings})"

    def __str__(self) -> str:
        lines = [self.code]
        for choice in self.choices:
            told = f"{choice.name} {choice.value}: {choice.reason}"
            told += f" ({choice.reference})" if choice.reference else ""
            lines += textwrap.wrap(told, 100, initial_indent="  ", subsequent_indent="    ")
        return "\n".join(lines)


def suggest(
    examination: Any, student: keras.Model | None = None, train: Any = None, **settings: Any
) -> Suggestion:
    """A first recipe for a teacher and examples, each choice with its reason and paper.

    It begins with the recipe of the task at its own defaults, and departs from them only where
    something measured says so: the temperature where the teacher is far from as sure as it is right,
    the teacher's share where labels are wrong or the teacher is weak; out-of-fold answers and an
    assistant as steps before. A start for a comparison with the student alone, and no search: that is
    `keras_kd.auto.compress`.

    Args:
        examination: What `keras_kd.auto.examine` found; or a teacher, which is then looked at as
            far as a recipe follows from it.
        student: With a teacher: the student. Defaults to `None`.
        train: With a teacher: the training examples, as `examine` takes them.
        **settings: With a teacher: further arguments of `examine`, such as `validation=`.

    Returns:
        A `Suggestion`.

    Raises:
        ValueError: If the examination ended before anything could be measured, because the teacher
            gives NaN or infinity.
        TypeError: If an examination is given together with other arguments.

    Example:

    >>> data = keras_kd.data.load("digits")
    >>> x = data.x_train.reshape(-1, 64)
    >>> means = np.stack([x[data.y_train == c].mean(axis=0) for c in range(10)])
    >>> teacher = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> teacher.layers[-1].set_weights([9 * means.T, -4.5 * (means**2).sum(axis=1)])
    >>> keras_kd.auto.suggest(teacher, train=data).recipe
    'hinton'
    """
    if isinstance(examination, Examination):
        if student is not None or train is not None or settings:
            raise TypeError(
                "An examination knows its student and its examples: suggest(examination). To look at "
                "others, give the teacher: suggest(teacher, student, train)."
            )
        found = examination
    else:
        found = made(FOR_A_RECIPE, examination, student, train, **settings)
    if found.facts is None:
        raise ValueError(
            f"There is nothing to learn from this teacher: {found.findings[0].evidence}"
        )
    by_name = {one.name: one for one in found.findings}
    task, numbers = found.facts.task, found.facts.numbers
    recipe = task.recipes[0]
    choices = [Choice("recipe", recipe, *_RECIPES[recipe])]
    settings = {}
    if recipe != "regression":
        settings |= _temperature(by_name["calibration"], numbers, choices)
    settings |= _alpha(recipe, by_name, choices)
    choices += _steps(by_name, numbers, recipe)
    return Suggestion(recipe, settings, tuple(choices))


_RECIPES = {
    "hinton": ("one class of several: soft targets beside the labels.", _HINTON),
    "binary": ("labels that are yes or no: a soft target for each.", f"{_HINTON}, for each logit"),
    "regression": (
        "numbers: near the labels and near the teacher's.",
        "Saputra et al., Distilling Knowledge From a Deep Pose Regressor Network, 2019, section 3",
    ),
}


def _temperature(found: Finding, numbers: dict[str, Any], choices: list[Choice]) -> dict[str, Any]:
    if found.severity == "fine":
        reason = "the usual one, of a teacher that is about as sure as it is right."
        choices.append(Choice("temperature", 4.0, reason, _HINTON))
        return {}
    value = temperature_for(numbers["temperature"])
    choices.append(Choice("temperature", value, found.evidence, "Guo et al., 2017, section 4.2"))
    return {"temperature": value}


def _alpha(recipe: str, found: dict[str, Finding], choices: list[Choice]) -> dict[str, Any]:
    usual = 0.5 if recipe == "regression" else 0.9
    value, reason, reference = usual, "the recipe's own.", ""
    if found["worth_it"].severity == "error":
        value = _LITTLE
        reason = f"the labels count most until the teacher is better. {found['worth_it'].evidence}"
    elif "noisy_labels" in found and found["noisy_labels"].severity == "warning":
        value = 1.0
        reason = f"the teacher alone. {found['noisy_labels'].evidence}"
        reference = "Li et al., Learning from Noisy Labels with Distillation, 2017, section 3"
    choices.append(Choice("alpha", value, reason, reference))
    return {} if value == usual else {"alpha": value}


def _steps(found: dict[str, Finding], numbers: dict[str, Any], recipe: str) -> list[Choice]:
    steps = []
    for name in ("logits", "input_scale", "class_order", "memorised", "gap"):
        one = found.get(name)
        if one is not None and one.severity != "fine" and one.remedy:
            steps.append(Choice("before", one.remedy, one.evidence, one.reference.rstrip(".")))
    if recipe == "hinton":
        steps.append(
            Choice(
                "next", "kd.recipes.logit_standardization()",
                "costs nothing more, and the size of the teacher's logits no longer matters.",
                "Sun et al., Logit Standardization in Knowledge Distillation, 2024, section 4",
            )
        )  # fmt: skip
    return steps
