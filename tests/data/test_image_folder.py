"""A folder of images as a data set. (tests/cli/test_commands.py reads folders by the same code.)"""

import keras
import numpy as np
import pytest

from keras_kd import data as d

pytest.importorskip("tensorflow")


@pytest.fixture
def folder(tmp_path):
    for kind, value in (("cat", 51), ("dog", 102), ("hen", 204)):
        (tmp_path / kind).mkdir()
        for number in range(5):
            pixels = np.full((6, 9, 3), value)
            keras.utils.save_img(tmp_path / kind / f"{number}.png", pixels, scale=False)
    return tmp_path


def test_images_labels_and_ids_go_together(folder):
    data = d.load_folder(folder, image_size=(4, 5), validation=3)
    assert dict(data.info.counts) == {"train": 9, "test": 3, "validation": 3}
    assert (data.info.classes, data.info.class_names) == (3, ("cat", "dog", "hen"))
    assert data.info.shape == (4, 5, 3)
    for part in data.parts.values():
        kinds = [i.split("/")[0] for i in part.ids]
        assert [data.info.class_names[y] for y in part.y] == kinds
        expected = np.array([0.2, 0.4, 0.8])[part.y][:, None, None, None]
        np.testing.assert_allclose(part.x, np.broadcast_to(expected, part.x.shape), atol=1e-6)
        assert (part.x.dtype, part.y.dtype) == ("float32", "int32")
    again = d.load_folder(str(folder), image_size=(4, 5), validation=3)
    assert list(again.ids_test) == list(data.ids_test)


def test_colors_and_parts_are_as_asked(folder):
    data = d.load_folder(folder, image_size=(4, 4), color_mode="grayscale", test=None)
    assert dict(data.info.counts) == {"train": 15} and data.x_train.shape == (15, 4, 4, 1)


def test_classes_are_numbered_as_named(folder):
    names = ["hen", "emu", "cat", "dog"]
    data = d.load_folder(folder, image_size=(4, 4), class_names=names)
    assert data.info.classes == 4
    assert [names[y] for y in data.y_train] == [i.split("/")[0] for i in data.ids_train]
    again = data.with_class_names(["dog", "cat", "emu", "hen"])
    assert (again.y_train[data.y_train == 3] == 0).all()


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"image_size": 32}, r"the height and the width in pixels, .* image_size=32"),
        ({"image_size": (4, 0)}, "`image_size` must be a whole number of at least 1"),
        ({"color_mode": "bgr"}, r"must be one of .*'rgb'.* Received: 'bgr'"),
        ({"class_names": ["cat", "hen"]}, "It leaves out 'dog'"),
        ({"class_names": ["cat", "hen", "dog", "cat"]}, "It names one twice"),
        ({"test": 15}, "`test` must be a fraction"),
    ],
)
def test_what_will_not_do_is_said(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        d.load_folder(folder, **{"image_size": (4, 4), **settings})


def test_kinds_that_are_not_read_are_counted(folder):
    (folder / "cat" / "9.webp").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"1 of the files of .* are left out, .* not \.webp"):
        d.load_folder(folder, image_size=(4, 4))


def test_damaged_files_are_named(folder):
    (folder / "dog" / "3.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"A file of .* cannot be read .*dog/3\.png"):
        d.load_folder(folder, image_size=(4, 4))


def test_images_without_labels_are_found_at_any_depth(tmp_path):
    for number, place in enumerate(("", "a", "b/c")):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        x = np.full((6, 6, 3), 40 * number, "uint8")
        keras.utils.save_img(tmp_path / place / f"{number}.png", x, scale=False)
    (tmp_path / "notes.webp").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"1 of the files .* not \.webp"):
        part = d.load_images(tmp_path, image_size=(4, 5))
    assert part.y is None and part.ids.tolist() == ["0.png", "a/1.png", "b/c/2.png"]
    expected = np.array([0, 40, 80], "float32")[:, None, None, None] / 255.0
    np.testing.assert_allclose(part.x, np.broadcast_to(expected, (3, 4, 5, 3)), atol=1e-6)
    (tmp_path / "a" / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"A file of .* cannot be read as an image .*broken\.png"):
        d.load_images(tmp_path, image_size=(4, 5))
