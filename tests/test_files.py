"""What all writers of files share: whole files, links, leftovers, folders that cannot be written."""

import os

import numpy as np
import pytest

import keras_kd
import keras_kd.cli
from keras_kd._core.files import check_folder, remove_leftovers, replacing
from keras_kd._core.locks import locked
from tests.models import mlp


def test_a_file_takes_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "student.keras"
    path.write_bytes(b"former")
    with pytest.raises(KeyboardInterrupt), replacing(path) as unfinished:
        unfinished.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"former"
    with replacing(path) as unfinished:
        assert unfinished.suffix == ".keras"
        unfinished.write_bytes(b"whole")
        assert path.read_bytes() == b"former"
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "model.txt", tmp_path / "latest.txt"
    target.write_text("former")
    link.symlink_to(target)
    with replacing(link) as temporary:
        assert temporary.parent == target.parent  # of one file system with it
        temporary.write_text("new")
    assert link.is_symlink() and target.read_text() == "new"
    with pytest.raises(KeyError), replacing(link) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert target.read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["model.txt"]
    target.unlink()  # a link to a file that is not there yet
    with replacing(link) as temporary:
        temporary.write_text("again")
    assert target.read_text() == "again" and link.is_symlink()


def test_of_two_that_write_one_file_the_last_one_counts(tmp_path):
    path = tmp_path / "report.html"
    with replacing(path) as one, replacing(path) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one"  # the outer one ends last
    assert list(tmp_path.iterdir()) == [path]


def test_no_folder_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder '.*/none' to write 'a.txt' to. Create"):  # noqa: SIM117
        with replacing(tmp_path / "none" / "a.txt"):
            pytest.fail("it began")


def test_only_what_was_left_of_one_file_is_removed(tmp_path):
    for name in (
        "a.txt",
        ".0123abcd-a.txt",
        ".0123abcd-b.txt",
        ".zzzzzzzz-a.txt",
        ".0123abcd-x-a.txt",
    ):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path / "a.txt")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".0123abcd-b.txt", ".0123abcd-x-a.txt", ".zzzzzzzz-a.txt", "a.txt",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    check_folder(tmp_path / "not" / "yet" / "there")
    monkeypatch.setattr(os, "access", lambda *a: False)
    with pytest.raises(PermissionError, match=rf"^The folder '{tmp_path}' cannot be written to"):
        check_folder(tmp_path / "not" / "yet" / "there")
    with pytest.raises(PermissionError, match=r"cannot be written to"):  # noqa: SIM117
        with replacing(tmp_path / "a.txt"):
            pytest.fail("it began")


def test_one_holder_of_a_lock(tmp_path):
    path = tmp_path / "lock"
    said = rf"^process {os.getpid()} on "
    with locked(path, RuntimeError), pytest.raises(RuntimeError, match=said):  # noqa: SIM117
        with locked(path, RuntimeError):
            pytest.fail("two hold it")
    assert not path.exists()
    path.write_text("process 1 on a machine where it was killed")
    with locked(path, RuntimeError):
        pass
    assert not path.exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda: keras_kd.stores.write(mlp("t"), np.ones((2, 4)), ""),
        lambda: keras_kd.stores.read("", np.ones((2, 4))),
        lambda: keras_kd.stores.merge([], ""),
        lambda: keras_kd.export(mlp("s"), ""),
        lambda: keras_kd.exporting.verify("", mlp("s")),
        lambda: keras_kd.callbacks.BestStudent(""),
        lambda: keras_kd.callbacks.Checkpoint(""),
    ],
    ids=["write", "read", "merge", "export", "verify", "best", "checkpoint"],
)
def test_an_empty_path_is_no_folder(call, tmp_path, monkeypatch):
    """As `pathlib` has it, it would be the folder one happens to be in."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"path is empty|must name a file"):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("argv", [["demo"], ["distill", "t.keras", "tiny"], ["store", "t.keras"]])
def test_an_empty_place_is_a_bad_option(argv, capsys):
    with pytest.raises(SystemExit) as ended:
        keras_kd.cli.main([*argv, "--out", ""])
    assert ended.value.code == 2
    assert "--out: is empty: give the name of a file or a folder" in capsys.readouterr().err
