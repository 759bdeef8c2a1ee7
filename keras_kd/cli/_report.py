"""`keras-kd report`."""

import argparse
from pathlib import Path
from typing import Any

from keras_kd import report
from keras_kd.cli._images import images, input_shape
from keras_kd.cli._models import load
from keras_kd.cli._options import command, named_model, takes_data, takes_json
from keras_kd.cli._talk import BadInput, bad_input, give, tell

_ABOUT = """\
Compares models on the test images of a set: how often each is right, how like its teacher it is,
what it costs, and whether the difference is more than chance.

Each model is NAME=FILE.keras; without a NAME it is called after its file. The one named `teacher`
is the teacher. The last one is judged against the one before it that is not the teacher.
"""
_EXAMPLES = """\
  keras-kd report teacher=teacher.keras alone=alone.keras distilled=run/student.keras --data digits
  keras-kd report teacher.keras student.keras --data photos/ --out report.html
  keras-kd report teacher.keras student.keras --data mnist --json

"""


def add(commands: Any) -> None:
    made = command(
        commands, "report", run, description=_ABOUT, examples=_EXAMPLES,
        help="compare models: did distillation help?",
    )  # fmt: skip
    add = made.add_argument
    add("models", nargs="+", type=named_model, metavar="[NAME=]FILE", help="a .keras file")
    takes_data(made, default="digits")
    add("--out", type=Path, metavar="FILE.html",
        help="also write a page with pictures (needs the extra report)")  # fmt: skip
    add("--no-latency", action="store_true", help="leave out the measurement of time")
    takes_json(made)


def run(options: argparse.Namespace) -> None:
    names = [name for name, _ in options.models]
    if len(set(names)) < len(names):
        raise BadInput(f"two models have one name, among {', '.join(names)}. Use NAME=FILE.keras.")
    if options.out is not None and not options.out.absolute().parent.is_dir():
        raise BadInput(f"there is no folder '{options.out.parent}' to write {options.out.name} to.")
    with bad_input():
        models = {name: load(path) for name, path in options.models}
        data = images(options.data, input_shape(next(iter(models.values()))), options.scale)
    found = report.compare(
        models, data.test, class_names=data.info.class_names, latency=not options.no_latency
    )
    if options.out is not None:
        found.save(options.out)
        tell(f"{options.out}: the same with pictures.")
    give(options, found.to_dict() if options.json else {}, str(found))
