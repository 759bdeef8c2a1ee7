"""Auto: from a teacher, examples and limits to a proven file.

Names:
    Best
        A student that a search ended with.
    compress
        A teacher made to fit: the best student within limits, as a file that is proven and
        measured.
    Limits
        What the file may take at most, and how good it has to be.
    Report
        The page of a result.
    Result
        What `keras_kd.auto.compress` found; `print` shows it.
    Trial
        One training of a search.
"""

from keras_kd.auto._compress import compress as compress
from keras_kd.auto._limits import Limits as Limits
from keras_kd.auto._result import Best as Best
from keras_kd.auto._result import Report as Report
from keras_kd.auto._result import Result as Result
from keras_kd.auto._trials import Trial as Trial

__all__ = [
    "Best", "Limits", "Report", "Result", "Trial", "compress",
]  # fmt: skip
