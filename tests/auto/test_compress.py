"""`compress`, whole: from a teacher to a proven file, stopped and gone on with, and what it tells."""

import errno
import json
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_kd as kd
from tests.auto.test_parts import blobs

tuner = pytest.importorskip("keras_tuner")
pytest.importorskip("ai_edge_litert")
pytest.importorskip("matplotlib")

LIMITS = kd.auto.Limits(size="20 kB")


def dense(units, outputs=3, columns=4, name=None, seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input((columns,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(outputs)],
        name=name,
    )


@pytest.fixture(scope="module")
def teacher():
    model = dense(32, name="teacher")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(*blobs(600), epochs=15, verbose=0)
    return model


PARTS = {"train": blobs(300), "validation": blobs(200, seed=1), "test": blobs(200, seed=2)}
QUICK = {"budget": "10 min", "students": ["table-tiny"], "formats": ["float32"], "epochs": 3,
         "trials": 4, "limits": LIMITS}  # fmt: skip


@pytest.fixture(scope="module")
def found(teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("auto") / "run"
    return kd.auto.compress(teacher, **PARTS, **QUICK, folder=folder)


def test_a_file_within_the_limits_that_is_proven(found):
    best = found.best
    assert best.file.stat().st_size == best.costs["size"] <= 20_000
    assert best.proof["agreement"] >= 0.99 and best.proof["proven_on"] == "examples"
    assert best.costs["latency"] > 0 and best.format == "float32"
    x, y = PARTS["test"]
    right = (best.student.predict(x, verbose=0).argmax(axis=1) == y).mean()
    assert best.test_score == pytest.approx(right, abs=0.01)
    assert best.card["card"]["teacher"] == "teacher"


def test_the_control_is_the_same_student_alone(found):
    control, distilled = found.control, found.distilled
    assert control.file.exists()
    assert abs(control.costs["size"] - distilled.costs["size"]) < 100  # but for compressed words
    assert control.values == {
        "recipe": "labels", **{n: distilled.values[n] for n in ("student", "learning_rate", "views")}
    }  # fmt: skip
    assert control.epochs == distilled.epochs
    assert not np.allclose(
        control.student.get_weights()[0], distilled.student.get_weights()[0], atol=1e-3
    )


def test_the_student_is_the_distilled_one_unless_the_control_is_clearly_better(found):
    x, y = PARTS["validation"]
    distilled, alone = (
        kd.sources.LiteRTTeacher(one.file, kind="values")(x).argmax(axis=1) != y
        for one in (found.distilled, found.control)
    )
    gain = distilled.astype(float) - alone
    clearly = gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
    better = found.control if clearly else found.distilled
    assert found.best.values == better.values and found.helped != clearly
    assert found.best.file.name == "student.tflite"
    assert found.best.file.read_bytes() == better.file.read_bytes()
    assert found.best.proof["path"] == "student.tflite"
    close = found.control.score > found.distilled.score and not clearly
    assert close == any("within its standard error" in note for note in found.notes)


def test_a_teacher_that_misleads_does_not_win(teacher, tmp_path, monkeypatch):
    """Its answers are those for other classes; the student alone is the file."""

    def misleading(x):
        return np.roll(teacher.predict(x, verbose=0), 1, axis=1)

    monkeypatch.chdir(tmp_path)
    result = kd.auto.compress(misleading, **PARTS, **{**QUICK, "trials": 1}, folder="run")
    assert not result.helped and result.best.values["recipe"] == "labels"
    assert result.best.score == result.control.score > result.distilled.score + 0.1
    assert "the file is that of the student alone" in " ".join(str(result).split())
    assert result.best.file.read_bytes() == result.control.file.read_bytes()
    assert re.search(r"student alone, winner\s", str(result))
    x, y = PARTS["train"]
    part = kd.data.Part(x, y, np.array([f"train/{i}" for i in range(len(y))]))
    names = {"train": part}  # no teacher is needed
    exec(result.code, names)
    for ours, theirs in zip(
        names["student"].get_weights(), result.best.student.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    result.report.save(tmp_path / "report.html")
    assert "student alone, winner" in (tmp_path / "report.html").read_text("utf-8")


def test_the_default_recipe_is_always_tried(found):
    defaults = [t for t in found.trials if t.part == "default"]
    assert {t.epochs for t in defaults} == {1, 3}
    for trial in defaults:
        assert trial.values == {
            "student": "table-tiny, float32", "recipe": "hinton", "temperature": 4.0, "alpha": 0.9,
            "learning_rate": 0.01, "views": 1,
        }  # fmt: skip
    full = [t for t in found.trials if t.epochs == 3]
    assert found.best.score >= max(t.score for t in full) - 0.011
    assert "default" in found.default
    assert sum(t.part == "search" for t in found.trials) >= 3


def test_the_result_in_words(found):
    text = " ".join(str(found).split())
    assert text.startswith(found.verdict)
    assert "95 % interval" in found.verdict or "no difference" in found.verdict
    for word in (
        "student.tflite",
        "Limits: size at most 20 kB",
        "minutes",
        "student alone",
        "winner",
    ):
        assert word in text


def test_the_page_needs_nothing_else(found, tmp_path):
    found.report.save(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page) and "<script" not in page
    assert page.count("data:image/png") >= 2
    assert set(found.report.figures()) >= {"accuracy against size", "accuracy against latency"}
    assert page.count("<td>table-tiny, float32</td>") == len(found.trials)
    shown = found.report._repr_html_()  # in a notebook
    assert shown.count("data:image/png") == page.count("data:image/png")
    with pytest.raises(ValueError, match=r"must end in \.html"):
        found.report.save(tmp_path / "report.pdf")


def test_the_lines_train_the_winner_again(found, teacher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = PARTS["train"]
    part = kd.data.Part(x, y, np.array([f"train/{i}" for i in range(len(y))]))
    names = {"train": part, "teacher": teacher}
    exec(found.code, names)
    assert (tmp_path / "student.tflite").exists()
    for ours, theirs in zip(
        names["student"].get_weights(), found.best.student.get_weights(), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    lines = [n for n in found.code.splitlines() if n and n[0] != "#" and not n.startswith("import")]
    assert len(lines) <= 11


def told(result):
    return [(t.values, t.epochs, t.part, round(t.score, 4)) for t in result.trials]


def test_two_runs_with_one_seed_agree(found, teacher, tmp_path):
    again = kd.auto.compress(teacher, **PARTS, **QUICK, folder=tmp_path / "again")
    assert told(again) == told(found)
    np.testing.assert_allclose(
        again.best.student.get_weights()[0], found.best.student.get_weights()[0], atol=1e-5
    )


Stop = KeyboardInterrupt


def test_a_stopped_search_goes_on_and_finds_the_same(found, teacher, tmp_path, monkeypatch):
    from keras_kd.auto._training import Trainer

    train, count = Trainer.train, []

    def stopping(self, *args, **kwargs):
        if kwargs.get("timing") is None:
            count.append(1)
            if len(count) == 4:
                raise Stop
        return train(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "train", stopping)
    with pytest.raises(Stop):
        kd.auto.compress(teacher, **PARTS, **QUICK, folder=tmp_path / "run")
    best = keras.saving.load_model(tmp_path / "run" / "best.keras", compile=False)
    file = kd.sources.LiteRTTeacher(tmp_path / "run" / "best.tflite", kind="values")
    x = PARTS["test"][0]
    np.testing.assert_allclose(file(x), best.predict(x, verbose=0), atol=1e-3)
    done = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "run" / "trials").glob("*.json")}
    assert len(done) == 3
    again = kd.auto.compress(teacher, **PARTS, **QUICK, folder=tmp_path / "run")
    assert told(again) == told(found)
    for name, when in done.items():  # nothing was trained twice
        assert (tmp_path / "run" / "trials" / name).stat().st_mtime_ns == when
    spent = json.loads((tmp_path / "run" / "clock.json").read_text())["spent"]
    assert spent >= sum(t.seconds for t in again.trials)


def test_a_folder_of_another_search(found, teacher):
    with pytest.raises(ValueError, match="holds a search with other settings: seed was 0, not 1"):
        kd.auto.compress(teacher, **PARTS, **QUICK, seed=1, folder=found.folder)
    with pytest.raises(ValueError, match="size at most 21 kB"):
        kd.auto.compress(
            teacher,
            **PARTS,
            **{**QUICK, "limits": kd.auto.Limits(size=21_000)},
            folder=found.folder,
        )


def test_candidates_that_crash_or_diverge_stay_in_the_table(teacher, tmp_path, monkeypatch):
    from keras_kd.auto._training import Trainer

    train = Trainer.train

    def failing(self, student, values, epochs, **kwargs):
        if kwargs.get("timing") is None and values["recipe"] != "hinton":
            if values["recipe"] == "dist":
                raise RuntimeError("no such luck")
            done = train(self, student, values, epochs, **kwargs)
            student.layers[-1].kernel.assign(np.full((16, 3), np.nan))
            return done
        return train(self, student, values, epochs, **kwargs)

    monkeypatch.setattr(Trainer, "train", failing)
    result = kd.auto.compress(
        teacher, **PARTS, **{**QUICK, "trials": 8, "epochs": 1}, folder=tmp_path / "run"
    )
    failed = [t for t in result.trials if t.why is not None]
    assert failed and all(t.score is None for t in failed)
    whys = " ".join(t.why for t in failed)
    assert "no such luck" in whys or "NaN" in whys
    assert result.best.values["recipe"] == "hinton"
    assert result.control is None and "the same student alone diverged" in " ".join(result.notes)
    result.report.save(tmp_path / "report.html")
    assert "failed" in (tmp_path / "report.html").read_text()


def test_a_full_disk_ends_the_search_and_leaves_whole_files(teacher, tmp_path, monkeypatch):
    from keras_kd.auto import _folder

    write, count = _folder.write_json, []

    def full(path, content):
        if path.parent.name == "trials":
            count.append(path)
            if len(count) > 3:
                raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(_folder, "write_json", full)
    with pytest.raises(OSError, match="No space left"):
        kd.auto.compress(teacher, **PARTS, **QUICK, folder=tmp_path / "run")
    assert (
        len([json.loads(p.read_text()) for p in (tmp_path / "run" / "trials").glob("*.json")]) == 3
    )


def test_a_finished_search_is_not_finished_again(found, teacher):
    file = found.best.file
    before = file.stat().st_mtime_ns
    again = kd.auto.compress(teacher, **PARTS, **QUICK, folder=found.folder)
    assert file.stat().st_mtime_ns == before
    assert again.best == found.best and again.verdict == found.verdict
    assert told(again) == told(found)


def test_a_budget_too_short_says_how_long_a_trial_takes(teacher, tmp_path):
    given = {**QUICK, "budget": "0.1 s"}
    with pytest.raises(ValueError, match=r"too short.*One trial of 'table-tiny, float32' for 3 epochs "
                       r"takes about .* at least budget='\d+ s'"):  # fmt: skip
        kd.auto.compress(teacher, **PARTS, **given, folder=tmp_path / "run")


@pytest.mark.parametrize("task", ["multi_label", "binary", "regression", "forest", "tokens"])
def test_other_tasks_and_teachers(task, tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, 4)).astype("float32")
    students = ["table-tiny"]
    if task == "multi_label":
        y, teach = (x[:, :2] > 0).astype("int32"), lambda x: 6 * np.asarray(x)[:, :2]
    elif task == "binary":
        y, teach = (x[:, 0] > 0).astype("int32"), lambda x: 6 * np.asarray(x)[:, :1]
    elif task == "regression":
        y, teach = x[:, 0] - 2 * x[:, 1], lambda x: np.asarray(x)[:, :1] - 2 * np.asarray(x)[:, 1:2]
        teach = kd.sources.FunctionTeacher(teach, name="line", kind="values")
    elif task == "tokens":
        x = rng.integers(0, 20, size=(400, 6)).astype("int32")
        y = (x < 10).sum(axis=1) > 3
        y, students = y.astype("int32"), ["text-tiny"]

        def teach(x):
            return np.eye(2)[((np.asarray(x) < 10).sum(axis=1) > 3).astype(int)] * 5

    else:
        ensemble = pytest.importorskip("sklearn.ensemble")
        y = (x[:, 0] * x[:, 1] > 0).astype("int32")
        forest = ensemble.RandomForestClassifier(10, random_state=0).fit(x[:200], y[:200])
        teach = kd.sources.SklearnTeacher(forest)
    result = kd.auto.compress(
        teach, (x[:200], y[:200]), validation=(x[200:300], y[200:300]), test=(x[300:], y[300:]),
        **{**QUICK, "students": students, "epochs": 6, "trials": 1}, folder=tmp_path / "run",
    )  # fmt: skip
    names = {"multi_label": "multi_label", "regression": "regression"}
    assert result.comparison.task == names.get(task, "classification")
    assert result.best.test_score > (0.2 if task in ("regression", "multi_label") else 0.5)
    assert result.score_name == ("R²" if task == "regression" else "accuracy")
    again = kd.sources.LiteRTTeacher(result.best.file, kind="values")(x[300:])
    kept = keras.saving.load_model(result.best.student_file, compile=False)
    np.testing.assert_allclose(again, kept.predict(x[300:], verbose=0), atol=0.1, rtol=0.1)
    assert result.control.epochs == result.best.epochs  # at equal budget


def test_the_smallest_that_keeps_an_accuracy(teacher, tmp_path):
    given = {**QUICK, "students": ["table-small", "table-tiny"], "trials": 1, "epochs": 6}
    given["limits"] = kd.auto.Limits(accuracy="40 %")
    result = kd.auto.compress(teacher, **PARTS, **given, folder=tmp_path / "run")
    assert result.best.values["student"] == "table-tiny, float32"


def test_views_where_the_teacher_knows_them(tmp_path):
    """Bars whose place does not matter, only how many they are: both changes suit."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300).astype("int32")
    x = np.zeros((300, 8, 8, 1), "float32")
    for image, label in zip(x, y, strict=True):
        image[:, 3 + rng.integers(0, 2)] = 1 + label

    def teach(x):
        brightest = np.asarray(x).max((1, 2, 3))
        return 5 * np.stack([1.5 - brightest, brightest - 1.5], 1)

    result = kd.auto.compress(
        teach, (x[:200], y[:200]), validation=(x[200:], y[200:]), **{**QUICK, "students": ["cnn-small"], "limits": kd.auto.Limits(size="40 kB")},
        folder=tmp_path / "run",
    )  # fmt: skip
    assert (tmp_path / "run" / "answers_views").is_dir()
    assert any("No test data" in note for note in result.notes)


def test_int8_is_proven_and_trained_with_rounding_where_it_loses(teacher, tmp_path, monkeypatch):
    from keras_kd.auto import _finish

    monkeypatch.setattr(_finish, "_MAY_LOSE", -1.0)  # as if every file lost
    given = {**QUICK, "formats": ["int8"], "trials": 1, "epochs": 6}
    result = kd.auto.compress(teacher, **PARTS, **given, folder=tmp_path / "run")
    assert result.best.format == "int8" and result.best.proof["quantization"] == "int8"
    if result.best.aware_epochs:
        assert "quantize_aware(student, weight_bits=8)" in result.code
    assert result.best.score > 0.6


def test_without_keras_tuner(teacher, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "keras-kd\[tune\]"'):
        kd.auto.compress(teacher, **PARTS, **QUICK, folder=tmp_path / "run")


@pytest.mark.parametrize(
    "given, error, told",
    [
        ({"limits": "300 kB"}, TypeError, r"Limits\(size='300 kB'\)"),
        ({"budget": "5 apples"}, ValueError, "`budget` must be"),
        ({"epochs": 0}, ValueError, "`epochs` must be a whole number of at least 1"),
        ({"trials": 1.5}, ValueError, "`trials` must be a whole number"),
        ({"seed": -1}, ValueError, "`seed` must be a whole number of at least 0"),
        ({"latency": 5}, TypeError, r"Limits\(latency=\.\.\.\)"),
    ],
)
def test_arguments_that_will_not_do(teacher, tmp_path, given, error, told):
    with pytest.raises(error, match=told):
        kd.auto.compress(teacher, **PARTS, **{**QUICK, **given}, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


_KILLED = """
import sys, keras, numpy as np, keras_kd as kd
from tests.auto.test_compress import PARTS, QUICK, dense
kd.auto.compress(dense(32, name="teacher"), **PARTS, **{**QUICK, "trials": 6}, folder=sys.argv[1])
"""


def test_a_killed_search_leaves_whole_files(tmp_path):
    folder = tmp_path / "run"
    program = subprocess.Popen([sys.executable, "-c", _KILLED, str(folder)])
    end = time.monotonic() + 240
    while not list(folder.glob("trials/*.json")) and time.monotonic() < end:
        time.sleep(0.05)
        assert program.poll() is None
    time.sleep(0.3)
    program.send_signal(signal.SIGKILL)
    program.wait()
    for path in folder.glob("trials/*.json"):
        assert json.loads(path.read_text())["epochs"] in (1, 3)
    keras.saving.load_model(folder / "best.keras", compile=False)
    given = {**QUICK, "trials": 6, "budget": "20 min"}
    before = len(list(folder.glob("trials/*.json")))
    result = kd.auto.compress(dense(32, name="teacher"), **PARTS, **given, folder=folder)
    assert len(result.trials) > before


def test_students_without_hope_are_not_searched_among(teacher, tmp_path, monkeypatch):
    """Decided once: a search that goes on is over the same students."""
    from keras_kd.auto import _run

    asked = []

    def ruled_out(students, trials, score, epochs):
        asked.append((score, epochs, len(trials.done)))
        name = next(s.name for s in students if s.name.startswith("table-small"))
        return [s for s in students if s.name != name], {name: "at most 0.5 by the forecast"}

    monkeypatch.setattr(_run, "prune", ruled_out)
    given = {**QUICK, "students": ["table-tiny", "table-small"], "trials": 6}
    result = kd.auto.compress(teacher, **PARTS, **given, folder=tmp_path / "run")
    assert len(asked) == 1 and asked[0][:2] == (result.teacher["score"], 3) and asked[0][2] >= 3
    searched = {t.values["student"] for t in result.trials if t.part == "search"}
    assert searched == {"table-tiny, float32"}
    assert result.dropped["table-small, float32"] == "at most 0.5 by the forecast"
    again = kd.auto.compress(teacher, **PARTS, **given, folder=tmp_path / "run")
    assert len(asked) == 1 and told(again) == told(result)
