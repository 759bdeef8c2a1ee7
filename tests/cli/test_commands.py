"""`store`, `report`, `export`, `recipes`, and images from a folder: thin calls into the library."""

import json
import pathlib

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.cli import main
from keras_kd.cli._images import images
from keras_kd.exporting import Answer, ExportError, Proof, Tensor
from tests.cli.conftest import ORDER

# The store.


def test_stored_answers_stand_in_for_the_teacher(folder, tmp_path, digits, capsys):
    teacher, answers = folder / "teacher.keras", tmp_path / "Antworten 答"
    store = ["store", str(teacher), "--out", str(answers), "--dtype", "float32", "--json"]
    assert main(store) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["examples"], result["bytes_per_example"], result["teacher"]) == (1157, 40, "big")
    model = keras.saving.load_model(teacher)
    assert result["fingerprint"] == keras_kd.stores.fingerprint(model)
    batch, _ = keras_kd.stores.read(answers, digits["train"], batch_size=64)[0]
    expected = model.predict(digits.x_train[:64], verbose=0)
    np.testing.assert_allclose(batch["signals"]["teacher:output"], expected, atol=1e-5)
    said = {}
    for name in (teacher, answers):
        out = tmp_path / name.stem
        argv = ["distill", str(name), "mlp-16", "--epochs", "1", "--out", str(out), "--json"]
        assert main(argv) == 0
        said[name] = json.loads(capsys.readouterr().out)
    for key in ("test_accuracy", "validation_accuracy"):
        assert said[answers][key] == pytest.approx(said[teacher][key], abs=2e-3)
    assert said[answers]["teacher_test_accuracy"] is None


@pytest.mark.parametrize("recipe", ["hinton", "attention_transfer"])
def test_of_a_softmax_stored_and_live_the_training_is_the_same(folder, tmp_path, recipe, capsys):
    teacher = "soft.keras"
    student = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    student.save(tmp_path / "student.keras")
    settings = ["--recipe", recipe, "--epochs", "1", "--seed", "5", "--batch-size", "256"]
    store = ["store", folder / teacher, "--out", tmp_path / "answers", "--dtype", "float32"]
    if recipe == "attention_transfer":
        settings += ["--set", "pred=student:conv", "--set", "target=teacher:block1"]
        store += ["--address", "output", "--address", "block1"]
    assert main([*map(str, store), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["values"]
    assert said["output"] == "logits" and set(said.values()) <= {"logits", "features"}
    logs = []
    for source in (folder / teacher, tmp_path / "answers"):
        out = tmp_path / f"run {source.name}"
        argv = ["distill", source, tmp_path / "student.keras", *settings, "--out", out]
        assert main([*map(str, argv)]) == 0
        header, row = (out / "log.csv").read_text().splitlines()
        logs.append(dict(zip(header.split(","), map(float, row.split(",")), strict=True)))
    for name, value in logs[0].items():
        assert logs[1][name] == pytest.approx(value, rel=1e-4), name


def test_answers_of_which_only_the_largest_were_kept(folder, tmp_path, digits, capsys):
    teacher = keras.saving.load_model(folder / "teacher.keras")
    keras_kd.stores.write(teacher, digits["train"], tmp_path / "few", top_k=3)
    argv = ["distill", str(tmp_path / "few"), "mlp-16", "--out", str(tmp_path / "out")]
    assert main(argv) == 2
    assert "holds some of the classes alone" in capsys.readouterr().err


# The report.


def test_the_report_is_the_librarys(folder, digits, tmp_path, capsys):
    student = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)], name="small"
    )
    student.save(tmp_path / "small.keras")
    models = ["report", str(folder / "teacher.keras"), f"distilled={tmp_path / 'small.keras'}"]
    assert main([*models, "--no-latency", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    teacher = keras.saving.load_model(folder / "teacher.keras")
    expected = keras_kd.report.compare(
        {"teacher": teacher, "distilled": student},
        digits.test,
        class_names=digits.info.class_names,
        latency=False,
    )
    assert found["verdict"] == expected.verdict
    for name in ("teacher", "distilled"):
        scores = {k: v[0] for k, v in found["models"][name]["scores"].items()}
        others = expected.to_dict()["models"][name]["scores"]
        assert scores == pytest.approx({k: v[0] for k, v in others.items()})
    assert main([*models, "--no-latency"]) == 0
    said = capsys.readouterr().out
    assert " ".join(expected.verdict.split()) in " ".join(said.split())
    assert "agrees with the teacher" in said


def test_models_of_one_name_and_a_folder_that_is_not_there(folder, capsys):
    teacher = str(folder / "teacher.keras")
    assert main(["report", teacher, teacher]) == 2
    assert "two models have one name" in capsys.readouterr().err
    assert main(["report", teacher, "--out", "no/where.html"]) == 2
    assert "there is no folder 'no' to write where.html to" in capsys.readouterr().err


# The file for a device.


@pytest.fixture
def exported(monkeypatch):
    """What the library was asked for, and a proof in place of the work."""
    asked = {}

    def export(student, path, **kwargs):
        asked.update(kwargs, student=student, path=path)
        answer = Answer("output", "classes", 0.995, 0.25, 0.125)
        return Proof(
            path, "litert", kwargs["quantization"], 4300, 2100, "0f", 640, 637, (answer,), 0.0421,
            (0.04, 0.05), 1, {"CONV_2D": 1}, None, (Tensor("x", "float32", (1, 8)),),
            (Tensor("output", "float32", (1, 10)),), ("A note.",),
        )  # fmt: skip

    monkeypatch.setattr("keras_kd.cli._export.export", export)
    return asked


def test_export_is_the_librarys(exported, folder, digits, capsys):
    student, path = folder / "teacher.keras", folder / "schüler.tflite"
    argv = ["export", str(student), str(path), "--quantization", "int8", "--data", "digits"]
    assert main([*argv, "--integer-io", "--min-agreement", "0.9"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{path}: litert, int8, 4,300 bytes (2,100 compressed)\n")
    assert "It decides as the student on 637 of 640 examples.\n" in said and "A note.\n" in said
    assert exported["path"] == path and exported["student"].name == "big"
    np.testing.assert_array_equal(exported["examples"], digits.x_test)
    np.testing.assert_array_equal(exported["labels"], digits.y_test)
    assert exported["class_names"] == digits.info.class_names
    given = {image.tobytes() for image in exported["calibration"]}
    assert len(exported["calibration"]) == 1000
    assert given <= {image.tobytes() for image in digits.x_train}
    assert not given <= {image.tobytes() for image in digits.x_train[:1000]}  # of all classes
    assert (exported["quantization"], exported["integer_io"], exported["min_agreement"]) == (
        "int8", True, 0.9,
    )  # fmt: skip
    assert (exported["softmax"], exported["readme"], exported["card"]) == (False, False, None)
    assert exported["timeout"] == 600.0
    assert main([*argv[:3], "--timeout", "0", "--json"]) == 0
    assert exported["timeout"] is None
    found = json.loads(capsys.readouterr().out)
    assert (found["path"], found["bytes"], found["agreement"]) == (str(path), 4300, 0.995)
    assert exported["quantization"] == "float32"


def test_export_with_a_card_a_readme_and_a_page(exported, folder, tmp_path, monkeypatch, capsys):
    card = tmp_path / "card.json"
    card.write_text(json.dumps({"author": "A. Person"}))
    monkeypatch.setattr("keras_kd.cli._export.page", lambda path: path.with_suffix(".html"))
    argv = ["export", str(folder / "teacher.keras"), str(tmp_path / "s.tflite")]
    more = ["--softmax", "--readme", "--page", "--preprocessing", "images in [0, 1]"]
    assert main([*argv, *more, "--card", str(card)]) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path / 's.html'}: the student in a browser.\n")
    assert (exported["softmax"], exported["readme"]) == (True, True)
    assert exported["card"] == {"author": "A. Person"}
    assert exported["preprocessing"] == "images in [0, 1]"
    card.write_text("[]")
    assert main([*argv, "--card", str(card)]) == 2
    assert "must be a JSON object" in capsys.readouterr().err
    assert main([*argv, "--card", str(tmp_path / "none.json")]) == 2
    assert "cannot be read as JSON" in capsys.readouterr().err
    assert main([*argv[:2], str(tmp_path / "s.onnx"), "--page"]) == 2
    assert "--page runs a .tflite file" in capsys.readouterr().err


def test_the_card_of_a_run_is_taken_from_its_summary(exported, tmp_path, folder):
    student = tmp_path / "student.keras"
    student.write_bytes((folder / "teacher.keras").read_bytes())
    summary = {
        "student": "elsewhere/student.keras", "data": "digits", "teacher": "/home/a/big.keras",
        "recipe": "hinton", "test_accuracy": 0.9, "test_accuracy_interval": [0.88, 0.92],
        "teacher_fingerprint": None, "classes": ["0"],
    }  # fmt: skip
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    (tmp_path / "mine.json").write_text(json.dumps({"author": "A. Person", "data": "mine"}))
    argv = ["export", str(student), str(tmp_path / "s.tflite")]
    of_run = {
        "data": "digits", "teacher": "big.keras", "recipe": "hinton", "test_accuracy": 0.9,
        "test_accuracy_interval": [0.88, 0.92],
    }  # fmt: skip
    assert main(argv) == 0 and exported["card"] == of_run
    assert main([*argv, "--card", str(tmp_path / "mine.json")]) == 0
    assert exported["card"] == {**of_run, "author": "A. Person", "data": "mine"}
    (tmp_path / "summary.json").write_text(json.dumps({**summary, "student": "other.keras"}))
    assert main(argv) == 0 and exported["card"] is None


def test_export_keeps_the_order_of_the_run(exported, folder, tmp_path, digits, capsys):
    student = tmp_path / "student.keras"
    student.write_bytes((folder / "other order.keras").read_bytes())
    kept = {"student": "mlp-16", "classes": [str(digit) for digit in ORDER]}
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(kept))
    argv = ["export", str(student), str(tmp_path / "s.tflite")]
    assert main(argv) == 0
    assert exported.pop("class_names") == kept["classes"] and "labels" not in exported
    assert main([*argv, "--data", "digits"]) == 0
    assert exported["class_names"] == tuple(kept["classes"])
    np.testing.assert_array_equal(np.array(ORDER)[exported["labels"]], digits.y_test)
    assert capsys.readouterr().err == ""
    settings.write_text('{"classes": ')
    assert main(argv) == main([*argv, "--data", "digits"]) == 2
    assert capsys.readouterr().err.count("settings.json' is damaged") == 2
    settings.unlink()
    assert main([*argv, "--data", "digits"]) == 0
    assert "See --classes." in capsys.readouterr().err


def test_a_file_that_does_not_agree_is_a_failure(folder, monkeypatch, capsys):
    def export(*args, **kwargs):
        raise ExportError("It does not agree.")

    monkeypatch.setattr("keras_kd.cli._export.export", export)
    assert main(["export", str(folder / "teacher.keras"), "s.tflite"]) == 1
    assert capsys.readouterr().err == "keras-kd export: It does not agree.\n"


# The recipes.


def test_recipes_are_listed_with_papers_and_defaults(capsys):
    assert main(["recipes", "--json"]) == 0
    found = {recipe["name"]: recipe for recipe in json.loads(capsys.readouterr().out)}
    assert len(found) > 20 and not {"hint_layers", "born_again", "assistant"} & set(found)
    assert all(recipe["paper"] and recipe["does"].endswith(".") for recipe in found.values())
    assert found["hinton"] == {
        "name": "hinton",
        "does": "Knowledge distillation: soft targets beside the labels.",
        "paper": 'Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, '
        "arXiv:1503.02531, section 2.",
        "needs": [],
        "settings": {
            "temperature": 4.0, "alpha": 0.9, "labels_weight": None, "pred": "student:output",
            "target": "teacher:output",
        },
        "in_python_only": False,
    }  # fmt: skip
    assert found["attention_transfer"]["needs"] == ["pred", "target"]
    assert found["mutual"]["in_python_only"]
    assert main(["recipes"]) == 0
    said = capsys.readouterr().out
    assert "pred=..., target=..., weight=1000.0, labels_weight=1.0" in said
    assert max(map(len, said.splitlines())) <= 100
    assert main(["recipes", "dkd"]) == 0
    assert "2203.08679" in capsys.readouterr().out
    assert main(["recipes", "dkb"]) == 2
    assert "Did you mean 'dkd'?" in capsys.readouterr().err


# Images from a folder.


def picture(path, value, shape=(6, 6, 3)):
    tf = pytest.importorskip("tensorflow")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tf.io.encode_png(np.full(shape, value, "uint8")).numpy())


def test_images_of_a_folder(tmp_path):
    folder = tmp_path / "Bilder 写真"
    for number in range(10):
        picture(folder / "chat noir" / f"{number} é.png", 51)
        picture(folder / "dog" / f"{number}.png", 102, (9, 12, 3))
    data = images(str(folder), (4, 4, 3))
    assert data.info.class_names == ("chat noir", "dog")
    assert dict(data.info.counts) == {"train": 16, "test": 4}
    ids = [*data.ids_train, *data.ids_test]
    assert sorted(ids) == sorted(
        [f"chat noir/{n} é.png" for n in range(10)] + [f"dog/{n}.png" for n in range(10)]
    )
    for part in data.parts.values():
        assert part.x.shape[1:] == (4, 4, 3)
        names = [i.split("/")[0] for i in part.ids]
        assert [data.info.class_names[y] for y in part.y] == names
        expected = np.where(part.y == 0, 0.2, 0.4)[:, None, None, None]
        np.testing.assert_allclose(part.x, np.broadcast_to(expected, part.x.shape), atol=1e-6)
    scaled = images(str(folder), (4, 4, 1), scale=255.0)
    assert scaled.x_train.shape == (16, 4, 4, 1)
    assert sorted(set(scaled.x_train.ravel().round())) == [51, 102]


def test_images_that_are_not_read_are_counted(tmp_path, capsys):
    for number in range(4):
        picture(tmp_path / "a" / f"{number}.png", 10)
        picture(tmp_path / "b" / f"{number}.png", 10)
    images(str(tmp_path), (6, 6, 3))
    assert capsys.readouterr().err == ""
    for name in ("a/4.webp", "b/5.TIF", "b/6.webp", "b/notes.txt"):
        (tmp_path / name).write_bytes(b"")
    images(str(tmp_path), (6, 6, 3))
    assert capsys.readouterr().err == (
        f"keras-kd: 3 of the files of '{tmp_path}' are left out, for of images only PNG, JPEG, GIF "
        "and BMP are read, not .tif, .webp. Convert them to have them read.\n"
    )


def test_a_folder_with_parts_of_its_own(tmp_path):
    for part, count in (("train", 3), ("test", 2), ("val", 1)):
        for kind in ("a", "b"):
            for number in range(count):
                picture(tmp_path / part / kind / f"{number}.png", 10)
    data = images(str(tmp_path), (6, 6, 3))
    assert dict(data.info.counts) == {"train": 6, "test": 4, "validation": 2}


def test_folders_that_will_not_do(tmp_path):
    with pytest.raises(ValueError, match="There is no folder"):
        images(str(tmp_path / "no"), (4, 4, 3))
    with pytest.raises(ValueError, match="could not be read"):
        images(str(tmp_path), (4, 4, 3))


def test_damaged_images_are_named(tmp_path):
    for kind in ("a", "b"):
        for number in range(4):
            picture(tmp_path / kind / f"{number}.png", 10)
    whole = (tmp_path / "a" / "1.png").read_bytes()
    (tmp_path / "a" / "2.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError) as error:
        images(str(tmp_path), (4, 4, 3))
    assert str(error.value) == (
        f"A file of '{tmp_path}' cannot be read as an image (PNG, JPEG, GIF or BMP): "
        f"'{tmp_path}/a/2.png'. Remove such files, or put whole ones in their place."
    )
    (tmp_path / "b" / "3.png").write_bytes(b"")
    (tmp_path / "b" / "4.jpg").write_text("not an image")
    with pytest.raises(ValueError) as error:
        images(str(tmp_path), (4, 4, 3))
    assert f"3 files of '{tmp_path}' cannot be read" in str(error.value)
    assert all(
        f"'{tmp_path}/{name}'" in str(error.value) for name in ("a/2.png", "b/3.png", "b/4.jpg")
    )


def test_a_name_that_is_neither_set_nor_folder(tmp_path, monkeypatch):
    pytest.importorskip("tensorflow_datasets")
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError) as error:
        images("nophotos", (4, 4, 3))
    assert str(error.value).startswith("No data set 'nophotos'. Expected 'digits' or one of the ")
    assert str(error.value).endswith(
        f" If a folder is meant: there is none of the name 'nophotos' in '{tmp_path}'. Did you "
        "mean 'photos'?"
    )
    assert str(error.value).count("Did you mean") == 1  # and no data set: none is at all alike


def test_labels_number_the_classes_as_the_models_do(tmp_path):
    for kind in ("cat", "dog", "hen"):
        for number in range(5):
            picture(tmp_path / kind / f"{number}.png", 10)
    data = images(str(tmp_path), (6, 6, 3), classes=["hen", "emu", "cat", "dog"])
    assert (data.info.classes, data.info.class_names) == (4, ("hen", "emu", "cat", "dog"))
    for part in data.parts.values():
        assert [data.info.class_names[y] for y in part.y] == [i.split("/")[0] for i in part.ids]
        assert part.y.dtype == "int32"
    with pytest.raises(ValueError) as error:
        images(str(tmp_path), (6, 6, 3), classes=["hen", "cat", "dgo"])
    assert "leaves out 'dog'. It names 'hen', 'cat', 'dgo'; the images are of" in str(error.value)
    assert "Did you mean 'dgo'?" in str(error.value)
    with pytest.raises(ValueError, match="is not known"):
        images(str(tmp_path), (None, None, 3))


def test_a_name_with_no_folder_is_a_set(monkeypatch):
    asked = []
    monkeypatch.setattr("keras_kd.cli._images.load", lambda name: asked.append(name))
    assert images("cifar10", (32, 32, 3)) is None
    assert asked == ["cifar10"]
    assert pathlib.Path("cifar10").is_dir() is False
