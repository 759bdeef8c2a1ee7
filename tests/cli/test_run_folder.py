"""The folder of a run: for one process at a time, and writable before the first step."""

import contextlib
import os
import subprocess
import sys
import tempfile

import pytest

import keras_kd
from keras_kd.callbacks._best_student import read_best
from keras_kd.cli import _run_folder, main
from tests.cli.program import ROOT, started, stopped


def argv(folder, out, *more):
    return ["distill", str(folder / "teacher.keras"), "mlp-16", "--out", str(out), *more]


def test_a_second_run_in_a_folder_says_that_the_first_is_going_on(folder, tmp_path, capsys):
    out = tmp_path / "run"
    with _run_folder.held(out):
        assert main(argv(folder, out)) == 2
        assert capsys.readouterr().err.endswith(
            f"'{out}' is the folder of a run that is going on, in process {os.getpid()} on "
            f"{os.uname().nodename}. Wait until it is done, or give another --out.\n"
        )
        assert [p.name for p in out.iterdir()] == [".running.lock"]
        assert main(["demo", "--out", str(out)]) == 2
        assert "a run that is going on" in capsys.readouterr().err
    assert list(out.iterdir()) == []


@pytest.mark.skipif(not os.environ.get("KERAS_KD_SLOW"), reason="two programs: KERAS_KD_SLOW=1")
def test_two_programs_at_once_never_mix(folder, tmp_path):
    """One of them is refused, or comes after the other and finds its work done."""
    out = tmp_path / "run"
    both = [stopped(r) for r in [started(*argv(folder, out, "--epochs", "3")) for _ in range(2)]]
    codes = sorted(done.returncode for done in both)
    assert codes in ([0, 2], [0, 0]), both
    if codes == [0, 2]:
        assert any("a run that is going on" in done.stderr for done in both)
    assert sorted(p.name for p in out.iterdir()) == [
        "log.csv", "settings.json", "state.npz", "student.keras", "summary.json",
    ]  # fmt: skip
    assert len((out / "log.csv").read_text().splitlines()) == 4


def test_what_a_killed_run_left_is_removed(tmp_path):
    for name in (".0123abcd-student.keras", ".0123abcd-state.npz", "mine.txt"):
        (tmp_path / name).write_text("")
    with _run_folder.held(tmp_path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_line_that_was_cut_off_is_no_epoch(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("epoch,loss\n" + "".join(f"{i},0.5\n" for i in range(10)) + "1")
    _run_folder.trim(log, 10)
    assert [line.split(",")[0] for line in log.read_text().split()] == ["epoch", *"0123456789"]


def test_a_damaged_student_is_named(folder, tmp_path, capsys):
    out = tmp_path / "run"
    assert main(argv(folder, out, "--epochs", "1")) == 0
    path = out / "student.keras"
    whole = path.read_bytes()
    place = whole.index(b"\x89HDF") + 900  # among the weights
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert read_best(path) is not None
    capsys.readouterr()
    assert main(argv(folder, out, "--epochs", "1")) == 2
    assert f"'{path}' is damaged: the weights of the best student cannot be had from it" in (
        capsys.readouterr().err
    )


def test_a_longer_run_does_not_stand_beside_the_summary_of_the_shorter(
    folder, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    (out).mkdir()
    (out / "summary.json").write_text("{}")

    def killed(self, *args, **kwargs):
        assert not (out / "summary.json").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(keras_kd.Distiller, "fit", killed)
    assert main(argv(folder, out)) == 130


# A folder that another user may not write to.

NOBODY = """
import os, sys
import keras_kd
from keras_kd.cli import main
from keras_kd import callbacks, exporting, report, sources, stores
import keras, numpy as np
readonly, teacher = sys.argv[1:]
model = keras.saving.load_model(teacher)
part = keras_kd.data.load("digits")["test"].take(np.arange(8))
found = report.compare({"a": model, "b": model}, part, latency=False)
class Asked(keras.callbacks.Callback):
    def on_train_batch_begin(self, *args):
        sys.exit("it trains")
os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)
distiller = keras_kd.Distiller(student=model, terms=[keras_kd.Labels()])
distiller.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
def fit(callback):
    distiller.fit(part.x, part.y, verbose=0, callbacks=[Asked(), callback])
exporting._export.convert = lambda *a, **k: sys.exit("it converts")
for name, work in {
    "export": lambda: keras_kd.export(model, f"{readonly}/a.tflite"),
    "report": lambda: found.save(f"{readonly}/a.html"),
    "stores": lambda: stores.write(model, part, f"{readonly}/a"),
    "checkpoint": lambda: fit(callbacks.Checkpoint(f"{readonly}/a.npz")),
    "best": lambda: fit(callbacks.BestStudent(f"{readonly}/a.keras", "loss")),
}.items():
    try:
        work()
    except (PermissionError, ValueError) as error:
        print(name, "|", type(error).__name__, "|", error)
for command in ("distill", "demo", "store", "report"):
    given = {"distill": [teacher, "mlp-16"], "store": [teacher], "report": [teacher]}.get(command, [])
    for out in ("", "/a/b"):
        out = f"{readonly}{out}" if command != "report" else f"{readonly}/a.html"
        code = main([command, *given, "--out", out])
        print(f"{command}{out[len(readonly):]} {code}")
"""


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="needs root, to become another user"
)
def test_a_folder_that_cannot_be_written_to_is_said_before_any_work(folder):
    pytest.importorskip("tensorflow")
    pytest.importorskip("ai_edge_litert")
    with contextlib.ExitStack() as held:
        base = held.enter_context(tempfile.TemporaryDirectory())  # pytest's own are root's alone
        os.chmod(base, 0o755)
        teacher = os.path.join(base, "teacher.keras")
        with open(teacher, "wb") as file:
            file.write((folder / "teacher.keras").read_bytes())
        os.mkdir(os.path.join(base, "readonly"))
        done = subprocess.run(
            [sys.executable, "-c", NOBODY, os.path.join(base, "readonly"), teacher],
            capture_output=True, text=True, cwd=base,
            env={**os.environ, "HOME": base,
                 "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        assert os.listdir(os.path.join(base, "readonly")) == []
    lines = done.stdout.splitlines()
    names = ["export", "report", "stores", "checkpoint", "best"]
    errors = [line for line in lines if "|" in line]
    assert [line.split(" |")[0] for line in errors] == names, done.stderr[-2000:]
    assert all(
        "readonly' of `path` cannot" in e or "readonly' cannot be writt" in e for e in errors
    )
    ends = [line for line in lines if "|" not in line and line[-1].isdigit()]
    assert len(ends) == 8 and all(line.endswith(" 2") for line in ends), lines
    assert done.stderr.count("readonly' cannot be written to. Give a path in another one") >= 8
