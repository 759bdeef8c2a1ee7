"""Forests and boosted trees as teachers of a small network: agreement, accuracy, size, latency.

    KERAS_BACKEND=jax python benchmarks/forests.py --out forests.csv

Breast cancer and digits come with scikit-learn (a stratified third for testing, drawn anew for each
seed), Adult from `--adult`, the folder of its two CSV files (the official split). For its own rows
the teacher predicts out of fold. From each seed the same network, from the same weights and with
the same number of steps, learns from the labels alone; from the teacher, on the same rows; and from
the teacher on these and nine times as many rows that are drawn near them: each column of a row is
exchanged, one time in three, with that of a close other one. Rows are kept in `--out` as they come.
"""

import argparse
import pathlib
import pickle
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from rows import Rows, points
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.model_selection import cross_val_predict, train_test_split
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import keras_kd
from keras_kd.report import paired

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
WAYS = ("labels alone", "distilled", "distilled, drawn rows")
STEPS, BATCH, TIMES = 3000, 64, 10
FLOOR, TEMPERATURE, ALPHA = 0.01, 2.0, 0.9


class Table(NamedTuple):
    """Columns as they are, labels, and what makes numbers of the columns."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    encode: Any


def bundled(load: Any, seed: int) -> Table:
    x, y = load(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, test_size=1 / 3, stratify=y, random_state=seed)
    return Table(x, y, x_test, y_test, StandardScaler().fit(x).transform)


def adult(folder: pathlib.Path) -> Table:
    import pandas

    train, test = (pandas.read_csv(folder / f"adult_{name}.csv.gz") for name in ("train", "test"))
    y, y_test = ((frame.pop("income") == ">50K").to_numpy("int32") for frame in (train, test))
    numbers = train.select_dtypes("number").columns.tolist()
    names = [column for column in train if column not in numbers]
    scaler = StandardScaler().fit(train[numbers].to_numpy())
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encoder.fit(train[names].to_numpy(str))

    def encode(x: np.ndarray) -> np.ndarray:
        parts = x[:, : len(numbers)].astype("float64"), x[:, len(numbers) :].astype(str)
        return np.concatenate([scaler.transform(parts[0]), encoder.transform(parts[1])], axis=1)

    def columns(frame: Any) -> np.ndarray:
        return frame[numbers + names].to_numpy(object)

    return Table(columns(train), y, columns(test), y_test, encode)


def nearest(codes: np.ndarray) -> np.ndarray:
    """The ten nearest rows of each."""
    found = NearestNeighbors(n_neighbors=11, n_jobs=2).fit(codes)
    return found.kneighbors(codes, return_distance=False)


_ADULT: list[np.ndarray] = []


def _adult_neighbors(codes: np.ndarray) -> np.ndarray:
    """Of the one split there is, found once for all seeds."""
    if not _ADULT:
        _ADULT.append(nearest(codes))
    return _ADULT[0]


def drawn(table: Table, near: np.ndarray, times: int, seed: int) -> np.ndarray:
    """Rows near those of the table: columns exchanged with those of one of the ten nearest."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(times):
        other = near[np.arange(len(near)), rng.integers(1, 11, len(near))]
        swap = rng.random(table.x.shape) < 1 / 3
        parts.append(np.where(swap, table.x[other], table.x))
    return np.concatenate(parts)


def network(features: int, classes: int) -> keras.Model:
    layers = keras.layers
    body = [layers.Dense(32, activation="relu"), layers.Dense(32, activation="relu")]
    return keras.Sequential([keras.Input((features,)), *body, layers.Dense(classes)])


def forest(seed: int) -> RandomForestClassifier:
    return RandomForestClassifier(200, min_samples_leaf=2, random_state=seed, n_jobs=2)


def boosted(seed: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(random_state=seed)


def runs(name: str, table: Table, make: Any, seed: int) -> Iterator[dict[str, Any]]:
    """A row for the teacher, and one for each way to teach."""
    x, x_test = (table.encode(part).astype("float32") for part in (table.x, table.x_test))
    trees = make(seed).fit(x, table.y)
    teacher = keras_kd.sources.SklearnTeacher(trees, floor=FLOOR)
    said = teacher(x_test).argmax(axis=1)
    if hasattr(trees, "n_jobs"):
        trees.n_jobs = 1  # one row is sooner done than two threads are begun
    with_trees = {"data": name, "teacher": type(trees).__name__, "seed": seed}
    yield {
        **with_trees, "way": "teacher", "accuracy": (said == table.y_test).mean(), "agreement": 1.0,
        "bytes": len(pickle.dumps(trees)), "ms": 1000 * median(lambda: trees.predict_proba(x_test[:1])),
    }  # fmt: skip
    fresh = cross_val_predict(make(seed), x, table.y, cv=5, method="predict_proba")
    near = nearest(x) if name != "Adult" else _adult_neighbors(x)
    more = table.encode(drawn(table, near, TIMES - 1, seed)).astype("float32")
    signals = np.log(np.maximum(fresh, FLOOR)).astype("float32")
    for way in WAYS:
        keras.utils.set_random_seed(seed)
        student = network(x.shape[1], signals.shape[1])
        rows, y, z = x, table.y, signals
        if way == WAYS[2]:
            rows = np.concatenate([x, more])
            y = np.concatenate([table.y, np.full(len(more), -1)])
            z = np.concatenate([signals, teacher(more)])
        terms = keras_kd.recipes.hinton(temperature=TEMPERATURE, alpha=ALPHA)
        terms = [keras_kd.Labels()] if way == WAYS[0] else terms
        feed = rows if way == WAYS[0] else {"inputs": rows, "signals": {"teacher:output": z}}
        distiller = keras_kd.Distiller(student=student, terms=terms)
        rate = keras.optimizers.schedules.CosineDecay(3e-3, STEPS)
        distiller.compile(keras.optimizers.Adam(rate), LOSS)
        epochs = max(1, round(STEPS * BATCH / len(rows)))
        distiller.fit(feed, y, batch_size=BATCH, epochs=epochs, verbose=0)
        answer = student.predict(x_test, verbose=0).argmax(axis=1)
        size, ms = on_device(student, x)
        yield {
            **with_trees, "way": way, "accuracy": (answer == table.y_test).mean(),
            "agreement": (answer == said).mean(), "bytes": size, "ms": ms,
        }  # fmt: skip


def on_device(student: keras.Model, x: np.ndarray) -> tuple[int, float]:
    """Bytes of the student as an int8 file, and milliseconds for one row in its interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "student.tflite"
        keras_kd.export(student, path, quantization="int8", calibration=x[:500], min_agreement=0.9)
        teacher = keras_kd.sources.LiteRTTeacher(path)
        return path.stat().st_size, 1000 * median(lambda: teacher(x[:1]))


def median(function: Any, turns: int = 15) -> float:
    times = []
    for _ in range(turns):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def table_of(rows: list[dict]) -> str:
    """The rows as a table in Markdown."""
    lines = [
        "| data | teacher | | accuracy, % | agreement, % | points over labels alone (95 % interval) "
        "| bytes | ms a row |",
        "|---|---|---|---:|---:|---|---:|---:|",
    ]
    found: dict[tuple[str, str, str], dict[int, dict]] = {}
    for row in rows:
        found.setdefault((row["data"], row["teacher"], row["way"]), {})[int(row["seed"])] = row
    for (data, teacher, way), by_seed in found.items():
        mean = {
            name: statistics.mean(float(row[name]) for row in by_seed.values())
            for name in ("accuracy", "agreement", "bytes", "ms")
        }
        gain = ""
        if way in WAYS[1:]:
            control = found[data, teacher, WAYS[0]]
            sides = [
                [100 * float(side[s]["accuracy"]) for s in by_seed] for side in (control, by_seed)
            ]
            gain = points(paired(*sides))
        lines.append(
            f"| {data} | {teacher} | {way} | {100 * mean['accuracy']:.2f} | "
            f"{100 * mean['agreement']:.2f} | {gain} | {mean['bytes']:,.0f} | {mean['ms']:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--adult", type=pathlib.Path, help="the folder of adult_train.csv.gz")
    parser.add_argument("--only", help="one of the tables: 'breast cancer', 'digits', 'Adult'")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("forests.csv"))
    args = parser.parse_args()
    rows = Rows(args.out)
    tables: dict[str, Any] = {
        "breast cancer": lambda seed: bundled(load_breast_cancer, seed),
        "digits": lambda seed: bundled(load_digits, seed),
    }
    if args.adult:
        tables["Adult"] = lambda seed: adult(args.adult)
    if args.only:
        tables = {args.only: tables[args.only]}
    for name, load in tables.items():
        for make in (forest, boosted):
            for seed in range(1, args.seeds + 1):
                if rows.have(data=name, teacher=type(make(0)).__name__, seed=seed, way=WAYS[-1]):
                    continue
                for row in runs(name, load(seed), make, seed):
                    rows.keep(**row)
                    print(rows[-1], flush=True)
                keras.backend.clear_session()
    print(table_of(rows))


if __name__ == "__main__":
    main()
