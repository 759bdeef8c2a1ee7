"""Prune, distil, quantise, prove: what each step takes and gives, with a teacher and without.

    KERAS_BACKEND=tensorflow python benchmarks/path.py --out path.csv
    python benchmarks/path.py --tasks spoken --spoken spoken_digits.npz --out path.csv
    python benchmarks/path.py --out path.csv --table

Two networks of the kind that small devices are given, each trained with labels from each seed:

- cifar10: inverted residual blocks (after MobileNetV2), 10,000 images of CIFAR-10;
- spoken: a depthwise-separable network (after DS-CNN), spectrograms of the Free Spoken Digit
  Dataset, as one file of arrays (`audio`, `offsets`, `label`, `index`); 2,700 to train, 300 to test.

Then half of the channels go (`shrink`, by Taylor importance and, to compare, by the L1 norm); what
is left is trained on, by labels alone or by the whole network as well; and it is rounded to int8,
after training or with some more epochs of training that know of it. Every form becomes a LiteRT
file, proven and run in tflite-micro; accuracies are those of the files on the test examples (of the
forms in float32 the first seed has files, and the others the models' own accuracies).

The rows are kept in `--out` as they come; run again, it goes on. The whole networks are kept beside
it. Needs TensorFlow and the extra "micro".
"""

import argparse
import itertools
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
from keras import layers as L
from rows import Rows, points

import keras_kd as kd
from keras_kd.compression import L1Norm, Taylor, plain, quantize_aware, shrink
from keras_kd.report import paired

IMAGES, TESTED, WIDTH = 10_000, 4_000, 0.5
#: Epochs of the whole network, after pruning, and quantisation-aware.
EPOCHS = {"cifar10": (8, 4, 1), "spoken": (20, 10, 3)}
LABEL = {"": "", "labels": "labels alone", "teacher": "the whole network too"}


def _block(x, channels, strides=1, expansion=4):
    """An inverted residual: wider, filtered channel by channel, narrow again."""
    y = _normed(L.Conv2D(expansion * x.shape[-1], 1, use_bias=False)(x))
    y = _normed(L.DepthwiseConv2D(3, strides, "same", use_bias=False)(L.ReLU(6.0)(y)))
    y = _normed(L.Conv2D(channels, 1, use_bias=False)(L.ReLU(6.0)(y)))
    return L.Add()([x, y]) if x.shape == y.shape else y


def _normed(x):
    return L.BatchNormalization(momentum=0.9)(x)


def mobile(shape: tuple[int, ...], classes: int = 10, name: str = "mobile") -> keras.Model:
    """Six inverted residual blocks: after Sandler et al., "MobileNetV2", CVPR 2018, in small."""
    inputs = keras.Input(shape, name="image")
    x = L.ReLU(6.0)(_normed(L.Conv2D(16, 3, 2, "same", use_bias=False)(inputs)))
    for channels, strides in ((16, 1), (24, 2), (24, 1), (40, 2), (40, 1), (64, 1)):
        x = _block(x, channels, strides)
    x = L.ReLU(6.0)(_normed(L.Conv2D(128, 1, use_bias=False)(x)))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, L.Dense(classes, name="logits")(x), name=name)


def ds_cnn(shape: tuple[int, ...], classes: int = 10, name: str = "ds_cnn") -> keras.Model:
    """A convolution and four depthwise-separable ones: after Zhang, Suda, Lai, Chandra, "Hello
    Edge", 2017, the small DS-CNN."""
    inputs = keras.Input(shape, name="spectrogram")
    x = L.ReLU()(_normed(L.Conv2D(64, (10, 4), 2, "same", use_bias=False)(inputs)))
    for _ in range(4):
        x = L.ReLU()(_normed(L.DepthwiseConv2D(3, 1, "same", use_bias=False)(x)))
        x = L.ReLU()(_normed(L.Conv2D(64, 1, use_bias=False)(x)))
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, L.Dense(classes, name="logits")(x), name=name)


def spectrograms(path: pathlib.Path) -> tuple:
    """Logarithms of 16 bands in 49 windows of 32 ms, each recording padded or cut to 0.8 s."""
    file = np.load(path)
    audio, offsets = file["audio"].astype("float32") / 32768, file["offsets"]
    waves = np.zeros((len(file["label"]), 6400), "float32")
    for row, (start, end) in enumerate(itertools.pairwise(offsets)):
        end = min(end, start + waves.shape[1])
        waves[row, : end - start] = audio[start:end]
    windows = np.lib.stride_tricks.sliding_window_view(waves, 256, axis=1)[:, ::128]
    power = np.abs(np.fft.rfft(windows * np.hanning(256), axis=-1)[..., :128]) ** 2
    x = np.log(power.reshape(*power.shape[:2], 16, 8).mean(-1) + 1e-6)[..., None]
    test = file["index"] < 5
    x = ((x - x[~test].mean()) / x[~test].std()).astype("float32")
    y = file["label"].astype("int32")
    return (x[~test], y[~test]), (x[test], y[test])


class Task:
    """Data and network of a task, and how it is trained."""

    def __init__(self, name: str, spoken: pathlib.Path | None):
        self.name, self.epochs = name, EPOCHS[name]
        if name == "cifar10":
            data = kd.data.load(name)
            order = np.random.default_rng(0).permutation(len(data.y_train))[:IMAGES]
            self.train = data.x_train[order].astype("float32"), data.y_train[order]
            self.test = data.x_test[:TESTED].astype("float32"), data.y_test[:TESTED]
            self.build = mobile
        else:
            self.train, self.test = spectrograms(spoken)
            self.build = ds_cnn

    def fit(self, student, epochs, rate, seed, teacher=None):
        """The student, trained by labels, and by a teacher when there is one."""
        keras.utils.set_random_seed(seed)
        part = kd.data.Part(*self.train, np.arange(len(self.train[1])))
        augment = None
        if self.name == "cifar10":
            augment = kd.data.Augment(kd.data.Crop(4), kd.data.Flip(), seed=seed)
        batches = kd.data.feed(
            part,
            augment=augment,
            views=epochs if augment else 1,
            batch_size=64,
            shuffle=True,
            seed=seed,
        )
        terms = kd.recipes.hinton() if teacher else [kd.Labels()]
        distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
        falling = keras.optimizers.schedules.CosineDecay(rate, epochs * len(batches))
        distiller.compile(
            keras.optimizers.Adam(falling),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        distiller.fit(batches, epochs=epochs, verbose=0)
        return student

    def whole(self, seed: int, folder: pathlib.Path) -> keras.Model:
        """The network trained with labels; kept in a file."""
        path = folder / f"path_{self.name}_{seed}.keras"
        if not path.exists():
            keras.utils.set_random_seed(seed)
            self.fit(self.build(self.train[0].shape[1:]), self.epochs[0], 3e-3, seed).save(path)
        return keras.saving.load_model(path, compile=False)

    def accuracy(self, model: keras.Model) -> float:
        answers = model.predict(self.test[0], batch_size=500, verbose=0)
        return 100 * float((answers.argmax(-1) == self.test[1]).mean())

    def file(self, model: keras.Model, quantization: str) -> dict[str, object]:
        """What the proof of its file says."""
        with tempfile.TemporaryDirectory() as folder:
            ranges = {"calibration": self.train[0][:256]} if quantization == "int8" else {}
            proof = kd.export(
                model, pathlib.Path(folder) / "student.tflite", quantization=quantization,
                target="micro", examples=self.test[0], labels=self.test[1], min_agreement=0.0,
                **ranges,
            )  # fmt: skip
        return {
            "accuracy": f"{100 * proof.accuracy:.2f}", "agreement": f"{proof.agreement:.4f}",
            "bytes": proof.bytes, "gzip": proof.gzip_bytes,
            "microseconds": f"{1e3 * proof.milliseconds:.1f}", "arena": proof.micro.arena_bytes,
        }  # fmt: skip


def measured(task: Task, seed: int, folder: pathlib.Path):
    """Each step of the path: its name, by whom it was taught, and a function that measures it."""
    whole = task.whole(seed, folder)
    _, after, aware_epochs = task.epochs
    rows = np.random.default_rng(seed).permutation(len(task.train[0]))[:1024]
    by = {"Taylor": Taylor(task.train[0][rows], seed=seed), "L1": L1Norm()}

    def pruned(how="Taylor", taught=None):
        student = shrink(whole, WIDTH, copy_weights=True, importance=by[how])
        if taught:
            task.fit(student, after, 2e-3, seed, whole if taught == "teacher" else None)
        return student

    kept: dict[str, keras.Model] = {}

    def trained(taught):
        if taught not in kept:
            path = folder / f"path_{task.name}_{seed}_{taught}.keras"
            if not path.exists():
                pruned(taught=taught).save(path)
            kept[taught] = keras.saving.load_model(path, compile=False)
        return kept[taught]

    def aware(taught):
        student = quantize_aware(trained(taught))
        teacher = whole if taught == "teacher" else None
        return plain(task.fit(student, aware_epochs, 3e-4, seed, teacher), keep_ranges=True)

    def numbers(model):
        return {"accuracy": f"{task.accuracy(model):.2f}"}

    def floats(model):
        return task.file(model, "float32") if seed == 1 else numbers(model)

    yield "whole", "", lambda: floats(whole)
    yield "whole, int8", "", lambda: task.file(whole, "int8")
    for taught in ("labels", "teacher"):
        yield "pruned, trained on", taught, lambda t=taught: floats(trained(t))
        yield "int8", taught, lambda t=taught: task.file(trained(t), "int8")
        yield "int8, aware", taught, lambda t=taught: task.file(aware(t), "int8")
    for how in by:
        yield f"pruned by {how}", "", lambda h=how: numbers(pruned(h))
    yield "pruned by L1, trained on", "teacher", lambda: numbers(pruned("L1", "teacher"))


def table(rows: list[dict]) -> str:
    """The rows as a table in Markdown for each task."""
    lines: list[str] = []
    for task in dict.fromkeys(row["task"] for row in rows):
        lines += [
            f"| {task} | taught by | accuracy, % | each | kB | gzip, kB | µs | arena, kB |",
            "|---|---|---:|---|---:|---:|---:|---:|",
        ]
        by: dict[tuple[str, str], list[dict]] = {}
        for row in rows:
            if row["task"] == task:
                by.setdefault((row["step"], row["taught"]), []).append(row)
        for (step, taught), found in by.items():
            right = [float(row["accuracy"]) for row in found]
            sizes = ""
            files = [row for row in found if row["bytes"]]
            if files:
                mean = {
                    name: statistics.mean(float(row[name]) for row in files)
                    for name in ("bytes", "gzip", "microseconds", "arena")
                }
                sizes = (
                    f"{mean['bytes'] / 1e3:.1f} | {mean['gzip'] / 1e3:.1f} "
                    f"| {mean['microseconds']:.0f} | {mean['arena'] / 1e3:.1f}"
                )
            lines.append(
                f"| {step} | {LABEL[taught]} | {statistics.mean(right):.2f} "
                f"| {', '.join(f'{value:.1f}' for value in right)} | {sizes or ' |  |  | '} |"
            )
        lines.append("")
        for step in ("pruned, trained on", "int8", "int8, aware"):
            pair = [by.get((step, taught), []) for taught in ("labels", "teacher")]
            values = [{r["seed"]: float(r["accuracy"]) for r in found} for found in pair]
            both = [seed for seed in values[0] if seed in values[1]]
            if len(both) > 1:
                change = paired(*([found[seed] for seed in both] for found in values))
                lines.append(f"{task}, {step}: the teacher adds {points(change)} points.")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("path.csv"))
    parser.add_argument("--tasks", nargs="+", choices=EPOCHS, default=["cifar10", "spoken"])
    parser.add_argument("--spoken", type=pathlib.Path, help="the spoken digits, a .npz file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--table", action="store_true", help="print the table, no more")
    options = parser.parse_args()
    rows = Rows(options.out)
    for name in () if options.table else options.tasks:
        task = Task(name, options.spoken)
        for seed in options.seeds:
            for step, taught, measure in measured(task, seed, options.out.parent):
                which = {"task": name, "step": step, "taught": taught, "seed": seed}
                if rows.have(**which):
                    continue
                start = time.perf_counter()
                empty = dict.fromkeys(
                    ("accuracy", "agreement", "bytes", "gzip", "microseconds", "arena"), ""
                )
                found = {**empty, **measure()}
                rows.keep(**which, **found, seconds=f"{time.perf_counter() - start:.0f}")
                print(name, seed, step, taught, found, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
