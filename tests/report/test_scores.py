import numpy as np
import pytest

from keras_kd.report import _scores

sk = pytest.importorskip("sklearn.metrics")


def test_auc_with_ties():
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 4, 200), rng.random(200) < 0.3
    assert _scores.roc_auc(scores, positive) == pytest.approx(sk.roc_auc_score(positive, scores))
    assert _scores.roc_auc(scores, np.ones(200, bool)) is None


def test_classes_that_are_never_true_or_never_answered():
    y, said = np.array([0, 0, 1, 1, 2]), np.array([0, 3, 1, 0, 0])
    table = np.zeros((6, 6), int)
    np.add.at(table, (y, said), 1)
    scores = (sk.precision_score, sk.recall_score, sk.f1_score)
    wanted = [score(y, said, average="macro", zero_division=0) for score in scores]
    assert _scores.macro(table) == pytest.approx(wanted)


def test_a_probability_of_0_is_not_minus_infinity():
    y, p = np.array([0, 1]), np.array([[0.0, 1.0], [0.2, 0.8]])
    nll = -_scores.log_of(p)[np.arange(2), y].mean()
    assert nll == pytest.approx(sk.log_loss(y, p), abs=1e-6)
