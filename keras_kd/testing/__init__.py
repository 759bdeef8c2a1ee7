"""Testing: what every loss of this package keeps, for losses of one's own.

Names:
    check_loss
        Checks that a loss of your own computes what its formula states, on the backend in use.
    LossCase
        The inputs and settings that `check_loss` tries a loss on.
"""

from keras_kd.testing._case import LossCase as LossCase
from keras_kd.testing._check_loss import check_loss as check_loss

__all__ = [
    "LossCase", "check_loss",
]  # fmt: skip
