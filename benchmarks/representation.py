"""Pretraining without labels: what are features worth when ten images a class have labels?

    KERAS_BACKEND=jax python benchmarks/representation.py --out representation.csv

A convolutional teacher learns CIFAR-10 from 20,000 images with labels. A small student, from the
same initial weights each, sees 10,000 other images without labels, and then 100 with labels, ten of
each class:

- alone: the 100 images, for as many steps as the others have in all;
- hinton: the teacher's logits on the 10,000 images, then the 100;
- representation: the teacher's last feature map on the 10,000 images, then the 100.

"probe" trains a new last layer on the student's pooled features, which stay as they are; "tuned"
then trains all weights at a tenth of the rate (from its own last layer, where that knows the
classes); "as it is" is the student before it saw a label. `--task other` asks for other
classes than the teacher knows: the teacher learns five of the ten (and the student sees images of
those alone without labels), and the 50 labels are of the other five.

The interval is over the paired differences to the student alone. Rows are kept in `--out` as they
come.
"""

import argparse
import pathlib
import statistics

import keras
import numpy as np
from recipes import cross_entropy, network
from rows import Rows, points

import keras_kd as kd
from keras_kd.report import paired

TEACHING, UNLABELLED, BATCH = 20_000, 10_000, 100
EACH, FEW = 10, 50  # labels of a class, and the batch of these
LAYER = "block3"


class Bench:
    """The images, the teacher and its answers, and how a student is trained."""

    def __init__(self, task: str, epochs: int, tuning: int, kept: pathlib.Path):
        data = kd.data.load("cifar10")
        self.task, self.epochs, self.tuning = task, epochs, tuning
        known = range(10) if task == "same" else range(0, 10, 2)
        asked = range(10) if task == "same" else range(1, 10, 2)
        order = np.random.default_rng(0).permutation(len(data.y_train))
        x, y = data.x_train[order], data.y_train[order]
        seen = np.isin(y, known)
        count = UNLABELLED if task == "same" else UNLABELLED // 2
        self.unlabelled = x[seen][:count]
        rest = x[seen][count : count + TEACHING], y[seen][count : count + TEACHING]
        if task == "same":
            self.labelled = x[:UNLABELLED], y[:UNLABELLED]
        else:
            self.labelled = x[~seen], y[~seen]
        self.classes = list(asked)
        fits = np.isin(data.y_test, asked)
        self.test = data.x_test[fits], data.y_test[fits]
        self.tested_teacher = [
            part[np.isin(data.y_test, known)] for part in (data.x_test, data.y_test)
        ]
        self.steps = epochs * -(-count // BATCH)
        if not kept.exists():
            self._taught(*rest).save(kept)
        self.teacher = keras.saving.load_model(kept, compile=False)
        tapped = keras.Model(
            self.teacher.inputs, [self.teacher.get_layer(LAYER).output, self.teacher.output]
        )
        features, logits = tapped.predict(self.unlabelled, batch_size=1000, verbose=0)
        self.signals = {f"teacher:{LAYER}": features, "teacher:output": logits}

    def _taught(self, x: np.ndarray, y: np.ndarray) -> keras.Model:
        keras.utils.set_random_seed(101)
        model = network(x.shape[1:], 32, "teacher")
        part = kd.data.Part(x, y, np.arange(len(y)))
        augment = kd.data.Augment(kd.data.Crop(2), kd.data.Flip(), seed=0)
        batches = kd.data.feed(part, augment=augment, views=12, batch_size=128, shuffle=True)
        rate = keras.optimizers.schedules.CosineDecay(3e-3, 12 * len(batches))
        model.compile(keras.optimizers.Adam(rate), cross_entropy())
        model.fit(batches, epochs=12, verbose=0)
        return model

    def student(self, seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        return network(self.unlabelled.shape[1:], 12, "student")

    def pretrained(self, terms: list, seed: int, reads: tuple[str, ...]) -> keras.Model:
        """A student that has learnt from the images without labels."""
        student = self.student(seed)
        distiller = kd.Distiller(student=student, teacher=self.teacher, terms=terms)
        rate = keras.optimizers.schedules.CosineDecay(3e-3, self.steps)
        distiller.compile(keras.optimizers.Adam(rate), loss=None)
        signals = {address: self.signals[address] for address in reads}
        keras.utils.set_random_seed(seed)
        distiller.fit(
            {"inputs": self.unlabelled, "signals": signals},
            batch_size=BATCH, epochs=self.epochs, verbose=0,
        )  # fmt: skip
        return student

    def few(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Images with labels, as many of each class."""
        rng = np.random.default_rng(seed)
        x, y = self.labelled
        rows = [rng.permutation(np.flatnonzero(y == c))[:EACH] for c in self.classes]
        return x[np.concatenate(rows)], y[np.concatenate(rows)]

    def tuned(self, student: keras.Model, seed: int, head: list | None = None) -> float:
        """The accuracy after all weights have learnt from the few labels, slowly, from this head."""
        model = keras.models.clone_model(student)
        model.set_weights(student.get_weights())
        if head is not None:
            model.get_layer("logits").set_weights(head)
        return self.fitted(model, seed, self.tuning, 1e-4)

    def probed(self, student: keras.Model, seed: int) -> tuple[float, list]:
        """The accuracy of a last layer on features that stay as they are, and its weights."""
        pooled = keras.Model(student.inputs, student.get_layer("pool").output)
        x, y = self.few(seed)
        given = pooled.predict(x, batch_size=1000, verbose=0)
        mean, deviation = given.mean(0), given.std(0) + 1e-6
        keras.utils.set_random_seed(seed)
        head = keras.Sequential([keras.Input(mean.shape), keras.layers.Dense(10)])
        head.compile(keras.optimizers.AdamW(1e-2, weight_decay=0.1), cross_entropy())
        head.fit((given - mean) / deviation, y, batch_size=FEW, epochs=100, verbose=0)
        kernel, bias = head.get_weights()
        kernel = kernel / deviation[:, None]
        weights = [kernel, bias - mean @ kernel]
        tested = pooled.predict(self.test[0], batch_size=1000, verbose=0)
        return self._accuracy(tested @ weights[0] + weights[1]), weights

    def fitted(self, model: keras.Model, seed: int, steps: int, rate: float) -> float:
        """The accuracy after so many steps on the few labels."""
        x, y = self.few(seed)
        schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
        model.compile(keras.optimizers.Adam(schedule), cross_entropy())
        keras.utils.set_random_seed(seed)
        model.fit(x, y, batch_size=FEW, epochs=steps * FEW // len(y), verbose=0)
        return self._accuracy(model.predict(self.test[0], batch_size=1000, verbose=0))

    def _accuracy(self, logits: np.ndarray) -> float:
        return float((logits.argmax(-1) == self.test[1]).mean())

    def teachers_accuracy(self) -> float:
        x, y = self.tested_teacher
        return float((self.teacher.predict(x, batch_size=1000, verbose=0).argmax(-1) == y).mean())


def measured(bench: Bench, seed: int) -> dict[str, float]:
    """The accuracy of each way, from one seed."""
    found = {
        "alone, as many steps": bench.fitted(
            bench.student(seed), seed, bench.steps + bench.tuning, 1e-3
        ),
        "alone, the steps on labels only": bench.fitted(
            bench.student(seed), seed, bench.tuning, 1e-3
        ),
        "untrained, probe": bench.probed(bench.student(seed), seed)[0],
    }
    student = bench.pretrained(kd.recipes.hinton(alpha=1.0), seed, ("teacher:output",))
    own = bench.task == "same"  # its last layer knows the classes
    if own:
        answers = student.predict(bench.test[0], batch_size=1000, verbose=0)
        found["hinton, as it is"] = bench._accuracy(answers)
    found["hinton, probe"], head = bench.probed(student, seed)
    found["hinton, tuned"] = bench.tuned(student, seed, None if own else head)
    terms = kd.recipes.representation(pred=f"student:{LAYER}", target=f"teacher:{LAYER}")
    student = bench.pretrained(terms, seed, (f"teacher:{LAYER}",))
    found["representation, probe"], head = bench.probed(student, seed)
    found["representation, tuned"] = bench.tuned(student, seed, head)
    return found


def table(rows: list[dict]) -> str:
    """The rows as tables in Markdown."""
    lines = []
    for task in dict.fromkeys(row["task"] for row in rows):
        by: dict[str, dict[str, float]] = {}
        for row in rows:
            if row["task"] == task:
                by.setdefault(row["way"], {})[row["seed"]] = 100 * float(row["accuracy"])
        control = next(iter(by.values()))
        lines += [
            f"| {task} classes | accuracy, % | each | over alone, points |",
            "|---|---:|---|---:|",
        ]
        for way, runs in by.items():
            over = ""
            if runs is not control:
                over = points(paired([control[seed] for seed in runs], list(runs.values())))
            each = ", ".join(f"{value:.1f}" for value in runs.values())
            lines.append(f"| {way} | {statistics.mean(runs.values()):.1f} | {each} | {over} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--task", choices=("same", "other"), default="same")
    parser.add_argument("--epochs", type=int, default=20, help="over the images without labels")
    parser.add_argument("--tuning", type=int, default=400, help="steps on the labels")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("representation.csv"))
    parser.add_argument("--table", action="store_true", help="print the table, no more")
    options = parser.parse_args()
    rows = Rows(options.out)
    missing = [s for s in range(1, options.seeds + 1) if not rows.have(task=options.task, seed=s)]
    if missing and not options.table:
        kept = options.out.with_name(f"{options.out.stem}_{options.task}.keras")
        bench = Bench(options.task, options.epochs, options.tuning, kept)
        print(f"teacher {bench.teachers_accuracy():.4f}, {bench.teacher.count_params():,} weights; "
              f"student {bench.student(0).count_params():,}", flush=True)  # fmt: skip
        for seed in missing:
            for way, accuracy in measured(bench, seed).items():
                rows.keep(task=options.task, way=way, seed=seed, accuracy=accuracy)
                print(rows[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
