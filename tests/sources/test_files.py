"""Files of other runtimes as teachers: ONNX, LiteRT, SavedModels."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import sources, stores

CLASSES = 10


def model(last=None):
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, activation=last),
        ]
    )


@pytest.fixture(scope="module")
def part():
    return kd.data.load("digits")["train"].take(np.arange(50))


# SavedModels.


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    if keras.config.backend() != "tensorflow":
        pytest.skip("torch exports no SavedModel, and JAX's takes a converter")
    path = tmp_path_factory.mktemp("models") / "saved"
    classifier = model("softmax")
    classifier.export(path, verbose=False)
    return classifier, path


def test_a_saved_model(saved, part, tmp_path):
    classifier, path = saved
    teacher = sources.SavedModelTeacher(path, kind="probabilities")
    expected = classifier.predict(part.x, verbose=0)
    np.testing.assert_allclose(np.exp(teacher(part.x)), expected, atol=1e-6)
    stores.write(teacher, part, tmp_path / "a")
    again = sources.SavedModelTeacher(path, kind="probabilities", name="renamed")
    assert len(stores.read(tmp_path / "a", part, teacher=again)) == 1
    with pytest.raises(stores.StoreError, match="gives no logits"):
        stores.write(sources.SavedModelTeacher(path), part, tmp_path / "b")
    with pytest.raises(ValueError, match=r"takes 'keras_tensor\w*' of shape \(None, 8, 8, 1\)"):
        teacher(part.x[:, :7])
    with pytest.raises(ValueError, match=r"has no signature 'serving'\. Expected one of"):
        sources.SavedModelTeacher(path, signature="serving")
    with pytest.raises(ValueError, match="has no output 'scores'"):
        sources.SavedModelTeacher(path, output="scores")


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(ValueError, match="holds no SavedModel"):
        sources.SavedModelTeacher(tmp_path)
    with pytest.raises(ValueError, match="There is no file"):
        sources.SavedModelTeacher(tmp_path / "none")


# LiteRT.


@pytest.fixture(scope="module")
def litert(tmp_path_factory, part):
    pytest.importorskip("ai_edge_litert")
    if keras.config.backend() == "torch":
        pytest.skip("writing takes a converter that torch has not")
    folder, student = tmp_path_factory.mktemp("litert"), model()
    kd.export(student, folder / "float32.tflite")
    int8 = {"quantization": "int8", "calibration": part.x}
    kd.export(student, folder / "int8.tflite", **int8)
    kd.export(student, folder / "integers.tflite", **int8, integer_io=True)
    return student, folder


def test_a_litert_file(litert, part):
    student, folder = litert
    expected = student.predict(part.x, verbose=0)
    teacher = sources.LiteRTTeacher(folder / "float32.tflite")
    assert teacher.name == "float32"
    np.testing.assert_allclose(teacher(part.x), expected, atol=1e-5)
    for name in ("int8", "integers"):  # floats in and out, and integers that stand for them
        rounded = sources.LiteRTTeacher(folder / f"{name}.tflite")(part.x)
        assert rounded.dtype == "float32" and 0 < np.abs(rounded - expected).max() < 0.05
    with pytest.raises(ValueError, match=r"of shape \(None, 8, 8, 1\)\. Received: \(None, 8, 7, 1"):
        teacher(part.x[:, :, :7])


def test_a_damaged_litert_file(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "a.tflite").write_bytes(b"none")
    with pytest.raises(ValueError, match="The interpreter cannot read"):
        sources.LiteRTTeacher(tmp_path / "a.tflite")


# ONNX.


def onnx_file(path, batch=None, several=False):
    """`x · w + b` of flattened images that have channels first; the flattened images too."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    w, b = (rng.normal(size=s).astype("float32") for s in ((2 * 12, 3), (3,)))
    size = batch or "batch"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["flat"]),
         helper.make_node("Gemm", ["flat", "w", "b"], ["scores"])],
        "linear",
        [value("image", TensorProto.FLOAT, [size, 2, 3, 4])],
        [value("scores", TensorProto.FLOAT, [size, 3])]
        + [value("flat", TensorProto.FLOAT, [size, 24])] * several,
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)
    x = rng.normal(size=(5, 3, 4, 2)).astype("float32")
    return x, x.transpose(0, 3, 1, 2).reshape(5, -1) @ w + b


@pytest.mark.parametrize("batch", [None, 2], ids=["any batch", "batches of two"])
def test_an_onnx_file(batch, tmp_path):
    x, expected = onnx_file(tmp_path / "a.onnx", batch)
    teacher = sources.ONNXTeacher(tmp_path / "a.onnx", data_format="channels_first")
    np.testing.assert_allclose(teacher(x), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        teacher({"image": x.astype("float64")}), expected, rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="It has channels first: data_format='channels_first'"):
        sources.ONNXTeacher(tmp_path / "a.onnx")(x)
    with pytest.raises(ValueError, match=r"takes the inputs 'image'\. Received: 'imag'\. Did you"):
        teacher({"imag": x})
    with pytest.raises(ValueError, match="takes 1 inputs"):
        teacher([x, x])


def test_several_outputs_of_an_onnx_file(tmp_path):
    x, expected = onnx_file(tmp_path / "a.onnx", several=True)
    with pytest.raises(ValueError, match="Choose the output: output='scores'"):
        sources.ONNXTeacher(tmp_path / "a.onnx")
    settings = {"output": "scores", "data_format": "channels_first"}
    teacher = sources.ONNXTeacher(tmp_path / "a.onnx", **settings)
    signals = teacher.signals(x, ("output", "flat"))
    np.testing.assert_allclose(signals["output"], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(signals["flat"], x.transpose(0, 3, 1, 2).reshape(5, -1))
    with pytest.raises(ValueError, match="gives no 'flt'"):
        teacher.signals(x, ("flt",))
    (tmp_path / "b.onnx").write_bytes((tmp_path / "a.onnx").read_bytes())
    assert (
        sources.ONNXTeacher(tmp_path / "b.onnx", **settings).fingerprint() == teacher.fingerprint()
    )


def test_a_damaged_onnx_file(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "a.onnx").write_bytes(b"none")
    with pytest.raises(ValueError, match="onnxruntime cannot read"):
        sources.ONNXTeacher(tmp_path / "a.onnx")
    with pytest.raises(ValueError, match=r"`data_format` must be one of 'channels_last'"):
        sources.ONNXTeacher(tmp_path / "a.onnx", data_format="NCHW")
