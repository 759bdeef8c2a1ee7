"""The files of the demo: the student, the same for a device, a picture."""

import numpy as np

from keras_kd._core.files import replacing
from keras_kd.demo._trial import Settings, Trial, errors_of
from keras_kd.exporting import export
from keras_kd.report import Example, draw_pairs

#: The seed whose student is written and whose images are drawn: the first, whatever the results.
KEPT = 0


def write(settings: Settings, trial: Trial) -> list[str]:
    """Writes the files; returns a line about each, or about the package that it needs."""
    lines = []
    for write_file in (_write_student, _write_for_devices, _write_picture):
        try:
            lines.append(write_file(settings, trial))
        except ModuleNotFoundError as error:
            lines.append(f"Left out: {error}")
    return lines


def _write_student(settings: Settings, trial: Trial) -> str:
    path = settings.out / "student.keras"
    with replacing(path) as unfinished:
        trial.distilled[KEPT].model.save(unfinished)
    return f"{path}: the distilled student of seed {KEPT + 1}."


def _write_for_devices(settings: Settings, trial: Trial) -> str:
    file = export(
        trial.distilled[KEPT].model,
        settings.out / "student.tflite",
        examples=trial.data.x_test[:1000],
        labels=trial.data.y_test[:1000],
    )
    return (
        f"{file.path}: the same for a device, {file.bytes / 1000:.1f} kB. It decides as the student "
        f"on {file.agreement:.1%} of {file.examples:,} test images and takes "
        f"{file.milliseconds:.4f} ms for one, on one thread."
    )


def _write_picture(settings: Settings, trial: Trial) -> str:
    path = settings.out / "demo.png"
    before, after, names = trial.alone[KEPT], trial.distilled[KEPT], trial.data.info.class_names
    percent = 100 / len(after.is_wrong)
    with replacing(path) as unfinished:
        draw_pairs(
            unfinished,
            title=f"{settings.data}, {settings.labels:,} labels: one student, alone and distilled",
            names=("alone", "distilled"),
            before=[percent * errors for errors in errors_of(trial.alone)],
            after=[percent * errors for errors in errors_of(trial.distilled)],
            reference=("teacher", percent * trial.teacher.errors),
            examples=[
                Example(
                    trial.data.x_test[i], names[before.predictions[i]], names[after.predictions[i]]
                )
                for i in np.flatnonzero(before.is_wrong & ~after.is_wrong)
            ],
        )
    return (
        f"{path}: the errors of every seed, and images that only the distilled student gets right."
    )
