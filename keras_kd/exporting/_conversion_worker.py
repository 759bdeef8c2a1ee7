"""What the process that converts does: reads the job, has Keras write the file."""

import functools
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd.exporting._convert import ROOT, Job
from keras_kd.exporting._prepare import plain_embeddings, unroll
from keras_kd.exporting._standalone_runner import end_with_parent

#: What ai-edge-quantizer calls them.
_RECIPES = {"int4": "dynamic_wi4_afp32", "int16x8": "static_wi8_ai16"}


def work() -> None:
    """Does the job named on the command line."""
    end_with_parent()
    job = Job.read(sys.argv[1])
    for module in job.modules:
        importlib.import_module(module)
    # The student of whoever runs this: its own lambdas are no danger to them.
    student = keras.saving.load_model(job.student, compile=False, safe_mode=False)
    if job.unroll:
        unroll(student)
    if job.micro:
        plain_embeddings(student)
    {"litert": _litert, "onnx": _onnx, "tf_saved_model": _saved_model}[job.format](job, student)


def _inputs(job: Job) -> dict[str, Any]:
    return {n: keras.Input(batch_shape=s, dtype=d, name=n) for n, s, d in job.inputs}


def _specs(job: Job) -> dict[str, keras.InputSpec]:
    return {n: keras.InputSpec(shape=s, dtype=d, name=n) for n, s, d in job.inputs}


def _outputs(job: Job, student: keras.Model, inputs: dict[str, Any]) -> list[Any]:
    values = list(inputs.values())
    arranged = keras.tree.map_structure(lambda place: values[place], job.structure)
    return keras.tree.flatten(student(arranged, training=False))


def _by_name(job: Job, student: keras.Model) -> keras.Model:
    """The student with named inputs and outputs."""
    inputs = _inputs(job)
    outputs = dict(zip(job.outputs, _outputs(job, student, inputs), strict=True))
    return keras.Model(inputs, outputs, name=ROOT)


def _saved_model(job: Job, student: keras.Model) -> None:
    _by_name(job, student).export(
        job.path, format="tf_saved_model", verbose=False, input_signature=[_specs(job)]
    )


# ONNX.


def _onnx(job: Job, student: keras.Model) -> None:
    import onnx

    inputs = _inputs(job)
    model = keras.Model(list(inputs.values()), _outputs(job, student, inputs), name=ROOT)
    model.export(
        job.path, format="onnx", verbose=False, input_signature=[list(_specs(job).values())]
    )
    written = onnx.load(job.path)  # with weights that were put into a file of their own
    Path(f"{job.path}.data").unlink(missing_ok=True)
    _rename(written.graph, job)
    onnx.save(written, job.path)
    onnx.checker.check_model(job.path)


def _rename(graph: Any, job: Job) -> None:
    """Gives the inputs and outputs, which are in order, the student's names."""
    renamed = {tensor.name: spec[0] for tensor, spec in zip(graph.input, job.inputs, strict=True)}
    renamed |= {t.name: name for t, name in zip(graph.output, job.outputs, strict=True)}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for tensor in (*graph.input, *graph.output):
        tensor.name = renamed[tensor.name]


# LiteRT.


def _litert(job: Job, student: keras.Model) -> None:
    model = _by_name(job, student)
    if job.ai_edge:
        _export(job, model, {})
        _requantize(job)
    else:
        _export(job, model, _settings(job))


def _export(job: Job, model: keras.Model, settings: dict[str, Any]) -> None:
    """What `model.export(format="litert")` does, which older Keras has no word for."""
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    call = functools.partial(model.__call__, training=False)
    archive.add_endpoint("serve", call, input_signature=[_specs(job)])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.experimental_enable_resource_variables = True
        # By default, operations that no interpreter runs would be let through.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        for name, value in settings.pop("target_spec", {}).items():
            setattr(converter.target_spec, name, value)
        for name, value in settings.items():
            setattr(converter, name, value)
        Path(job.path).write_bytes(converter.convert())


def _settings(job: Job) -> dict[str, Any]:
    """The converter's settings."""
    import tensorflow as tf

    sets, smaller = tf.lite.OpsSet, {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if job.quantization == "float32":
        return {}
    if job.quantization == "dynamic":
        return smaller
    if job.quantization == "float16":
        spec: dict[str, Any] = {"supported_types": [tf.float16]}
        return {**smaller, "target_spec": {**spec, "supported_ops": [sets.TFLITE_BUILTINS]}}
    kind, allowed = {
        "int8": (tf.int8, [sets.TFLITE_BUILTINS_INT8]),
        "int16x8": (
            tf.int16,
            [
                sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
                sets.TFLITE_BUILTINS,  # for the few operators that have no such form
            ],
        ),
    }[job.quantization]
    settings = {
        **smaller,
        "representative_dataset": lambda: _calibration(job),
        "target_spec": {"supported_ops": allowed},
    }
    if job.integer_io:
        settings["inference_output_type"] = kind
        if all(dtype == "float32" for _, _, dtype in job.inputs):
            settings["inference_input_type"] = kind
    return settings


def _calibration(job: Job) -> Iterator[dict[str, np.ndarray]]:
    """One example after the other, by the names of the inputs."""
    with np.load(str(job.calibration)) as arrays:
        inputs = {name: arrays[name] for name, _, _ in job.inputs}
    for place in range(len(inputs[job.inputs[0][0]])):
        yield {name: x[place : place + 1] for name, x in inputs.items()}


def _requantize(job: Job) -> None:
    """The float32 file at `job.path` quantized by ai-edge-quantizer."""
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer import recipe as recipes
    from ai_edge_quantizer.utils import tfl_interpreter_utils as interpreters

    create = interpreters.create_tfl_interpreter

    def reference(*args: Any, **kwargs: Any) -> Any:
        """With the delegate, which it asks for, it cannot look at the tensors of unrolled steps."""
        return create(*args, **{**kwargs, "use_xnnpack": False})

    interpreters.create_tfl_interpreter = reference
    work = quantizer.Quantizer(job.path, getattr(recipes, _RECIPES[job.quantization])())
    if not job.integer_io and job.calibration:
        work.update_quantization_recipe(
            regex=".*", operation_name="OUTPUT", algorithm_key="no_quantize"
        )
    ranges = (
        work.calibrate({"serving_default": list(_calibration(job))}) if job.calibration else None
    )
    unfinished = f"{job.path}.quantized.tflite"
    work.quantize(ranges).export_model(unfinished, overwrite=True)
    os.replace(unfinished, job.path)
