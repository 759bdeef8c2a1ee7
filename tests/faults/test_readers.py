"""Files that were cut off or never what they should be: a clear error, and exit code 2."""

import json
import shutil
import types

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd.callbacks import BestStudent, Checkpoint
from keras_kd.callbacks._best_student import Best, read_best
from keras_kd.cli import _load_models, _recipes, _run_folder, main
from tests.models import cross_entropy, mlp

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

few = hypothesis.settings(
    max_examples=40, derandomize=True, deadline=None, database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip


@st.composite
def damaged(draw, whole):
    """Bytes that are none, any, or a part or a misprint of those of a good file."""
    kind = draw(st.sampled_from(["cut", "flip", "noise", "any", "empty"]))
    place = draw(st.integers(0, len(whole) - 1))
    if kind == "cut":
        return whole[:place]
    if kind == "flip":
        return (
            whole[:place] + bytes([whole[place] ^ draw(st.integers(1, 255))]) + whole[place + 1 :]
        )
    if kind == "noise":
        return whole[:place] + draw(st.binary(min_size=1, max_size=64)) + whole[place + 8 :]
    return b"" if kind == "empty" else draw(st.binary(max_size=200))


def only(errors, function, *args):
    """Calls it; any error is of the kind that the program tells in plain words."""
    try:
        return function(*args)
    except errors as error:
        assert len(str(error)) > 20, repr(error)
        return None


@pytest.fixture(scope="module")
def made():
    distiller = kd.Distiller(student=mlp("student"), terms=[kd.Labels()])
    distiller.compile("adam", cross_entropy())
    distiller.optimizer.build(distiller.trainable_variables)
    return distiller


def test_a_checkpoint(made, tmp_path):
    path = tmp_path / "state.npz"
    keep = Checkpoint(path)
    keep.set_model(made)
    keep.on_epoch_end(0)
    whole = path.read_bytes()

    @few
    @hypothesis.given(damaged(whole))
    def reads(content):
        path.write_bytes(content)
        only(ValueError, keep.restore, made)

    reads()


def test_the_file_of_the_best_student(made, tmp_path):
    path = tmp_path / "student.keras"
    keep = BestStudent(path, "loss")
    keep.set_model(made)
    keep.on_epoch_end(0, {"loss": 1.0})
    whole = path.read_bytes()

    @few
    @hypothesis.given(damaged(whole))
    def reads(content):
        path.write_bytes(content)
        best = only(ValueError, read_best, path)
        assert best is None or isinstance(best, Best)
        only(ValueError, keep.on_train_begin)

    reads()


def test_a_model_for_the_command_line(tmp_path):
    path = tmp_path / "model.keras"
    mlp("student").save(path)
    whole = path.read_bytes()

    @hypothesis.settings(few, max_examples=20)
    @hypothesis.given(damaged(whole))
    def reads(content):
        path.write_bytes(content)
        only(ValueError, _load_models.load, path)

    reads()


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def test_the_folder_of_a_run(tmp_path):
    names = _run_folder._SETTINGS
    options = types.SimpleNamespace(
        **{**dict.fromkeys(names, "x"), "set": [("temperature", "4")], "out": tmp_path, "epochs": 3}
    )
    _run_folder.settle(options, [])
    settings = tmp_path / "settings.json"
    whole = settings.read_bytes()
    log = tmp_path / "log.csv"
    lines = b"epoch,loss\r\n0,1.0\r\n1,0.5\r\n"

    @few
    @hypothesis.given(damaged(whole), damaged(lines), json_like)
    def reads(content, text, value):
        for each in (content, json.dumps(value).encode()):
            settings.write_bytes(each)
            only((ValueError, OSError), _run_folder.settle, options, [])
        log.write_bytes(text)
        only((ValueError, OSError), _run_folder.trim, log, 1)

    reads()


def test_the_settings_of_a_recipe():
    student, teacher = mlp("student"), mlp("teacher", 9)
    recipes = [n for n, r in _recipes.known().items() if not _recipes._needs_roles(r)]
    named = {n: [s for s, _ in _recipes._settings(_recipes._known(n))] for n in recipes}

    @hypothesis.settings(few, max_examples=150)
    @hypothesis.given(st.data())
    def reads(data):
        name = data.draw(st.sampled_from([n for n in recipes if named[n]]))
        setting = data.draw(st.sampled_from(named[name]))
        text = data.draw(st.text(min_size=1, max_size=12) | json_like.map(json.dumps))

        def build():
            terms = _recipes.terms_of(
                name, {setting: text}, student=student, teacher=teacher, classes=3, steps=10
            )
            kd.Distiller(student=student, teacher=teacher, terms=terms)

        try:
            build()
        except (ValueError, TypeError) as error:  # those that the program tells and exits by 2
            assert len(str(error)) > 10, repr(error)

    reads()


# The program itself, once for each kind of file.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    keras.utils.set_random_seed(1)
    teacher = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)], name="teacher"
    )
    teacher.save(folder / "teacher.keras")
    assert distill(folder, folder / "out") == 0
    return folder


def distill(folder, out):
    argv = [
        "distill",
        folder / "teacher.keras",
        "mlp-16",
        "--epochs",
        1,
        "--no-check",
        "--out",
        out,
    ]
    return main([*map(str, argv), "--batch-size", "512"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("settings.json", b"[1, 2]"), ("settings.json", b'{"teacher": '), ("settings.json", b"\xff"),
        ("state.npz", b""), ("state.npz", b"\x80\x04no pickle"), ("state.npz", None),
        ("log.csv", b"epoch\r\n\r\nx,1\r\n"), ("student.keras", b""), ("student.keras", None),
    ],
)  # fmt: skip
def test_the_program_ends_with_2(run, tmp_path, name, content, capsys):
    out = tmp_path / "out"
    shutil.copytree(run / "out", out)
    path = out / name
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert distill(run, out) == 2
    said = capsys.readouterr().err.splitlines()
    assert "Traceback" not in said
    assert said[-1].startswith("keras-kd distill: ") and name in said[-1]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b"\x00\xff", None])
def test_the_program_ends_with_2_for_a_store(run, tmp_path, content, capsys):
    answers = tmp_path / "answers"
    part = kd.data.load("digits")["train"].take(np.arange(32))
    kd.stores.write(keras.saving.load_model(run / "teacher.keras"), part, answers)
    path = answers / "manifest.json"
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    argv = ["distill", answers, "mlp-16", "--epochs", 1, "--out", tmp_path / "out"]
    assert main([*map(str, argv)]) == 2
    assert "manifest.json' is damaged" in capsys.readouterr().err
