"""`keras-kd report`."""

import argparse

from keras_kd import report
from keras_kd._core.files import writable
from keras_kd.cli._class_order import images_for, tell_of_others
from keras_kd.cli._console import BadInput, bad_input, give, tell
from keras_kd.cli._images import input_shape
from keras_kd.cli._load_models import load


def run(options: argparse.Namespace) -> None:
    names = [name for name, _ in options.models]
    if len(set(names)) < len(names):
        raise BadInput(f"two models have one name, among {', '.join(names)}. Use NAME=FILE.keras.")
    if options.out is not None and not options.out.absolute().parent.is_dir():
        raise BadInput(f"there is no folder '{options.out.parent}' to write {options.out.name} to.")
    with bad_input():
        if options.out is not None:
            writable(options.out)
        models = {name: load(path) for name, path in options.models}
        shape = input_shape(next(iter(models.values())))
        data = images_for(options, (path for _, path in options.models), shape)
    tell_of_others(models, data)
    found = report.compare(
        models, data.test, class_names=data.info.class_names, latency=not options.no_latency
    )
    assert isinstance(found, report.Report)  # of images
    if options.out is not None:
        found.save(options.out)
        tell(f"{options.out}: the same with pictures.")
    give(options, found.to_dict() if options.json else {}, str(found))
