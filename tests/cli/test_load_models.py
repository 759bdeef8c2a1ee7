"""Files from strangers: no code in them is run, and the error says what to do."""

import json
import zipfile

import keras
import pytest

from keras_kd.cli import main
from keras_kd.cli._load_models import load


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A file that makes another when its code runs."""
    sprung = tmp_path / "sprung"
    monkeypatch.setenv("SPRUNG", str(sprung))

    code = keras.layers.Lambda(
        lambda x: (__import__("os").mkdir(__import__("os").environ["SPRUNG"]), x)[1]
    )
    layers = [keras.Input((8, 8, 1)), code, keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential(layers).save(tmp_path / "fremd.keras")
    sprung.rmdir()
    return tmp_path / "fremd.keras", sprung


def test_code_in_a_file_is_not_run(trap, tmp_path, capsys):
    path, sprung = trap
    for argv in (
        ["distill", path, "mlp-16", "--out", tmp_path / "out"],
        ["store", path, "--out", tmp_path / "out"],
        ["report", path],
        ["export", path, tmp_path / "s.tflite"],
    ):
        assert main([*map(str, argv)]) == 2
        said = capsys.readouterr().err
        assert f"'{path}' holds code of its own (a Lambda layer)" in said
        assert "keras.saving.load_model(path, safe_mode=False)" in said
    assert not sprung.exists()
    keras.saving.load_model(path, safe_mode=False)
    assert sprung.exists()  # so the trap was one


def test_classes_that_are_not_known_are_named(tmp_path):
    @keras.saving.register_keras_serializable(package="elsewhere")
    class Twice(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    model = keras.Sequential([keras.Input((4,)), Twice(), keras.layers.Dense(2)])
    model.save(tmp_path / "own.keras")
    assert load(tmp_path / "own.keras").count_params() == 10
    del keras.saving.get_custom_objects()["elsewhere>Twice"]
    with pytest.raises(ValueError, match="has classes of its own, elsewhere>Twice, which"):
        load(tmp_path / "own.keras")


def test_files_that_are_no_models(tmp_path):
    good = tmp_path / "gut ü.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(good)
    assert load(good).count_params() == 10
    half = tmp_path / "half.keras"
    half.write_bytes(good.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"'.*half\.keras' is no \.keras file, or only a part"):
        load(half)
    with pytest.raises(ValueError, match="There is no file"):
        load(tmp_path / "no.keras")
    with pytest.raises(ValueError, match=r"should be a model's file that ends with \.keras"):
        load(tmp_path / "old.h5")
    other = tmp_path / "other.keras"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("config.json", json.dumps({"nothing": 1}))
        archive.writestr("metadata.json", "{}")
    with pytest.raises(ValueError, match=r"other\.keras' could not be loaded: "):
        load(other)
