"""What few bits lose, and what images without labels win back: the curve over their number.

    KERAS_BACKEND=tensorflow python benchmarks/recover.py --out recover.csv
    python benchmarks/recover.py --out recover.csv --table

A network of four convolutions, trained with labels on 10,000 images from each seed, rounded to 4, 3 and 2 bits in its weights and 8 in its activations:

- rounded: after training, the ranges of the activations read off 1,024 images;
- whole: all steps on the divergence of the outputs from the float model's;
- blocks and whole: `keras_kd.compression.recover`, a quarter of the steps block by block.

The two latter learn from other images than the network was trained on, without their labels, in as
many steps of as many images. Accuracy on 4,000 test images in the rounded arithmetic. Rows are kept
in `--out` as they come; run again, it goes on.
"""

import argparse
import pathlib
import statistics
import time

import keras
import numpy as np
from keras import layers as L
from rows import Rows, points

import keras_kd as kd
from keras_kd.compression import quantize_aware, recover
from keras_kd.report import paired

IMAGES, TESTED, EPOCHS, STEPS = 10_000, 4_000, 5, 400
WAYS = {"whole": (0, STEPS), "blocks and whole": (STEPS // 4, STEPS - STEPS // 4)}
COUNTS = (64, 256, 1024, 4096)


def network(shape: tuple[int, ...]) -> keras.Model:
    x = inputs = keras.Input(shape)
    for channels, strides in ((16, 2), (24, 1), (32, 2), (48, 1)):
        x = L.Conv2D(channels, 3, strides, "same", use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization(momentum=0.9)(x))
    return keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(x)))


class Bench:
    def __init__(self, name: str):
        data = kd.data.load(name)
        order = np.random.default_rng(0).permutation(len(data.y_train))
        x = data.x_train[order].astype("float32")
        self.train = x[:IMAGES], data.y_train[order][:IMAGES]
        self.unlabelled = x[IMAGES:]
        self.test = data.x_test[:TESTED].astype("float32"), data.y_test[:TESTED]

    def trained(self, seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        model = network(self.train[0].shape[1:])
        rate = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * -(-IMAGES // 64))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(rate), loss)
        model.fit(*self.train, batch_size=64, epochs=EPOCHS, verbose=0)
        return model

    def accuracy(self, model: keras.Model) -> float:
        answers = model.predict(self.test[0], batch_size=500, verbose=0)
        return 100 * float((answers.argmax(-1) == self.test[1]).mean())


def rounded(model, images, bits):
    """The model rounded, its ranges read off the images, and nothing learned."""
    aware = quantize_aware(model, weight_bits=bits)  # steps up to the largest weight
    for start in range(0, len(images), 64):
        aware(images[start : start + 64], training=True)
    return aware


def table(rows: list[dict]) -> str:
    """A row for each number of images, the ways side by side."""
    lines: list[str] = []
    for bits in sorted({row["bits"] for row in rows}, reverse=True):
        mine = [row for row in rows if row["bits"] == bits]
        of: dict[tuple[str, str], dict[str, float]] = {}
        for row in mine:
            of.setdefault((row["way"], row["images"]), {})[row["seed"]] = float(row["accuracy"])
        floats = statistics.mean({row["seed"]: float(row["float"]) for row in mine}.values())
        plain = of.get(("rounded", "0"), {})
        lines += [
            f"{bits} bits: {floats:.2f} % in float, "
            f"{statistics.mean(plain.values()):.2f} % rounded after training.\n",
            "| images | whole, % | blocks and whole, % | blocks add, points |",
            "|---:|---:|---:|---|",
        ]
        for count in map(str, COUNTS):
            whole, blocks = (of.get((way, count), {}) for way in WAYS)
            both = [seed for seed in whole if seed in blocks]
            if both:
                pair = [[values[seed] for seed in both] for values in (whole, blocks)]
                cells = [f"{statistics.mean(values):.2f}" for values in pair]
                over = points(paired(*pair)) if len(both) > 1 else ""
                lines.append(f"| {int(count):,} | {cells[0]} | {cells[1]} | {over} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("recover.csv"))
    parser.add_argument("--data", choices=("cifar10", "fashion_mnist"), default="fashion_mnist")
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 2, 3])
    parser.add_argument("--images", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--table", action="store_true", help="print the table, no more")
    options = parser.parse_args()
    rows = Rows(options.out)
    if not options.table:
        bench = Bench(options.data)
        for seed in options.seeds:
            path = options.out.parent / f"recover_{options.data}_{seed}.keras"
            if not path.exists():
                bench.trained(seed).save(path)
            model = keras.saving.load_model(path, compile=False)
            floats = f"{bench.accuracy(model):.2f}"
            some = np.random.default_rng(seed).permutation(len(bench.unlabelled))
            x = bench.unlabelled[some[: max(COUNTS)]]
            for bits in options.bits:
                runs = [("rounded", 0), *((way, n) for n in options.images for way in WAYS)]
                for way, count in runs:
                    which = {
                        "data": options.data,
                        "bits": bits,
                        "way": way,
                        "images": count,
                        "seed": seed,
                    }
                    if rows.have(**which):
                        continue
                    start = time.perf_counter()
                    if way == "rounded":
                        aware = rounded(model, x[:1024], bits)
                    else:
                        blocks, steps = WAYS[way]
                        aware = recover(
                            model, x[:count], bits, block_steps=blocks, whole_steps=steps,
                            verbose=0, seed=seed,
                        )  # fmt: skip
                    seconds = f"{time.perf_counter() - start:.0f}"
                    accuracy = f"{bench.accuracy(aware):.2f}"
                    rows.keep(**which, accuracy=accuracy, float=floats, seconds=seconds)
                    print(which, accuracy, f"float {floats}, {seconds} s", flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
