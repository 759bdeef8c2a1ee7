"""How much of the loss should be the teacher's: `recipes.hinton` at several shares.

    KERAS_BACKEND=jax python benchmarks/alpha.py --out alpha.csv

From each seed the same student, from the same weights, with each share of the teacher: on the
digits with 100 labels (and the teacher's answers to all 1,157 images) and with all labels; with
`--data fashion_mnist`, on the 1,000 labelled images and with the networks of `recipes.py`. The
interval is over the paired differences to a share of one half. Rows are kept in `--out`
as they come.
"""

import argparse
import pathlib
import statistics
from collections.abc import Callable

import keras
import numpy as np
from recipes import Bench, taught
from rows import Rows, points

import keras_kd
from keras_kd.report import paired

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.95)
CONTROL = 0.5
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
Run = Callable[[float, int], float]


def digits() -> dict[str, Run]:
    """A run for each number of labels: from share and seed to the accuracy on the test images."""
    data = keras_kd.data.load("digits")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    body = [layers.Conv2D(64, 3, activation="relu"), layers.Flatten(), layers.Dense(10)]
    teacher = keras.Sequential([keras.Input((8, 8, 1)), *body])
    teacher.compile("adam", LOSS)
    teacher.fit(*data.train, epochs=20, verbose=0)

    def run(labels: int, share: float, seed: int) -> float:
        keras.utils.set_random_seed(seed)
        y = np.full_like(data.y_train, -1)
        known = np.random.default_rng(seed).permutation(len(y))[:labels]
        y[known] = data.y_train[known]
        body = [layers.Flatten(), layers.Dense(16, activation="relu"), layers.Dense(10)]
        student = keras.Sequential([keras.Input((8, 8, 1)), *body])
        distiller = keras_kd.Distiller(
            student=student, teacher=teacher, terms=keras_kd.recipes.hinton(alpha=share)
        )
        distiller.compile(keras.optimizers.Adam(0.01), LOSS)
        distiller.fit(data.x_train, y, batch_size=64, epochs=40, verbose=0)
        return float((student.predict(data.x_test, verbose=0).argmax(1) == data.y_test).mean())

    whole = len(data.y_train)
    return {
        "digits, 100 labels": lambda share, seed: run(100, share, seed),
        "digits, all labels": lambda share, seed: run(whole, share, seed),
    }


def images(name: str) -> dict[str, Run]:
    """One run: 1,000 images, all of them with a label."""
    bench = Bench(name, 1000, 50, 32)

    def run(share: float, seed: int) -> float:
        student, _, _ = taught(lambda b: keras_kd.recipes.hinton(alpha=share))(bench, seed)
        return bench.accuracy(student)

    return {f"{name}, 1,000 images": run}


def table(rows: list[dict]) -> str:
    """The rows as a table in Markdown."""
    lines = [
        "| | share of the teacher | accuracy, % | difference to one half, points (95 % interval) |",
        "|---|---:|---:|---|",
    ]
    found: dict[tuple[str, float], dict[int, float]] = {}
    for row in rows:
        runs = found.setdefault((row["task"], float(row["share"])), {})
        runs[int(row["seed"])] = 100 * float(row["accuracy"])
    for (task, share), runs in found.items():
        spread = ""
        if share != CONTROL:
            control = found[task, CONTROL]
            change = paired([control[seed] for seed in runs], list(runs.values()))
            spread = points(change)
        lines.append(f"| {task} | {share} | {statistics.mean(runs.values()):.2f} | {spread} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", default="digits")
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("alpha.csv"))
    args = parser.parse_args()
    rows = Rows(args.out)
    for task, run in (digits() if args.data == "digits" else images(args.data)).items():
        for share in args.shares:
            for seed in range(1, args.seeds + 1):
                if not rows.have(task=task, share=share, seed=seed):
                    rows.keep(task=task, share=share, seed=seed, accuracy=run(share, seed))
                    print(rows[-1], flush=True)
                    keras.backend.clear_session()
    print(table(rows))


if __name__ == "__main__":
    main()
