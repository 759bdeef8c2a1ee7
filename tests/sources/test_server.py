"""A model behind a server: the answers are the model's, whatever happens on the way."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd._core.largest import Largest
from keras_kd.sources import _http
from keras_kd.sources._address import Address
from tests.sources import server as model
from tests.sources.writer import write

ROOT = pathlib.Path(__file__).parents[2]
SERVING = "/v1/models/small:predict"
KEY = "sk-hush/hush+0123456789"
PAGE = "http://models.example/v1"


class Running:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"

    def counts(self):
        """Since the last time."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=10) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def running():
    process = subprocess.Popen(
        [sys.executable, model.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    yield Running(int(process.stdout.readline()))
    process.stdin.close()
    assert process.wait(10) == 0


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(10, model.FEATURES)).astype("float32")


def teacher(running, path, **kwargs):
    kwargs = {"retries": 0, "backoff": 0.01, "timeout": 10, **kwargs}
    return kd.sources.ServerTeacher(running.url + path, **kwargs)


def says(text, error=ValueError):
    return pytest.raises(error, match=re.escape(text))


# --- plain JSON -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "form"), [(SERVING, None), ("/inputs", "inputs")])
def test_the_answers_are_the_models_in_order(running, x, path, form):
    with teacher(running, path, form=form, batch_size=3) as remote:
        np.testing.assert_allclose(remote(x), model.predictions(x), rtol=1e-6)
        assert remote(x).dtype == "float32"


@pytest.mark.parametrize(("path", "form"), [(SERVING, "instances"), ("/inputs", "inputs")])
def test_several_inputs_and_outputs_go_by_their_names(running, x, path, form):
    with teacher(running, path, form=form, batch_size=4) as remote:
        found = remote.signals({"a": x, "b": x[::-1]}, ("output", "twice"))
    assert found["twice"].dtype == "float32"
    expected = model.predictions(x) - model.predictions(x[::-1])
    np.testing.assert_allclose(found["output"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["twice"], 2 * expected, rtol=1e-6)
    with teacher(running, path, form=form, output="twice") as remote:
        np.testing.assert_allclose(remote({"a": x, "b": x[::-1]}), 2 * expected, rtol=1e-6)


def test_a_student_learns_from_a_store_of_its_answers(running, x, tmp_path):
    part = kd.data.Part(x, None, np.arange(10))
    with teacher(running, SERVING) as remote:
        manifest = kd.stores.write(remote, part, tmp_path / "store", dtype="float32")
        batches = kd.stores.read(tmp_path / "store", part, teacher=remote)
    assert manifest.examples == 10
    (batch,) = batches[0]
    np.testing.assert_allclose(batch["signals"]["teacher:output"], model.predictions(x), rtol=1e-6)


# --- language models ------------------------------------------------------------------------------

TEXTS = np.array([f"text {i}" for i in range(10)])
YES_NO = [("yes", "Yes"), ("no", "No"), "maybe"]
PLACES = [[0, 7], [1, 3], [5]]


def classes_of(text, k):
    """The log-probabilities of `YES_NO`, of those among the k likeliest tokens."""
    values = model.log_probabilities(text)
    told = set(np.argsort(-values)[:k])
    sums = [sum(np.exp(values[p]) for p in places if p in told) for places in PLACES]
    return np.log(np.maximum(sums, 1e-12))


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
@pytest.mark.parametrize("k", [3, 5, 8])
def test_words_stand_for_classes(running, path, k):
    with teacher(
        running, path, classes=YES_NO, prompt="{} Answer:", top_k=k, model="large", batch_size=4
    ) as remote:
        found = remote.signals(TEXTS)["output"]
    assert isinstance(found, Largest) and remote.num_classes == 3
    expected = [classes_of(f"{text} Answer:", k) for text in TEXTS]
    np.testing.assert_allclose(found.values, expected, rtol=1e-5)
    np.testing.assert_array_equal(found.classes, np.tile([0, 1, 2], (10, 1)))
    np.testing.assert_array_equal(found.log_sum_exp, np.zeros(10))
    missing = np.isclose(found.values, np.log(1e-12))
    assert missing.any() == (k < 8)


def test_the_loss_of_missing_classes_is_the_closed_form(running):
    """`Σ p · log(p / q)` over the classes that were told, and the gradient `q · Σp - p`."""
    with teacher(running, "/v1/completions", classes=YES_NO, top_k=3) as remote:
        target = remote.signals(TEXTS)["output"]
    p = np.exp([classes_of(text, 3) for text in TEXTS])
    p[p < 1e-11] = 0.0
    assert (p == 0).any(axis=1).sum() > 3
    logits = np.random.default_rng(5).normal(size=(10, 3))
    q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / q), 0.0).sum(1)
    loss = kd.losses.SparseSoftTarget(reduction=None)
    got = keras.ops.convert_to_numpy(loss(tuple(target), logits.astype("float32")))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    step = 1e-2
    for place in range(3):
        up, down = (
            keras.ops.convert_to_numpy(
                loss(tuple(target), (logits + sign * step * np.eye(3)[place]).astype("float32"))
            )
            for sign in (1, -1)
        )
        slope = q[:, place] * p.sum(1) - p[:, place]
        np.testing.assert_allclose((up - down) / (2 * step), slope, atol=2e-4)


def test_token_ids_are_classes(running):
    with teacher(running, "/v1/completions", top_k=3) as remote:
        found = remote.signals(TEXTS)["output"]
    values = np.stack([model.log_probabilities(text) for text in TEXTS])
    order = np.argsort(-values, axis=1)[:, :3]
    np.testing.assert_array_equal(found.classes, order)
    np.testing.assert_allclose(found.values, np.take_along_axis(values, order, 1), rtol=1e-6)
    with teacher(running, "/v1/completions", classes=[7, (1, 3)], top_k=8) as remote:
        some = remote.signals(TEXTS)["output"]
    expected = np.stack([values[:, 7], np.logaddexp(values[:, 1], values[:, 3])], axis=1)
    np.testing.assert_allclose(some.values, expected, rtol=1e-5)


def test_of_a_prompt_each_position_is_told(running):
    ids = np.random.default_rng(2).integers(0, 8, size=(5, 6))
    with teacher(
        running, "/v1/completions", form="prompt_logprobs", top_k=4, batch_size=2
    ) as remote:
        found = remote.signals(ids)["output"]
    assert found.values.shape == found.classes.shape == (5, 6, 4)
    assert found.log_sum_exp.shape == (5, 6)
    for row in range(5):
        for place in range(6):
            values = model.after(ids[row, : place + 1].tolist())
            order = np.argsort(-values)[:4]
            np.testing.assert_array_equal(found.classes[row, place], order)
            np.testing.assert_allclose(found.values[row, place], values[order], rtol=1e-6)


def test_a_prompt_is_made_by_a_template_of_names_or_a_function(running):
    x = {"a": TEXTS, "b": np.array([b"bytes"] * 10)}
    made = [f"text {i}|bytes" for i in range(10)]
    expected = [classes_of(text, 8) for text in made]
    for prompt in ("{a}|{b}", lambda example: f"{example['a']}|{example['b']}"):
        with teacher(running, "/v1/completions", classes=YES_NO, prompt=prompt, top_k=8) as remote:
            np.testing.assert_allclose(remote.signals(x)["output"].values, expected, rtol=1e-5)


@pytest.mark.parametrize("classes", [YES_NO, None])
def test_likeliest_tokens_are_stored_and_read(running, tmp_path, classes):
    part = kd.data.Part(TEXTS, None, np.arange(10))
    with teacher(running, "/v1/completions", classes=classes, top_k=4) as remote:
        kd.stores.write(remote, part, tmp_path, dtype="float32")
        expected = remote.signals(TEXTS)["output"]
        assert kd.stores.verify(tmp_path, part, remote).examples == 10
        kd.stores.write(remote, part, tmp_path, dtype="float32")  # the same teacher
    found = kd.stores.read(tmp_path, part)[0][0]["signals"]["teacher:output"]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


# --- what a server does wrong ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "text"),
    [
        ("html", "responds with HTML and not with JSON: <!DOCTYPE html>"),
        ("text", "responds with a text and not with JSON: ready"),
        ("other", "responds without 'predictions': {'outputs': [[1.0]]}. Such responses are read with form='inputs'."),
        ("error", "responds without 'predictions': {'error': 'out of memory'}."),
        ("few", "was sent 3 examples and responds with 1 of them"),
        ("number", "was sent 3 examples and responds with 3: a list with one entry"),
        ("words", "must be numbers"),
        ("ragged", "is no array"),
        ("mixed", "gives some examples other outputs than the first, which has 'a'"),
        ("several", "has several outputs: 'a', 'b'. Choose the output: output='a'"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none(running, x, way, text):
    with says(text), teacher(running, f"/ways/{way}") as remote:
        remote(x[:3])


@pytest.mark.parametrize(
    ("way", "text"),
    [
        ("400", 'refuses the request, 400: {"error": "Shape mismatch"}. See whether inputs'),
        ("401", "It wants a key: api_key_env='NAME'"),
        ("404", "There is nothing at this path, or no model of this name"),
        ("413", "give a smaller `batch_size`"),
        ("301", "It has moved to https://elsewhere.example/v1: give that as `url`"),
        ("503", "failed 3 times for one request, the last time with 503:"),
        ("429-long", "wants no further request for 3600 seconds"),
    ],
)
def test_a_server_that_refuses(running, x, way, text):
    running.counts()
    with says(text, RuntimeError), teacher(running, f"/ways/{way}", retries=2) as remote:
        remote(x[:3])
    assert running.counts()[f"/ways/{way}"] == (3 if way == "503" else 1)


@pytest.mark.parametrize(
    ("way", "text", "arguments"),
    [
        ("html", "with HTML", {}),
        ("error", "responds without 'choices': {'error': 'out of memory'}", {}),
        ("silent", "gives no log-probabilities of the first token", {}),
        ("choices", "gives no log-probabilities of the first token", {}),
        ("choices", "responds without 'prompt_logprobs'", {"form": "prompt_logprobs"}),
        ("logits", "sum to a probability of 16.6642: expected at most 1", {}),
        ("logits", "as a text, and not as an id", {"classes": None, "top_k": 2}),
        ("logits", "gives no class for any example of the first batch, but the tokens 'yes', 'no'",
         {"classes": ["a", "b"]}),
        ("short", "gives 1 of the 20 likeliest tokens that `top_k` wants. Give top_k=1.", {"classes": None}),
    ],
)  # fmt: skip
def test_a_language_model_that_tells_otherwise(running, way, text, arguments):
    given = {"form": "completions", "classes": YES_NO, **arguments}
    x = np.array([[1, 2]]) if given["form"] == "prompt_logprobs" else TEXTS[:1]
    with says(text), teacher(running, f"/ways/{way}", **given) as remote:
        remote.signals(x)


def test_a_server_that_is_not_there(x):
    with says("cannot be reached: ConnectionRefusedError", RuntimeError):
        kd.sources.ServerTeacher("http://127.0.0.1:9/v1", retries=3)(x)
    with says("cannot be reached: gaierror", RuntimeError):
        kd.sources.ServerTeacher("http://models.invalid/v1", retries=3)(x)


def test_inputs_that_json_cannot_hold(running, x):
    x[2, 1] = np.nan
    with says("The inputs hold NaN or infinite values"), teacher(running, SERVING) as remote:
        remote(x)
    with says("takes an array, or a dict of arrays"), teacher(running, SERVING) as remote:
        remote.run([x, x], ("output",))


def test_what_fails_leaves_the_finished_part_of_a_store(running, x, tmp_path):
    part = kd.data.Part(x, None, np.arange(10))

    def written(folder):
        """With an error from the seventh example on, the first time."""
        with teacher(running, SERVING, name="small", batch_size=1) as remote:
            if not (tmp_path / "store").exists():
                read = remote._form.read
                remote._form.read = lambda answer, count: read(
                    {} if np.isclose(answer["predictions"], late).all() else answer, count
                )
            return kd.stores.write(remote, part, folder, batch_size=2, shard_size=2)

    late = model.predictions(x[6:7])
    with says(
        "failed for the examples '6' to '7': ValueError: The server 127.0.0.1", kd.stores.StoreError
    ):
        written(tmp_path / "store")
    assert len(list((tmp_path / "store").glob("shard-*"))) >= 3
    assert written(tmp_path / "store").examples == 10
    assert written(tmp_path / "whole").examples == 10
    assert files(tmp_path / "store") == files(tmp_path / "whole")


# --- requests -------------------------------------------------------------------------------------


def test_so_many_requests_at_once_over_connections_that_stay_open(running, x):
    running.counts()
    with teacher(running, f"/slow{SERVING}", batch_size=1, connections=4) as remote:
        for _ in range(3):
            remote(x)
    counts = running.counts()
    assert counts[f"/slow{SERVING}"] == 30
    assert counts["most at once"] == 4
    assert counts["connections"] == 4 + 1  # the one that asks for the counts


def test_an_idle_connection_that_the_server_closed_is_opened_again(running, x):
    with teacher(running, SERVING, batch_size=10) as remote:
        remote(x)
        (connection,) = remote._service._idle
        connection.sock.shutdown(2)
        np.testing.assert_allclose(remote(x), model.predictions(x), rtol=1e-6)


def test_after_close_it_goes_on(running, x):
    remote = teacher(running, SERVING)
    first = remote(x)
    remote.close()
    assert not remote._service._idle
    np.testing.assert_array_equal(remote(x), first)
    remote.close()


class Waits:
    """In place of the event that ends the waiting: what is waited for, and no waiting."""

    def __init__(self):
        self.seconds = []

    def wait(self, seconds):
        self.seconds.append(seconds)
        return False

    def is_set(self):
        return False


def service(running, path, **kwargs):
    settings = {"timeout": 5, "retries": 4, "backoff": 1.0, "rate": None, "seed": 0}
    return _http.Service(Address(running.url + path, None, None), **{**settings, **kwargs})


def test_each_wait_is_twice_as_long_and_varied_by_a_seed(running):
    def waits(seed):
        stop = Waits()
        with pytest.raises(RuntimeError):
            service(running, "/ways/503", seed=seed).post({}, stop)
        return stop.seconds

    assert len(waits(0)) == 4
    assert waits(0) == waits(0) != waits(1)
    for attempt, seconds in enumerate(waits(0)):
        assert 0.5 <= seconds / 2**attempt <= 1.5
    assert len({seconds / 2**attempt for attempt, seconds in enumerate(waits(0))}) == 4


def test_a_server_says_when_to_come_again(running):
    stop = Waits()
    with pytest.raises(RuntimeError):
        service(running, "/ways/429", backoff=0.001).post({}, stop)
    assert stop.seconds == [7.0] * 4
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    assert _http._seconds(date, 1445412480 - 30) == 30
    assert _http._seconds(date, 1445412480 + 30) == 0
    assert _http._seconds("soon", 0) is None


def test_so_many_requests_a_second():
    pace = _http.Pace(4.0)
    assert [pace.reserve(10.0) for _ in range(4)] == [0.0, 0.25, 0.5, 0.75]
    assert pace.reserve(10.9) == pytest.approx(0.1)
    assert pace.reserve(20.0) == 0.0
    assert [_http.Pace(None).reserve(1.0) for _ in range(3)] == [0.0] * 3


def test_the_rate_holds_for_each_try(running):
    stop = Waits()
    with pytest.raises(RuntimeError):
        service(running, "/ways/503", rate=0.001).post({}, stop)
    assert len(stop.seconds) == 4 + 4  # the first goes at once
    assert max(stop.seconds) > 3900


def test_one_that_fails_ends_the_waiting_of_the_others(running, x):
    remote = teacher(running, SERVING, batch_size=1, retries=9, backoff=60)
    waiting = threading.Event()

    def post(body, stop):
        if body["instances"][0][0] == pytest.approx(x[0, 0]):
            waiting.set()
            _http._wait(600, stop)
        waiting.wait(60)
        raise ValueError("for good")

    remote._service.post = post
    with says("for good"):
        remote(x)
    remote.close()  # waits for the first, which waits no longer


# --- the key --------------------------------------------------------------------------------------


def everything_said(error):
    """The text of an error and of all those behind it."""
    said = ""
    while error is not None:
        said += f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or error.__context__
    return said


@pytest.mark.parametrize("way", ["401", "503"])
def test_no_message_shows_the_key(running, x, way, monkeypatch):
    monkeypatch.setenv("MODEL_KEY", KEY + "\n")
    url = running.url.replace("//", "//user:pass%20word@") + f"/ways/{way}"
    shown = []
    for where, given in (
        (f"{running.url}/ways/{way}", {"api_key": KEY}),
        (f"{running.url}/ways/{way}?key=hush-hush-hush", {"api_key_env": "MODEL_KEY"}),
        (url, {}),
    ):
        remote = kd.sources.ServerTeacher(where, retries=0, **given)
        with pytest.raises(RuntimeError) as error:
            remote(x)
        assert "***" in str(error.value)
        shown += [everything_said(error.value), repr(remote), repr(vars(remote)), remote.name]
        shown += [repr(vars(remote._service)), repr(vars(remote._service.address))]
    assert not re.findall("hush|pass.*word|dXNlcjpwYXNzIHdvcmQ", " ".join(shown))


def test_no_file_and_no_fingerprint_knows_the_key(running, x, tmp_path):
    part = kd.data.Part(x, None, np.arange(10))

    def made(secret, url):
        return kd.sources.ServerTeacher(url, api_key=secret)

    first = made(KEY, f"{running.url}{SERVING}?key=hush-hush-hush")
    with first:
        kd.stores.write(first, part, tmp_path)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"127.0.0.1" in stored and b"hush" not in stored
    assert first.fingerprint() == made("another", running.url + SERVING).fingerprint()


def test_the_key_is_sent(running, x, monkeypatch):
    sent = []
    monkeypatch.setattr(
        "http.client.HTTPConnection.request",
        lambda self, method, url, body, headers: (
            sent.append((url, headers["Authorization"])) or 1 / 0
        ),
    )
    for url, given in (
        (f"{PAGE}?a=1", {"api_key": f" {KEY}\n"}),
        ("http://user:pass%20word@models.example", {}),
    ):
        with pytest.raises(ZeroDivisionError):
            kd.sources.ServerTeacher(url, **given)(x)
    assert list(dict.fromkeys(sent)) == [
        ("/v1?a=1", f"Bearer {KEY}"),
        ("/", "Basic dXNlcjpwYXNzIHdvcmQ="),
    ]


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "arguments", "text"),
    [
        ("models.example/v1", {}, "begins with http:// or https://"),
        ("ftp://models.example", {}, "begins with http:// or https://"),
        ("http://models.example/a b?key=hush", {}, "Received: 'http://models.example/a b'"),
        ("http://me:hush@models.example:port/", {}, "Received: 'models.example:port/'"),
        (PAGE, {"form": "instance"}, "`form` must be one of"),
        (PAGE, {"form": "instance"}, "Did you mean 'instances'?"),
        (PAGE, {"prompt": "{}"}, "`prompt` has no meaning in form='instances'"),
        (f"{PAGE}/completions", {"kind": "probabilities"}, "`kind` has no meaning in form='completions'"),
        (f"{PAGE}/completions", {"prompt": "Good?"}, "must have {} where the example's text comes"),
        (f"{PAGE}/completions", {"classes": ["yes"]}, "`classes` must name for each class"),
        (f"{PAGE}/completions", {"classes": 10}, "`classes` must name for each class"),
        (f"{PAGE}/completions", {"classes": "yes no"}, "`classes` must name for each class"),
        (f"{PAGE}/completions", {"classes": ["yes", 3]}, "`classes` must name for each class"),
        (f"{PAGE}/completions", {"classes": ["yes", " yes"]}, "names 'yes' more than once"),
        (PAGE, {"timeout": 0}, "`timeout` must be a number above 0"),
        (PAGE, {"rate": -1.0}, "`rate` must be a number above 0"),
        (PAGE, {"connections": 0}, "`connections` must be a whole number"),
        (PAGE, {"retries": -1}, "`retries` must be a whole number"),
        (PAGE, {"api_key": "a", "api_key_env": "B"}, "Give one of both"),
        ("http://a:b@models.example", {"api_key": "a"}, "has a password, and a key came beside it"),
        (PAGE, {"api_key_env": "NO_SUCH_KEY"}, "There is no environment variable 'NO_SUCH_KEY'"),
        (PAGE, {"api_key": "hush\nhush"}, "The key is empty, or has spaces"),
    ],
)  # fmt: skip
def test_arguments(url, arguments, text):
    with says(text) as error:
        kd.sources.ServerTeacher(url, **arguments)
    assert "hush" not in str(error.value)


def test_prompts_that_do_not_fit(running):
    path = "/v1/completions"
    with says("has a place for 'c', which no example has"):
        teacher(running, path, classes=YES_NO, prompt="{c}").signals({"a": TEXTS})
    with says("takes a text for each example"):
        teacher(running, path, classes=YES_NO).signals(np.zeros((2, 3)))
    with says("takes token ids, whole numbers of shape (length,)"):
        teacher(running, path, form="prompt_logprobs").signals(np.zeros((2, 3)))
    with says("`prompt` must be a text with {}", TypeError):
        teacher(running, path, prompt=3)


def test_what_tells_one_teacher_from_another():
    url = f"{PAGE}/completions"

    def fingerprint(url=url, **kwargs):
        return kd.sources.ServerTeacher(
            url, **{"classes": ["a", "b"], "prompt": "{}?", **kwargs}
        ).fingerprint()

    def ask(text):
        return f"{text}?"

    others = [
        {"url": "https://other.example/v1/completions"}, {"name": "b"}, {"model": "b"},
        {"prompt": "{}!"}, {"prompt": ask}, {"prompt": lambda text: f"{text}!"}, {"classes": ["a", "c"]},
        {"top_k": 5}, {"form": "chat"},
    ]  # fmt: skip
    found = [fingerprint(), *(fingerprint(**other) for other in others)]
    assert len(set(found)) == len(found)
    same = {
        "api_key": "k",
        "batch_size": 2,
        "connections": 3,
        "timeout": 1,
        "retries": 1,
        "seed": 7,
    }
    assert fingerprint(**same) == fingerprint()
    assert fingerprint(prompt=ask) == fingerprint(prompt=ask)
    elsewhere = "http://127.0.0.1:8000/v1/completions"
    assert fingerprint(name="b") == fingerprint(url=elsewhere, name="b")


# --- the numbers ----------------------------------------------------------------------------------


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


SLOW = pytest.mark.skipif(not os.environ.get("KERAS_KD_SLOW"), reason="20 s: KERAS_KD_SLOW=1")


@pytest.mark.parametrize("examples", [2_000, pytest.param(10_000, marks=SLOW)])
def test_all_answers_through_all_troubles_and_a_kill(running, tmp_path, examples):
    """5 % of the requests fail, 2 % are late, and the writer is killed: byte for byte the same."""
    url, folder = f"{running.url}/troubled{SERVING}", tmp_path / "troubled"
    running.counts()
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.sources.writer", url, folder, f"{examples}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
             "KERAS_BACKEND": keras.config.backend()},
    )  # fmt: skip
    began = time.monotonic()
    while len(list(folder.glob("shard-*"))) < 4:
        assert process.poll() is None and time.monotonic() - began < 120
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= len(list(folder.glob("shard-*"))) < 10
    part = write(url, folder, examples)
    counts = running.counts()
    well = counts["well"]
    assert 0.03 < sum(counts[f"kind {kind}"] for kind in range(5)) / well < 0.08
    assert 0.01 < counts["late"] / well < 0.04

    write(running.url + SERVING, tmp_path / "untroubled", examples)
    assert files(folder) == files(tmp_path / "untroubled")
    store = kd.stores.Store(folder)
    found = store(part.ids, np.zeros(examples, int))["teacher:output"]
    np.testing.assert_allclose(found, model.predictions(part.x), rtol=1e-5, atol=1e-6)
