"""The demo: what distillation is worth to a small network that has few labels.

`keras-kd demo` runs it. Read it from `run` on; what is trained is in `_trial.py`.
"""

from rich.console import Console as _Console

from keras_kd._core.stages import showing_stages as _showing_stages
from keras_kd.data import Dataset, load
from keras_kd.demo import _files, _trial, _words
from keras_kd.demo._trial import Settings as Settings
from keras_kd.report import table as _table


def prepare(settings: Settings) -> Dataset:
    """The data set, and the folder to write to; or an error that says what is wrong."""
    data = load(settings.data)
    if settings.labels > len(data.y_train):
        raise ValueError(
            f"--labels must be at most {len(data.y_train)}, the number of training images of "
            f"'{settings.data}'. Received: {settings.labels}."
        )
    settings.out.mkdir(parents=True, exist_ok=True)
    return data


def run(settings: Settings, data: Dataset) -> None:
    """Trains, compares, writes the files, prints the table."""
    show = _Console(highlight=False, markup=False).print
    show(_words.task(settings, data))
    with _showing_stages(2 * settings.seeds + 2) as stage:
        trial = _trial.trial_of(settings, data, stage)
        stage("the files")
        written = _files.write(settings, trial)
        rows = _words.rows_of(trial)
    show(_table(rows, len(data.y_test)))
    show(_words.LEGEND)
    show(f"\n{_words.verdict(trial.change, len(data.y_test))}\n")
    for line in written:
        show(line, soft_wrap=True)
