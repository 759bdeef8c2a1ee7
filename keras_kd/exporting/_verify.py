"""The proof: a file is run on examples, and its answers are put beside the student's."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd.exporting._classes import class_names
from keras_kd.exporting._compare import Comparison, Decision, compared, decisions_of
from keras_kd.exporting._data import Examples, examples_of
from keras_kd.exporting._formats import QUANTIZATIONS, ask_for_packages, format_of
from keras_kd.exporting._micro import micro_proof
from keras_kd.exporting._operators import integer_share, operators_of, quantization_in
from keras_kd.exporting._proof import Proof, measured
from keras_kd.exporting._run import run
from keras_kd.exporting._signature import Arrays, answers


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
    seed: int = 0,
) -> Proof:
    """The proof of a file that is already there: it is run, and compared with its student.

    Nothing is converted or written. Compare on examples that the student was not trained on.

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
        seed: Seed of the random examples. Defaults to `0`.

    Returns:
        A `Proof`. Whether it is good enough is yours to say; `export` has a limit.

    Example:

    ```python
    proof = keras_kd.exporting.verify("student.tflite", student, x_test, y_test)
    print(proof.agreement, proof.accuracy, proof.milliseconds)
    ```
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is no file '{path}'.")
    found = format_of(path, format)
    ask_for_packages(found, ai_edge=False, micro=target == "micro", converts=False)
    given = examples_of(student, examples, labels, seed)
    ours = answers(student, given.signature, given.inputs)
    stored = quantization_in(path, found)
    proof, _ = prove(
        path,
        found,
        stored,
        student,
        given,
        ours,
        decisions=decisions_of(student, ours, decision),
        tolerance=QUANTIZATIONS[stored].tolerance if tolerance is None else tolerance,
        teacher=teacher,
        micro=target == "micro",
        classes=class_names(path, format=found) or (),
    )
    return proof


def prove(
    path: Path,
    format: str,
    quantization: str,
    student: keras.Model,
    examples: Examples,
    ours: Arrays,
    *,
    decisions: dict[str, Decision],
    tolerance: float,
    teacher: Any = None,
    micro: bool = False,
    notes: tuple[str, ...] = (),
    classes: tuple[str, ...] = (),
) -> tuple[Proof, Comparison]:
    """The proof of the file at `path`, given the student's answers."""
    theirs, times = run(path, format, examples.inputs)
    if (stored := quantization_in(path, format)) != quantization:
        notes += (
            f"Asked for {quantization}, the file is {stored}: nothing in it is large enough, or of "
            "a kind, to be quantized so.",
        )
    taught = _taught(teacher, examples, list(ours))
    comparison = compared(ours, theirs, decisions, tolerance, examples.labels, taught)
    proof = Proof(
        path=path,
        format=format,
        quantization=quantization,
        **measured(path),
        examples=len(next(iter(examples.inputs.values()))),
        agreeing=comparison.agreeing,
        answers=comparison.answers,
        milliseconds=times.median,
        milliseconds_spread=times.spread,
        threads=1,
        operators=operators_of(path, format),
        integer_operators=integer_share(path, format),
        inputs=tuple(examples.inputs),
        outputs=tuple(ours),
        notes=notes,
        micro=micro_proof(path, examples.inputs, ours, decisions, tolerance) if micro else None,
        classes=classes,
    )
    return proof, comparison


def _taught(teacher: Any, examples: Examples, names: list[str]) -> Arrays | None:
    """The teacher's answers, under the names of the student's outputs."""
    if teacher is None:
        return None
    if isinstance(teacher, keras.Model):
        leaves = list(answers(teacher, examples.signature, examples.inputs).values())
    else:
        leaves = [keras.ops.convert_to_numpy(x) for x in keras.tree.flatten(teacher)]
    length = len(next(iter(examples.inputs.values())))
    if len(leaves) != len(names) or any(len(x) != length for x in leaves):
        raise ValueError(
            f"`teacher` must give {len(names)} outputs for {length} examples. It gives "
            f"{', '.join(str(np.shape(x)) for x in leaves)}."
        )
    return dict(zip(names, leaves, strict=True))
