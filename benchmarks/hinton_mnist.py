"""The founding paper's table, on the founding paper's data.

    KERAS_BACKEND=jax TFDS_DATA_DIR=... python benchmarks/hinton_mnist.py --out hinton_mnist.csv
    python benchmarks/hinton_mnist.py --out hinton_mnist.csv --table

Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 3, on the whole
of MNIST: a teacher 784-1200-1200-10 with dropout and weight decay (the paper bounds the weights
instead), its images jittered by up to two pixels in each direction; a student 784-800-800-10
without regularisation, alone and distilled at a temperature of 20; students of 300 and of 30 units
in each hidden layer over the temperatures; and the student that never sees a 3, before and after
its bias for the 3 is raised. Every student learns by SGD with momentum from small weights.

The students learn from the images as they are: what the teacher knows of jittered ones reaches them
through its answers alone. "same jitter" is one more row, in which student and teacher see the same
jittered images. Every student of a row starts from its own seed. Rows are kept in `--out` as they
come, with machine, versions and commit; run again, it goes on. The teacher is kept beside them.
"""

import argparse
import pathlib
import re
import statistics
import time
from collections.abc import Iterator

import keras
import numpy as np
from rows import Rows

import keras_kd as kd

layers = keras.layers
CLASSES, THREE = 10, 3
TEMPERATURES = (1, 2, 2.5, 3, 4, 8, 20)
PUBLISHED = {
    "teacher 1200": "67",
    "student 800 alone": "146",
    "student 800 distilled, T=20": "74",
    "student 800 without a 3, T=20": "206 (133)",
    "student 800 without a 3, bias of the 3 raised": "109 (14)",
}


class Images(keras.utils.PyDataset):
    """Batches of flat images, jittered or as they are, with the teacher's answers to just these."""

    def __init__(self, x, y, *, batch, seed=0, jitter=0, answers=None):
        super().__init__()
        self.y, self.answers, self.rng = y, answers, np.random.default_rng(seed)
        self.batch = batch
        self.shifts = 2 * jitter + 1
        padded = np.pad(x, ((0, 0), (jitter, jitter), (jitter, jitter)))
        # A view of every shift of every image: nothing is copied before a batch is taken.
        self.windows = np.lib.stride_tricks.sliding_window_view(padded, x.shape[1:], axis=(1, 2))
        self.on_epoch_end()

    def on_epoch_end(self):
        self.order = self.rng.permutation(len(self.y))
        self.shift = self.rng.integers(0, self.shifts, (len(self.y), 2))

    def __len__(self):
        return len(self.y) // self.batch

    def __getitem__(self, i):
        rows = self.order[i * self.batch : (i + 1) * self.batch]
        down, right = self.shift[rows].T
        x = self.windows[rows, down, right].reshape(len(rows), -1)
        if self.answers is None:
            return x, self.y[rows]
        answers = self.answers[down * self.shifts + right, rows]
        return {"inputs": x, "signals": {"teacher:output": answers}}, self.y[rows]


def answers(teacher, x, jitter=0):
    """The teacher's logits for every shift: `(shifts, examples, classes)`."""
    everything = Images(x, np.zeros(len(x)), batch=1, jitter=jitter)
    return np.stack([
        teacher.predict(
            everything.windows[:, down, right].reshape(len(x), -1), batch_size=4096, verbose=0
        )
        for down in range(everything.shifts)
        for right in range(everything.shifts)
    ])  # fmt: skip


def student_of(units, seed):
    """Its weights begin small: a third as wide as Keras would begin them."""
    keras.utils.set_random_seed(seed)

    def dense(width, activation=None):
        begin = keras.initializers.VarianceScaling(0.1, "fan_avg", "uniform")
        return layers.Dense(width, activation, kernel_initializer=begin)

    hidden = [dense(units, "relu") for _ in range(2)]
    return keras.Sequential([keras.Input((784,)), *hidden, dense(CLASSES)], name="student")


def teacher_of(seed):
    keras.utils.set_random_seed(seed)
    hidden = [
        layer
        for _ in range(2)
        for layer in (layers.Dense(1200, activation="relu"), layers.Dropout(0.5))
    ]
    return keras.Sequential(
        [keras.Input((784,)), layers.Dropout(0.1), *hidden, layers.Dense(CLASSES)], name="teacher"
    )


def trained(model, data, epochs, optimizer, loss):
    model.compile(optimizer, loss, jit_compile=True)
    model.fit(data, epochs=epochs, verbose=0)


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Bench:
    """The data, the teacher and its answers."""

    def __init__(self, options):
        data = kd.data.load("mnist")
        self.x, self.y = data.x_train.reshape(-1, 28, 28), data.y_train
        self.x_test, self.y_test = data.x_test.reshape(-1, 784), data.y_test
        self.options, self.kept = options, {}

    def teacher(self):
        path = self.options.out.with_name("hinton_mnist_teacher.keras")
        if path.exists():
            return keras.saving.load_model(path, compile=False)
        model, epochs = teacher_of(seed=0), self.options.teacher_epochs
        data = Images(self.x, self.y, batch=256, jitter=2)
        decay = keras.optimizers.schedules.CosineDecay(1e-3, epochs * len(data))
        optimizer = keras.optimizers.AdamW(decay, weight_decay=0.2)
        trained(model, data, epochs, optimizer, cross_entropy())
        model.save(path)
        return model

    def answers(self, jitter=0):
        """Asked once, then kept."""
        if jitter not in self.kept:
            self.kept[jitter] = answers(self.teacher(), self.x, jitter)
        return self.kept[jitter]

    def student(self, units, seed, *, terms=None, jitter=0, rows=slice(None), epochs=None):
        """A student that is trained alone (no terms), or by these terms from stored answers."""
        student, epochs = student_of(units, seed), epochs or self.options.epochs
        taught = None if terms is None else self.answers(jitter)[:, rows]
        data = Images(
            self.x[rows], self.y[rows], batch=64, seed=seed, jitter=jitter, answers=taught
        )
        # Gradients carry T² and are cut to one length: so steep a rate bears them from the start.
        warm = 2 * len(data)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, epochs * len(data) - warm, warmup_target=0.3, warmup_steps=warm
        )
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, global_clipnorm=0.5)
        if terms is None:
            trained(student, data, epochs, optimizer, cross_entropy())
        else:
            labels = any(isinstance(term, kd.Labels) for term in terms)
            distiller = kd.Distiller(student=student, terms=terms)
            trained(distiller, data, epochs, optimizer, cross_entropy() if labels else None)
        return student

    def errors(self, model):
        """On the whole test set, and on its threes."""
        answered = model.predict(self.x_test, batch_size=2000, verbose=0).argmax(axis=1)
        wrong = answered != self.y_test
        return int(wrong.sum()), int(wrong[self.y_test == THREE].sum())


def soft(temperature):
    return kd.recipes.hinton(temperature=temperature, alpha=0.9)


def without_a_three(bench, seed):
    """Distilled on images of which none is a 3; then with the bias that makes most 3s right.

    The paper sets the bias by the test set, and so does this: it shows what the student knows, not
    what one could have had without a 3.
    """
    rows = np.flatnonzero(bench.y != THREE)
    student = bench.student(
        800, seed, terms=kd.recipes.hinton(temperature=20.0, alpha=1.0), rows=rows
    )
    yield "student 800 without a 3, T=20", bench.errors(student)
    logits = student.predict(bench.x_test, batch_size=2000, verbose=0)
    best = None
    for raised in np.arange(0, 10.1, 0.1):
        moved = logits + raised * (np.arange(CLASSES) == THREE)
        wrong = moved.argmax(axis=1) != bench.y_test
        found = int(wrong.sum()), int(wrong[bench.y_test == THREE].sum())
        best = min(best or found, found)
    yield "student 800 without a 3, bias of the 3 raised", best


def runs(options) -> Iterator[tuple[str, int, object]]:
    """Name, seed, and what trains and counts the errors."""
    yield "teacher 1200", 0, lambda b: b.errors(b.teacher())
    soft20 = soft(20.0)
    for seed in range(1, options.seeds + 1):
        for name, how in (
            ("alone", {}),
            ("distilled, T=20", {"terms": soft20}),
            ("distilled, T=20, same jitter", {"terms": soft20, "jitter": 2}),
        ):
            yield (
                f"student 800 {name}",
                seed,
                lambda b, s=seed, how=how: b.errors(b.student(800, s, **how)),
            )
    for seed in range(1, options.few_seeds + 1):
        yield "student 800 without a 3, T=20", seed, lambda b, s=seed: without_a_three(b, s)
        for units in (30, 300):
            for name, terms in (
                ("alone", None),
                *((f"distilled, T={t:g}", soft(float(t))) for t in TEMPERATURES),
            ):
                yield (
                    f"student {units} {name}",
                    seed,
                    lambda b, s=seed, u=units, t=terms: b.errors(b.student(u, s, terms=t)),
                )


def _place(name):
    """Published rows first; then by units and temperature."""
    numbers = [float(n) for n in re.findall(r"[0-9.]+", name)]
    return name not in PUBLISHED, not name.startswith("teacher"), numbers


def table(rows):
    lines = [
        "| | published errors (on 3s) | ours, mean (on 3s) | from to | seeds |",
        "|---|---:|---:|---|---:|",
    ]
    groups: dict[str, list] = {}
    for row in rows:
        groups.setdefault(row["run"], []).append(row)
    for name in sorted(groups, key=_place):
        errors = [int(row["errors"]) for row in groups[name]]
        threes = statistics.mean(int(row["errors_on_threes"]) for row in groups[name])
        shown = f"{statistics.mean(errors):.1f}" + (f" ({threes:.1f})" if "3," in name else "")
        spread = f"{min(errors)} to {max(errors)}" if len(errors) > 1 else ""
        lines.append(f"| {name} | {PUBLISHED.get(name, '')} | {shown} | {spread} | {len(errors)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("hinton_mnist.csv"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--few-seeds", type=int, default=5, help="of the other rows")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--teacher-epochs", type=int, default=400)
    parser.add_argument("--table", action="store_true", help="print the table of --out, no more")
    options = parser.parse_args()
    rows = Rows(options.out)
    if not options.table:
        bench = Bench(options)
        for name, seed, run in runs(options):
            if rows.have(run=name, seed=seed):
                continue
            start = time.perf_counter()
            found = run(bench)
            named = [(name, found)] if isinstance(found, tuple) else list(found)
            seconds = round(time.perf_counter() - start, 1)
            epochs = options.teacher_epochs if name.startswith("teacher") else options.epochs
            for said, (errors, threes) in reversed(named):  # the row that is asked for last
                rows.keep(
                    run=said, seed=seed, errors=errors, errors_on_threes=threes, seconds=seconds,
                    epochs=epochs,
                )  # fmt: skip
                print(said, seed, errors, threes, f"{seconds:.0f} s", flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
