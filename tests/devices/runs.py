"""Runs of `program`, each in processes of its own, and what came of them."""

import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np

import keras_kd
from tests.project import older_than

ROOT = pathlib.Path(keras_kd.__file__).parents[1]
LIMIT = 400  # seconds


def started(out, asked, module="tests.devices.program", **env):
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", module, str(out), *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": keras.config.backend(),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            **env,
        },
    )


def finished(*running):
    """Waits for all of them; one that fails takes the others with it."""
    try:
        for process in running:
            said, _ = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, said[-4000:]
    finally:
        for process in running:
            process.kill()


def found(out):
    """By engine and case, what came of it."""
    results = {}
    with np.load(out) as file:
        for key in file.files:
            pair, name = key.split("/", 1)
            results.setdefault(pair, {})[name] = file[key]
    return results


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def two_processes(folder, asked, **env):
    """What either process found; they meet on this machine."""
    address = f"127.0.0.1:{free_port()}"
    outs = [folder / f"{number}.npz" for number in range(2)]
    finished(
        *(
            started(out, asked, PROCESS=str(number), COORDINATOR=address, **env)
            for number, out in enumerate(outs)
        )
    )
    return [found(out) for out in outs]


def same(ours, theirs, tolerance=1e-5):
    """The same logs and the same state, to within the tolerance."""
    assert ours.keys() == theirs.keys()
    assert len(ours) > 10
    for name, value in theirs.items():
        if older_than("3.10") and name.startswith(("log ", "evaluated ")):
            continue  # Keras's own metrics were those of one replica
        np.testing.assert_allclose(ours[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
