"""Pruning, distillation, and both: what is left of a student when most of its weights are zero.

    KERAS_BACKEND=tensorflow python benchmarks/pruning.py --seeds 3

A convolutional teacher that has seen many images with their labels; from each seed the same dense
student, from the same initial weights and for the same number of steps, on fewer images of which
only the first have a label: from those labels alone or from the teacher as well, whole or pruned on
the way. Accuracy on the whole test set, the share of zeros in the kernels, and the bytes of all
weights (float32) after gzip.
"""

import argparse
import statistics

import keras
import numpy as np
from keras import layers as L

import keras_kd
from keras_kd.compression import NOfM, Pruning, compressed_bytes, sparsity

CLASSES = 10


def teacher_of(shape: tuple[int, ...]) -> keras.Model:
    x = inputs = keras.Input(shape)
    for channels in (24, 48, 96):
        x = L.Conv2D(channels, 3, 2, "same", use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization()(x))
    return keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling2D()(x)), name="teacher")


def student_of(shape: tuple[int, ...]) -> keras.Model:
    dense = [L.Dense(units, activation="relu") for units in (128, 64)]
    return keras.Sequential(
        [keras.Input(shape), L.Flatten(), *dense, L.Dense(CLASSES)], name="student"
    )


def fit(
    student: keras.Model,
    teacher: keras.Model | None,
    x: np.ndarray,
    y: np.ndarray,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    terms = None if teacher else [keras_kd.Labels()]
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    steps = epochs * -(-len(y) // 64)
    distiller.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1),
    )
    distiller.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=callbacks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--teacher-images", type=int, default=20_000)
    parser.add_argument("--teacher-epochs", type=int, default=5)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--labels", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()

    data = keras_kd.data.load(options.data)
    order = np.random.default_rng(0).permutation(len(data.y_train))

    def accuracy(model: keras.Model) -> float:
        answers = model.predict(data.x_test, batch_size=1000, verbose=0)
        return float((answers.argmax(-1) == data.y_test).mean())

    keras.utils.set_random_seed(100)
    teacher = teacher_of(data.x_train.shape[1:])
    seen = order[: options.teacher_images]
    fit(teacher, None, data.x_train[seen], data.y_train[seen], options.teacher_epochs, [])
    print(f"teacher: {accuracy(teacher):.4f}", flush=True)

    few = order[: options.images]
    x, y = data.x_train[few], data.y_train[few].astype("int32")
    y[options.labels :] = -1
    shares = {"whole": None, "90 %": 0.9, "95 %": 0.95, "2 of 4": NOfM(keep=2, of=4)}
    found: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    for seed in range(1, options.seeds + 1):
        for share, pattern in shares.items():
            for how, who in (("labels alone", None), ("distilled", teacher)):
                keras.utils.set_random_seed(seed)
                student = student_of(data.x_train.shape[1:])
                callbacks = [Pruning(pattern)] if pattern else []
                fit(student, who, x, y, options.epochs, callbacks)
                row = accuracy(student), sparsity(student), compressed_bytes(student)
                found.setdefault((share, how), []).append(row)
                print(
                    f"seed {seed}, {share}, {how}: {row[0]:.4f} {row[1]:.4f} {row[2]}", flush=True
                )

    print(
        f"\nstudent: {student.count_params()} parameters; {options.data}, {options.images} images\n"
    )
    print(
        "| zeros | taught by | accuracy, % | ± | zeros, % | kB, gzip |\n|---|---|---:|---:|---:|---:|"
    )
    for (share, how), rows in found.items():
        right, zeros, size = zip(*rows, strict=True)
        spread = 100 * statistics.stdev(right) if len(rows) > 1 else 0.0
        print(
            f"| {share} | {how} | {100 * statistics.mean(right):.2f} | {spread:.2f} "
            f"| {100 * statistics.mean(zeros):.1f} | {statistics.mean(size) / 1e3:.1f} |"
        )


if __name__ == "__main__":
    main()
