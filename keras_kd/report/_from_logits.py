"""From raw outputs to predictions: the task, and whether outputs are logits or probabilities."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_kd._core.last_activation import last_activation
from keras_kd._core.probabilities import looks, read
from keras_kd.report._participants import CalledTeacher, Participant, Participants
from keras_kd.report._predictions import ModelOutputs
from keras_kd.report._tasks import Classification, MultiLabel, Regression, Task

FromLogits = bool | Mapping[str, bool] | None
TASKS = ("classification", "multi_label", "regression")


def is_from_logits(
    name: str, model: Participant, outputs: np.ndarray, output: str | None, from_logits: FromLogits
) -> tuple[bool, str]:
    """Whether `outputs` are logits, and how that is known: from the caller, the teacher, the last
    activation, or the values."""
    if isinstance(model, CalledTeacher) and model.gives_logits:
        return True, "as the teacher gives them"
    stated = from_logits.get(name) if isinstance(from_logits, Mapping) else from_logits
    if stated is not None:
        return stated, "as given"
    has_layers = isinstance(model, keras.Model)
    ending = last_activation(model, () if output is None else (output,)) if has_layers else None
    if ending is not None:
        return False, f"by the {ending} at the end"
    if not has_layers and read(keras.ops.convert_to_numpy(looks(outputs))).softmax:
        return False, "as every row sums to 1"
    in_range = bool((outputs >= 0).all() and (outputs <= 1).all())
    sums = np.allclose(outputs.sum(axis=1), 1, atol=1e-3) or outputs.shape[1] == 1
    if in_range and sums:
        raise ValueError(
            f"The outputs of '{name}' look like probabilities, and no softmax or sigmoid is seen at "
            f"its end. Give what they are: from_logits={{{name!r}: False}} (or True)."
        )
    return True, "with no softmax or sigmoid at the end" if has_layers else "by their values"


def task_and_predictions(
    runs: Participants,
    test: ModelOutputs,
    output: str | None,
    task_name: str | None,
    from_logits: FromLogits,
    class_names: Sequence[str] | None,
) -> tuple[Task, dict[str, list[np.ndarray]], dict[str, tuple[bool, str]]]:
    """The task; the predictions by model and run; by model, whether its outputs are logits, and why."""
    widths = {name: outputs_of_runs[0].shape[1] for name, outputs_of_runs in test.outputs.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(
            "All models must have outputs of one width. Received: "
            + ", ".join(f"{name!r} {width}" for name, width in widths.items())
            + ". A teacher with more classes may be given through keras_kd.teachers.ClassMap."
        )
    for name, outputs_of_runs in test.outputs.items():
        for rows in outputs_of_runs:
            if not np.isfinite(rows).all():
                raise ValueError(
                    f"The outputs of '{name}' are NaN or infinite for "
                    f"{int((~np.isfinite(rows)).any(axis=1).sum())} examples."
                )
    width = next(iter(widths.values()))
    if task_name == "regression" or not np.array_equal(test.y, np.round(test.y)):
        task = task_of(test.y, width, task_name, class_names, sigmoid=False)
        return task, test.outputs, dict.fromkeys(runs, (False, "numbers"))
    from_logits_of = {
        name: [is_from_logits(name, m, o, output, from_logits) for m, o in zip(models_of_name, outputs_of_runs, strict=True)]
        for (name, models_of_name), outputs_of_runs in zip(runs.items(), test.outputs.values(), strict=True)
    }  # fmt: skip
    sigmoid = any(
        not is_logits and "sigmoid" in why
        for of_runs in from_logits_of.values()
        for is_logits, why in of_runs
    )
    task = task_of(test.y, width, task_name, class_names, sigmoid)
    predictions = {
        name: [task.predictions(o, is_logits) for o, (is_logits, _) in zip(outputs_of_runs, from_logits_of[name], strict=True)]
        for name, outputs_of_runs in test.outputs.items()
    }  # fmt: skip
    formats = {
        name: (is_logits, f"{'logits' if is_logits else 'probabilities'}, {why}")
        for name, ((is_logits, why), *_) in from_logits_of.items()
    }
    return task, predictions, formats


def task_of(
    y: np.ndarray, width: int, task: str | None, class_names: Sequence[str] | None, sigmoid: bool
) -> Task:
    """The task for labels of this form and outputs of this width."""
    if task not in (None, *TASKS):
        raise ValueError(f"`task` must be one of {', '.join(TASKS)}. Received: task={task!r}.")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    whole_numbers = bool(np.isfinite(y).all() and (y == np.round(y)).all())
    if task is None:
        task = _guess_task(y, width, whole_numbers, sigmoid)
    if task == "regression":
        return Regression(_as_rows(y, width, "numbers").astype("float64"))
    if not whole_numbers:
        raise ValueError(
            f"task={task!r} needs labels that are whole numbers; mixed or smoothed labels are not "
            "scored. Give the hard labels, or task='regression'."
        )
    if task == "multi_label":
        rows = _as_rows(y, width, "labels").astype(int)
        if not np.isin(rows, (0, 1)).all():
            raise ValueError("task='multi_label' needs labels that are 0 or 1.")
        return MultiLabel(rows, class_names or ())
    if y.ndim == 2:
        y = _as_rows(y, width, "labels").argmax(axis=1)
    return Classification(y.astype(int), max(width, 2), class_names)


def _guess_task(y: np.ndarray, width: int, whole_numbers: bool, sigmoid: bool) -> str:
    if not whole_numbers:
        return "regression"
    if y.ndim == 1:
        if width > 1 or np.isin(y, (0, 1)).all():
            return "classification"
        raise ValueError(
            f"The models give one number, and the labels are whole numbers from {y.min()} to "
            f"{y.max()}. Give what they are: task='regression', or give models with one output for "
            "each class."
        )
    one_hot = np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all()
    if one_hot and not sigmoid:
        return "classification"
    return "multi_label" if np.isin(y, (0, 1)).all() else "regression"


def _as_rows(y: np.ndarray, width: int, what: str) -> np.ndarray:
    rows = y[:, None] if y.ndim == 1 else y
    if rows.shape[1:] != (width,):
        raise ValueError(
            f"The models return {width} numbers for each example, so {what} have the shape "
            f"({len(y)}, {width}). Received: {y.shape}."
        )
    return rows
