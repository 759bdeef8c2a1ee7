"""Teachers that are no `.keras` files: other runtimes' files, estimators, servers."""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_kd import sources

#: Files of outputs that were computed elsewhere.
ANSWERS = (".csv", ".jsonl", ".npy", ".npz", ".parquet")
_PICKLES = (".joblib", ".pickle", ".pkl")
_PROGRAMS = (".pt", ".pt2", ".ts")
#: All that stands for a teacher beside `.keras`.
SUFFIXES = (".onnx", ".tflite", *_PROGRAMS, *_PICKLES, *ANSWERS)


def is_external(teacher: Path | str) -> bool:
    """Whether `teacher` names a teacher of another framework."""
    if isinstance(teacher, str):
        return True
    return teacher.suffix in SUFFIXES or (teacher / "saved_model.pb").is_file()


def open_teacher(options: argparse.Namespace) -> Any:
    """The teacher of `keras_kd.sources` that the options name."""
    teacher = options.teacher
    if isinstance(teacher, str):
        key = options.api_key_env
        return sources.ServerTeacher(teacher, kind=options.kind, api_key_env=key)
    if not teacher.exists():
        raise ValueError(f"There is no file '{teacher}'.")
    if teacher.suffix in _PICKLES:
        return _estimator(teacher, options)
    if teacher.suffix == ".onnx":
        form = options.data_format or "channels_last"
        return sources.ONNXTeacher(teacher, kind=options.kind, data_format=form)
    if teacher.suffix == ".tflite":
        return sources.LiteRTTeacher(teacher, kind=options.kind)
    if teacher.suffix in _PROGRAMS:
        form = options.data_format or "channels_first"
        return sources.TorchTeacher(teacher, kind=options.kind, data_format=form)
    return sources.SavedModelTeacher(teacher, kind=options.kind)


def image_shape(teacher: Any, options: argparse.Namespace) -> tuple[int | None, ...]:
    """The shape of one image, as it is given or as the file states it."""
    if options.image_shape is not None:
        return options.image_shape
    shape = getattr(teacher, "input_shape", None) or (None, None, None)
    if getattr(teacher, "data_format", None) == "channels_first" and len(shape) == 3:
        shape = (shape[1], shape[2], shape[0])
    return tuple(shape) if len(shape) == 3 else (None, None, None)


def _estimator(path: Path, options: argparse.Namespace) -> Any:
    if not options.trust_pickle:
        raise ValueError(
            f"'{path}' is a pickle: to open one is to run whatever code is in it, with your rights, "
            "so it was not opened. If you made it, or know who did and trust them, add "
            "--trust-pickle. From a stranger take an .onnx file."
        )
    load = _loader(path)
    try:
        estimator = load(path)
    except Exception as error:  # of whatever kind a damaged file leads to
        raise ValueError(f"'{path}' could not be opened: {error}") from error
    classes = None
    if options.classes and set(options.classes) <= set(
        map(str, getattr(estimator, "classes_", []))
    ):
        classes = options.classes
    return sources.SklearnTeacher(estimator, classes=classes, name=path.stem)


def _loader(path: Path) -> Callable[[Path], Any]:
    if path.suffix == ".joblib":
        return importlib.import_module("joblib").load
    pickle = importlib.import_module("pickle")
    return lambda file: pickle.loads(file.read_bytes())
