"""What must hold on every device: one pass of the student a step, a teacher that does not move,
the losses that a CPU gives to 1e-3, the same under `DataParallel` over one device.

The losses are compared in full float32; what the device's own precision (TF32) makes of them is a
row beside it.
"""

import json
import os
import subprocess
import sys

import keras
import models
import numpy as np
from keras import layers

import keras_kd as kd
from on_accelerator.bench import Bench

STEPS, BATCH = 5, 32


class Counting(layers.Layer):
    """Passes its input on, and counts how often it was run, and how often in training."""

    def build(self, shape):
        self.runs, self.in_training = (
            self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False)
            for _ in range(2)
        )

    def call(self, x, training=None):
        self.runs.assign_add(1)
        if training:
            self.in_training.assign_add(1)
        return x


def settled(model: keras.Model, seed: int) -> keras.Model:
    """With weights that are the same on every device and backend."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        if len(weight.shape) > 1:
            scale = (2 / np.prod(weight.shape[:-1])) ** 0.5
            weight.assign(scale * rng.standard_normal(weight.shape).astype("float32"))
    return model


def made() -> tuple[kd.Distiller, keras.Model, keras.Model]:
    keras.utils.set_random_seed(0)
    teacher, inner = settled(models.resnet(14, 1, 10), 1), settled(models.resnet(8, 1, 10), 2)
    # The counter stands behind the pool, so that a layer in the middle may be asked for as well.
    counter = Counting(name="counting")
    x = counter(inner.get_layer("pool").output)
    student = keras.Model(inner.input, inner.get_layer("logits")(x))
    terms = [
        *kd.recipes.hinton(temperature=4.0, alpha=0.5), *kd.recipes.logit_standardization()[1:],
        kd.Term(kd.losses.DecoupledSoftTarget(), target=("teacher:output", "labels"), weight=0.01),
        kd.Term(kd.losses.CorrelationTarget()),
        kd.Term(kd.losses.FeatureMatch(), pred="student:pool", target="teacher:pool"),
    ]  # fmt: skip
    distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(
        keras.optimizers.SGD(0.01, momentum=0.9), loss,
        jit_compile=keras.config.backend() == "jax",
    )  # fmt: skip
    return distiller, teacher, counter


def losses_of(distiller) -> dict[str, list[float]]:
    """Each term's value, and the loss, at each of the first steps."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((STEPS * BATCH, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, STEPS * BATCH).astype("int32")
    found: dict[str, list[float]] = {}
    for i in range(STEPS):
        one = slice(i * BATCH, (i + 1) * BATCH)
        logs = distiller.fit(x[one], y[one], batch_size=BATCH, verbose=0).history
        for name, values in logs.items():
            found.setdefault(name, []).append(float(values[-1]))
    return found


def apart(found: dict, other: dict) -> float:
    """The largest difference over the larger of the value and 1."""
    assert found.keys() == other.keys(), (list(found), list(other))
    return max(
        abs(a - b) / max(1.0, abs(b))
        for name in found for a, b in zip(found[name], other[name], strict=True)
    )  # fmt: skip


def exact(yes: bool) -> None:
    if keras.config.backend() == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest" if yes else None)
        return
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = not yes


def law(name: str, held: bool, **more) -> dict:
    return {"case": name, "held": bool(held), **more}


def rows(bench: Bench):
    if bench.row == "losses":  # what the process on the CPU is asked for
        exact(True)
        yield {"case": "losses", "losses": losses_of(made()[0])}
        return
    command = [sys.executable, sys.argv[0], "--parts", "laws", "--row", "losses", "--backend",
               keras.config.backend(), "--out", str(bench.out), "--budget", "60"]  # fmt: skip
    hidden = {**os.environ, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    on_cpu = subprocess.Popen(command, stdout=subprocess.PIPE, env=hidden, text=True)
    try:
        yield from compared(bench, on_cpu)
    finally:
        on_cpu.kill()
        on_cpu.wait()


def compared(bench: Bench, on_cpu: subprocess.Popen):
    exact(True)
    distiller, teacher, counter = made()
    before = [np.array(v) for v in map(keras.ops.convert_to_numpy, teacher.variables)]
    found = losses_of(distiller)
    runs = int(counter.runs.numpy()), int(counter.in_training.numpy())
    yield law("one pass of the student a step", runs == (STEPS, STEPS), passes=runs, steps=STEPS)
    x = np.zeros((BATCH, 32, 32, 3), "float32")
    kept = [np.array(keras.ops.convert_to_numpy(v)) for v in distiller.student.variables]
    distiller.evaluate(x, np.zeros(BATCH, "int32"), batch_size=BATCH, verbose=0)
    moved = [
        v.path for v, old in zip(distiller.student.variables, kept, strict=True)
        if "counting" not in v.path
        and not np.array_equal(old, keras.ops.convert_to_numpy(v))
    ]  # fmt: skip
    yield law("evaluate moves nothing", not moved, moved=moved[:3])
    after = [keras.ops.convert_to_numpy(v) for v in teacher.variables]
    same = all(map(np.array_equal, before, after))
    yield law("the teacher does not move", same, variables=len(after))
    on_host = json.loads(on_cpu.communicate(timeout=120)[0].splitlines()[-1])["losses"]
    gap = apart(found, on_host)
    yield law("losses as on a CPU", gap < 1e-3, largest=gap, bound=1e-3, terms=list(found),
              here=found["loss"], on_cpu=on_host["loss"])  # fmt: skip
    if keras.config.backend() == "jax":
        engine = keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:1])
        keras.distribution.set_distribution(engine)
        try:
            gap = apart(losses_of(made()[0]), found)
        finally:
            keras.distribution.set_distribution(None)
        yield law("DataParallel over one device", gap < 1e-4, largest=gap, bound=1e-4)
    exact(False)
    gap = apart(losses_of(made()[0]), on_host)
    yield {"case": "losses at the device's own precision", "largest": gap}
