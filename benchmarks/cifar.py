"""The literature's CIFAR table: one protocol, two pairs of networks, five ways to distil.

    KERAS_BACKEND=jax python benchmarks/cifar.py --data cifar100 --pair resnet32x4-resnet8x4
    KERAS_BACKEND=jax python benchmarks/cifar.py --short
    python benchmarks/cifar.py --table

The protocol (Tian, Krishnan, Isola, "Contrastive Representation Distillation", 2020, section 4.1):
SGD with a momentum of 0.9, a weight decay of 5e-4 and a rate of 0.05, batches of 64, 240 epochs,
the rate divided by ten after 150, 180 and 210; images padded by four pixels, cropped and flipped.
The accuracy is that of the last epoch.

With `--short` small images sets and small networks (resnet20 to resnet8) go through the same
protocol in a twelfth of the epochs, on 5,000 images of CIFAR-10: for a CPU.

`--minutes` ends a slice: run again, it goes on where it was, in the middle of a training too. Rows
are kept in `--out`/rows.csv as they come. What has not been run stands as such in the table.
"""

import argparse
import pathlib
import statistics
import time

import keras
import models
import numpy as np
from rows import Deadline, Rows, points

import keras_kd as kd
from keras_kd import callbacks, recipes
from keras_kd.report import paired

PAIRS = {
    "resnet32x4-resnet8x4": (
        lambda c: models.resnet(32, 4, c), lambda c: models.resnet(8, 4, c),
    ),
    "wrn40_2-wrn16_2": (
        lambda c: models.wide_resnet(40, 2, c), lambda c: models.wide_resnet(16, 2, c),
    ),
    "resnet20-resnet8": (lambda c: models.resnet(20, 1, c), lambda c: models.resnet(8, 1, c)),
}  # fmt: skip
LAST = {"pred": "student:pool", "target": "teacher:pool"}
METHODS = {
    "teacher": None,
    "student alone": None,
    "hinton": lambda steps: recipes.hinton(temperature=4.0, alpha=0.9),
    "logit_standardization": lambda steps: recipes.logit_standardization(),
    "dkd": lambda steps: recipes.dkd(warmup=steps // 12),
    "dist": lambda steps: recipes.dist(),
    "crd": lambda steps: recipes.crd(negatives=4096, **LAST),
}
#: Accuracy on CIFAR-100 as published: Tian et al. 2020, table 1; Zhao et al. 2022, table 6; Huang
#: et al. 2022, table 5; Sun et al. 2024, table 1.
PUBLISHED = {
    ("resnet32x4-resnet8x4", "teacher"): 79.42,
    ("resnet32x4-resnet8x4", "student alone"): 72.50,
    ("resnet32x4-resnet8x4", "hinton"): 73.33,
    ("resnet32x4-resnet8x4", "logit_standardization"): 76.62,
    ("resnet32x4-resnet8x4", "dkd"): 76.32,
    ("resnet32x4-resnet8x4", "dist"): 76.31,
    ("resnet32x4-resnet8x4", "crd"): 75.51,
    ("wrn40_2-wrn16_2", "teacher"): 75.61,
    ("wrn40_2-wrn16_2", "student alone"): 73.26,
    ("wrn40_2-wrn16_2", "hinton"): 74.92,
    ("wrn40_2-wrn16_2", "dkd"): 76.24,
    ("wrn40_2-wrn16_2", "crd"): 75.48,
}
MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Bench:
    def __init__(self, options):
        self.options = options
        data = kd.data.load(options.data)
        normal = [
            ((part.x - np.array(MEAN)) / np.array(DEVIATION)).astype("float32")
            for part in (data["train"], data["test"])
        ]
        train = data["train"]
        part = kd.data.Part(normal[0], train.y, train.ids)
        self.train = part.take(np.arange(options.images)) if options.images else part
        self.test = normal[1], data["test"].y
        self.classes = data.info.classes
        self.steps = -(-len(self.train) // 64)
        self.augment = kd.data.Augment(kd.data.Crop(4), kd.data.Flip())
        self.end = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")

    def path(self, *parts) -> pathlib.Path:
        return self.options.out / "-".join([self.options.data, self.options.pair, *map(str, parts)])

    def taught(self, method: str, seed: int) -> float | None:
        """The accuracy at the end; None when the slice ended before."""
        options, (big, small) = self.options, PAIRS[self.options.pair]
        keras.utils.set_random_seed(seed)
        student = (big if method == "teacher" else small)(self.classes)
        teacher, terms = None, [kd.Labels()]
        if METHODS[method]:
            teacher = keras.saving.load_model(self.path("teacher.keras"), compile=False)
            terms = METHODS[method](self.steps * options.epochs)
        distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
        drops = [round(options.epochs * share) * self.steps for share in (150 / 240, 0.75, 0.875)]
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(
            drops, [0.05, 0.005, 0.0005, 0.00005]
        )
        # The decay belongs to the gradient, as in the published runs, and to every weight.
        for weight in student.trainable_variables:
            weight.regularizer = keras.regularizers.L2(2.5e-4)
        distiller.compile(
            keras.optimizers.SGD(rate, momentum=0.9),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=True,
        )
        state = self.path(method.replace(" ", "_"), f"{seed}.npz")
        checkpoint, deadline = callbacks.Checkpoint(state), Deadline(self.end)
        done = checkpoint.restore(distiller)
        feed = kd.data.feed(
            self.train, augment=self.augment, views=options.epochs, batch_size=64, shuffle=True,
            seed=seed,
        )  # fmt: skip
        for _ in range(done):
            feed.on_epoch_end()
        if done < options.epochs:
            distiller.fit(
                feed, epochs=options.epochs, initial_epoch=done, verbose=0,
                callbacks=[checkpoint, deadline],
            )  # fmt: skip
        if deadline.reached and int(distiller._step) < options.epochs * self.steps:
            return None
        if method == "teacher":
            student.save(self.path("teacher.keras"))
        x, y = self.test
        return 100 * float((student.predict(x, batch_size=500, verbose=0).argmax(1) == y).mean())


def table(rows) -> str:
    """What has been run and what has not; over the student alone, an interval of paired seeds."""
    lines = [
        "| set, pair, epochs | | published on CIFAR-100, % | ours, % | each | over alone (95 %) |",
        "|---|---|---:|---:|---|---:|",
    ]
    groups: dict[tuple, list] = {}
    for row in rows:
        groups.setdefault((row["data"], row["pair"], row["epochs"]), []).append(row)
    for pair in PAIRS:
        if pair != "resnet20-resnet8":
            groups.setdefault(("cifar100", pair, "240"), [])
    for (data, pair, epochs), found in groups.items():
        of = {m: {r["seed"]: float(r["accuracy"]) for r in found if r["method"] == m}
              for m in METHODS}  # fmt: skip
        for method, values in of.items():
            mean = f"{statistics.mean(values.values()):.2f}" if values else "not run"
            each = ", ".join(f"{value:.2f}" for value in values.values())
            pairs = [(of["student alone"][s], v) for s, v in values.items()
                     if METHODS[method] and s in of["student alone"]]  # fmt: skip
            over = ""
            if len(pairs) > 1:
                change = paired(*map(list, zip(*pairs, strict=True)))
                over = points(change)
            published = PUBLISHED.get((pair, method), "")
            lines.append(
                f"| {data}, {pair}, {epochs} | {method} | {published} | {mean} | {each} | {over} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="cifar100")
    parser.add_argument("--pair", choices=PAIRS, default="resnet32x4-resnet8x4")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--epochs", type=int, default=240)
    parser.add_argument("--images", type=int, help="training images (default: all)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="of this slice")
    parser.add_argument("--short", action="store_true", help="resnet20 to resnet8, 20 epochs")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("cifar"))
    parser.add_argument("--table", action="store_true", help="print the table, no more")
    options = parser.parse_args()
    if options.short:
        options.data, options.pair, options.epochs, options.images = (
            "cifar10", "resnet20-resnet8", 20, 5000,
        )  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    rows = Rows(options.out / "rows.csv")
    if not options.table:
        bench = Bench(options)
        for seed in range(1, options.seeds + 1):
            for method in options.methods:
                which = {
                    "data": options.data, "pair": options.pair, "method": method,
                    "epochs": options.epochs, "seed": seed,
                }  # fmt: skip
                # One teacher, of the first seed, serves all students.
                if rows.have(**which) or (method == "teacher" and seed > 1):
                    continue
                start = time.perf_counter()
                accuracy = bench.taught(method, seed)
                if accuracy is None:
                    print(f"{method}, seed {seed}: the slice is over; run again to go on")
                    return
                seconds = round(time.perf_counter() - start, 1)
                rows.keep(**which, accuracy=f"{accuracy:.2f}", seconds=seconds)
                print(method, seed, f"{accuracy:.2f} %", f"{seconds} s", flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
