"""Some of a teacher's classes, drawn by their probabilities."""

from typing import Any, NamedTuple


class Sampled(NamedTuple):
    """Classes drawn from a teacher's distribution: a target for `SampledSoftTarget`.

    Args:
        weights: Importance weights, `(batch, ..., k)`: their sum over the draws of one class is on
            average the teacher's probability of that class.
        classes: The classes drawn, `(batch, ..., k)`; a class may come several times.
    """

    weights: Any
    classes: Any
