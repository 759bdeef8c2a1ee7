"""The report as a page and as pictures."""

import itertools
import os
import random
import re
import signal
import sys
import time

import keras
import numpy as np
import pytest

from keras_kd.report import compare
from tests.models import set_weights

N = 60


def network(seed, units, name):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((5, 5, 1)),
            layers.Flatten(),
            layers.Dense(units, activation="relu", name="hidden"),
            layers.Dense(3, name="logits"),
        ],
        name=name,
    )
    return set_weights(model, seed)


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    teacher = network(1, 12, "t")
    x = rng.normal(size=(N, 5, 5, 1)).astype("float32")
    y = teacher.predict(x, verbose=0).argmax(1)
    curves = {"loss": [1.0, 0.5], "val_loss": [1.1, 0.7], "accuracy": [0.5, 0.7]}
    return compare(
        {"teacher": teacher, "<alone>": network(2, 4, "a"), "distilled": network(3, 4, "s")},
        (x, y),
        class_names=["cat", "<dog>", "cow"],
        histories={"distilled": curves, "<alone>": curves},
        importance="distilled:hidden",
        similarity=("distilled", "teacher"),
        examples=32,
        batch_size=32,
    )


def test_the_page_stands_alone(report, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "a räport.html"
    report.save(path)
    page = path.read_text(encoding="utf-8")
    assert '<meta name="viewport" content="width=device-width' in page
    assert not re.search(r'(src|href)="(?!data:image/png;base64,)', page)
    assert "http" not in page and "<script" not in page and "url(" not in page
    assert "&lt;alone&gt;" in page and "<alone>" not in page and "<dog>" not in page
    shown = len(report.pictures)
    assert page.count("<figcaption>") == shown > 4
    assert page.count("<img") == shown + 5
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_is_html(report, tmp_path):
    with pytest.raises(ValueError, match=r"must end in .html. Received: .*report.pdf"):
        report.save(tmp_path / "report.pdf")


def test_a_page_that_fails_leaves_the_former_one(report, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("former")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        report.save(path)
    assert path.read_text() == "former" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_former_page(report, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    path = tmp_path / "report.html"
    path.write_text("former")
    write = type(path).write_text

    def half(self, text, **options):
        write(self, text[:100], **options)
        raise OSError("No space left on device")

    monkeypatch.setattr(type(path), "write_text", half)
    with pytest.raises(OSError, match="No space"):
        report.save(path)
    assert path.read_text() == "former" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:os.fork")  # the child writes files, and no more
def test_killed_at_any_moment_it_leaves_a_whole_page(report, tmp_path, monkeypatch):
    """At moments drawn with a seed a process is killed that saves without end.

    20 times, and as often as it takes for some to have hit it while it wrote.
    """
    path, rng = tmp_path / "report.html", random.Random(0)
    # The writing is what is to be hit: the pages are there already, and large.
    pages = [mark * 3_000_000 + "</html>" for mark in "ab"]
    drawn = itertools.cycle(pages)
    monkeypatch.setattr("keras_kd.report._html.page", lambda report: next(drawn))
    report.save(path)
    found, torn, kills = set(), 0, 0
    while kills < 20 or (kills < 200 and not (torn and len(found) == 2)):
        kills += 1
        process = os.fork()
        if not process:
            while True:
                report.save(path)
        time.sleep(0.01 + 0.03 * rng.random())
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        text = path.read_text(encoding="utf-8")
        assert text in pages
        found.add(text[0])
        left = [one for one in tmp_path.iterdir() if one != path]
        assert all(re.fullmatch(r"\.[0-9a-f]{8}-report\.html", one.name) for one in left)
        torn += any(one.stat().st_size < len(pages[0]) for one in left)
        for one in left:
            one.unlink()
    assert found == {"a", "b"} and torn  # it was hit while it wrote
    report.save(path)
    assert list(tmp_path.iterdir()) == [path]


def test_print_is_plain_text_in_a_notebook_too(report, monkeypatch):
    plain = str(report)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(report) == plain and report.verdict.split()[0] in plain


def test_in_a_notebook(report, monkeypatch):
    assert report.verdict.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;") in (
        report._repr_html_()
    )
    monkeypatch.setattr("keras_kd.report._plots.available", lambda: False)
    bare = report._repr_html_()
    assert "<img" not in bare and "keras-kd[report]" in bare and "example " in bare


def test_every_axis_is_labelled(report):
    pytest.importorskip("matplotlib")
    figures = report.figures()
    assert set(figures) == {
        "accuracy against costs", "reliability", "training", "importance", "similarity",
    }  # fmt: skip
    for name, figure in figures.items():
        shared = bool(figure.get_supxlabel() and figure.get_supylabel())
        for axes in figure.axes:
            if axes.get_visible() and axes.get_label() != "<colorbar>":
                labelled = axes.get_xlabel() and axes.get_ylabel()
                assert shared or labelled, name
    times = figures["accuracy against costs"].axes[1]
    assert "(ms" in times.get_xlabel() and "(%)" in times.get_ylabel()


def test_the_pictures_show_the_numbers(report):
    pytest.importorskip("matplotlib")
    figures = report.figures()
    heights = [bar.get_height() for bar in figures["importance"].axes[0].patches]
    assert heights == pytest.approx(sorted(100 * report.importance.drops, reverse=True))
    heat = figures["similarity"].axes[0].images[0].get_array()
    assert np.asarray(heat) == pytest.approx(report.similarity.values)
    assert report.importance.model == "distilled"
    assert report.similarity.names == ("distilled", "teacher")


def test_reliability_says_whose_bars_it_draws():
    """The bars are those of the first run, and so is the error in the title."""
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 5, 5, 1)).astype("float32")
    several = [network(seed, 4, f"s{seed}") for seed in (2, 3)]
    models = {"teacher": network(1, 12, "t"), "alone": several[0], "taught": several}
    report = compare(models, (x, rng.integers(0, 3, N)), batch_size=32, latency=False)
    axes = report.figures()["reliability"].axes
    titles = [a.get_title() for a in axes if a.get_visible()]
    error = f"calibration error {100 * report.models['taught'].scores['ece'][0]:.1f} %"
    assert titles[2] == f"taught, first run\n{error}"
    assert titles[1].startswith("alone\n")
    labelled = [
        any(text.get_visible() for text in a.get_xticklabels()) for a in axes if a.get_visible()
    ]
    assert labelled == [False, True, True]  # two columns: nothing is below the second and the third


def test_pictures_are_in_0_to_1(report):
    assert report.changed is not None
    for i, picture in report.pictures.items():
        assert picture.shape == (5, 5, 1) and 0 <= picture.min() <= picture.max() <= 1
        assert i in report.changed.lost or i in report.changed.won


def test_costs_are_told(report):
    costs = report.models["distilled"].costs
    assert costs.parameters == 25 * 4 + 4 + 4 * 3 + 3 and costs.flops == 2 * (25 * 4 + 4 * 3)
    assert costs.latency.low <= costs.latency.median <= costs.latency.high
    assert costs.throughput.median > 0 and costs.file_bytes > 4 * costs.parameters
    assert "one example (ms)" in str(report) and "per second, 32 at once" in str(report)
