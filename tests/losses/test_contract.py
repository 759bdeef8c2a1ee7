"""The contract: what every loss of the package keeps, on every backend."""

import functools
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import losses
from keras_kd._core.keras_private import set_mask

from . import oracles
from .cases import BATCH, CASES, Case
from .flat import Flat, batches
from .gradients import compiled, differences, forward, value_and_gradient

each = pytest.mark.parametrize("case", CASES, ids=str)


def inputs(case: Case, seed: int = 0):
    rng = np.random.default_rng(seed)
    return case.make(lambda *shape: rng.normal(size=shape).astype("float32"))


def extreme(case: Case, size: float = 1e4, seed: int = 0):
    rng = np.random.default_rng(seed)
    return case.make(lambda *shape: rng.choice([-size, 0.0, size], size=shape).astype("float32"))


class Answer(NamedTuple):
    """What the one program of a case gives."""

    value: Any  # the sum of the values, each by a share of its own, so that none hides another
    slope: Any  # its gradient by the prediction
    values: Any  # one per example or position
    mean: Any  # the loss as it reduces by itself
    weighted: Any  # the sum with WEIGHT, by a loss that came back from its config


WEIGHT = np.array([0.0, 2.0, 1.0, 1.0], "float32")


@functools.cache
def _program(name):
    case = next(c for c in CASES if str(c) == name)
    loss, mean = case.build(reduction=None), case.build()
    config = keras.saving.serialize_keras_object(case.build(name="mine", reduction="sum"))
    back = keras.saving.deserialize_keras_object(config)

    def everything(target, pred):
        values = loss(target, pred)
        total = ops.sum(values * ops.convert_to_tensor(shares_of(case)))
        return total, (values, mean(target, pred), back(target, pred, sample_weight=WEIGHT))

    return compiled(everything)


def answer(case: Case, target, pred) -> Answer:
    """Compiled once for each row of the table."""
    value, slope, rest = _program(str(case))(target, pred)
    return Answer(value, slope, *rest)


def shares_of(case: Case):
    shape = (BATCH, *case.shape)
    return np.linspace(0.5, 2.0, int(np.prod(shape)), dtype="float32").reshape(shape)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def as_float64(tree):
    return keras.tree.map_structure(lambda x: np.asarray(x, "float64"), tree)


def test_every_loss_is_in_the_table():
    public = {
        thing
        for name, thing in vars(losses).items()
        if isinstance(thing, type) and issubclass(thing, losses.Loss) and thing is not losses.Loss
    }
    assert public == {case.loss for case in CASES}


@each
def test_equals_the_formula_and_has_one_value_per_example(case):
    target, pred = inputs(case)
    said = answer(case, target, pred)
    values = said.values
    assert values.shape == (BATCH, *case.shape)
    assert values.dtype == np.float32
    expected = case.values(as_float64(target), as_float64(pred))
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(said.mean, expected.mean(), rtol=1e-5)


@each
def test_identity_scores_the_minimum(case):
    if case.identity is None:
        pytest.skip("has no minimum at the target itself")
    target, pred = inputs(case)
    least = answer(case, target, case.identity(target)).mean
    agreeing = as_float64(target), as_float64(case.identity(target))
    np.testing.assert_allclose(least, case.values(*agreeing).mean(), atol=1e-5, rtol=1e-6)
    np.testing.assert_allclose(least, case.least, atol=1e-3)
    assert least < answer(case, target, pred).mean


def reordered(tree, order):
    """Every array's first BATCH rows in another order; what has fewer rows is not per example."""

    def move(x):
        return x if len(x) < BATCH else np.concatenate([x[:BATCH][order], x[BATCH:]])

    return keras.tree.map_structure(move, tree)


@each
def test_the_order_of_the_batch_does_not_matter(case):
    target, pred = inputs(case)
    order = np.array([2, 0, 3, 1])
    before = answer(case, target, pred).values
    after = answer(case, reordered(target, order), reordered(pred, order)).values
    np.testing.assert_allclose(after, before[order], rtol=2e-5, atol=1e-6)


@each
def test_says_whether_an_example_depends_on_the_others(case):
    target, pred = inputs(case)
    other_target, other_pred = inputs(case, seed=1)

    def changed(mine, other):  # the last example is another one
        def swap(a, b):
            if len(a) < BATCH:
                return a
            return np.concatenate([a[: BATCH - 1], b[BATCH - 1 : BATCH], a[BATCH:]])

        return keras.tree.map_structure(swap, mine, other)

    before = answer(case, target, pred).values[: BATCH - 1]
    after = answer(case, changed(target, other_target), changed(pred, other_pred)).values
    assert case.build().relational == (not np.allclose(before, after[: BATCH - 1], rtol=1e-4))


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


@each
def test_sample_weight_removes_and_counts_twice(case):
    target, pred = inputs(case)
    said = answer(case, target, pred)
    expected = said.values[1] * 2 + said.values[2] + said.values[3]
    np.testing.assert_allclose(said.weighted, expected.sum(), rtol=1e-5)


def held_weight(case, target, pred):
    """Constants that the formula holds still for the gradient."""
    if case.loss is not losses.WeightedSoftTarget:
        return case.values
    (teacher, labels), rows = target, range(BATCH)
    weights = [oracles.importance(teacher[i], int(labels[i]), pred[i]) for i in rows]

    def values(target, pred):
        given = [
            oracles.weighted(
                teacher[i], int(labels[i]), pred[i], weight=weights[i], **case.constants
            )
            for i in rows
        ]
        return np.array(given)

    return values


@each
def test_gradient_equals_finite_differences(case):
    target, pred = inputs(case)
    shares = shares_of(case)
    slope = answer(case, target, pred).slope
    exact_target, exact_pred = as_float64(target), as_float64(pred)
    values = held_weight(case, exact_target, exact_pred)
    expected = differences(lambda s: (values(exact_target, s) * shares).sum(), exact_pred)
    largest = max(np.abs(slopes).max() for _, slopes in expected)
    assert largest > 0
    for got, (places, want) in zip(keras.tree.flatten(slope), expected, strict=True):
        np.testing.assert_allclose(got.ravel()[places], want, rtol=1e-3, atol=2e-5 * largest)


@each
@pytest.mark.parametrize("make", [extreme, functools.partial(extreme, size=0.0)], ids=["1e4", "0"])
def test_finite_at_the_ends(case, make):
    """Values and gradients, at 1e4 of either sign, at zero, and with equal examples."""
    target, pred = make(case)
    sides = [pred, *([case.identity(target)] if case.identity else [])]
    for side in sides:
        said = answer(case, target, side)
        assert np.isfinite(said.values).all()
        assert all(np.isfinite(g).all() for g in keras.tree.flatten(said.slope))


def steepest(slope):
    return max(float(np.abs(part).max()) for part in keras.tree.flatten(slope))


def ordinary(case, flat: Flat):
    """The largest gradient where rows vary: as they are drawn, or as large as the flat ones."""
    return max(_drawn(str(case)), steepest(answer(case, flat.target, flat.ordinary).slope))


@functools.cache
def _drawn(name):
    case = next(c for c in CASES if str(c) == name)
    return steepest(answer(case, *inputs(case)).slope)


@each
def test_rows_without_variation_pull_no_harder_than_others(case):
    """Blank images and dead ReLUs. A row that only hardly varies may pull somewhat harder."""
    wrong = []
    for flat in batches(case):
        said = answer(case, flat.target, flat.pred)
        assert np.isfinite(said.values).all(), flat.kind
        times = steepest(said.slope) / ordinary(case, flat)
        if not times <= (40.0 if flat.faint else 10.0):
            wrong.append(f"{flat.kind}: {times:.3g} times")
    assert not wrong


NORMALISING = ["StandardizedSoftTarget", "CorrelationTarget", "FactorMatch", "AttentionMap",
               "SimilarityMatrix", "AngleRelation", "NeighborDistribution", "MaximumMeanDiscrepancy",
               "CorrelationCongruence", "ContrastiveMatch", "LogPowerDistance"]  # fmt: skip


@pytest.mark.parametrize("case", [c for c in CASES if str(c) in NORMALISING], ids=str)
def test_nor_under_half_precision(case):
    """The gradient comes back in the type of the prediction, where 65504 may be the largest."""
    loss, shares = case.build(reduction=None), shares_of(case)

    def total(target, pred):
        both = [loss(target, ops.cast(pred, half)) for half in ("float16", "bfloat16")]
        return ops.sum((both[0] + both[1]) * ops.convert_to_tensor(shares)), ()

    program = compiled(total)
    for flat in batches(case):
        if not flat.faint:
            _, slope, _ = program(flat.target, flat.pred)
            assert steepest(slope) <= 2 * 10.0 * ordinary(case, flat), flat.kind


def test_a_flat_row_has_no_correlation_and_is_not_pulled():
    for case in (c for c in CASES if c.loss is losses.CorrelationTarget):
        target, pred = inputs(case)
        pred[1] = 3.0
        alone = case.build(gamma=0.0, reduction="sum")  # columns still ask something of the row
        _, slope = value_and_gradient(alone, target, pred)
        assert np.abs(slope[1]).max() < 1e-6 < np.abs(slope[0]).max()


@each
def test_half_precision_is_computed_in_float32(case):
    loss = case.build(reduction=None)
    halves = [
        keras.tree.map_structure(lambda x, d=d: ops.cast(ops.convert_to_tensor(x), d), inputs(case))
        for d in ("float16", "bfloat16")
    ]
    found = forward(lambda *pairs: [loss(*pair) for pair in pairs])(*halves)
    for half, values in zip(halves, found, strict=True):
        full = keras.tree.map_structure(lambda x: numpy(ops.cast(x, "float32")), half)
        assert values.dtype == np.float32
        wanted = answer(case, *full).values
        np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


@each
def test_comes_back_from_its_config(case):
    """What it is then worth is seen where it is weighted."""
    loss = case.build(name="mine", reduction="sum")
    config = keras.saving.serialize_keras_object(loss)
    assert config["registered_name"] == f"keras_kd>{case.loss.__name__}"
    back = keras.saving.deserialize_keras_object(config)
    assert type(back) is case.loss
    assert back.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("case", "argument"),
    [(case, a) for case in CASES for a in case.scheduled],
    ids=lambda x: str(x),
)
def test_a_schedule_gives_at_a_step_what_the_constant_gives(case, argument):
    start = case.constants[argument]
    schedule = keras.optimizers.schedules.PolynomialDecay(start, 10, end_learning_rate=start / 2)
    target, pred = inputs(case)
    scheduled = case.build(**{argument: schedule})
    constant = case.build(**{argument: start * 0.75})
    assert getattr(scheduled, argument) is schedule
    back = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(scheduled))

    def three(target, pred, step):
        said = scheduled.at(step), constant, back.at(step - 5)
        return [loss(target, pred) for loss in said]

    midway, wanted, first = forward(three)(target, pred, np.array(5, "int32"))
    np.testing.assert_allclose(midway, wanted, rtol=1e-5)
    np.testing.assert_allclose(first, answer(case, target, pred).mean, rtol=1e-5)


@each
def test_compiled_equals_eager(case):
    if keras.config.backend() == "jax":
        pytest.skip("eager is compiled too, operation by operation: the golden values are had so")
    target, pred = inputs(case)
    loss, shares = case.build(reduction=None), shares_of(case)
    said = answer(case, target, pred)
    np.testing.assert_allclose(said.values, numpy(loss(target, pred)), rtol=1e-5, atol=1e-6)
    if keras.config.backend() == "tensorflow":  # whose eager gradients are another way
        _, want = value_and_gradient(lambda t, s: ops.sum(loss(t, s) * shares), target, pred)
        for a, b in zip(keras.tree.flatten(said.slope), keras.tree.flatten(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=5e-4, atol=1e-5 * (np.abs(b).max() + 1e-3))


WRITTEN_OUT = ["SoftTarget", "ReverseKL", "JensenShannon-0.5", "AngleRelation", "DistanceRelation"]


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
        if np.isclose(answer(case, target, pred).mean, answer(case, pred, target).mean, rtol=1e-4):
            symmetrical.add(case.loss.__name__)
    assert symmetrical == {
        "AttentionMap", "AttentionScoreMatch", "ClassifierReuse", "CorrelationTarget",
        "FactorMatch", "FeatureMatch", "HiddenStateMatch", "HierarchicalContext", "JacobianMatch",
        "JensenShannon", "LogitMatch",
        "MaskedGeneration", "LogPowerDistance",
    }  # fmt: skip
