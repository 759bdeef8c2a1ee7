"""What an evaluation leaves out, when the teacher's outputs that training has do not come with it."""

import warnings
from collections.abc import Iterable, Mapping

from keras_kd._core.messages import listing


def warn_of_absent(
    absent: set[str], terms: Mapping[str, Iterable[str]], metrics: Mapping[str, Iterable[str]]
) -> None:
    """Warns of the terms and metrics that are left out for want of `absent`, and of what the loss
    holds then.

    Args:
        absent: The addresses of which nothing came.
        terms: The addresses that each term reads, by its name.
        metrics: Those that each metric reads.
    """
    out = [name for of in (terms, metrics) for name, reads in of.items() if absent & set(reads)]
    left = [name for name in terms if name not in out]
    holds = (
        f"Its loss is the sum of {listing(left)} alone, and cannot be compared with that of training"
        if left
        else "It has no loss, for no term is left"
    )
    warnings.warn(
        f"This evaluation brings no {listing(sorted(absent))}, and no model here gives it. "
        f"Left out: {listing(out)}. {holds}. To have them, evaluate on {{'inputs': x, 'signals': "
        f"{{{sorted(absent)[0]!r}: ...}}}} in place of x, as in training.",
        stacklevel=2,
    )
