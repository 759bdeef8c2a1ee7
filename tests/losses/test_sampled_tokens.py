"""Estimates from drawn tokens: over all that may be drawn, the gradient is that of the divergence."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import losses
from keras_kd._trainers._programs import value_and_gradient

VOCABULARY = 4


def log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def kl(a, b):
    return (np.exp(a) * (a - b)).sum(-1)


def gradient_of(function, x, step=1e-6):
    """By central differences, in float64."""
    found = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * step
            found[place] += sign * function(moved) / (2 * step)
    return found


def gradients(loss, teacher, tokens, student):
    """Of each text alone, by the student's logits: `(texts, positions, vocabulary)`."""
    made = loss(reduction="sum", dtype="float64")
    return value_and_gradient(made, (teacher, tokens), student)[1]


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(2, 1, 1, VOCABULARY))


@pytest.mark.parametrize(
    "loss, divergence",
    [
        (losses.SampledReverseKL, lambda p, q: kl(q, p)),
        (losses.LowVarianceReverseKL, lambda p, q: kl(p, q)),
    ],
)
def test_the_mean_gradient_is_that_of(loss, divergence, logits):
    teacher, student = logits
    tokens = np.arange(VOCABULARY)[:, None]
    every = np.repeat(student, VOCABULARY, axis=0)
    each = gradients(loss, np.repeat(teacher, VOCABULARY, axis=0), tokens, every)
    chance = np.exp(log_softmax(student[0, 0]))
    mean = (chance[:, None] * each[:, 0]).sum(0)
    p = log_softmax(teacher[0, 0])
    exact = gradient_of(lambda s: divergence(p, log_softmax(s)), student[0, 0])
    np.testing.assert_allclose(mean, exact, atol=1e-6)


@pytest.mark.parametrize("loss", [losses.SampledReverseKL, losses.LowVarianceReverseKL])
def test_the_mean_value_is_the_reverse_divergence(loss, logits):
    teacher, student = logits
    tokens = np.arange(VOCABULARY)[:, None]
    values = ops.convert_to_numpy(
        loss(reduction=None)(
            (np.repeat(teacher, VOCABULARY, axis=0), tokens), np.repeat(student, VOCABULARY, axis=0)
        )
    )[:, 0]
    p, q = log_softmax(teacher[0, 0]), log_softmax(student[0, 0])
    assert (np.exp(q) * values).sum() == pytest.approx(kl(q, p), rel=1e-5)


def test_with_the_step_by_step_part_it_is_the_divergence_of_whole_texts():
    """Of two tokens, of which the second depends on the first."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, VOCABULARY)), rng.normal(size=(2, VOCABULARY, VOCABULARY))
    texts = np.array(list(np.ndindex(VOCABULARY, VOCABULARY)))
    teacher, student = (
        np.stack([np.repeat(first[i][None], len(texts), 0), second[i][texts[:, 0]]], axis=1)
        for i in range(2)
    )
    q1, q2 = log_softmax(first[1]), log_softmax(second[1])
    chance = np.exp(q1[texts[:, 0]] + q2[texts[:, 0], texts[:, 1]])
    stepwise = gradients_of_reverse(teacher, student)
    each = stepwise + gradients(losses.FutureReverseKL, teacher, texts, student)
    mean = (chance[:, None] * each[:, 0]).sum(0)

    def whole(logits):
        q = log_softmax(logits)
        return kl(q, log_softmax(first[0])) + (np.exp(q) * kl(q2, log_softmax(second[0]))).sum()

    np.testing.assert_allclose(mean, gradient_of(whole, first[1]), atol=1e-6)
    alone = (chance[:, None] * stepwise[:, 0]).sum(0)
    assert np.abs(alone - mean).max() > 0.01  # the part that a loss by positions leaves out


def gradients_of_reverse(teacher, student):
    made = losses.ReverseKL(reduction="sum", dtype="float64")
    return value_and_gradient(made, teacher, student)[1]


def test_texts_need_an_axis_of_positions():
    with pytest.raises(ValueError, match=r"\(batch, positions, classes\)"):
        losses.FutureReverseKL()((np.zeros((2, 3)), np.zeros(2, "int32")), np.zeros((2, 3)))


def test_gradients_are_bounded_where_the_student_never_draws():
    teacher, student = np.zeros((1, 1, 2)), np.array([[[-1e4, 0.0]]])
    found = gradients(losses.LowVarianceReverseKL, teacher, np.array([[0]]), student)
    assert np.isfinite(found).all() and np.abs(found).max() < 1.01 * np.exp(10.0)


def test_keras_finds_them():
    for loss in (losses.SampledReverseKL, losses.LowVarianceReverseKL, losses.FutureReverseKL):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss()))
        assert isinstance(again, loss)
