"""What is searched over: the student, the recipe and its settings, the learning rate, the views."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_kd import recipes
from keras_kd._training_choices import BEGINNING, GOING_ON
from keras_kd.auto._answers import Answers
from keras_kd.auto._files import Fitting
from keras_kd.auto._task import Task
from keras_kd.terms import Labels

Values = dict[str, Any]

#: The recipe of a student that learns from the labels alone.
ALONE = "labels"
_TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
_ALPHAS = (0.3, 0.5, 0.7, 0.9, 1.0)
#: Weights of a hint: what enters the last layer of the student regresses what enters the teacher's.
_HINTS = (0.0, 1.0, 10.0, 100.0)
_RATES = (0.1, 0.3, 1.0, 3.0)  # times the learning rate that a student is trained with by default
#: The settings of each recipe that are searched over, beside its paper's other ones.
_SETTINGS = {
    "hinton": ("temperature", "alpha"),
    "binary": ("temperature", "alpha"),
    "regression": ("alpha",),
    "logit_standardization": ("temperature",),
    "dkd": ("temperature",),
    "dist": ("temperature",),
}
_DEFAULTS = {
    ("regression", "alpha"): 0.5,
    ("logit_standardization", "temperature"): 2.0,
}


class Space:
    """The values that a trial may have.

    Args:
        task: What is learned, which says the recipes.
        students: The students within the limits.
        answers: Which says the numbers of views.
    """

    def __init__(self, task: Task, students: Sequence[Fitting], answers: Answers):
        self.task, self.answers = task, answers
        self.students = {one.name: one for one in students}
        self.hopeless: dict[str, str] = {}  # those that are not searched among, and why

    def default(self, student: str) -> Values:
        """The task's first recipe at its own defaults."""
        recipe = self.task.recipes[0]
        values: Values = {
            "student": student,
            "recipe": recipe,
            "learning_rate": self.rate(student),
            "views": 1,
        }
        return values | {s: _default(recipe, s) for s in _SETTINGS[recipe]}

    def rate(self, student: str, factor: float = 1.0) -> float:
        """Of a student with its teacher's weights a tenth of what one that begins has."""
        begun = self.students[student].candidate.origin == "cut"
        return round((GOING_ON if begun else BEGINNING) * factor, 6)

    def declare(self, hp: Any) -> None:
        """The same for `keras_tuner.HyperParameters`."""
        hp.Choice("student", [name for name in self.students if name not in self.hopeless])
        hp.Choice("rate", list(_RATES), default=1.0)
        hp.Choice("views", list(self.answers.views), default=1)
        if self.answers.hint is not None:
            hp.Choice("hint", list(_HINTS), default=0.0)
        hp.Choice("recipe", list(self.task.recipes))
        for recipe in self.task.recipes:
            with hp.conditional_scope("recipe", [recipe]):
                for setting in _SETTINGS[recipe]:
                    choices = _ALPHAS if setting == "alpha" else _TEMPERATURES
                    hp.Choice(f"{recipe}_{setting}", list(choices))

    def values(self, drawn: Any) -> Values:
        """What `keras_tuner` has drawn, as a trial's values."""
        recipe = drawn["recipe"]
        return {
            "student": drawn["student"],
            "recipe": recipe,
            "learning_rate": self.rate(drawn["student"], drawn["rate"]),
            "views": drawn["views"],
            **{s: drawn[f"{recipe}_{s}"] for s in _SETTINGS[recipe]},
            **self._hinted(drawn),
        }

    def _hinted(self, drawn: Any) -> Values:
        """The hint and its pair of layers, where one was drawn and both have such a layer."""
        ours, theirs = self.students[drawn["student"]].candidate.before_head, self.answers.hint
        if theirs is None or ours is None or not drawn["hint"]:
            return {}
        pair = [f"student:{ours[0]}", f"teacher:{theirs[0]}", theirs[1]]
        return {"hint": drawn["hint"], "pair": pair}


def _default(recipe: str, setting: str) -> float:
    return _DEFAULTS.get((recipe, setting), {"temperature": 4.0, "alpha": 0.9}[setting])


def alone(values: Values) -> Values:
    """The same training from the labels alone."""
    kept = ("student", "learning_rate", "views")
    return {"recipe": ALONE, **{name: values[name] for name in kept}}


def without_hint(values: Values) -> Values:
    """The same training by outputs alone."""
    return {name: value for name, value in values.items() if name not in ("hint", "pair")}


def settings_of(values: Values) -> Values:
    """The settings of the recipe."""
    if values["recipe"] == ALONE:
        return {}
    return {s: values[s] for s in _SETTINGS[values["recipe"]] if s in values}


def terms_of(values: Values) -> Any:
    if values["recipe"] == ALONE:
        return [Labels()]
    terms = getattr(recipes, values["recipe"])(**settings_of(values))
    if "hint" in values:
        pred, target, width = values["pair"]
        hint = recipes.fitnets(
            pred=pred, target=target, projector=keras.layers.Dense(width), weight=values["hint"],
            labels_weight=0.0,
        )  # fmt: skip
        return [*terms, *hint]
    return terms


def code_of(values: Values) -> str:
    """The terms, as they are written in Python."""
    if values["recipe"] == ALONE:
        return "[kd.terms.Labels()]"
    settings = ", ".join(f"{k}={v!r}" for k, v in settings_of(values).items())
    outputs = f"kd.recipes.{values['recipe']}({settings})"
    if "hint" not in values:
        return outputs
    pred, target, width = values["pair"]
    return (
        f'{outputs} + kd.recipes.fitnets(pred="{pred}", target="{target}", '
        f"projector=keras.layers.Dense({width}), weight={values['hint']!r}, labels_weight=0.0)"
    )
