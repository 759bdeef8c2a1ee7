"""Losses made of others, which recipes are built on."""

import keras
import numpy as np
import pytest

from keras_kd import losses


def softmax(z, temperature=1.0):
    e = np.exp(z / temperature - (z / temperature).max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(z, y):
    return -np.log(softmax(z)[np.arange(len(y)), y])


@pytest.fixture
def logits():
    rng = np.random.default_rng(5)
    return {k: rng.normal(size=(4, 6)) for k in ("s", "t", "u")}, np.array([0, 5, 2, 2])


def test_the_surer_a_teacher_is_of_the_right_class_the_more_it_counts(logits):
    z, y = logits
    costs = np.stack([cross_entropy(z["t"], y), cross_entropy(z["u"], y)])
    weights = 1.0 - softmax(costs.T).T  # divided by K - 1 = 1
    soft = [
        4.0 * (softmax(t, 2.0) * np.log(softmax(t, 2.0) / softmax(z["s"], 2.0))).sum(-1)
        for t in (z["t"], z["u"])
    ]
    expected = (weights * np.stack(soft)).sum(0).mean()
    loss = losses.ConfidenceWeighted(losses.SoftTarget(2.0))
    assert float(loss((z["t"], z["u"], y), z["s"])) == pytest.approx(expected, rel=1e-5)


def test_the_weights_of_three_teachers_sum_to_one(logits):
    z, y = logits
    loss = losses.ConfidenceWeighted(losses.LogitMatch(), reduction=None)
    same = keras.ops.convert_to_numpy(loss((z["t"], z["t"], z["t"], y), z["s"]))
    np.testing.assert_allclose(same, ((z["t"] - z["s"]) ** 2).mean(-1), rtol=1e-5)


def test_features_weighted_by_their_teachers_confidence(logits):
    z, y = logits
    rng = np.random.default_rng(6)
    f, g, s = (rng.normal(size=(4, 3, 3, 2)) for _ in range(3))
    weights = 1.0 - softmax(np.stack([cross_entropy(z["t"], y), cross_entropy(z["u"], y)]).T).T
    mse = np.stack([((f - s) ** 2).mean((1, 2, 3)), ((g - s) ** 2).mean((1, 2, 3))])
    loss = losses.ConfidenceWeightedFeatures(losses.FeatureMatch())
    said = float(loss((f, g, z["t"], z["u"], y), s))
    assert said == pytest.approx((weights * mse).sum() / 8, rel=1e-5)
    assert float(loss((f, g, z["t"], z["u"], y), (s, s))) == pytest.approx(said, rel=1e-6)


def test_a_schedule_inside_is_read_at_the_step(logits):
    z, _ = logits
    cooling = keras.optimizers.schedules.PolynomialDecay(8.0, 2, 2.0)
    loss = losses.SumOf(losses.SoftTarget(cooling)).at(1)
    expected = losses.SumOf(losses.SoftTarget(5.0))
    pair = (z["t"], z["u"]), (z["s"], z["s"])
    assert float(loss(*pair)) == pytest.approx(float(expected(*pair)), rel=1e-6)


def test_labelled_targets_are_the_two_together(logits):
    z, y = logits
    soft = float(losses.SoftTarget(3.0)(z["t"], z["s"]))
    expected = 0.7 * cross_entropy(z["s"], y).mean() + 0.3 * soft
    assert float(losses.LabelledTarget()((z["t"], y), z["s"])) == pytest.approx(expected, rel=1e-5)


def test_a_curriculum_target_is_a_soft_target_at_its_temperature(logits):
    z, _ = logits
    said = float(losses.CurriculumTarget()(z["t"], (z["s"], 2.5)))
    assert said == pytest.approx(float(losses.SoftTarget(2.5)(z["t"], z["s"])), rel=1e-6)


def test_generation_is_a_sum():
    rng = np.random.default_rng(7)
    t, s = rng.normal(size=(2, 3, 2, 2, 5))
    said = float(losses.MaskedGeneration()(t, s))
    assert said == pytest.approx(((t - s) ** 2).sum() / 3, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        losses.SumOf(losses.HierarchicalContext(levels=(2,))),
        losses.ConfidenceWeighted(losses.SoftTarget(2.0)),
        losses.ConfidenceWeightedFeatures(losses.FeatureMatch()),
        losses.LabelledTarget(0.2, 4.0),
    ],
)
def test_they_come_back_from_a_config(loss):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.get_config() == loss.get_config()


def test_what_is_no_loss_of_ours():
    with pytest.raises(TypeError, match=r"`loss` must be a loss of keras_kd\.losses"):
        losses.SumOf(keras.losses.MeanSquaredError())
