"""The largest of a teacher's logits, where the others are not stored or not known."""

from typing import Any, NamedTuple


class Largest(NamedTuple):
    """The largest logits and what is needed of the rest: a target for `SparseSoftTarget`.

    Args:
        values: The largest logits, `(batch, ..., k)`.
        classes: Their classes, `(batch, ..., k)`.
        log_sum_exp: Of all logits divided by the temperature, `(batch, ...)`. Of log-probabilities
            at a temperature of 1 it is 0.
    """

    values: Any
    classes: Any
    log_sum_exp: Any
