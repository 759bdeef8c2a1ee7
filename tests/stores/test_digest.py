"""Digests: other data under the same ids is seen, and the same data read by other means is not."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import stores
from keras_kd.stores._digest import IMAGES, Digest

SIZE, COUNT = 224, 8
SETTINGS = {"batch_size": 4, "shard_size": 4, "dtype": "float32"}


def smooth(count=COUNT, size=SIZE, seed=0):
    """Colour pictures whose amplitudes fall with the square of the frequency: nothing is sharp."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size) * size] * 2))
    frequency[0, 0] = np.inf
    planes = np.fft.ifft2(np.fft.fft2(rng.normal(size=(count, 4, size, size))) / frequency**2).real
    planes /= planes.std(axis=(2, 3), keepdims=True)
    x = np.stack([planes[:, 0] + 0.3 * planes[:, i] for i in (1, 2, 3)], axis=-1)
    return (0.45 + 0.2 * x / x.std(axis=(1, 2, 3), keepdims=True)).clip(0, 1).astype("float32")


CHANGES = {
    "mirrored": lambda x: x[:, :, ::-1],
    "upside down": lambda x: x[:, ::-1],
    "transposed": lambda x: x.transpose(0, 2, 1, 3),
    "BGR": lambda x: x[..., ::-1],
    "one pixel right": lambda x: x[:, :, [0, *range(SIZE - 1)]],
    "one pixel down": lambda x: x[:, [0, *range(SIZE - 1)]],
    "scaled": lambda x: x * 1.05,
    "brighter": lambda x: x + 0.02,
    "another": lambda x: np.roll(x, 1, axis=0),
}


@pytest.fixture(scope="module")
def pictures():
    return smooth()


def digest_of(x):
    return Digest([{"shape": x.shape[1:], "dtype": x.dtype.name}])


def apart(x, y):
    digest = digest_of(x)
    return digest.apart(digest.of(y), digest.of(x))


@pytest.mark.parametrize("scale", ["0 to 255", "0 to 1", "normed"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_large_smooth_picture_is_seen(pictures, change, scale):
    other = CHANGES[change](pictures)
    times, plus = {"0 to 255": (255, 0), "0 to 1": (1, 0), "normed": (4, -2)}[scale]
    assert (apart(pictures * times + plus, other * times + plus) > 1).all()


def test_what_another_decoder_does_to_a_picture_is_not(pictures):
    """Bytes that are off by one or two, some brightness, and half of the noise that is allowed."""
    rng = np.random.default_rng(1)
    x = (pictures * 255).round()
    noise = rng.normal(0, 0.5 * IMAGES.noise, x.shape) * x.std(axis=(1, 2, 3), keepdims=True)
    for other in (x + rng.integers(-2, 3, x.shape), x + 1, x + noise, x.astype("uint8")):
        assert (apart(x, other) <= 1).all()
    assert (apart(x, x + 6 * noise) > 1).all()


def test_a_jpeg_file_decoded_in_two_ways(pictures):
    tf = pytest.importorskip("tensorflow")
    files = [tf.io.encode_jpeg((x * 255).round().astype("uint8"), quality=85) for x in pictures]

    def decoded(**how):
        return np.stack([tf.io.decode_jpeg(file, **how).numpy() for file in files])

    exact = decoded(dct_method="INTEGER_ACCURATE")
    fast = decoded(dct_method="INTEGER_FAST", fancy_upscaling=False)
    assert (exact != fast).any()
    assert (apart(exact, fast) <= 1).all()


def test_the_examples_are_left_as_they_are(pictures):
    for x in (pictures, pictures[:, :8, :8], np.float32([[1, 2, np.nan]]), pictures[:, 0, :9, 0]):
        before = np.array(x)
        digest_of(x).of(x)
        np.testing.assert_array_equal(x, before)


def test_it_does_not_depend_on_the_batch(pictures, monkeypatch):
    digest = digest_of(pictures)
    whole = digest.of(pictures)
    monkeypatch.setattr("keras_kd.stores._digest._CHUNK", SIZE * SIZE * 3)
    np.testing.assert_allclose(digest.of(pictures), whole, rtol=1e-3, atol=1e-5)
    assert digest.of(pictures[:0]).shape == (0, *digest.shape)


SHAPES = [(3,), (40,), (17, 5), (9, 9), (8, 8, 1), (5, 12, 12, 2), (3000,), (1,), ()]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_inputs_of_any_shape(shape):
    x = np.random.default_rng(0).normal(size=(6, *shape)).astype("float32")
    assert (apart(x, x * np.float32(1 + 1e-6)) <= 1).all()
    assert (apart(x, -x) > 1).all()
    assert (apart(x, np.roll(x, 1, axis=0)) > 1).all()
    if x[0].size > 1:
        last = x.reshape(6, -1)
        assert (apart(x, np.roll(last, 1, axis=1).reshape(x.shape)) > 1).all()


@pytest.mark.parametrize("shape", [(3,), (8, 8, 1)], ids=str)
def test_numbers_that_are_none_and_examples_without_variation(shape):
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    x[0], x[1], x[2].flat[1], x[3].flat[1] = 0, 0.5, np.nan, np.inf
    assert (apart(x, x.copy()) <= 1).all()
    other = x.copy()
    other[0], other[1], other[2].flat[1], other[3].flat[1] = 0.1, 0.6, 3, -np.inf
    assert (apart(x, other) > 1).all()


def test_of_few_numbers_each_is_looked_at():
    x = np.array([[39.0, 77516.0, 13.0, 2174.0]], "float32")
    for place, value in ((0, -39), (0, 40), (2, 12.9)):
        other = x.copy()
        other[0, place] = value
        assert apart(x, other) > 1
    assert apart(x, x * np.float32(1 + 1e-5)) <= 1


@pytest.mark.parametrize("kind", ["int32", "int64", "bool", "object"])
def test_words_are_the_very_words(kind):
    x = np.random.default_rng(0).integers(0, 30000, (5, 300))
    x = np.array([[f"w{i}" for i in row] for row in x], object) if kind == "object" else x
    x = x > 15000 if kind == "bool" else x.astype(kind)
    inputs = [{"shape": [300], "dtype": "string" if kind == "object" else kind}]
    digest, other = Digest(inputs), x.copy()
    other[:, 7] = np.array(["w", "", "ww7", "a", "b"]) if kind == "object" else other[:, 7] ^ 1
    assert (digest.apart(digest.of(x), digest.of(x.copy())) == 0).all()
    assert (digest.apart(digest.of(other), digest.of(x)) > 1).all()
    if kind == "object":
        bytes_ = np.array([[word.encode() for word in row] for row in x], object)
        np.testing.assert_array_equal(digest.of(bytes_), digest.of(x))
        joined = np.array([[row[0] + row[1], "", *row[2:]] for row in x], object)
        assert (digest.apart(digest.of(joined), digest.of(x)) > 1).all()


# Through the store.


def two_inputs():
    a, b = keras.Input((20,), name="a"), keras.Input((20,), name="b")
    h = keras.layers.Subtract()([a, keras.layers.Rescaling(50.0)(b)])
    return keras.Model({"a": a, "b": b}, keras.layers.Dense(3)(h))


def test_inputs_that_changed_places_and_a_small_one_with_another_sign(tmp_path):
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(COUNT, 20)), "b": 1e-3 * rng.normal(size=(COUNT, 20))}
    part = kd.data.Part(x, None, np.arange(COUNT))
    stores.write(two_inputs(), part, tmp_path)
    stores.read(tmp_path, part)
    for other in ({"a": x["b"], "b": x["a"]}, {"a": x["a"], "b": -x["b"]}):
        with pytest.raises(stores.StoreError, match=r"for other data: the example '0' looked"):
            stores.read(tmp_path, kd.data.Part(other, None, part.ids))


@pytest.mark.parametrize("change", ["mirrored", "BGR", "one pixel right"])
def test_a_store_of_large_pictures_is_not_read_for_others(tmp_path, pictures, change):
    teacher = keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), keras.layers.AveragePooling2D(56), keras.layers.Flatten(),
         keras.layers.Dense(3)]
    )  # fmt: skip
    ids = np.arange(COUNT)
    part = kd.data.Part(pictures, np.zeros(COUNT, int), ids)
    stores.write(teacher, part, tmp_path, **SETTINGS)
    stores.read(tmp_path, part)
    other = kd.data.Part(CHANGES[change](pictures), part.y, ids)
    with pytest.raises(stores.StoreError, match=r"was written for other data: the example '0'"):
        stores.read(tmp_path, other)


def test_an_interrupted_store_is_not_gone_on_with_for_other_data(tmp_path, part, model):
    settings = {"batch_size": 32, "shard_size": 64}
    stores.write(model, part, tmp_path, shard_index=1, num_shards=2, **settings)
    x = part.x.copy()
    x[70] = x[70, ::-1]  # in shard 1
    other = kd.data.Part(x, part.y, part.ids)
    with pytest.raises(stores.StoreError) as error:
        stores.write(model, other, tmp_path, **settings)
    assert "shard-00001 of" in str(error.value)
    assert "was written for other data: the example 'digits/01227' looked" in str(error.value)
    stores.write(model, part, tmp_path, **settings)
