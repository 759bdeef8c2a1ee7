"""What a file is compared on and calibrated with, and whether that proves anything."""

import warnings
from typing import Any, NamedTuple

import keras

from keras_kd.exporting._calibration import calibration_of, check_calibration, share_in
from keras_kd.exporting._data import Examples, examples_of
from keras_kd.exporting._preprocessing import Preprocessing, check_range
from keras_kd.exporting._trained_scale import check_scale

#: The share of calibration data among the examples from which on they prove nothing.
_MOST_SHARED = 0.5


class Data(NamedTuple):
    """The calibration data, if any; the examples to compare on; and what these are."""

    ranges: Examples | None
    examples: Examples
    proven_on: str


def data_of(
    student: keras.Model,
    examples: Any,
    labels: Any,
    calibration: Any,
    *,
    batches: int,
    told: Preprocessing,
    seed: int,
) -> Data:
    """The data of an export, checked."""
    held_out = examples is None and labels is None
    ranges, kept = None, None
    if calibration is not None:
        ranges, kept = calibration_of(student, calibration, batches, seed, hold_out=held_out)
    if kept is not None:
        given, proven_on = kept, "held_out"
    else:
        given = examples_of(student, examples, labels, seed, span=told.span)
        proven_on = "random" if examples is None else "examples"
    if ranges is not None:
        check_calibration(student, ranges, given)
        if proven_on == "examples" and share_in(given, ranges) > _MOST_SHARED:
            proven_on = "calibration"
    known = False
    for data, argument in ((ranges, "calibration"), (given, "examples")):
        if data is not None and not (argument == "examples" and proven_on == "random"):
            known |= check_range(told, data.inputs, argument)
            known |= check_scale(student, data, argument)
    _warn(proven_on, known)
    return Data(ranges, given, proven_on)


def _warn(proven_on: str, known: bool) -> None:
    """Says when a proof is none, and nothing else vouches for the scale of its data."""
    if proven_on == "calibration":
        warnings.warn(
            "Most of `examples` are calibration data, off which the ranges are read: the proof says "
            "nothing of other inputs. Give `examples` that are not in `calibration`, or leave them "
            "out: a part of the calibration data is then held out.",
            stacklevel=4,
        )
    if proven_on == "held_out" and not known:
        warnings.warn(
            "Nothing tells whether `calibration` is scaled as the student's training data was: "
            "there are no `examples` to compare it with, no `preprocessing` that names a range, and "
            "no BatchNormalization that remembers one. A file with wrong ranges would agree on "
            "this data, and on no other.",
            stacklevel=4,
        )
