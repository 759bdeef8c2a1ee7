"""Auto: from a teacher, examples and limits to a proven file.

Names:
"""

from keras_kd.auto._compress import compress as compress
from keras_kd.auto._limits import Limits as Limits
from keras_kd.auto._result import Best as Best
from keras_kd.auto._result import Report as Report
from keras_kd.auto._result import Result as Result
from keras_kd.auto._trials import Trial as Trial

__all__ = ["Best", "Limits", "Report", "Result", "Trial", "compress"]
