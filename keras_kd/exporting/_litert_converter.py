"""The conversion to LiteRT: TensorFlow's converter, and ai-edge-quantizer for some students."""

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

import keras

from keras_kd.exporting._job import Job

#: What ai-edge-quantizer calls them.
_RECIPES = {"int4": "dynamic_wi4_afp32", "int16x8": "static_wi8_ai16"}


def convert(job: Job, model: keras.Model, ai_edge: bool) -> None:
    """Writes `model`, whose inputs and outputs have the job's names."""
    if ai_edge:
        _write(job, model, {})
        _requantize(job)
    else:
        _write(job, model, _settings(job))


def _write(job: Job, model: keras.Model, settings: dict[str, Any]) -> None:
    """What `model.export(format="litert")` does, which older Keras has no word for."""
    import tensorflow as tf

    archive = keras.export.ExportArchive()
    archive.track(model)
    call = functools.partial(model.__call__, training=False)
    archive.add_endpoint("serve", call, input_signature=[job.specs()])
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
        "representative_dataset": lambda: job.calibration_examples(),
        "target_spec": {"supported_ops": allowed},
    }
    if job.integer_io:
        settings["inference_output_type"] = kind
        if all(dtype == "float32" for _, _, dtype in job.inputs):
            settings["inference_input_type"] = kind
    return settings


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
        work.calibrate({"serving_default": list(job.calibration_examples())})
        if job.calibration
        else None
    )
    unfinished = f"{job.path}.quantized.tflite"
    work.quantize(ranges).export_model(unfinished, overwrite=True)
    os.replace(unfinished, job.path)
