"""The picture of paired errors; matplotlib is imported when it is drawn."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._core.optional import require

_BEFORE, _AFTER, _REFERENCE = "#9a5b13", "#1565a8", "#555555"


@dataclass(frozen=True)
class Example:
    """One image with two predictions of it.

    Args:
        image: Shape `(height, width, channels)`, in [0, 1].
        before: The class predicted before, wrong.
        after: The class predicted after, right.
    """

    image: np.ndarray
    before: str
    after: str


def draw_pairs(
    path: str | os.PathLike[str],
    *,
    title: str,
    names: tuple[str, str],
    before: Sequence[float],
    after: Sequence[float],
    reference: tuple[str, float],
    examples: Sequence[Example] = (),
) -> None:
    """A picture of paired errors, with a few examples beside it.

    Left, a line for each seed from its errors before to its errors after. Right, examples that
    were predicted wrongly before and rightly after, with both predictions.

    Args:
        path: Where to write; `.png`, `.svg` or `.pdf`.
        title: Headline of the picture.
        names: Names of before and after.
        before: Errors in per cent of the test set, one for each seed.
        after: The same, after.
        reference: A name and its errors in per cent, drawn as a line across.
        examples: All of that kind; the first eight are shown. Defaults to none.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    require("matplotlib", extra="report", purpose="keras_kd.report draws")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.6), dpi=150, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    halves: Any = figure.subfigures(1, 2, width_ratios=[1, 1.25])
    left, right = halves
    _slopes(left.subplots(), names, before, after, reference)
    if examples:
        _gallery(right, names, examples)
    figure.savefig(path)


def _slopes(
    axes: Any,
    names: tuple[str, str],
    before: Sequence[float],
    after: Sequence[float],
    reference: tuple[str, float],
) -> None:
    """A line for each seed, the means in bold numbers."""
    for pair in zip(before, after, strict=True):
        axes.plot((0, 1), pair, color="#bbbbbb", linewidth=1.2, zorder=1)
    for side, (values, color) in enumerate(((before, _BEFORE), (after, _AFTER))):
        axes.scatter([side] * len(values), values, s=36, color=color, zorder=2)
        direction = (-1, 1)[side]
        axes.annotate(
            f"mean\n{np.mean(values):.1f} %",
            (side, float(np.mean(values))),
            xytext=(12 * direction, 0),
            textcoords="offset points",
            ha=("right", "left")[side],
            va="center",
            color=color,
            fontweight="bold",
        )
    name, value = reference
    axes.axhline(value, color=_REFERENCE, linewidth=1, linestyle="--", zorder=0)
    axes.set(xlim=(-0.5, 1.5), ylabel="errors on the test set (%)")
    axes.set_ylim(bottom=0)
    label_above = value < 0.06 * axes.get_ylim()[1]  # below the line the label would cover the axis
    axes.annotate(
        f"{name} {value:.1f} %", (0.5, value), xytext=(0, 4 if label_above else -4),
        textcoords="offset points", ha="center", va="bottom" if label_above else "top",
        color=_REFERENCE, fontsize=9,
    )  # fmt: skip
    axes.set_xticks((0, 1), names)
    axes.set_title("One line for each seed", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _gallery(figure: Any, names: tuple[str, str], examples: Sequence[Example]) -> None:
    """Two rows of four images, both predictions under each."""
    examples_shown = examples[:8]
    figure.suptitle(
        f"{len(examples_shown)} of the {len(examples)} test images that '{names[0]}' gets wrong "
        f"and '{names[1]}' right",
        x=0.02,
        ha="left",
        fontsize=10,
    )
    for index, axes in enumerate(figure.subplots(2, 4).flat):
        axes.set(xticks=(), yticks=(), visible=index < len(examples_shown))
        axes.spines[:].set_color("#dddddd")
        if index < len(examples_shown):
            example = examples_shown[index]
            axes.imshow(np.squeeze(example.image), cmap="gray_r", vmin=0, vmax=1)
            label_style = {"transform": axes.transAxes, "ha": "center", "va": "top", "fontsize": 9}
            axes.text(0.5, -0.04, f"{names[0]}: {example.before}", color=_BEFORE, **label_style)
            axes.text(0.5, -0.18, f"{names[1]}: {example.after}", color=_AFTER, **label_style)
