"""What the numbers of a teacher's output are, and the logits that they become.

Losses read logits. The logarithms of probabilities are as good, for their softmax is the
probabilities again; a probability of 0 has no logarithm and counts as `FLOOR`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_kd._core.messages import listing
from keras_kd._core.probabilities import ROUNDING

#: Logits stay as they are, and so do values, such as those of a regression.
KINDS = ("logits", "probabilities", "log_probabilities", "binary_probabilities", "values")
FLOOR = 1e-7


def check_kind(kind: str, floor: float) -> None:
    """Raises when `kind` is none, or `floor` no small probability."""
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {listing(KINDS)}. Received: kind={kind!r}.")
    if not 0.0 < floor < 0.1:
        raise ValueError(
            "`floor` is the probability that 0 counts as, above 0 and below 0.1. Received: "
            f"floor={floor!r}."
        )


def logits_of(
    outputs: Any,
    kind: str,
    *,
    whose: str,
    floor: float = FLOOR,
    row: Callable[[int], str] = "row {}".format,
) -> np.ndarray:
    """A teacher's outputs as float32 logits (or values).

    Args:
        outputs: `(examples, ..., classes)`.
        kind: One of `KINDS`.
        whose: Who gives them, as the start of an error's sentence.
        floor: The probability that 0 counts as.
        row: How an error calls the example of a place.

    Raises:
        ValueError: If they cannot be of that kind; the message names the first row.
    """
    x = numbers(outputs, whose)
    if x.ndim == 1 and kind in ("values", "binary_probabilities"):
        x = x[:, np.newaxis]
    if x.ndim < 2:
        raise ValueError(
            f"{whose} is one number for each example, of shape {x.shape}: {kind} are (examples, "
            "classes). Labels are not enough: give scores, such as those of predict_proba. If it "
            "is a regression: kind='values'."
        )
    if kind in ("logits", "values"):
        return x.astype("float32", copy=False)
    if kind == "binary_probabilities":
        _refuse((x < 0) | (x > 1), x, f"{whose} is no probability", "from 0 to 1", kind, row)
        p = np.clip(x.astype("float64"), floor, 1.0 - floor)
        return (np.log(p) - np.log1p(-p)).astype("float32")
    if x.shape[-1] == 1:
        raise ValueError(
            f"{whose} is one probability for each example, of shape {x.shape}. If it is that of "
            "the second of two classes: kind='binary_probabilities'."
        )
    if kind == "log_probabilities":
        _refuse(x > ROUNDING, x, f"{whose} is no log-probability", "at most 0", kind, row)
        p = np.exp(x.astype("float64"))
    else:
        # Half precision would round a small floor to something else.
        p = x.astype(np.promote_types(x.dtype, "float32"), copy=False)
        _refuse((x < 0) | (x > 1 + ROUNDING), x, f"{whose} is no probability", "from 0 to 1", kind, row)  # fmt: skip
    sums = p.sum(axis=-1, dtype="float64")
    off = np.abs(sums - 1.0) > ROUNDING
    _refuse(off, sums, f"{whose} does not sum to 1", f"1 ± {ROUNDING}", kind, row)
    if kind == "log_probabilities":
        return np.maximum(x, np.log(floor)).astype("float32")
    return np.log(np.maximum(p, floor)).astype("float32")


def numbers(x: Any, whose: str) -> np.ndarray:
    """An array of numbers; an error when it is none."""
    try:
        array = np.asarray(x)
    except ValueError as error:  # rows of several lengths
        raise ValueError(
            f"{whose} is no array: {error} Rows of several lengths are none."
        ) from error
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise ValueError(
            f"{whose} must be numbers. Received an array of {array.dtype.name} with the shape "
            f"{array.shape}."
        )
    return array


def _refuse(
    wrong: np.ndarray, x: np.ndarray, what: str, expected: str, kind: str, row: Callable
) -> None:
    """Raises when anything is `wrong`; NaN is left to the caller."""
    wrong = wrong & np.isfinite(x)
    if not wrong.any():
        return
    rows = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))
    worst = x[rows[0]][wrong[rows[0]]] if x.ndim > 1 else x[rows[:1]]
    many = f" (and of {len(rows) - 1} more)" if len(rows) > 1 else ""
    raise ValueError(
        f"{what}: expected {expected}, received {float(np.ravel(worst)[0]):.6g} in {row(rows[0])}"
        f"{many}. It was given as kind={kind!r}; if it is something else, give that kind: one of "
        f"{listing(KINDS)}."
    )
