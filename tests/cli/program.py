"""The program, in a process of its own."""

import os
import pathlib
import subprocess
import sys

import keras

import keras_kd

ROOT = pathlib.Path(keras_kd.__file__).parents[1]


def started(*argv, **env):
    """`keras-kd argv`, running."""
    return subprocess.Popen(
        [sys.executable, "-m", "keras_kd", *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "KERAS_BACKEND": keras.config.backend(),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            **env,
        },
    )


def stopped(running):
    """What it said, once it is out."""
    out, err = running.communicate(timeout=300)
    return subprocess.CompletedProcess(running.args, running.returncode, out, err)
