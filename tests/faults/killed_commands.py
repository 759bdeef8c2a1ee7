"""Exports and runs of the command that are killed at moments drawn with a seed, and run again.

    KERAS_BACKEND=jax python -m tests.faults.killed_commands FOLDER WHAT KILLS SEED

WHAT is "export" or "distill". Each attempt begins in a folder of its own; every second export
finds a former file. Half of the kills come after a time drawn from how long an unbroken one takes,
half at a file operation that takes a file to its place. What is there then must be whole, nothing
of the command may live on, and the same command must come to what the unbroken one came to. The
parent imports, and forks a child for each attempt.
"""

import hashlib
import json
import os
import pathlib
import random
import signal
import sys
import time
import traceback
import zipfile

import keras
import numpy as np

from keras_kd.callbacks._best_student import read_best
from keras_kd.cli import main as command
from keras_kd.exporting import ExportError
from keras_kd.exporting._proof import check_digest

FORMER = b"the former file"
MARK = "KERAS_KD_KILLED"
EPOCHS = 3


def models(folder):
    """A teacher and a student that were never trained."""
    keras.utils.set_random_seed(0)
    for name, units in (("teacher", 32), ("student", 8)):
        flat = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(units)]
        made = keras.Sequential([*flat, keras.layers.Dense(10)], name=name)
        made.save(folder / f"{name}.keras")


def argv(folder, out, what):
    if what == "export":
        return ["export", folder / "student.keras", out / "student.tflite"]
    more = ["--no-check", "--batch-size", 256, "--epochs", EPOCHS, "--out", out]
    return ["distill", folder / "teacher.keras", "mlp-16", *more]


def forked(work, out, move=None):
    """A child that does `work`, and is killed at its `move`th file operation."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        quiet = os.open(out.with_suffix(".said"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(quiet, 1), os.dup2(quiet, 2)
        os.environ[MARK] = str(out)
        if move is not None:
            counted([move])
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def counted(left):
    """From now on it is killed before or after an `os.replace` or `os.rename`."""

    def counting(function):
        def call(*args, **kwargs):
            done = None
            for late in (False, True):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                done = done if late else function(*args, **kwargs)
            return done

        return call

    os.replace, os.rename = counting(os.replace), counting(os.rename)


def finish(folder, out, what):
    """The whole command; an error with what it said when it fails."""
    process = forked(lambda: command([*map(str, argv(folder, out, what))]), out)
    _, status = os.waitpid(process, 0)
    assert status == 0, out.with_suffix(".said").read_text()[-2000:]


def outlived(out):
    """The processes that were started for `out` and are still there."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            mine = f"{MARK}={out}\0".encode() in (entry / "environ").read_bytes()
            if mine and "Z" not in (entry / "stat").read_text().rpartition(")")[2][:3]:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def result(out, what):
    """What the command comes to, as plain data."""
    assert not [p.name for p in out.iterdir() if p.name.startswith(".")]
    if what == "export":
        path = out / "student.tflite"
        check_digest(path)
        assert {p.name for p in out.iterdir()} == {path.name, f"{path.name}.json"}
        return hashlib.sha256(path.read_bytes()).hexdigest()
    summary = json.loads((out / "summary.json").read_text())
    weights = keras.saving.load_model(out / "student.keras").get_weights()
    with np.load(out / "state.npz") as file:
        state = [file[name] for name in sorted(file.files)]
    log = (out / "log.csv").read_text()
    return {**summary, "student": None}, log, [*map(np.asarray, [*weights, *state])]


def alike(ours, theirs):
    if isinstance(ours, str):
        return ours == theirs
    same = len(ours[2]) == len(theirs[2]) and all(
        np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(ours[2], theirs[2], strict=True)
    )
    return (
        ours[0] == theirs[0] and len(ours[1].splitlines()) == len(theirs[1].splitlines()) and same
    )


def look(out, what, whole):
    """What stands under the names of results after a kill is whole; returns what is there."""
    if what == "distill":
        if (out / "student.keras").exists():
            with zipfile.ZipFile(out / "student.keras") as archive:
                assert archive.testzip() is None
            assert read_best(out / "student.keras") is not None
        if (out / "state.npz").exists():
            with np.load(out / "state.npz") as file:
                assert all(np.isfinite(file[name]).all() for name in file.files)
        if (out / "summary.json").exists():
            assert alike(result_without_hidden(out), whole)
        return sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
    path = out / "student.tflite"
    if not path.exists():
        return "nothing"
    content = path.read_bytes()
    if content == FORMER:
        return "the former"
    assert hashlib.sha256(content).hexdigest() == whole
    try:
        check_digest(path)
    except ExportError:
        return "the new, refused"  # beside the former's proof
    assert (out / "student.tflite.json").exists()
    return "the new"


def result_without_hidden(out):
    for hidden in out.glob(".*"):
        hidden.unlink()
    return result(out, "distill")


def main(folder, what, kills, seed):
    folder, rng = pathlib.Path(folder), random.Random(int(seed))
    process = forked(lambda: models(folder) or 0, folder / "models")
    assert os.waitpid(process, 0)[1] == 0
    unbroken = folder / "unbroken"
    unbroken.mkdir()
    began = time.monotonic()
    finish(folder, unbroken, what)
    took = time.monotonic() - began
    table = []
    for number in range(int(kills)):
        out = folder / f"killed{number}"
        out.mkdir()
        if what == "export" and number % 4 < 2:
            (out / "student.tflite").write_bytes(FORMER)
        move = rng.randrange(8 if what == "export" else 10) if number % 2 else None
        moment = rng.uniform(0, took if what == "export" else took / 2)
        work = lambda out=out: command([*map(str, argv(folder, out, what))])  # noqa: E731
        process = forked(work, out, move)
        if move is None:
            time.sleep(moment)
            os.kill(process, signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        died = os.WIFSIGNALED(status)
        began, left = time.monotonic(), outlived(out)
        while left and time.monotonic() - began < 60:
            time.sleep(0.05)
            left = outlived(out)
        gone = round(time.monotonic() - began, 2)
        table.append([number, "time" if move is None else "move", died, gone, left])
        # What asks Keras is done in processes of their own: this one stays fit to fork.
        steps = (
            lambda out=out: looked(out, unbroken, what),
            lambda out=out: command([*map(str, argv(folder, out, what))]),
            lambda out=out: compared(out, unbroken, what),
        )
        good = all(os.waitpid(forked(step, out), 0)[1] == 0 for step in steps)
        table[-1] += ["good" if good else out.with_suffix(".said").read_text()[-600:]]
        table[-1].append(out.with_suffix(".found").read_text() if good else "?")
    for row in table:
        print(json.dumps(row))
    good = sum(row[-2] == "good" and not row[4] for row in table)
    print(json.dumps({"kills": len(table), "died": sum(r[2] for r in table), "good": good,
                      "seconds": round(took, 1), "longest_after": max(r[3] for r in table)}))  # fmt: skip


def looked(out, unbroken, what):
    whole = result(unbroken, what)
    out.with_suffix(".found").write_text(str(look(out, what, whole)))
    return 0


def compared(out, unbroken, what):
    assert alike(result(out, what), result(unbroken, what)), "the next run comes to something else"
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:])
