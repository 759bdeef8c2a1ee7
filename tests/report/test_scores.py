import numpy as np
import pytest

from keras_kd.report import _scores, _tasks

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
    assert _scores.macro_precision_recall_f1(table) == pytest.approx(wanted)


def test_a_probability_of_0_is_not_minus_infinity():
    y, p = np.array([0, 1]), np.array([[0.0, 1.0], [0.2, 0.8]])
    nll = -_scores.log_probabilities(p)[np.arange(2), y].mean()
    assert nll == pytest.approx(sk.log_loss(y, p), abs=1e-6)


def test_auc_of_answers_whose_probabilities_round_to_1():
    """Logits 0 and 40 + y: by their probabilities, all of them 1, no two could be told apart."""
    y = np.random.default_rng(0).random(200)
    two = np.stack([np.zeros(200), 40 + y], axis=1)
    for task, outputs in (
        (_tasks.Classification((y > 0.5).astype(int), 2), two),
        (_tasks.Classification((y > 0.5).astype(int), 2), two[:, 1:]),
        (_tasks.MultiLabel((y > 0.5).astype(int)[:, None]), two[:, 1:]),
    ):
        assert task.scores(task.predictions(outputs, True))["roc_auc"] == 1.0
        assert task.scores(task.predictions(-outputs, True))["roc_auc"] == 0.0
    many = np.stack([40 + y, 39 - y, np.zeros(200)], axis=1)
    task = _tasks.Classification(np.where(y > 0.5, 0, 1), 3)
    # The labels have no class 2, and the other two are ranked without a fault.
    assert task.scores(task.predictions(3 * many, True))["roc_auc"] == 1.0


def test_log_odds():
    log_p = _scores.log_softmax(np.random.default_rng(0).normal(0, 3, (50, 4)))
    p = np.exp(log_p)
    np.testing.assert_allclose(_scores.log_odds(log_p), np.log(p / (1 - p)), rtol=1e-9)
    sure = _scores.log_odds(_scores.log_softmax(np.array([[90.0, 30.0, 30.0]])))
    np.testing.assert_allclose(sure[0], [60 - np.log(2), -60, -60])
    equal = _scores.log_odds(_scores.log_softmax(np.zeros((1, 2))))
    np.testing.assert_allclose(equal, [[0.0, 0.0]], atol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_among_equals_the_first_stands_first(k):
    """A student that has died and answers 0 to everything is right on `k` classes of ten."""
    y, dead = np.arange(200) % 10, np.zeros((200, 10))
    assert _scores.in_top_k(dead, y, k).mean() == pytest.approx(k / 10)
    rng = np.random.default_rng(1)
    answers = rng.integers(0, 3, (200, 10)).astype(float)
    places = np.argsort(-answers, axis=1, kind="stable").argsort(axis=1)
    assert (_scores.in_top_k(answers, y, k) == (places[np.arange(200), y] < k)).all()
    if k == 1:
        assert (_scores.in_top_k(answers, y, k) == (answers.argmax(axis=1) == y)).all()


def test_the_order_of_the_examples_is_no_matter():
    """Of bins as large as each other; half of the answers are equally sure."""
    rng = np.random.default_rng(2)
    sure = np.where(rng.random(301) < 0.5, 1.0, rng.random(301))
    right = (rng.random(301) < 0.7).astype(float)
    error = _scores.equal_mass_error(sure, right)
    assert _scores.equal_mass_error(sure[::-1], right[::-1]) == pytest.approx(error, abs=1e-12)
    for bins in (1, 7):
        found = _scores.equal_mass_error(np.full(301, 0.9), right, bins)
        assert found == pytest.approx(abs(right.mean() - 0.9))
