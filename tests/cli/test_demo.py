"""`keras-kd demo`, run as a user runs it."""

import pathlib
import signal
import time

import keras
import numpy as np
import pytest

from keras_kd import demo
from keras_kd.cli import main
from keras_kd.data import Dataset, Info, NotAvailable, Part
from keras_kd.demo import _files, _printed, _trial
from keras_kd.report import paired
from tests.cli.program import started, stopped

FILES = {"student.keras": b"former student", "student.tflite": b"former file", "demo.png": b"old"}


# The whole of it, once.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    out = tmp_path_factory.mktemp("tiny") / "made" / "here"
    run = stopped(started("demo", "--seeds", 1, "--epochs", 1, "--out", out))
    assert run.returncode == 0, run.stderr
    return run, out


def test_the_demo_says_what_it_does_and_prints_the_table(tiny):
    said = " ".join(tiny[0].stdout.split())
    assert "'digits' with 100 labels" in said
    assert "the teacher's predictions for all 1,157 images" in said
    assert "train for 19 steps" in said
    for heading in ("errors of 640", "in %", "as teacher", "weights", "kB", "ms"):
        assert heading in said
    rows = [line.split() for line in tiny[0].stdout.splitlines()]
    teacher = next(r for r in rows if r[:1] == ["teacher"])
    assert teacher[3:5] == ["100.0", "%"]
    for who in ("alone", "distilled"):
        row = [r for r in rows if r[:2] == ["student", who]][-1]
        assert 0 <= int(row[2]) <= 640
        assert float(row[3]) == pytest.approx(int(row[2]) / 6.4, abs=0.051)
        assert row[6:8] == ["1,210", "4.8"]
    assert "One seed cannot tell whether distillation helps" in said


def test_the_demo_shows_its_progress_and_nothing_of_tensorflow(tiny):
    said = tiny[0].stderr
    said = said[said.index("[1/4]") :]  # what importing tensorflow for the first time says is past
    assert said.splitlines() == [
        "[1/4] the teacher",
        "[2/4] seed 1: the student alone",
        "[3/4] seed 1: the distilled student",
        "[4/4] the files",
    ]


def test_the_demo_writes_a_student_that_has_the_errors_of_the_table(tiny, digits):
    run, out = tiny
    assert str(out / "student.keras") in run.stdout
    student = keras.saving.load_model(out / "student.keras")
    errors = int((student.predict(digits.x_test, verbose=0).argmax(axis=1) != digits.y_test).sum())
    row = next(line.split() for line in run.stdout.splitlines() if "student distilled" in line)
    assert abs(errors - int(row[2])) <= 1  # other batches, other rounding


def test_the_demo_writes_all_it_can(tiny):
    run, out = tiny
    made = {"student.keras": None}
    for module, name, extra in (
        ("ai_edge_litert", "student.tflite", "export"),
        ("matplotlib", "demo.png", "report"),
    ):
        try:
            __import__(module)
            made[name] = None
            if extra == "export":
                made[f"{name}.json"] = None
        except ModuleNotFoundError:
            assert f'Run: pip install "keras-kd[{extra}]"' in run.stdout
    assert sorted(p.name for p in out.iterdir()) == sorted(made)
    if "demo.png" in made:
        assert (out / "demo.png").read_bytes().startswith(b"\x89PNG")


# Without.


def test_what_cannot_be_written_is_left_out_with_the_command_that_helps(tmp_path, monkeypatch):
    def missing(*args, **kwargs):
        raise ModuleNotFoundError('needs it. Run: pip install "keras-kd[report]".')

    monkeypatch.setattr(_files, "_write_student", lambda settings, trial: "the student")
    monkeypatch.setattr(_files, "_write_for_devices", missing)
    monkeypatch.setattr(_files, "_write_picture", missing)
    left_out = 'Left out: needs it. Run: pip install "keras-kd[report]".'
    assert _files.write(None, None) == ["the student", left_out, left_out]


# Bad options, and data that cannot be had.


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--labels", "0"], "--labels: must be a whole number from 1 up, not '0'"),
        (["--seeds", "1.5"], "--seeds: must be a whole number from 1 up, not '1.5'"),
        (["--epochs", "-1"], "--epochs: must be a whole number from 1 up, not '-1'"),
        (["--temperature", "0"], "--temperature: must be a number above 0, not '0'"),
        (["--temperature", "nan"], "--temperature: must be a number above 0, not 'nan'"),
        (["--alpha", "1.1"], "--alpha: must be a number from 0 to 1, not '1.1'"),
    ],
)
def test_bad_options(argv, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", *argv])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_data_that_cannot_be_had_is_one_sentence(tmp_path, capsys):
    assert main(["demo", "--data", "nosuch", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("keras-kd demo: No data set 'nosuch'.")
    assert len(said.err.splitlines()) == 1 and said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_set_that_is_not_here(tmp_path, monkeypatch, capsys):
    def absent(name):
        raise NotAvailable(f"The data set '{name}' is not prepared.")

    monkeypatch.setattr(demo, "load", absent)
    assert main(["demo", "--data", "mnist", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "keras-kd demo: The data set 'mnist' is not prepared.\n"
    assert list(tmp_path.iterdir()) == []


def test_more_labels_than_there_are(tmp_path, capsys):
    assert main(["demo", "--labels", "5000", "--out", str(tmp_path / "out")]) == 2
    assert "--labels must be at most 1157" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "out").write_text("a file")
    assert main(["demo", "--out", str(tmp_path / "out")]) == 2
    assert "out" in capsys.readouterr().err


# Stopped on the way.


def test_stopping_leaves_the_former_files_whole(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    running = started("demo", "--out", tmp_path)
    while "the teacher" not in running.stderr.readline():
        pass
    time.sleep(1.0)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert said.splitlines()[-1] == "keras-kd: stopped. No file was left half written."
    assert "Traceback" not in said
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == FILES


# The verdict.


@pytest.mark.parametrize(
    "before, after, words",
    [
        (
            [60, 58, 64, 66, 61],
            [30, 31, 29, 33, 35],
            "Distillation helped: 30.2 fewer errors on the 640 test images, the mean of 5 seeds "
            "(95 % interval 24.2 to 37.3).",
        ),
        (
            [30, 31, 29, 33, 35],
            [60, 58, 64, 66, 61],
            "Distillation did not help: 30.2 more errors on the 640 test images, the mean of 5 "
            "seeds (95 % interval 24.2 to 37.3).",
        ),
        (
            [60, 30, 64, 40, 50],
            [30, 31, 62, 49, 44],
            "This run cannot tell whether distillation helps: 5.6 fewer errors on the 640 test "
            "images, the mean of 5 seeds, and the 95 % interval reaches from 38.5 fewer to 8.4 "
            "more.",
        ),
        (
            [60, 58, 64],
            [30, 31, 29],
            "This run cannot tell whether distillation helps: 30.7 fewer errors on the 640 test "
            "images, the mean of 3 seeds, and so few, or such as are all alike, have no interval. "
            "Try --seeds 5 or more.",
        ),
        (
            [60],
            [30],
            "One seed cannot tell whether distillation helps: 30.0 fewer errors on the 640 test "
            "images. Try --seeds 5.",
        ),
    ],
)
def test_verdict(before, after, words):
    assert _printed.verdict(paired(before, after), 640) == words


# The two trainings.


def test_alone_and_distilled_start_alike_and_take_the_same_number_of_steps(digits, monkeypatch):
    starts, distillers = [], []
    make, distiller = _trial._student, _trial.Distiller

    def student(*args):
        made = make(*args)
        starts.append(made.get_weights())
        return made

    def recorded(**kwargs):
        distillers.append(distiller(**kwargs))
        return distillers[-1]

    monkeypatch.setattr(_trial, "_student", student)
    monkeypatch.setattr(_trial, "Distiller", recorded)
    settings = demo.Settings("digits", 20, 2, 1, 4.0, 0.9, pathlib.Path("unused"))
    trial = _trial.trial_of(settings, digits, lambda stage: None)
    for alone, distilled in zip(*starts, strict=True):
        np.testing.assert_array_equal(alone, distilled)
    assert int(trial.alone[0].model.optimizer.iterations) == 38
    assert int(distillers[0].optimizer.iterations) == 38
    assert "train for 38 steps" in _printed.task(settings, digits)
    assert distillers[0].student is trial.distilled[0].model


def test_the_student_learns_from_no_label_but_its_own(digits, monkeypatch):
    seen = []
    monkeypatch.setattr(_trial.Distiller, "fit", lambda self, x, y, **kwargs: seen.append((x, y)))
    student = _trial._student(digits, 1)
    labelled = np.arange(30, 50)
    answers = np.zeros((len(digits.y_train), 10), "float32")
    _trial._distil(student, digits, labelled, answers, 1, _trial.hinton(temperature=4.0, alpha=0.9))
    (x, y) = seen[0]
    assert sorted(np.flatnonzero(y != _trial.UNLABELED)) == list(labelled)
    np.testing.assert_array_equal(y[labelled], digits.y_train[labelled])
    np.testing.assert_array_equal(x["inputs"], digits.x_train)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_either_share_alone_trains(alpha, digits):
    few = Dataset(digits.info, {n: p.take(np.arange(128)) for n, p in digits.parts.items()})
    student = _trial._student(few, 1)
    before = student.get_weights()
    answers = np.random.default_rng(0).normal(size=(128, 10)).astype("float32")
    _trial._distil(
        student, few, np.arange(20), answers, 2, _trial.hinton(temperature=4.0, alpha=alpha)
    )
    after = student.get_weights()
    assert all(np.isfinite(w).all() for w in after)
    assert any((a != b).any() for a, b in zip(before, after, strict=True))


@pytest.fixture(scope="module")
def digits():
    return demo.load("digits")


@pytest.mark.parametrize("shape, examples", [((28, 28, 1), 60_000), ((32, 32, 3), 50_000)])
def test_networks_follow_the_shape_of_the_images(shape, examples):
    part = Part(np.zeros((8, *shape), "float32"), np.arange(8, dtype="int32"), np.arange(8))
    names = tuple(map(str, range(12)))
    data = Dataset(Info("small", 12, names, shape, {}, "", ""), {"train": part, "test": part})
    assert _trial._teacher(data, 1).output_shape == (None, 12)
    student = _trial._student(data, 1)
    assert student.output_shape == (None, 12)
    assert student.count_params() == np.prod(shape) * 16 + 16 + 16 * 12 + 12
    settings = demo.Settings("small", 5, None, 1, 4.0, 0.9, pathlib.Path("unused"))
    many = np.broadcast_to(part.x[:1], (examples, *shape))
    big = Part(many, np.zeros(examples, "int32"), np.arange(examples))
    assert settings.passes(Dataset(data.info, {"train": big})) == 3
