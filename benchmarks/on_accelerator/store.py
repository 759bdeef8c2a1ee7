"""An epoch from a store against the live teacher, against plain training, against the bare input.

Input-bound: reading the batches alone, nothing trained, takes more than 0.9 of the epoch.
"""

import shutil

import keras
import models
import numpy as np

import keras_kd as kd
from on_accelerator.bench import Bench, in_turns, median

BATCH = 128


def rows(bench: Bench):
    data = bench.images()
    x, y = data["x_train"], data["y_train"]
    part = kd.data.Part(x, y, np.array([f"cifar10/{i}" for i in range(len(x))]))
    folder = bench.out / f"store-{keras.config.backend()}"
    shutil.rmtree(folder, ignore_errors=True)
    # XLA's compiled bfloat16 gives NaN for such a network on a CPU (jax 0.11.2).
    policy = "float32" if bench.tiny else "mixed_bfloat16"
    keras.config.set_dtype_policy(policy)
    try:
        yield from measured(bench, part, folder)
    finally:
        keras.config.set_dtype_policy("float32")
        shutil.rmtree(folder, ignore_errors=True)


def measured(bench: Bench, part, folder):
    jit = keras.config.backend() == "jax"
    teacher = models.resnet(14, 1, 10) if bench.tiny else models.resnet(32, 4, 10)
    # An untrained teacher's answers may be too large for half precision.
    kd.stores.write(teacher, part, folder, batch_size=BATCH, dtype="float32")
    feed = kd.data.feed(part, batch_size=BATCH, shuffle=True)
    read = kd.stores.read(folder, part, batch_size=BATCH, shuffle=True)

    def fitting(batches, distil=True, teacher=None):
        model = models.resnet(8, 1 if bench.tiny else 4, 10)
        if distil:
            model = kd.Distiller(student=model, teacher=teacher)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, jit_compile=jit)

        def run():
            model.fit(batches, verbose=0)
            return [v.value for v in model.trainable_variables]

        return run

    def through(batches):
        return lambda: [batches[i] for i in range(len(batches))] and None

    seconds = in_turns(
        {
            "live": fitting(feed, teacher=teacher), "stored": fitting(read),
            "plain": fitting(feed, distil=False), "read alone": through(read),
        },
        2 if bench.tiny else 7, bench.left,
    )  # fmt: skip
    row = {"case": f"resnet32x4, resnet8x4, batch {BATCH}, mixed_bfloat16",
           "images": len(part), "steps an epoch": len(feed)}  # fmt: skip
    for name, times in seconds.items():
        if isinstance(times, str):
            row[f"{name} error"] = times
        else:
            row |= {f"{name} s": median(times), "rounds": len(times)}
            row[f"{name} images/s"] = round(len(part) / median(times))

    def over(a, b):
        if isinstance(seconds[a], str) or isinstance(seconds[b], str):
            return None
        return median([x / y for x, y in zip(seconds[a], seconds[b], strict=True)])

    read_share = over("read alone", "stored")
    yield row | {
        "live over stored": over("live", "stored"), "stored over plain": over("stored", "plain"),
        "read alone over stored": read_share,
        "input-bound": None if read_share is None else read_share > 0.9,
    }  # fmt: skip
