"""The picture of a forecast."""

from typing import Any

import numpy as np

from keras_kd.auto._plots import figure_of

_DISTILLED, _ALONE, _TEACHER = "#1565a8", "#9a5b13", "#555555"
_LABELS = {"size": "weights", "examples": "examples", "epochs": "epochs"}
#: How far beyond the largest run is drawn.
_BEYOND = 8.0


def picture(forecast: Any, level: float) -> Any:
    """The score against each axis, the other two as in the largest run, and below the gain."""
    figure = figure_of(8.4, 4.8)
    axes = figure.subplots(2, 3, sharey="row", sharex="col", height_ratios=[2, 1])
    reach = forecast.reach
    most = {name: ends[1] for name, ends in reach.items()}
    for column, (name, (low, high)) in enumerate(reach.items()):
        steps = np.geomspace(low, _BEYOND * high, 25)
        above, below = axes[0, column], axes[1, column]
        for distilled, color in ((False, _ALONE), (True, _DISTILLED)):
            told = [
                forecast.predict(**{**most, name: step}, distilled=distilled, level=level)
                for step in steps
            ]
            label = "distilled" if distilled else "alone"
            _band(above, steps, told, color, label)
            runs = [run for run in forecast.done if run.distilled is distilled]
            largest = [r for r in runs if all(getattr(r, n) == most[n] for n in most if n != name)]
            above.plot([getattr(r, name) for r in largest], [1 - r.error for r in largest], "o",
                       color=color, markersize=4)  # fmt: skip
        above.axhline(1 - forecast.teacher, color=_TEACHER, linewidth=1, linestyle="--",
                      label="teacher")  # fmt: skip
        gains = [forecast.gain(**{**most, name: step}, level=level) for step in steps]
        _band(below, steps, gains, _DISTILLED, None)
        below.axhline(0, color=_TEACHER, linewidth=0.8)
        for each in (above, below):
            each.axvspan(low, high, color="#f2f2f2", zorder=0)
            each.spines[["top", "right"]].set_visible(False)
            each.grid(axis="y", color="#eeeeee")
            each.tick_params(labelsize=8)
        below.set_xscale("log")
        below.set_xlabel(_LABELS[name])
    axes[0, 0].set_ylabel(forecast.score_name)
    axes[1, 0].set_ylabel("gained")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure


def _band(axes: Any, steps: np.ndarray, told: list[Any], color: str, label: str | None) -> None:
    axes.plot(steps, [p.value for p in told], color=color, linewidth=1.5, label=label)
    axes.fill_between(steps, [p.low for p in told], [p.high for p in told], color=color,
                      alpha=0.15, linewidth=0)  # fmt: skip
