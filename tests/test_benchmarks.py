"""What the benchmarks stand on: the published networks' weights, and results that are kept."""

import importlib
import importlib.util
import inspect
import json
import math
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import recipes
from keras_kd.cli._commands import parser
from tests.project import PROJECT

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"


def script(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "build, arguments, weights",
    [  # Tian, Krishnan, Isola 2020, appendix: 100 classes, BatchNorm's moving averages not counted
        ("resnet", (8, 4), 1_233_540),
        ("resnet", (32, 4), 7_433_860),
        ("wide_resnet", (16, 2), 703_284),
        ("wide_resnet", (40, 2), 2_255_156),
        ("resnet", (20, 1), 278_324),
    ],
)
def test_parameter_counts(build, arguments, weights):
    model = getattr(script("models"), build)(*arguments)
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == weights
    assert {layer.name for layer in model.layers} >= {"stage1", "stage2", "stage3", "pool"}
    assert model.get_layer("stage3").output.shape[1:3] == (8, 8)


def test_depths_that_are_none():
    models = script("models")
    with pytest.raises(ValueError, match=r"`depth` must be 6 n \+ 2"):
        models.resnet(9)
    with pytest.raises(ValueError, match=r"`depth` must be 6 n \+ 4"):
        models.wide_resnet(15, 2)


def test_rows_are_kept_as_they_come(tmp_path, monkeypatch):
    rows = script("rows").Rows(tmp_path / "new" / "rows.csv")
    rows.keep(run="a, with T=20", seed=1, errors=74)
    rows.keep(run="a, with T=20", seed=2, errors=75)
    again = script("rows").Rows(rows.path)
    assert again == rows and [row["errors"] for row in again] == ["74", "75"]
    assert again[0].keys() > {"machine", "keras", "backend", "commit"}
    assert again.have(run="a, with T=20", seed=2) and not again.have(run="a, with T=20", seed=3)

    def full(*paths):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError):
        again.keep(run="b", seed=1, errors=1)
    assert script("rows").Rows(rows.path) == rows


def test_the_table_says_what_has_not_been_run(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    short = {"data": "cifar10", "pair": "resnet20-resnet8", "epochs": "20"}
    found = {"student alone": (60.0, 61.0), "hinton": (62.0, 64.0), "teacher": (70.0,)}
    rows = [
        {**short, "method": method, "seed": str(seed), "accuracy": str(value)}
        for method, values in found.items()
        for seed, value in enumerate(values, 1)
    ]
    lines = script("cifar").table(rows).splitlines()
    # Differences of 2 and 3: their mean. Two seeds are too few for an interval.
    where = "| cifar10, resnet20-resnet8, 20 |"
    assert f"{where} hinton |  | 63.00 | 62.00, 64.00 | +2.50 |" in lines
    assert f"{where} teacher |  | 70.00 | 70.00 |  |" in lines
    assert f"{where} dkd |  | not run |  |  |" in lines
    assert "| cifar100, wrn40_2-wrn16_2, 240 | dkd | 76.24 | not run |  |  |" in lines


def test_jittered_images_come_with_the_answers_to_just_these(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    hinton = script("hinton_mnist")
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.1, 1, (10, 6, 6)).astype("float32"), np.arange(10)
    keras.utils.set_random_seed(0)
    teacher = keras.Sequential([keras.Input((36,)), keras.layers.Dense(4)])
    answers = hinton.answers(teacher, x, jitter=2)
    assert answers.shape == (25, 10, 4)
    data = hinton.Images(x, y, batch=5, seed=1, jitter=2, answers=answers)
    seen, shifted = [], set()
    for _ in range(20):
        for i in range(len(data)):
            given, labels = data[i]
            np.testing.assert_allclose(
                given["signals"]["teacher:output"], teacher.predict(given["inputs"], verbose=0),
                atol=1e-5,
            )  # fmt: skip
            for image, label in zip(given["inputs"].reshape(-1, 6, 6), labels, strict=True):
                # Where an image has moved is seen by the empty rows and columns it leaves.
                down, right = (
                    np.argmax(lit) if not lit[0] else -np.argmax(lit[::-1])
                    for lit in ((image > 0).any(1), (image > 0).any(0))
                )
                whole = np.pad(x[label], 2)[2 - down : 8 - down, 2 - right : 8 - right]
                np.testing.assert_array_equal(image, whole)
                shifted.add((int(down), int(right)))
            seen.extend(labels)
        data.on_epoch_end()
    assert (np.bincount(seen) == 20).all()
    assert shifted == {(a, b) for a in range(-2, 3) for b in range(-2, 3)}


def test_the_founding_table_has_ours_beside_the_published(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    hinton = script("hinton_mnist")
    name = "student 800 without a 3, T=20"
    rows = [
        {"run": run, "errors": str(errors), "errors_on_threes": "9"}
        for run, errors in (("student 30 alone", 300), (name, 90), (name, 93), ("teacher 1200", 65))
    ]
    assert hinton.table(rows).splitlines()[2:] == [
        "| teacher 1200 | 67 | 65.0 |  | 1 |",
        f"| {name} | 206 (133) | 91.5 (9.0) | 90 to 93 | 2 |",
        "| student 30 alone |  | 300.0 |  | 1 |",
    ]


def test_an_interrupted_pair_of_rows_is_made_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    hinton = script("hinton_mnist")
    made = []

    def pair(bench):
        made.append(1)
        yield "asked for", (2, 1)
        yield "with it", (1, 0)

    monkeypatch.setattr(hinton, "Bench", lambda options: None)
    monkeypatch.setattr(hinton, "runs", lambda options: [("asked for", 1, pair)])
    path = tmp_path / "rows.csv"
    monkeypatch.setattr("sys.argv", ["hinton_mnist.py", "--out", str(path)])
    keep, kept = hinton.Rows.keep, []

    def cut(self, **row):
        if kept:
            raise KeyboardInterrupt
        kept.append(row)
        keep(self, **row)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(hinton.Rows, "keep", cut)
        hinton.main()
    hinton.main()
    hinton.main()
    assert len(made) == 2 and hinton.Rows(path).have(run="asked for", seed=1)


def test_the_parts_on_an_accelerator_are_kept_as_they_come(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(FOLDER)
    accelerator = script("accelerator")
    laws, store = (importlib.import_module(f"on_accelerator.{name}") for name in ("laws", "store"))

    def broken(bench):
        yield {"case": "the teacher does not move", "held": True}
        raise RuntimeError("the device went away")

    monkeypatch.setattr(laws, "rows", broken)
    monkeypatch.setattr(store, "rows", lambda bench: iter([{"case": "a", "left": bench.left()}]))
    given = ["--parts", "laws", "store", "--budget", "7", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["accelerator.py", *given, "--backend", keras.config.backend()])
    if keras.config.backend() == "tensorflow":  # it is for the other two
        with pytest.raises(SystemExit):
            accelerator.main()
        return
    accelerator.main()
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert [line for line in capsys.readouterr().out.splitlines() if line[0] == "{"] == lines
    held, failed, other = map(json.loads, lines)
    assert held["held"] and held["part"] == "laws" and held["device"]
    assert failed["error"] == "RuntimeError: the device went away"
    assert other["part"] == "store" and 0 < other["left"] <= 7


def test_the_accelerator_tables_tell_not_run_from_failed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    accelerator = script("accelerator")
    tables = importlib.import_module("on_accelerator.tables")
    monkeypatch.setattr(accelerator, "RESULTS", tmp_path / "kept.json")
    about = {"backend": "jax", "jax": "0.11", "keras": "3.15", "device": "H", "date": "2026-01-01"}
    step = {"part": "step", "case": tables.STEPS[0], **about}
    alone, dkd = ({"part": "cifar", "case": m, **about} for m in ("student alone", "dkd"))
    for i, rows in enumerate((
        [{**step, "error": "memory"}, {**alone, "seed": 1, "accuracy": 80.0, "epochs": 9}],
        [{**step, "ours ms": 2.0, "over floor": 1.015, "over keras.io": 0.9, "plain ms": 1.0,
          "keras.distillation error": "none"}, {**dkd, "seed": 1, "accuracy": 1.0, "tiny": True},
         {**alone, "seed": 2, "accuracy": 81.0, "epochs": 9},
         {"part": "step", "case": tables.STEPS[1], **about, "error": "memory"}],
    )):  # fmt: skip
        path = tmp_path / f"{i}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        accelerator.keep(path)
    lines = tables.of(json.loads(accelerator.RESULTS.read_text())).splitlines()
    assert lines[0] == "2026-01-01: H, Keras 3.15, jax 0.11"
    assert f"| {tables.STEPS[0]} | jax | 2.00 | 1.015 | 0.900 | failed |" in lines
    assert f"| {tables.STEPS[1]} | jax | failed | failed | failed | failed |" in lines
    assert f"| {tables.STEPS[0]} | torch | not run | not run | not run | not run |" in lines
    assert "| student alone | 80.50 | 80.00, 81.00 | 9 |" in lines
    assert "| dkd | not run |  |  |" in lines


def default(name, parameter):
    return inspect.signature(getattr(recipes, name)).parameters[parameter].default


def test_the_weights_that_the_tables_name_are_the_recipes():
    """Every number that the text gives as a recipe's weight, and those that the scripts repeat."""
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    named = dict(re.findall(r"`(\w+)` \(([\d.]+(?:e-?\d+)?)\)", text))
    assert {"cc", "mgd"} <= named.keys()
    weighed = dict(re.findall(r"`(\w+)` weighs its term by (\d+)", text))
    assert weighed
    found = {**named, **weighed}
    assert {name: default(name, "weight") for name in found} == {
        n: float(v) for n, v in found.items()
    }
    assert f"The default is {default('hinton', 'alpha')}" in text


def test_one_share_of_the_teacher_everywhere():
    """The library's default, the shell's, the README's and the benchmarks' are one."""
    share = default("hinton", "alpha")
    assert parser().parse_args(["demo"]).alpha == share
    for path in (FOLDER.parent / "README.md", FOLDER / "recipes.py", FOLDER / "cifar.py"):
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"hinton\((?:temperature=)?4\.0, (?:alpha=)?([\d.]+)\)", text)
        assert all(float(alpha) == share for alpha in found), path


def test_the_table_of_shares_is_that_of_its_rows(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    alpha = script("alpha")
    rows = alpha.Rows(FOLDER / "results" / "alpha.csv")
    assert alpha.table(rows) in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_tables_of_pretraining_are_those_of_their_rows(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    made = script("representation")
    rows = made.Rows(FOLDER / "results" / "representation.csv")
    tables = made.table(rows).strip().split("\n\n")
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(tables) == 2 and all(table in text for table in tables)


def test_the_tables_of_sizes_are_those_of_their_measurement():
    sizes = script("install_size")
    page = (FOLDER.parent / "docs" / "install.md").read_text(encoding="utf-8")
    for table in sizes.table().strip().split("\n\n"):
        assert table in page, "run: python benchmarks/install_size.py --table"
    for_users = set(PROJECT["optional-dependencies"]) - {"dev", "docs", "tutorials"}
    assert set(sizes.EXTRAS) == for_users


def test_the_public_target_is_trained_in_slices(tmp_path, monkeypatch, capsys):
    """A slice without time ends after each epoch; the next goes on, and what is done stays."""
    monkeypatch.syspath_prepend(str(FOLDER))
    mlperf = script("mlperf_tiny")
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(48, 32, 32, 3)).astype("float32"), np.arange(48, dtype="int32") % 10
    ids = np.array([f"i{n}" for n in range(48)])
    part, info = kd.data.Part(x, y, ids), kd.data.load("digits").info
    data = kd.data.Dataset(info, {"train": part, "test": part.take(np.arange(10))})
    monkeypatch.setattr(mlperf.kd.data, "load", lambda *a, **k: data)
    argv = [
        "mlperf_tiny.py", "--folder", str(tmp_path), "--batch", "24", "--width", "2",
        "--teacher-epochs", "2", "--views", "2", "--epochs", "2", "--minutes", "1e-9",
        "--stages", "teacher", "answers", "student",
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", argv)
    said = []
    for _ in range(6):
        mlperf.main()
        said.append(capsys.readouterr().out)
    assert "teacher: from epoch 0 of 2" in said[0] and "the slice is over" in said[0]
    assert "teacher: from epoch 1 of 2" in said[1]
    starts = [line for out in said for line in out.splitlines() if "student-1: from" in line]
    assert starts == ["student-1: from epoch 0 of 2", "student-1: from epoch 1 of 2"]
    rows = script("rows").Rows(tmp_path / "rows.csv")
    assert [(row["stage"], row["epochs"]) for row in rows] == [("teacher", "2"), ("student", "2")]
    assert rows[1]["weights"] == "78666"
    assert "| student, seed 1 | 2 | 78666 |" in said[-1]


def test_the_table_of_searches_is_that_of_their_rows(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    auto = script("auto")
    found = {"student alone": (0.91, 0.93), "auto": (0.95, 0.96)}
    rows = [
        {"part": "digits", "seed": str(seed), "what": what, "score": str(score),
         "size": "6000" if what == "auto" else "", "seconds": "81.2" if what == "auto" else ""}
        for what, scores in found.items()
        for seed, score in enumerate(scores)
    ]  # fmt: skip
    lines = auto.table(rows).splitlines()
    assert lines[2] == "| digits | student alone | 2 | 92.0 % (91.0 to 93.0) |  |  |"
    assert lines[3] == "| digits | auto | 2 | 95.5 % (95.0 to 96.0) | 6,000 | 81 |"
    assert set(auto.RUN) == set(auto.PARTS)
