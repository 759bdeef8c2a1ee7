"""A recurrent teacher and student on real film reviews: LSTM 256 to LSTM 128.

    KERAS_BACKEND=jax TFDS_DATA_DIR=... python benchmarks/imdb.py --out imdb.csv

IMDb (Maas et al., "Learning Word Vectors for Sentiment Analysis", 2011), the first `--length` words
of a review, one logit. The teacher learns from every training review; the student alone and the
distilled one, from the same weights and for the same number of steps, from `--reviews` of them.
Accuracy on `--test` test reviews; the difference with a 95 % interval over the seeds (of five
or more paired differences). Rows are kept in `--out` as they come; run again, it goes on.
"""

import argparse
import pathlib
import time

import keras
import numpy as np
from rows import Rows, points

import keras_kd as kd
from keras_kd.report import paired

WORDS = 10_000


def network(units: int, length: int, seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((length,), dtype="int32"),
            keras.layers.Embedding(WORDS, 64),
            keras.layers.LSTM(units),
            keras.layers.Dense(1),
        ],
        name=f"lstm_{units}",
    )


def trained(model, x, y, epochs, seed):
    model.compile(
        keras.optimizers.Adam(2e-3, clipnorm=1.0), keras.losses.BinaryCrossentropy(from_logits=True)
    )
    keras.utils.set_random_seed(seed)  # the order of the batches
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("imdb.csv"))
    parser.add_argument("--length", type=int, default=80)
    parser.add_argument("--reviews", type=int, default=5_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--teacher-epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
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
        model = network(256, options.length, 0)
        trained(model, x, y, options.teacher_epochs, 0)
        model.save(path)
        return model

    keep("teacher, LSTM 256", 0, teacher)
    few = x[: options.reviews], y[: options.reviews]
    answers = teacher().predict(few[0], batch_size=500, verbose=0)

    def alone(seed):
        student = network(128, options.length, seed)
        trained(student, *few, options.epochs, seed)
        return student

    def distilled(seed):
        student = network(128, options.length, seed)
        terms = [kd.Labels(0.5), kd.Term(kd.losses.BinarySoftTarget(2.0), weight=0.5)]
        inputs = {"inputs": few[0], "signals": {"teacher:output": answers}}
        trained(kd.Distiller(student=student, terms=terms), inputs, few[1], options.epochs, seed)
        return student

    for seed in range(1, options.seeds + 1):
        keep("LSTM 128 alone", seed, lambda s=seed: alone(s))
        keep("LSTM 128 distilled", seed, lambda s=seed: distilled(s))

    found = {
        name: [float(row["accuracy"]) for row in rows if row["run"] == name]
        for name in ("teacher, LSTM 256", "LSTM 128 alone", "LSTM 128 distilled")
    }
    print("\n| | accuracy, % | each |\n|---|---:|---|")
    for name, values in found.items():
        print(f"| {name} | {np.mean(values):.2f} | {', '.join(f'{v:.2f}' for v in values)} |")
    change = paired(found["LSTM 128 alone"], found["LSTM 128 distilled"])
    print(f"\n{points(change)} points")


if __name__ == "__main__":
    main()
