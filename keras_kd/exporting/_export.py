"""`export`: a student is checked, converted, proven, and only then put in its place."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_kd._core.files import named
from keras_kd.exporting._acceptance import check_agreement
from keras_kd.exporting._atomic_write import checked_path, staged
from keras_kd.exporting._checks import check_numbers, check_student, check_timeout
from keras_kd.exporting._compare import decisions_of
from keras_kd.exporting._convert import convert
from keras_kd.exporting._endings import endings_of, softmax_outputs, with_softmax
from keras_kd.exporting._examples import data_of
from keras_kd.exporting._formats import format_of, quantization_of
from keras_kd.exporting._labels import check_labels
from keras_kd.exporting._litert_micro import c_header as c_header_of
from keras_kd.exporting._metadata import Metadata, check_card
from keras_kd.exporting._prepare import notes_on, recurrent
from keras_kd.exporting._preprocessing import preprocessing_of
from keras_kd.exporting._proof import ExportError, Proof, proof_path
from keras_kd.exporting._read_metadata import check_class_names
from keras_kd.exporting._readme import write_readme
from keras_kd.exporting._signature import count, outputs_of, tensors_of
from keras_kd.exporting._subprocess import check_is_no_conversion
from keras_kd.exporting._tensors import described
from keras_kd.exporting._text import check_text, write_text
from keras_kd.exporting._verify import prove
from keras_kd.stores import fingerprint


def export(
    student: keras.Model,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    quantization: str = "float32",
    calibration: Any = None,
    calibration_batches: int = 8,
    integer_io: bool = False,
    target: str | None = None,
    examples: Any = None,
    labels: Any = None,
    softmax: bool = False,
    preprocessing: Any = None,
    teacher: Any = None,
    decision: Any = None,
    tolerance: float | None = None,
    min_agreement: float | None = None,
    text: Any = None,
    class_names: Sequence[str] | None = None,
    card: Mapping[str, Any] | None = None,
    c_header: bool = False,
    readme: bool = False,
    timeout: float | None = 600.0,
    seed: int = 0,
) -> Proof:
    """A student written as a file for a device, proven to answer as the student does.

    The student may be of any Keras backend. It is converted by Keras's own `Model.export`, in a
    process of its own; a student of mixed or lower precision is first turned to float32. The file
    holds the student alone, in inference: BatchNormalization is folded into the layer before it
    and dropout is gone. It keeps the names of the student's inputs and outputs. A LiteRT file
    takes one example at a time, others as many as come (ONNX from the torch backend: one).

    Then the file is run, and its answers are compared with the student's. Whatever goes wrong,
    nothing is left at `path` but what was there before. The proof is also written beside the file,
    as `path` + `.json`. Where `path` is a symbolic link, the file that it leads to is replaced.

    A proof is worth as much as its examples, and says what they were. Without `examples` a quarter
    of the calibration data, at most 256, is held out of it for the proof; a file without calibration
    is proven on random inputs. Inputs of another scale than in training are an error wherever
    something knows that scale: the statistics of the student's first BatchNormalization or
    Normalization, the range in `preprocessing`, or `examples` beside `calibration`. Where nothing
    does, and where most examples are calibration data themselves, a warning says so.

    What quantization is for:

    - `"float32"`: the student's own numbers.
    - `"float16"`: weights of half the size; computed in float32 where the device has no float16.
    - `"dynamic"`: weights in 8 bits, the rest in floats. The best choice for recurrent students
      and transformers on a phone.
    - `"int8"`: all in 8 bits, for microcontrollers and accelerators; needs `calibration`.
    - `"int16x8"`: weights in 8 bits, activations in 16; needs `calibration`. For students that
      lose too much in int8.
    - `"int4"`: weights in 4 bits, the rest in floats.

    Recurrent layers keep their loop over the steps; for int8, int16x8 and microcontrollers, which
    cannot have it, each step is written out. The proof's `notes` say which was done.

    Classes of your own must be registered with Keras and defined in a module that can be imported
    (not in a notebook or the script that runs).

    Args:
        student: A built `keras.Model`. (Of a distiller: `distiller.student`.)
        path: Where to write: a name that ends with `.tflite` or `.onnx`, or one without a suffix
            for a SavedModel. Its folder exists.
        format: `"litert"`, `"onnx"` or `"tf_saved_model"`. Defaults to what the suffix says.
        quantization: One of the above; all but `"float32"` need LiteRT. Defaults to `"float32"`.
        calibration: Inputs off which the ranges of int8 and int16x8 are read: at least 16 training
            examples, better some hundred, in any form that `examples` may have.
        calibration_batches: How many batches of it: of a dataset its own, of arrays batches of 32.
            They are drawn with `seed` where the number of all is known. Defaults to `8`.
        integer_io: Whether a file of int8 or int16x8 also takes and gives integers (token ids stay
            what they are). Defaults to `False`: floats.
        target: `"micro"` for a microcontroller: the file is made without what tflite-micro lacks,
            and run in it too. Defaults to `None`.
        examples: Inputs to compare on, as the student takes them: arrays; or a dataset that gives
            batches `x` or `(x, y)` (`tf.data.Dataset`, `keras.utils.PyDataset`,
            `keras_kd.data.Part`, an iterable, a function that returns one). They also settle sizes
            that the student leaves open. Defaults to a part of the calibration inputs; without these
            to 128 random ones, from 0 to 1 (or over the range in `preprocessing`) for floats, below
            the smallest `Embedding`'s size for integers.
        labels: The true answers to arrays of `examples`, for the accuracy: the number of a class
            for each decision, below 0 where it is not known, or one-hot rows; 0 or 1 for a
            threshold. Defaults to `None`.
        softmax: Whether the file ends in a softmax that the student has not: its outputs of classes
            are then probabilities. Defaults to `False`.
        preprocessing: What was done to inputs before the student got them: words, with the range in
            brackets, such as `"float images in [0, 1]"`; or a dict with the `"mean"` and the `"std"`
            of pixels from 0 to 255, for all channels or for each, and, if need be, `"color_order"`
            (`"RGB"`, `"BGR"` or `"GRAY"`) and `"text"`. It goes into the proof, and inputs that are
            out of its range are an error. Defaults to `None`.
        teacher: A `keras.Model`, or its answers to the examples, for the divergence from it.
            Defaults to `None`.
        decision: What must agree: `"classes"`, the largest entry along the last axis; a number,
            the side of it on which each entry lies; `"values"`, each entry within `tolerance`; or
            a dict of these by output. Defaults to `0.5` after a sigmoid, else to `"classes"` for
            several entries and to `"values"` for one.
        tolerance: How far a value may be off, as a share of what the student's values span.
            Defaults to `0.01`, with integers to `0.05`.
        min_agreement: Share of the decisions that must agree. Defaults to `0.99`, with integers to
            `0.97`; of few examples a smaller share is then enough, when its 95 % interval reaches
            that far, and the proof's `notes` say so.
        text: What turns text into the student's input: a `keras_kd.data.Text`, an adapted
            `keras.layers.TextVectorization`, or a dict with the `"vocabulary"` and the settings of
            another tokenizer. Written beside the file, as `.text.json` (and, but for a dict,
            `.words.txt`) instead of its suffix. Defaults to `None`.
        class_names: Names of the classes, in the order of the outputs. They are put into the proof
            and into the file, where `keras_kd.exporting.class_names` finds them (of a file for a
            microcontroller, or with `c_header`, into the proof alone). Defaults to `None`.
        card: What is to be said of the student: a dict of texts, numbers, lists and dicts, such as
            `"data"`, `"teacher"`, `"recipe"`, `"accuracy"` with its interval. It goes into the
            proof, beside the file (`.json` instead of its suffix, with the student's name and
            fingerprint and what it takes and gives) and into the file, where
            `keras_kd.exporting.card` finds it; `"author"`, `"license"`, `"description"` and
            `"version"`, texts, also where the format has a place for them. Not into a file for a
            microcontroller or with `c_header`. Defaults to `None`.
        c_header: Whether a LiteRT file is also written as an array for C, `.h` instead of
            `.tflite`. Defaults to `False`.
        readme: Whether a page is written beside the file, `.README.md` instead of its suffix, that
            says what it takes and gives, with the lines of Python (for LiteRT also of Kotlin, Swift
            and C++) that load it; and the first example, as `.NAME.bin` for each input. Defaults to
            `False`.
        timeout: Seconds after which work in a process of its own, above all the conversion, is ended and an
            error. `None`: never. Defaults to `600`.
        seed: Seed of the random examples and of the draw of calibration batches. Defaults to `0`.

    Returns:
        A `Proof`.

    Raises:
        TypeError: If `student` is not a model, or is a distiller.
        ValueError: If it is not built, has sizes left open, or an argument will not do.
        ModuleNotFoundError: If a package is not installed that the format needs.
        keras_kd.exporting.ExportError: If the conversion fails or takes too long, the file does
            not agree (it says which layers lose most), or another export to it is running.

    Example:

    ```python
    proof = keras_kd.export(
        distiller.student, "student.tflite", quantization="int8", calibration=x_train,
        examples=x_test, labels=y_test,
    )
    print(proof.bytes, proof.agreement, proof.accuracy, proof.milliseconds)
    ```
    """
    check_is_no_conversion()
    check_student(student)
    form = format_of(named(path), format, target)
    form.check_student(student)
    settings = quantization_of(quantization, form, target, integer_io)
    check_timeout(timeout)
    check_numbers(min_agreement, tolerance, calibration_batches, settings, calibration)
    if c_header and not form.as_c_array:
        raise ValueError("`c_header` needs a LiteRT file ('.tflite').")
    place = checked_path(path, form.marker)

    told = preprocessing_of(preprocessing, student)
    about = check_card(card)
    ranges, given, proven_on = data_of(
        student,
        examples,
        labels,
        calibration if settings.calibrated else None,
        batches=calibration_batches,
        told=told,
        seed=seed,
    )
    form.require_packages(settings, tokens=any(x.dtype.kind in "iu" for x in given.inputs.values()))
    if text is not None:
        text = check_text(text, given.inputs)

    backend = form.backend()
    unrolled = (settings.calibrated or form.unrolls) and bool(recurrent(student))
    free_batch = backend in form.any_batch
    free_batch &= all(tensor.shape[0] is None for tensor in tensors_of(student))
    outputs = outputs_of(student, given.signature, given.inputs)
    decisions = decisions_of(student, outputs, decision)
    check_labels(given.labels, outputs, decisions)
    added = softmax_outputs(softmax, student, outputs, decisions)
    outputs = with_softmax(outputs, added)
    classes = check_class_names(class_names, outputs)
    with staged(place) as folder:
        unfinished = folder / place.name
        convert(
            student,
            unfinished,
            form,
            quantization,
            given,
            list(outputs),
            backend=backend,
            timeout=timeout,
            calibration=ranges.inputs if ranges else None,
            integer_io=integer_io,
            unroll=unrolled,
            free_batch=free_batch,
            softmax=added,
        )
        stored = form.tensors(unfinished)
        endings = {**endings_of(student, outputs), **dict.fromkeys(added, "softmax")}
        metadata = Metadata(
            name=student.name,
            fingerprint=fingerprint(student),
            quantization=quantization,
            inputs=described(given.inputs, stored, {}),
            outputs=described(outputs, stored, endings),
            classes=classes,
            preprocessing=told,
            card=about,
        )
        if not c_header:
            form.write_metadata(unfinished, metadata)
        if about:
            unfinished.with_suffix(".json").write_text(metadata.as_json(), encoding="utf-8")
        notes = notes_on(student, unrolled=unrolled, free_batch=free_batch)
        if ranges:
            notes.append(f"Ranges were read off {count(ranges.inputs)} examples.")
        if len(form.converters) > 1:
            notes.append(f"Converted on the {backend} backend.")
        proof, comparison = prove(
            unfinished,
            form,
            quantization,
            student,
            given,
            outputs,
            decisions=decisions,
            tolerance=settings.tolerance if tolerance is None else tolerance,
            proven_on=proven_on,
            added=added,
            preprocessing=told,
            card=about,
            timeout=timeout,
            teacher=teacher,
            notes=tuple(notes),
            classes=classes,
        )
        try:
            notes = check_agreement(proof, comparison, settings, min_agreement)
        except ExportError as error:
            layers = form.worst_layers(unfinished, student, given, added)
            raise ExportError(f"{error}{layers}") from None
        proof = dataclasses.replace(proof, path=place, notes=(*proof.notes, *notes))
        proof_path(unfinished).write_text(proof.as_json())
        if text is not None:
            write_text(text, unfinished)
        if readme:
            one = {name: x[:1] for name, x in given.inputs.items()}
            answer, _ = form.run(unfinished, one, timeout)
            write_readme(proof, unfinished, one, answer, form.order(unfinished))
        if c_header:
            array = c_header_of(place, unfinished.read_bytes(), proof.sha256)
            unfinished.with_suffix(".h").write_text(array)
    return proof
