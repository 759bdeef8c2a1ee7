"""What the losses say to wrong arguments, and what they give at the edges."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import losses
from keras_kd._core.keras_private import set_mask
from keras_kd._trainers._programs import value_and_gradient


def zeros(*shape):
    return np.zeros(shape, "float32")


def finite(loss, target, pred):
    """The loss's value, once it and its gradient are seen to be finite."""
    value, slope = value_and_gradient(loss, target, pred)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in keras.tree.flatten(slope))
    return float(value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: losses.SoftTarget(0.0), r"`temperature` must be a number above 0 .*temperature=0.0"),
        (lambda: losses.SoftTarget("hot"), r"`temperature` must be a number above 0"),
        (lambda: losses.SoftTarget(True), r"`temperature` must be a number above 0"),
        (lambda: losses.SoftTarget(float("nan")), r"`temperature` must be a number above 0"),
        (lambda: losses.BinarySoftTarget(-1.0), r"`temperature` must be a number above 0"),
        (lambda: losses.StandardizedSoftTarget(0), r"`temperature` must be a number above 0"),
        (lambda: losses.DecoupledSoftTarget(alpha=float("inf")), r"`alpha` must be a finite number"),
        (lambda: losses.DecoupledSoftTarget(beta=None), r"`beta` must be a finite number"),
        (lambda: losses.CorrelationTarget(gamma="1"), r"`gamma` must be a finite number"),
        (lambda: losses.RegressionMatch(float("nan")), r"`margin` must be a finite number"),
        (lambda: losses.VirtualTarget(correct=1.0), r"between 0 and 1.*correct=1.0"),
        (lambda: losses.VirtualTarget(correct=0.0), r"`correct` must be a number above 0"),
        (lambda: losses.JensenShannon(1.5), r"`beta` must lie between 0 and 1.*beta=1.5"),
        (lambda: losses.JensenShannon("half"), r"`beta` must be a number"),
        (lambda: losses.SkewKL(0.0), r"`lam` must lie between 0 and 1.*plain divergence.*lam=0.0"),
        (lambda: losses.SkewReverseKL(1), r"`lam` must lie between 0 and 1"),
        (lambda: losses.BoundaryMatch(0), r"`margin` must be a number above 0"),
        (lambda: losses.MarginReLUMatch([-0.5, 0.1]), r"`margins` lie below.*0 or less.*0.1"),
        (lambda: losses.HierarchicalContext((4, 0)), r"`levels` must be a whole number of at least 1. Received: levels=0"),
        (lambda: losses.HierarchicalContext((2.5,)), r"whole number of at least 1. Received: levels=2.5"),
        (lambda: losses.CorrelationCongruence(gamma=0), r"`gamma` must be a number above 0"),
        (lambda: losses.CorrelationCongruence(order=0), r"`order` must be a whole number.*order=0"),
        (lambda: losses.ContrastiveMatch(0), r"`temperature` must be a number above 0"),
        (lambda: losses.NoiseContrastive(0.5), r"`examples` must be a whole number.*0.5"),
        (lambda: losses.LogPowerDistance(0), r"`power` must be a number above 0"),
        (lambda: losses.AttentionScoreMatch(float("-inf")), r"`masked_below` must be a finite number"),
    ],
)  # fmt: skip
def test_wrong_constants_are_refused_at_construction(make, words):
    with pytest.raises(ValueError, match=words):
        make()


LABELLED = [
    losses.DecoupledSoftTarget, losses.NormalizedTarget, losses.WeightedSoftTarget,
    losses.LabelledTarget, functools.partial(losses.ConfidenceWeighted, losses.SoftTarget()),
]  # fmt: skip


@pytest.mark.parametrize("loss", LABELLED)
def test_labels_of_another_shape_are_refused(loss):
    words = r"labels must be hard.*\(None, 6\).*MixUp.*SoftTarget"
    with pytest.raises(ValueError, match=words):
        loss()((zeros(4, 6), zeros(4, 5)), zeros(4, 6))
    with pytest.raises(ValueError, match=words):
        losses.VirtualTarget()(zeros(4, 5), zeros(4, 6))


@pytest.mark.parametrize("loss", [*LABELLED, losses.VirtualTarget])
def test_one_hot_labels_are_the_classes_they_are_and_mixed_ones_have_none(loss):
    rng = np.random.default_rng(3)
    teacher, student = rng.normal(size=(2, 4, 6)).astype("float32")
    numbers = np.array([0, 5, 2, 2], "int32")
    one_hot = np.eye(6, dtype="float32")[numbers]
    made = loss(reduction=None)

    def value(labels):
        target = labels if loss is losses.VirtualTarget else (teacher, labels)
        return ops.convert_to_numpy(made(target, student))

    np.testing.assert_allclose(value(one_hot), value(numbers), rtol=1e-6)
    rows = one_hot.copy()
    rows[1], rows[3] = 0.9 * rows[1] + 0.1 * rows[0], 0.0
    if isinstance(made, losses.ConfidenceWeighted):
        return  # with one teacher the labels weigh nothing
    assert np.isnan(value(rows)).tolist() == [False, True, False, True]
    np.testing.assert_allclose(value(rows)[[0, 2]], value(numbers)[[0, 2]], rtol=1e-6)


@pytest.mark.parametrize("loss", LABELLED)
def test_one_class_is_refused(loss):
    with pytest.raises(ValueError, match=r"there is but one: shape .*BinarySoftTarget"):
        loss()((zeros(4, 1), zeros(4)), zeros(4, 1))


@pytest.mark.parametrize("loss", LABELLED)
def test_a_column_of_labels_will_do(loss):
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 4, 6)).astype("float32")
    labels = np.array([0, 5, 3, 1])
    a, b = loss()((teacher, labels), student), loss()((teacher, labels[:, None]), student)
    assert float(a) == float(b)


@pytest.mark.parametrize(
    ("loss", "target", "pred", "words"),
    [
        (
            losses.RegressionMatch(), (zeros(4, 3), zeros(4)), zeros(4, 3),
            r"labels must have the prediction's shape.*\(None,\).*\(None, 3\)",
        ),
        (
            losses.SparseSoftTarget(), (zeros(4, 2), zeros(4, 3), zeros(4)), zeros(4, 7),
            r"largest logits, class numbers, log-sum-exp.*\(None, 2\), \(None, 3\)",
        ),
        (
            losses.SampledSoftTarget(), (zeros(4, 2), zeros(4, 2), zeros(4)), zeros(4, 7),
            r"weights, class numbers.*a target of \(None, 2\), \(None, 2\), \(None,\)",
        ),
        (losses.AttentionMap(), zeros(4, 5, 2), zeros(4, 4, 4, 2), r"same number of axes"),
        (losses.AttentionMap(), zeros(4, 5, 2), zeros(4, 6, 2), r"same positions.*\(None, 5, 2\)"),
        (losses.HierarchicalContext(), zeros(4, 6), zeros(4, 6), r"pools maps.*\(None, 6\)"),
        (losses.MarginReLUMatch([0.0, 0.0]), zeros(4, 3), zeros(4, 3), r"2 margins for 3 channels"),
        (losses.ContrastiveMatch(), zeros(4, 5), zeros(4, 3), r"same number of features.*projector"),
        (losses.NoiseContrastive(50), zeros(4), zeros(4, 1), r"\(batch, 1 \+ K\).*\(None, 1\)"),
        (
            losses.RelationMatch(), (zeros(4, 2, 3, 5),) * 2, (zeros(4, 1, 3, 5),) * 2,
            r"2 heads in the target.*1 in the prediction",
        ),
    ],
)  # fmt: skip
def test_shapes_that_cannot_be_compared_are_named(loss, target, pred, words):
    with pytest.raises(ValueError, match=words):
        loss(target, pred)


def test_maps_of_unknown_size_are_not_pooled():
    known, unknown = keras.KerasTensor((None, 4, 4, 2)), keras.KerasTensor((None, None, None, 2))
    with pytest.raises(ValueError, match=r"known.*\(None, None, None, 2\).*Resize"):
        losses.AttentionMap().call(known, unknown)


def test_two_classes_have_no_others_to_compare():
    teacher, student = np.array([[2.0, 0.0]], "float32"), np.array([[0.0, 1.0]], "float32")
    only_others = losses.DecoupledSoftTarget(alpha=0.0, beta=8.0, temperature=2.0)
    assert finite(only_others, (teacher, np.array([0])), student) == 0.0
    whole = losses.DecoupledSoftTarget(temperature=2.0)
    plain = losses.SoftTarget(temperature=2.0)
    value = finite(whole, (teacher, np.array([0])), student)
    np.testing.assert_allclose(value, float(plain(teacher, student)), rtol=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_decoupled_at_certainty(sign):
    """A student that is sure of the right class, or sure that it is wrong."""
    student = np.array([[sign * 1e4, 0.0, 0.0]], "float32")
    teacher = np.array([[1.0, 0.0, 2.0]], "float32")
    finite(losses.DecoupledSoftTarget(), (teacher, np.array([0])), student)


RELATIONAL = [
    losses.SimilarityMatrix, losses.DistanceRelation, losses.AngleRelation,
    losses.NeighborDistribution, losses.CorrelationCongruence, losses.ContrastiveMatch,
]  # fmt: skip


@pytest.mark.parametrize("loss", RELATIONAL)
def test_a_batch_of_one_has_no_relations(loss):
    rng = np.random.default_rng(0)
    target, pred = rng.normal(size=(2, 1, 5)).astype("float32")
    np.testing.assert_allclose(finite(loss(), target, pred), 0.0, atol=1e-6)


def test_a_batch_of_one_has_a_power(loss=losses.LogPowerDistance):
    target, pred = np.array([[[1.0, 2.0]], [[1.0, 4.0]]], "float32")
    np.testing.assert_allclose(finite(loss(), target, pred), 2 * np.log(2.0**4), rtol=1e-6)
    np.testing.assert_allclose(finite(loss(), target, target), 2 * np.log(1e-30), rtol=1e-6)


@pytest.mark.parametrize("loss", [*RELATIONAL, losses.LogPowerDistance])
def test_equal_and_zero_examples_are_finite(loss):
    rng = np.random.default_rng(0)
    target, pred = rng.normal(size=(2, 4, 5)).astype("float32")
    target[1] = target[0]
    pred[2], pred[3] = pred[1], 0.0
    finite(loss(), target, pred)
    finite(loss(), target, zeros(4, 5))
    finite(loss(), zeros(4, 5), pred)


def test_correlation_of_one_example_is_by_class_zero():
    """Every column is constant: its correlation is 0, and the loss by class 1."""
    teacher, student = np.array([[[2.0, 0.0, 1.0]], [[0.0, 1.0, 3.0]]], "float32")
    by_class = losses.CorrelationTarget(beta=0.0, gamma=1.0, temperature=1.0)
    np.testing.assert_allclose(finite(by_class, teacher, student), 1.0, rtol=1e-6)


def test_correlation_of_a_constant_column():
    teacher = np.array([[2.0, 0.0, -1e4], [0.0, 1.0, -1e4]], "float32")
    finite(losses.CorrelationTarget(temperature=1.0), teacher, np.flip(teacher, 0).copy())
    finite(losses.CorrelationTarget(temperature=1.0), teacher, zeros(2, 3))


LOGITS = (losses.SoftTarget, losses.BinarySoftTarget, losses.StandardizedSoftTarget)
DIVERGENCES = (losses.ReverseKL, losses.JensenShannon, losses.SkewKL, losses.SkewReverseKL)


@pytest.mark.parametrize(
    "loss",
    [*LOGITS, *DIVERGENCES, losses.FeatureMatch, losses.HiddenStateMatch],
    ids=lambda loss: loss.__name__,
)
def test_one_rule_of_means_on_sequences(loss):
    """Masks and weights per position say what counts; weights per example are a factor."""
    rng = np.random.default_rng(0)
    target, pred = rng.normal(size=(2, 2, 3, 5)).astype("float32")
    valid = np.array([[1, 1, 0], [1, 0, 0]], "float32")
    each = ops.convert_to_numpy(loss(reduction=None)(target, pred))

    def mean(pred=pred, weight=None, **kwargs):
        return float(loss(**kwargs)(target, pred, sample_weight=weight))

    def near(value):
        return pytest.approx(value, rel=1e-5)

    assert mean() == near(each.mean())
    assert mean(weight=valid) == near((each * valid).sum() / 3)
    assert mean(weight=valid * 2) == near((each * valid).sum() / 3)
    assert mean(weight=valid * 0) == 0.0
    example = np.array([2.0, 1.0], "float32")
    expected = (each * example[:, None]).mean()
    assert mean(weight=example) == near(expected)
    assert mean(weight=example[:, None]) == near(expected)
    own = {"reduction": "mean_with_sample_weight"}  # Keras's own rule, for who asks for it
    assert mean(weight=example, **own) == near(expected * 6 / 9)
    masked = ops.convert_to_tensor(pred)
    set_mask(masked, ops.convert_to_tensor(valid > 0))
    assert mean(masked) == near((each * valid).sum() / 3)
    both = (each * valid * example[:, None]).sum() / 3
    assert mean(masked, weight=example) == near(both)
    assert mean(masked, weight=np.array([[1, 0, 1], [1, 1, 1]])) == near(each[[0, 1], 0].mean())


def test_padding_changes_no_score_of_attention():
    rng = np.random.default_rng(0)
    target, pred = rng.normal(size=(2, 2, 4, 3, 3)).astype("float32")
    valid = np.array([[1, 1, 0], [1, 0, 0]], "bool")
    changed = pred + 5.0 * ~(valid[:, None, :, None] & valid[:, None, None, :])
    masked = [ops.convert_to_tensor(x.astype("float32")) for x in (pred, changed)]
    for x in masked:
        set_mask(x, ops.convert_to_tensor(valid))
    loss = losses.AttentionScoreMatch(reduction=None)
    before, after = (ops.convert_to_numpy(loss(target, x)) for x in masked)
    np.testing.assert_allclose(before, after)
    np.testing.assert_allclose(before[0], np.square(target - pred)[0, :, :2, :2].mean(), rtol=1e-5)


def all_masked():
    rng = np.random.default_rng(0)
    t, s = rng.normal(size=(2, 2, 3, 5)).astype("float32")
    yield losses.SparseSoftTarget(), ((t, np.arange(5) + 0 * t, np.log(np.exp(t).sum(-1))), s)
    yield losses.SampledSoftTarget(), ((np.abs(t), np.arange(5) + 0 * t), s)
    yield losses.HiddenStateMatch(), (t, s)
    heads = rng.normal(size=(4, 2, 1, 3, 5)).astype("float32")
    yield losses.RelationMatch(), ((heads[0], heads[1], np.zeros((2, 3))), (heads[2], heads[3]))
    yield losses.SoftTarget(), (t, s)


@pytest.mark.parametrize(
    ("loss", "sides"), list(all_masked()), ids=lambda x: getattr(x, "name", "")
)
def test_all_positions_masked(loss, sides):
    """No position counts: the loss and its gradient are 0."""
    weight = np.zeros((2, 3), "float32")
    value, slope = value_and_gradient(lambda t, s: loss(t, s, weight), *sides)
    assert value == 0.0 and all((g == 0.0).all() for g in keras.tree.flatten(slope))


def test_all_scores_masked():
    scores = np.full((2, 2, 3, 3), -1e9, "float32")
    assert finite(losses.AttentionScoreMatch(), scores, 10 * scores) == 0.0


def test_the_bucket_never_costs_more_than_all_classes():
    rng = np.random.default_rng(0)
    for temperature in (1.0, 3.0):
        teacher, student = 3 * rng.normal(size=(2, 20, 9)).astype("float32")
        dense = float(losses.SoftTarget(temperature)(teacher, student))
        last = -1e-6
        for k in (1, 4, 9):
            order = np.argsort(-teacher, -1)[:, :k]
            total = np.log(np.exp(teacher / temperature).sum(-1))
            target = np.take_along_axis(teacher, order, -1), order, total
            value = float(losses.SparseSoftTarget(temperature)(target, student))
            assert last <= value + 1e-5  # the more is known, the more can differ
            assert value <= dense * (1 + 1e-5)
            last = value
        np.testing.assert_allclose(last, dense, rtol=1e-5)


def test_the_bucket_where_the_student_gives_the_rest_nothing():
    """Its cost is the true one, not where float32 ends."""
    teacher = np.array([[2.0, 0.0, 0.0]], "float32")
    target = teacher[:, :1], np.array([[0]]), np.log(np.exp(teacher).sum(-1))
    student = np.array([[60.0, 0.0, 0.0]], "float32")
    p = np.exp(2.0) / (np.exp(2.0) + 2)
    expected = p * np.log(p) + (1 - p) * (np.log(1 - p) - (np.log(2.0) - 60.0))
    np.testing.assert_allclose(
        finite(losses.SparseSoftTarget(), target, student), expected, rtol=1e-5
    )


def test_jensen_shannon_tends_to_zero_at_its_ends():
    """Near the ends it is beta times a divergence; at the ends it is, by convention, all of it."""
    teacher, student = np.array([[[2.0, 0.0]], [[0.0, 1.0]]], "float32")
    near = float(losses.JensenShannon(1e-3)(teacher, student))
    end = float(losses.JensenShannon(0.0)(teacher, student))
    np.testing.assert_allclose(near, 1e-3 * end, rtol=1e-2)


def test_a_regression_student_is_let_off_when_it_beats_its_teacher():
    target = np.array([[1.0], [3.0]], "float32"), np.array([0.0, 0.0], "float32")
    pred = np.array([[2.0], [2.0]], "float32")
    each = losses.RegressionMatch(reduction=None)(target, pred)
    np.testing.assert_allclose(ops.convert_to_numpy(each), [4.0, 0.0])
    strict = losses.RegressionMatch(margin=6.0, reduction=None)(target, pred)
    np.testing.assert_allclose(ops.convert_to_numpy(strict), [4.0, 4.0])


def test_margins_of_a_normalisation_are_means_below_zero():
    rng = np.random.default_rng(0)
    mean, deviation = [0.3, -1.0, 9.0, -2.0, 2.0], [1.0, -2.0, 1.0, 0.0, 0.0]
    margins = losses.MarginReLUMatch.below_zero(mean, deviation)
    for found, m, d in zip(margins[:2], mean, deviation, strict=False):
        drawn = rng.normal(m, abs(d), size=400_000)
        np.testing.assert_allclose(found, drawn[drawn < 0].mean(), rtol=1e-2)
    assert margins[2:] == [-3.0, -2.0, 0.0]
    losses.MarginReLUMatch(margins)


def test_the_target_gives_more_negatives_than_the_batch():
    rng = np.random.default_rng(0)
    target, pred = rng.normal(size=(2, 4, 5)).astype("float32")
    more = np.concatenate([target, rng.normal(size=(3, 5)).astype("float32")])
    loss = losses.ContrastiveMatch()
    assert float(loss(more, pred)) > float(loss(target, pred))


def test_channels_first_maps_are_the_same_maps():
    rng = np.random.default_rng(0)
    target, pred = rng.normal(size=(2, 2, 4, 6, 3)).astype("float32")
    mapped = (
        losses.AttentionMap(), losses.MaximumMeanDiscrepancy(), losses.HierarchicalContext(),
        losses.MarginReLUMatch([-0.1, -0.5, -1.0]),
    )  # fmt: skip
    last = [float(loss(target, pred)) for loss in mapped]
    keras.config.set_image_data_format("channels_first")
    try:
        moved = (np.moveaxis(x, -1, 1).copy() for x in (target, pred))
        target, pred = moved
        first = [float(loss(target, pred)) for loss in mapped]
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(first, last, rtol=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        losses.SoftTarget(),
        losses.StandardizedSoftTarget(),
        losses.ReverseKL(),
        losses.CorrelationTarget(),
        losses.HardTarget(),
    ],
    ids=lambda loss: loss.name,
)
def test_one_logit_is_no_choice_among_classes(loss):
    words = r"there is but one: shape \(None, 1\).*keras_kd.losses.BinarySoftTarget"
    with pytest.raises(ValueError, match=words):
        loss(zeros(4, 1), zeros(4, 1))
    losses.BinarySoftTarget()(zeros(4, 1), zeros(4, 1))
