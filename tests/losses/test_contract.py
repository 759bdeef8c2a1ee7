"""The contract: what every loss of the package keeps, on every backend."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import losses
from keras_kd._core.keras_private import set_mask
from keras_kd._trainers._programs import compiled, value_and_gradient
from keras_kd.testing._checks import CHECKS, ordinary
from keras_kd.testing._flat_rows import batches
from keras_kd.testing._program import result, steepest

from .cases import BATCH, CASES, Case, contract_of

each = pytest.mark.parametrize("case", CASES, ids=str)


def inputs(case: Case):
    return contract_of(case).inputs()


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@each  # all checks of a loss one after another: one worker compiles it
def test_keeps_the_contract(case, check):
    reason = check(contract_of(case))
    if reason is not None:
        pytest.skip(reason)


@each
def test_files_find_it_by_its_name(case):
    config = keras.saving.serialize_keras_object(case.build())
    assert config["registered_name"] == f"keras_kd>{case.loss.__name__}"


def test_every_loss_is_in_the_table():
    public = {
        thing
        for name, thing in vars(losses).items()
        if isinstance(thing, type) and issubclass(thing, losses.Loss) and thing is not losses.Loss
    }
    assert public == {case.loss for case in CASES}


@each
def test_what_stands_at_padding_changes_nothing(case):
    """Of sequences of vectors, for each loss that takes them."""
    if case.loss in (losses.AttentionScoreMatch, losses.RelationMatch):
        pytest.skip("it takes attention scores, or heads")
    loss = case.build()
    rng = np.random.default_rng(0)
    valid = np.arange(6) < np.array([[2], [6], [4], [5]])

    def sides(seed):
        other = np.random.default_rng(seed)
        target, pred = (
            np.where(valid[..., None], rng.normal(size=(BATCH, 6, 5)), other.normal(size=5) * 3)
            for rng in map(np.random.default_rng, (0, 1))
        )
        target, pred = (ops.convert_to_tensor(side, "float32") for side in (target, pred))
        set_mask(pred, ops.convert_to_tensor(valid))
        return (target, labels) if loss.with_labels else target, pred

    labels = ops.convert_to_tensor(rng.integers(0, 5, (BATCH, 6)))
    try:
        shape = loss.call(*sides(2)).shape
    except (TypeError, ValueError, IndexError, RuntimeError):
        pytest.skip("it takes no sequences of vectors")
    assert loss.joins_positions == (len(shape) == 1 and case.loss is not losses.JacobianMatch)
    if case.loss is not losses.JacobianMatch:  # slopes are the input's, and have no mask
        np.testing.assert_allclose(loss(*sides(2)), loss(*sides(3)), rtol=2e-5, atol=1e-6)


def test_correlations_of_classes_are_over_what_counts():
    """With padding, the classes' part is that of the valid positions, as examples of their own."""
    rng = np.random.default_rng(0)
    valid = np.arange(6) < np.array([[2], [6], [4], [5]])
    target, pred = (ops.convert_to_tensor(rng.normal(size=(4, 6, 5)), "float32") for _ in "tp")
    rows = [ops.convert_to_tensor(numpy(side)[valid]) for side in (target, pred)]
    loss = losses.CorrelationTarget(beta=0.0)
    expected = loss(*rows)
    set_mask(pred, ops.convert_to_tensor(valid))
    np.testing.assert_allclose(numpy(loss(target, pred)), numpy(expected), rtol=1e-5)


NORMALISING = ["StandardizedSoftTarget", "CorrelationTarget", "DirectionMatch", "FactorMatch", "AttentionMap",
               "SimilarityMatrix", "AngleRelation", "NeighborDistribution", "MaximumMeanDiscrepancy",
               "CorrelationCongruence", "ContrastiveMatch", "LogPowerDistance"]  # fmt: skip


@pytest.mark.parametrize("case", [c for c in CASES if str(c) in NORMALISING], ids=str)
def test_nor_under_half_precision(case):
    """The gradient comes back in the type of the prediction, where 65504 may be the largest."""
    contract = contract_of(case)
    loss, shares = case.build(reduction=None), contract.shares()

    def total(target, pred):
        both = [loss(target, ops.cast(pred, half)) for half in ("float16", "bfloat16")]
        return ops.sum((both[0] + both[1]) * ops.convert_to_tensor(shares)), ()

    program = compiled(total)
    for flat in batches(contract):
        if not flat.faint:
            _, slope, _ = program(flat.target, flat.pred)
            assert steepest(slope) <= 2 * 10.0 * ordinary(contract, flat), flat.kind


def test_a_flat_row_has_no_correlation_and_is_not_pulled():
    for case in (c for c in CASES if c.loss is losses.CorrelationTarget):
        target, pred = inputs(case)
        pred[1] = 3.0
        alone = case.build(gamma=0.0, reduction="sum")  # columns still ask something of the row
        _, slope = value_and_gradient(alone, target, pred)
        assert np.abs(slope[1]).max() < 1e-6 < np.abs(slope[0]).max()


WRITTEN_OUT = ["SoftTarget", "ReverseKL", "JensenShannon-0.5", "SkewKL", "SkewReverseKL",
               "StandardizedSoftTarget", "AngleRelation", "DistanceRelation"]  # fmt: skip


@pytest.mark.parametrize("case", [c for c in CASES if str(c) in WRITTEN_OUT], ids=str)
def test_a_target_made_of_the_prediction_is_held_still(case):
    """As when students learn from one another: gradients that are written out know of it."""
    _, pred = inputs(case)
    loss = case.build()
    held = ops.convert_to_numpy(2.0 * pred + 0.1 * pred**2)
    _, want = value_and_gradient(loss, held, pred)
    _, slope = value_and_gradient(
        lambda _, s: loss(ops.stop_gradient(2.0 * s + 0.1 * s**2), s), held, pred
    )
    np.testing.assert_allclose(slope, want, rtol=1e-4, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if str(c) in WRITTEN_OUT and c.loss is not losses.DistanceRelation],
    ids=str,
)
def test_a_gradient_that_is_written_out_does_not_reach_the_target(case):
    _, pred = inputs(case)
    loss = case.build()
    held = ops.convert_to_numpy(2.0 * pred + 0.1 * pred**2)
    _, want = value_and_gradient(loss, held, pred)
    _, slope = value_and_gradient(lambda _, s: loss(2.0 * s + 0.1 * s**2, s), held, pred)
    np.testing.assert_allclose(slope, want, rtol=1e-4, atol=1e-6 * np.abs(want).max())


def test_spans_hold_the_teacher_still():
    case = next(c for c in CASES if c.loss is losses.SpanTarget)
    (_, spans), pred = inputs(case)
    loss = case.build()

    def teacher(s):  # five positions and tokens, made of the student's three and seven
        return ops.take(2.0 * s[..., :5], np.array([0, 1, 1, 2, 0]), axis=1)

    held = ops.convert_to_numpy(teacher(ops.convert_to_tensor(pred)))
    _, want = value_and_gradient(lambda _, s: loss((held, spans), s), held, pred)
    _, slope = value_and_gradient(lambda _, s: loss((teacher(s), spans), s), held, pred)
    np.testing.assert_allclose(slope, want, rtol=1e-4, atol=1e-6 * np.abs(want).max())


def mean(case, target, pred):
    return result(contract_of(case), target, pred).mean


def test_a_table_row_would_fail_with_the_sides_swapped():
    """The table can tell the target from the prediction: few losses are symmetrical."""
    symmetrical = set()
    for case in CASES:
        target, pred = inputs(case)
        if (
            isinstance(target, tuple)
            or isinstance(pred, tuple)
            or np.shape(target) != np.shape(pred)
        ):
            continue
        if np.isclose(mean(case, target, pred), mean(case, pred, target), rtol=1e-4):
            symmetrical.add(case.loss.__name__)
    assert symmetrical == {
        "AlphaBetaDivergence", "AttentionMap", "AttentionScoreMatch", "ClassifierReuse", "CorrelationTarget",
        "DirectionMatch", "FactorMatch", "FeatureMatch", "HiddenStateMatch", "HierarchicalContext", "JacobianMatch",
        "JensenShannon", "LogitMatch",
        "MaskedGeneration", "LogPowerDistance", "TotalVariation", "UniversalLogit",
    }  # fmt: skip
