"""The pictures of a search; matplotlib is imported when one is drawn."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from keras_kd._core.optional import require

_WINNER, _CONTROL, _TEACHER, _TRIAL = "#1565a8", "#9a5b13", "#555555", "#9db8cf"


def figure_of(width: float, height: float) -> Any:
    require("matplotlib", extra="tune", purpose="keras_kd.auto draws")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


Point = tuple[float | None, float | None]


def pareto(
    trials: Sequence[Point],
    distilled: Point,
    control: Point | None,
    teacher: Point,
    limit: float | None,
    cost: str,
    score: str,
    helped: bool = True,
) -> Any:
    """The score against a cost: every trial, the front of the best ones, and the three that count;
    `None` where no trial's cost is known. `helped`: whether the winner is the distilled one."""
    known = [(c, s) for c, s in trials if c is not None and s is not None]
    if not known or distilled[0] is None:
        return None
    figure = figure_of(5.6, 3.4)
    axes = figure.subplots()
    axes.plot(*zip(*known, strict=True), "o", color=_TRIAL, markersize=4, label="trial", zorder=2)
    front, best = [], float("-inf")
    for c, s in sorted({*known, distilled}, key=lambda p: (p[0] or 0, -(p[1] or 0))):
        if s is not None and s > best:
            best = s
            front.append((c, s))
    axes.plot(*zip(*front, strict=True), "-", color=_TRIAL, linewidth=1, label="best for the cost",
              drawstyle="steps-post", zorder=1)  # fmt: skip
    names = (
        ("student alone", "distilled, winner") if helped else ("student alone, winner", "distilled")
    )
    marks = [("teacher", teacher, _TEACHER, "s"), (names[0], control, _CONTROL, "D"),
             (names[1], distilled, _WINNER, "*")]  # fmt: skip
    for name, point, color, marker in marks:
        if point is None or point[1] is None:
            continue
        if point[0] is None:
            axes.axhline(point[1], color=color, linewidth=1, linestyle="--", label=name)
        else:
            size = 12 if marker == "*" else 6
            axes.plot(*point, marker, color=color, markersize=size, label=name, zorder=3)
    if limit is not None:
        axes.axvline(limit, color="#b3261e", linewidth=1, linestyle=":", label="limit")
    costs = [c for c, _ in known] + [p[0] for _, p, _, _ in marks if p is not None and p[0]]
    if max(costs) > 5 * min(costs):
        axes.set_xscale("log")
        from matplotlib.ticker import LogLocator

        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        axes.tick_params(axis="x", labelsize=8)
    axes.set(xlabel=cost, ylabel=score)
    axes.grid(axis="y", color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def bars(shares: Mapping[str, float], trials: int) -> Any:
    """What mattered; `None` for nothing."""
    if not shares:
        return None
    figure = figure_of(5.6, 0.6 + 0.28 * len(shares))
    axes = figure.subplots()
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=_WINNER)
    axes.set_xlabel(f"R² lost when shuffled, over {trials} trials", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def as_uri(figure: Any) -> str:
    """A figure as a data URI."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
