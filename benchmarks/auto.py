"""What `kd.auto.compress` finds by itself, beside what is done by hand, and whether limits are kept.

    python benchmarks/auto.py --out auto.csv                    # all parts, three seeds each
    python benchmarks/auto.py --out auto.csv --parts digits     # one of them
    python benchmarks/auto.py --out auto.csv --table

- fashion: Fashion-MNIST, a convolutional teacher, a file of 50 kB at most in int8; students see
  20,000 of the images. By hand: four convolutions as wide as fit, by `hinton` at four temperatures,
  for six epochs each. The budget of the search is 1.5 times what ten such trainings take.
- photos: 1,500 images of Fashion-MNIST as PNG files in a folder, 1,000 others to test on; the same
  teacher. The command alone, `keras-kd auto teacher.keras --data photos --budget 10min --size 100kB`.
- digits: the digits that come with the package, 20 kB, a budget of 90 s: how long all of it takes.
- cancer: scikit-learn's breast cancer, a forest as teacher, 8 kB.
- latency: the digits again, twenty searches, each with a limit .3 above what one of three
  students takes and with that one and the slower ones to choose from; afterwards the file is measured
  anew.

Rows are kept in `--out` as they come; run again, it goes on with those that are missing. What the
searches write is kept beside it. Needs the extra "tune"; times are those of a quiet machine.
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
from keras import layers as L
from rows import Rows, circumstances

import keras_kd as kd

PARTS = ("fashion", "photos", "digits", "cancer", "latency")
BY_HAND = (13, 25, 50, 50)  # channels; no wider one fits
TEMPERATURES = (1.0, 2.0, 4.0, 8.0)
#: What is made smaller by --quick, with which nothing is measured.
FULL = {"epochs": 6, "teacher": 8, "digits": 40, "images": 20_000, "photos": 1500, "searches": 20}
QUICK = {"epochs": 1, "teacher": 1, "digits": 16, "images": 600, "photos": 200, "searches": 1}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Benchmark:
    """What all parts have: rows, a folder beside them, and how large everything is."""

    def __init__(self, out: pathlib.Path, quick: bool):
        self.rows, self.size = Rows(out), QUICK if quick else FULL
        self.quick = quick
        self.folder = out.with_suffix("")
        self.folder.mkdir(parents=True, exist_ok=True)

    def keep(self, part, seed, what, score, **more):
        row = {"size": "", "latency": "", "seconds": "", "limit": "", "note": "", **more}
        self.rows.keep(part=part, seed=seed, what=what, score=f"{score:.4f}", **row)
        print(f"{part} {seed} {what}: {score:.4f} {row['seconds']} s", flush=True)

    def have(self, part, seed, what):
        return self.rows.have(part=part, seed=seed, what=what)

    def search(self, part, seed, teacher, data, limits, budget, **more):
        """One search, its row and that of its control."""
        if self.have(part, seed, "auto"):
            return None
        if self.quick:
            more = {"epochs": 1, "trials": 1, "students": ["mlp-16"], **more}
        found = kd.auto.compress(
            teacher, data, limits=limits, budget=budget, seed=seed,
            folder=self.folder / f"{part}_{seed}", **more,
        )  # fmt: skip
        found.report.save(self.folder / f"{part}_{seed}.html")
        self.keep(part, seed, "teacher", found.teacher["test_score"])
        if found.control is not None:
            self.keep(part, seed, "student alone", found.control.test_score)
        self.keep(part, seed, "distilled", found.distilled.test_score)
        costs = found.best.costs
        self.keep(
            part, seed, "auto", found.best.test_score, seconds=f"{found.seconds:.1f}", limit=str(limits),
            size=int(costs["size"]), latency=f"{costs['latency']:.5f}",
            note=f"{found.best.values['student']}, {found.best.values['recipe']}; {found.verdict} "
            f"{found.default}; {len(found.trials)} trials",
        )  # fmt: skip
        return found


def convolutional(shape, classes, wide=32):
    x = inputs = keras.Input(shape)
    for width in (wide, 2 * wide):
        for _ in range(2):
            x = L.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = L.ReLU()(L.BatchNormalization(momentum=0.9)(x))
        x = L.MaxPooling2D()(x)
    x = L.Dropout(0.4)(L.Flatten()(x))
    x = L.Dropout(0.4)(L.Dense(256, activation="relu")(x))
    return keras.Model(inputs, L.Dense(classes)(x), name="teacher")


def fashion_data(images):
    """All of it, or so many of each part."""
    data = kd.data.load("fashion_mnist", validation=0.1)
    parts = {n: p.take(np.arange(min(len(p), images))) for n, p in data.parts.items()}
    return kd.data.Dataset(data.info, parts)


def fashion_teacher(bench):
    """Trained once, on all images, and kept beside the rows."""
    path = bench.folder / "fashion_teacher.keras"
    if not path.exists():
        keras.utils.set_random_seed(0)
        data = fashion_data(bench.size["images"] if bench.quick else 60_000)
        teacher = convolutional((28, 28, 1), 10)
        epochs = bench.size["teacher"]
        steps = epochs * -(-len(data.y_train) // 128)
        rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
        teacher.compile(keras.optimizers.Adam(rate), LOSS)
        teacher.fit(*data.train, batch_size=128, epochs=epochs, verbose=2)
        teacher.save(path)
    return keras.saving.load_model(path, compile=False)


def right(model, part):
    return float((model.predict(part.x, batch_size=512, verbose=0).argmax(axis=1) == part.y).mean())


def fashion(bench, seed):
    data, teacher = fashion_data(bench.size["images"]), fashion_teacher(bench)
    answers = bench.folder / "fashion_answers"
    kd.stores.write(teacher, data["train"], answers)
    by_hand = [f"hinton at {t:g}" for t in TEMPERATURES]
    for what, temperature in zip(["plain", *by_hand], [None, *TEMPERATURES], strict=True):
        if bench.have("fashion", seed, what):
            continue
        keras.utils.set_random_seed(seed)
        student = kd.students.cnn((28, 28, 1), 10, widths=BY_HAND)
        began = time.perf_counter()
        if temperature is None:
            model, batches = (
                student,
                kd.data.feed(data["train"], batch_size=64, shuffle=True, seed=seed),
            )
        else:
            terms = kd.recipes.hinton(temperature=temperature)
            model = kd.Distiller(student=student, terms=terms)
            batches = kd.stores.read(answers, data["train"], batch_size=64, shuffle=True, seed=seed)
        steps = bench.size["epochs"] * len(batches)
        model.compile(
            keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, steps)), LOSS
        )
        model.fit(batches, epochs=bench.size["epochs"], shuffle=False, verbose=0)
        took = time.perf_counter() - began
        with tempfile.TemporaryDirectory() as folder:
            proof = kd.export(
                student, pathlib.Path(folder, "s.tflite"), quantization="int8",
                calibration=data.x_train[:1000], examples=data.x_test, labels=data.y_test,
                min_agreement=0.0,
            )  # fmt: skip
        bench.keep(
            "fashion", seed, what, proof.accuracy, seconds=f"{took:.1f}", size=proof.bytes,
            latency=f"{proof.milliseconds:.5f}", limit="50 kB",
            note=f"float32 {right(student, data['test']):.4f}, on validation data "
            f"{right(student, data['validation']):.4f}",
        )  # fmt: skip
    plain = next(
        r
        for r in bench.rows
        if (r["part"], r["seed"], r["what"]) == ("fashion", str(seed), "plain")
    )
    budget = 600 if bench.quick else 1.5 * 10 * float(plain["seconds"])
    bench.search(
        "fashion", seed, teacher, data, kd.auto.Limits(size="50 kB"), budget, formats=["int8"]
    )


def photos(bench, seed):
    """The command on a folder of PNG files."""
    data = fashion_data(bench.size["images"])
    fashion_teacher(bench)
    folder = bench.folder / "photos"
    if not folder.exists():
        unfinished = folder.with_name("photos.tmp")
        count = bench.size["photos"]
        for name, part in (("train", data["train"].take(np.arange(count))), ("test", data["test"].take(np.arange(min(1000, count))))):  # fmt: skip
            for number, (image, label) in enumerate(zip(part.x, part.y, strict=True)):
                place = unfinished / name / f"class {label}"
                place.mkdir(parents=True, exist_ok=True)
                keras.utils.save_img(place / f"{number:05}.png", 255 * image, scale=False)
        unfinished.rename(folder)
    if bench.have("photos", seed, "auto"):
        return
    out = bench.folder / f"photos_{seed}"
    command = [
        sys.executable, "-m", "keras_kd", "auto", str(bench.folder / "fashion_teacher.keras"),
        "--data", str(folder), "--budget", "10min", "--size", "100kB", "--seed", str(seed),
        "--out", str(out), "--json",
    ]  # fmt: skip
    if bench.quick:
        command += ["--epochs", "1", "--trials", "1", "--students", "mlp-16", "--no-check"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout)
    bench.keep("photos", seed, "teacher", found["teacher"]["test_score"])
    if found["control"]:
        bench.keep("photos", seed, "student alone", found["control"]["test_score"])
    bench.keep("photos", seed, "distilled", found["distilled"]["test_score"])
    best = found["best"]
    bench.keep(
        "photos", seed, "auto", best["test_score"], seconds=f"{found['seconds']:.1f}",
        size=int(best["costs"]["size"]), latency=f"{best['costs']['latency']:.5f}", limit="100 kB",
        note=f"{best['values']['student']}, {best['values']['recipe']}; {found['verdict']} "
        f"{found['default']}; {found['trials']} trials",
    )  # fmt: skip


def digits_teacher(bench, data):
    path = bench.folder / "digits_teacher.keras"
    if not path.exists():
        keras.utils.set_random_seed(0)
        teacher = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                L.Conv2D(64, 3, activation="relu"),
                L.Conv2D(64, 3, activation="relu"),
                L.MaxPooling2D(),
                L.Flatten(),
                L.Dropout(0.5),
                L.Dense(10),
            ],
            name="teacher",
        )
        teacher.compile("adam", LOSS)
        teacher.fit(*data.train, epochs=bench.size["digits"], verbose=0)
        teacher.save(path)
    return keras.saving.load_model(path, compile=False)


def digits(bench, seed):
    data = kd.data.load("digits", validation=0.2)
    budget = "10 min" if bench.quick else "90 s"
    bench.search(
        "digits", seed, digits_teacher(bench, data), data, kd.auto.Limits(size="20 kB"), budget
    )


def cancer(bench, seed):
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    x, y = load_breast_cancer(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, test_size=1 / 3, stratify=y, random_state=seed)
    x, x_held, y, y_held = train_test_split(x, y, test_size=0.2, stratify=y, random_state=seed)
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x, x_held, x_test = (
        ((each - mean) / deviation).astype("float32") for each in (x, x_held, x_test)
    )
    forest = RandomForestClassifier(300, random_state=seed).fit(x, y)
    teacher = kd.sources.SklearnTeacher(forest, floor=0.01)
    bench.search(
        "cancer", seed, teacher, (x, y.astype("int32")), kd.auto.Limits(size="8 kB"), "10 min" if bench.quick else "3 min",
        validation=(x_held, y_held.astype("int32")), test=(x_test, y_test.astype("int32")),
        students=["table-tiny"] if bench.quick else None,
    )  # fmt: skip


def latency(bench, seed):
    """A search a seed, with a limit of its own; then the file is measured again."""
    data = kd.data.load("digits", validation=0.2)
    teacher = digits_teacher(bench, data)
    names = ["mlp-16"] if bench.quick else ["cnn-medium", "cnn-small", "mlp-16"]
    times = _times(names)
    for number in range(bench.size["searches"]):
        at = seed * bench.size["searches"] + number
        if bench.have("latency", at, "measured again"):
            continue
        name = names[number % len(names)]
        limit = 1.3 * times[name]
        if not bench.have(
            "latency", at, "auto"
        ):  # of a search that was stopped the limit was another
            shutil.rmtree(bench.folder / f"latency_{at}", ignore_errors=True)
        slower = [other for other in names if times[other] >= times[name]]
        found = bench.search(
            "latency", at, teacher, data, kd.auto.Limits(latency=limit),
            "10 min" if bench.quick else "2 min", students=slower, formats=["float32"], epochs=1,
            trials=1,
        )  # fmt: skip
        if found is None:  # only the row below is missing
            path = bench.folder / f"latency_{at}"
            file, student = (
                path / "student.tflite",
                keras.saving.load_model(path / "student.keras", compile=False),
            )
        else:
            file, student = found.best.file, found.best.student
        again = kd.exporting.verify(file, student, data.x_validation[:64])
        bench.keep(
            "latency", at, "measured again", again.milliseconds <= limit,
            latency=f"{again.milliseconds:.5f}", limit=f"{limit:.5f}",
        )  # fmt: skip


def _times(names):
    """Milliseconds of these students' files, by name."""
    found = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            student = kd.students.build(name, (8, 8, 1), 10)
            proof = kd.export(student, pathlib.Path(folder, "s.tflite"), min_agreement=0.0)
            found[name] = proof.milliseconds
    return found


def table(rows) -> str:
    """What was measured, as Markdown: means over the seeds, and the least and largest."""
    lines = ["| part | what | seeds | score | bytes | seconds |", "|---|---|---:|---:|---:|---:|"]
    for part in PARTS:
        whats = dict.fromkeys(r["what"] for r in rows if r["part"] == part)
        for what in whats:
            these = [r for r in rows if (r["part"], r["what"]) == (part, what)]
            scores = [100 * float(r["score"]) for r in these]
            ends = f" ({min(scores):.1f} to {max(scores):.1f})" if len(scores) > 1 else ""
            cells = [_mean(these, name) for name in ("size", "seconds")]
            lines.append(
                f"| {part} | {what} | {len(these)} | {statistics.mean(scores):.1f} %{ends} | "
                f"{' | '.join(cells)} |"
            )
    return "\n".join(lines)


def _mean(rows, name) -> str:
    values = [float(r[name]) for r in rows if r[name]]
    return f"{statistics.mean(values):,.0f}" if values else ""


RUN = {
    "fashion": fashion, "photos": photos, "digits": digits, "cancer": cancer, "latency": latency,
}  # fmt: skip


def main(argv=None) -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--out", type=pathlib.Path, default=pathlib.Path("auto.csv"))
    options.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--quick", action="store_true", help="whether it runs; measures nothing")
    options.add_argument("--table", action="store_true")
    chosen = options.parse_args(argv)
    if chosen.table:
        print(table(Rows(chosen.out)))
        return
    bench = Benchmark(chosen.out, chosen.quick)
    print(circumstances(), flush=True)
    for part in chosen.parts:
        seeds = (
            chosen.seeds[:1] if part == "latency" else chosen.seeds
        )  # twenty searches are in one
        for seed in seeds:
            RUN[part](bench, seed)


if __name__ == "__main__":
    main()
