"""The small networks: their sizes, their shapes, their errors, and that they become int8 files."""

import inspect
import os
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import students
from tests.exporting.conftest import converts, needs

LADDER = ("tiny", "small", "medium", "large")
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "reference" / "students.md"
slow = pytest.mark.skipif(
    not os.environ.get("KERAS_KD_SLOW"), reason="minutes of conversions: set KERAS_KD_SLOW=1"
)
#: What each kind of network is given where the numbers on the page are those of nothing else.
KINDS = {
    "text-": ((80,), 4, {"vocabulary": 10_000}),
    "sound-": ((49, 10, 1), 12, {}),
    "table-": ((14,), 2, {}),
    "mobilenet-v1": ((96, 96, 3), 2, {}),
    "cnn-": ((28, 28, 1), 10, {}),
    "mlp-": ((28, 28, 1), 10, {}),
    "": ((32, 32, 3), 10, {}),
}


def usual(name):
    shape, classes, settings = next(v for start, v in KINDS.items() if name.startswith(start))
    return students.build(name, shape, classes, **settings)


@pytest.mark.parametrize("name", students.names())
def test_each_gives_logits_and_comes_back_from_a_file(name, tmp_path):
    model = usual(name)
    assert model.layers[-1].name == "logits"
    assert model.layers[-1].activation is keras.activations.linear
    x = np.random.default_rng(0).uniform(0, 9, (2, *model.input_shape[1:]))
    x = x.astype(model.inputs[0].dtype)
    model.save(tmp_path / "s.keras")
    again = keras.saving.load_model(tmp_path / "s.keras")
    np.testing.assert_array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


def test_a_seed_gives_the_same_weights():
    made = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        made.append(students.resnet8().get_weights()[0])
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


@pytest.mark.parametrize(
    "model, weights",
    # The reference repository's trained files of 2021 to 2025 hold as many numbers each.
    [("resnet8", 78_666), ("mobilenet_v1", 221_794), ("autoencoder", 269_992), ("ds_cnn", 24_908)],
)
def test_as_many_weights_as_published(model, weights):
    made = getattr(students, model)()
    assert made.count_params() == weights
    assert made.name == model


def test_the_published_layers():
    """What a count does not see: where maps are halved, and what stands where."""
    sides = {n: students.resnet8().get_layer(n).output.shape[1:] for n in ("stem", "block3")}
    assert sides == {"stem": (32, 32, 16), "block3": (8, 8, 64)}
    mobile = students.mobilenet_v1()
    assert mobile.get_layer("block1").output.shape[1:] == (48, 48, 16)
    assert mobile.get_layer("block13").output.shape[1:] == (3, 3, 256)
    assert students.ds_cnn().get_layer("block4").output.shape[1:] == (25, 5, 64)
    assert students.autoencoder().get_layer("code").output.shape[1:] == (8,)
    adds = [la for la in students.resnet8().layers if isinstance(la, keras.layers.Add)]
    assert len(adds) == 3


def test_the_page_has_every_name_with_its_weights():
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| ([\d,]+) \|$", PAGE.read_text("utf-8"), re.M)
    said = {name: int(count.replace(",", "")) for name, count in rows}
    assert said == {name: usual(name).count_params() for name in students.names()}


def test_the_weights_of_the_ladder_rise():
    for kind in ("", "sound-", "text-", "table-"):
        counts = [usual(f"{kind}{rung}").count_params() for rung in LADDER]
        assert counts == sorted(counts) and counts[-1] > 20 * counts[0]


@pytest.mark.parametrize("side", [8, 28, 32, 48, 64, 96, 128, 160, 192, 224])
def test_strides_follow_the_size_of_the_image(side):
    model = students.tiny((side, side, 3), 4)
    last = model.get_layer("head").output.shape[1:3]
    assert last[0] == last[1] and 4 <= last[0] <= 8
    wide = students.tiny((side, 2 * side, 3), 4)
    assert wide.get_layer("head").output.shape[1] == last[0]


def test_images_of_any_size_cost_about_the_same_in_weights():
    counts = {s: students.small((s, s, 3), 10).count_params() for s in (28, 224)}
    assert counts[28] == counts[224]


# Errors.


@pytest.mark.parametrize(
    "build, said",
    [
        (lambda: students.tiny((32, 32), 10), r"must be \(height, width, channels\), whole"),
        (lambda: students.tiny((None, 32, 32, 3), 10), r"without the batch. Received: shape=\(None"),
        (lambda: students.large((0, 32, 3), 10), "at least 1"),
        (lambda: students.cnn("32x32x3", 10), "height, width, channels"),
        (lambda: students.ds_cnn((49, 10)), r"\(steps, coefficients, channels\)"),
        (lambda: students.text_cnn((80, 1), 4, vocabulary=9), r"must be \(length,\), whole"),
        (lambda: students.text_cnn((None,), 4, vocabulary=9), r"must be \(length,\)"),
        (lambda: students.mlp((None,), 4), r"must be \(columns,\)"),
        (lambda: students.mlp(14, 4), r"must be \(columns,\).*Received: shape=14"),
        (lambda: students.tiny((32, 32, 3), 0), "`classes` must be a whole number of at least 1"),
        (lambda: students.mlp((14,), 2.5), "`classes` must be a whole number"),
        (lambda: students.resnet8(classes="10"), "`classes` must be a whole number"),
        (lambda: students.resnet8((3, 32, 3)), r"no side may be shorter.*tiny\(\) to large\(\)"),
        (lambda: students.mobilenet_v1((28, 28, 1)), "until a side of 32 is one of 1"),
        (lambda: students.mobilenet_v1(width=0), "share of MobileNetV1's channels"),
        (lambda: students.mobilenet_v1(width=True), "share of MobileNetV1's channels"),
        (lambda: students.mlp((14,), 2, units=()), "a whole number of at least 1 for each layer"),
        (lambda: students.mlp((14,), 2, units=64), r"as in units=\(64, 32\)"),
        (lambda: students.cnn((8, 8, 1), 2, widths=(8, -1)), "`widths` must have"),
        (lambda: students.build("tinny", (8, 8, 1), 2), r"No student 'tinny'.*mean 'tiny'"),
        (lambda: students.text_cnn((9,), 2, vocabulary=0), "`vocabulary` must be a whole number"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(build, said):
    with pytest.raises(ValueError, match=said):
        build()


def test_texts_need_their_vocabulary():
    with pytest.raises(TypeError, match=r"build\('text-tiny', \(80,\), 4, vocabulary=10_000\)"):
        students.build("text-tiny", (80,), 4)


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="set_image_data_format"):
            students.tiny((3, 32, 32), 10)
    finally:
        keras.config.set_image_data_format("channels_last")


def test_every_function_says_what_it_gives():
    for name, thing in vars(students).items():
        if inspect.isfunction(thing):
            assert "Returns:" in thing.__doc__ and "Example:" in thing.__doc__, name


# Files.


def taught(model, classes):
    """The network after a moment of training on what can be learnt, and its inputs."""
    rng = np.random.default_rng(0)
    shape, dtype = model.input_shape[1:], model.inputs[0].dtype
    y = rng.integers(0, classes, 192)
    if dtype == "int32":
        x = rng.integers(classes, 50, (192, *shape))
        x[:, ::3] = y[:, None]
    else:
        x = rng.normal(0, 0.5, (192, *shape))
        patterns = rng.normal(0, 1, (classes, *shape[-2:]))
        x = x + patterns[y].reshape(192, *(1,) * (len(shape) - len(shape[-2:])), *shape[-2:])
    x = x.astype(dtype)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.7
    model.compile(keras.optimizers.Adam(0.003), loss)
    model.fit(x, y, batch_size=32, epochs=6, verbose=0)
    return x, y


def int8(model, x, path, **more):
    return keras_kd.export(
        model, path, quantization="int8", calibration=x[:128], examples=x[128:], **more
    )


@converts
def test_the_smallest_is_an_int8_file(tmp_path):
    model = students.tiny((8, 8, 1), 4)
    x, _ = taught(model, 4)
    proof = int8(model, x, tmp_path / "tiny.tflite", integer_io=True)
    assert proof.integer_operators == 1.0
    assert proof.agreeing / proof.examples > 0.95
    assert proof.bytes < model.count_params() * 2.5  # a byte each, and what the file says of them


#: Small inputs where the network takes them: what is proven is the layers, not their size.
FILES = {
    **{name: ((28, 28, 1), {}) for name in students.names() if not re.match("text|sound|table", name)},
    **{f"sound-{rung}": ((49, 10, 1), {}) for rung in LADDER},
    **{f"text-{rung}": ((24,), {"vocabulary": 50}) for rung in LADDER},
    **{f"table-{rung}": ((14,), {}) for rung in LADDER},
    "mobilenet-v1": ((96, 96, 3), {}),
    "resnet8": ((32, 32, 3), {}),
}  # fmt: skip


@slow
@converts
@needs("tflite_micro")
@pytest.mark.parametrize("name", students.names())
def test_each_is_an_int8_file_for_a_microcontroller(name, tmp_path):
    shape, settings = FILES[name]
    model = students.build(name, shape, 4, **settings)
    x, _ = taught(model, 4)
    io = not name.startswith("text")
    proof = int8(model, x, tmp_path / "s.tflite", integer_io=io, target="micro")
    assert proof.agreeing / proof.examples > 0.9
    assert proof.micro.agreement > 0.9
    assert proof.integer_operators > 0.9


@slow
@converts
@needs("tflite_micro")
def test_the_autoencoder_is_an_int8_file_for_a_microcontroller(tmp_path):
    keras.utils.set_random_seed(0)
    model = students.autoencoder()
    low = np.random.default_rng(0).normal(size=(256, 4)) @ np.random.default_rng(1).normal(
        size=(4, 640)
    )
    x = low.astype("float32") / 3
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.7
    model.compile(keras.optimizers.Adam(0.003), "mse")
    model.fit(x, x, batch_size=32, epochs=20, verbose=0)
    # Numbers, not decisions: within a few of the output's 255 steps.
    more = {"target": "micro", "decision": "values", "tolerance": 0.1}
    proof = int8(model, x, tmp_path / "ad.tflite", integer_io=True, **more)
    assert proof.integer_operators == 1.0
    assert proof.micro.flash_bytes < 1.2 * model.count_params()


@slow
@converts
@pytest.mark.parametrize("side", [64, 224])
@pytest.mark.parametrize("name", LADDER)
def test_each_rung_is_an_int8_file_at_each_size(name, side, tmp_path):
    data = keras_kd.data.load("digits")
    x, y = data.x_train[:256], data.y_train[:256]
    x = keras.ops.convert_to_numpy(keras.ops.image.resize(x, (side, side)))
    model = students.build(name, x.shape[1:], 10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.7
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(x, y, batch_size=64, epochs=5, verbose=0)
    proof = keras_kd.export(
        model, tmp_path / "s.tflite", quantization="int8", integer_io=True, calibration=x[:128],
        examples=x[128:],
    )  # fmt: skip
    assert proof.integer_operators == 1.0
    assert proof.agreeing / proof.examples > 0.9
