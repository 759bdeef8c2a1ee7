"""Files of students: how large and fast they are, and which students are within the limits."""

import importlib.util
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd.auto._candidates import Candidate
from keras_kd.auto._data import Data
from keras_kd.auto._limits import Limits, amount
from keras_kd.exporting import ExportError, Proof, export, verify

#: Number formats, the most exact first, and the bytes of a weight.
FORMATS = {"float32": 4.0, "float16": 2.0, "int8": 1.0, "int4": 0.5}
_MICRO = ("float32", "int8")
#: What a file has beside its weights, from and to: for each layer, and in all.
_LAYER_BYTES, _FILE_BYTES, _SPARE = (900, 6000, 1.15)
#: A file measured again may be slower by so much.
LATENCY_MARGIN = 0.9
#: How often a latency that is above the limit is measured again, and from how many limits it is not.
_MEASURED_AGAIN, _HOPELESS = 3, 3.0
_CALIBRATION, _EXAMPLES = 256, 32
#: How many students are searched among.
_MOST, _MOST_ALIKE = 4, 2

Latency = Callable[[Path], float]


@dataclass(frozen=True)
class Fitting:
    """A student in a number format, and what its file takes.

    Args:
        candidate: The student.
        format: The most exact number format in which it keeps the limits.
        costs: `"size"`, `"latency"`, `"parameters"`, `"flops"`, `"arena"`; `None` where not known.
        measured: Whether size and latency are those of a file.
    """

    candidate: Candidate
    format: str
    costs: dict[str, float | None] = field(default_factory=dict)
    measured: bool = False

    @property
    def name(self) -> str:
        return f"{self.candidate.name}, {self.format}"


class Files:
    """Writes students as files and measures them.

    Args:
        limits: What a file may take.
        data: For calibration and for the proof.
        latency: Milliseconds of a file on another device; `None` for this machine.
        formats: The formats that are allowed.
        about: What a file says of itself, as arguments of `export`.
    """

    def __init__(
        self,
        limits: Limits,
        data: Data,
        latency: Latency | None,
        formats: tuple[str, ...] | None,
        about: Mapping[str, Any] | None = None,
    ):
        self.about = dict(about or {})
        self.limits, self.data, self.latency = limits, data, latency
        self.formats = _formats(formats, limits)
        self.seconds = 10.0  # that an export takes; measured at the first

    @property
    def target(self) -> str | None:
        return "micro" if self.limits.arena is not None else None

    def write(
        self, student: keras.Model, path: Path, format: str, proven: bool = True
    ) -> dict[str, float | None]:
        """Writes a student's file; what it takes. With the real proof where it is `proven`."""
        train, held = self.data.train, self.data.validation
        drawn = np.random.default_rng(0).permutation(len(train))
        settings: dict[str, Any] = {"quantization": format, "target": self.target, **self.about}
        if format == "int8":
            settings["calibration"] = train.x[drawn[: 4 * _CALIBRATION if proven else _CALIBRATION]]
        if proven:
            settings["examples"] = held.x
        else:
            settings |= {"examples": held.x[:_EXAMPLES], "min_agreement": 0.0}
        began = time.perf_counter()
        proof = export(student, path, **settings)
        self.seconds = 0.5 * (self.seconds + time.perf_counter() - began)
        return self.costs(proof)

    def costs(self, proof: Proof) -> dict[str, float | None]:
        took = proof.milliseconds if self.latency is None else float(self.latency(proof.path))
        arena = None if proof.micro is None else float(proof.micro.arena_bytes)
        return {"size": float(proof.bytes), "latency": took, "arena": arena}

    def least(self, weights: int) -> float:
        """Bytes that a file of so many weights has at least, in the smallest format."""
        return weights * min(FORMATS[format] for format in self.formats)

    def over(self, weights: int) -> bool:
        """Whether a file of so many weights is over the limits for certain."""
        limit = self.limits.parameters
        too_many = limit is not None and weights > limit
        return too_many or bool(self.limits.broken({"size": self.least(weights)}))

    def fitting(
        self,
        candidate: Candidate,
        measure: bool,
        tell: Callable[[str], None],
        formats: tuple[str, ...] | None = None,
        late: bool = False,
    ) -> Any:
        """The candidate in the most exact format that keeps the limits, or why there is none.

        What follows from the number of weights alone is not measured, unless `measure` says so;
        when it is `late`, nothing is.
        """
        counted: dict[str, float | None] = {"parameters": float(candidate.parameters)}
        if self.limits.broken(counted):
            return _over(counted, ["parameters"])
        if self.over(candidate.folded):
            return _over({"size": self.least(candidate.folded)}, ["size"], "at least ")
        counted["flops"] = candidate.flops(self.data.train.x)
        if broken := self.limits.broken(counted):
            return _over(counted, broken)
        why = ""
        for format in self.formats if formats is None else formats:
            least = candidate.folded * FORMATS[format]
            if "size" in (broken := self.limits.broken({"size": least})):
                why = _over({"size": least}, broken, f"{format}: at least ")
                continue
            guess = _guess(candidate, format)
            sure = not self.limits.broken({"size": guess})
            if (late or not measure) and sure and self.limits.latency is self.limits.arena is None:
                return Fitting(candidate, format, {**counted, "size": guess})
            if late:
                return "not tried: no time to measure it"
            tell(f"{candidate.name} as a file in {format}")
            try:
                costs = self.measured(candidate, format)
            except (ExportError, ValueError) as error:
                why = f"{format}: {str(error).splitlines()[0]}"
                continue
            if not (broken := self._broken(costs)):
                return Fitting(candidate, format, {**counted, **costs}, measured=True)
            why = _over(costs, broken, f"{format}: ")
        return why or "no format is allowed"

    def measured(self, candidate: Candidate, format: str) -> dict[str, float | None]:
        """What the file of the student will take, from one that is not trained."""
        student = _as_if_trained(candidate.build())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "m.tflite")
            costs = self.write(student, path, format, proven=False)
            return self.measured_again(path, student, costs, LATENCY_MARGIN)

    def measured_again(
        self, path: Path, student: keras.Model, costs: dict[str, float | None], share: float = 1.0
    ) -> dict[str, float | None]:
        """A latency above this share of the limit may be another program's: the least of some
        measurements."""
        limit = self.limits.latency
        for _ in range(_MEASURED_AGAIN):
            took = costs.get("latency")
            if limit is None or took is None or took <= share * limit or self.latency is not None:
                break
            if took > _HOPELESS * limit:
                break
            again = verify(path, student, self.data.validation.x[:_EXAMPLES], target=self.target)
            costs = {**costs, "latency": min(took, again.milliseconds)}
        return costs

    def _broken(self, costs: dict[str, float | None]) -> list[str]:
        """As `Limits.broken`, with room for a latency that is another one each time."""
        took = costs.get("latency")
        slower = None if took is None or self.latency else took / LATENCY_MARGIN
        return self.limits.broken({**costs, **({"latency": slower} if slower else {})})


def _as_if_trained(student: keras.Model) -> keras.Model:
    """The student with every weight moved a little: a file stores equal ones, such as biases of
    zeros, only once, and would be larger after training."""
    rng = np.random.default_rng(0)
    for weight in student.weights:
        value = keras.ops.convert_to_numpy(weight)
        if value.dtype.kind == "f":
            moved = value + 0.01 * np.abs(rng.normal(size=value.shape)).astype(value.dtype)
            weight.assign(moved)
    return student


def chosen(
    files: Files,
    candidates: list[Candidate],
    measure: bool,
    tell: Callable[[str], None],
    until: float = float("inf"),
) -> tuple[list[Fitting], dict[str, str]]:
    """The students to search among, the largest first, and why the others are not among them.

    Args:
        files: Writes and measures them.
        candidates: In the order in which they are tried.
        measure: Whether files are measured whose size is certain to be within the limit.
        tell: Called with what is being done.
        until: When no further one is measured, once there is one, as `time.perf_counter` tells it.
    """
    rounds = [files.formats]
    if not measure and len(files.formats) > 1 and "int4" in files.formats:
        # Four bits where nothing else is small enough: each file takes seconds to write.
        rounds = [tuple(f for f in files.formats if f != "int4"), ("int4",)]
    found: list[Fitting] = []
    dropped: dict[str, str] = {}
    for formats in rounds:
        for candidate in candidates:
            alike = sum(other.candidate.origin == candidate.origin for other in found)
            full = len(found) >= _MOST or alike >= _MOST_ALIKE
            late = bool(found) and time.perf_counter() > until
            if candidate.origin != "given" and full:
                dropped.setdefault(candidate.name, "not tried: larger ones keep the limits")
                continue
            late = late and candidate.origin != "given"
            # One student of four bits is enough, where others fit in eight.
            four = any(other.format == "int4" for other in found) and len(formats) > 1
            allowed = tuple(f for f in formats if f != "int4" or not four)
            result = files.fitting(candidate, measure, tell, allowed, late)
            if isinstance(result, Fitting):
                found.append(result)
                dropped.pop(candidate.name, None)
            else:
                dropped[candidate.name] = result
        if found:
            return found, dropped
    raise ValueError(_nothing_fits(files, candidates, dropped))


def spread(candidates: list[Candidate], limits: Limits) -> list[Candidate]:
    """The candidates in the order in which they are tried: the largest first; for the smallest that
    keeps an accuracy, from all sizes."""
    if limits.accuracy is None or len(candidates) <= _MOST:
        return candidates
    places = np.unique(np.linspace(0, len(candidates) - 1, _MOST).round().astype(int))
    first = [candidates[place] for place in places]
    return [*first, *(c for c in candidates if c not in first)]


def _guess(candidate: Candidate, format: str) -> float:
    """Bytes that a file will hardly be above."""
    return (
        _SPARE * candidate.parameters * FORMATS[format]
        + _LAYER_BYTES * candidate.layers
        + _FILE_BYTES
    )


def _over(costs: dict[str, float | None], broken: list[str], before: str = "") -> str:
    return before + ", ".join(
        f"{name} {amount(name, value)}" for name in broken if (value := costs[name]) is not None
    )


def _nothing_fits(files: Files, candidates: list[Candidate], dropped: dict[str, str]) -> str:
    nearest = min(candidates, key=lambda c: c.folded)
    format = files.formats[-1]
    costs: dict[str, float | None] = {
        "parameters": float(nearest.parameters),
        "flops": nearest.flops(files.data.train.x),
    }
    try:
        costs |= files.measured(nearest, format)
    except (ExportError, ValueError) as error:
        costs["size"] = nearest.folded * FORMATS[format]
        dropped[nearest.name] = str(error).splitlines()[0]
    takes = ", ".join(f"{n} {amount(n, v)}" for n, v in costs.items() if v is not None)
    return (
        f"No student keeps the limits ({files.limits}). The nearest is '{nearest.name}' in "
        f"{format}: {takes}. Allow what it takes, or give smaller ones: students=[...]. What was "
        "tried: " + "; ".join(f"{name} ({why})" for name, why in list(dropped.items())[:6]) + "."
    )


def _formats(formats: tuple[str, ...] | None, limits: Limits) -> tuple[str, ...]:
    known = _MICRO if limits.arena is not None else tuple(FORMATS)
    wanted = known if formats is None else tuple(formats)
    wrong = [f for f in wanted if f not in known]
    if wrong or not wanted:
        for_micro = " with a limit of `arena`" if limits.arena is not None else ""
        raise ValueError(
            f"`formats` must be some of {listing(known)}{for_micro}. Received: formats={formats!r}."
        )
    if formats is None and importlib.util.find_spec("ai_edge_quantizer") is None:
        wanted = tuple(f for f in wanted if f != "int4")  # needs the extra `quant`
    return tuple(f for f in FORMATS if f in wanted)
