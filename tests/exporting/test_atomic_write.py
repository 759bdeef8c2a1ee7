"""Where files are put: all at once or not at all, behind links, by one export at a time."""

import os
import subprocess
import sys

import pytest

from keras_kd.exporting import ExportError, _atomic_write
from keras_kd.exporting._atomic_write import checked_path, staged


def test_all_is_placed_or_nothing(tmp_path, monkeypatch):
    target = tmp_path / "b"
    (tmp_path / "a").write_text("former a")
    (tmp_path / "b").write_text("former b")
    renamed, kept = [], os.replace

    def fails_late(source, place):
        if str(place) == str(target) and not renamed:
            renamed.append(place)
            raise OSError("the disk is full")
        kept(source, place)

    with monkeypatch.context() as failing:
        failing.setattr(os, "replace", fails_late)
        with pytest.raises(OSError, match="full"), staged(target) as stage:
            (stage / "a").write_text("new a")
            (stage / "b").write_text("new b")
    left = {p.name: p.read_text() for p in tmp_path.iterdir()}
    assert left == {"a": "former a", "b": "former b"}
    with staged(target) as stage:
        (stage / "a").write_text("new a")
        (stage / "b").mkdir()
    assert (tmp_path / "a").read_text() == "new a"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "b").is_dir()


def test_the_file_itself_comes_last(tmp_path, monkeypatch):
    """Where a kill falls between, a new file never stands beside what is still to come."""
    put, kept = [], _atomic_write._put
    monkeypatch.setattr(_atomic_write, "_put", lambda *a: [put.append(a[1].name), kept(*a)])
    with staged(tmp_path / "b.tflite") as stage:
        for name in ("a.txt", "b.tflite", "b.tflite.json", "c.h"):
            (stage / name).write_text("")
            (tmp_path / f".0123abcd-{name}").write_text("of one that was killed")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(put)
    assert put == ["a.txt", "b.tflite.json", "c.h", "b.tflite"]


def folder(path, content):
    path.mkdir()
    (path / "saved_model.pb").write_text(content)


def test_a_former_folder_comes_back_when_the_new_one_cannot_be_put(tmp_path, monkeypatch):
    target, kept = tmp_path / "saved", os.rename
    folder(target, "former")

    def fails(source, place):
        if "new" in str(source):
            raise OSError("the disk is full")
        kept(source, place)

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(OSError, match="full"), staged(target) as stage:
        folder(stage / "saved", "new")
    assert (target / "saved_model.pb").read_text() == "former"
    assert [p.name for p in tmp_path.iterdir()] == ["saved"]


def test_links_stay_and_what_they_lead_to_is_replaced(tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    (models / "v1.tflite").write_text("former")
    folder(models / "v1", "former")
    for name in ("latest.tflite", "latest"):
        (tmp_path / name).symlink_to(models / name.replace("latest", "v1"))
        target = checked_path(tmp_path / name, marker="saved_model.pb" if name == "latest" else "")
        with staged(target) as stage:
            assert stage.parents[1] == models  # from where it is one move
            (stage / f"{name}.json").write_text("proof")
            if name == "latest":
                folder(stage / name, "new")
            else:
                (stage / name).write_text("new")
        assert target.is_symlink() and (tmp_path / f"{name}.json").read_text() == "proof"
    assert (models / "v1.tflite").read_text() == "new"
    assert (models / "v1/saved_model.pb").read_text() == "new"
    assert sorted(p.name for p in models.iterdir()) == ["v1", "v1.tflite"]
    (tmp_path / "lost.tflite").symlink_to(tmp_path / "none" / "v1.tflite")
    with pytest.raises(ValueError, match=r"The folder '.*none' of `path` does not exist"):
        checked_path(tmp_path / "lost.tflite")


def test_a_second_export_to_a_file_says_that_the_first_is_running(tmp_path):
    target = tmp_path / "student.tflite"
    with staged(target) as stage:
        with pytest.raises(ExportError) as error, staged(target):
            pytest.fail("two write it")
        assert str(error.value).startswith(
            f"'{target}' is being exported to by process {os.getpid()} on "
        )
        with staged(tmp_path / "other.tflite") as other:
            (other / "other.tflite").write_text("b")
        (stage / "student.tflite").write_text("a")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.tflite", "student.tflite"]


KILLED = """
import os, pathlib, sys
from keras_kd.exporting import _atomic_write
_atomic_write._put = lambda *a: os._exit(9)
with _atomic_write.staged(pathlib.Path(sys.argv[1])) as stage:
    (stage / "saved").mkdir()
"""


def test_what_a_killed_export_left_is_put_right_by_the_next(tmp_path):
    target = tmp_path / "saved"
    folder(target, "former")
    done = subprocess.run([sys.executable, "-c", KILLED, target], env={**os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})  # fmt: skip
    assert done.returncode == 9
    assert not target.exists() and len(list(tmp_path.iterdir())) == 2  # the lock, and the folder
    (tmp_path / ".saved-mine").mkdir()  # of somebody else
    with pytest.raises(KeyError), staged(target):
        assert (target / "saved_model.pb").read_text() == "former"
        raise KeyError
    assert sorted(p.name for p in tmp_path.iterdir()) == [".saved-mine", "saved"]
    assert (target / "saved_model.pb").read_text() == "former"
