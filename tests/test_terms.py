"""Terms: two signals, a loss, a weight, and who may learn."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd
from tests.gradients import gradient
from tests.models import data, equal, mlp, values

Term, FeatureMatch = keras_kd.Term, keras_kd.losses.FeatureMatch


def test_a_term_is_its_loss_before_the_weight():
    signals = {"student:output": np.ones((2, 3)), "teacher:output": np.zeros((2, 3))}
    assert float(Term(FeatureMatch(), weight=7.0)(signals, step=0)) == pytest.approx(1.0)


def test_any_keras_loss_will_do():
    signals = {"student:output": np.full((2, 3), 3.0), "teacher:output": np.ones((2, 3))}
    term = Term(keras.losses.MeanAbsoluteError())
    assert float(term(signals, step=0)) == pytest.approx(2.0)
    assert term.name == "mean_absolute_error"


@pytest.mark.parametrize(
    "loss",
    [keras.losses.Huber(2.0), keras.losses.CosineSimilarity(axis=0)],
    ids=["delta", "axis"],
)
def test_a_file_keeps_what_a_keras_loss_leaves_out_of_its_config(loss):
    term = Term(loss)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(term))
    signals = {
        "student:output": np.ones((2, 3)) * [[0.0, 3.0, 9.0]],
        "teacher:output": np.eye(2, 3),
    }
    expected = float(term(signals, step=0))
    assert float(again(signals, step=0)) == pytest.approx(expected)
    assert float(Term(type(loss)())(signals, step=0)) != pytest.approx(expected)


@pytest.mark.parametrize(
    "thing, shown",
    [
        (
            keras_kd.recipes.hinton(),
            "[Labels(weight=0.1), Term(SoftTarget(temperature=4.0), pred='student:output', "
            "target='teacher:output', weight=0.9)]",
        ),
        (
            Term(FeatureMatch(), pred=("student:a", "teacher:b"), target="teacher:b",
                 projector=keras_kd.projectors.Conv1x1(8), name="hint"),
            "Term(FeatureMatch(), pred=('student:a', 'teacher:b'), target='teacher:b', "
            "projector=Conv1x1(filters=8, use_bias=False), weight=1.0, name='hint')",
        ),
        (
            Term(keras.losses.Huber(2.0), projector=keras.layers.Dense(3, activation="relu")),
            "Term(Huber(delta=2.0), pred='student:output', target='teacher:output', "
            "projector=Dense(units=3, activation=relu), weight=1.0)",
        ),
        (
            keras_kd.Labels(keras_kd.schedules.LinearWarmup(2.0, steps=5), pred="student:output/a"),
            "Labels(weight=LinearWarmup(value=2.0, steps=5), pred='student:output/a')",
        ),
        (
            keras_kd.losses.MarginReLUMatch([-0.5] * 20),
            "MarginReLUMatch(margins=<20 values>)",
        ),
        (
            keras_kd.losses.SumOf(keras_kd.losses.DecoupledSoftTarget(beta=2.0)),
            "SumOf(loss=DecoupledSoftTarget(alpha=1.0, beta=2.0, temperature=4.0))",
        ),
    ],
    ids=["recipe", "projector", "keras", "labels", "long", "nested"],
)  # fmt: skip
def test_things_are_shown_as_the_call_that_makes_them(thing, shown):
    assert repr(thing) == shown


def test_names_come_from_the_loss_and_the_second_is_numbered():
    terms = [Term(FeatureMatch()), Term(FeatureMatch()), Term(FeatureMatch(), name="own")]
    distiller = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=terms)
    assert distiller.term_names == ["feature_match", "feature_match_2", "own"]


def test_no_gradient_reaches_the_target():
    term = Term(FeatureMatch(), target="student:a", pred="student:b")
    x = np.array([[1.0, 2.0]], "float32")
    found = gradient(lambda z: term({"student:a": z, "student:b": 3.0 * z}, step=0), x)
    # d mean (3z - c)² / dz = 3 (3z - c), with c = z held still; through c it would be 4z.
    np.testing.assert_allclose(found, 3 * (3 * x - x), rtol=1e-6)


def test_labels_as_a_second_target_reach_the_loss():
    class Seen(keras_kd.losses.Loss):
        def call(self, y_true, y_pred):
            teacher, labels = y_true
            return ops.sum(teacher, axis=-1) + 10.0 * labels + 0.0 * ops.sum(y_pred, axis=-1)

    term = Term(Seen(), target=("teacher:output", "labels"))
    signals = {
        "student:output": np.zeros((2, 3)),
        "teacher:output": np.ones((2, 3)),
        "labels": np.array([1, 2]),
    }
    assert float(term(signals, step=0)) == pytest.approx(3 + 10 * 1.5)


def test_a_target_projector_learns_and_what_it_was_fed_does_not():
    x, _ = data()
    a, b = mlp("a"), mlp("b")
    reader = keras_kd.projectors.Dense(3)
    term = Term(FeatureMatch(), pred="a:output", target="b:hidden", target_projector=reader)
    distiller = keras_kd.Distiller(student={"a": a, "b": b}, terms=[term])
    distiller.compile(keras.optimizers.SGD(0.1))
    before_b, before = values(b.variables), values(reader.variables)
    distiller.fit(x, verbose=0)
    assert equal(before_b, values(b.variables)) and not equal(before, values(reader.variables))


def test_sample_weight_of_sequences_and_of_whole_examples():
    loss = FeatureMatch()
    pred = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    each = (pred**2).mean(-1)
    zero = np.zeros_like(pred)
    whole = float(loss(zero, pred, sample_weight=np.array([1.0, 0.0])))
    assert whole == pytest.approx(each[0].sum() / each.size, rel=1e-5)
    position = np.zeros((2, 5))
    position[1, 2] = 1.0
    single = float(loss(zero, pred, sample_weight=position))
    assert single == pytest.approx(each[1, 2], rel=1e-5)  # the mean over the one that counts


def test_losses_compute_in_float32_whatever_comes_in():
    x = np.linspace(-3, 3, 8).reshape(2, 4)
    exact = float(FeatureMatch()(0 * x, x))
    for dtype in ("float16", "bfloat16"):
        low = ops.cast(ops.convert_to_tensor(x), dtype)
        value = FeatureMatch(reduction=None)(ops.zeros_like(low), low)
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert float(ops.mean(value)) == pytest.approx(exact, rel=1e-2)
