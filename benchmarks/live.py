"""How far a teacher of another framework, asked ahead of each step, overlaps with training.

    KERAS_BACKEND=jax python benchmarks/live.py

The teacher sleeps as long as a step of the student takes, half as long, and twice as long (a server
or an accelerator, which leave this processor alone). For each, in turns: an epoch of plain training,
one of distilling from signals that are there already, one of the teacher alone, and one with
`sources.live`. Printed is the median of the rounds' ratios of the last to the longer of the
teacher's and the student's, the student's with and without its distillation loss. 1 is full
overlap, 2 none at equal times. `--width` makes the student, and so its step, larger.
"""

import argparse
import statistics
import time

import keras
import numpy as np

import keras_kd as kd

BATCH = 64


def student(width: int) -> keras.Model:
    layers = keras.layers
    body = [layers.Conv2D(width, 3, activation="relu") for _ in range(2)]
    return keras.Sequential([keras.Input((28, 28, 1)), *body, layers.Flatten(), layers.Dense(10)])


def seconds(function) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.random((BATCH * args.steps, 28, 28, 1), "float32")
    y = rng.integers(0, 10, len(x))
    answers = rng.normal(size=(BATCH, 10)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain = student(args.width)
    distiller = kd.Distiller(student=student(args.width), terms=kd.recipes.hinton())
    plain.compile("sgd", loss)
    distiller.compile("sgd", loss)
    pause = [0.0]

    def teacher(batch: np.ndarray) -> np.ndarray:
        time.sleep(pause[0])
        return answers[: len(batch)]

    feed = kd.sources.live(teacher, (x, y), batch_size=BATCH)
    alone = lambda: plain.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)  # noqa: E731
    given = {"inputs": x, "signals": {"teacher:output": np.tile(answers, (args.steps, 1))}}
    stored = lambda: distiller.fit(  # noqa: E731
        given, y, batch_size=BATCH, shuffle=False, verbose=0
    )
    live = lambda: distiller.fit(feed, verbose=0)  # noqa: E731
    alone(), stored(), live()  # compiled
    step = statistics.median(seconds(stored) for _ in range(5)) / args.steps
    print(f"{keras.config.backend()}: a step of the student takes {1000 * step:.1f} ms")
    for share in (0.5, 1.0, 2.0):
        pause[0] = share * step
        asked = lambda: [teacher(x[:BATCH]) for _ in range(args.steps)]  # noqa: E731
        rounds = [[seconds(f) for f in (live, stored, alone, asked)] for _ in range(args.rounds)]
        over_distilling = [live / max(given, asks) for live, given, _, asks in rounds]
        over_training = [live / max(plain, asks) for live, _, plain, asks in rounds]
        print(
            f"teacher {share:.1f} of a step: {statistics.median(over_distilling):.2f} "
            f"({min(over_distilling):.2f} to {max(over_distilling):.2f}) over distilling, "
            f"{statistics.median(over_training):.2f} over plain training"
        )


if __name__ == "__main__":
    main()
