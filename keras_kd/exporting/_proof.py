"""What an export gives back: the proof of what the file is and how it answers."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_kd.exporting._preprocessing import NOTHING, Preprocessing
from keras_kd.exporting._show_proof import shown
from keras_kd.exporting._tensors import Tensor

_MAKERS = (
    "keras", "numpy", "tensorflow", "jax", "torch", "ai-edge-litert", "ai-edge-quantizer",
    "tflite-micro", "tf2onnx", "jax2onnx", "onnxscript", "onnxruntime",
)  # fmt: skip


class ExportError(RuntimeError):
    """A student that could not be converted, or whose file does not answer as it does, or is
    damaged."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """One error for whatever kind a parser makes of a damaged file."""
    try:
        yield
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(
            f"The file '{path.name}' cannot be read: it is damaged, or not of the format that its "
            f"name says ({type(error).__name__}: {error})."
        ) from error


@dataclass(frozen=True)
class Answer:
    """One output: how the file's answers compare with the student's, over all examples.

    Args:
        name: The output.
        decision: What was compared: `"classes"` (the largest entry along the last axis), a
            threshold (the side of it on which each number lies) or `"values"` (each number, within
            a tolerance).
        agreement: Share of the decisions that are the same.
        max_difference: Largest difference between a number of the file's and the student's.
        mean_difference: The mean of these differences.
        accuracy: Share of the file's decisions that are as the labels say; `None` without labels.
        student_accuracy: The same of the student.
        divergence: Mean KL divergence from the teacher to the file, in nats; `None` without a
            teacher.
        student_divergence: The same to the student.
    """

    name: str
    decision: str | float
    agreement: float
    max_difference: float
    mean_difference: float
    accuracy: float | None = None
    student_accuracy: float | None = None
    divergence: float | None = None
    student_divergence: float | None = None


@dataclass(frozen=True)
class Micro:
    """How the file does in the interpreter for microcontrollers.

    Args:
        agreement: Share of the decisions that are the student's; the least over the outputs.
        max_difference: Largest difference from the student's numbers.
        examples: How many examples were run.
        arena_bytes: Working memory that the interpreter allocated on this machine, whose pointers
            are 8 bytes long: an upper bound for a microcontroller.
        flash_bytes: What the file takes in flash, without the interpreter's own code.
    """

    agreement: float
    max_difference: float
    examples: int
    arena_bytes: int
    flash_bytes: int


@dataclass(frozen=True)
class Proof:
    """What a file is, and how it was found to answer.

    `print(proof)` shows it; the file beside the student's has all of it, for programs.

    Args:
        path: The file (a folder, for a SavedModel).
        format: `"litert"`, `"onnx"` or `"tf_saved_model"`.
        quantization: How numbers are stored in it and computed with.
        bytes: Its size.
        gzip_bytes: Its size after compression.
        sha256: Its digest: whether a proof belongs to a file.
        examples: How many examples were compared.
        agreeing: On how many of them all decisions of all outputs are the same.
        answers: An `Answer` for each output.
        milliseconds: Median time of one call with one example, on this machine.
        milliseconds_spread: The first and the third quartile of these times.
        threads: How many threads a call had.
        operators: How often each operator occurs in the file.
        integer_operators: Share of the operators that touch no floating-point number, those aside
            that turn the one into the other. `None` for a file of another format than LiteRT.
        inputs: A `Tensor` for each input: name, type, shape, scale.
        outputs: A `Tensor` for each output.
        notes: What was chosen on the way, in words.
        micro: A `Micro`, when the file is for microcontrollers.
        classes: Names of the classes, in the order of the outputs, where they were given.
        proven_on: What the examples are: `"examples"`, given as such; `"held_out"`, a part of the
            calibration data that no range was read off; `"calibration"`, for the most part data
            off which the ranges were read; or `"random"`.
        preprocessing: A `Preprocessing`: what is done to inputs before the file gets them.
        card: What was given to `export(card=)`.
    """

    path: Path
    format: str
    quantization: str
    bytes: int
    gzip_bytes: int
    sha256: str
    examples: int
    agreeing: int
    answers: tuple[Answer, ...]
    milliseconds: float
    milliseconds_spread: tuple[float, float]
    threads: int
    operators: dict[str, int]
    integer_operators: float | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    notes: tuple[str, ...] = ()
    micro: Micro | None = None
    classes: tuple[str, ...] = ()
    proven_on: str = "examples"
    preprocessing: Preprocessing = NOTHING
    card: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        return shown(self)

    @property
    def agreement(self) -> float:
        """Share of the decisions that are the same; of several outputs, the least."""
        return min(answer.agreement for answer in self.answers)

    @property
    def max_difference(self) -> float:
        """Largest difference over all outputs."""
        return max(answer.max_difference for answer in self.answers)

    @property
    def mean_difference(self) -> float:
        """Mean difference; of several outputs, the largest."""
        return max(answer.mean_difference for answer in self.answers)

    @property
    def accuracy(self) -> float | None:
        """The file's accuracy, of the first output that has one."""
        return next((a.accuracy for a in self.answers if a.accuracy is not None), None)

    def as_json(self) -> str:
        """The proof as text, with the versions of what made the file."""
        record: dict[str, Any] = {
            **dataclasses.asdict(self),
            "path": self.path.name,
            "agreement": self.agreement,
            "max_difference": self.max_difference,
            "mean_difference": self.mean_difference,
            "made_with": dict(_versions()),
        }
        return json.dumps(record, indent=2) + "\n"


def _versions() -> Iterator[tuple[str, str]]:
    for name in _MAKERS:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def proof_path(path: Path) -> Path:
    """Where the proof of a file lies: beside it."""
    return path.with_name(f"{path.name}.json")


def check_digest(path: Path) -> dict[str, Any]:
    """The proof that lies beside the file, as it was written; empty when there is none. An error
    when it is not of these very bytes."""
    beside = proof_path(path)
    if not beside.exists():
        return {}
    try:
        record = json.loads(beside.read_text(encoding="utf-8"))
        proven = record["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ExportError(
            f"The proof '{beside}' cannot be read: it is damaged, or no proof. Export the student "
            "again, or remove it to compare the file without it."
        ) from error
    with reading(path):
        came = measured(path)["sha256"]
    if came != proven:
        raise ExportError(
            f"'{path}' is not the file that the proof '{beside.name}' was written for: its sha256 "
            f"is {came}, that of the proof {proven}. One of the two was damaged, or changed, or "
            "belongs to another. Export the student again, or remove the proof to compare the "
            "file as it is."
        )
    return record


def measured(path: Path) -> dict[str, Any]:
    """Sizes and digest of a file, or of all files of a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest, squeeze, size, squeezed = hashlib.sha256(), zlib.compressobj(9, wbits=31), 0, 0
    for file in files:
        content = file.read_bytes()
        digest.update(content)
        size += len(content)
        squeezed += len(squeeze.compress(content))
    squeezed += len(squeeze.flush())
    return {"bytes": size, "gzip_bytes": squeezed, "sha256": digest.hexdigest()}
