"""The formats of files, and how their numbers may be stored."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.optional import require


@dataclass(frozen=True)
class Quantization:
    """How numbers are stored and computed with.

    Args:
        integer: Whether weights or activations are integers, so that the file's answers cannot
            be as close to the student's as with floats.
        calibrated: Whether the ranges of activations are read off calibration data.
        ai_edge: For which students ai-edge-quantizer makes it: `"all"`, `"tokens"` (those with
            inputs of integers) or `"none"`.
        micro: Whether the interpreter for microcontrollers runs it.
    """

    integer: bool = False
    calibrated: bool = False
    ai_edge: str = "none"
    micro: bool = False

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
    def most_unlike(self) -> float:
        """Mean difference, over how much the answers vary, above which a file is refused."""
        return 0.5 if self.integer else 0.1


QUANTIZATIONS = {
    "float32": Quantization(micro=True),
    "float16": Quantization(),
    "dynamic": Quantization(integer=True),
    "int8": Quantization(integer=True, calibrated=True, micro=True),
    # TensorFlow's converter wants ranges of integer inputs too, and finds none.
    "int16x8": Quantization(integer=True, calibrated=True, micro=True, ai_edge="tokens"),
    "int4": Quantization(integer=True, ai_edge="all"),
}

#: Suffix of each format's files. The names are those of `keras.Model.export`.
FORMATS = {"litert": ".tflite", "onnx": ".onnx", "tf_saved_model": ""}


def format_of(path: Path, asked: str | None) -> str:
    """The format asked for, or the one that the suffix of `path` tells."""
    if asked is not None and asked not in FORMATS:
        raise ValueError(
            f"`format` must be one of {listing(FORMATS)}. Received: format={asked!r}."
            + did_you_mean(str(asked), FORMATS)
        )
    by_suffix = {suffix: name for name, suffix in FORMATS.items()}
    found = by_suffix.get(path.suffix)
    if asked is None and found is None:
        raise ValueError(
            "`path` must end with '.tflite' (LiteRT) or '.onnx' (ONNX), or have no suffix (a "
            f"folder, for a SavedModel). Received: '{path}'."
        )
    if asked not in (None, "tf_saved_model", found):
        raise ValueError(f"`path` must end with '{FORMATS[str(asked)]}'. Received: '{path}'.")
    return asked or str(found)


def quantization_of(name: str, format: str, micro: bool, integer_io: bool) -> Quantization:
    """The settings of that name, where they can be had."""
    if name not in QUANTIZATIONS:
        raise ValueError(
            f"`quantization` must be one of {listing(QUANTIZATIONS)}. "
            f"Received: quantization={name!r}." + did_you_mean(str(name), QUANTIZATIONS)
        )
    found = QUANTIZATIONS[name]
    if format != "litert" and name != "float32":
        raise ValueError(
            f"Only a LiteRT file ('.tflite') can be quantized. Received: quantization={name!r} "
            f"for the format '{format}'."
        )
    if micro and not (format == "litert" and found.micro):
        able = [n for n, q in QUANTIZATIONS.items() if q.micro]
        raise ValueError(
            "target='micro' takes a LiteRT file ('.tflite') with a quantization of "
            f"{listing(able)}. Received: quantization={name!r} for the format '{format}'."
        )
    if integer_io and not found.calibrated:
        raise ValueError(
            "`integer_io` needs quantization='int8' or 'int16x8', whose activations are integers. "
            f"Received: quantization={name!r}."
        )
    return found


def engine(format: str) -> str:
    """The Keras backend that converts: tensorflow, or for ONNX the student's own if it can."""
    own = keras.config.backend()
    converter = {"jax": "jax2onnx", "torch": "onnxscript"}.get(own)
    if format == "onnx" and converter and _installed(converter):
        return own
    return "tensorflow"


def ask_for_packages(format: str, ai_edge: bool, micro: bool, converts: bool = True) -> None:
    """An error, before any work, that says what is to be installed."""
    who = "keras_kd.exporting"
    on_tensorflow = converts and engine(format) == "tensorflow"
    if (on_tensorflow or format == "tf_saved_model") and not _installed("tensorflow"):
        raise ModuleNotFoundError(
            f"{who} works with tensorflow, which is not installed. Run: pip install tensorflow.",
            name="tensorflow",
        )
    if format == "litert":
        require("ai_edge_litert.interpreter", extra="export", purpose=f"{who} runs what it wrote")
    if format == "onnx":
        require("onnx", extra="onnx", purpose=f"{who} reads ONNX files")
        require("onnxruntime", extra="onnx", purpose=f"{who} runs what it wrote")
        if on_tensorflow and not _installed("tf2onnx"):
            require("tf2onnx", extra="onnx", purpose=f"{who} converts")
    if ai_edge:
        require("ai_edge_quantizer", extra="quant", purpose=f"{who} quantizes this student")
    if micro:
        require("tflite_micro", extra="micro", purpose=f"{who} runs files for microcontrollers")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
