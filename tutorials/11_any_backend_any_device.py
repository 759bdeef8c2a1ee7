# %% [markdown]
# # Any backend, any device
#
# One script, not a line changed: on TensorFlow, JAX and PyTorch, on one device and on several, in one
# process and in two, in full and in mixed precision.
#
# **Time:** two minutes on a laptop's CPU. **At the end you have:** `distil.py`, which runs on all of
# them, and a table that says how equal the students are that come out.

# %%
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer epochs, no second process: a check
EPOCHS = 5 if QUICK else 30
OUT = Path("out")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## The same start for all
#
# The backends draw different random numbers, so here a teacher is trained and the student's first
# weights are drawn, once. Both go into files. Everything after that is arithmetic, which should come
# out the same everywhere.

# %%
digits = kd.data.load("digits")
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
keras.utils.set_random_seed(0)


def network(units):
    """One hidden layer."""
    body = [layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), *body])


def errors(model):
    said = keras.ops.convert_to_numpy(keras.ops.argmax(model(digits.x_test), axis=1))
    return int(np.sum(said != digits.y_test))


teacher, student = network(256), network(16)
teacher.compile("adam", loss)
teacher.fit(digits.x_train, digits.y_train, batch_size=64, epochs=30, verbose=0)
teacher.save(OUT / "teacher.keras")
student.save_weights(OUT / "start.weights.h5")
print(f"teacher: {errors(teacher)} errors on {len(digits.y_test)} test images")

# %% [markdown]
# ## The script
#
# It says nothing about a backend: Keras reads `KERAS_BACKEND` when it is imported. The devices come in
# through a **scope**, which is Keras's and not ours: whatever is built inside it lives on all of its
# devices, and `fit` cuts each batch of 64 into as many shares. The distiller needs nothing further.
#
# Of two processes each is given its half of every batch.

# %%
PROGRAM = '''
"""python distil.py EPOCHS SETTING...: one distillation in each setting, and what came of it."""

import contextlib
import os
import sys

import keras
import numpy as np
from keras import layers

import keras_kd as kd

BATCH = 64
SHARES, SHARE = int(os.environ.get("SHARES", 1)), int(os.environ.get("SHARE", 0))


def mirrored():
    """TensorFlow: a copy of the variables on each device."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()


def data_parallel():
    """JAX: all devices that there are, of all processes; each brings its own share of the data."""
    return keras.distribution.DataParallel(auto_shard_dataset=False).scope()


SCOPES = {"mirrored": mirrored, "data_parallel": data_parallel}


def new_student():
    body = [layers.Flatten(), layers.Dense(16, activation="relu"), layers.Dense(10)]
    student = keras.Sequential([keras.Input((8, 8, 1)), *body])
    student.load_weights("start.weights.h5")
    return student


def run(setting, epochs):
    keras.config.set_dtype_policy("mixed_bfloat16" if setting == "mixed" else "float32")
    data = kd.data.load("digits")
    x, y = (a[: len(a) // BATCH * BATCH] for a in data.train)
    if setting == "alone":  # the control: 128 labels, over and over
        x, y = (np.resize(a[:128], a.shape) for a in (x, y))
    mine = np.arange(len(x)).reshape(-1, SHARES, BATCH // SHARES)[:, SHARE].ravel()
    with SCOPES.get(setting, contextlib.nullcontext)():
        student = new_student()
        if setting == "alone":
            distiller = kd.Distiller(student=student, terms=[kd.Labels()])
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        else:
            teacher = keras.models.load_model("teacher.keras")
            terms = kd.recipes.hinton(temperature=4.0, alpha=1.0)
            distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
            loss = None
        distiller.compile(keras.optimizers.Adam(0.003), loss)
        history = distiller.fit(
            x[mine], y[mine], batch_size=BATCH // SHARES, epochs=epochs, shuffle=False, verbose=0
        )
    return history.history["loss"], [variable.numpy() for variable in student.weights]


def main(epochs, *settings):
    if "mirrored" in settings:  # two devices made of one CPU, for want of two
        import tensorflow as tf

        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    if SHARES > 1:
        keras.distribution.initialize(os.environ["COORDINATOR"], SHARES, SHARE)
    for setting in settings:
        losses, weights = run(setting, int(epochs))
        if SHARE == 0:
            name = f"{keras.config.backend()}_{setting}_{SHARES}.npz"
            np.savez(name, *map(np.asarray, weights), losses=losses)


if __name__ == "__main__":
    main(*sys.argv[1:])
'''
(OUT / "distil.py").write_text(PROGRAM.lstrip())
print(f"{OUT / 'distil.py'}: {len(PROGRAM.splitlines())} lines")

# %% [markdown]
# ## Run it everywhere
#
# Each backend has a process of its own, since Keras cannot change it once it is imported. No machine is
# asked for more than a CPU: TensorFlow makes two logical devices of it, JAX four, by a flag. On a
# machine with several GPUs leave the flag and the logical devices out, and the same scopes take those.


# %%
def start(backend, settings, **environment):
    """`distil.py` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "distil.py", str(EPOCHS), *settings],
        cwd=OUT,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*processes):
    """Waits for them all; an error of one is an error here."""
    for process in processes:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said[-2000:]


def installed(backend):
    return importlib.util.find_spec(backend) is not None


four = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
work = {
    "tensorflow": (["one", "alone", "mirrored", "mixed"], {}),
    "jax": (["one", "data_parallel", "mixed"], four),
    "torch": (["one"], {}),  # its bfloat16 is slow on most CPUs
}
for old in OUT.glob("*_[12].npz"):
    old.unlink()
for backend, (settings, environment) in work.items():
    if installed(backend):
        finish(start(backend, settings, **environment))
        print(f"{backend}: {', '.join(settings)}")
    else:
        print(f"{backend}: not installed, left out")

# %% [markdown]
# Two processes stand for two machines. They agree on an address, where the first one listens, and each
# knows how many there are and which it is. On CPUs JAX sums the gradients over the network with *gloo*.

# %%
if installed("jax") and not QUICK:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    network_of_two = {
        "COORDINATOR": address, "SHARES": "2", "JAX_PLATFORMS": "cpu",
        "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
    }  # fmt: skip
    finish(*(start("jax", ["data_parallel"], SHARE=str(n), **network_of_two) for n in (0, 1)))
    print("jax: two processes, one training")
else:
    print("two processes: left out, since jax is not installed or this is the quick form")

# %% [markdown]
# ## How equal are they?
#
# For each run: the loss of the first and of the last epoch, the errors of its student, and by how much
# its losses and its weights differ from those of the first row.

# %%
NAMES = {
    "one_1": "one device",
    "mirrored_1": "two devices, MirroredStrategy",
    "data_parallel_1": "four devices, DataParallel",
    "data_parallel_2": "two processes, DataParallel",
    "mixed_1": "one device, mixed_bfloat16",
    "alone_1": "one device, student alone",
}
runs = {}
for kind, name in NAMES.items():
    for backend in work:
        path = OUT / f"{backend}_{kind}.npz"
        if path.exists():
            with np.load(path) as file:
                weights = [file[key] for key in file.files if key != "losses"]
                runs[f"{backend}, {name}"] = (file["losses"], weights)

first_losses, first_weights = next(iter(runs.values()))
table = {}
for name, (losses, weights) in runs.items():
    student.set_weights(weights)
    table[name] = {
        "errors": errors(student),
        "loss": float(np.max(np.abs(losses / first_losses - 1))),
        "weights": max(
            float(np.max(np.abs(ours - theirs)))
            for ours, theirs in zip(weights, first_weights, strict=True)
        ),
    }
    row = table[name]
    print(
        f"{name:42}{losses[0]:8.5f}{losses[-1]:9.5f}{row['errors']:5d} errors"
        f"{row['loss']:9.1e}{row['weights']:9.1e}"
    )

# %%
figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
epochs = np.arange(1, EPOCHS + 1)
distilled = {name: losses for name, (losses, _) in runs.items() if "alone" not in name}
for number, (name, losses) in enumerate(distilled.items()):
    style = {"linestyle": (number, (3, 6)) if number else "-", "color": f"C{number}"}
    axes[0].plot(epochs, losses, linewidth=1 if not number else 3, **style)
    if number:
        axes[1].plot(
            epochs, np.abs(losses / first_losses - 1) + 1e-9, color=f"C{number}", label=name
        )
axes[0].set(xlabel="epoch", ylabel="loss", yscale="log", title=f"{len(distilled)} curves")
axes[1].set(
    xlabel="epoch", ylabel="relative difference of the loss", yscale="log",
    title=f"from {next(iter(runs))}",
)  # fmt: skip
axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
plt.show()

# %% [markdown]
# The runs in full precision are one and the same training. What differs is the order in which numbers are
# added up, and that shows in the last digits alone. (Where there was no difference at all, the right
# plot shows 1e-9.) So a result of one machine can be checked on another, and a training can move from
# one backend to the next. The control, which had the labels of 128 images and no teacher, makes many
# more errors.
#
# ## Mixed precision
#
# Under `mixed_bfloat16` the student computes in 16 bits, most of which tell how large a number is and
# few its digits, while its weights stay in 32. The losses are always computed in 32: a softmax at a
# high temperature looks at just those digits that 16 bits do not have. The losses drift away a
# little, the students are as good. Accelerators are faster with it and need less memory; on a CPU it is
# for trying out. `mixed_float16` works as well. Keras then scales the loss by itself, and the logs show
# it unscaled.
#
# ## On a TPU
#
# What is written here was not run on a TPU for this page. What the engines ask for:
#
# - With JAX, `keras.distribution.DataParallel()` takes all the cores that JAX sees. On a pod every host
#   runs the same script, and `keras.distribution.initialize()` needs no arguments there.
# - With TensorFlow, build inside `tf.distribute.TPUStrategy(resolver).scope()`.
# - Shapes must stand still: `drop_remainder=True` when batching, and a batch size that the number of
#   cores divides.
# - `mixed_bfloat16` is the type a TPU computes in. `steps_per_execution` in `compile` keeps it from
#   waiting for Python.
# - Teachers are called in the same compiled step. If the teacher is so large that it does not fit
#   beside the student, store its answers first: `kd.stores`.
#
# ## What you keep

# %%
kept = next(iter(runs))
student.set_weights(runs[kept][1])
student.save(OUT / "student_of_any.keras")
again = keras.models.load_model(OUT / "student_of_any.keras")
print(f"{OUT / 'student_of_any.keras'} ({kept}) and {OUT / 'distil.py'}")

# %%
exact = {name: row for name, row in table.items() if "mixed" not in name and "alone" not in name}
assert max(row["loss"] for row in exact.values()) < 1e-4, "the same losses everywhere"
assert max(row["weights"] for row in exact.values()) < 1e-3, "the same weights"
assert max(abs(row["errors"] - table[kept]["errors"]) for row in exact.values()) <= 1
for name, row in table.items():
    if "mixed" in name:
        assert row["loss"] < 0.03, "16 bits drift away a little"
        assert abs(row["errors"] - table[kept]["errors"]) < 10, "and are as good"
    if "alone" in name:
        assert QUICK or row["errors"] > 1.5 * table[kept]["errors"], "the teacher is a help"
assert errors(again) == table[kept]["errors"], "the file answers as the student"
