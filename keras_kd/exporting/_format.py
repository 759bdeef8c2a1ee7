"""What a format is: the base class of LiteRT, ONNX and SavedModel.

A new format is a file with a subclass of `Format`, and a line in `_formats.py`.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import keras

from keras_kd._core.optional import require
from keras_kd.exporting._data import Examples
from keras_kd.exporting._job import Job
from keras_kd.exporting._labels import Decision
from keras_kd.exporting._metadata import Metadata
from keras_kd.exporting._proof import Micro
from keras_kd.exporting._running import Times
from keras_kd.exporting._signature import Arrays
from keras_kd.exporting._tensors import Stored

_ROOM = "keras_kd.exporting"


@dataclass(frozen=True)
class Quantization:
    """How numbers are stored and computed with.

    Args:
        integer: Whether weights or activations are integers, so that the file's outputs cannot
            be as close to the student's as with floats.
        calibrated: Whether the ranges of activations are read off calibration data.
        better: What keeps more of a student, as the end of "More of it is kept by ...".
        ai_edge: For which students ai-edge-quantizer makes it: `"all"`, `"tokens"` (those with
            inputs of integers) or `"none"`.
    """

    integer: bool = False
    calibrated: bool = False
    better: str = ""
    ai_edge: str = "none"

    def by_ai_edge(self, tokens: bool) -> bool:
        """Whether ai-edge-quantizer makes it, for a student with inputs of integers or without."""
        return self.ai_edge == "all" or (tokens and self.ai_edge == "tokens")

    @property
    def min_agreement(self) -> float:
        return 0.97 if self.integer else 0.99

    @property
    def tolerance(self) -> float:
        """How far a value may be off and still agree, as a share of what the values span."""
        return 0.05 if self.integer else 0.01

    @property
    def max_deviation(self) -> float:
        """Mean difference, over how much the outputs vary, above which a file is refused."""
        return 0.5 if self.integer else 0.1


class Package(NamedTuple):
    """A package that a format needs: the module, the extra that brings it, and what it does."""

    module: str
    extra: str
    purpose: str

    def require(self) -> None:
        require(self.module, extra=self.extra, purpose=f"{_ROOM} {self.purpose}")


class Contents(NamedTuple):
    """What is inside a file, as far as its format tells.

    Args:
        operators: How often each operator occurs, the most frequent first.
        integer_operators: Share of the operators without a floating-point number.
        quantization: How numbers are stored and computed with.
    """

    operators: Mapping[str, int] = {}
    integer_operators: float | None = None
    quantization: str = "float32"


class Format:
    """One kind of file that a student is exported to.

    A subclass states what is special to its files; the checks, the process that converts and the
    proof are the same for all. `convert` runs in that process, everything else in the caller's.
    An instance has no state. Subclasses live in modules that can be imported.
    """

    #: As it is given to `export(format=...)` and stands in the proof.
    name: ClassVar[str]
    #: As messages call it.
    title: ClassVar[str]
    #: The end of its files' names; empty for a folder.
    suffix: ClassVar[str]
    #: For a folder: the file in it by which it is known to be of this format.
    marker: ClassVar[str] = ""
    #: How numbers may be stored, by the name given to `export(quantization=...)`.
    quantizations: ClassVar[Mapping[str, Quantization]] = {"float32": Quantization()}
    #: The Keras backends that can convert, each with the package that does so there. Among several
    #: the student's own is taken where its package is installed, and else TensorFlow.
    converters: ClassVar[Mapping[str, Package]] = {
        "tensorflow": Package("tensorflow", "export", "converts")
    }
    #: The backends whose files take any number of examples at a time.
    any_batch: ClassVar[Sequence[str]] = ()
    #: What running a file needs.
    requires: ClassVar[Sequence[Package]] = ()
    #: Whether TensorFlow itself runs it.
    runs_on_tensorflow: ClassVar[bool] = False
    #: Whether loops over steps are written out for every quantization, not only calibrated ones.
    unrolls: ClassVar[bool] = False
    #: Whether it can be compiled into a program as an array for C.
    as_c_array: ClassVar[bool] = False

    # Before any work.

    def backend(self) -> str:
        """The Keras backend that converts."""
        own = keras.config.backend()
        found = own in self.converters and _installed(self.converters[own].module)
        return own if found else "tensorflow"

    def require_packages(self, settings: Quantization | None = None, tokens: bool = False) -> None:
        """An error that says what is to be installed.

        Args:
            settings: How a student is to be converted; `None` when nothing is, only run.
            tokens: Whether it has inputs of integers.
        """
        converts = settings is not None and self.backend() == "tensorflow"
        if (converts or self.runs_on_tensorflow) and not _installed("tensorflow"):
            raise ModuleNotFoundError(
                f"{_ROOM} works with tensorflow, which is not installed. Run: pip install "
                "tensorflow.",
                name="tensorflow",
            )
        for package in self.requires:
            package.require()
        if converts and not _installed(self.converters["tensorflow"].module):
            self.converters["tensorflow"].require()

    def check_student(self, student: keras.Model) -> None:
        """An error for a student that this format is known not to hold."""

    # The file.

    def convert(self, job: Job, student: keras.Model) -> None:
        """Writes `student` to `job.path`, in the process that converts."""
        raise NotImplementedError

    def run(self, path: Path, inputs: Arrays, timeout: float | None) -> tuple[Arrays, Times]:
        """The file's outputs on `inputs` by name, and how long one example takes on one thread.

        `timeout` is for a process of its own.
        """
        raise NotImplementedError

    def contents(self, path: Path) -> Contents:
        """What is inside the file."""
        return Contents()

    def tensors(self, path: Path) -> dict[str, Stored]:
        """The inputs and outputs by name, as far as the file tells."""
        return {}

    def order(self, path: Path) -> tuple[list[str], list[str]]:
        """The names of the inputs and of the outputs, in the order that the file has them in."""
        return [], []

    def write_metadata(self, path: Path, metadata: Metadata) -> None:
        """Puts what a file says of itself into it, where it has a place for that."""

    def card(self, path: Path) -> dict[str, Any] | None:
        """The metadata in the file, as `Metadata.as_json` gave them; `None` when it has none."""
        return None

    def class_names(self, path: Path) -> tuple[str, ...] | None:
        """The names of the classes in the file; `None` when it has none."""
        return None

    # The proof.

    def worst_layers(
        self, path: Path, student: keras.Model, examples: Examples, softmax: Sequence[str] = ()
    ) -> str:
        """The layers that lose most, as the end of an error; empty where nothing can be told.

        The outputs `softmax` have one that the student has not.
        """
        return ""

    def micro_proof(
        self,
        path: Path,
        inputs: Arrays,
        wanted: Arrays,
        decisions: dict[str, Decision],
        tolerance: float,
        timeout: float | None,
    ) -> Micro | None:
        """How the file does in the interpreter for microcontrollers, where it is meant for one."""
        return None


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
