"""The pictures of a report; matplotlib is imported when one is drawn."""

import base64
import importlib.util
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_kd._core.optional import require
from keras_kd.report._results import Results

_JUDGED, _BASELINE, _TEACHER = "#1565a8", "#9a5b13", "#555555"
_OTHERS = ("#2e7d4f", "#7b3fa0", "#b3261e", "#00838f")
#: Channels of a bar chart, at most.
_BARS = 24


def available() -> bool:
    """Whether pictures can be drawn."""
    return importlib.util.find_spec("matplotlib") is not None


def figures(report: Results) -> dict[str, Any]:
    """A figure by name, of all that this report has."""
    drawn = {
        "accuracy against costs": _quality_against_costs(report),
        "reliability": _reliability(report),
        "training": _training(report),
        "importance": _importance(report),
        "similarity": _similarity(report),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def colors(report: Results) -> dict[str, str]:
    """A color by model: the same in every picture."""
    known = {report.teacher: _TEACHER, report.baseline: _BASELINE, report.judged: _JUDGED}
    rest = [name for name in report.models if name not in known]
    return {n: c for n, c in known.items() if n} | {
        name: _OTHERS[i % len(_OTHERS)] for i, name in enumerate(rest)
    }


def _figure(width: float, height: float) -> Any:
    require("matplotlib", extra="report", purpose="keras_kd.report draws")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _reliability(report: Results) -> Any:
    """Per model, the share of right predictions against their confidence."""
    with_bins = [(m, m.bins) for m in report.models.values() if m.bins is not None]
    if not with_bins:
        return None
    columns = min(2, len(with_bins))
    rows = -(-len(with_bins) // columns)
    figure, color_of = _figure(0.7 + 2.3 * columns, 0.5 + 2.6 * rows), colors(report)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for index, axes in enumerate(grid.flat):
        axes.set_visible(index < len(with_bins))
        if index >= len(with_bins):
            continue
        model, (count, confidence, share_right) = with_bins[index]
        error, runs = model.scores["ece"][0] or 0.0, len(model.scores["ece"])
        edges = np.linspace(0, 1, len(count) + 1)
        filled = count > 0
        axes.bar(
            edges[:-1][filled], share_right[filled], 1 / len(count), align="edge",
            color=color_of[model.name], edgecolor="white", linewidth=0.5,
        )  # fmt: skip
        axes.plot(confidence[filled], share_right[filled], "o", color="black", markersize=2.5)
        axes.plot((0, 1), (0, 1), color="#999999", linewidth=1, linestyle="--", zorder=0)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), box_aspect=1)
        axes.tick_params(labelbottom=index + columns >= len(with_bins))
        first = ", first run" if runs > 1 else ""  # the bars are those of the first run
        axes.set_title(f"{model.name}{first}\ncalibration error {100 * error:.1f} %", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("confidence (probability of the predicted class)", fontsize=9)
    figure.supylabel("share of right predictions", fontsize=9)
    return figure


def _quality_against_costs(report: Results) -> Any:
    """The score against the number of weights and the time."""
    key, label, factor = (
        ("accuracy", "accuracy (%)", 100)
        if report.counts_errors
        else ("mae", "mean absolute error", 1)
    )
    models = list(report.models.values())
    sizes = [
        (m, 3 * (float(m.costs.parameters),)) for m in models if m.costs.parameters is not None
    ]
    times = [(m, (t.low, t.median, t.high)) for m in models if (t := m.costs.latency)]
    panels = {"weights": sizes, "time for one example (ms; line: middle half of the calls)": times}
    panels = {name: costs for name, costs in panels.items() if costs}
    if not panels:
        return None
    figure, color_of = _figure(4.6, 0.6 + 2.4 * len(panels)), colors(report)
    grid = np.atleast_1d(figure.subplots(len(panels), 1))
    for axes, (name, costs) in zip(grid, panels.items(), strict=True):
        for model, (low, cost, high) in costs:
            values = [factor * value for value in model.scores[key] if value is not None]
            mean = float(np.mean(values))
            axes.errorbar(
                cost, mean, yerr=float(np.std(values, ddof=1)) if len(values) > 1 else None,
                xerr=[[cost - low], [high - cost]] if high > low else None,
                color=color_of[model.name], marker="o", capsize=3, linestyle="", label=model.name,
            )  # fmt: skip
        ends = min(low for _, (low, _, _) in costs), max(high for _, (_, _, high) in costs)
        if ends[1] > 10 * ends[0]:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:,g}")
            axes.xaxis.set_minor_formatter("")
        else:
            axes.set_xlim(0, 1.15 * ends[1])
        axes.margins(y=0.2)
        axes.set(xlabel=name, ylabel=label)
        axes.grid(axis="y", color="#eeeeee")
        axes.spines[["top", "right"]].set_visible(False)
    legends = [axes.get_legend_handles_labels() for axes in grid]
    handle_of = {n: h for handles, names in legends for h, n in zip(handles, names, strict=True)}
    names = [name for name in report.models if name in handle_of]
    handles = [handle_of[name] for name in names]
    figure.legend(handles, names, loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def _training(report: Results) -> Any:
    """The loss and the metrics, by epoch."""
    if not report.histories:
        return None
    names = _logged(report.histories)
    if not names:
        return None
    figure, color_of = _figure(4.6, 2.6 * len(names)), colors(report)
    for axes, name in zip(np.atleast_1d(figure.subplots(len(names), 1)), names, strict=True):
        for index, (model, curves) in enumerate(report.histories.items()):
            color = color_of.get(model, _OTHERS[index % len(_OTHERS)])
            for key, style in ((name, "--"), (f"val_{name}", "-")):
                if key in curves:
                    epochs = range(1, len(curves[key]) + 1)
                    data_part = "validation" if key.startswith("val_") else "training"
                    axes.plot(epochs, curves[key], style, color=color, label=f"{model}, {data_part}",
                              marker="." if len(curves[key]) == 1 else None)  # fmt: skip
        axes.set(xlabel="epoch", ylabel=name.replace("_", " "))
        axes.legend(frameon=False, fontsize=7)
        axes.locator_params(axis="x", integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _logged(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """The loss, then the metrics that most models logged; at most three."""
    counts: dict[str, int] = {}
    for curves in histories.values():
        for name in {key.removeprefix("val_") for key in curves}:
            counts[name] = counts.get(name, 0) + 1
    order = sorted(counts, key=lambda n: (n != "loss", "acc" not in n, -counts[n], n))
    return order[:3]


def _importance(report: Results) -> Any:
    """The channels with the largest drops."""
    data = report.importance
    if data is None:
        return None
    order = np.argsort(-data.drops, kind="stable")[:_BARS]
    figure = _figure(max(4.0, 1.2 + 0.28 * len(order)), 3.2)
    axes = figure.subplots()
    axes.bar(range(len(order)), 100 * data.drops[order], color=_JUDGED)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(order)), [str(c) for c in order], fontsize=8, rotation=90)
    axes.set(
        xlabel=f"channel of '{data.layer}' ({len(order)} of {len(data.drops)}, largest first)",
        ylabel="drop in agreement\n(percentage points)",
    )
    axes.set_title(
        f"{data.model}: channels permuted one by one, {data.examples} examples", fontsize=9
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _similarity(report: Results) -> Any:
    """A heat map, from white for 0 to dark for 1."""
    data = report.similarity
    if data is None:
        return None
    rows, columns = data.values.shape
    figure = _figure(2.6 + 0.55 * columns, 1.8 + 0.5 * rows)
    axes = figure.subplots()
    image = axes.imshow(data.values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(columns), data.layers[1], rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(rows), data.layers[0], fontsize=8)
    axes.set(xlabel=f"layers of {data.names[1]}", ylabel=f"layers of {data.names[0]}")
    for (i, j), value in np.ndenumerate(data.values):
        axes.text(
            j, i, f"{value:.2f}", ha="center", va="center", fontsize=7,
            color="white" if value > 0.6 else "black",
        )  # fmt: skip
    figure.colorbar(image, ax=axes, label="linear CKA (0 to 1)")
    return figure


def as_uri(figure: Any) -> str:
    """A figure as a data URI."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def image_as_uri(image: np.ndarray) -> str:
    """An image in [0, 1] as a data URI, pixel by pixel."""
    require("matplotlib", extra="report", purpose="keras_kd.report draws")
    from matplotlib.image import imsave

    data = io.BytesIO()
    flat = image[..., 0] if image.shape[-1] == 1 else image
    imsave(data, np.clip(flat, 0, 1), format="png", cmap="gray", vmin=0, vmax=1)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
