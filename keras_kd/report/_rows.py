"""The rows of a report's tables, as text: for the terminal and for the page alike."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from keras_kd.report._costs import Costs, Spread
from keras_kd.report._differences import Group
from keras_kd.report._intervals import Paired
from keras_kd.report._results import Results

_MISSING = "–"


class Table(NamedTuple):
    """A title, headings, rows that begin with a name, and a note below."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"


#: Scores by key: the name in the table, and how the number is written.
SCORES: dict[str, tuple[str, Callable[[float], str]]] = {
    "accuracy": ("accuracy", percent),
    "label_accuracy": ("accuracy of each label", percent),
    "top_5": ("right among the first 5", percent),
    "precision": ("precision, macro", percent),
    "recall": ("recall, macro", percent),
    "f1": ("F1, macro", percent),
    "roc_auc": ("area under ROC, macro", number),
    "log_loss": ("log loss (nats)", number),
    "brier": ("Brier score", number),
    "ece": ("calibration error, equal width", number),
    "ece_equal_mass": ("calibration error, equal mass", number),
    "mae": ("mean absolute error", number),
    "rmse": ("root mean squared error", number),
    "r2": ("R²", number),
    "agreement": ("agrees with the teacher", percent),
    "kl": ("KL from the teacher (nats)", number),
    "distance": ("mean distance from the teacher", number),
}


def scores(report: Results) -> Table:
    """One row for each score, one column for each model."""
    models = list(report.models.values())
    keys = [key for key in SCORES if any(key in m.scores for m in models)]
    rows = []
    for key in keys:
        label, write = SCORES[key]
        cells = [_mean_and_deviation(m.scores.get(key, [None]), write) for m in models]
        if any(cell != _MISSING for cell in cells):
            rows.append([label, *cells])
    errors = [m.wrong.sum(axis=1) for m in models]
    if report.counts_errors:
        cells = [_mean_and_deviation(list(e), lambda v: f"{v:,.0f}" if v == round(v) else f"{v:,.1f}") for e in errors]  # fmt: skip
        rows.insert(0, [f"errors of {report.examples:,}", *cells])
    runs = ", ".join(f"{m.name}: {len(m.wrong)}" for m in models if len(m.wrong) > 1)
    names_by_format: dict[str, list[str]] = {}
    for m in models:
        names_by_format.setdefault(m.reads, []).append(m.name)
    formats = "; ".join(f"{form} ({', '.join(names)})" for form, names in names_by_format.items())
    note = f"± is the standard deviation over runs ({runs}). " if runs else ""
    return Table("Scores", ["", *report.models], rows, f"{note}Outputs read as {formats}.")


def _mean_and_deviation(values: Sequence[float | None], write: Callable[[float], str]) -> str:
    defined = [value for value in values if value is not None]
    if len(defined) < len(values) or not defined:
        return _MISSING
    if len(defined) == 1:
        return write(float(defined[0]))
    mean, unit = write(float(np.mean(defined))), ""
    spread = write(float(np.std(defined, ddof=1)))
    if mean.endswith(" %"):
        mean, spread, unit = mean[:-2], spread[:-2], " %"
    return f"{mean} ± {spread}{unit}"


def with_prefix(count: float | None, unit: str = "") -> str:
    """`1.2 M`, in thousands; bytes likewise."""
    if count is None:
        return _MISSING
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.3g} {prefix}{unit}"
    return f"{count:.3g} {unit}".strip()


def costs(report: Results) -> Table:
    """One row for each cost, one column for each model."""
    model_costs = [m.costs for m in report.models.values()]
    kinds: list[tuple[str, Callable[[Costs], str]]] = [
        ("weights", lambda c: _MISSING if c.parameters is None else f"{c.parameters:,}"),
        ("file", lambda c: with_prefix(c.file_bytes, "B")),
        ("FLOPs for one example", lambda c: with_prefix(c.flops) + ("*" if c.flops_without else "")),
        ("memory, at least", lambda c: with_prefix(c.memory, "B")),
        ("memory, measured", lambda c: with_prefix(c.measured_memory, "B")),
        ("one example (ms)", lambda c: _spread(c.latency, "{:.3g}".format)),
        (f"per second, {report.batch_size} at once", lambda c: _spread(c.throughput, with_prefix)),
    ]  # fmt: skip
    rows = [[label, *map(write, model_costs)] for label, write in kinds]
    rows = [row for row in rows if any(cell != _MISSING for cell in row[1:])]
    note = (
        "FLOPs: two for each multiplication of a layer's formula. Memory, at least: weights, and "
        "the largest input and output of one layer, from shapes."
    )
    if any(c.measured_memory is not None for c in model_costs):
        note += " Memory, measured: by how much a fresh process grew, at its peak."
    if any(c.latency for c in model_costs):
        note += (
            " Times: Keras's predict_on_batch (a call, for a teacher of another framework) from "
            "Python after warm-up, the median of at least "
            f"{min(c.latency.calls for c in model_costs if c.latency)} calls for one example (in "
            "brackets the middle half of the calls)."
        )
    layers_left_out = {name: m.costs.flops_without for name, m in report.models.items()}
    note += "".join(
        f" * {name}: without {', '.join(layers)}."
        for name, layers in layers_left_out.items()
        if layers
    )
    return Table("Costs", ["", *report.models], rows, note)


def _spread(value: Spread | None, write: Callable[[float], str]) -> str:
    if value is None:
        return _MISSING
    middle, low, high = map(write, (value.median, value.low, value.high))
    return f"{middle} ({low} to {high})"


def groups(report: Results, title: str, members: Sequence[Group], first: str) -> Table:
    """One row for each class or slice."""
    pair = [n for n in (report.teacher, report.baseline, report.judged) if n]
    names = list(dict.fromkeys([*pair, *report.models]))
    write = percent if report.counts_errors else number
    headings = [first, "examples", *names]
    rows = []
    for group in members:
        row = [group.name, f"{group.examples:,}", *(write(group.by_model[n]) for n in names)]
        if group.change is not None:
            row += [_signed(group.change.mean, report.counts_errors)]
            row += [_interval(group.change, report.counts_errors)]
        rows.append(row)
    if any(group.change is not None for group in members):
        headings += ["change", "95 % interval"]
    quantity = "Share of right predictions" if report.counts_errors else "Mean absolute error"
    note = (
        f"{quantity}. Change: from {report.baseline} to {report.judged}"
        if report.baseline
        else quantity
    )
    if report.baseline and report.counts_errors:
        note += ", in percentage points"
    by_chance = " With many rows, some intervals leave out 0 by chance." if len(members) > 1 else ""
    return Table(title, headings, rows, f"{note}.{by_chance}")


def _signed(value: float, shares: bool) -> str:
    if not shares:
        return f"{value:+.4g}"
    points = 100 * value
    return f"{points:+.1g}" if 0 < abs(points) < 0.05 else f"{points:+.1f}"


def _interval(change: Paired, shares: bool) -> str:
    if change.too_few:
        return _MISSING
    return f"{_signed(change.low, shares)} to {_signed(change.high, shares)}"


def confusions(report: Results) -> Table:
    """The confusions that changed most."""
    form = "{:.0f}" if all(len(m.wrong) == 1 for m in report.models.values()) else "{:.1f}"
    rows = [
        [f"{c.truth} taken for {c.answer}", form.format(c.before), form.format(c.after),
         form.format(c.after - c.before) if c.after < c.before else "+" + form.format(c.after - c.before)]
        for c in report.confusions
    ]  # fmt: skip
    return Table(
        "Confusions that changed most",
        ["", str(report.baseline), str(report.judged), "change"],
        rows,
        "How often, over the test set.",
    )


def tables(report: Results) -> list[Table]:
    """All tables of a report, in their order."""
    found = [scores(report), costs(report)]
    if report.classes:
        found.append(groups(report, "Classes", report.classes, "class"))
    for name, slices in report.slices.items():
        found.append(groups(report, f"By {name}", slices, name))
    if report.confusions:
        found.append(confusions(report))
    return found
