"""`compress`: from a teacher, examples and limits to a proven file."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._core.optional import require
from keras_kd._core.scalars import count
from keras_kd.auto import _folder
from keras_kd.auto._candidates import name_of
from keras_kd.auto._data import data_of
from keras_kd.auto._files import Files
from keras_kd.auto._folder import Clock
from keras_kd.auto._limits import Limits, seconds
from keras_kd.auto._progress import Progress
from keras_kd.auto._result import Result
from keras_kd.auto._run import Run
from keras_kd.auto._task import task_of
from keras_kd.auto._teacher import check_outputs, teacher_of


def compress(
    teacher: Any,
    train: Any,
    *,
    validation: Any = None,
    test: Any = None,
    limits: Limits,
    budget: Any = "30 min",
    students: Sequence[Any] | None = None,
    folder: Any = "keras_kd_auto",
    formats: Sequence[str] | None = None,
    latency: Callable[[Path], float] | None = None,
    epochs: int | None = None,
    trials: int | None = None,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
    verbose: bool | None = None,
) -> Result:
    """A teacher made to fit: the best student within limits, as a file that is proven and measured.

    1. The teacher is measured, and a warning says when it is not worth learning from.
    2. It predicts every training example once, into a store; of images also views under which it
       knows the validation images nearly as well.
    3. Students come into question that are cut from the teacher
       (`keras_kd.compression.shrink`), have a name in `keras_kd.students`, or are given. Those over
       the limits are left out before anything is trained, by their number of weights and
       operations, and by the file of the untrained student in the most exact number format that
       keeps the limits.
    4. Students, recipes, temperatures, learning rates, hints and views are searched by Hyperband
       (`keras-tuner`): short trainings for many, longer ones for the best of these. The default
       recipe is always among them. Students that a forecast from the first trainings
       (`keras_kd.auto.forecast`) rules out are left out.
    5. The best is trained for at least twice as long, with rounding in mind where the file would lose by it,
       exported, proven by `keras_kd.export` and measured. So is the same student from the labels
       alone, the control; it is the student where it is better on the validation data by more than
       one standard error of the difference (the rule of Breiman et al., "Classification and
       Regression Trees", 1984, section 3.4.3).
    6. The result tells what was found: as a page, with the lines of Python that train the winner
       again.

    Everything is written to `folder` as it comes. Called again with the same arguments, a search
    that was stopped goes on where it was, and what was spent of the budget counts. With `epochs`
    and `trials` given, the search does not depend on the machine's speed, and two runs with one
    seed try the same and find the same. At any time `best.keras` in the folder is the best student
    so far; Ctrl-C writes it as `best.tflite` too.

    Needs the extra `tune` (keras-tuner, scikit-learn, and what files and pictures need).

    Args:
        teacher: A `keras.Model`, a teacher of `keras_kd.sources`, or a function from a batch to
            logits (for a regression, to numbers). A softmax or sigmoid at the end of a model is
            taken off.
        train: `(x, y)` or a `keras_kd.data.Part`; or a `keras_kd.data.Dataset`, whose parts stand
            for `validation` and `test` too. One input: images `(n, height, width, channels)`,
            columns `(n, columns)`, tokens `(n, length)` of integers. Labels: class numbers or
            one-hot rows, rows of 0 and 1 for several labels, or numbers to regress.
        validation: The same, to choose by. Defaults to `None`: 15 % of the training examples.
        test: The same, for the verdict. Defaults to `None`: the verdict is of the validation data.
        limits: A `keras_kd.auto.Limits`.
        budget: Seconds, or a text such as `"30 min"`. Defaults to `"30 min"`.
        students: Students to search among: names of `keras_kd.students`, Keras models (whose
            weights they begin with), functions `build(width)` for widths 1, 0.5 and 0.25. Defaults
            to `None`: those cut from the teacher and those with names.
        folder: Where everything is written. Defaults to `"keras_kd_auto"`.
        formats: Number formats that are allowed, of `"float32"`, `"float16"`, `"int8"`, `"int4"`
            (with the extra `quant`). Defaults to `None`: all.
        latency: A function from the path of a `.tflite` file to its milliseconds on another device.
            Defaults to `None`: as measured here, one thread.
        epochs: Epochs of a trial of full length. Defaults to `None`: what the budget allows, at most
            60.
        trials: How many trials the search has at most, beside the default recipe's. Defaults to
            `None`: as many as the budget allows.
        class_names: Names of the classes, for the file. Defaults to `None`.
        seed: Of weights, orders, views and draws. Defaults to `0`.
        verbose: Whether a table of the trials is shown on the standard error. Defaults to `None`: on
            a terminal.

    Returns:
        A `keras_kd.auto.Result`: `result.best.file`, `result.report.save("report.html")`,
        `print(result)`.

    Raises:
        TypeError: If an argument is of no kind that is known.
        ValueError: If nothing keeps the limits (it names the nearest, and what that takes), the
            budget is too short (it says how long a trial takes), the teacher gives NaN, the task is
            another one, or `folder` holds another search.
        RuntimeError: If every trial failed, or no student could be written as a file.
        ModuleNotFoundError: If the extra `tune` is not installed.

    Example:

    ```python
    data = kd.data.load("digits", validation=0.2)
    result = kd.auto.compress(
        teacher, data, limits=kd.auto.Limits(size="20 kB"), budget="90 s", folder="run"
    )
    print(result)
    ```

    Reference: Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar, "Hyperband: A Novel Bandit-Based
    Approach to Hyperparameter Optimization", JMLR 18, 2018, arXiv:1603.06560.
    """
    began = time.perf_counter()
    wanted = seconds(budget)
    if not isinstance(limits, Limits):
        raise TypeError(
            f"`limits` must be a keras_kd.auto.Limits, such as Limits(size='300 kB'). Received: "
            f"{limits!r}."
        )
    for value, argument in ((epochs, "epochs"), (trials, "trials")):
        if value is not None:
            count(value, argument)
    seed = count(seed, "seed", least=0)
    if latency is not None and not callable(latency):
        raise TypeError(
            "`latency` must be a function from the path of a file to milliseconds. A limit is "
            f"Limits(latency=...). Received: {latency!r}."
        )
    for module in ("keras_tuner", "sklearn", "matplotlib", "ai_edge_litert"):
        require(module, extra="tune", purpose="keras_kd.auto searches, and tells what it found,")
    model = teacher_of(teacher)
    data = data_of(train, validation, test)
    outputs = model.predict(data.validation.x)
    check_outputs(outputs, model.name)
    task, _ = task_of(data.validation.y, outputs)
    data = data.relabelled(lambda y: task_of(y, np.zeros((len(y), task.outputs)))[1])
    about: dict[str, Any] = {} if class_names is None else {"class_names": list(class_names)}
    if limits.arena is None:  # of a file for a microcontroller every byte is paid for
        about["card"] = {"teacher": model.name, "made_by": "keras_kd.auto.compress"}
    files = Files(limits, data, latency, None if formats is None else tuple(formats), about)
    settings = {
        "teacher": model.fingerprint, "data": data.identity, "limits": str(limits),
        "students": None if students is None else [name_of(s) for s in students],
        "formats": list(files.formats), "epochs": epochs, "trials": trials, "seed": seed,
    }  # fmt: skip
    progress = Progress(verbose)
    with _folder.held(folder, settings) as path:
        clock = Clock(path, wanted)
        clock.began = began
        run = Run(model, outputs, data, task, files, path, clock, progress)
        try:
            with progress.running(clock):
                return run.all(students, epochs, trials, seed)
        except KeyboardInterrupt:
            run.leave_a_file()
            raise
        finally:
            clock.keep()
