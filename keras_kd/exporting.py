"""From a student to a file for a device, and the proof that the file answers like the student."""

import importlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd._core.optional import require
from keras_kd.distiller import Distiller

_SUFFIXES = (".tflite",)
_RANDOM_EXAMPLES = 128
_TIMED_CALLS = 200
_NOT_FLOAT32 = {"float16", "bfloat16", "float64", "mixed_float16", "mixed_bfloat16"}


class ExportError(RuntimeError):
    """A student that could not be converted, or whose file does not answer as it does."""


@dataclass(frozen=True)
class Export:
    """What was written, and how it was found to be.

    Args:
        path: The file.
        bytes: Its size.
        agreement: Share of the examples on which the file and the student decide alike; with
            several outputs, the least of their shares.
        max_difference: Largest difference between a number of the file's and the student's.
        examples: How many examples were compared.
        milliseconds: Median time of one call with one example, on one thread of this machine.
        inputs: Names of the file's inputs.
        outputs: Names of the file's outputs.
    """

    path: Path
    bytes: int
    agreement: float
    max_difference: float
    examples: int
    milliseconds: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def export(
    student: keras.Model,
    path: str | os.PathLike[str],
    *,
    examples: Any = None,
    min_agreement: float = 0.99,
    seed: int = 0,
) -> Export:
    """A student written as a LiteRT (`.tflite`) file in float32, proven to answer as it does.

    The student may be of any Keras backend; it is converted by tensorflow, in a process of its
    own. The file takes one example at a time. It keeps the names of the student's inputs and
    outputs. A student of mixed or lower precision is written in float32.

    Then the file is run, and its answers are compared with the student's. Two answers agree when
    their largest entry is the same one, along the last axis; where that axis has a single entry,
    when they are within 1% of the student's largest. Whatever goes wrong, nothing is left at
    `path` but what was there before.

    Classes of your own must be registered with Keras and defined in a module that can be imported
    (not in a notebook or the script that runs).

    Args:
        student: A built `keras.Model`. (Of a distiller: `distiller.student`.)
        path: Where to write. Ends with `.tflite`; its folder exists.
        examples: Inputs to compare on, batch first, as the student takes them. They also settle
            sizes that the student leaves open. Defaults to 128 random ones: from 0 to 1 for
            floats, below the smallest `Embedding`'s size for integers.
        min_agreement: Share of the examples that must agree. Defaults to `0.99`.
        seed: Seed of the random examples. Defaults to `0`.

    Returns:
        An `Export`, the report of what was written.

    Raises:
        TypeError: If `student` is not a model, or is a distiller.
        ValueError: If it is not built, has sizes left open, or `path` or a number will not do.
        ModuleNotFoundError: If tensorflow or ai-edge-litert is not installed.
        keras_kd.exporting.ExportError: If the conversion fails, or the file does not agree.

    Example:

    ```python
    report = keras_kd.exporting.export(distiller.student, "student.tflite", examples=x_test)
    print(report.bytes, report.agreement, report.milliseconds)
    ```
    """
    target = _checked(student, path, min_agreement)
    _engines()
    structure, values = _examples(student, examples, seed)
    ours = _answers(student, structure, values)
    unfinished = target.with_name(f".{target.stem}.{uuid.uuid4().hex}{target.suffix}")
    try:
        _convert(student, unfinished, structure, values, list(ours))
        run = _LiteRT(unfinished)
        agreement, difference = _proof(ours, run.answers(values), min_agreement)
        report = Export(
            path=target,
            bytes=unfinished.stat().st_size,
            agreement=agreement,
            max_difference=difference,
            examples=_count(values),
            milliseconds=run.milliseconds(),
            inputs=tuple(values),
            outputs=tuple(ours),
        )
        del run
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
    return report


# What can be known before any work.


def _checked(student: Any, path: str | os.PathLike[str], min_agreement: float) -> Path:
    if isinstance(student, Distiller):
        raise TypeError(
            "`student` is a Distiller. Give its student: export(distiller.student, ...)"
        )
    if not isinstance(student, keras.Model):
        raise TypeError(
            f"`student` must be a keras.Model. Received: {student!r} of type "
            f"{type(student).__name__}."
        )
    if not student.built:
        raise ValueError(
            f"The student '{student.name}' is not built, so it has no weights to write. "
            "Call it once on data, or build it with its input shape."
        )
    if not 0 <= min_agreement <= 1:
        raise ValueError(
            f"`min_agreement` must be a share from 0 to 1. Received: min_agreement={min_agreement!r}."
        )
    target = Path(path)
    if target.suffix not in _SUFFIXES:
        raise ValueError(f"`path` must end with {listing(_SUFFIXES)}. Received: '{target}'.")
    if target.is_dir():
        raise ValueError(f"`path` must name a file; '{target}' is a folder.")
    if not target.parent.is_dir():
        raise ValueError(f"The folder '{target.parent}' of `path` does not exist. Create it first.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise ValueError(f"The folder '{target.parent}' of `path` cannot be written to.")
    return target


def _engines() -> None:
    require(
        "ai_edge_litert.interpreter",
        extra="export",
        purpose="keras_kd.exporting runs what it wrote",
    )
    if importlib.util.find_spec("tensorflow") is None:
        raise ModuleNotFoundError(
            "keras_kd.exporting converts with tensorflow, which is not installed. "
            "Run: pip install tensorflow.",
            name="tensorflow",
        )


# What goes in: named arrays, and the structure in which the student takes them.


def _leaves(structure: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`(name, leaf)` for each leaf: its keys and positions, joined by `_`."""
    if isinstance(structure, dict):
        items: Any = structure.items()
    elif isinstance(structure, (list, tuple)):
        items = enumerate(structure)
    else:
        yield prefix, structure
        return
    for key, value in items:
        yield from _leaves(value, f"{prefix}_{key}" if prefix else str(key))


def _places(structure: Any) -> Any:
    """`structure` with each leaf's place in Keras's order instead of it; fit for JSON."""
    count = len(keras.tree.flatten(structure))
    return keras.tree.pack_sequence_as(structure, list(range(count)))


def _unique(names: list[str]) -> list[str]:
    """Names that a file may hold, no two alike."""
    names = [re.sub(r"\W", "_", name) for name in names]
    if len(set(names)) == len(names):
        return names
    return [f"{name}_{place}" for place, name in enumerate(names)]


def _named(structure: Any, known: list[str] | None, word: str) -> list[str]:
    """A name for each leaf of `structure`, in Keras's order."""
    if known is None or isinstance(structure, dict):
        by_place = {place: name for name, place in _leaves(_places(structure))}
        known = [by_place[place] for place in sorted(by_place)]
        known = [f"{word}_{n}" if n.isdigit() else n or word for n in known]
    return _unique(known)


def _examples(student: keras.Model, examples: Any, seed: int) -> tuple[Any, dict[str, np.ndarray]]:
    """The structure in which the student takes its inputs, and the arrays by their names."""
    tensors = getattr(student, "inputs", None) or []
    known = [tensor.name for tensor in tensors] or None
    if examples is None:
        structure, arrays = _random(student, tensors, seed)
        names = _named(structure, known, "input")
    else:
        structure, arrays = examples, [np.asarray(x) for x in keras.tree.flatten(examples)]
        if known is not None and len(arrays) != len(known):
            raise ValueError(
                f"The student '{student.name}' takes {len(known)} inputs, {listing(known)}; "
                f"`examples` has {len(arrays)}."
            )
        lengths = {len(x) if x.ndim else 0 for x in arrays}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError(
                "`examples` must have one and the same number of examples, at least 1, for each "
                f"input. Received shapes: {', '.join(str(x.shape) for x in arrays)}."
            )
        names = _named(structure, known, "input")
        kinds = {tensor.name: tensor.dtype for tensor in tensors}  # a dict may go by these names
        places = tensors or arrays
        arrays = [
            x.astype(_plain(kinds.get(name, place.dtype)))
            for name, x, place in zip(names, arrays, places, strict=True)
        ]
    return _places(structure), dict(zip(names, arrays, strict=True))


def _random(student: keras.Model, tensors: list[Any], seed: int) -> tuple[Any, list[np.ndarray]]:
    """Examples drawn for the student's inputs, and the structure of these."""
    if not tensors:
        raise ValueError(
            f"The student '{student.name}' does not say what its inputs are, for it is neither "
            "Functional nor Sequential. Give `examples`."
        )
    layers = student._flatten_layers()
    sizes = [layer.input_dim for layer in layers if isinstance(layer, keras.layers.Embedding)]
    rng = np.random.default_rng(seed)
    arrays = []
    for tensor in tensors:
        shape, kind = tuple(tensor.shape[1:]), _plain(tensor.dtype)
        if None in shape:
            raise ValueError(
                f"The student '{student.name}' leaves a size of its input '{tensor.name}' open, "
                f"{(None, *shape)}. Give `examples` of the size that the file is to take."
            )
        drawn = rng.random((_RANDOM_EXAMPLES, *shape))
        if kind != "float32":
            drawn = np.floor(drawn * min(sizes, default=2))
        arrays.append(drawn.astype(kind))
    return (tensors[0] if isinstance(student, keras.Sequential) else student.input), arrays


def _plain(kind: Any) -> str:
    """The type in the file: float32 for every float."""
    name = keras.backend.standardize_dtype(kind)
    if name == "string":
        raise ValueError(
            "The student takes strings, which a device file cannot. Keep what turns text into "
            "numbers outside of it."
        )
    return "float32" if name in _NOT_FLOAT32 else name


def _count(values: dict[str, np.ndarray]) -> int:
    return len(next(iter(values.values())))


def _arranged(structure: Any, values: list[Any]) -> Any:
    """`values` in the structure that `_places` told."""
    return keras.tree.map_structure(lambda place: values[place], structure)


def _answers(
    student: keras.Model, structure: Any, values: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The student's outputs by name."""
    tensors = getattr(student, "inputs", None)
    size = 1 if tensors and tensors[0].shape[0] == 1 else 32
    answers: list[list[np.ndarray]] = []
    names: list[str] = []
    for start in range(0, _count(values), size):
        batch = [x[start : start + size] for x in values.values()]
        outputs = student(_arranged(structure, batch), training=False)
        names = names or _named(outputs, getattr(student, "output_names", None), "output")
        answers.append([keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs)])
    columns = [np.concatenate(column) for column in zip(*answers, strict=True)]
    return dict(zip(names, columns, strict=True))


# The conversion, in a process of its own: it serves students of every backend, and a converter
# that crashes becomes an error.


def _convert(
    student: keras.Model,
    path: Path,
    structure: Any,
    values: dict[str, np.ndarray],
    outputs: list[str],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        saved, job = Path(folder, "student.keras"), Path(folder, "job.json")
        student.save(saved)
        modules = _portable(saved)
        job.write_text(
            json.dumps(
                {
                    "student": str(saved),
                    "path": str(path.absolute()),
                    "modules": modules,
                    "inputs": [[n, [1, *x.shape[1:]], str(x.dtype)] for n, x in values.items()],
                    "structure": structure,
                    "outputs": outputs,
                }
            )
        )
        done = subprocess.run(
            [sys.executable, "-c", "from keras_kd import exporting; exporting._work()", str(job)],
            env={
                **os.environ,
                "KERAS_BACKEND": "tensorflow",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "CUDA_VISIBLE_DEVICES": "-1",  # the accelerator may be the student's
                "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    if done.returncode or not path.exists():
        how = (
            f"died of {signal.Signals(-done.returncode).name}" if done.returncode < 0 else "failed"
        )
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise ExportError(
            f"The conversion of the student '{student.name}' to {path.suffix} {how}. It said:\n"
            + "\n".join(said[-12:])
        )


def _portable(saved: Path) -> list[str]:
    """Turns the saved student to float32; returns the modules that its own classes are in."""
    with zipfile.ZipFile(saved) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    config.pop("compile_config", None)
    modules: set[str] = set()

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(item) for item in node]
        if not isinstance(node, dict):
            return node
        name = node.get("registered_name")
        own = keras.saving.get_registered_object(name)
        if own is not None:
            modules.add(own.__module__)
        elif name is not None and not (node.get("module") or "").startswith("keras"):
            unknown = node["config"] if node["class_name"] == "function" else name
            raise ExportError(
                f"'{unknown}' is not registered, so the process that converts cannot find it. "
                "Decorate it with @keras.saving.register_keras_serializable(), in a module that "
                "can be imported."
            )
        if node.get("class_name") == "DTypePolicy" and node["config"].get("name") in _NOT_FLOAT32:
            return {**node, "config": {**node["config"], "name": "float32"}}
        return {
            key: "float32"
            if key == "dtype" and isinstance(value, str) and value in _NOT_FLOAT32
            else walk(value)
            for key, value in node.items()
        }

    files["config.json"] = json.dumps(walk(config)).encode()
    if "__main__" in modules:
        raise ExportError(
            "A class or function of the student is defined in the script or notebook that runs, "
            "where the process that converts cannot find it. Move it to a module, and import it "
            "from there."
        )
    with zipfile.ZipFile(saved, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sorted(modules)


def _work() -> None:
    """What the process of its own does: reads the job, writes the file."""
    import tensorflow as tf

    job = json.loads(Path(sys.argv[1]).read_text())
    for module in job["modules"]:
        importlib.import_module(module)
    # The student of whoever runs this: its own lambdas are no danger to them.
    student = keras.saving.load_model(job["student"], compile=False, safe_mode=False)
    inputs = {n: keras.Input(batch_shape=s, dtype=d, name=n) for n, s, d in job["inputs"]}
    outputs = student(_arranged(job["structure"], list(inputs.values())), training=False)
    named = dict(zip(job["outputs"], keras.tree.flatten(outputs), strict=True))
    model = keras.Model(inputs, named)
    model.export(
        job["path"],
        format="litert",
        verbose=False,
        input_signature=[
            {n: keras.InputSpec(shape=s, dtype=d, name=n) for n, s, d in job["inputs"]}
        ],
        # Without this, operations that no interpreter runs would be let through.
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
    )


# The proof.


class _LiteRT:
    """A `.tflite` file at work, one example at a time, on one thread."""

    def __init__(self, path: Path):
        litert = importlib.import_module("ai_edge_litert.interpreter")
        try:
            self._interpreter = litert.Interpreter(str(path), num_threads=1)
            self._interpreter.allocate_tensors()
            self._call = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise ExportError(f"The file that was written cannot be read: {error}") from error

    def answers(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows = []
        for place in range(_count(values)):
            try:
                rows.append(self._call(**{n: x[place : place + 1] for n, x in values.items()}))
            except (ValueError, RuntimeError) as error:
                raise ExportError(f"The file that was written cannot be run: {error}") from error
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def milliseconds(self) -> float:
        """Median time of a call, with the last example still in place. The last thing to ask."""
        del self._call  # the interpreter does not run on its own while it lends itself out
        took = []
        for _ in range(_TIMED_CALLS):
            began = time.perf_counter()
            self._interpreter.invoke()
            took.append(time.perf_counter() - began)
        return float(np.median(took)) * 1e3


def _proof(
    ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], min_agreement: float
) -> tuple[float, float]:
    """Agreement and largest difference, over all outputs; an error when they will not do."""
    agreements, differences = [], []
    for name, wanted in ours.items():
        came = theirs.get(name)
        if came is None or came.shape != wanted.shape:
            had = ", ".join(f"'{n}' {(1, *x.shape[1:])}" for n, x in theirs.items())
            raise ExportError(
                f"The file should have the output '{name}' of shape {(1, *wanted.shape[1:])}. "
                f"It has {had}."
            )
        wanted, came = wanted.astype("float64"), came.astype("float64")
        if not np.isfinite(wanted).all():
            raise ExportError(
                f"The student's own output '{name}' is not finite on these examples, so nothing "
                "can be compared with it. Give other `examples`."
            )
        difference = np.abs(came - wanted)
        if not np.isfinite(difference).all():
            raise ExportError(f"The file's output '{name}' is not finite where the student's is.")
        largest = np.abs(wanted).max()
        if wanted.ndim > 1 and wanted.shape[-1] > 1:
            agree = came.argmax(axis=-1) == wanted.argmax(axis=-1)
        else:
            agree = difference <= 0.01 * largest
        agreement = float(agree.mean())
        if agreement < min_agreement:
            raise ExportError(
                f"The file agrees with the student on {agreement:.4f} of the decisions of output "
                f"'{name}', less than min_agreement={min_agreement} (largest difference "
                f"{difference.max():.3g}). It was not kept."
            )
        # Decisions may agree by chance, when they are all the same: a file without its weights
        # has one answer to everything.
        varies = np.ptp(wanted, axis=0).max()
        if difference.max() > max(0.1 * varies, 0.01 * largest):
            raise ExportError(
                f"The file's output '{name}' is up to {difference.max():.3g} away from the "
                f"student's, which itself varies by {varies:.3g} over these examples. It was not "
                "kept."
            )
        agreements.append(agreement)
        differences.append(float(difference.max()))
    return min(agreements), max(differences)
