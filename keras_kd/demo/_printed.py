"""What the demo prints: its task, its table, its verdict."""

import time
from collections.abc import Sequence

import keras
import numpy as np

from keras_kd.data import Dataset
from keras_kd.demo._files import KEPT
from keras_kd.demo._trial import BATCH, Settings, Trained, Trial, errors_of
from keras_kd.report import Paired, Row

LEGEND = (
    "errors: mean ± standard deviation over the seeds. as teacher: test images with the "
    "teacher's prediction. kB: the weights in float32. ms: one image, median of compiled calls from Python."
)


def task(settings: Settings, data: Dataset) -> str:
    """What the demo trains, and on what."""
    images, labels = len(data.y_train), settings.labels
    steps = settings.passes(data) * -(-images // BATCH)
    return (
        f"The task: '{settings.data}' with {labels:,} labels. The teacher has learned from all "
        f"{images:,}. The student alone has {labels:,} labeled images. The distilled student has "
        f"the same labels, and the teacher's predictions for all {images:,} images. Both start from "
        f"the same weights and train for {steps:,} steps."
    )


def verdict(change: Paired, images: int) -> str:
    """Whether distillation helped, in one sentence. `change` is in errors, after less before."""
    fewer_or_more = f"{abs(change.mean):.1f} {'fewer' if change.mean <= 0 else 'more'} errors"
    on_images = f"on the {images:,} test images"
    if change.pairs == 1:
        return f"One seed cannot tell whether distillation helps: {fewer_or_more} {on_images}. Try --seeds 5."
    on_images_and_seeds = f"{on_images}, the mean of {change.pairs} seeds"
    if change.direction == "unclear":
        if change.too_few:
            interval = (
                "and so few, or such as are all alike, have no interval. Try --seeds 5 or more"
            )
        else:
            interval = f"and the 95 % interval reaches from {abs(change.low):.1f} fewer to {abs(change.high):.1f} more"
        return f"This run cannot tell whether distillation helps: {fewer_or_more} {on_images_and_seeds}, {interval}."
    low, high = (
        f"{end:.1f}" if end >= 0.05 else f"{end:.1g}"
        for end in sorted((abs(change.low), abs(change.high)))
    )
    helped_or_not = "helped" if change.direction == "less" else "did not help"
    return f"Distillation {helped_or_not}: {fewer_or_more} {on_images_and_seeds} (95 % interval {low} to {high})."


def rows_of(trial: Trial) -> list[Row]:
    def row(name: str, runs: Sequence[Trained]) -> Row:
        return Row(
            name=name,
            errors=errors_of(runs),
            agreement=float(
                np.mean([run.predictions == trial.teacher.predictions for run in runs])
            ),
            parameters=runs[KEPT].model.count_params(),
            milliseconds=_milliseconds(runs[KEPT].model, trial.data.x_test[:1]),
        )

    return [
        row("teacher", [trial.teacher]),
        row("student alone", trial.alone),
        row("student distilled", trial.distilled),
    ]


def _milliseconds(model: keras.Model, image: np.ndarray, calls: int = 200) -> float:
    """Median time of a compiled call with one image, from Python."""
    seconds = []
    for _ in range(calls + 5):  # the first are slower
        start = time.perf_counter()
        model.predict_on_batch(image)
        seconds.append(time.perf_counter() - start)
    return 1e3 * float(np.median(seconds[5:]))
