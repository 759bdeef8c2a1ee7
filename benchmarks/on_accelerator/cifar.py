"""A short training on CIFAR-10: resnet8x4 alone and taught by resnet32x4, as long as time allows.

SGD at 0.1 falling along a cosine, momentum 0.9, decay 5e-4, batches of 128, mixed bfloat16, crops
after a padding of 4 and flips. All students have as many epochs, measured out beforehand by the
time of the teacher's, and are judged after the last one.
"""

import time

import keras
import models
import numpy as np

import keras_kd as kd
from keras_kd import recipes
from on_accelerator.bench import Bench

BATCH = 128
METHODS = {
    "student alone": lambda steps: [kd.Labels()],
    "hinton": lambda steps: recipes.hinton(temperature=4.0, alpha=0.9),
    "logit_standardization": lambda steps: recipes.logit_standardization(),
    "dkd": lambda steps: recipes.dkd(warmup=max(1, steps // 12)),
}


class Crops(keras.utils.PyDataset):
    """Each epoch's images in an order, at places and in directions drawn anew."""

    def __init__(self, x, y, seed: int):
        super().__init__()
        padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
        self.windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), (1, 2))
        self.y, self.rng = y, np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.y))
        self.places = self.rng.integers(0, 9, (2, len(self.y)))
        self.flipped = self.rng.random(len(self.y)) < 0.5

    def __len__(self):
        return len(self.y) // BATCH

    def __getitem__(self, index):
        which = self.order[index * BATCH : (index + 1) * BATCH]
        x = self.windows[which, self.places[0][which], self.places[1][which]]
        x = np.moveaxis(x, 1, -1)  # the windows come with the channels first
        flipped = self.flipped[which]
        x = np.where(flipped[:, None, None, None], x[:, :, ::-1], x)
        return np.ascontiguousarray(x), self.y[which]


class Stop(keras.callbacks.Callback):
    """Stops after the epoch in which the time is up, and remembers when epochs ended."""

    def __init__(self, end: float):
        super().__init__()
        self.end, self.ended = end, []

    def on_epoch_end(self, epoch, logs=None):
        self.ended.append(time.monotonic())
        if self.ended[-1] > self.end:
            self.model.stop_training = True


def taught(bench: Bench, data, build, teacher, terms, epochs: int, end: float, seed: int):
    """The student, its accuracy, the epochs it had, when each ended."""
    keras.utils.set_random_seed(seed)
    student = build()
    batches = Crops(data["x_train"], data["y_train"], seed)
    steps = len(batches) * epochs
    distiller = kd.Distiller(student=student, teacher=teacher, terms=terms(steps))
    distiller.compile(
        keras.optimizers.SGD(
            keras.optimizers.schedules.CosineDecay(0.1, steps), momentum=0.9, weight_decay=5e-4
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=keras.config.backend() == "jax",
    )
    stop = Stop(end)
    distiller.fit(batches, epochs=epochs, verbose=0, callbacks=[stop])
    said = student.predict(data["x_test"], batch_size=500, verbose=0).argmax(1)
    return student, 100 * float((said == data["y_test"]).mean()), stop.ended


def rows(bench: Bench):
    data = bench.images()
    keras.config.set_dtype_policy("mixed_bfloat16")
    depth, width = (8, 1) if bench.tiny else (32, 4)
    begun, whole = time.monotonic(), bench.left()
    # How many epochs there is time for: the teacher has three tenths of it, the rest is shared.
    _, _, ended = taught(
        bench, data, lambda: models.resnet(depth, width, 10), None, METHODS["student alone"], 3,
        begun + 0.1 * whole, 0,
    )  # fmt: skip
    each = (ended[-1] - ended[0]) / (len(ended) - 1) if len(ended) > 1 else 0.05 * whole
    first = ended[0] - begun
    epochs = 2 if bench.tiny else int(np.clip((0.25 * whole - first) / each, 2, 60))
    start = time.monotonic()
    teacher, accuracy, ended = taught(
        bench, data, lambda: models.resnet(depth, width, 10), None, METHODS["student alone"],
        epochs, begun + 0.45 * whole, 0,
    )  # fmt: skip
    yield row(data, "teacher", accuracy, ended, epochs, start, 0)
    done: list[float] = []
    epochs = None
    for seed in (1, 2, 3):
        for method, terms in METHODS.items():
            if epochs is None:  # measured on the teacher, whose epochs are dearer than a student's
                share = (bench.left() - 5) / len(METHODS)
                epochs = 2 if bench.tiny else int(np.clip((share - first) / each, 2, 40))
            start = time.monotonic()
            if done and bench.left() < max(done) * 1.05:
                return
            teaching = None if method == "student alone" else teacher
            _, accuracy, ended = taught(
                bench, data, lambda: models.resnet(8, width, 10), teaching, terms, epochs,
                bench.end, seed,
            )  # fmt: skip
            done.append(time.monotonic() - start)
            yield row(data, method, accuracy, ended, epochs, start, seed)
        if bench.tiny:
            return


def row(data, method, accuracy, ended, epochs, start, seed):
    return {"case": method, "seed": seed, "accuracy": round(accuracy, 2), "epochs": len(ended),
            "planned epochs": epochs, "images": len(data["y_train"]),
            "test images": len(data["y_test"]),
            "took s": round(time.monotonic() - start, 1)}  # fmt: skip
