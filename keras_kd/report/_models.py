"""The models of a comparison, and their roles in it."""

from collections.abc import Mapping
from typing import Any

from keras_kd._core.messages import did_you_mean, listing
from keras_kd.report._participants import Participant, Participants, check_has_layers, participant


def runs_by_name(models: Mapping[str, Any]) -> dict[str, list[Participant]]:
    """The runs of each model, as a list also where there is one."""
    if not isinstance(models, Mapping) or not models:
        raise TypeError(
            "`models` must be a dict of models by name, such as {'teacher': t, 'distilled': s}. "
            f"Received: {models!r}."
        )
    runs = {}
    for name, model in models.items():
        models_of_name = model if isinstance(model, (list, tuple)) else [model]
        if not models_of_name:
            raise ValueError(f"`models[{name!r}]` is an empty list.")
        runs[name] = [participant(run, name) for run in models_of_name]
    return runs


def choose_roles(
    names: list[str], teacher: str | None, baseline: str | None, judged: str | None
) -> tuple[str | None, str | None, str]:
    """The names of the teacher, of the baseline, and of the judged model."""
    for argument, name in (("teacher", teacher), ("baseline", baseline), ("judged", judged)):
        if name is not None:
            check_name(name, argument, names)
    if teacher is None and "teacher" in names:
        teacher = "teacher"
    judged = judged or ([n for n in names if n not in (teacher, baseline)] or names)[-1]
    others = [n for n in names if n not in (teacher, judged)]
    baseline = baseline or (others[-1] if others else teacher)
    if baseline == judged:
        if len(names) > 1:
            raise ValueError(f"`baseline` and `judged` are the same model: {judged!r}.")
        baseline = None
    return teacher, baseline, judged


def check_name(name: str, argument: str, names: Any) -> None:
    """Raises when `argument` names a model that there is not."""
    if name not in names:
        raise ValueError(
            f"`{argument}` names the model {name!r}, and there is none. Expected one of "
            f"{listing(names)}." + did_you_mean(name, names)
        )


def model_and_layer(importance: str | None, runs: Participants) -> tuple[str, str] | None:
    """`"model:layer"` as a pair."""
    if importance is None:
        return None
    name, colon, layer = importance.rpartition(":")
    if not colon or not name or not layer:
        raise ValueError(
            "`importance` names a model and a layer, such as 'distilled:block3'. "
            f"Received: {importance!r}."
        )
    check_name(name, "importance", runs)
    check_has_layers(runs, name, "importance")
    return name, layer
