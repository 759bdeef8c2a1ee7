"""`keras-kd demo`."""

import argparse
import contextlib

from keras_kd import demo
from keras_kd._core.files import check_folder
from keras_kd.cli import _run_folder
from keras_kd.cli._console import bad_input


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
    with contextlib.ExitStack() as held:
        with bad_input():
            check_folder(settings.out)
            data = demo.prepare(settings)
            held.enter_context(_run_folder.held(settings.out))
        demo.run(settings, data)
