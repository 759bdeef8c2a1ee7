"""What can be known of a student and of the arguments before any work."""

from typing import Any

import keras

from keras_kd._core.models import no_model
from keras_kd._core.scalars import count
from keras_kd.distiller import Distiller
from keras_kd.exporting._format import Quantization


def check_student(student: Any) -> None:
    """An error, before any work, when `student` is nothing to convert."""
    if isinstance(student, Distiller):
        raise TypeError(
            "`student` is a Distiller. Give its student: export(distiller.student, ...)"
        )
    if not isinstance(student, keras.Model):
        raise no_model(student, "student")
    if not student.built:
        raise ValueError(
            f"The student '{student.name}' is not built, so it has no weights to write. "
            "Call it once on data, or build it with its input shape."
        )


def check_timeout(timeout: float | None) -> None:
    """An error when the limit is no time."""
    if timeout is not None and not timeout > 0:
        raise ValueError(
            "`timeout` must be a number of seconds above 0, or None for no limit. "
            f"Received: timeout={timeout!r}."
        )


def check_numbers(
    min_agreement: float | None,
    tolerance: float | None,
    calibration_batches: int,
    settings: Quantization,
    calibration: Any,
) -> None:
    """An error when a number is out of its range, or calibration lacks or has no use."""
    if min_agreement is not None and not 0 <= min_agreement <= 1:
        raise ValueError(
            f"`min_agreement` must be a share from 0 to 1. Received: min_agreement={min_agreement!r}."
        )
    if tolerance is not None and not tolerance > 0:
        raise ValueError(
            f"`tolerance` must be a number above 0. Received: tolerance={tolerance!r}."
        )
    count(calibration_batches, "calibration_batches")
    if settings.calibrated and calibration is None:
        raise ValueError(
            "This quantization reads the ranges of activations off real inputs: give "
            "`calibration`, some of the training examples."
        )
    if calibration is not None and not settings.calibrated:
        raise ValueError(
            "`calibration` serves quantization='int8' and 'int16x8' only. Leave it out."
        )
