"""Whether a model's outputs are in the order of the labels: checked before it is a teacher."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from keras_kd._core.external import ExternalTeacher
from keras_kd._core.messages import listing
from keras_kd._core.texts import predict
from keras_kd.report._mcnemar import binomial_tail

#: The most examples of one class, the most of all classes, and the fewest for a verdict.
_PER_CLASS, _MOST_EXAMPLES, _FEWEST_EXAMPLES = 50, 2000, 20
_SIGNIFICANT = 1e-3
#: A model whose accuracy is more than this share of the way from chance to 1 does not guess.
_WEAK_SKILL = 0.2


@dataclass(frozen=True)
class ClassOrder:
    """Whether a model's outputs are in the order of the labels.

    Args:
        verdict: `"right"`; `"permuted"`, when another order of the outputs makes it right much more
            often; `"chance"`, when it is right no more often than chance; `"unclear"`, when there
            are too few examples for a verdict.
        accuracy: Share of right predictions.
        reordered: The same with the outputs in the order found; each half of the examples is
            counted in the order found on the other.
        chance: The accuracy if predictions and labels were independent.
        order: For each class of the labels, the output that predicts it; what
            `keras_kd.teachers.ClassMap` takes.
        examples: Number of examples.
    """

    verdict: Literal["right", "permuted", "chance", "unclear"]
    accuracy: float
    reordered: float
    chance: float
    order: tuple[int, ...]
    examples: int

    def by_output(self, class_names: Sequence[str]) -> list[str]:
        """The names, which are in the order of the labels, in that of the outputs."""
        return [class_names[label] for label in np.argsort(self.order)]

    def problem(self, name: str, class_names: Sequence[str]) -> str:
        """A sentence about what is wrong; empty when nothing is."""
        right = (
            f"'{name}' is right about {self.accuracy:.1%} of {self.examples:,} labelled examples"
        )
        if self.verdict == "permuted":
            return (
                f"{right}, and about {self.reordered:.1%} if its outputs stand for "
                f"{listing(self.by_output(class_names), 20)}, in this order. The labels' order is "
                f"{listing(class_names, 20)}."
            )
        if self.verdict == "chance":
            return (
                f"{right}, no more than by chance ({self.chance:.1%}), in whichever order its "
                f"outputs are read. The labels' order is {listing(class_names, 20)}."
            )
        return ""


def class_order(answers: Any, labels: Any) -> ClassOrder:
    """Finds whether outputs for labeled examples are in the order of the labels.

    A teacher trained in another order of the classes trains the student to predict wrong classes,
    and no loss shows it. Here the predictions for each class are counted, and each class is matched
    with an output, largest count first. Each half of the examples is tested in the order found on
    the other. The verdict is `"permuted"` when a sign test on the examples that the two orders
    predict differently gives p < 0.001, and when the new order adds to the accuracy at least half
    of what it predicts rightly among the examples whose output changes: a weak model that confuses
    some examples of two classes has no other order. It is `"chance"` where a binomial test gives p
    >= 0.001 and the accuracy is less than a fifth of the way from chance to 1; above that, so few
    examples are `"unclear"`.

    Args:
        answers: Outputs, logits or probabilities, `(examples, classes)`.
        labels: Class numbers, `(examples,)`, or one-hot rows. Those below 0 are left out.

    Returns:
        A `ClassOrder`.

    Raises:
        ValueError: If the shapes do not go together, or a label has no output.

    Example:

    >>> labels = np.arange(300) % 3
    >>> answers = np.eye(3)[(labels + 1) % 3]  # a model trained in another order
    >>> found = keras_kd.report.class_order(answers, labels)
    >>> found.verdict, found.accuracy, found.reordered, found.order
    ('permuted', 0.0, 1.0, (1, 2, 0))
    """
    answers, labels = _to_numpy(answers), _class_numbers(labels)
    if answers.ndim != 2 or len(answers) != len(labels):
        raise ValueError(
            "`answers` must be of shape (examples, classes) and `labels` as many. Received shapes: "
            f"{answers.shape} and {labels.shape}."
        )
    known = labels >= 0
    predicted, labels, classes = answers[known].argmax(axis=1), labels[known], answers.shape[1]
    if labels.size and labels.max() >= classes:
        raise ValueError(
            f"`labels` hold class {labels.max()}, and the outputs have {classes} classes, from 0 on."
        )
    n = len(labels)
    if n < _FEWEST_EXAMPLES:
        accuracy = float((predicted == labels).mean()) if n else math.nan
        return ClassOrder("unclear", accuracy, accuracy, math.nan, tuple(range(classes)), n)
    halves = _halves(labels)
    right = predicted == labels
    right_reordered = np.zeros(n, bool)
    for half in (halves, ~halves):
        right_reordered[~half] = (
            predicted[~half]
            == _match_outputs(predicted[half], labels[half], classes)[labels[~half]]
        )
    shares = [np.bincount(side, minlength=classes) / n for side in (predicted, labels)]
    chance = float(shares[0] @ shares[1])
    accuracy, reordered = float(right.mean()), float(right_reordered.mean())
    won, lost = int((right_reordered & ~right).sum()), int((right & ~right_reordered).sum())
    verdict: Literal["right", "permuted", "chance", "unclear"] = "right"
    order = _match_outputs(predicted, labels, classes)
    share_moved = float((order[labels] != labels).mean())
    significant = won > lost and _probability_by_chance(won, won + lost, 0.5) < _SIGNIFICANT
    if significant and reordered - accuracy >= 0.5 * share_moved * reordered:
        verdict = "permuted"
    elif _probability_by_chance(int(right.sum()), n, chance) >= _SIGNIFICANT:
        # Few examples cannot distinguish a weak model from chance: a better one is not refused.
        verdict = "chance" if accuracy < chance + _WEAK_SKILL * (1.0 - chance) else "unclear"
    if verdict != "permuted":
        order = np.arange(classes)
    return ClassOrder(verdict, accuracy, reordered, chance, tuple(map(int, order)), n)


def check_class_order(
    model: keras.Model | ExternalTeacher,
    data: Any,
    *,
    class_names: Sequence[str] | None = None,
    seed: int = 0,
) -> ClassOrder:
    """Raises when a model predicts in another class order than the labels, or by chance.

    Call it with a teacher before the first epoch. It predicts some hundred examples: at most
    50 of each class, and 2,000 in all.

    Args:
        model: A trained `keras.Model`, or a teacher of `keras_kd.sources`; it has one output for
            each class.
        data: A pair `(x, y)` of arrays, or a `keras_kd.data.Part`. Labels as in `class_order`.
        class_names: Names of the classes, in the order of the labels. Defaults to their numbers.
        seed: Seed of the draw. Defaults to `0`.

    Returns:
        A `ClassOrder` whose verdict is `"right"` or `"unclear"`.

    Raises:
        ValueError: If the verdict is `"permuted"` or `"chance"`, with what to do.

    Example:

    >>> data = keras_kd.data.load("digits")
    >>> x = data.x_train.reshape(-1, 64)
    >>> means = np.stack([x[data.y_train == c].mean(axis=0) for c in range(10)])
    >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> model.layers[-1].set_weights([means.T, -0.5 * (means**2).sum(axis=1)])  # the nearest mean
    >>> keras_kd.report.check_class_order(model, data.train).verdict
    'right'
    """
    x, y = (data.x, data.y) if hasattr(data, "ids") else data
    y = _class_numbers(y)
    indices = examples_to_check(y, seed)
    inputs = keras.tree.map_structure(lambda leaf: leaf[indices], x)
    outputs = (
        model(inputs) if isinstance(model, ExternalTeacher) else predict(model, inputs, verbose=0)
    )
    found = class_order(outputs, y[indices])
    names = [str(i) for i in range(len(found.order))] if class_names is None else list(class_names)
    if len(names) != len(found.order):
        raise ValueError(
            f"'{model.name}' predicts {len(found.order)} classes, and `class_names` has "
            f"{len(names)}: {listing(names)}. Give keras_kd.teachers.ClassMap(model, ...) of a "
            "model that knows more classes than the labels have."
        )
    if found.verdict == "permuted":
        order = list(found.order)
        reordered = (
            f"a function that reorders them, lambda x: teacher(x)[:, {order}]"
            if isinstance(model, ExternalTeacher)
            else f"keras_kd.teachers.ClassMap(model, {order})"
        )
        raise ValueError(
            f"{found.problem(model.name, names)} Give the labels in the order of its outputs, or use "
            f"{reordered}."
        )
    if found.verdict == "chance":
        raise ValueError(
            f"{found.problem(model.name, names)} Give it inputs scaled as those it was trained on, "
            "and see that it has its trained weights and knows these classes."
        )
    return found


def examples_to_check(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """Which examples to check a teacher's class order on: equally many of each class, if there are.

    Args:
        labels: Class numbers, `(examples,)`; those below 0 are left out.
        seed: Of the choice. Defaults to `0`.

    Returns:
        Positions of the examples, in their order: of each class at least 10 (or all there are).

    Example:

    >>> keras_kd.report.examples_to_check(np.array([0, 1, 1, 0, -1])).tolist()
    [0, 1, 2, 3]
    """
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(labels[labels >= 0], return_counts=True)
    if not len(classes):
        return np.zeros(0, int)
    per_class = min(_PER_CLASS, max(10, counts.min()), max(1, _MOST_EXAMPLES // len(classes)))
    indices = [rng.permutation(np.flatnonzero(labels == c))[:per_class] for c in classes]
    return np.sort(np.concatenate(indices))


def _halves(labels: np.ndarray) -> np.ndarray:
    """Every other example of each class."""
    order = np.argsort(labels, kind="stable")
    half = np.zeros(len(labels), bool)
    half[order[::2]] = True
    return half


def _match_outputs(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """For each class the output that predicts it, largest count first; its own among equal counts."""
    counts = np.bincount(labels * classes + predicted, minlength=classes**2).astype("float64")
    counts[:: classes + 1] += 0.5
    output_of = np.full(classes, -1)
    is_free = np.ones(classes, bool)
    for cell in np.argsort(-counts, kind="stable"):
        label, output = divmod(int(cell), classes)
        if output_of[label] < 0 and is_free[output]:
            output_of[label], is_free[output] = output, False
    return output_of


def _probability_by_chance(k: int, n: int, p: float) -> float:
    """The probability of `k` or more successes in `n` trials of probability `p`."""
    return float(binomial_tail(k, n, np.array([p]))[0])


def _to_numpy(x: Any) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else keras.ops.convert_to_numpy(x)


def _class_numbers(labels: Any) -> np.ndarray:
    """Labels as class numbers."""
    labels = _to_numpy(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(axis=1)
    return labels.reshape(len(labels)).astype("int64")
