import importlib
import sys

import numpy as np
import pytest

from keras_kd.report import Example, draw_pairs

SAID = {
    "title": "digits: one student",
    "names": ("alone", "distilled"),
    "before": [13.0, 17.0, 11.0],
    "after": [7.0, 6.5, 7.5],
    "reference": ("teacher", 3.75),
}


def examples(count, shape=(8, 8, 1)):
    return [Example(np.full(shape, 0.5), str(i), str(i + 1)) for i in range(count)]


@pytest.fixture
def words(monkeypatch, tmp_path):
    """Draws, and returns every text of the picture."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    def drawn(**kwargs):
        found = []
        save = Figure.savefig

        def saving(figure, path, **options):
            found.extend(t.get_text() for t in figure.findobj(Text) if t.get_visible())
            save(figure, path, **options)

        monkeypatch.setattr(Figure, "savefig", saving)
        draw_pairs(tmp_path / "demo.png", **{**SAID, **kwargs})
        assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
        return found

    return drawn


def test_the_picture_says_what_it_shows(words):
    said = words(examples=examples(11))
    assert SAID["title"] in said
    assert "errors on the test set (%)" in said
    assert {"mean\n13.7 %", "mean\n7.0 %", "teacher 3.8 %"} <= set(said)
    assert "8 of the 11 test images that 'alone' gets wrong and 'distilled' right" in said
    assert {"alone: 0", "distilled: 1", "alone: 7", "distilled: 8"} <= set(said)
    assert "alone: 8" not in said


@pytest.mark.parametrize("count, shape", [(0, (8, 8, 1)), (1, (28, 28, 1)), (3, (32, 32, 3))])
def test_pictures_of_few_examples_and_of_colour(words, count, shape):
    said = words(examples=examples(count, shape))
    assert sum(text.startswith("alone: ") for text in said) == count


@pytest.mark.parametrize("value, side", [(0.2, 1), (3.75, -1)])
def test_the_words_lie_off_the_axis(monkeypatch, tmp_path, value, side):
    """Below the teacher's line where there is room, else above it."""
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation

    offsets = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **options: offsets.extend(
        text.xyann[1] for text in figure.findobj(Annotation) if "teacher" in text.get_text()
    ))  # fmt: skip
    monkeypatch.setattr("os.replace", lambda *paths: None)
    draw_pairs(tmp_path / "demo.png", **{**SAID, "reference": ("teacher", value)})
    assert len(offsets) == 1 and side * offsets[0] > 0


def test_without_matplotlib(monkeypatch, tmp_path):
    """The package is there without it, and says what to install when it is to draw."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    importlib.import_module("keras_kd.report")
    with pytest.raises(ModuleNotFoundError) as error:
        draw_pairs(tmp_path / "demo.png", **SAID)
    assert str(error.value) == (
        "keras_kd.report draws with matplotlib, which is not installed. "
        'Run: pip install "keras-kd[report]".'
    )
    assert list(tmp_path.iterdir()) == []
