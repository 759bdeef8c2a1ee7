"""A recurrent teacher on real film reviews, and two students: an LSTM and a Transformer.

    KERAS_BACKEND=jax TFDS_DATA_DIR=... python benchmarks/imdb.py --out imdb.csv

IMDb (Maas et al., "Learning Word Vectors for Sentiment Analysis", 2011), the first `--length` words
of a review, one logit. The teacher learns from every training review; each student, alone and
distilled, from the same weights and for the same number of steps, from `--reviews` of them.
Accuracy on `--test` test reviews; the difference with a 95 % interval over the seeds (of five
or more paired differences). Rows are kept in `--out` as they come; run again, it goes on.
"""

import argparse
import pathlib
import time

import keras
import numpy as np
from keras import layers
from rows import Rows, points

import keras_kd as kd
from keras_kd.report import paired

WORDS = 10_000


def lstm(units: int, length: int, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((length,), dtype="int32"),
            layers.Embedding(WORDS, 64, mask_zero=True),
            layers.LSTM(units),
            layers.Dense(1),
        ],
        name=f"lstm_{units}",
    )


def transformer(width: int, length: int, seed: int) -> keras.Model:
    """One block with learned positions; the mean over the words."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((length,), dtype="int32")
    h = layers.Embedding(WORDS, width, mask_zero=True)(inputs)
    h = h + layers.Embedding(length, width)(keras.ops.arange(length))
    attended = layers.MultiHeadAttention(4, width // 4)(h, h)
    h = layers.LayerNormalization()(h + attended)
    h = layers.LayerNormalization()(
        h + layers.Dense(width)(layers.Dense(2 * width, activation="relu")(h))
    )
    mean = layers.GlobalAveragePooling1D()(h)
    return keras.Model(inputs, layers.Dense(1)(mean), name=f"transformer_{width}")


#: Name of a student -> its network, of a length and a seed.
STUDENTS = {
    "LSTM 128": lambda length, seed: lstm(128, length, seed),
    "Transformer 64": lambda length, seed: transformer(64, length, seed),
}


def trained(model, x, y, epochs, seed):
    model.compile(
        keras.optimizers.Adam(2e-3, clipnorm=1.0), keras.losses.BinaryCrossentropy(from_logits=True)
    )
    keras.utils.set_random_seed(seed)  # the order of the batches
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("imdb.csv"))
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--reviews", type=int, default=25_000)
    parser.add_argument("--test", type=int, default=25_000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--teacher-epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    rows = Rows(options.out)

    data = kd.data.load("imdb_reviews")
    text = kd.data.Text.learn(data["train"], size=WORDS, length=options.length)
    order = np.random.default_rng(0).permutation(len(data["train"]))
    x, y = text(data["train"].x)[order], data["train"].y[order].astype("float32")[:, None]
    some = np.random.default_rng(1).permutation(len(data["test"]))[: options.test]
    x_test, y_test = text(data["test"].x[some]), data["test"].y[some]

    def accuracy(model):
        said = model.predict(x_test, batch_size=500, verbose=0)[:, 0] > 0
        return 100 * float((said == (y_test == 1)).mean())

    def keep(name, seed, run):
        if rows.have(run=name, seed=seed):
            return
        start = time.perf_counter()
        right = accuracy(run())
        seconds = round(time.perf_counter() - start, 1)
        rows.keep(run=name, seed=seed, accuracy=f"{right:.2f}", seconds=seconds)
        print(name, seed, f"{right:.2f} %", f"{seconds} s", flush=True)

    path = options.out.with_name("imdb_teacher.keras")

    def teacher():
        if path.exists():
            return keras.saving.load_model(path, compile=False)
        model = lstm(256, options.length, 0)
        trained(model, x, y, options.teacher_epochs, 0)
        model.save(path)
        return model

    keep("teacher, LSTM 256", 0, teacher)
    few = x[: options.reviews], y[: options.reviews]
    answers = teacher().predict(few[0], batch_size=500, verbose=0)

    def alone(name, seed):
        student = STUDENTS[name](options.length, seed)
        trained(student, *few, options.epochs, seed)
        return student

    def distilled(name, seed):
        student = STUDENTS[name](options.length, seed)
        terms = [kd.Labels(0.5), kd.Term(kd.losses.BinarySoftTarget(2.0), weight=0.5)]
        inputs = {"inputs": few[0], "signals": {"teacher:output": answers}}
        trained(kd.Distiller(student=student, terms=terms), inputs, few[1], options.epochs, seed)
        return student

    for seed in range(1, options.seeds + 1):
        for name in STUDENTS:
            keep(f"{name} alone", seed, lambda n=name, s=seed: alone(n, s))
            keep(f"{name} distilled", seed, lambda n=name, s=seed: distilled(n, s))

    found: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        found.setdefault(row["run"], []).append(float(row["accuracy"]))
    print("\n| | accuracy, % | each | gain, points |\n|---|---:|---|---:|")
    for name, values in sorted(found.items(), key=lambda item: ("teacher" not in item[0], item)):
        before, _, way = name.rpartition(" ")
        gain = points(paired(found[f"{before} alone"], values)) if way == "distilled" else ""
        each = ", ".join(f"{v:.2f}" for v in values)
        print(f"| {name} | {np.mean(values):.2f} | {each} | {gain} |")


if __name__ == "__main__":
    main()
