"""A format of our own in one class: the matrices of a chain of dense layers, as numpy keeps them."""

import zipfile
from typing import ClassVar

import keras
import numpy as np

from keras_kd.exporting._format import Contents, Format, Quantization
from keras_kd.exporting._running import Times, stacked
from keras_kd.exporting._standalone_runner import timed


class Matrices(Format):
    """Runs without Keras: `x @ kernel + bias`, one layer after the other."""

    name, title, suffix = "matrices", "Matrices", ".npz"
    quantizations: ClassVar = {
        "float32": Quantization(),
        "half": Quantization(better="quantization='float32'"),
    }
    any_batch = ("tensorflow",)

    def convert(self, job, student):
        kind = "float16" if job.quantization == "half" else "float32"
        matrices = [keras.ops.convert_to_numpy(w).astype(kind) for w in student.weights]
        np.savez(job.path, *matrices, names=[name for name, _, _ in job.inputs] + job.outputs)

    def run(self, path, inputs, timeout):
        *matrices, (taken, given) = self._read(path)

        def call(example):
            x = example[taken]
            for kernel, bias in zip(matrices[::2], matrices[1::2], strict=True):
                x = x @ kernel.astype("float32") + bias
            return {given: x}

        outputs = stacked(inputs, call)
        one = {name: x[:1] for name, x in inputs.items()}
        return outputs, Times.of(timed(lambda: call(one)))

    def contents(self, path):
        *matrices, _ = self._read(path)
        kind = "half" if matrices[0].dtype == "float16" else "float32"
        return Contents({"MATMUL": len(matrices) // 2}, quantization=kind)

    def write_metadata(self, path, metadata):
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("classes", "\n".join(metadata.classes))

    def class_names(self, path):
        with zipfile.ZipFile(path) as archive:
            found = "classes" in archive.namelist()
            return tuple(archive.read("classes").decode().split("\n")) if found else None

    def _read(self, path):
        with np.load(path) as arrays:
            numbered = sorted(name for name in arrays.files if name.startswith("arr_"))
            return [*(arrays[name] for name in numbered), arrays["names"]]
