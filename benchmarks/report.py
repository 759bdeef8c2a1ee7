"""What a report costs: `compare` on 10,000 test images, over the models' own `predict`.

    TFDS_DATA_DIR=... python benchmarks/report.py [--rounds 5]

Three small models of fashion_mnist, hardly trained. Every round times each model's `predict`, all
in a row, and then one `compare` of the three, latency measurement left out; both are warmed up. The
ratio is taken within a round, and the median over the rounds is what counts. The ratio of processor
time is told as well: on a busy machine it is the one that says something.
"""

import argparse
import time

import keras
import numpy as np

import keras_kd

layers = keras.layers


def networks() -> dict[str, keras.Model]:
    """A small convolutional network, and two smaller ones."""

    def network(name: str, *widths: int) -> keras.Model:
        body = [
            step
            for width in widths
            for step in (layers.Conv2D(width, 3, activation="relu"), layers.MaxPooling2D())
        ]
        head = [layers.Flatten(), layers.Dense(10)]
        return keras.Sequential([keras.Input((28, 28, 1)), *body, *head], name=name)

    return {
        "teacher": network("teacher", 32, 64),
        "student alone": network("alone", 8),
        "distilled": network("distilled", 8),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    data = keras_kd.data.load("fashion_mnist", download=False)
    x, y = data.test
    models = networks()
    for model in models.values():
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.fit(data.x_train[:6400], data.y_train[:6400], batch_size=128, verbose=0)
    print(f"{keras.config.backend()}, {len(y):,} images, batches of 128")
    print("round  predict (s)  compare (s)  ratio  ratio of processor time")
    ratios = []
    for turn in range(-1, arguments.rounds):  # the first warms up
        began = _now()
        for model in models.values():
            model.predict(x, batch_size=128, verbose=0)
        between = _now()
        report = keras_kd.report.compare(models, (x, y), latency=False)
        predicted, compared = between - began, _now() - between
        if turn >= 0:
            ratios.append(compared / predicted)
            wall, processor = ratios[-1]
            print(
                f"{turn + 1:5}  {predicted[0]:11.3f}  {compared[0]:11.3f}  {wall:5.2f}  {processor:5.2f}"
            )
    wall, processor = np.median(ratios, axis=0)
    print(f"median ratio {wall:.2f}, of processor time {processor:.2f}")
    print(report.verdict)


def _now() -> np.ndarray:
    """Wall and processor time, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


if __name__ == "__main__":
    main()
