"""Who takes part in a comparison, and as what."""

from collections.abc import Mapping
from typing import Any

from keras_kd._core.messages import did_you_mean, listing
from keras_kd.report._participants import Participant, Participants, check_has_layers, participant


def runs_of(models: Mapping[str, Any]) -> dict[str, list[Participant]]:
    if not isinstance(models, Mapping) or not models:
        raise TypeError(
            "`models` must be a dict of models by name, such as {'teacher': t, 'distilled': s}. "
            f"Received: {models!r}."
        )
    runs = {}
    for name, given in models.items():
        several = given if isinstance(given, (list, tuple)) else [given]
        if not several:
            raise ValueError(f"`models[{name!r}]` is an empty list.")
        runs[name] = [participant(one, name) for one in several]
    return runs


def parts(
    names: list[str], teacher: str | None, baseline: str | None, judged: str | None
) -> tuple[str | None, str | None, str]:
    """Who is the teacher, who is compared with, who is judged."""
    for argument, name in (("teacher", teacher), ("baseline", baseline), ("judged", judged)):
        if name is not None:
            known(name, argument, names)
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


def known(name: str, argument: str, names: Any) -> None:
    if name not in names:
        raise ValueError(
            f"`{argument}` names the model {name!r}, and there is none. Expected one of "
            f"{listing(names)}." + did_you_mean(name, names)
        )


def layer_asked_for(importance: str | None, runs: Participants) -> tuple[str, str] | None:
    if importance is None:
        return None
    name, colon, layer = importance.rpartition(":")
    if not colon or not name or not layer:
        raise ValueError(
            "`importance` names a model and a layer, such as 'distilled:block3'. "
            f"Received: {importance!r}."
        )
    known(name, "importance", runs)
    check_has_layers(runs, name, "importance")
    return name, layer
