"""`compare`: from models and a test set to a report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_kd._core.scalars import count
from keras_kd.report import _differences
from keras_kd.report._causal import as_causal, check_no_other_settings
from keras_kd.report._costs import costs_without_running, measured_memory, with_times
from keras_kd.report._from_logits import FromLogits, task_and_predictions
from keras_kd.report._image_examples import images_of_changed
from keras_kd.report._importance import Importance
from keras_kd.report._importance import importance as channel_importance
from keras_kd.report._language import LanguageReport, compare_language
from keras_kd.report._models import check_name, choose_roles, model_and_layer, runs_by_name
from keras_kd.report._participants import Participants, check_has_layers
from keras_kd.report._predictions import predict, select_output
from keras_kd.report._report import Report
from keras_kd.report._results import ModelReport
from keras_kd.report._scores import reliability
from keras_kd.report._similarity import Similarity
from keras_kd.report._similarity import similarity as layer_similarity
from keras_kd.report._tasks import Classification, Scores, Task


def compare(
    models: Mapping[str, Any],
    data: Any,
    *,
    teacher: str | None = None,
    baseline: str | None = None,
    judged: str | None = None,
    output: str | None = None,
    task: str | None = None,
    from_logits: FromLogits = None,
    class_names: Sequence[str] | None = None,
    temperature: float = 1.0,
    slices: Mapping[str, Any] | None = None,
    histories: Mapping[str, Any] | None = None,
    importance: str | None = None,
    similarity: tuple[str, str] | None = None,
    examples: int = 256,
    batch_size: int | None = None,
    latency: bool = True,
    memory: bool = False,
    seed: int = 0,
) -> Report | LanguageReport:
    """What distillation was worth: every model on one test set, and the verdict in one sentence.

    Each model predicts each example once. Its predictions are scored by scikit-learn's definitions
    and compared with the teacher's; its costs are counted; the judged model is compared with the
    baseline, with a 95 % interval. With single models the interval is
    over the examples, and leaves out 0 exactly when McNemar's exact test gives p < 0.05; with
    equally many runs of both, in the same order of seeds, over the runs, of which it takes five.

    Whether outputs are logits is seen from the model's last layer, unless `from_logits` gives it.
    Teachers of `keras_kd.sources` give logits; outputs of a function or an array are probabilities
    when every row sums to 1. With labels that are class numbers or one-hot rows the task is a
    classification (of two classes where models have one output), with other rows of 0 and 1 a
    multi-label classification, with other numbers a regression; `task` overrules that. Outputs for
    each position of a sequence or map are not scored.

    Causal language models, on texts or on tokens whose labels are each the next one, are handed to
    `keras_kd.report.compare_language`, and its report comes back.

    Args:
        models: By name, a `keras.Model` or a list of several runs of it. Beside models: teachers
            of `keras_kd.sources` and functions from a batch to outputs, NumPy in and NumPy out, of
            which outputs and time are measured; and arrays of outputs, `(examples, classes)` in the
            order of `data`, of which nothing else is known.
        data: The test set: a pair `(x, y)` of arrays, a `keras_kd.data.Part`, or batches of pairs
            (a `tf.data.Dataset`, a `keras.utils.PyDataset`, any iterable).
        teacher: Name of the teacher. Defaults to `"teacher"` when there is one of that name.
        baseline: Name of the model to compare with. Defaults to the last but one of those that are
            not the teacher; to the teacher when there is none.
        judged: Name of the model that the verdict is about. Defaults to the last that is not the
            teacher.
        output: Of models with several outputs, the one to score: its key, or its index as a
            string. Defaults to `None`.
        task: `"classification"`, `"multi_label"` or `"regression"`. Defaults to what the labels
            look like.
        from_logits: Whether outputs are logits, for all models or a dict by name. Defaults to what
            the models end in.
        class_names: Names of the classes, in the order of the labels. Defaults to their numbers.
        temperature: Softening of the KL to the teacher. Defaults to `1.0`.
        slices: By name, an array with one value for each example; every value gets a row. Defaults
            to none.
        histories: By name, what `fit` returned (or its `history`), to draw. Defaults to none.
        importance: `"model:layer"`, the layer whose channels are permuted, such as
            `"distilled:block3"`. Defaults to `None`.
        similarity: Names of two models whose layers are compared by linear CKA. Defaults to
            `None`.
        examples: How many examples serve `importance`, `similarity` and the costs. Defaults to
            `256`.
        batch_size: Examples at once, also in the measurement of throughput. Defaults to `None`:
            128, of causal language models 8.
        latency: Whether to measure latency and throughput, by some dozens of calls of each: not of
            a server that is paid for. Defaults to `True`.
        memory: Whether to measure memory, each model in a fresh process (Linux alone). Defaults to
            `False`.
        seed: Seed of the bootstrap and the permutations. Defaults to `0`.

    Returns:
        A `keras_kd.report.Report`; of causal language models a `keras_kd.report.LanguageReport`.

    Raises:
        TypeError: If one of `models` is none of these.
        ValueError: If names, labels, outputs or slices do not fit each other, or `examples` or
            `batch_size` is below 1; if `importance` or `similarity` name what has no layers.

    Example:

    >>> data = keras_kd.data.load("digits")
    >>> alone, distilled = (
    ...     keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    ...     for _ in range(2)
    ... )
    >>> distilled.set_weights(alone.get_weights())
    >>> report = keras_kd.report.compare(
    ...     {"student alone": alone, "distilled": distilled}, data.test, latency=False
    ... )
    >>> report.verdict.startswith("distilled and student alone: no difference that this test set can")
    True

    Reference: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993; McNemar, Psychometrika
    12, 1947; Dietterich, "Approximate Statistical Tests for Comparing Supervised Classification
    Learning Algorithms", Neural Computation 10(7), 1998.
    """
    examples = count(examples, "examples")
    causal = as_causal(models, data)
    batch_size = count(batch_size, "batch_size") if batch_size is not None else 8 if causal else 128
    if causal is not None:
        others = {
            "output": output, "task": task,
            "from_logits": from_logits is not None, "class_names": class_names,
            "temperature": temperature != 1, "slices": slices, "histories": histories,
            "importance": importance, "similarity": similarity, "memory": memory,
        }  # fmt: skip
        check_no_other_settings(others)
        return compare_language(
            *causal, teacher=teacher, baseline=baseline, judged=judged, batch_size=batch_size,
            latency=latency,
        )  # fmt: skip
    runs = runs_by_name(models)
    teacher, baseline, judged = choose_roles(list(runs), teacher, baseline, judged)
    importance_layer = model_and_layer(importance, runs)
    for name in similarity or ():
        check_name(name, "similarity", runs)
        check_has_layers(runs, name, "similarity")
    found = predict(runs, data, batch_size=batch_size, output=output)
    labels, predictions, formats = task_and_predictions(
        runs, found, output, task, from_logits, class_names
    )
    slice_values = _differences.check_slices(slices or {}, len(labels))

    teacher_predictions = predictions[teacher][0] if teacher else None

    def decisions_of(name: str) -> Callable[[Any], np.ndarray]:
        return lambda raw_outputs: labels.decisions(
            labels.predictions(select_output(raw_outputs, output, name), formats[name][0])
        )

    reports = {}
    sample = keras.tree.map_structure(lambda leaf: leaf[:examples], found.x)
    costs = {name: costs_without_running(models[0], sample) for name, models in runs.items()}
    if memory:
        costs = {
            n: replace(c, measured_memory=measured_memory(runs[n][0], sample))
            for n, c in costs.items()
        }
    if latency:
        costs = with_times({n: m[0] for n, m in runs.items()}, costs, sample, batch_size)
    for name, predictions_of_runs in predictions.items():
        to_compare = teacher_predictions if name != teacher else None
        scores = [_scores(labels, run, to_compare, temperature) for run in predictions_of_runs]
        confidence = labels.confidence(predictions_of_runs[0])
        reports[name] = ModelReport(
            name=name,
            scores={key: [run[key] for run in scores] for key in scores[0]},
            wrong=np.stack([labels.errors(predicted) for predicted in predictions_of_runs]),
            reads=formats[name][1],
            costs=costs[name],
            seconds=found.seconds[name],
            bins=reliability(*confidence) if confidence else None,
        )

    compared = (baseline, judged) if baseline else None
    wrong = {name: model.wrong for name, model in reports.items()}
    change, p_value = None, None
    if compared:
        change, p_value = _differences.change_and_p_value(
            wrong[compared[0]], wrong[compared[1]], labels.counts_errors, seed
        )
    classes, changed, confusions = [], None, []
    if isinstance(labels, Classification):
        classes = _differences.groups(labels.y, wrong, compared, True, labels.class_names, seed)
        if compared:
            before, after = (predictions[name] for name in compared)
            changed = _differences.changed(labels, before[0], after[0])
            tables = [
                np.mean([labels.confusion(of_run) for of_run in of_model], axis=0)
                for of_model in (before, after)
            ]
            confusions = _differences.confusions(tables[0], tables[1], labels.class_names)
    return Report(
        task=labels.name,
        counts_errors=labels.counts_errors,
        examples=len(labels),
        models=reports,
        teacher=teacher,
        baseline=baseline,
        judged=judged,
        change=change,
        p_value=p_value,
        temperature=temperature,
        batch_size=batch_size,
        classes=classes,
        slices={
            name: _differences.groups(values, wrong, compared, labels.counts_errors, None, seed)
            for name, values in slice_values.items()
        },
        changed=changed,
        confusions=confusions,
        pictures=images_of_changed(found.x, changed),
        histories={n: getattr(h, "history", h) for n, h in (histories or {}).items()},
        importance=_importance(
            runs, importance_layer, teacher_predictions, sample, labels, decisions_of, seed
        ),
        similarity=_similarity(runs, similarity, sample),
    )


def _scores(
    labels: Task, predicted: np.ndarray, teacher: np.ndarray | None, temperature: float
) -> Scores:
    """The scores of one run, and how close it is to the teacher."""
    found = labels.scores(predicted)
    if teacher is not None:
        found |= labels.teacher_scores(predicted, teacher, temperature)
    return found


def _importance(
    runs: Participants,
    importance_layer: tuple[str, str] | None,
    teacher_predictions: np.ndarray | None,
    x: Any,
    labels: Task,
    decisions_of: Callable[[str], Callable[[Any], np.ndarray]],
    seed: int,
) -> Importance | None:
    """The drop in agreement with the teacher, or with the model's own predictions."""
    if importance_layer is None:
        return None
    if not labels.counts_errors:
        raise ValueError(
            "`importance` is a drop in agreement of decisions, and numbers are none. Leave it out."
        )
    name, layer = importance_layer
    count = len(keras.tree.flatten(x)[0])
    teacher_decisions = (
        None if teacher_predictions is None else labels.decisions(teacher_predictions[:count])
    )
    found = channel_importance(
        runs[name][0], layer, x, target=teacher_decisions, choices=decisions_of(name), seed=seed
    )
    return replace(found, model=name)


def _similarity(
    runs: Mapping[str, Any], names: tuple[str, str] | None, x: Any
) -> Similarity | None:
    if names is None:
        return None
    first, second = names
    return replace(layer_similarity(runs[first][0], runs[second][0], x), names=names)
