"""Auto: from a teacher, examples and limits to a proven file.

Names:
    Best
        A student that a search ended with.
    Choice
        One choice of a suggestion.
    compress
        A teacher made to fit: the best student within limits, as a file that is proven and
        measured.
    Examination
        What `keras_kd.auto.examine` found; `print` shows it.
    examine
        Finds in seconds why distilling will not help, and what to do about it.
    Finding
        One thing that was looked at.
    Forecast
        What students that were not trained will reach, from short runs of others.
    forecast
        What students will reach that were not trained, from a few short runs of others.
    Limits
        What the file may take at most, and how good it has to be.
    Prediction
        What is forecast: `low` and `high` are the ends of the interval.
    Report
        The page of a result.
    Result
        What `keras_kd.auto.compress` found; `print` shows it.
    Run
        One short training of a forecast.
    suggest
        A first recipe for a teacher and examples, each choice with its reason and paper.
    Suggestion
        A first recipe; `print` shows it with its reasons.
    Trial
        One training of a search.
"""

from keras_kd.auto._compress import compress as compress
from keras_kd.auto._doctor._findings import Examination as Examination
from keras_kd.auto._doctor._findings import Finding as Finding
from keras_kd.auto._examine import examine as examine
from keras_kd.auto._forecasting._forecast import Forecast as Forecast
from keras_kd.auto._forecasting._forecast import Prediction as Prediction
from keras_kd.auto._forecasting._make import forecast as forecast
from keras_kd.auto._forecasting._runs import Run as Run
from keras_kd.auto._limits import Limits as Limits
from keras_kd.auto._result import Best as Best
from keras_kd.auto._result import Report as Report
from keras_kd.auto._result import Result as Result
from keras_kd.auto._suggest import Choice as Choice
from keras_kd.auto._suggest import Suggestion as Suggestion
from keras_kd.auto._suggest import suggest as suggest
from keras_kd.auto._trials import Trial as Trial

__all__ = [
    "Best", "Choice", "Examination", "Finding", "Forecast", "Limits", "Prediction",
    "Report", "Result", "Run", "Suggestion", "Trial", "compress", "examine", "forecast",
    "suggest",
]  # fmt: skip
