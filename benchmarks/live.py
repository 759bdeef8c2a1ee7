"""How far a teacher of another framework, asked ahead of each step, overlaps with training.

    KERAS_BACKEND=jax python benchmarks/live.py

The teacher sleeps as long as a step of the student takes, half as long, and twice as long (a server
or an accelerator, which leave this processor alone). For each: an epoch of plain training, one of
the teacher alone, and one with `sources.live`, in turns; the median of the rounds' ratios of the
last to the longer of the other two. 1 is full overlap, 2 none at equal times.
"""

import argparse
import statistics
import time

import keras
import numpy as np

import keras_kd as kd

BATCH, STEPS = 64, 40


def student() -> keras.Model:
    layers = keras.layers
    body = [layers.Conv2D(16, 3, activation="relu"), layers.Conv2D(16, 3, activation="relu")]
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
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.random((BATCH * STEPS, 28, 28, 1), "float32")
    y = rng.integers(0, 10, len(x))
    answers = rng.normal(size=(BATCH, 10)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain, distiller = student(), kd.Distiller(student=student(), terms=kd.recipes.hinton())
    plain.compile("sgd", loss)
    distiller.compile("sgd", loss)
    pause = [0.0]

    def teacher(batch: np.ndarray) -> np.ndarray:
        time.sleep(pause[0])
        return answers[: len(batch)]

    feed = kd.sources.live(teacher, (x, y), batch_size=BATCH)
    alone = lambda: plain.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)  # noqa: E731
    live = lambda: distiller.fit(feed, verbose=0)  # noqa: E731
    alone(), live()  # compiled
    step = statistics.median(seconds(alone) for _ in range(5)) / STEPS
    print(f"{keras.config.backend()}: a step of the student takes {1000 * step:.1f} ms")
    for share in (0.5, 1.0, 2.0):
        pause[0] = share * step
        asked = lambda: [teacher(x[:BATCH]) for _ in range(STEPS)]  # noqa: E731
        ratios = [seconds(live) / max(seconds(alone), seconds(asked)) for _ in range(args.rounds)]
        print(
            f"teacher {share:.1f} of a step: {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
