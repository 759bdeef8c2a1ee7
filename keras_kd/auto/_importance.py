"""What mattered in a search: how much of the score's spread goes when a setting is shuffled."""

import math
from collections.abc import Sequence

import numpy as np

from keras_kd._core.optional import require
from keras_kd.auto._space import Space
from keras_kd.auto._trials import Trial

#: Fewer trials say nothing about eight settings.
FEWEST = 8


def importance(trials: Sequence[Trial], space: Space) -> dict[str, float]:
    """By setting, its permutation importance: the share of R² that a forest of the trials' scores
    loses when that setting is shuffled among them. Empty for too few trials.

    It is of these trials and tells what went with good scores in them; settings that vary
    together share what they explain.
    """
    done = [t for t in trials if t.why is None and t.score is not None]
    if len(done) < FEWEST:
        return {}
    require("sklearn", extra="tune", purpose="keras_kd.auto weighs what mattered")
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    columns: dict[str, list[float]] = {
        "size of the student": [math.log10(t.costs.get("parameters") or 1) for t in done],
        "make of the student": [_place(t.values["student"], space) for t in done],
        "recipe": [space.task.recipes.index(t.values["recipe"]) for t in done],
        "temperature": [t.values.get("temperature", -1.0) for t in done],
        "alpha": [t.values.get("alpha", -1.0) for t in done],
        "learning rate": [math.log10(t.values["learning_rate"]) for t in done],
        "hint": [t.values.get("hint", 0.0) for t in done],
        "views": [t.values["views"] for t in done],
        "epochs": [math.log10(t.epochs) for t in done],
    }
    columns = {n: c for n, c in columns.items() if len(set(c)) > 1}
    scores = np.array([t.score for t in done], "float64")
    if not columns or scores.std() < 1e-12:
        return {}
    x = np.array(list(columns.values()), "float64").T
    forest = RandomForestRegressor(200, random_state=0, n_jobs=1).fit(x, scores)
    found = permutation_importance(forest, x, scores, n_repeats=20, random_state=0)
    shares = np.maximum(found.importances_mean, 0)
    ordered = sorted(zip(columns, shares.tolist(), strict=True), key=lambda each: -each[1])
    return dict(ordered)


def _place(student: str, space: Space) -> int:
    """Cut from the teacher, of the ladder, or given."""
    return ("cut", "ladder", "given").index(space.students[student].candidate.origin)
