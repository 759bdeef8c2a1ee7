"""LiteRT, formerly TensorFlow Lite: the files of phones, small computers and accelerators."""

import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras

from keras_kd.exporting._data import Examples
from keras_kd.exporting._format import Contents, Format, Package, Quantization
from keras_kd.exporting._job import Job
from keras_kd.exporting._litert_converter import convert
from keras_kd.exporting._litert_interpreter import run, tensors
from keras_kd.exporting._litert_layers import worst_layers
from keras_kd.exporting._litert_metadata import LABELS, write_litert_metadata
from keras_kd.exporting._litert_operators import (
    integer_share,
    operators_in,
    order_in,
    quantization_in,
)
from keras_kd.exporting._metadata import CARD, Metadata
from keras_kd.exporting._proof import reading
from keras_kd.exporting._running import Times
from keras_kd.exporting._signature import Arrays
from keras_kd.exporting._tensors import Stored

_QUANTIZER = Package("ai_edge_quantizer", "quant", "quantizes this student")
_TRAINING = ", or by training with keras_kd.compression.quantize_aware"


class LiteRT(Format):
    """A `.tflite` file, which takes one example at a time."""

    name, title, suffix = "litert", "LiteRT", ".tflite"
    quantizations: ClassVar = {
        "float32": Quantization(),
        "float16": Quantization(better="quantization='float32'"),
        "dynamic": Quantization(integer=True, better="quantization='float16'"),
        "int8": Quantization(
            integer=True,
            calibrated=True,
            better="quantization='int16x8', 'dynamic' or 'float16', by more `calibration` examples"
            + _TRAINING,
        ),
        # TensorFlow's converter wants ranges of integer inputs too, and finds none.
        "int16x8": Quantization(
            integer=True,
            calibrated=True,
            better="quantization='dynamic' or 'float16', by more `calibration` examples",
            ai_edge="tokens",
        ),
        "int4": Quantization(
            integer=True, better="quantization='dynamic' or 'int8'" + _TRAINING, ai_edge="all"
        ),
    }
    requires: ClassVar[Sequence[Package]] = (
        Package("ai_edge_litert.interpreter", "export", "runs what it wrote"),
    )
    as_c_array = True

    def require_packages(self, settings: Quantization | None = None, tokens: bool = False) -> None:
        super().require_packages(settings, tokens)
        if settings is not None and settings.by_ai_edge(tokens):
            _QUANTIZER.require()

    def convert(self, job: Job, student: keras.Model) -> None:
        ai_edge = self.quantizations[job.quantization].by_ai_edge(job.tokens)
        convert(job, job.with_names(student), ai_edge)

    def run(self, path: Path, inputs: Arrays, timeout: float | None) -> tuple[Arrays, Times]:
        return run(path, inputs)

    def tensors(self, path: Path) -> dict[str, Stored]:
        return tensors(path)

    def order(self, path: Path) -> tuple[list[str], list[str]]:
        return order_in(path)

    def contents(self, path: Path) -> Contents:
        found = operators_in(path)
        names = Counter(operator.name for operator in found)
        return Contents(dict(names.most_common()), integer_share(found), quantization_in(found))

    def write_metadata(self, path: Path, metadata: Metadata) -> None:
        write_litert_metadata(path, metadata)
        # What comes after the model is not read by the interpreters: the files that go with
        # TensorFlow Lite's metadata are such an archive.
        with zipfile.ZipFile(path, "a") as archive:
            if metadata.classes:
                archive.writestr(zipfile.ZipInfo(LABELS), "\n".join(metadata.classes))
            archive.writestr(zipfile.ZipInfo(CARD), metadata.as_json())

    def class_names(self, path: Path) -> tuple[str, ...] | None:
        found = _from_archive(path, LABELS)
        return None if found is None else tuple(found.split("\n"))

    def card(self, path: Path) -> dict[str, Any] | None:
        found = _from_archive(path, CARD)
        with reading(path):
            return None if found is None else json.loads(found)

    def worst_layers(
        self, path: Path, student: keras.Model, examples: Examples, softmax: Sequence[str] = ()
    ) -> str:
        return worst_layers(path, student, examples.signature, examples.inputs, softmax)


def _from_archive(path: Path, name: str) -> str | None:
    """A file of the archive behind the model; `None` when there is none."""
    if not zipfile.is_zipfile(path):
        return None
    with reading(path), zipfile.ZipFile(path) as archive:
        return archive.read(name).decode("utf-8") if name in archive.namelist() else None
