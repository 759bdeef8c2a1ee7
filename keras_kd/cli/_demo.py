"""`keras-kd demo`."""

import argparse

from keras_kd import demo
from keras_kd.cli._talk import bad_input


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
