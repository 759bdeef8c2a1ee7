"""What the losses of powered probabilities come down to."""

import numpy as np
import pytest

from keras_kd import losses

from .oracles import kl, softmax

RNG = np.random.default_rng(0)
TEACHER, STUDENT = (RNG.normal(0, 2, (6, 5)).astype("float32") for _ in range(2))


def mean(row):
    return np.mean([row(softmax(t.astype("float64")), softmax(s.astype("float64")))
                    for t, s in zip(TEACHER, STUDENT, strict=True)])  # fmt: skip


@pytest.mark.parametrize(
    "alpha, beta, row",
    [
        (1, 0, lambda p, q: kl(p, q)),
        (0, 1, lambda p, q: kl(q, p)),
        (0.5, 0.5, lambda p, q: 2 * ((np.sqrt(p) - np.sqrt(q)) ** 2).sum()),
        (1, 1, lambda p, q: 0.5 * ((p - q) ** 2).sum()),
    ],
    ids=["forward", "reverse", "Hellinger", "squared"],
)
def test_cases_of_the_alpha_beta_divergence(alpha, beta, row):
    found = float(losses.AlphaBetaDivergence(alpha, beta)(TEACHER, STUDENT))
    assert found == pytest.approx(mean(row), rel=1e-4)


@pytest.mark.parametrize("alpha, beta", [(0.7, 0.01), (0.01, 0.7), (0.01, 0.01)])
def test_small_powers_are_near_their_limits(alpha, beta):
    near = float(losses.AlphaBetaDivergence(alpha, beta)(TEACHER, STUDENT))
    limit = losses.AlphaBetaDivergence(
        *(0.0 if power == 0.01 else power for power in (alpha, beta))
    )
    assert near == pytest.approx(float(limit(TEACHER, STUDENT)), rel=0.1)


@pytest.mark.parametrize("power", [-0.5, 0.001, np.nan, np.inf, True, "a"])
def test_powers_that_will_not_do(power):
    with pytest.raises(ValueError, match=r"`beta` must be 0 or a number of at least 0\.01"):
        losses.AlphaBetaDivergence(beta=power)


def test_a_transformed_teacher_is_a_soft_target_and_an_entropy():
    """`CE(p_T, q) = T · CE(p_T, q_T) - (T - 1) · H_{1/T}(q)`, with Rényi's entropy."""
    temperature = 4.0

    def row(p, q):
        p_t, q_t = (x ** (1 / temperature) / (x ** (1 / temperature)).sum() for x in (p, q))
        entropy = np.log((q ** (1 / temperature)).sum()) / (1 - 1 / temperature)
        crossed = -temperature * (p_t * np.log(q_t)).sum() - (temperature - 1) * entropy
        return crossed + (p_t * np.log(p_t)).sum()

    found = float(losses.TransformedTeacher(temperature)(TEACHER, STUDENT))
    assert found == pytest.approx(mean(row), rel=1e-4)


def test_the_weight_grows_with_the_teachers_softness():
    student = np.zeros((1, 5), "float32")

    def weight(logits):
        weighted, plain = (losses.TransformedTeacher(2.0, weighted=w) for w in (True, False))
        return float(weighted(logits, student)) / float(plain(logits, student))

    assert weight([[40.0, 0, 0, 0, 0]]) == pytest.approx(1.0, abs=1e-4)
    assert weight([[0.1, 0, 0, 0, 0]]) == pytest.approx(5**0.5, abs=1e-2)
    with pytest.raises(ValueError, match="`weighted` must be True or False"):
        losses.TransformedTeacher(weighted=1)
