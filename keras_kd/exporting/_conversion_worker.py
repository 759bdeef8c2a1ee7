"""What the process that converts does: reads the job, has the format write the file."""

import importlib
import sys

import keras

from keras_kd.exporting._job import Job
from keras_kd.exporting._prepare import unroll
from keras_kd.exporting._standalone_runner import end_with_parent


def work() -> None:
    """Does the job named on the command line."""
    end_with_parent()
    job = Job.read(sys.argv[1])
    module, _, name = job.format.partition(":")
    form = getattr(importlib.import_module(module), name)()
    for own in job.modules:
        importlib.import_module(own)
    # The student of whoever runs this: its own lambdas are no danger to them.
    student = keras.saving.load_model(job.student, compile=False, safe_mode=False)
    if job.unroll:
        unroll(student)
    form.convert(job, student)
