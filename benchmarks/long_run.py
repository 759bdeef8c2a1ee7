"""Memory over a long training, with schedules and stored answers: does it stay flat?

    KERAS_BACKEND=jax python benchmarks/long_run.py --steps 10000

A teacher's answers to the bundled digits are stored; a student of one hidden layer is trained from
the store with a temperature, a weight and a learning rate that follow schedules, in shuffled epochs,
with metrics and with callbacks that write files. Resident memory is read after each epoch. The
slope is that of the straight line nearest to the readings after the warm-up. Linux only: it reads
/proc.
"""

import argparse
import pathlib
import tempfile
import time

import keras
import numpy as np

import keras_kd as kd

BATCH = 32


def network(units, name):
    layers = [keras.layers.Flatten(), keras.layers.Dense(units, "relu"), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers], name=name)


def resident():
    """Resident memory in KiB."""
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1])


class Memory(keras.callbacks.Callback):
    """(steps done, KiB) after each epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((int(self.model._step.numpy()), resident()))


def trained(folder, steps):
    """The readings of a training of so many steps."""
    part = kd.data.load("digits")["train"]
    kd.stores.write(network(128, "teacher"), part, folder / "answers")
    data = kd.stores.read(folder / "answers", part, batch_size=BATCH, shuffle=True, seed=1)
    falling = keras.optimizers.schedules.CosineDecay
    terms = [
        kd.Labels(weight=keras.optimizers.schedules.PolynomialDecay(0.1, steps, 0.5)),
        kd.Term(kd.losses.SoftTarget(falling(8.0, steps, alpha=0.25)), weight=0.5),
    ]
    distiller = kd.Distiller(student=network(32, "student"), terms=terms)
    distiller.compile(
        keras.optimizers.Adam(falling(1e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", kd.metrics.Agreement()],
    )
    memory = Memory()
    keep = [
        kd.callbacks.BestStudent(folder / "student.keras", "loss"),
        kd.callbacks.Checkpoint(folder / "state.npz"),
    ]
    epochs = -(-steps // len(data))
    distiller.fit(data, epochs=epochs, shuffle=False, verbose=0, callbacks=[*keep, memory])
    return np.array(memory.seen, "float64")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=10_000, help="(default: 10000)")
    parser.add_argument("--warm-up", type=int, default=2_000, help="not counted (default: 2000)")
    args = parser.parse_args()
    keras.utils.set_random_seed(0)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        seen = trained(pathlib.Path(folder), args.steps)
    taken = time.perf_counter() - start
    warm = seen[seen[:, 0] >= args.warm_up]
    slope, _ = np.polyfit(warm[:, 0] / 1000, warm[:, 1], 1)
    print(f"Keras {keras.__version__} on {keras.config.backend()}, keras_kd {kd.__version__}:")
    print(
        f"{int(seen[-1, 0]):,} steps in {len(seen)} epochs, {taken:.0f} s; resident memory "
        f"{warm[0, 1] / 1024:.1f} MiB after {int(warm[0, 0]):,} steps, {warm[-1, 1] / 1024:.1f} MiB "
        f"at the end: {slope:+.1f} KiB per 1,000 steps"
    )


if __name__ == "__main__":
    main()
