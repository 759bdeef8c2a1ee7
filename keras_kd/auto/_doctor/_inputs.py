"""Is the teacher shown what it was trained on? Its outputs, its inputs, the order of its classes."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_kd._core.input_ranges import RANGES, line
from keras_kd._core.last_activation import last_activation
from keras_kd._core.messages import listing
from keras_kd.auto._data import kind_of
from keras_kd.auto._doctor._facts import Facts, percent
from keras_kd.auto._doctor._findings import Finding
from keras_kd.report import class_order as order_of
from keras_kd.report import mcnemar
from keras_kd.teachers import FromProbabilities

_ASKED = 512  # validation examples that the teacher predicts after each conversion
_GAIN, _SIGNIFICANT = 0.05, 1e-4  # what a conversion adds to the accuracy, and not by chance


def logits(facts: Facts) -> Finding:
    """Whether the teacher gives logits, which losses read."""
    name = "logits"
    ends = last_activation(facts.given) if facts.teacher.is_keras else None
    if ends is not None:
        view = {"softmax": "FromProbabilities", "sigmoid": "FromBinaryProbabilities"}[ends]
        return Finding(
            name,
            "error",
            f"The teacher ends in a {ends}, and losses read logits: a softmax of its probabilities is "
            "nearly constant. All that follows was looked at without it.",
            "teacher = kd.with_logits(teacher)"
            if not isinstance(facts.teacher.model, FromProbabilities)
            else f"teacher = kd.teachers.{view}(teacher)",
            "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.",
        )
    if facts.disguised:
        return Finding(
            name,
            "error",
            "The teacher's outputs are probabilities in disguise: of all examples looked at, no "
            "number is below 0 and the sum is 1. Losses read logits, and a softmax of probabilities "
            "is nearly constant.",
            "teacher = kd.teachers.FromProbabilities(teacher)"
            if facts.teacher.is_keras
            else 'teacher = kd.sources.FunctionTeacher(teacher, name="teacher", kind="probabilities")',
            "Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015, section 2.",
        )
    return Finding(name, "fine", "The teacher's outputs are no probabilities.")


def input_scale(facts: Facts) -> Finding | None:
    """Whether the teacher is better under another common preprocessing."""
    if not facts.classes:
        return None
    part = facts.data.validation
    part = part.take(np.arange(min(len(part), _ASKED)))
    right = facts.outputs[: len(part)].argmax(axis=1) == part.y
    best = None
    for name, convert, code in conversions(part.x, facts.data.train.x):
        now = facts.teacher.predict(convert(part.x))
        if not np.isfinite(now).all():
            continue
        after = now.argmax(axis=1) == part.y
        # Another order of the classes hides no conversion: it is found by the best agreement.
        if best is None or after.mean() > best[1].mean():
            best = name, after, convert, code
    if best is not None:
        name, after, convert, code = best
        lost, won = int((right & ~after).sum()), int((after & ~right).sum())
        gain = after.mean() - right.mean()
        if gain >= _GAIN and mcnemar(lost, won) < _SIGNIFICANT:
            facts.convert = convert
            facts.outputs = facts.predict(facts.data.validation.x)
            facts.numbers["input_scale"] = name
            return Finding(
                "input_scale",
                "error",
                f"The teacher is right about {percent(right.mean())} of {len(part):,} validation "
                f"examples as they are, and about {percent(after.mean())} after another "
                f"preprocessing: {name}. All that follows was looked at after it.",
                _conversion_code(facts, code),
            )
    return Finding(
        "input_scale",
        "fine",
        f"As they are, the teacher is right about {percent(right.mean())} of {len(part):,} validation "
        "examples, and no other preprocessing is better.",
    )


def _conversion_code(facts: Facts, code: str) -> str:
    if facts.teacher.is_keras:
        return f"teacher = kd.teachers.ConvertInput(teacher, {code})"
    return (
        f"convert = kd.teachers.ConvertInput(keras.Sequential([keras.layers.Identity()]), {code})"
        "  # and teacher(np.asarray(convert(x)))"
    )


def conversions(x: np.ndarray, train: np.ndarray) -> Iterator[tuple[str, Any, str]]:
    """The preprocessings that are tried: what it is, how it is done, and its arguments in Python."""
    kind = kind_of(x)
    if kind == "columns":
        mean, deviation = train.mean(axis=0), train.std(axis=0)
        deviation = np.where(deviation > 1e-9, deviation, 1.0)
        code = "given=(train.x.mean(axis=0), train.x.mean(axis=0) + train.x.std(axis=0)), wanted=(0, 1)"
        yield "columns less their mean, divided by their deviation", (
            lambda x: ((x - mean) / deviation).astype("float32")
        ), code  # fmt: skip
    if kind != "images":
        return
    colors = x.shape[-1] == 3
    low, high = float(train.min()), float(train.max())
    given: Any = (0, 1)
    if high > 4.0:
        given = (0, 255) if low >= 0 else "caffe" if colors else (-128, 127)
    elif low < -0.01:
        given = "imagenet" if (high > 1.01 or low < -1.01) and colors else (-1, 1)
    names: dict[Any, str] = {(0, 1): "0 to 1", (0, 255): "0 to 255", (-1, 1): "-1 to 1"}
    names |= {"imagenet": "ImageNet's mean and deviation", "caffe": "0 to 255 less the mean"}
    for wanted in ((0, 1), (0, 255), (-1, 1), *(RANGES if colors else ())):
        for flip in (False, True) if colors else (False,):
            if wanted == given and not flip:
                continue
            scale, offset = line(given, wanted, flip)

            def convert(x: np.ndarray, scale=scale, offset=offset, flip=flip) -> np.ndarray:
                x = np.asarray(x, "float32")
                return (x[..., ::-1] if flip else x) * scale + offset

            told = names[wanted] + (", in the order blue, green, red" if flip else "")
            code = f"given={given!r}, wanted={wanted!r}" + ", flip_channels=True" * flip
            yield told, convert, code


def class_order(facts: Facts) -> Finding | None:
    """Whether the teacher's outputs are in the order of the labels."""
    if not facts.classes:
        return None
    y = facts.data.validation.y
    found = order_of(facts.outputs, y)
    names = [str(label) for label in range(facts.task.outputs)]
    if found.verdict == "permuted":
        order = list(found.order)
        facts.order, facts.outputs = order, facts.outputs[:, order]
        return Finding(
            "class_order",
            "error",
            found.problem(facts.teacher.name, names)
            + " All that follows was looked at in that order.",
            f"teacher = kd.teachers.ClassMap(teacher, {order})"
            if facts.teacher.is_keras
            else f"reordered = lambda x: teacher(x)[:, {order}]",
        )
    if found.verdict == "chance":
        return Finding(
            "class_order",
            "error",
            found.problem(facts.teacher.name, names)
            + " No common preprocessing makes it better either: are these its trained weights, and does "
            "it know these classes?",
            "",
        )
    return Finding(
        "class_order",
        "fine",
        f"The teacher's outputs are in the order of the labels: {percent(found.accuracy)} right"
        + (f", of {listing(names, 5)}." if found.verdict == "right" else "."),
    )
