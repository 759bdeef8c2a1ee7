"""A saved student made ready: float32 throughout, known to a fresh process, fit for the device."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras

from keras_kd._core.keras_private import layers_of
from keras_kd.exporting._proof import ExportError
from keras_kd.exporting._signature import NOT_FLOAT32


def save_portable(student: keras.Model, path: Path) -> list[str]:
    """Saves `student` in float32; returns the modules that its own classes are in."""
    try:
        student.save(path)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ExportError(
            f"The student '{student.name}' cannot be saved, so no other process can convert it: "
            f"{error}"
        ) from error
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(files["config.json"])
    config.pop("compile_config", None)
    modules: set[str] = set()
    files["config.json"] = json.dumps(_in_float32(config, modules)).encode()
    if "__main__" in modules:
        raise ExportError(
            "A class or function of the student is defined in the script or notebook that runs, "
            "where the process that converts cannot find it. Move it to a module, and import it "
            "from there."
        )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sorted(modules)


def _in_float32(node: Any, modules: set[str]) -> Any:
    """`node` of a saved config with its types turned to float32; `modules` collects what it names."""
    if isinstance(node, list):
        return [_in_float32(item, modules) for item in node]
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
    if node.get("class_name") == "DTypePolicy" and node["config"].get("name") in NOT_FLOAT32:
        return {**node, "config": {**node["config"], "name": "float32"}}
    return {
        key: "float32"
        if key == "dtype" and isinstance(value, str) and value in NOT_FLOAT32
        else _in_float32(value, modules)
        for key, value in node.items()
    }


# Layers that a device takes only in another form of the same mathematics.


def recurrent(student: keras.Model) -> list[Any]:
    """The layers that run step by step in a loop."""
    return [
        layer
        for layer in layers_of(student)
        if isinstance(layer, keras.layers.RNN) and not layer.unroll
    ]


def unroll(student: keras.Model) -> None:
    """Each step of a loop written out: what is inside a loop can be neither calibrated nor int8."""
    for layer in recurrent(student):
        layer.unroll = True


def plain_embeddings(student: keras.Model) -> None:
    """Embeddings that only look up: Keras's own also counts negative ids from the end, by an
    operator that the interpreter for microcontrollers lacks."""
    import tensorflow as tf

    def looking_up(layer: Any) -> Any:
        return lambda ids, **_: tf.gather(layer.embeddings, ids)

    for layer in layers_of(student):
        if isinstance(layer, keras.layers.Embedding):
            vars(layer)["call"] = looking_up(layer)  # past Keras's attribute tracking, on purpose


def why_not_micro(student: keras.Model) -> str | None:
    """What the interpreter for microcontrollers is known not to run, as far as layers tell."""
    if recurrent(student) and any(
        layer.mask_zero for layer in layers_of(student) if isinstance(layer, keras.layers.Embedding)
    ):
        return (
            "its Embedding has mask_zero=True, and tflite-micro does not run recurrent layers with "
            "masks. Train it without masks, on inputs of one length"
        )
    return None


def notes_on(student: keras.Model, *, unrolled: bool, free_batch: bool) -> list[str]:
    """What was chosen for the student, in words."""
    notes = []
    loops = recurrent(student)
    names = ", ".join(f"'{layer.name}'" for layer in loops)
    if loops and unrolled:
        notes.append(
            f"The recurrent layers {names} are unrolled, for a loop cannot be calibrated: each "
            "step has its own operators, so the file grows with the length of the input. "
            "quantization='dynamic' keeps the loop."
        )
    elif loops and not free_batch:
        notes.append(
            f"The recurrent layers {names} are a loop over steps, which needs the fixed batch of 1."
        )
    return notes
