"""Functions as teachers: what they give, and what is refused."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import sources, stores

CLASSES = 4


def rows(x):
    """Logits of two examples in no way alike."""
    return np.asarray(x).reshape(len(x), -1)[:, :CLASSES] * 3.0 + 1.0


def probabilities(x):
    e = np.exp(rows(x))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def part():
    digits = kd.data.load("digits")["train"]
    rng = np.random.default_rng(0)
    return kd.data.Part(
        rng.normal(size=(50, 3, 2)).astype("float32"), digits.y[:50] % 4, np.arange(50)
    )


def teacher(function, **kwargs):
    return sources.FunctionTeacher(function, name="lab", **kwargs)


def softmax(z):
    e = np.exp(np.asarray(z, "float64"))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    "kind, given",
    [("logits", rows), ("probabilities", probabilities),
     ("log_probabilities", lambda x: np.log(probabilities(x)))],
)  # fmt: skip
def test_each_kind_becomes_logits(kind, given, part):
    logits = teacher(given, kind=kind)(part.x)
    assert logits.dtype == "float32"
    np.testing.assert_allclose(softmax(logits), probabilities(part.x), atol=1e-6)


def test_probabilities_each_of_their_own():
    p = np.array([0.0, 0.25, 1.0])
    logits = teacher(lambda x: p, kind="binary_probabilities", floor=1e-3)(np.zeros((3, 1)))
    expected = [[np.log(1e-3 / (1 - 1e-3))], [np.log(0.25 / 0.75)], [np.log((1 - 1e-3) / 1e-3)]]
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_zeros_count_as_the_floor():
    logits = teacher(lambda x: np.eye(3), kind="probabilities", floor=1e-4)(np.zeros((3, 1)))
    np.testing.assert_allclose(logits, np.log(np.where(np.eye(3), 1.0, 1e-4)), atol=1e-6)


@pytest.mark.parametrize(
    "kind, given, words",
    [
        ("probabilities", lambda x: rows(x), "is no probability: expected from 0 to 1, received"),
        ("probabilities", lambda x: probabilities(x) * 0.5, "does not sum to 1: expected 1"),
        ("log_probabilities", lambda x: np.abs(rows(x)) + 1, "is no log-probability: expected at"),
        ("binary_probabilities", lambda x: rows(x), "is no probability"),
        ("logits", lambda x: rows(x).argmax(axis=1), "Labels are not enough: give scores"),
        ("probabilities", lambda x: rows(x)[:, :1] ** 0, "kind='binary_probabilities'"),
        ("logits", lambda x: [[1.0], [2.0, 3.0]], "is no array"),
        ("logits", lambda x: np.array([["a"]] * len(x)), "must be numbers"),
        ("logits", lambda x: rows(x)[:-1], "has 49 rows for a batch of 50 examples"),
        ("logits", lambda x: {"scores": rows(x)}, "gives no 'output'. Expected one of 'scores'"),
        ("scores", rows, "`kind` must be one of 'logits'"),
    ],
)  # fmt: skip
def test_what_is_not_of_its_kind_is_refused(kind, given, words, part):
    with pytest.raises(ValueError) as caught:
        teacher(given, kind=kind)(part.x)
    assert words in str(caught.value)


def test_the_first_bad_row_is_named():
    p = np.full((5, 2), 0.5)
    p[3], p[4] = 0.4, 0.1
    with pytest.raises(ValueError, match=r"received 0\.8 in row 3 of the batch \(and of 1 more\)"):
        teacher(lambda x: p, kind="probabilities")(np.zeros((5, 1)))


def test_a_store_of_a_function(part, tmp_path):
    """The same numbers by name; other signals beside the output; and none without a name."""

    def given(x):
        return {"output": rows(x), "inner": {"tokens": x * 2.0}}

    manifest = stores.write(
        given, part, tmp_path / "a", name="lab", addresses=("output", "inner/tokens"),
        dtype="float32", batch_size=16,
    )  # fmt: skip
    assert manifest.teacher["name"] == "lab"
    batch, _ = stores.read(tmp_path / "a", part, teacher=given, batch_size=50)[0]
    np.testing.assert_array_equal(batch["signals"]["teacher:output"], rows(part.x))
    np.testing.assert_array_equal(batch["signals"]["teacher:inner/tokens"], part.x * 2.0)
    assert stores.verify(tmp_path / "a", part, given).examples == 50
    with pytest.raises(stores.StoreError, match="is not what the teacher predicts"):
        stores.read(tmp_path / "a", part, teacher=lambda x: rows(x) + 1.0)
    with pytest.raises(ValueError, match="A function has no weights that identify it"):
        stores.write(given, part, tmp_path / "b")
    with pytest.raises(stores.StoreError, match="holds the outputs of the teacher 'lab'"):
        stores.read(tmp_path / "a", part, teacher=sources.FunctionTeacher(given, name="other"))


def test_arrays_in_any_order_of_memory(part, tmp_path):
    """As scikit-learn's are: column by column."""
    stores.write(lambda x: np.asfortranarray(rows(x)), part, tmp_path / "a", name="lab")
    batch, _ = stores.read(tmp_path / "a", part, batch_size=50)[0]
    np.testing.assert_allclose(batch["signals"]["teacher:output"], rows(part.x), rtol=1e-3)


def test_probabilities_by_accident(part, tmp_path):
    with pytest.raises(stores.StoreError, match=r"Give their kind, kind='prob"):
        stores.write(probabilities, part, tmp_path / "a", name="lab")
    stores.write(teacher(probabilities, kind="probabilities"), part, tmp_path / "a")


def after(calls, fault):
    """Rows as ever for so many calls, then whatever `fault` makes of them."""
    count = iter(range(1000))
    return lambda x: rows(x) if next(count) < calls else fault(rows(x))


def broken(_):
    raise OSError("gone")


@pytest.mark.parametrize(
    "fault, words",
    [
        (broken, "failed for the examples '20' to '29': OSError: gone"),
        (lambda z: z[:, :3], "it is float32 (3,) from the example '20' on, and was float32 (4,)"),
        (lambda z: z[:-1], "has 9 rows for a batch of 10 examples"),
        (lambda z: np.where(np.arange(len(z))[:, None] == 2, np.nan, z),
         "'output' for the example '22' holds NaN or infinite values"),
    ],
)  # fmt: skip
def test_what_goes_wrong_midway_leaves_the_rest_good(fault, words, part, tmp_path):
    """The first batch is asked for the shapes too, and no second time in the same run."""
    settings = {"name": "lab", "batch_size": 10, "shard_size": 10}
    with pytest.raises(stores.StoreError) as caught:
        stores.write(after(2, fault), part, tmp_path / "a", **settings)
    assert words in str(caught.value)
    kept = sorted(path.name for path in (tmp_path / "a").glob("shard-*"))
    assert kept == ["shard-00000", "shard-00001"]
    asked = []
    stores.write(lambda x: asked.append(len(x)) or rows(x), part, tmp_path / "a", **settings)
    assert asked == [10] * 4  # for the shapes, and the three shards that were missing
    stores.write(rows, part, tmp_path / "b", **settings)
    for path in sorted((tmp_path / "b").rglob("*")):
        if path.is_file():
            assert (
                path.read_bytes()
                == (tmp_path / "a" / path.relative_to(tmp_path / "b")).read_bytes()
            )


def test_types_that_change(part, tmp_path):
    def given(x):
        tokens = np.zeros((len(x), 2), "int32" if x[0, 0, 0] == part.x[0, 0, 0] else "float32")
        return {"output": rows(x), "tokens": tokens}

    with pytest.raises(stores.StoreError, match=r"'tokens' .* changed: it is float32 \(2,\)"):
        stores.write(
            given, part, tmp_path / "a", name="lab", addresses=("output", "tokens"), batch_size=25
        )


def test_a_batch_is_tried_again(part, monkeypatch):
    waited, left = [], [2]
    monkeypatch.setattr("keras_kd._core.function_teacher.time.sleep", waited.append)

    def given(x):
        left[0] -= 1
        if left[0] >= 0:
            raise ConnectionError("busy")
        return rows(x)

    with pytest.raises(ConnectionError):
        teacher(given, retries=1)(part.x)
    left[0] = 2
    np.testing.assert_array_equal(teacher(given, retries=2)(part.x), rows(part.x).astype("float32"))
    assert waited == [1.0, 1.0, 2.0]


def test_fingerprints_tell_teachers_apart(tmp_path):
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"one")
    known = {
        "plain": teacher(rows),
        "name": sources.FunctionTeacher(rows, name="other"),
        "kind": teacher(rows, kind="values"),
        "weights": teacher(rows, weights=weights),
    }
    prints = {name: each.fingerprint() for name, each in known.items()}
    assert len(set(prints.values())) == 4
    assert teacher(probabilities).fingerprint() == prints["plain"]  # all that is known is the name
    weights.write_bytes(b"two")
    assert known["weights"].fingerprint() != prints["weights"]


def test_values_of_a_regression(part, tmp_path):
    """Numbers that look like probabilities are none here, and one for each example will do."""
    ones = teacher(lambda x: np.full((len(x), 2), 0.5), kind="values")
    assert stores.write(ones, part, tmp_path / "a").values == {"output": "values"}
    assert teacher(lambda x: x[:, 0, 0], kind="values")(part.x).shape == (50, 1)
    batch, _ = stores.read(tmp_path / "a", part)[0]
    assert batch["signals"]["teacher:output"][0].tolist() == [0.5, 0.5]


# A function as a model.


def student():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [keras.Input((3, 2)), keras.layers.Flatten(), keras.layers.Dense(3, name="h"),
         keras.layers.Dense(CLASSES)]
    )  # fmt: skip


def named(x):
    return {"output": rows(x), "inner": np.asarray(x)[:, :, 0]}


def fitted(feed, y=None, **roles):
    hint = kd.Term(kd.losses.FeatureMatch(), pred="student:h", target="teacher:inner")
    distiller = kd.Distiller(student=student(), terms=[*kd.recipes.hinton(), hint], **roles)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("sgd", loss, metrics=[kd.metrics.Agreement()])
    distiller.fit(feed, y, epochs=2, batch_size=16, shuffle=False, verbose=0)
    return distiller


def test_one_function_in_three_ways(part, tmp_path):
    """In the step, ahead of it and from a store, the student learns the same."""
    shapes = {"output": (CLASSES,), "inner": (3,)}
    model = kd.teachers.FromFunction(named, output_shape=shapes)
    inside = fitted(part.x, part.y, teacher=model)
    addresses = ("output", "inner")
    ahead = fitted(sources.live(named, part, addresses=addresses, batch_size=16))
    settings = {"name": "named", "addresses": addresses, "dtype": "float32"}
    stores.write(named, part, tmp_path / "a", **settings)
    stored = fitted(stores.read(tmp_path / "a", part, batch_size=16))
    for other in (ahead, stored):
        for a, b in zip(inside.student.weights, other.student.weights, strict=True):
            np.testing.assert_array_equal(np.asarray(a.numpy()), np.asarray(b.numpy()))
    assert inside.evaluate(part.x, part.y, verbose=0, return_dict=True)["agreement"] > 0


def test_it_ends_in_logits_and_is_read_as_such(part):
    model = kd.teachers.FromFunction(probabilities, output_shape=(4,), kind="probabilities")
    answer = keras.ops.convert_to_numpy(model(part.x))
    np.testing.assert_allclose(softmax(answer), probabilities(part.x), atol=1e-6)
    from keras_kd._core.last_activation import ending

    assert ending(model) == "linear"
    assert ending(kd.teachers.FromFunction(rows, output_shape=(4,), kind="values")) is None


@pytest.mark.parametrize(
    "shape, words",
    [((None, 4), "must be the shape of one example's 'output', such as (10,)"),
     (4, "must be the shape of one example's 'output'"),
     ({"inner": (3,)}, "must have the key 'output'")],
)  # fmt: skip
def test_shapes_of_one_example(shape, words):
    with pytest.raises(ValueError) as caught:
        kd.teachers.FromFunction(rows, output_shape=shape)
    assert words in str(caught.value)


def test_another_shape_than_was_said(part):
    model = kd.teachers.FromFunction(rows, output_shape=(5,))
    with pytest.raises(Exception, match=r"has the shape \(4,\) for each example"):
        model(part.x)


def test_no_file_can_hold_it(part, tmp_path):
    distiller = fitted(part.x, part.y, teacher=kd.teachers.FromFunction(
        named, output_shape={"output": (CLASSES,), "inner": (3,)}, name="mine"))  # fmt: skip
    with pytest.raises(NotImplementedError, match=r"'mine' is a function, which no file can hold"):
        distiller.save(tmp_path / "d.keras")
    distiller.student.save(tmp_path / "s.keras")
