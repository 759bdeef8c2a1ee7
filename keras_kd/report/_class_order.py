"""Whether a model's outputs stand in the order of the labels: found before it teaches anybody."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from keras_kd._core.external import ExternalTeacher
from keras_kd._core.messages import listing
from keras_kd.report._won_and_lost import at_least

#: Examples of one class, of all classes, and the fewest that can tell.
_EACH, _MOST, _FEWEST = 50, 2000, 20
_UNLIKELY = 1e-3
#: Of the way from chance to always right: a model further up than this is not said to guess.
_WEAK = 0.2


@dataclass(frozen=True)
class ClassOrder:
    """How a model's outputs and the labels go together.

    Args:
        verdict: `"right"`; `"permuted"`, when another order of the outputs makes it right much more
            often; `"chance"`, when it is right no more often than chance; `"unclear"`, when there
            are too few examples to tell.
        accuracy: Share of the examples about which it is right.
        reordered: The same in the order found. That is found on one half of the examples and
            counted on the other, in turns.
        chance: The share about which it would be right if its answers and the labels had nothing
            to do with each other.
        order: For each class of the labels, the output that stands for it by the answers; what
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
        """What is wrong, in words; empty when nothing is."""
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
    """Finds whether answers to labelled examples are in the order of the labels.

    A teacher trained in another order of the classes is a teacher of wrong answers, and nothing in
    training says so. Here the examples of each class are counted by answer, and the outputs are
    given to the classes so that most of these pairs are met, largest count first. Two halves of
    the examples judge each other's order; another order than that of the labels is believed when
    a sign test on the examples that the two orders decide differently gives p < 0.001, and when on
    the classes that change places it is right at least half as often again as it is on all: a weak
    model that takes some examples of two classes for one another has no other order. Answers are
    right by chance where a binomial test gives p >= 0.001 and they are less than a fifth of the way
    up from chance; above that, so few examples cannot tell.

    Args:
        answers: Logits or probabilities, `(examples, classes)`.
        labels: Class numbers, `(examples,)`, or one-hot rows. Those below 0 are left out.

    Returns:
        A `ClassOrder`.

    Raises:
        ValueError: If the shapes do not go together, or a label has no output.

    Example:

    >>> labels = np.arange(300) % 3
    >>> answers = np.eye(3)[(labels + 1) % 3]  # a model that has learnt in another order
    >>> found = keras_kd.report.class_order(answers, labels)
    >>> found.verdict, found.accuracy, found.reordered, found.order
    ('permuted', 0.0, 1.0, (1, 2, 0))
    """
    answers, labels = _array(answers), _numbers(labels)
    if answers.ndim != 2 or len(answers) != len(labels):
        raise ValueError(
            "`answers` must be of shape (examples, classes) and `labels` as many. Received shapes: "
            f"{answers.shape} and {labels.shape}."
        )
    known = labels >= 0
    decided, labels, classes = answers[known].argmax(axis=1), labels[known], answers.shape[1]
    if labels.size and labels.max() >= classes:
        raise ValueError(
            f"`labels` hold class {labels.max()}, and the answers have {classes} classes, from 0 on."
        )
    n = len(labels)
    if n < _FEWEST:
        accuracy = float((decided == labels).mean()) if n else math.nan
        return ClassOrder("unclear", accuracy, accuracy, math.nan, tuple(range(classes)), n)
    halves = _halves(labels)
    plain = decided == labels
    other = np.zeros(n, bool)
    for half in (halves, ~halves):
        other[~half] = (
            decided[~half] == _matched(decided[half], labels[half], classes)[labels[~half]]
        )
    shares = [np.bincount(side, minlength=classes) / n for side in (decided, labels)]
    chance = float(shares[0] @ shares[1])
    accuracy, reordered = float(plain.mean()), float(other.mean())
    won, lost = int((other & ~plain).sum()), int((plain & ~other).sum())
    verdict: Literal["right", "permuted", "chance", "unclear"] = "right"
    order = _matched(decided, labels, classes)
    moved = float((order[labels] != labels).mean())
    sure = won > lost and _by_chance(won, won + lost, 0.5) < _UNLIKELY
    if sure and reordered - accuracy >= 0.5 * moved * reordered:
        verdict = "permuted"
    elif _by_chance(int(plain.sum()), n, chance) >= _UNLIKELY:
        # Few examples cannot tell a weak model from chance: what looks better is not refused.
        verdict = "chance" if accuracy < chance + _WEAK * (1.0 - chance) else "unclear"
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
    """Raises when a model answers in another class order than the labels, or by chance.

    To be called with a teacher before the first epoch. Some hundred examples are enough: at most
    50 of each class and 2,000 in all are drawn.

    Args:
        model: A trained `keras.Model`, or a teacher of `keras_kd.sources`; it answers with one
            number for each class.
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
    y = _numbers(y)
    drawn = examples_to_check(y, seed)
    some = keras.tree.map_structure(lambda leaf: leaf[drawn], x)
    answers = model(some) if isinstance(model, ExternalTeacher) else model.predict(some, verbose=0)
    found = class_order(answers, y[drawn])
    names = [str(i) for i in range(len(found.order))] if class_names is None else list(class_names)
    if len(names) != len(found.order):
        raise ValueError(
            f"'{model.name}' answers with {len(found.order)} classes, and `class_names` has "
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
    """Which examples to check a teacher's order of classes on: of each class as many, where there are.

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
    each = min(_EACH, max(10, counts.min()), max(1, _MOST // len(classes)))
    drawn = [rng.permutation(np.flatnonzero(labels == c))[:each] for c in classes]
    return np.sort(np.concatenate(drawn))


def _halves(labels: np.ndarray) -> np.ndarray:
    """Every other example of each class."""
    order = np.argsort(labels, kind="stable")
    half = np.zeros(len(labels), bool)
    half[order[::2]] = True
    return half


def _matched(decided: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """For each class the output that answers for it, largest count first; its own when in doubt."""
    counts = np.bincount(labels * classes + decided, minlength=classes**2).astype("float64")
    counts[:: classes + 1] += 0.5
    taken = np.full(classes, -1)
    free = np.ones(classes, bool)
    for cell in np.argsort(-counts, kind="stable"):
        label, output = divmod(int(cell), classes)
        if taken[label] < 0 and free[output]:
            taken[label], free[output] = output, False
    return taken


def _by_chance(k: int, n: int, p: float) -> float:
    """The chance of `k` or more successes of `n`, each of them with probability `p`."""
    return float(at_least(k, n, np.array([p]))[0])


def _array(x: Any) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else keras.ops.convert_to_numpy(x)


def _numbers(labels: Any) -> np.ndarray:
    """Labels as class numbers."""
    labels = _array(labels)
    if labels.ndim == 2 and labels.shape[1] > 1:
        return labels.argmax(axis=1)
    return labels.reshape(len(labels)).astype("int64")
