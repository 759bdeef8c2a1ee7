"""`keras-kd demo`."""

import argparse
from pathlib import Path
from typing import Any

from keras_kd import demo
from keras_kd.cli._options import above_zero, command, share, whole
from keras_kd.cli._talk import bad_input

_ABOUT = """\
A teacher learns from every label of an image set. Two small students that start from the same
weights then learn from few labels: one alone, one distilled, which also learns from what the
teacher says about the images without labels. Both take the same number of steps. This is repeated
from several seeds, and the errors on the test set are compared pair by pair.

Writes student.keras, student.tflite and demo.png (the last two need the extras "export" and
"report"). On the digits that come with the package it takes about a minute; on mnist, some minutes.
"""
_EXAMPLES = """\
  keras-kd demo
  keras-kd demo --labels 50 --seeds 10
  keras-kd demo --temperature 4 --alpha 0.5 --backend jax
  keras-kd demo --data fashion_mnist --labels 500 --out fashion

Set TF_CPP_MIN_LOG_LEVEL=0 to see what TensorFlow itself has to say.
"""


def add(commands: Any) -> None:
    made = command(
        commands, "demo", run, description=_ABOUT, examples=_EXAMPLES,
        help="see what distillation does for a small network, in about a minute",
    )  # fmt: skip
    add = made.add_argument
    add("--data", default="digits", metavar="NAME",
        help="digits, or an image classification set of TensorFlow Datasets (default: digits)")  # fmt: skip
    add("--labels", type=whole, default=100, metavar="N",
        help="labelled images that the students have (default: 100)")  # fmt: skip
    add("--epochs", type=whole, metavar="N",
        help="passes over the training images (default: 40 for digits, 3 for a set as large as mnist)")  # fmt: skip
    add("--seeds", type=whole, default=5, metavar="N",
        help="pairs of students to train (default: 5)")  # fmt: skip
    add("--temperature", type=above_zero, default=4.0, metavar="T",
        help="softening of the answers (default: 4)")  # fmt: skip
    add("--alpha", type=share, default=0.9, metavar="A",
        help="the teacher's share of the loss, 0 to 1 (default: 0.9)")  # fmt: skip
    add("--out", type=Path, default=Path("keras_kd_demo"), metavar="DIR",
        help="where to write (default: keras_kd_demo)")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    settings = demo.Settings(
        data=options.data,
        labels=options.labels,
        epochs=options.epochs,
        seeds=options.seeds,
        temperature=options.temperature,
        alpha=options.alpha,
        out=options.out,
    )
    with bad_input():
        data = demo.prepare(settings)
    demo.run(settings, data)
