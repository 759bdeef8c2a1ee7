"""SavedModel: TensorFlow's folder, as servers take it."""

import json
from pathlib import Path
from typing import Any

import keras

from keras_kd.exporting._format import Format
from keras_kd.exporting._job import Job
from keras_kd.exporting._metadata import CARD, Metadata
from keras_kd.exporting._proof import reading
from keras_kd.exporting._running import Times, run_alone
from keras_kd.exporting._signature import Arrays

#: Where other programs look for them.
_FOLDER, _FILE = "assets.extra", "labels.txt"


class SavedModel(Format):
    """A folder that TensorFlow alone runs, without Keras."""

    name, title, suffix = "tf_saved_model", "SavedModel", ""
    marker = "saved_model.pb"
    any_batch = ("tensorflow",)
    runs_on_tensorflow = True

    def convert(self, job: Job, student: keras.Model) -> None:
        job.with_names(student).export(
            job.path, format="tf_saved_model", verbose=False, input_signature=[job.specs()]
        )

    def run(self, path: Path, inputs: Arrays, timeout: float | None) -> tuple[Arrays, Times]:
        outputs, _ = run_alone("saved_model", path, inputs, f"Running '{path.name}'", timeout)
        seconds = outputs.pop("_seconds")
        return outputs, Times.of(seconds)

    def write_metadata(self, path: Path, metadata: Metadata) -> None:
        (path / _FOLDER).mkdir(exist_ok=True)
        if metadata.classes:
            (path / _FOLDER / _FILE).write_text("\n".join(metadata.classes), encoding="utf-8")
        (path / _FOLDER / CARD).write_text(metadata.as_json(), encoding="utf-8")

    def class_names(self, path: Path) -> tuple[str, ...] | None:
        file = path / _FOLDER / _FILE
        with reading(path):
            return tuple(file.read_text(encoding="utf-8").split("\n")) if file.exists() else None

    def card(self, path: Path) -> dict[str, Any] | None:
        file = path / _FOLDER / CARD
        with reading(path):
            return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
