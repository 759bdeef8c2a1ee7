"""Every recipe on real images: does it teach?

    KERAS_BACKEND=jax python benchmarks/recipes.py --data fashion_mnist --out fashion.csv

A convolutional teacher, trained on more images than the student sees; then from each seed the
same small student, from the same initial weights, alone and by every recipe at its published
settings. One row a recipe: accuracy on the whole test set, the difference to the student alone
with a 95 % interval over five seeds or more (of paired differences), seconds per epoch, and the
parameters that only training needs. Rows are kept in `--out` as they come: run again, it goes on.

Warm-ups are scaled: what a paper does over 20 of 240 epochs takes the same share here.
"""

import argparse
import pathlib
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
from rows import Rows, points

import keras_kd
from keras_kd import procedures, recipes, teachers
from keras_kd.report import paired

CLASSES = 10
Terms = list


def network(shape: tuple[int, ...], channels: int, name: str) -> keras.Model:
    """Three stages, each halving the image."""
    x = inputs = keras.Input(shape)
    for stage in (1, 2, 3):
        x = keras.layers.Conv2D(
            channels * 2 ** (stage - 1), 3, 2, "same", use_bias=False, name=f"conv{stage}"
        )(x)
        x = keras.layers.BatchNormalization(name=f"norm{stage}")(x)
        x = keras.layers.ReLU(name=f"block{stage}")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(x), name=name)


def cross_entropy() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Bench:
    """The data, the teachers, and how a student is trained."""

    def __init__(self, name: str, images: int, epochs: int, batch: int):
        data = keras_kd.data.load(name)
        self.test = data.x_test, data.y_test
        order = np.random.default_rng(0).permutation(len(data.y_train))
        self.more = data.x_train[order[: 20 * images]], data.y_train[order[: 20 * images]]
        self.x, self.y = (part[:images] for part in self.more)
        self.shape, self.epochs, self.batch = self.x.shape[1:], epochs, batch
        self.steps = epochs * -(-images // batch)
        self.teacher, self.second = self._taught(24, 101), self._taught(16, 102)
        self.layers = procedures.hint_layers(network(self.shape, 12, "s"), self.teacher)
        self.last = {side: addresses[-1] for side, addresses in self.layers.items()}

    def _optimizer(self, steps: int) -> keras.optimizers.Optimizer:
        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps))

    def _taught(self, channels: int, seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        model = network(self.shape, channels, f"teacher_{channels}")
        x, y = self.more
        model.compile(self._optimizer(8 * -(-len(y) // self.batch)), cross_entropy())
        model.fit(x, y, batch_size=self.batch, epochs=8, verbose=0)
        return model

    def student(self, seed: int, channels: int = 12) -> keras.Model:
        keras.utils.set_random_seed(seed)
        return network(self.shape, channels, "student")

    def accuracy(self, model: keras.Model) -> float:
        x, y = self.test
        return float((model.predict(x, batch_size=1000, verbose=0).argmax(-1) == y).mean())

    def fit(self, distiller: keras_kd.Distiller, seed: int, numbered: bool = False) -> float:
        """Trains and returns the seconds of an epoch, compilation left out."""
        x = {"inputs": self.x, "signals": {"ids": np.arange(len(self.x))}} if numbered else self.x
        labels = any(isinstance(term, keras_kd.Labels) for term in distiller.terms)
        distiller.compile(self._optimizer(self.steps), cross_entropy() if labels else None)
        keras.utils.set_random_seed(seed)  # the order of the batches
        clock = Clock()
        distiller.fit(
            x, self.y, batch_size=self.batch, epochs=self.epochs, verbose=0, callbacks=[clock]
        )
        return statistics.median(clock.seconds[1:] or clock.seconds)


class Clock(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


Run = Callable[[Bench, int], tuple[keras.Model, float, int]]


def taught(make: Callable[[Bench], Terms], **options) -> Run:
    """Trains the student with the terms that `make` gives, from the first teacher."""

    def run(bench: Bench, seed: int) -> tuple[keras.Model, float, int]:
        student = bench.student(seed)
        teacher = options.get("teacher", lambda b, s: b.teacher)(bench, student)
        distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=make(bench))
        seconds = bench.fit(distiller, seed, options.get("numbered", False))
        others = sum(m.count_params() for m in (student, *distiller.teachers.values()))
        extra = distiller.count_params() - others - 1  # the step counter
        return options.get("keep", lambda d, b: d.student)(distiller, bench), seconds, extra

    return run


def mutual(bench: Bench, seed: int) -> tuple[keras.Model, float, int]:
    pair = {"a": bench.student(seed), "b": bench.student(seed + 1000)}
    distiller = keras_kd.Distiller(student=pair, terms=recipes.mutual("a", "b"))
    return pair["a"], bench.fit(distiller, seed), pair["b"].count_params()


def chain(teach: Callable[[Bench, int, Callable], list[keras.Model]]) -> Run:
    """A recipe of several trainings; the seconds are those of the last one's epochs."""

    def run(bench: Bench, seed: int) -> tuple[keras.Model, float, int]:
        seconds: list[float] = []
        models = teach(bench, seed, lambda d: seconds.append(bench.fit(d, seed)))
        return models[-1], seconds[-1], 0

    return run


def simkd_student(distiller: keras_kd.Distiller, bench: Bench) -> keras.Model:
    return procedures.reused_classifier(distiller, **bench.last)


RECIPES: dict[str, Run] = {
    "student alone": taught(lambda b: [keras_kd.Labels()], teacher=lambda b, s: None),
    "hinton": taught(lambda b: recipes.hinton(temperature=4.0, alpha=0.9)),
    "logit_standardization": taught(lambda b: recipes.logit_standardization()),
    "dkd": taught(lambda b: recipes.dkd(warmup=b.steps // 12)),
    "dist": taught(lambda b: recipes.dist()),
    "ttm": taught(lambda b: recipes.ttm()),
    "wttm": taught(lambda b: recipes.wttm()),
    "abkd": taught(lambda b: recipes.abkd(labels_weight=1.0)),
    "nkd": taught(lambda b: recipes.nkd()),
    "wsld": taught(lambda b: recipes.wsld()),
    "deit": taught(lambda b: recipes.deit()),
    "ctkd": taught(lambda b: recipes.ctkd(steps=b.steps // 24)),
    "tf_kd": taught(lambda b: recipes.tf_kd(), teacher=lambda b, s: None),
    "gkd": taught(lambda b: recipes.gkd(beta=0.5, labels_weight=1.0)),
    "fitnets": taught(
        lambda b: recipes.fitnets(pred=b.layers["pred"][1], target=b.layers["target"][1])
    ),
    "attention_transfer": taught(lambda b: recipes.attention_transfer(**b.layers)),
    "sp": taught(lambda b: recipes.sp(**b.last)),
    "rkd": taught(lambda b: recipes.rkd(**b.last)),
    "pkt": taught(lambda b: recipes.pkt(**b.last)),
    "nst": taught(lambda b: recipes.nst(**b.last)),
    "ft": taught(lambda b: recipes.ft(**b.last)),
    "vid": taught(lambda b: recipes.vid(**b.layers)),
    "cc": taught(lambda b: recipes.cc(**b.last)),
    "ab": taught(lambda b: recipes.ab(**norms(b))),
    "ofd": taught(lambda b: recipes.ofd(teacher=b.teacher, **norms(b))),
    "review_kd": taught(lambda b: recipes.review_kd(warmup=b.steps // 12, **b.layers)),
    "srd": taught(lambda b: recipes.srd(**b.last)),
    "crd": taught(lambda b: recipes.crd(negatives=4096, **b.last)),
    "crd_memory": taught(
        lambda b: recipes.crd_memory(examples=len(b.x), negatives=4096, seed=0, **b.last),
        numbered=True,
    ),
    "fsp": taught(lambda b: recipes.fsp(**b.layers)),
    "simkd": taught(lambda b: recipes.simkd(**b.last), keep=simkd_student),
    "mgd": taught(lambda b: recipes.mgd(**b.last)),
    "ca_mkd": taught(
        lambda b: recipes.ca_mkd("large", "small"),
        teacher=lambda b, s: {"large": b.teacher, "small": b.second},
    ),
    "own_teacher": taught(
        lambda b: recipes.own_teacher(units=CLASSES, pred=b.layers["pred"][:-1]),
        teacher=lambda b, s: None,
    ),
    "mean_teacher": taught(
        lambda b: recipes.mean_teacher(warmup=b.steps // 5),
        teacher=lambda b, s: teachers.Momentum(s, decay=0.99),
        keep=lambda d, b: d.teacher.model,
    ),
    "mutual": mutual,
    "born_again": chain(
        lambda b, seed, train: procedures.born_again(
            iter_students(b, seed), train, teacher=alone(b, seed), generations=2
        )
    ),
    "assistant": chain(
        lambda b, seed, train: procedures.assistant(
            [lambda: b.student(seed, 18), lambda: b.student(seed)], train, teacher=b.teacher
        )
    ),
}


def norms(bench: Bench) -> dict[str, list[str]]:
    """The same layers before their activation, which is what two of the papers compare."""
    return {side: [a.replace("block", "norm") for a in s] for side, s in bench.layers.items()}


def iter_students(bench: Bench, seed: int) -> Callable[[], keras.Model]:
    seeds = iter(range(seed, seed + 10_000, 1000))
    return lambda: bench.student(next(seeds))


def alone(bench: Bench, seed: int) -> keras.Model:
    return RECIPES["student alone"](bench, seed + 500)[0]


def table(rows: list[dict]) -> str:
    """The rows as a table in Markdown."""
    by = {}
    for row in rows:
        by.setdefault(row["recipe"], {})[int(row["seed"])] = row
    control = by["student alone"]
    lines = [
        "| recipe | accuracy, % | difference to alone, points (95 % interval) | s/epoch | extra parameters |",
        "|---|---|---|---|---|",
    ]
    for name, runs in by.items():
        accuracy = [100 * float(r["accuracy"]) for r in runs.values()]
        spread = ""
        if name != "student alone":
            before = [100 * float(control[seed]["accuracy"]) for seed in runs]
            change = paired(before, accuracy)
            spread = points(change)
        seconds = statistics.median(float(r["seconds"]) for r in runs.values())
        extra = int(next(iter(runs.values()))["extra"])
        lines.append(
            f"| {name} | {statistics.mean(accuracy):.2f} | {spread} | {seconds:.2f} | {extra:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument(
        "--images",
        type=int,
        default=1000,
        help="that the student sees; the teachers learn from 20 times as many",
    )
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(RECIPES))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("recipes.csv"))
    args = parser.parse_args()
    rows = Rows(args.out)
    bench = Bench(args.data, args.images, args.epochs, args.batch)
    print(
        f"{args.data}: teacher {bench.accuracy(bench.teacher):.4f} of "
        f"{bench.teacher.count_params():,} parameters, second {bench.accuracy(bench.second):.4f}, "
        f"student {bench.student(0).count_params():,} parameters",
        flush=True,
    )
    for seed in range(1, args.seeds + 1):
        for name in args.only:
            if rows.have(recipe=name, seed=seed):
                continue
            try:
                model, seconds, extra = RECIPES[name](bench, seed)
            except Exception as error:
                print(f"{name} seed {seed}: {type(error).__name__}: {error}", flush=True)
                continue
            rows.keep(
                recipe=name, seed=seed, accuracy=bench.accuracy(model), seconds=round(seconds, 3),
                extra=extra,
            )  # fmt: skip
            print(rows[-1], flush=True)
            keras.backend.clear_session()
    print(table(rows))


if __name__ == "__main__":
    main()
