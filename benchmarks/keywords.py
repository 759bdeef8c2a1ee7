"""MLPerf Tiny's keyword spotting in small: its DS-CNN on ten spoken digits, in 8-bit integers.

    python benchmarks/keywords.py --recordings spoken_digits.npz --seeds 3

The Free Spoken Digit Dataset (doi 10.5281/zenodo.1342401): 3,000 recordings of six speakers at
8 kHz; its own test part, the first five recordings of each digit by each speaker. A second of
sound is 49 frames of 10 cepstral coefficients, as in the benchmark's task. A wider network of the
same kind, trained on the labels, is the teacher; each student sees other shifts and noises of the
recordings in each epoch, and the teacher's answers to just these. The control is the same student
on the same views with labels alone.

`--recordings` is a file with `audio` (int16, joined), `offsets`, `label` and `index`. Files need
TensorFlow and tflite-micro.
"""

import argparse
import itertools
import pathlib
import statistics
import tempfile

import keras
import numpy as np
from mlperf_tiny import compiled, on_device, rate

import keras_kd as kd

RATE, WINDOW, HOP, SECOND = 8000, 240, 160, 8000  # 30 ms, 20 ms
BANDS, COEFFICIENTS = 40, 10
BATCH = 64


def filters() -> np.ndarray:
    """Triangles that are evenly spaced on the mel scale, from 20 Hz to 4 kHz."""

    def mel(hertz):
        return 2595 * np.log10(1 + hertz / 700)

    def hertz(mel):
        return 700 * (10 ** (mel / 2595) - 1)

    edges = hertz(np.linspace(mel(20), mel(RATE / 2), BANDS + 2))
    bins = np.fft.rfftfreq(256, 1 / RATE)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rise, fall = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return np.maximum(0, np.minimum(rise, fall)).T


def cepstrum(waves: np.ndarray) -> np.ndarray:
    """`(recordings, 8000)` -> `(recordings, 49, 10, 1)`: the first coefficients of the cosine
    transform of log mel energies."""
    starts = np.arange(0, SECOND - WINDOW + 1, HOP)
    frames = waves[:, starts[:, None] + np.arange(WINDOW)] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, 256)) ** 2
    energies = np.log(power @ filters() + 1e-6)
    places = np.pi * (np.arange(BANDS) + 0.5) / BANDS
    cosine = np.cos(np.arange(COEFFICIENTS)[:, None] * places) * np.sqrt(2 / BANDS)
    return (energies @ cosine.T / 10)[..., None].astype("float32")


def views_of(recordings, seed) -> np.ndarray:
    """Each recording somewhere in its second, a little louder or softer, in a little noise."""
    rng = np.random.default_rng(seed)
    waves = np.zeros((len(recordings), SECOND), "float32")
    for wave, sound in zip(waves, recordings, strict=True):
        sound = sound[:SECOND]
        start = rng.integers(0, SECOND - len(sound) + 1)
        wave[start : start + len(sound)] = sound * rng.uniform(0.5, 1.5)
        wave += rng.normal(0, rng.uniform(0, 0.01), SECOND)
    return cepstrum(waves)


def centered(recordings) -> np.ndarray:
    waves = np.zeros((len(recordings), SECOND), "float32")
    for wave, sound in zip(waves, recordings, strict=True):
        sound = sound[:SECOND]
        start = (SECOND - len(sound)) // 2
        wave[start : start + len(sound)] = sound
    return cepstrum(waves)


class Bench:
    def __init__(self, options):
        with np.load(options.recordings) as file:
            audio, offsets = file["audio"], file["offsets"]
            y, test = file["label"].astype("int32"), file["index"] < 5
        waves = [audio[a:b].astype("float32") / 32768 for a, b in itertools.pairwise(offsets)]
        self.waves = [w for w, t in zip(waves, test, strict=True) if not t]
        self.y, self.y_test = y[~test], y[test]
        self.x_test = centered([w for w, t in zip(waves, test, strict=True) if t])
        # The same views for all: those of one epoch are another's for nobody.
        self.views = [views_of(self.waves, seed) for seed in range(options.epochs)]
        self.epochs = options.epochs

    def train(self, model, teacher=None) -> keras.Model:
        steps = self.epochs * -(-len(self.y) // BATCH)
        terms = kd.recipes.hinton(temperature=4.0) if teacher else [kd.Labels()]
        learner = compiled(model, terms, keras.optimizers.Adam(rate(0.004, steps)))
        for x in self.views:
            inputs = x
            if teacher:
                answers = teacher.predict(x, batch_size=512, verbose=0)
                inputs = {"inputs": x, "signals": {"teacher:output": answers}}
            learner.fit(inputs, self.y, batch_size=BATCH, verbose=0)
        return model

    def accuracy(self, model) -> float:
        answers = model.predict(self.x_test, batch_size=300, verbose=0)
        return 100 * float((answers.argmax(1) == self.y_test).mean())


def network(seed, **sizes) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = kd.students.ds_cnn((49, COEFFICIENTS, 1), 10, **sizes)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recordings", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    bench, folder = Bench(options), pathlib.Path(tempfile.mkdtemp())
    teacher = bench.train(network(0, width=128))
    print(f"teacher: {teacher.count_params():,} weights, {bench.accuracy(teacher):.2f} %")
    found: dict[str, list[dict]] = {"alone": [], "distilled": []}
    for seed in range(1, options.seeds + 1):
        for way in found:
            student = bench.train(network(seed), teacher if way == "distilled" else None)
            row = {"float": f"{bench.accuracy(student):.2f}"}
            path = folder / f"{way}-{seed}.tflite"
            calibration = bench.views[0][:500]
            row |= on_device(student, path, calibration, bench.x_test, bench.y_test)
            found[way].append(row)
            print(way, seed, row, flush=True)
    print("| DS-CNN | float, % | int8, % | as in float, % | bytes | arena | ms |")
    print("|---|---|---|---|---:|---:|---:|")
    for way, rows in found.items():
        means = [
            f"{statistics.mean(float(row[name]) for row in rows):.2f}"
            for name in ("float", "int8", "agreement")
        ]
        last = rows[-1]
        cells = " | ".join([*means, *(str(last[n]) for n in ("bytes", "arena", "ms"))])
        print(f"| {way}, {len(rows)} seeds | {cells} |")


if __name__ == "__main__":
    main()
