"""`verify`: a file is run on examples, and its outputs are compared with the student's."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.files import named
from keras_kd.exporting._checks import check_timeout
from keras_kd.exporting._compare import Comparison, Decision, compared, decisions_of
from keras_kd.exporting._data import Examples, examples_of
from keras_kd.exporting._format import Format
from keras_kd.exporting._formats import FORMATS, format_of
from keras_kd.exporting._labels import check_labels
from keras_kd.exporting._proof import Proof, check_digest, measured
from keras_kd.exporting._signature import Arrays, count, outputs_of

#: What a proof does not prove, by what it was made on.
_CAVEATS = {
    "calibration": "Proven on the calibration data only, off which its ranges were read: data of "
    "another scale may be answered otherwise. Give real `examples` to know.",
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
    check_digest(path)
    form.require_packages()
    given = examples_of(student, examples, labels, seed)
    outputs = outputs_of(student, given.signature, given.inputs)
    decisions = decisions_of(student, outputs, decision)
    check_labels(given.labels, outputs, decisions)
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
) -> tuple[Proof, Comparison]:
    """The proof of the file at `path`, given the student's outputs."""
    found, times = form.run(path, examples.inputs, timeout)
    contents = form.contents(path)
    if contents.quantization != quantization:
        notes += (
            f"Asked for {quantization}, the file is {contents.quantization}: nothing in it is "
            "large enough, or of a kind, to be quantized so.",
        )
    notes += (_CAVEATS[proven_on],) if proven_on in _CAVEATS else ()
    soft_labels = _soft_labels(teacher, examples, list(outputs))
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
        inputs=tuple(examples.inputs),
        outputs=tuple(outputs),
        notes=notes,
        micro=form.micro_proof(path, examples.inputs, outputs, decisions, tolerance, timeout),
        classes=classes,
    )
    return proof, comparison


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
