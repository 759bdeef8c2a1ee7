"""Training that is killed again and again, at moments drawn with a seed, and goes on.

    KERAS_BACKEND=jax python -m tests.faults.killed FOLDER WAY KILLS SEED

WAY is "checkpoint", keras_kd.callbacks.Checkpoint, or "backup", keras.callbacks.BackupAndRestore;
keras_kd.callbacks.BestStudent is beside it. FOLDER/unbroken and FOLDER/killed are then to hold the
same. The parent imports, and forks a child for each attempt.

BackupAndRestore writes two files, one after the other: killed in between, they tell of different
epochs and the training would take one of them twice. The parent then puts back what lay there
before that attempt, and says how often it had to ("apart").
"""

import json
import os
import pathlib
import random
import shutil
import signal
import sys
import time
import zipfile

import h5py
import keras
import numpy as np

import keras_kd as kd
from keras_kd._core.files import replacing
from keras_kd.callbacks._best_student import read_best
from tests.models import cross_entropy, data, mlp, noisy, set_weights, values

EPOCHS, STEPS = 12, 8


def train(folder, way):
    """A whole training, or the rest of one."""
    keras.utils.set_random_seed(0)
    hint = kd.Term(
        kd.losses.FeatureMatch(),
        pred="student:hidden",
        target="teacher:hidden",
        projector=kd.projectors.Dense(9),
    )
    made = kd.Distiller(
        student=noisy("student"),
        teacher=set_weights(mlp("teacher", 9), 1),
        terms=[*kd.recipes.hinton(), hint],
    )
    made.compile(keras.optimizers.Adam(0.02), cross_entropy(), jit_compile=False)
    best = kd.callbacks.BestStudent(folder / "student.keras", "loss", restore=False)
    if way == "checkpoint":
        checkpoint = kd.callbacks.Checkpoint(folder / "state.npz")
        done = checkpoint.restore(made)
    else:
        checkpoint = keras.callbacks.BackupAndRestore(folder / "backup", delete_checkpoint=False)
        done = 0
    x, y = data(8 * STEPS, seed=3)
    made.fit(
        x, y, batch_size=8, epochs=EPOCHS, initial_epoch=done, shuffle=False, verbose=0,
        callbacks=[best, checkpoint],
    )  # fmt: skip
    with replacing(folder / "final.npz") as temporary:
        np.savez(temporary, *values(made._moving_variables()))


def child(folder, way):
    process = os.fork()
    if not process:
        try:
            train(folder, way)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return process


def ended(process):
    """Whether it is over; it can still be waited for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def state(folder, way):
    return folder / ("state.npz" if way == "checkpoint" else "backup/training_metadata.json")


def stamp(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def look(folder, way):
    """What a killed process left is whole; returns the epochs done, None if files disagree."""
    if (folder / "student.keras").exists():
        with zipfile.ZipFile(folder / "student.keras") as archive:
            assert archive.testzip() is None
        assert np.isfinite(read_best(folder / "student.keras").value)
    path = state(folder, way)
    if way == "checkpoint":
        if not path.exists():
            return 0
        with np.load(path) as file:
            assert all(np.isfinite(file[name]).all() for name in file.files)
            return int(file["epochs"])
    weights = folder / "backup" / "latest.weights.h5"
    if not weights.exists():
        return 0
    with h5py.File(weights) as file:
        steps = int(file["optimizer/vars/0"][()])
    try:
        epoch = json.loads(path.read_text())["epoch"]
    except (ValueError, FileNotFoundError):  # killed as Keras wrote it, in place
        return None
    return epoch if steps == epoch * STEPS else None


def killed(folder, way, kills, seed):
    """Kills that many children and lets the last one finish.

    Returns the epochs done after each kill, and how often Keras's two files were apart.
    """
    rng, reached, apart = random.Random(seed), [], 0
    backup, before = folder / "backup", folder / "before"
    moments = sorted(rng.sample(range(EPOCHS * 100), kills))  # hundredths of epochs
    for moment in moments:
        shutil.rmtree(before, ignore_errors=True)
        if backup.exists():
            shutil.copytree(backup, before)
        process = child(folder, way)
        wait, began = moment // 100 - (reached[-1] if reached else 0), time.monotonic()
        seen, path = stamp(state(folder, way)), state(folder, way)
        while wait > 0 and not ended(process):
            if stamp(path) != seen:
                seen, wait = stamp(path), wait - 1
            assert time.monotonic() - began < 120
            time.sleep(0.0005)
        if not reached and not wait:
            time.sleep(rng.random() * 2)  # perhaps before there is anything
        time.sleep(moment % 100 / 100 * 0.05)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        done = look(folder, way)
        if done is None:
            apart, done = apart + 1, reached[-1] if reached else 0
            shutil.rmtree(backup)
            if before.exists():
                shutil.copytree(before, backup)
        reached.append(done)
    _, status = os.waitpid(child(folder, way), 0)
    assert status == 0
    return reached, apart


def main(folder, way, kills, seed):
    folder = pathlib.Path(folder)
    for name in ("unbroken", "killed"):
        (folder / name).mkdir()
    reached, apart = killed(folder / "killed", way, int(kills), int(seed))
    _, status = os.waitpid(child(folder / "unbroken", way), 0)
    assert status == 0
    look(folder / "killed", way)
    print(json.dumps({"kills": len(reached), "after epochs": reached, "apart": apart}))


if __name__ == "__main__":
    main(*sys.argv[1:])
