"""`keras-kd auto`: from a file of a teacher and limits to a proven file."""

import argparse
import json

import keras
import pytest

from keras_kd.cli import main

pytest.importorskip("keras_tuner")
pytest.importorskip("ai_edge_litert")


def test_one_command_from_a_teacher_to_a_file(folder, tmp_path, capsys):
    out = tmp_path / "run"
    code = main(
        ["auto", str(folder / "soft.keras"), "--data", "digits", "--size", "20kB", "--latency", "1s",
         "--students", "mlp-16", "--formats", "float32", "--epochs", "2", "--trials", "1",
         "--budget", "10min", "--out", str(out), "--json"]
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    found = json.loads(said.out)
    assert (out / "student.tflite").stat().st_size == found["best"]["costs"]["size"] <= 20_000
    assert found["limits"] == "size at most 20 kB, latency at most 1000 ms"
    assert found["best"]["values"]["student"] == "mlp-16, float32"
    assert found["control"]["file"] == str(out / "alone.tflite")
    assert found["verdict"] in (out / "report.html").read_text().replace("&#x27;", "'")
    proof = json.loads((out / "student.tflite.json").read_text())
    assert proof["classes"] == [str(n) for n in range(10)]
    assert keras.saving.load_model(out / "student.keras").count_params() == 1210


@pytest.mark.parametrize(
    "given, told",
    [
        (["--size", "5 apples"], "`size` must be"),
        ([], "limits nothing"),
        (["--size", "20kB", "--budget", "soon"], "`budget` must be"),
        (["--size", "20kB", "--students", "tinny"], "Did you mean 'tiny'"),
        (["--size", "20kB", "--formats", "int9"], "`formats` must be"),
    ],
)
def test_what_cannot_be_searched_for(folder, tmp_path, capsys, given, told):
    out = ["--data", "digits", "--out", str(tmp_path / "run")]
    assert main(["auto", str(folder / "teacher.keras"), *out, *given]) == 2
    assert told in capsys.readouterr().err


def test_what_there_is_when_it_was_stopped(tmp_path):
    from keras_kd.cli import _auto

    options = argparse.Namespace(out=tmp_path)
    assert "best student" not in _auto.if_stopped(options)
    (tmp_path / "best.keras").touch()
    assert f"{tmp_path / 'best.keras'} is the best student so far." in _auto.if_stopped(options)
