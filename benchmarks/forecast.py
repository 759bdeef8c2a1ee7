"""Whether the intervals of `kd.auto.forecast` hold what larger runs then come to.

    OMP_NUM_THREADS=1 KERAS_BACKEND=jax python benchmarks/forecast.py --data FOLDER --out forecast.csv
    python benchmarks/forecast.py --out forecast.csv --table

Five tasks, each from two seeds. Eight points, each alone and distilled, make a forecast; then two
larger students are trained, alone and distilled, with up to four times the width, the examples or
the epochs of the largest run, and measured on test data that nobody has seen, as many as there are
validation data. That is 40 larger runs and 20 differences, each beside its 90 % interval.

- digits: the images of scikit-learn's digits, dense students; no file is needed.
- friedman: scikit-learn's `make_friedman1`, a regression, dense students.
- adult: Adult, taught by boosted trees, dense students.
- fashion, fashion conv: Fashion-MNIST in 14 x 14 pixels, 8,000 images, dense and convolutional
  students.

`--data` is a folder with `fashion_mnist.npz` and `adult_train.csv.gz`. Rows are kept in `--out` as
they come; run again, it goes on. What the forecasts write is kept beside it.
"""

import argparse
import itertools
import math
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from rows import Rows, circumstances

import keras_kd as kd
from keras_kd.auto._answers import ask
from keras_kd.auto._candidates import Candidate
from keras_kd.auto._data import data_of
from keras_kd.auto._forecasting._runs import Runs
from keras_kd.auto._space import alone
from keras_kd.auto._task import task_of
from keras_kd.auto._teacher import teacher_of

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
WIDTHS = (0.25, 0.5, 1.0)
#: How much larger than the largest run: width, examples, epochs.
LARGER = (
    (1, 4, 1), (4, 1, 1), (1, 1, 4), (4, 4, 2), (2, 2, 2), (1, 2, 2), (4, 2, 1), (2, 4, 1),
    (2, 1, 2), (1, 4, 2),
)  # fmt: skip


class Problem(NamedTuple):
    """A task: pairs of arrays, how students are built, and what runs have at most."""

    train: Any
    validation: Any
    test: Any
    teacher: Any
    build: Callable[[float], keras.Model]
    examples: tuple[int, int]
    epochs: tuple[int, int]


def split(x, y, train, held, seed):
    """Three parts of arrays: so many, and twice as many as are held out."""
    order = np.random.default_rng([seed, 11]).permutation(len(x))
    ends = (0, train, train + held, train + 2 * held)
    return [(x[order[a:b]], y[order[a:b]]) for a, b in itertools.pairwise(ends)]


def taught(model, train, epochs, loss=LOSS, rate=1e-3):
    model.compile(keras.optimizers.Adam(rate), loss)
    model.fit(*train, epochs=epochs, batch_size=64, verbose=0)
    return model


def dense(shape, outputs, units):
    def build(width):
        return kd.students.mlp(shape, outputs, units=(max(1, round(width * units)),) * 2)

    return build


def digits(seed, folder):
    from sklearn.datasets import load_digits

    found = load_digits()
    x, y = (found.images[..., None] / 16).astype("float32"), found.target.astype("int32")
    parts = split(x, y, 1197, 300, seed)
    teacher = taught(kd.students.mlp((8, 8, 1), 10, units=(256, 256)), parts[0], 40)
    return Problem(*parts, teacher, dense((8, 8, 1), 10, 24), (75, 299), (6, 24))


def friedman(seed, folder):
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(8000, 10, noise=1.0, random_state=seed)
    x, y = x.astype("float32") * 2 - 1, ((y - 14.4) / 5).astype("float32")
    parts = split(x, y, 6000, 1000, seed)
    model = kd.students.mlp((10,), 1, units=(128, 128))
    teacher = taught(model, parts[0], 30, keras.losses.MeanSquaredError())
    return Problem(*parts, teacher, dense((10,), 1, 16), (375, 1500), (4, 16))


def adult(seed, folder):
    import pandas
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = pandas.read_csv(folder / "adult_train.csv.gz")
    y = (table.pop("income") == ">50K").to_numpy("int32")
    numbers = table.select_dtypes("number").columns
    names = [column for column in table if column not in numbers]
    codes = OneHotEncoder(sparse_output=False).fit_transform(table[names].to_numpy(str))
    x = np.concatenate([StandardScaler().fit_transform(table[numbers]), codes], axis=1)
    parts = split(x.astype("float32"), y, 8000, 1000, seed)
    teacher = kd.sources.SklearnTeacher(
        HistGradientBoostingClassifier(random_state=seed).fit(*parts[0])
    )
    return Problem(*parts, teacher, dense(x.shape[1:], 2, 16), (500, 2000), (3, 12))


def fashion_images(seed, folder):
    arrays = np.load(folder / "fashion_mnist.npz")
    x = arrays["x_train"].astype("float32").reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) / 255
    return split(x[..., None], arrays["y_train"].astype("int32"), 8000, 1000, seed)


def fashion(seed, folder):
    parts = fashion_images(seed, folder)
    teacher = taught(kd.students.mlp((14, 14, 1), 10, units=(256, 256)), parts[0], 15)
    return Problem(*parts, teacher, dense((14, 14, 1), 10, 32), (500, 2000), (4, 16))


def fashion_conv(seed, folder):
    parts = fashion_images(seed, folder)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((14, 14, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )

    def build(width):
        return kd.students.cnn(
            (14, 14, 1), 10, widths=(max(1, round(8 * width)), max(1, round(16 * width)))
        )

    return Problem(*parts, taught(model, parts[0], 10), build, (500, 2000), (3, 12))


TASKS = {
    "digits": digits, "friedman": friedman, "adult": adult, "fashion": fashion,
    "fashion conv": fashion_conv,
}  # fmt: skip


class Larger:
    """Trains larger students as the runs of a forecast were trained, and measures them on the test
    data."""

    def __init__(self, problem: Problem, folder: pathlib.Path, seed: int):
        self.problem, self.seed, self.folder = problem, seed, folder
        self.teacher = teacher_of(problem.teacher)
        data = data_of(problem.train, problem.validation, problem.test)
        self.task, _ = task_of(data.validation.y, self.teacher.predict(data.validation.x))
        outputs = np.zeros((1, self.task.outputs))
        self.data = data.relabelled(lambda y: task_of(y, np.repeat(outputs, len(y), axis=0))[1])
        self.answers, _ = ask(self.teacher, self.task, self.data, folder, 0.0, seed)

    def student(self, width: float) -> Candidate:
        model = self.problem.build(width)
        weights = model.count_params()
        return Candidate(
            "larger", "given", lambda: self.problem.build(width), "", weights, weights, 0
        )

    def score(self, student: Candidate, number: int, examples: int, epochs: int, distilled: bool):
        runs = Runs(self.folder, self.task, self.answers, [student], self.seed, lambda *_: None)
        trainer = runs.trainer(examples, number)
        model = trainer.build(student)
        trainer.train(model, runs.values[0] if distilled else alone(runs.values[0]), epochs)
        part = self.data.test
        outputs = np.asarray(model.predict(part.x, batch_size=256, verbose=0))
        return self.task.judge(outputs, part.y).score


def measure(rows: Rows, name: str, seed: int, place: int, data: pathlib.Path, beside: pathlib.Path):
    """The forecast of one task and seed, and its two larger students."""
    which = {"task": name, "seed": seed}
    multiples = [LARGER[(2 * place) % len(LARGER)], LARGER[(2 * place + 1) % len(LARGER)]]
    if sum(rows.have(**which, number=n, what=w) for n in range(2) for w in WHATS) == 6:
        return
    keras.utils.set_random_seed(seed)
    began = time.perf_counter()
    problem = TASKS[name](seed, data)
    folder = beside / f"{name.replace(' ', '_')}_{seed}"
    forecast = kd.auto.forecast(
        problem.teacher, problem.train, validation=problem.validation, students=problem.build,
        sizes=WIDTHS, examples=problem.examples, epochs=problem.epochs, seed=seed,
        budget="2 h", folder=folder,
    )  # fmt: skip
    took = time.perf_counter() - began
    forecast.save(folder / "forecast.json")
    print(f"{name} {seed}: {took:.0f} s\n{forecast}\n{forecast.likelihoods}", flush=True)
    larger = Larger(problem, folder, seed)
    for number, (wider, more, longer) in enumerate(multiples):
        student = larger.student(wider * WIDTHS[-1])
        at = {
            "size": student.parameters,
            "examples": min(more * problem.examples[1], len(larger.data.train)),
            "epochs": longer * problem.epochs[1],
        }
        scores = []
        for distilled in (False, True):
            began = time.perf_counter()
            scores.append(
                larger.score(student, 1000 + number, at["examples"], at["epochs"], distilled)
            )
            told = forecast.predict(**at, distilled=distilled)
            keep(rows, which, number, WHATS[distilled], at, told, scores[-1], forecast.law,
                 time.perf_counter() - began)  # fmt: skip
        keep(
            rows,
            which,
            number,
            "gain",
            at,
            forecast.gain(**at),
            scores[1] - scores[0],
            forecast.law,
            took,
        )


WHATS = ("alone", "distilled", "gain")


def keep(rows, which, number, what, at, told, measured, law, seconds):
    inside = told.low <= measured <= told.high
    rows.keep(
        **which, number=number, what=what, **at, forecast=f"{told.value:.4f}", low=f"{told.low:.4f}",
        high=f"{told.high:.4f}", measured=f"{measured:.4f}", inside=int(inside), law=law,
        seconds=f"{seconds:.1f}",
    )  # fmt: skip
    print(
        f"{which} {what} {at}: {told}, measured {measured:.4f}{'' if inside else '  OUT'}",
        flush=True,
    )


def table(rows) -> str:
    """How many intervals held what was measured, and how wide they are, in points."""
    lines = [
        "| task | runs inside | mean width, points | mean distance, points | differences inside |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in (*TASKS, "all"):
        these = [r for r in rows if name in (r["task"], "all")]
        runs = [r for r in these if r["what"] != "gain"]
        gains = [r for r in these if r["what"] == "gain"]
        if not runs:
            continue
        width = statistics.mean(100 * (min(1, float(r["high"])) - float(r["low"])) for r in runs)
        off = statistics.mean(
            100 * math.fabs(float(r["forecast"]) - float(r["measured"])) for r in runs
        )
        lines.append(f"| {name} | {_inside(runs)} | {width:.1f} | {off:.1f} | {_inside(gains)} |")
    return "\n".join(lines)


def _inside(rows) -> str:
    return f"{sum(int(r['inside']) for r in rows)} of {len(rows)}"


def main(argv=None) -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=pathlib.Path, default=pathlib.Path("forecast.csv"))
    options.add_argument("--data", type=pathlib.Path, default=pathlib.Path("."))
    options.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=tuple(TASKS))
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options.add_argument("--table", action="store_true")
    chosen = options.parse_args(argv)
    rows = Rows(chosen.out)
    if chosen.table:
        print(table(rows))
        return
    beside = chosen.out.with_suffix("")
    beside.mkdir(parents=True, exist_ok=True)
    print(circumstances(), flush=True)
    for seed in chosen.seeds:
        for name in chosen.tasks:
            place = list(TASKS).index(name) + len(TASKS) * seed
            measure(rows, name, seed, place, chosen.data, beside)


if __name__ == "__main__":
    main()
