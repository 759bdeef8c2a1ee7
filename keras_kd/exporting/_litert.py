"""LiteRT, formerly TensorFlow Lite: the files of phones, small computers and accelerators."""

import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import keras

from keras_kd.exporting._data import Examples
from keras_kd.exporting._format import Contents, Format, Package, Quantization
from keras_kd.exporting._job import Job
from keras_kd.exporting._litert_converter import convert
from keras_kd.exporting._litert_interpreter import run
from keras_kd.exporting._litert_layers import worst_layers
from keras_kd.exporting._litert_operators import integer_share, operators_in, quantization_in
from keras_kd.exporting._proof import reading
from keras_kd.exporting._running import Times
from keras_kd.exporting._signature import Arrays

#: As the files that go with TensorFlow Lite's metadata are called.
_LABELS = "labels.txt"
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

    def contents(self, path: Path) -> Contents:
        found = operators_in(path)
        names = Counter(operator.name for operator in found)
        return Contents(dict(names.most_common()), integer_share(found), quantization_in(found))

    def write_class_names(self, path: Path, names: Sequence[str]) -> None:
        # What comes after the model is not read by the interpreters: TensorFlow Lite's own
        # metadata, and what Android's libraries take labels from, is such an archive too.
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(zipfile.ZipInfo(_LABELS), "\n".join(names))

    def class_names(self, path: Path) -> tuple[str, ...] | None:
        if not zipfile.is_zipfile(path):
            return None
        with reading(path), zipfile.ZipFile(path) as archive:
            if _LABELS not in archive.namelist():
                return None
            return tuple(archive.read(_LABELS).decode("utf-8").split("\n"))

    def worst_layers(self, path: Path, student: keras.Model, examples: Examples) -> str:
        return worst_layers(path, student, examples.signature, examples.inputs)
