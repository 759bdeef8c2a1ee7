"""`compare`: models, a test set, one call."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_kd._core.scalars import count
from keras_kd.report import _differences
from keras_kd.report._costs import costs, measured, timed
from keras_kd.report._from_logits import FromLogits, reads_logits
from keras_kd.report._image_examples import pictures_of
from keras_kd.report._importance import Importance
from keras_kd.report._importance import importance as channels
from keras_kd.report._intervals import Paired
from keras_kd.report._models import known, layer_asked_for, parts, runs_of
from keras_kd.report._participants import Participants, check_has_layers
from keras_kd.report._predictions import Read, picked, read
from keras_kd.report._report import Report
from keras_kd.report._results import ModelReport
from keras_kd.report._scores import reliability
from keras_kd.report._similarity import Similarity
from keras_kd.report._similarity import similarity as alignment
from keras_kd.report._tasks import Classes, Task, task_of
from keras_kd.report._won_and_lost import mcnemar


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
    batch_size: int = 128,
    latency: bool = True,
    memory: bool = False,
    seed: int = 0,
) -> "Report":
    """What distillation was worth: every model on one test set, and the verdict in one sentence.

    Each model answers each example once. Its answers are scored by scikit-learn's definitions and
    compared with the teacher's; its costs are counted; the judged model is compared with the
    baseline, with an interval that says what chance could do. With single models the interval is
    over the examples, and leaves out 0 exactly when McNemar's exact test gives p < 0.05; with
    equally many runs of both, in the same order of seeds, over the runs, of which it takes five.

    Whether outputs are logits is seen from the model's last layer, and may be told by
    `from_logits`. Those of `keras_kd.sources` are; those of a function and arrays are probabilities
    when every row sums to 1. Labels that are class numbers or one-hot rows make it a classification (one
    output: of two classes), rows of 0 and 1 questions with several answers, other numbers a
    regression; `task` overrules that. Answers for each position of a sequence or map are not
    judged.

    Args:
        models: By name, a `keras.Model` or a list of several runs of it. Beside models: teachers
            of `keras_kd.sources` and functions from a batch to outputs, NumPy in and NumPy out, of
            which outputs and time are judged; and arrays of outputs, `(examples, classes)` in the
            order of `data`, of which nothing else is known.
        data: The test set: a pair `(x, y)` of arrays, a `keras_kd.data.Part`, or batches of pairs
            (a `tf.data.Dataset`, a `keras.utils.PyDataset`, any iterable).
        teacher: Name of the teacher. Defaults to `"teacher"` when there is one of that name.
        baseline: Name of the model to compare with. Defaults to the last but one of those that are
            not the teacher; to the teacher when there is none.
        judged: Name of the model to judge. Defaults to the last that is not the teacher.
        output: Of models with several outputs, the one to judge: its key, or its place as a
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
        batch_size: Examples at once, also in the measurement of throughput. Defaults to `128`.
        latency: Whether to measure latency and throughput, by some dozens of calls of each: not of
            a server that is paid for. Defaults to `True`.
        memory: Whether to measure memory, each model in a fresh process (Linux alone). Defaults to
            `False`.
        seed: Seed of the bootstrap and the permutations. Defaults to `0`.

    Returns:
        A `keras_kd.report.Report`.

    Raises:
        TypeError: If one of `models` is none of these.
        ValueError: If names, labels, answers or slices do not fit each other, or `examples` or
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
    examples, batch_size = count(examples, "examples"), count(batch_size, "batch_size")
    runs = runs_of(models)
    teacher, baseline, judged = parts(list(runs), teacher, baseline, judged)
    asked_layer = layer_asked_for(importance, runs)
    for name in similarity or ():
        known(name, "similarity", runs)
        check_has_layers(runs, name, "similarity")
    found = read(runs, data, batch_size=batch_size, output=output)
    job, answers, reads = _answers(runs, found, output, task, from_logits, class_names)
    sliced = _differences.check_slices(slices or {}, len(job))

    target = answers[teacher][0] if teacher else None

    def choose(name: str) -> Callable[[Any], np.ndarray]:
        return lambda raw: job.decisions(job.answers(picked(raw, output, name), reads[name][0]))

    reports = {}
    sample = keras.tree.map_structure(lambda leaf: leaf[:examples], found.x)
    spent = {name: costs(models[0], sample) for name, models in runs.items()}
    if memory:
        spent = {
            n: replace(c, measured_memory=measured(runs[n][0], sample)) for n, c in spent.items()
        }
    if latency:
        spent = timed({n: m[0] for n, m in runs.items()}, spent, sample, batch_size)
    for name, predicted in answers.items():
        scores: dict[str, list[float | None]] = {}
        for one in predicted:
            row = job.scores(one)
            if target is not None and name != teacher:
                row |= job.likeness(one, target, temperature)
            for key, value in row.items():
                scores.setdefault(key, []).append(value)
        sure = job.confidence(predicted[0])
        reports[name] = ModelReport(
            name=name,
            scores=scores,
            wrong=np.stack([job.wrong(one) for one in predicted]),
            reads=reads[name][1],
            costs=spent[name],
            seconds=found.seconds[name],
            bins=reliability(*sure) if sure else None,
        )

    pair = (baseline, judged) if baseline else None
    change, p_value = _change(reports, pair, job, seed)
    wrong = {name: one.wrong for name, one in reports.items()}
    classes, lists, mistakes = [], None, []
    if isinstance(job, Classes):
        classes = _differences.groups(job.y, wrong, pair, True, job.names, seed)
        if pair:
            before, after = (answers[name] for name in pair)
            lists = _differences.changed(job, before[0], after[0])
            tables = [np.mean([job.confusion(o) for o in side], axis=0) for side in (before, after)]
            mistakes = _differences.confusions(tables[0], tables[1], job.names)
    return Report(
        task=job.name,
        counts_errors=job.counts_errors,
        examples=len(job),
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
            name: _differences.groups(values, wrong, pair, job.counts_errors, None, seed)
            for name, values in sliced.items()
        },
        changed=lists,
        confusions=mistakes,
        pictures=pictures_of(found.x, lists),
        histories={n: getattr(h, "history", h) for n, h in (histories or {}).items()},
        importance=_importance(runs, asked_layer, target, sample, job, choose, seed),
        similarity=_similarity(runs, similarity, sample),
    )


def _answers(
    runs: Participants,
    found: Read,
    output: str | None,
    kind: str | None,
    from_logits: FromLogits,
    class_names: Sequence[str] | None,
) -> tuple[Task, dict[str, list[np.ndarray]], dict[str, tuple[bool, str]]]:
    """The task, the answers by model and run, and whether each model was read as logits, and why."""
    widths = {name: predicted[0].shape[1] for name, predicted in found.outputs.items()}
    if len(set(widths.values())) > 1:
        raise ValueError(
            "All models must answer with equally many numbers. Received: "
            + ", ".join(f"{name!r} {width}" for name, width in widths.items())
            + ". A teacher with more classes may be given through keras_kd.teachers.ClassMap."
        )
    for name, predicted in found.outputs.items():
        for one in predicted:
            if not np.isfinite(one).all():
                raise ValueError(
                    f"'{name}' answers with NaN or infinite values on "
                    f"{int((~np.isfinite(one)).any(axis=1).sum())} examples."
                )
    width = next(iter(widths.values()))
    if kind == "regression" or not np.array_equal(found.y, np.round(found.y)):
        job = task_of(found.y, width, kind, class_names, sigmoid=False)
        return job, found.outputs, dict.fromkeys(runs, (False, "numbers"))
    logits = {
        name: [reads_logits(name, m, o, output, from_logits) for m, o in zip(several, predicted, strict=True)]
        for (name, several), predicted in zip(runs.items(), found.outputs.values(), strict=True)
    }  # fmt: skip
    sigmoid = any(
        not is_logits and "sigmoid" in why for one in logits.values() for is_logits, why in one
    )
    job = task_of(found.y, width, kind, class_names, sigmoid)
    answers = {
        name: [job.answers(o, is_logits) for o, (is_logits, _) in zip(predicted, logits[name], strict=True)]
        for name, predicted in found.outputs.items()
    }  # fmt: skip
    reads = {
        name: (is_logits, f"{'logits' if is_logits else 'probabilities'}, {why}")
        for name, ((is_logits, why), *_) in logits.items()
    }
    return job, answers, reads


def _change(
    reports: Mapping[str, ModelReport], pair: tuple[str, str] | None, job: Task, seed: int
) -> tuple[Paired | None, float | None]:
    """From the baseline to the judged model, per example; and McNemar's p for single models."""
    if pair is None:
        return None, None
    before, after = (reports[name].wrong for name in pair)
    change = _differences.change_of(before, after, seed)
    if not job.counts_errors or len(before) > 1 or len(after) > 1:
        return change, None
    lost, won = ((after[0] - before[0] == sign).sum() for sign in (1, -1))
    return change, mcnemar(int(lost), int(won))


def _importance(
    runs: Mapping[str, Any],
    asked: tuple[str, str] | None,
    target: np.ndarray | None,
    x: Any,
    job: Task,
    choose: Callable[[str], Callable[[Any], np.ndarray]],
    seed: int,
) -> Importance | None:
    """The drop in agreement with the teacher, or with the model itself."""
    if asked is None:
        return None
    if not job.counts_errors:
        raise ValueError(
            "`importance` is a drop in agreement of decisions, and numbers are none. Leave it out."
        )
    name, layer = asked
    count = len(keras.tree.flatten(x)[0])
    decided = None if target is None else job.decisions(target[:count])
    found = channels(runs[name][0], layer, x, target=decided, choices=choose(name), seed=seed)
    return replace(found, model=name)


def _similarity(
    runs: Mapping[str, Any], names: tuple[str, str] | None, x: Any
) -> Similarity | None:
    if names is None:
        return None
    first, second = names
    return replace(alignment(runs[first][0], runs[second][0], x), names=names)
