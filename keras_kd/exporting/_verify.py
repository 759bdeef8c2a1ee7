"""`verify`: a file is run on examples, and its outputs are compared with the student's."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.files import named
from keras_kd.exporting._checks import check_timeout
from keras_kd.exporting._compare import Comparison, Decision, compared, decisions_of
from keras_kd.exporting._data import Examples, examples_of
from keras_kd.exporting._endings import endings_of, with_softmax
from keras_kd.exporting._format import Format
from keras_kd.exporting._formats import FORMATS, format_of
from keras_kd.exporting._labels import check_labels
from keras_kd.exporting._preprocessing import NOTHING, Preprocessing
from keras_kd.exporting._proof import Proof, check_digest, measured
from keras_kd.exporting._signature import Arrays, count, outputs_of
from keras_kd.exporting._tensors import described

#: What a proof does not prove, by what it was made on.
_CAVEATS = {
    "held_out": "Proven on a part of the calibration data only, which was held out of it: where that "
    "data is not as real inputs are, this proves nothing. Give real `examples` to know.",
    "calibration": "Proven on the calibration data itself, off which its ranges were read: no proof for "
    "other inputs. Give other `examples`, or none: a part of the calibration is then held out.",
    "random": "Proven on random inputs only. Give real `examples` to know how it answers them.",
}


def verify(
    path: str | os.PathLike[str],
    student: keras.Model,
    examples: Any = None,
    labels: Any = None,
    *,
    format: str | None = None,
    teacher: Any = None,
    decision: Any = None,
    tolerance: float | None = None,
    target: str | None = None,
    timeout: float | None = 600.0,
    seed: int = 0,
) -> Proof:
    """The proof of a file that is already there: it is run, and compared with its student.

    Nothing is converted or written. Compare on examples that the student was not trained on. Where
    the proof of an export lies beside the file, the file must be the very one of that proof.

    Args:
        path: The file that `export` wrote, or another one with the same inputs and outputs.
        student: The `keras.Model` that it stands for.
        examples: Inputs to compare on; see `export`. Defaults to 128 random ones.
        labels: The true answers to arrays of `examples`. Defaults to `None`: those of a dataset
            that has some.
        format: `"litert"`, `"onnx"` or `"tf_saved_model"`. Defaults to what the suffix says.
        teacher: A `keras.Model`, or its answers to the examples, for the divergence from it.
            Defaults to `None`.
        decision: What is compared; see `export`. Defaults to `None`.
        tolerance: How far a value may be off, as a share of what the student's values span.
            Defaults to `0.01`, and to `0.05` for a file with integers.
        target: `"micro"` to run the file in tflite-micro too. Defaults to `None`.
        timeout: Seconds after which work in a process of its own, a SavedModel's or tflite-micro's, is ended and an
            error. `None`: never. Defaults to `600`.
        seed: Seed of the random examples. Defaults to `0`.

    Returns:
        A `Proof`. Whether it is good enough is yours to say; `export` has a limit.

    Raises:
        ValueError: If there is no such file, or an argument will not do.
        keras_kd.exporting.ExportError: If the file is damaged, is not the one of the proof beside
            it, or cannot be compared with the student.

    Example:

    ```python
    proof = keras_kd.exporting.verify("student.tflite", student, x_test, y_test)
    print(proof.agreement, proof.accuracy, proof.milliseconds)
    ```
    """
    path = named(path)
    if not path.exists():
        raise ValueError(f"There is no file '{path}'.")
    check_timeout(timeout)
    form = format_of(path, format, target)
    record = check_digest(path)
    form.require_packages()
    given = examples_of(student, examples, labels, seed)
    outputs = outputs_of(student, given.signature, given.inputs)
    decisions = decisions_of(student, outputs, decision)
    check_labels(given.labels, outputs, decisions)
    added = _added(record, endings_of(student, outputs))
    outputs = with_softmax(outputs, added)
    stored = form.contents(path).quantization
    settings = FORMATS[form.name].quantizations[stored]  # for a target, too, any may be in a file
    proof, _ = prove(
        path,
        form,
        stored,
        student,
        given,
        outputs,
        decisions=decisions,
        tolerance=settings.tolerance if tolerance is None else tolerance,
        proven_on="random" if examples is None else "examples",
        timeout=timeout,
        teacher=teacher,
        classes=form.class_names(path) or (),
        added=added,
        preprocessing=_recorded(record),
        card=(form.card(path) or record).get("card"),
    )
    return proof


def prove(
    path: Path,
    form: Format,
    quantization: str,
    student: keras.Model,
    examples: Examples,
    outputs: Arrays,
    *,
    decisions: dict[str, Decision],
    tolerance: float,
    proven_on: str,
    timeout: float | None,
    teacher: Any = None,
    notes: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
    added: tuple[str, ...] = (),
    preprocessing: Preprocessing = NOTHING,
    card: Mapping[str, Any] | None = None,
) -> tuple[Proof, Comparison]:
    """The proof of the file at `path`, given the student's outputs, those `added` with a softmax
    that only the file has."""
    found, times = form.run(path, examples.inputs, timeout)
    contents = form.contents(path)
    if contents.quantization != quantization:
        notes += (
            f"Asked for {quantization}, the file is {contents.quantization}: nothing in it is "
            "large enough, or of a kind, to be quantized so.",
        )
    notes += (_CAVEATS[proven_on],) if proven_on in _CAVEATS else ()
    soft_labels = _soft_labels(teacher, examples, list(outputs))
    stored = form.tensors(path)
    endings = {**endings_of(student, outputs), **dict.fromkeys(added, "softmax")}
    comparison = compared(outputs, found, decisions, tolerance, examples.labels, soft_labels)
    proof = Proof(
        path=path,
        format=form.name,
        quantization=quantization,
        **measured(path),
        examples=count(examples.inputs),
        proven_on=proven_on,
        agreeing=comparison.agreeing,
        answers=comparison.answers,
        milliseconds=times.median,
        milliseconds_spread=times.spread,
        threads=1,
        operators=dict(contents.operators),
        integer_operators=contents.integer_operators,
        inputs=described(examples.inputs, stored, {}),
        outputs=described(found, stored, endings),
        notes=notes,
        micro=form.micro_proof(path, examples.inputs, outputs, decisions, tolerance, timeout),
        classes=classes,
        preprocessing=preprocessing,
        card=dict(card or {}),
    )
    return proof, comparison


def _added(record: dict[str, Any], endings: dict[str, str | None]) -> tuple[str, ...]:
    """The outputs that end in a softmax by the file's proof, and not by the student's layers."""
    told = [output for output in record.get("outputs", []) if isinstance(output, Mapping)]
    return tuple(
        output["name"]
        for output in told
        if output["ending"] == "softmax" and endings.get(output["name"], "softmax") is None
    )


def _recorded(record: dict[str, Any]) -> Preprocessing:
    """What the proof beside the file says was done to inputs."""
    found: dict[str, Any] = record.get("preprocessing") or {}
    told: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
    return Preprocessing(**told)


def _soft_labels(teacher: Any, examples: Examples, names: list[str]) -> Arrays | None:
    """The teacher's outputs, under the names of the student's."""
    if teacher is None:
        return None
    if isinstance(teacher, keras.Model):
        leaves = list(outputs_of(teacher, examples.signature, examples.inputs).values())
    else:
        leaves = [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(teacher)]
    length = count(examples.inputs)
    if len(leaves) != len(names) or any(len(x) != length for x in leaves):
        raise ValueError(
            f"`teacher` must give {len(names)} outputs for {length} examples. It gives "
            f"{', '.join(str(np.shape(x)) for x in leaves)}."
        )
    return dict(zip(names, leaves, strict=True))
