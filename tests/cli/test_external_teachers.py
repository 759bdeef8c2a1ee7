"""`keras-kd store` with teachers of other frameworks: thin calls into the library."""

import http.server
import json
import pickle
import threading

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd._core.output_kinds import KINDS
from keras_kd.cli import _options, main


@pytest.fixture(scope="module")
def expected(folder, digits):
    return keras.saving.load_model(folder / "teacher.keras").predict(digits.x_train, verbose=0)


def stored(argv, tmp_path, digits, capsys):
    """The signals of the training images that `keras-kd store` wrote."""
    out = tmp_path / "answers"
    argv = ["store", *map(str, argv), "--dtype", "float32", "--out", str(out), "--json"]
    assert main(argv) == 0, capsys.readouterr().err
    result = json.loads(capsys.readouterr().out)
    assert result["examples"] == len(digits.y_train)
    batch, _ = keras_kd.stores.read(out, digits["train"], batch_size=2000)[0]
    return batch["signals"]["teacher:output"], result


def test_a_litert_file(folder, tmp_path, digits, expected, capsys):
    pytest.importorskip("ai_edge_litert")
    if keras.config.backend() == "torch":
        pytest.skip("writing takes a converter that torch has not")
    keras_kd.export(keras.saving.load_model(folder / "teacher.keras"), tmp_path / "t.tflite")
    signals, result = stored([tmp_path / "t.tflite"], tmp_path, digits, capsys)
    np.testing.assert_allclose(signals, expected, atol=1e-3)
    assert result["teacher"] == "t"


def test_a_saved_model_and_its_kind(folder, tmp_path, digits, expected, capsys):
    if keras.config.backend() != "tensorflow":
        pytest.skip("torch exports no SavedModel, and JAX's takes a converter")
    keras.saving.load_model(folder / "soft.keras").export(tmp_path / "saved", verbose=False)
    argv = [tmp_path / "saved", "--kind", "probabilities"]
    signals, _ = stored(argv, tmp_path, digits, capsys)
    shifted = expected - np.log(np.exp(expected).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(signals, np.maximum(shifted, np.log(1e-7)), atol=1e-3)
    argv = ["store", str(tmp_path / "saved"), "--out", str(tmp_path / "b")]
    assert main(argv) == 2
    assert "Give their kind, kind='probabilities'" in capsys.readouterr().err


def test_a_torch_program(tmp_path, digits, capsys):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    torch.jit.trace(module, torch.zeros(1, 1, 8, 8)).save(str(tmp_path / "t.pt"))
    signals, _ = stored([tmp_path / "t.pt"], tmp_path, digits, capsys)
    x = torch.as_tensor(digits.x_train.transpose(0, 3, 1, 2))
    with torch.no_grad():
        np.testing.assert_allclose(signals, module(x).numpy(), atol=1e-5)


class Touches:
    """A pickle that leaves a trace when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_without_consent_is_not_opened(tmp_path, digits, capsys):
    trace = tmp_path / "trace"
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(Touches(trace)))
    argv = ["store", str(tmp_path / "t.pkl"), "--out", str(tmp_path / "a")]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert "is a pickle: to open one is to run whatever code is in it" in said
    assert "--trust-pickle" in said
    assert not trace.exists() and not (tmp_path / "a").exists()
    assert main([*argv, "--trust-pickle"]) == 2
    assert "`estimator` must be fitted" in capsys.readouterr().err
    assert trace.exists()


def test_an_estimator_with_consent(tmp_path, digits, capsys):
    tree = pytest.importorskip("sklearn.tree").DecisionTreeClassifier(max_depth=4)
    tree.fit(digits.x_train.reshape(-1, 64), digits.y_train)
    import joblib

    joblib.dump(tree, tmp_path / "t.joblib")
    argv = [tmp_path / "t.joblib", "--trust-pickle"]
    signals, _ = stored(argv, tmp_path, digits, capsys)
    p = tree.predict_proba(digits.x_train.reshape(-1, 64))
    np.testing.assert_allclose(signals, np.log(np.maximum(p, 1e-7)), atol=1e-5)


def test_a_server(tmp_path, digits, capsys):
    class Doubles(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
            x = np.array(rows).reshape(len(rows), -1)[:, :10] * 2.0
            body = json.dumps({"predictions": x.tolist()}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Doubles)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_address[1]}/v1/models/m:predict"
        signals, _ = stored([address], tmp_path, digits, capsys)
    finally:
        server.shutdown()
    flat = digits.x_train.reshape(len(digits.x_train), -1)
    np.testing.assert_allclose(signals, flat[:, :10] * 2.0, atol=1e-5)


def test_a_file_of_answers(tmp_path, digits, expected, capsys):
    ids = digits["train"].ids
    lines = [
        json.dumps({"example": str(i), "output": row.tolist()})
        for i, row in reversed(list(zip(ids.tolist(), expected, strict=True)))
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    argv = [tmp_path / "t.jsonl", "--ids", "example"]
    signals, _ = stored(argv, tmp_path, digits, capsys)
    np.testing.assert_allclose(signals, expected, atol=1e-5)
    (tmp_path / "short.jsonl").write_text("\n".join(lines[1:]))
    argv = [
        "store",
        str(tmp_path / "short.jsonl"),
        "--ids",
        "example",
        "--out",
        str(tmp_path / "b"),
    ]
    assert main(argv) == 2
    assert not (tmp_path / "b").exists()


def test_what_will_not_do(tmp_path, capsys):
    for argv, words in {
        ("none.onnx",): "There is no file",
        ("none.keras", "--kind", "scores"): "invalid choice",
        ("a.onnx", "--image-shape", "8,8"): "such as 32,32,3",
    }.items():
        try:
            code = main(["store", *argv, "--out", str(tmp_path / "a")])
        except SystemExit as left:
            code = left.code
        assert code == 2
        assert words in capsys.readouterr().err


def test_kinds_are_those_of_the_library():
    assert (*KINDS, "top_k") == _options.KINDS
