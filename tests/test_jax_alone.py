"""Accelerator machines often have JAX alone: nothing here may need TensorFlow."""

import os
import subprocess
import sys

import pytest

CODE = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "torch", "tensorflow_datasets", "matplotlib"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import keras, numpy as np
import keras_kd as kd

class Batches(keras.utils.PyDataset):
    def __len__(self): return 3
    def __getitem__(self, i):
        rng = np.random.default_rng(i)
        return rng.normal(size=(16, 8)).astype("float32"), rng.integers(0, 3, 16)

def net(name):
    return keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, "relu", name="h"),
                             keras.layers.Dense(3)], name=name)

hint = kd.recipes.fitnets(pred="student:h", target="teacher:h")[1]
distiller = kd.Distiller(student=net("s"), teacher=net("t"), terms=[*kd.recipes.hinton(), hint])
distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
x, y = Batches()[0]
first = distiller.fit(x, y, epochs=3, verbose=0).history["loss"]
assert first[-1] < first[0]
distiller.fit(Batches(), epochs=1, verbose=0)
digits = kd.data.load("digits")
distiller.evaluate(Batches(), verbose=0)
distiller.save("d.keras"); keras.models.load_model("d.keras").fit(x, y, verbose=0)
"""


def test_everything_trains_with_jax_alone(tmp_path):
    pytest.importorskip("jax")
    env = {**os.environ, "KERAS_BACKEND": "jax"}
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [root, env.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=env, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
