"""ONNX: converted on the student's own backend where that is possible, run by onnxruntime."""

import importlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import keras

from keras_kd.exporting._format import Contents, Format, Package
from keras_kd.exporting._job import ROOT, Job
from keras_kd.exporting._metadata import CARD, Metadata
from keras_kd.exporting._proof import ExportError, reading
from keras_kd.exporting._running import Times, cannot_run, stacked
from keras_kd.exporting._signature import Arrays
from keras_kd.exporting._standalone_runner import timed
from keras_kd.exporting._tensors import Stored

_CLASSES = "class_names"
#: As the format itself calls what a card says.
_OWN_KEYS = {"author": "model_author", "license": "model_license", "version": "model_version_label"}


class Onnx(Format):
    """An ONNX file."""

    name, title, suffix = "onnx", "ONNX", ".onnx"
    converters: ClassVar = {
        "tensorflow": Package("tf2onnx", "onnx", "converts"),
        "jax": Package("jax2onnx", "onnx", "converts"),
        "torch": Package("onnxscript", "onnx", "converts"),
    }
    any_batch = ("tensorflow", "jax")
    requires = (
        Package("onnx", "onnx", "reads ONNX files"),
        Package("onnxruntime", "onnx", "runs what it wrote"),
    )

    def convert(self, job: Job, student: keras.Model) -> None:
        import onnx

        tensors = job.tensors()
        outputs = job.outputs_of(student, tensors)
        model = keras.Model(list(tensors.values()), outputs, name=ROOT)
        signature = [list(job.specs().values())]
        model.export(job.path, format="onnx", verbose=False, input_signature=signature)
        written = onnx.load(job.path)  # with weights that were put into a file of their own
        Path(f"{job.path}.data").unlink(missing_ok=True)
        _rename(written.graph, job)
        onnx.save(written, job.path)
        onnx.checker.check_model(job.path)

    def run(self, path: Path, inputs: Arrays, timeout: float | None) -> tuple[Arrays, Times]:
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            session = runtime.InferenceSession(
                str(path),
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=False,  # which prints, and tries the same again
            )
            names = [output.name for output in session.get_outputs()]
            outputs = stacked(
                inputs, lambda example: dict(zip(names, session.run(None, example), strict=True))
            )
        except Exception as error:  # onnxruntime's own classes share no other parent
            raise ExportError(cannot_run(path, error)) from error
        one = {name: x[-1:] for name, x in inputs.items()}
        return outputs, Times.of(timed(lambda: session.run(None, one)))

    def contents(self, path: Path) -> Contents:
        import onnx

        with reading(path):
            names = [node.op_type for node in onnx.load(path).graph.node]
        return Contents(dict(Counter(names).most_common()))

    def tensors(self, path: Path) -> dict[str, Stored]:
        import onnx

        with reading(path):
            graph = onnx.load(path, load_external_data=False).graph
            return {
                value.name: Stored(
                    onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
                    tuple(d.dim_value or None for d in value.type.tensor_type.shape.dim),
                )
                for value in (*graph.input, *graph.output)
            }

    def write_metadata(self, path: Path, metadata: Metadata) -> None:
        import onnx

        model = onnx.load(path, load_external_data=False)
        model.doc_string = metadata.text("description")
        entries = {_OWN_KEYS[key]: metadata.text(key) for key in _OWN_KEYS}
        if metadata.classes:
            entries[_CLASSES] = json.dumps(list(metadata.classes), ensure_ascii=False)
        for key, value in {**entries, CARD: metadata.as_json()}.items():
            if value:
                model.metadata_props.add(key=key, value=value)
        path.write_bytes(model.SerializeToString())

    def class_names(self, path: Path) -> tuple[str, ...] | None:
        found = _entries(path).get(_CLASSES)
        with reading(path):
            return None if found is None else tuple(json.loads(found))

    def card(self, path: Path) -> dict[str, Any] | None:
        found = _entries(path).get(CARD)
        with reading(path):
            return None if found is None else json.loads(found)


def _entries(path: Path) -> dict[str, str]:
    """The metadata of a file."""
    import onnx

    with reading(path):
        model = onnx.load(path, load_external_data=False)
        return {entry.key: entry.value for entry in model.metadata_props}


def _rename(graph: Any, job: Job) -> None:
    """Gives the inputs and outputs, which are in order, the student's names."""
    renamed = {tensor.name: spec[0] for tensor, spec in zip(graph.input, job.inputs, strict=True)}
    renamed |= {t.name: name for t, name in zip(graph.output, job.outputs, strict=True)}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for tensor in (*graph.input, *graph.output):
        tensor.name = renamed[tensor.name]
