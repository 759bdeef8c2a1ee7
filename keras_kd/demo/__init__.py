"""The demo: a small network with few labels, alone and distilled.

`keras-kd demo` runs it. Read it from `run` on: `_trial.py` has the trainings, `_printed.py` what is
printed, `_files.py` what is written; the table and the picture are those of `keras_kd.report`.
"""

from rich.console import Console as _Console

from keras_kd._core.stages import showing_stages as _showing_stages
from keras_kd.data import Dataset, load
from keras_kd.demo import _files, _printed, _trial
from keras_kd.demo._trial import Settings as Settings
from keras_kd.report import table as _table


def prepare(settings: Settings) -> Dataset:
    """Loads the data set and makes the folder to write to; raises where an option does not fit."""
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
    show(_printed.task(settings, data))
    with _showing_stages(2 * settings.seeds + 2) as stage:
        trial = _trial.trial_of(settings, data, stage)
        stage("the files")
        written = _files.write(settings, trial)
        rows = _printed.rows_of(trial)
    show(_table(rows, len(data.y_test)))
    show(_printed.LEGEND)
    show(f"\n{_printed.verdict(trial.change, len(data.y_test))}\n")
    for line in written:
        show(line, soft_wrap=True)
