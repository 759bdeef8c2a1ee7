"""The page that runs a student: in a real browser, without network, against the student."""

import hashlib
import http.client
import json
import re
import shutil
import tarfile
import urllib.error
import urllib.request
from unittest import mock

import keras
import numpy as np
import pytest

from keras_kd import exporting
from keras_kd.exporting import _web_runtime
from keras_kd.exporting._web_runtime import web_runtime
from tests.exporting.browser import Browser
from tests.exporting.conftest import converts, once

layers = keras.layers
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def runtime():
    """In the cache from now on."""
    try:
        return web_runtime()
    except RuntimeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with Browser(CHROMIUM) as found:
        yield found


def answers(browser, given):
    """What the page's own student gives for a list of inputs by name."""
    call = (
        f"Promise.resolve(window.student).then(s => {json.dumps(given)}.map(x => s.run(x).outputs))"
    )
    return browser.run(call)


def flat(x):
    return [float(v) for v in np.ravel(x)]


@once
def test_an_int8_student_of_images_in_a_browser(browser, runtime, student, digits, tmp_path):
    names = [f"digit {n}" for n in range(10)]
    x = digits.x_test[:100]
    proof = exporting.export(
        student, tmp_path / "s.tflite", quantization="int8", calibration=digits.x_train,
        integer_io=True, softmax=True, examples=digits.x_test, class_names=names,
        preprocessing="float images in [0, 1]", card={"description": "Digits </script> of 8 × 8."},
    )  # fmt: skip
    path = exporting.page(proof.path)
    assert path == tmp_path / "s.html" and path.stat().st_size < 2_500_000
    browser.open(path)
    found = np.array([row["output"] for row in answers(browser, [{"image": flat(i)} for i in x])])
    wanted = student.predict(x, verbose=0)
    assert (found.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= 0.97
    powers = np.exp(wanted - wanted.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), atol=0.1)
    assert browser.run("document.getElementById('about').textContent") == (
        "Digits </script> of 8 × 8."
    )
    # Pixels become what the student was trained on.
    pixels = browser.run("numbersOf([0,0,0,255, 51,51,51,255, 255,255,255,255], 1, false)")
    np.testing.assert_allclose(pixels, [0, 0.2, 1], atol=1e-6)

    # A line, drawn by hand from top to bottom: the student's own answer to what the page saw.
    x0, y0, size = browser.run(
        "(b => [b.left, b.top, b.width])(document.getElementById('pad').getBoundingClientRect())"
    )
    before = browser.run("document.getElementById('best').textContent")
    browser.mouse("mousePressed", x0 + 0.5 * size, y0 + 0.1 * size)
    for step in range(10, 91, 5):
        browser.mouse("mouseMoved", x0 + 0.5 * size, y0 + step / 100 * size)
    browser.mouse("mouseReleased", x0 + 0.5 * size, y0 + 0.9 * size)
    best, time, bars = browser.run(
        "['best', 'time'].map(i => document.getElementById(i).textContent)"
        ".concat(document.getElementById('bars').children.length)"
    )
    seen = browser.run(
        "Array.from(document.getElementById('seen').getContext('2d').getImageData(0, 0, 8, 8).data)"
    )
    drawn = np.array(seen, "float32").reshape(1, 8, 8, 4)[..., :1] / 255
    assert drawn[0, 1:7, 3:6].max() > 0.9 and drawn[0, :, 0].max() < 0.1
    wanted = names[int(student.predict(drawn, verbose=0).argmax())]
    assert best == wanted != before
    assert re.fullmatch(r"(less than )?[\d.]+ ms on this device", time) and bars == 5
    shown = browser.run("Array.from(document.querySelectorAll('#bars li'), e => e.textContent)[0]")
    assert shown.startswith(wanted)


@once
def test_a_student_of_numbers_and_what_it_says_of_wrong_ones(browser, runtime, tmp_path):
    keras.utils.set_random_seed(0)
    student = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(100, 4)).astype("float32")
    proof = exporting.export(student, tmp_path / "t.tflite", examples=x)
    browser.open(exporting.page(proof.path, title="A <table>"))
    found = [row["dense_1" if "dense_1" in row else next(iter(row))][0]
             for row in answers(browser, [{"features": flat(row)} for row in x])]  # fmt: skip
    np.testing.assert_allclose(found, student.predict(x, verbose=0)[:, 0], atol=1e-4)
    assert browser.run("document.querySelector('h1').textContent") == "A <table>"
    assert browser.run("document.querySelectorAll('input[type=number]').length") == 4
    browser.run(
        "(f => { f.value = 9; f.dispatchEvent(new Event('input')) })(document.querySelector('input'))"
    )
    typed = browser.run("Array.from(document.querySelectorAll('input'), f => Number(f.value))")
    (wanted,) = student.predict(np.array([typed], "float32"), verbose=0)[0]
    assert float(browser.run("document.getElementById('best').textContent")) == pytest.approx(
        float(wanted), rel=1e-3
    )
    with pytest.raises(AssertionError, match=r"is 4 numbers\. Given: 3"):
        answers(browser, [{"features": [1, 2, 3]}])


@once
@pytest.mark.parametrize("quantization", ["float16", "int16x8"])
def test_other_quantizations(browser, runtime, quantization, student, digits, tmp_path):
    more = {"calibration": digits.x_train} if quantization == "int16x8" else {}
    proof = exporting.export(
        student, tmp_path / "s.tflite", quantization=quantization, examples=digits.x_test, **more
    )
    browser.open(exporting.page(proof.path))
    x = digits.x_test[:100]
    found = np.array([row["output"] for row in answers(browser, [{"image": flat(i)} for i in x])])
    assert (found.argmax(axis=1) == student.predict(x, verbose=0).argmax(axis=1)).mean() >= 0.97


# Without a browser.


@converts
def test_files_that_no_page_is_made_of(exported, tmp_path):
    path = tmp_path / "s.tflite"
    with pytest.raises(ValueError, match=r"There is no file"):
        exporting.page(path)
    (tmp_path / "s.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"A page runs a LiteRT file"):
        exporting.page(tmp_path / "s.onnx")
    path.write_bytes(exported.path.read_bytes())
    with pytest.raises(ValueError, match=r"There is no proof '.*s\.tflite\.json', which says what"):
        exporting.page(path)
    proof = json.loads((exported.path.parent / "student.tflite.json").read_text())
    (tmp_path / "s.tflite.json").write_text(json.dumps({**proof, "quantization": "int4"}))
    with pytest.raises(ValueError, match=r"does not run quantization='int4'\. Export"):
        exporting.page(path)
    path.write_bytes(bytes(16_000_001))
    with pytest.raises(ValueError, match=r"at most 16,000,000 bytes\. '.*' has 16,000,001"):
        exporting.page(path)


@pytest.fixture
def known(monkeypatch):
    """A runtime of two small files."""
    files = {name: name.encode() for name in _web_runtime._DIGESTS}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(_web_runtime, "_DIGESTS", digests)
    return files


def archive(files, path):
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            (path.parent / name).write_bytes(content)
            made.add(path.parent / name, f"package/wasm/{name}")
            (path.parent / name).unlink()
    return path


def test_a_runtime_from_a_folder_an_archive_and_the_cache(known, tmp_path, monkeypatch):
    script, wasm = known.values()
    folder = tmp_path / "node_modules" / "wasm"
    folder.mkdir(parents=True)
    for name, content in known.items():
        (folder / name).write_bytes(content)
    assert web_runtime(tmp_path / "node_modules") == (script, wasm)
    packed = archive(known, tmp_path / "r.tgz")
    assert web_runtime(packed) == (script, wasm)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: packed.open("rb"))
    assert web_runtime() == (script, wasm)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: pytest.fail("fetched again"))
    assert web_runtime() == (script, wasm)


def test_a_runtime_that_is_not_there_or_another(known, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", fails)
    with pytest.raises(
        RuntimeError, match=r"could not be fetched from https://registry.* \(<urlop"
    ):
        web_runtime()
    cut_short = mock.MagicMock()
    cut_short.__enter__.return_value.read.side_effect = http.client.IncompleteRead(b"half")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *args, **kwargs: cut_short)
    with pytest.raises(RuntimeError, match="could not be fetched"):
        web_runtime()
    assert list(tmp_path.iterdir()) == []  # nothing is kept of it
    with pytest.raises(ValueError, match=r"must be a folder or a \.tgz file"):
        web_runtime(tmp_path / "none")
    with pytest.raises(ValueError, match=r"lacks the file tflite_web_api_cc_simd\.js"):
        web_runtime(tmp_path)
    (tmp_path / "broken.tgz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"must be the \.tgz file of @tensorflow/tfjs-tflite"):
        web_runtime(tmp_path / "broken.tgz")
    known["tflite_web_api_cc_simd.wasm"] += b"!"
    with pytest.raises(ValueError, match=r"is not that of @tensorflow/tfjs-tflite 0.* its sha256"):
        web_runtime(archive(known, tmp_path / "r.tgz"))
