"""The checks of the doctor, in the order in which they are made.

Each is a function from `Facts` to a `Finding`, to several, or to `None` where it does not apply. What
the first ones find (another range of inputs, another order of the classes) is mended for those that
follow, so that one fault is told once.
"""

from collections.abc import Callable
from typing import Any

from keras_kd.auto._doctor._inputs import class_order, input_scale, logits
from keras_kd.auto._doctor._knowledge import (
    calibration,
    enough_examples,
    leak,
    memorised,
    noisy_labels,
    worth_it,
)
from keras_kd.auto._doctor._student import gap, student_learns
from keras_kd.auto._doctor._training_plan import (
    data_order,
    store,
    student_averages,
    teacher_averages,
)

#: What a first recipe follows from: the teacher predicts each example once.
FOR_A_RECIPE: tuple[Callable[[Any], Any], ...] = (
    logits, worth_it, store, memorised, calibration, noisy_labels, gap,
)  # fmt: skip
CHECKS: tuple[Callable[[Any], Any], ...] = (
    logits, input_scale, class_order, teacher_averages, worth_it, store, memorised, calibration,
    noisy_labels, enough_examples, leak, data_order, gap, student_averages, student_learns,
)  # fmt: skip
