import dataclasses
import fcntl
import importlib.util
import os
import pickle
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd.exporting import _subprocess
from tests import forked

layers = keras.layers
slow = pytest.mark.skipif(
    not os.environ.get("KERAS_KD_SLOW"), reason="minutes of conversions: set KERAS_KD_SLOW=1"
)


def needs(*modules):
    """Skips when a module is not there."""
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


converts = needs("tensorflow", "ai_edge_litert")


def once(test):
    """For a conversion that every backend goes the same way: on one backend, unless all is run."""
    here = keras.config.backend() == "tensorflow" or os.environ.get("KERAS_KD_SLOW")
    reason = "the same on each backend: set KERAS_KD_SLOW=1"
    return converts(pytest.mark.skipif(not here, reason=reason)(test))


def answers(path, **inputs):
    """What a file says, asked without the package under test."""
    from ai_edge_litert.interpreter import Interpreter

    call = Interpreter(str(path), num_threads=1).get_signature_runner()
    return call(**{name: np.asarray(x, "float32") for name, x in inputs.items()})


@pytest.fixture(scope="session")
def digits():
    return kd.data.load("digits")


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """`made(name, make)`: the path of what `make(path)` made, once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def once_for_all(name, make):
        folder = shared / name
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                with tempfile.TemporaryDirectory(dir=shared) as unfinished:
                    make(Path(unfinished, "it"))
                    shutil.copytree(unfinished, folder)
        return folder / "it"

    return once_for_all


@pytest.fixture(scope="session")
def student(digits, made):
    path = made("student", lambda path: trained(digits).save(f"{path}.keras"))
    return keras.saving.load_model(f"{path}.keras")


def trained(digits):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.RandomBrightness(0.05, value_range=(0, 1)),
            layers.GaussianNoise(0.02),
            layers.Conv2D(16, 3, padding="same", use_bias=False, name="first"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.2),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="second"),
            layers.Flatten(),
            layers.Dense(10, name="logits"),
        ],
        name="cnn",
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss)
    model.fit(*digits.train, batch_size=64, epochs=4, verbose=0)
    return model


@pytest.fixture(scope="session")
def exported(student, digits, made):
    """The student in float32: the proof. Converted as for a user, by a process of its own."""

    def make(folder):
        folder.mkdir()
        path = folder / "student.tflite"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_subprocess, "ended", forked.alone)
            proof = kd.export(student, path, examples=digits.x_test, labels=digits.y_test)
        (folder.parent / "proof").write_bytes(pickle.dumps(proof))

    folder = made("exported", make)
    proof = pickle.loads((folder.parent / "proof").read_bytes())
    return dataclasses.replace(proof, path=folder / "student.tflite")


@pytest.fixture
def kernel(student):
    """The last layer's, as it lies in the file."""
    return np.ascontiguousarray(keras.ops.convert_to_numpy(student.get_layer("logits").kernel).T)


@pytest.fixture
def tampered(exported, monkeypatch):
    """Conversions now give the exported file, with some bytes of it replaced."""

    def replace(kernel, instead):
        content, wanted = exported.path.read_bytes(), kernel.astype("float32").tobytes()
        assert content.count(wanted) == 1
        content = content.replace(wanted, instead.astype("float32").tobytes())
        monkeypatch.setattr(
            "keras_kd.exporting._export.convert",
            lambda student, path, *rest, **settings: path.write_bytes(content),
        )

    return replace
