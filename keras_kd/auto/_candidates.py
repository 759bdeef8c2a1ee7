"""The students that come into question: cut from the teacher, of the ladder, and given."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd import students
from keras_kd._core.heads import before_head
from keras_kd._core.messages import did_you_mean, listing
from keras_kd.auto._data import kind_of
from keras_kd.auto._task import Task
from keras_kd.auto._teacher import Teacher
from keras_kd.compression import shrink
from keras_kd.report import work

#: Shares of the teacher's channels, and of its repeated blocks; in each row the smallest first, so
#: that a row ends with the first one that is over the limits.
_CUTS = (
    tuple((width, 1.0) for width in (0.12, 0.18, 0.25, 0.35, 0.5, 0.75)),
    tuple((width, 0.5) for width in (0.25, 0.5, 1.0)),
)
#: Between cnn-small and cnn-medium, of which the one has ten times as many weights as the other.
_CNNS = tuple(f"cnn {n}-{2 * n}-{4 * n}-{4 * n}" for n in (8, 9, 10, 11, 12, 13, 14))
_LADDER: dict[str, tuple[tuple[str, ...], ...]] = {
    "images": (("mlp-16", "mlp-64"), ("cnn-small", *_CNNS, "cnn-medium"), ("resnet8",),
               ("tiny", "small", "medium", "large")),
    "columns": (("table-tiny", "table-small", "table-medium", "table-large"),),
    "tokens": (("text-tiny", "text-small", "text-medium", "text-large"),),
}  # fmt: skip
_PIXELS = 1024  # of images that a network of dense layers is offered for


@dataclass(frozen=True)
class Candidate:
    """A student that may be trained.

    Args:
        name: What tables call it.
        origin: `"cut"` from the teacher, of the `"ladder"`, or `"given"`.
        build: Gives it with the weights that it begins with.
        code: How it is built, written in Python.
        parameters: Number of weights.
        folded: Those that are left in a file, where BatchNormalization is folded.
        layers: Number of layers.
        before_head: The path of the layer whose output enters the last one, and how many numbers it
            gives; `None` for none.
    """

    name: str
    origin: str
    build: Callable[[], keras.Model]
    code: str
    parameters: int
    folded: int
    layers: int
    before_head: tuple[str, int] | None = None

    def flops(self, x: np.ndarray) -> float | None:
        """Operations for one example such as those of `x`; `None` where they cannot be counted."""
        try:
            return float(work(self.build(), x[:1]).flops)
        except Exception:  # what cannot be counted is not limited by it
            return None


def candidates_of(
    given: Sequence[Any] | None,
    teacher: Teacher,
    task: Task,
    x: np.ndarray,
    over: Callable[[int], bool] = lambda weights: False,
) -> tuple[list[Candidate], dict[str, str]]:
    """All candidates, the largest first, and why others are not among them.

    Args:
        given: What the person gave.
        teacher: Which students are cut from.
        task: What is learned.
        x: Inputs of examples.
        over: Whether a file of so many weights is over the limits for certain: larger ones of the
            same make are then not even built.
    """
    found: dict[str, Candidate] = {}
    left_out: dict[str, str] = {}
    rows = [_given(given, task, x)] if given is not None else _own(teacher, task, x)
    for row in rows:
        ended = False
        for name, origin, build, code in row:
            if ended:
                left_out[name] = "a smaller one of its make is over the limits"
                continue
            try:
                model = build()
                check_student(model, name, task, x)
            except (ValueError, TypeError) as error:
                if origin == "given":
                    raise
                left_out[name] = f"{error}"
                continue
            weights = model.count_params()
            if origin == "cut" and any(weights == other.parameters for other in found.values()):
                continue  # as wide as another, after rounding
            folded = weights - _norms(model)
            found[name] = Candidate(
                name, origin, build, code, weights, folded, len(model.layers), before_head(model)
            )
            ended = origin != "given" and over(folded)
    if not found:
        raise ValueError(
            "No student to search among: "
            + (
                "`students` is empty. "
                if given is not None
                else f"{'; '.join(list(left_out.values())[:3])}. "
            )
            + "Give some: students=['tiny', my_model, build], of names of keras_kd.students, Keras "
            "models and functions that build one of a width."
        )
    ordered = sorted(found.values(), key=lambda c: (-c.parameters, c.name))
    return ordered, left_out


def name_of(student: Any) -> str:
    """What a student that was given is called."""
    return str(getattr(student, "name", None) or getattr(student, "__name__", student))


_Offer = tuple[str, str, Callable[[], keras.Model], str]


def _own(teacher: Teacher, task: Task, x: np.ndarray) -> list[Iterable[_Offer]]:
    """Rows of students of one make, the smallest first."""
    rows: list[Iterable[_Offer]] = []
    if teacher.is_keras:
        rows += [[_cut(teacher, *cut) for cut in row] for row in _CUTS]
    for row in _LADDER.get(kind_of(x), ()):
        if not row[0].startswith("mlp") or np.prod(x.shape[1:]) <= _PIXELS:
            rows.append([_named(name, task, x, "ladder") for name in row])
    return rows


def _cut(teacher: Teacher, width: float, depth: float) -> _Offer:
    def build() -> keras.Model:
        return shrink(teacher.model, width, depth, copy_weights=True)

    name = f"cut {width:g}" + (f" x {depth:g} deep" if depth < 1 else "")
    code = f"kd.compression.shrink(teacher, {width:g}, {depth:g}, copy_weights=True)"
    return name, "cut", build, code


def _named(name: str, task: Task, x: np.ndarray, origin: str) -> _Offer:
    settings = {"vocabulary": int(x.max()) + 1} if name.startswith("text-") else {}
    shape = tuple(int(n) for n in x.shape[1:])
    if name in _CNNS:
        return _convolutional(name, shape, task.outputs)

    def build() -> keras.Model:
        return students.build(name, shape, task.outputs, **settings)

    extra = "".join(f", {key}={value}" for key, value in settings.items())
    return (
        name,
        origin,
        build,
        f'kd.students.build("{name}", {shape}, {task.outputs}{extra})',
    )


def _convolutional(name: str, shape: tuple[int, ...], outputs: int) -> _Offer:
    widths = tuple(int(width) for width in name.removeprefix("cnn ").split("-"))

    def build() -> keras.Model:
        return students.cnn(shape, outputs, widths=widths)

    return name, "ladder", build, f"kd.students.cnn({shape}, {outputs}, widths={widths})"


def _given(given: Sequence[Any], task: Task, x: np.ndarray) -> Iterator[_Offer]:
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise TypeError(
            "`students` must be a list of names, Keras models and functions. Received: "
            f"{given!r}. Write students=[...]."
        )
    for number, one in enumerate(given):
        if isinstance(one, str):
            if one not in students.names():
                raise ValueError(
                    f"`students` names '{one}', and keras_kd.students has no such name. Expected "
                    f"one of {listing(students.names(), 30)}." + did_you_mean(one, students.names())
                )
            yield _named(one, task, x, "given")
        elif isinstance(one, keras.Model):
            yield _model(one, number)
        elif callable(one):
            yield from _built(one)
        else:
            raise TypeError(
                f"`students[{number}]` must be a name, a keras.Model or a function that builds one "
                f"of a width. Received: {one!r}."
            )


def _model(model: keras.Model, number: int) -> _Offer:
    weights = [np.array(w) for w in model.get_weights()]

    def build() -> keras.Model:
        made = keras.models.clone_model(model)
        made.set_weights(weights)
        return made

    code = f"keras.models.clone_model(students[{number}])"
    return (
        model.name,
        "given",
        build,
        code + f"; student.set_weights(students[{number}].get_weights())",
    )


def _built(function: Callable[..., Any]) -> Iterator[_Offer]:
    name = getattr(function, "__name__", type(function).__name__)
    for width in (1.0, 0.5, 0.25):

        def build(width: float = width) -> keras.Model:
            return function(width)

        yield f"{name} {width:g}", "given", build, f"{name}({width:g})"


def check_student(model: Any, name: str, task: Task, x: np.ndarray) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(f"The student '{name}' is no keras.Model: {type(model).__name__}.")
    shape = tuple(model.output_shape) if not isinstance(model.output_shape, list) else None
    if shape != (None, task.outputs):
        raise ValueError(
            f"The student '{name}' must give one row of {task.outputs} numbers for each example, as "
            f"the teacher does, and gives {shape}."
        )
    taken = tuple(model.input_shape[1:])
    if len(taken) != x.ndim - 1 or any(
        n not in (None, m) for n, m in zip(taken, x.shape[1:], strict=True)
    ):
        raise ValueError(
            f"The student '{name}' takes inputs of shape {taken}; the examples are {x.shape[1:]}."
        )


def _norms(model: keras.Model) -> int:
    return sum(
        layer.count_params()
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    )
