import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import metrics as M
from keras_kd._core.keras_private import set_mask
from tests.metrics import oracles

CLASSES, N = 4, 60


def drawn(seed=0, scale=2.0, n=N):
    rng = np.random.default_rng(seed)
    teacher, student = rng.normal(0, scale, (2, n, CLASSES)).astype("float32")
    return teacher, student, rng.integers(0, CLASSES, n), rng.integers(0, 4, n).astype("float32")


CASES = {
    "agreement": (lambda: M.Agreement(), oracles.agreement, True),
    "top": (lambda: M.TopKAgreement(2), oracles.top_2_agreement, True),
    "kl": (lambda: M.TeacherKL(), oracles.kl, True),
    "kl 3": (lambda: M.TeacherKL(3.0), lambda t, s, w: oracles.kl(t, s, w, 3.0), True),
    "nll": (lambda: M.NegativeLogLikelihood(), oracles.nll, False),
    "brier": (lambda: M.BrierScore(), oracles.brier, False),
    "ece": (lambda: M.CalibrationError(5), oracles.ece, False),
    "equal mass": (lambda: M.EqualMassCalibrationError(5), None, False),
}
ALL = pytest.mark.parametrize("case", CASES)


def sides(case, *of):
    """What the metric of `case` compares: the teacher's logits, or the labels."""
    teacher, student, labels, weights = drawn(*of)
    return (teacher if CASES[case][2] else labels), student, weights


def value(metric, *batches):
    for true, pred, weight in batches:
        metric.update_state(true, pred, sample_weight=weight)
    return float(metric.result())


@ALL
def test_against_the_formula(case):
    make, oracle, _ = CASES[case]
    if oracle is None:
        pytest.skip("has a test of its own")
    true, pred, weight = sides(case)
    ones = np.ones(N)
    assert value(make(), (true, pred, None)) == pytest.approx(oracle(true, pred, ones), abs=1e-5)
    assert value(make(), (true, pred, weight)) == pytest.approx(
        oracle(true, pred, weight), abs=1e-5
    )


@ALL
def test_batches_make_no_difference_and_reset_forgets(case):
    make = CASES[case][0]
    true, pred, weight = sides(case)
    whole = value(make(), (true, pred, weight))
    metric = make()
    value(metric, (true[:7], pred[:7], weight[:7]))
    metric.reset_state()
    cuts = [slice(0, 1), slice(1, 20), slice(20, N)]
    assert value(metric, *((true[c], pred[c], weight[c]) for c in cuts)) == pytest.approx(
        whole, abs=1e-6
    )


@ALL
def test_weights_count_examples(case):
    make = CASES[case][0]
    true, pred, weight = sides(case)
    times = weight.astype(int)
    repeated = np.repeat(true, times, axis=0), np.repeat(pred, times, axis=0), None
    assert value(make(), (true, pred, weight)) == pytest.approx(value(make(), repeated), abs=1e-5)


@ALL
def test_before_the_first_example_it_is_0(case):
    assert float(CASES[case][0]().result()) == 0


@ALL
def test_config(case):
    metric = CASES[case][0]()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config()
    true, pred, weight = sides(case)
    assert value(again, (true, pred, weight)) == value(metric, (true, pred, weight))


@ALL
def test_huge_logits_and_half_precision(case):
    true, pred, weight = sides(case)
    if CASES[case][2]:
        true = 1e4 * true
    assert np.isfinite(value(CASES[case][0](), (true, 1e4 * pred, weight)))
    half = ops.cast(pred, "float16")
    expected = value(CASES[case][0](), (true, pred.astype("float16").astype("float32"), weight))
    assert value(CASES[case][0](), (true, half, weight)) == pytest.approx(expected, rel=1e-5)


@ALL
def test_probabilities_serve_as_well(case):
    make = CASES[case][0]
    true, pred, weight = sides(case)
    metric = type(make()).from_config({**make().get_config(), "from_logits": False})
    given = oracles.softmax(true) if CASES[case][2] else true
    assert value(metric, (given, oracles.softmax(pred), weight)) == pytest.approx(
        value(make(), (true, pred, weight)), abs=1e-5
    )


@ALL
def test_one_logit_is_a_choice_of_two(case):
    if case == "top":
        pytest.skip("the first two of two")
    make = CASES[case][0]
    teacher, student, labels, weight = drawn()
    two = [np.stack([np.zeros(N, "float32"), side[:, 0]], axis=1) for side in (teacher, student)]
    true = (two[0], teacher[:, :1]) if CASES[case][2] else (labels % 2, labels[:, None] % 2)
    whole = value(make(), (true[0], two[1], weight))
    assert value(make(), (true[1], student[:, :1], weight)) == pytest.approx(whole, abs=1e-5)


@ALL
def test_many_labels_are_many_choices(case):
    if case == "top":
        pytest.skip("the first two of two")
    make = CASES[case][0]
    teacher, student, _, weight = drawn()
    labels = np.random.default_rng(5).integers(0, 2, (N, CLASSES))
    true = teacher if CASES[case][2] else labels
    metric = type(make()).from_config({**make().get_config(), "multi_label": True})
    each = np.repeat(weight, CLASSES)
    single = value(make(), (true.reshape(-1, 1), student.reshape(-1, 1), each))
    assert value(metric, (true, student, weight)) == pytest.approx(single, abs=1e-5)


@pytest.mark.parametrize("case", [c for c in CASES if not CASES[c][2]])
def test_labels_in_every_form(case):
    make = CASES[case][0]
    _, student, labels, weight = drawn()
    expected = value(make(), (labels, student, weight))
    for form in (labels[:, None], labels.astype("float32"), np.eye(CLASSES)[labels]):
        assert value(make(), (form, student, weight)) == pytest.approx(expected, abs=1e-6)
    positions = labels.reshape(6, 10), student.reshape(6, 10, CLASSES), weight.reshape(6, 10)
    assert value(make(), positions) == pytest.approx(expected, abs=1e-6)


def test_scikit_learn_says_the_same():
    sk = pytest.importorskip("sklearn.metrics")
    _, student, labels, weight = drawn()
    p = oracles.softmax(student)
    for metric, wanted in (
        (M.NegativeLogLikelihood(), sk.log_loss(labels, p, sample_weight=weight)),
        (M.BrierScore(), sk.brier_score_loss(labels, p, sample_weight=weight)),
    ):
        assert value(metric, (labels, student, weight)) == pytest.approx(wanted, abs=1e-5)
    yes, logit = labels % 2, student[:, :1]
    p = 1 / (1 + np.exp(-logit[:, 0].astype("float64")))
    for metric, wanted in (
        (M.NegativeLogLikelihood(), sk.log_loss(yes, p)),
        (M.BrierScore(), sk.brier_score_loss(yes, p)),
    ):
        assert value(metric, (yes, logit, None)) == pytest.approx(wanted, abs=1e-5)


def test_mixed_labels():
    """A label of 0.3 and 0.7 is worth 0.3 of one and 0.7 of the other."""
    z = np.array([[1.0, -1.0, 0.5]], "float32")
    mixed = value(M.NegativeLogLikelihood(), (np.array([[0.3, 0.7, 0.0]]), z, None))
    apart = [value(M.NegativeLogLikelihood(), (np.array([c]), z, None)) for c in (0, 1)]
    assert mixed == pytest.approx(0.3 * apart[0] + 0.7 * apart[1], abs=1e-6)


def test_equal_mass_bins_are_near_those_of_sorted_answers():
    """They differ by no more than the share of the cells that are cut."""
    _, student, labels, _ = drawn(3, 4.0, 3000)
    p = oracles.softmax(student)
    confidence, right = p.max(-1), (p.argmax(-1) == labels).astype(float)
    exact = oracles.equal_mass(confidence, right, 5)
    errors = []
    for cells in (32, 2048):
        metric = M.EqualMassCalibrationError(5, cells=cells)
        odds = np.log(confidence / (1 - confidence))
        place = np.clip(((odds + 8) / 32 * cells).astype(int), 0, cells - 1)
        counts = np.bincount(place, minlength=cells)
        cut = np.searchsorted(np.cumsum(counts), np.arange(1, 5) / 5 * 3000)
        errors.append(abs(value(metric, (labels, student, None)) - exact))
        assert errors[-1] <= 1.3 * counts[np.unique(cut)].sum() / 3000
    assert errors[1] < 2e-3
    value(metric := M.EqualMassCalibrationError(5), ([1], np.array([[0.001]], "float32"), None))
    assert ops.convert_to_numpy(metric.sums)[8 * 64, 0] == 1  # log-odds of nearly 0, 1/64 a cell


def test_equal_mass_bins_hold_equally_many():
    """All but one are sure: one bin of equal width, several of equal mass."""
    confidence = np.array([0.9, 0.92, 0.94, 0.96])
    p = np.stack([confidence, 1 - confidence], axis=1).astype("float32")
    labels = np.array([1, 1, 0, 0])
    mass = M.EqualMassCalibrationError(2, from_logits=False)
    assert value(mass, (labels, p, None)) == pytest.approx((0.91 + 0.05) / 2, abs=1e-4)
    width = M.CalibrationError(2, from_logits=False)
    assert value(width, (labels, p, None)) == pytest.approx(0.93 - 0.5, abs=1e-5)


def test_bins_include_their_upper_end():
    metric = M.CalibrationError(2, from_logits=False)
    value(metric, (np.array([0, 0]), np.array([[0.5, 0.5], [0.75, 0.25]]), None))
    assert ops.convert_to_numpy(metric.sums)[:, 0].tolist() == [1, 1]


def test_masked_positions_do_not_count():
    teacher, student, *_ = drawn()
    t, s = teacher.reshape(6, 10, CLASSES), student.reshape(6, 10, CLASSES)
    mask = np.arange(10) < np.array([3, 10, 1, 7, 5, 2])[:, None]
    pred = ops.convert_to_tensor(s)
    set_mask(pred, ops.convert_to_tensor(mask))
    assert value(M.Agreement(), (t, pred, None)) == pytest.approx(
        (t.argmax(-1) == s.argmax(-1))[mask].mean()
    )


def test_stored_answers_of_the_largest_logits():
    teacher, student, *_ = drawn()
    order = np.argsort(-teacher, axis=1)

    def stored(k):
        largest = np.take_along_axis(teacher, order[:, :k], axis=1)
        sums = np.log(np.exp(teacher.astype("float64")).sum(axis=1)).astype("float32")
        return tuple(map(ops.convert_to_tensor, (largest, order[:, :k].astype("int32"), sums)))

    for make in (M.Agreement, lambda: M.TopKAgreement(2)):
        whole = value(make(), (teacher, student, None))
        assert value(make(), (stored(2), student, None)) == pytest.approx(whole)
    whole = value(M.TeacherKL(), (teacher, student, None))
    assert value(M.TeacherKL(), (stored(4), student, None)) == pytest.approx(whole, abs=1e-5)
    assert 0 < value(M.TeacherKL(), (stored(2), student, None)) < whole


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: M.TeacherKL(0), "`temperature` must be a number above 0"),
        (lambda: M.TopKAgreement(0), "`k` must be a whole number of at least 1"),
        (lambda: M.CalibrationError(0), "`bins` must be a whole number of at least 1"),
        (lambda: M.EqualMassCalibrationError(10, cells=5), "`cells` must be at least `bins`, 10"),
        (lambda: M.Agreement(target="teacher"), "An address names a role and a path"),
        (
            lambda: M.Agreement().update_state(np.ones((2, 3)), np.ones((2, 4))),
            r"the teacher's are \(None, 3\), the student's \(None, 4\)",
        ),
        (
            lambda: M.TopKAgreement(5).update_state(np.ones((2, 3)), np.ones((2, 3))),
            "at most the number of classes, 3",
        ),
        (
            lambda: M.BrierScore().update_state(np.ones((2, 2)), np.ones((2, 3))),
            r"labels of shape \(None, 2\) for predictions of 3 classes",
        ),
        (
            lambda: M.Agreement().update_state(np.ones(3), np.ones(3)),
            r"or \(batch, 1\) for a single",
        ),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize(
    "metric",
    [
        M.TopKAgreement(np.int64(3)),
        M.CalibrationError(bins=np.int64(3)),
        M.EqualMassCalibrationError(bins=np.int64(3), cells=np.int64(64)),
    ],
)
def test_whole_numbers_of_numpy(metric):
    json.dumps(metric.get_config())  # else the metric would not fit into a file


@pytest.mark.parametrize("k", [1, 2, 4])
def test_of_equal_answers_the_first_stands_first(k):
    teacher, dead = np.eye(5, dtype="float32"), np.zeros((5, 5), "float32")
    metric = M.TopKAgreement(k=k)
    metric.update_state(teacher, dead)
    assert float(metric.result()) == pytest.approx(k / 5)
    if k == 1:
        metric = M.Agreement()
        metric.update_state(teacher, dead)
        assert float(metric.result()) == pytest.approx(1 / 5)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("name", ["Agreement", "TopKAgreement"])
def test_nan_agrees_with_nothing(name, from_logits):
    kind = getattr(M, name)
    metric = kind(from_logits=from_logits, **({"k": 3} if name == "TopKAgreement" else {}))
    answers = 0.6 * np.eye(4, dtype="float32") + 0.1
    broken = answers.copy()
    broken[1], broken[2, 3] = np.nan, np.nan
    metric.update_state(answers, broken)
    assert float(metric.result()) == pytest.approx(0.5)
    metric.reset_state()
    metric.update_state(broken, answers)
    assert float(metric.result()) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "name", ["CalibrationError", "EqualMassCalibrationError", "NegativeLogLikelihood", "BrierScore"]
)
def test_nan_is_seen(name):
    metric = getattr(M, name)()
    answers = np.eye(4, dtype="float32")
    answers[2] = np.nan
    metric.update_state(np.arange(4), answers)
    assert np.isnan(float(metric.result()))
