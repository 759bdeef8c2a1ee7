"""What may be made and used inside `strategy.scope()`, and what outside; run by `test_devices`.

`python -m tests.devices.scopes OUT` writes what each order of things came to, as JSON.
"""

import contextlib
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_kd as kd
from tests.models import cross_entropy, data, mlp

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
# What is done inside the scope: the student, the teacher, the distiller, compile, fit.
ORDERS = {
    "all": "s t d c f",
    "all but fit": "s t d c",
    "models": "s t",
    "distiller": "d c",
    "all but the teacher": "s d c",
    "all but compile": "s t d",
    "fit": "f",
    "none": "",
}


def tried(inside):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def scope(step):
        return strategy.scope() if step in inside.split() else contextlib.nullcontext()

    x, y = data(16)
    try:
        with scope("s"):
            student = mlp("s")
        with scope("t"):
            teacher = mlp("t")
        with scope("d"):
            distiller = kd.Distiller(student=student, teacher=teacher)
        with scope("c"):
            distiller.compile(keras.optimizers.SGD(0.1), cross_entropy())
        with scope("f"):
            logs = distiller.fit(x, y, verbose=0).history
        return "" if np.isfinite(logs["loss"]).all() else "not finite"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    found = {name: tried(inside) for name, inside in ORDERS.items()}
    pathlib.Path(sys.argv[1]).write_text(json.dumps(found))
