"""Projectors: what they compute, what they keep, and that they come back from a config."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import Distiller, Term, losses, projectors
from keras_kd._trainers._programs import value_and_gradient
from tests.models import equal, values
from tests.recipes.networks import convolutional, images

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


SMALL, LARGE = normal(3, 4, 4, 5), normal(3, 8, 8, 2)
VECTOR, SEQUENCE = normal(3, 6), normal(3, 7, 6)

# Each projector: how to make it, what it is given, the shape (or shapes) it gives.
PROJECTORS = {
    "Conv1x1": (lambda: projectors.Conv1x1(6, use_bias=True), LARGE, (3, 8, 8, 6)),
    "Conv3x3": (lambda: projectors.Conv3x3(6, strides=2), LARGE, (3, 4, 4, 6)),
    "ConvTransposed": (lambda: projectors.ConvTransposed(6), SMALL, (3, 8, 8, 6)),
    "Resize": (lambda: projectors.Resize((2, 3)), SMALL, (3, 2, 3, 5)),
    "TokensToMap": (lambda: projectors.TokensToMap((2, 3)), SEQUENCE, (3, 2, 3, 6)),
    "AuxiliaryHead": (lambda: projectors.AuxiliaryHead(4), SMALL, (3, 4)),
    "Heads": (lambda: projectors.Heads(3), SEQUENCE, (3, 3, 7, 2)),
    "Classes": (lambda: projectors.Classes([4, 0, 2]), SMALL, (3, 4, 4, 3)),
    "Pool": (projectors.Pool, SMALL, (3, 5)),
    "Join": (projectors.Join, (SMALL, LARGE, VECTOR, SEQUENCE), (3, 5 + 2 + 6 + 6)),
    "MLP": (lambda: projectors.MLP(4, hidden=9), SEQUENCE, (3, 7, 4)),
    "PooledDense": (projectors.PooledDense, (LARGE, SMALL), (3, 5)),
    "PooledNorm": (projectors.PooledNorm, SMALL, (3, 5)),
    "Regressor": (projectors.Regressor, (LARGE, SMALL), (3, 4, 4, 5)),
    "LinearRegressor": (projectors.LinearRegressor, (SEQUENCE, normal(3, 7, 2)), (3, 7, 2)),
    "NormalizedRegressor": (projectors.NormalizedRegressor, (SMALL, LARGE), (3, 8, 8, 2)),
    "VariationalRegressor": (
        lambda: projectors.VariationalRegressor(initial_variance=2.0),
        (LARGE, SMALL),
        [(3, 4, 4, 5), (1, 1, 1, 5)],
    ),
    "Standardize": (projectors.Standardize, SMALL, (3, 4, 4, 5)),
    "Paraphraser": (lambda: projectors.Paraphraser(0.4), SMALL, (3, 4, 4, 2)),
    "Translator": (lambda: projectors.Translator(0.4), (LARGE, SMALL), (3, 4, 4, 2)),
    "Fusion": (
        lambda: projectors.Fusion(3),
        (LARGE, SMALL, normal(3, 8, 8, 7), normal(3, 4, 4, 6)),
        [(3, 8, 8, 7), (3, 4, 4, 6)],
    ),
    "MaskedGenerator": (lambda: projectors.MaskedGenerator(seed=3), (LARGE, SMALL), (3, 4, 4, 5)),
    "Bottleneck": (lambda: projectors.Bottleneck(3), (LARGE, SMALL), (3, 4, 4, 5)),
    "UnitEmbedding": (lambda: projectors.UnitEmbedding(4), SMALL, (3, 4)),
    "QueuedEmbedding": (lambda: projectors.QueuedEmbedding(4, size=10), SMALL, (13, 4)),
    "MatchedChannels": (
        projectors.MatchedChannels,
        (LARGE, SEQUENCE, VECTOR, normal(3, 2, 2, 7), normal(3, 1, 4), normal(3, 6)),
        [(3, 8, 8, 7), (3, 7, 4), (3, 6)],
    ),
    "MemoryBank": (
        lambda: projectors.MemoryBank(9, 4, negatives=5, temperature=0.5, seed=2),
        (SMALL, VECTOR, np.array([0, 8, 3])),
        [(3, 6), (3, 6)],
    ),
    "Temperature": (lambda: projectors.Temperature(7, span=3.0), VECTOR, [(3, 6), ()]),
}


def test_every_projector_is_in_the_table():
    names = {n for n, c in vars(projectors).items() if isinstance(c, type)}
    assert names - {"Dense"} == set(PROJECTORS)


@pytest.mark.parametrize("name", list(PROJECTORS))
def test_a_projector_gives_its_shape_and_comes_back(name):
    make, signals, shape = PROJECTORS[name]
    layer = make()
    said = layer(signals)
    shapes = [tuple(x.shape) for x in keras.tree.flatten(said)]
    assert shapes == (shape if isinstance(shape, list) else [shape])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is type(layer) and again.get_config() == layer.get_config()
    again(signals)
    again.set_weights([np.array(w) for w in layer.get_weights()])
    for a, b in zip(
        keras.tree.flatten(layer(signals)), keras.tree.flatten(again(signals)), strict=True
    ):
        np.testing.assert_allclose(numpy(a), numpy(b), atol=1e-6)


@pytest.mark.parametrize("name", list(PROJECTORS))
def test_a_projector_works_under_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    make, signals, _ = PROJECTORS[name]
    for x in keras.tree.flatten(make()(signals)):
        assert np.isfinite(numpy(ops.cast(x, "float32"))).all()


def steepest(layer, signals, seen):
    """The largest gradient of a sum of what the layer says by the signals with numbers."""
    numbers = [x for x in signals if x.dtype == np.float32]
    others = [x for x in signals if x.dtype != np.float32]  # ids, which come last

    def total(_, pred):
        given = [*pred, *others]
        said, _ = layer.stateless_call(
            layer.trainable_variables, layer.non_trainable_variables,
            tuple(given) if len(given) > 1 else given[0], **seen,
        )  # fmt: skip
        shares = np.random.default_rng(1)
        return sum(
            ops.sum(x * ops.convert_to_tensor(shares.normal(size=x.shape), x.dtype))
            for x in keras.tree.flatten(said)
        )

    _, slopes = value_and_gradient(total, np.zeros(1), numbers)
    return max(np.abs(slope).max() for slope in slopes)


#: BatchNorm is Keras's own, and bounds itself: a channel that is the same in a whole batch has a
#: slope of 1 / √0.001 there, 32 times that of one with variance 1. How many stand in a row:
NORMS = {"Regressor": 1, "NormalizedRegressor": 1, "PooledDense": 1, "PooledNorm": 1,
         "Fusion": 2, "Translator": 3, "Bottleneck": 3}  # fmt: skip


@pytest.mark.parametrize("name", list(PROJECTORS))
def test_rows_without_variation_pull_no_harder_than_others(name):
    make, signals, _ = PROJECTORS[name]
    signals = signals if isinstance(signals, tuple) else (signals,)
    layer = make()
    layer(signals if len(signals) > 1 else signals[0])
    seen = {"training": True} if layer._call_has_training_arg else {}
    ordinary = steepest(layer, signals, seen)

    def flat(rows, value):
        def change(x):
            x = x.copy()
            x[rows] = x[0] if value is None else value
            return x

        return [change(x) if x.dtype == np.float32 else x for x in signals]

    for rows, most in ((slice(1, 2), 10.0), (slice(None), max(10.0, 32.0 ** NORMS.get(name, 0)))):
        for value in (0.0, 100.0, None):
            assert steepest(layer, flat(rows, value), seen) <= most * ordinary, (rows, value)


@pytest.mark.parametrize("name", ["UnitEmbedding", "QueuedEmbedding", "MemoryBank"])
def test_nor_a_faint_row(name):
    """Their biases start at 0 and are small after a step: a blank example is nearly zero then."""
    make, signals, _ = PROJECTORS[name]
    signals = signals if isinstance(signals, tuple) else (signals,)
    layer = make()
    layer(signals if len(signals) > 1 else signals[0])
    ordinary = steepest(layer, signals, {})
    for size in (0.1, 1e-3, 1e-6, 1e-12, 1e-20):
        faint = [x.copy() for x in signals]
        faint[0][1] *= size
        assert steepest(layer, faint, {}) <= 20.0 * ordinary, size


@pytest.mark.parametrize(
    "shape, target, kinds",
    [
        ((3, 8, 8, 2), (3, 8, 8, 5), ["Conv1x1"]),
        ((3, 8, 8, 2), (3, 4, 4, 5), ["Conv3x3"]),
        ((3, 7, 7, 2), (3, 4, 4, 5), ["Conv3x3"]),
        ((3, 4, 4, 2), (3, 8, 8, 5), ["ConvTransposed"]),
        ((3, 9, 9, 2), (3, 4, 4, 5), ["Resize", "Conv1x1"]),
        ((3, 2), (3, 5), ["Dense"]),
        ((3, 7, 2), (3, 7, 5), ["Dense"]),
    ],
)
def test_a_regressor_goes_by_the_shapes(shape, target, kinds):
    layer = projectors.LinearRegressor()
    assert tuple(layer((normal(*shape), normal(*target))).shape) == target
    assert [type(inner).__name__ for inner in layer.map.layers] == kinds
    full = projectors.Regressor()
    assert numpy(full((normal(*shape), normal(*target)))).min() >= 0.0
    names = [type(inner).__name__ for inner in full.map.layers]
    assert names == [*kinds, "BatchNormalization", "ReLU"]


def test_of_the_target_a_regressor_reads_the_shape_alone():
    layer = projectors.Regressor()
    said = numpy(layer((LARGE, SMALL)))
    np.testing.assert_array_equal(said, numpy(layer((LARGE, 100.0 * SMALL))))


def test_a_regressor_says_what_it_takes():
    with pytest.raises(ValueError, match="Regressor maps one signal to the shape of another"):
        projectors.Regressor()(SMALL)
    with pytest.raises(ValueError, match="the same number of axes"):
        projectors.Regressor()((SMALL, VECTOR))
    with pytest.raises(ValueError, match="Fusion takes the learner's feature maps"):
        projectors.Fusion()((SMALL, LARGE, SMALL))
    with pytest.raises(ValueError, match="MatchedChannels takes the learner's signals"):
        projectors.MatchedChannels()((SMALL, VECTOR))


def test_channels_that_match_already_pass_as_they_are():
    layer = projectors.MatchedChannels()
    first, second = layer((SMALL, LARGE, normal(3, 2, 2, 5), normal(3, 2, 2, 3)))
    np.testing.assert_array_equal(numpy(first), SMALL)
    assert [tuple(w.shape) for w in layer.weights] == [(1, 1, 2, 3)]
    np.testing.assert_allclose(numpy(second), LARGE @ layer.weights[0].numpy()[0, 0], atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (4, 4), (2, 2)])
def test_a_bottleneck_reaches_larger_and_smaller_maps(size):
    said = projectors.Bottleneck()((SMALL, normal(3, *size, 6)))
    assert tuple(said.shape) == (3, *size, 6)


@pytest.mark.parametrize("have, want", [((7, 5), (3, 2)), ((8, 8), (4, 2)), ((6, 5), (6, 1))])
def test_a_bottleneck_takes_means_of_even_stretches(have, want):
    """Written out: row i of n stretches of h rows goes from floor(ih/n) to ceil((i+1)h/n)."""
    x = normal(2, *have, 3)
    expected = np.zeros((2, *want, 3))
    for i, j in np.ndindex(*want):
        (top, end), (left, right) = (
            (math.floor(k * h / n), math.ceil((k + 1) * h / n))
            for k, h, n in ((i, have[0], want[0]), (j, have[1], want[1]))
        )
        expected[:, i, j] = x[:, top:end, left:right].mean((1, 2))
    bottleneck = projectors.Bottleneck()
    bottleneck((x, normal(2, *want, 6)))
    np.testing.assert_allclose(numpy(bottleneck.map.layers[0](x)), expected, atol=1e-6)


def test_a_bottleneck_needs_the_size_of_what_it_makes_smaller():
    signals = keras.KerasTensor((None, None, None, 3)), keras.KerasTensor((None, 4, 4, 6))
    with pytest.raises(ValueError, match=r"must know its height and width"):
        projectors.Bottleneck()(signals)


def test_the_variance_starts_where_it_should_and_learns():
    layer = projectors.VariationalRegressor()
    _, variance = layer((LARGE, SMALL))
    np.testing.assert_allclose(numpy(variance), 5.0, rtol=1e-5)
    kernels = [w for w in layer.trainable_variables if "alpha" not in w.path]
    assert [tuple(k.shape) for k in kernels] == [(1, 1, 2, 10), (1, 1, 10, 10), (1, 1, 10, 5)]
    student, teacher = convolutional("s"), convolutional("t", 6, 8)
    term = Term(losses.VariationalMatch(), pred=("student:a", "teacher:b"), target="teacher:b",
                projector=layer.from_config(layer.get_config()))  # fmt: skip
    distiller = Distiller(student=student, teacher=teacher, terms=[term])
    distiller.compile(keras.optimizers.SGD(0.1))
    before = term.projector.alpha.numpy().copy()
    distiller.fit(images()[0], verbose=0)
    assert not np.allclose(before, term.projector.alpha.numpy(), atol=1e-4)


def test_a_paraphraser_learns_to_restore_and_from_nothing_else():
    """The term's weight does not touch it: it would ask for factors that are easy to match."""

    def trained(weight):
        keras.utils.set_random_seed(1)
        student, teacher = convolutional("s"), convolutional("t", 6, 8)
        paraphraser = projectors.Paraphraser()
        term = Term(losses.FactorMatch(), pred=("student:b", "teacher:b"), target="teacher:b",
                    projector=projectors.Translator(), target_projector=paraphraser,
                    weight=weight)  # fmt: skip
        distiller = Distiller(student=student, teacher=teacher, terms=[term])
        distiller.compile(keras.optimizers.SGD(0.05))
        logs = distiller.fit(images()[0], batch_size=16, epochs=4, verbose=0).history
        restoring = np.array(logs["loss"]) - weight * np.array(logs["factor_match"])
        return values(paraphraser.trainable_variables), restoring

    heavy, light = trained(100.0), trained(0.0)
    assert equal(heavy[0], light[0], 1e-5)
    assert light[1][-1] < light[1][0]


def test_a_queue_holds_what_came_last_and_moves_in_training_only():
    layer = projectors.QueuedEmbedding(4, size=5)
    first = numpy(layer(SMALL, training=True))
    start = first[3:]
    assert [w.path.split("/")[-1] for w in layer.non_trainable_variables] == ["queue"]
    np.testing.assert_allclose(np.linalg.norm(first, axis=-1), 1.0, atol=1e-5)
    second = numpy(layer(SMALL[:1] * 2.0, training=False))
    np.testing.assert_allclose(second[1:], [*first[:3], *start[:2]], atol=1e-6)
    third = numpy(layer(SMALL[:1] * 2.0, training=True))
    np.testing.assert_allclose(third, second, atol=1e-6)
    fourth = numpy(layer(SMALL, training=False))
    np.testing.assert_allclose(fourth[3:], [second[0], *first[:3], start[0]], atol=1e-6)
    with pytest.raises(ValueError, match="cannot take a batch of 3"):
        projectors.QueuedEmbedding(4, size=2)(SMALL, training=True)


def test_a_generator_sees_half_and_each_time_another_half():
    layer = projectors.MaskedGenerator(seed=1)
    layer((SMALL, SMALL))
    layer.align.set_weights([np.eye(5).reshape(1, 1, 5, 5)])  # as it comes
    centre = np.zeros((3, 3, 5, 5))
    centre[1, 1] = np.eye(5)
    layer.generate.set_weights([centre, np.zeros(5), centre, np.zeros(5)])
    x = np.abs(normal(64, 4, 4, 5)) + 1.0
    seen = numpy(layer((x, x), training=True))
    hidden = seen == 0.0
    assert (hidden.all(-1) | ~hidden.any(-1)).all()  # whole positions, never single channels
    assert 0.4 < hidden.mean() < 0.6
    np.testing.assert_allclose(seen[~hidden], x[~hidden], rtol=1e-6)
    assert (hidden != (numpy(layer((x, x), training=True)) == 0.0)).any()
    still = numpy(layer((x, x), training=False))
    np.testing.assert_array_equal(still, numpy(layer((x, x), training=False)))
    with pytest.raises(ValueError, match="`rate` must be from 0 up to 1"):
        projectors.MaskedGenerator(1.0)


@pytest.mark.parametrize("taken, strength", [(0, 0.0), (5, 0.5), (10, 1.0), (25, 1.0)])
def test_a_temperature_climbs_the_loss(taken, strength):
    """One step of plain gradient descent on `T` itself moves θ up by λ · dT/dθ."""
    student = keras.Sequential([keras.Input((3,)), keras.layers.Rescaling(1.0)], name="s")
    layer = projectors.Temperature(10)
    term = Term(_TemperatureAlone(), target="student:output", projector=layer)
    distiller = Distiller(student=student, terms=[term])
    distiller.compile(keras.optimizers.SGD(0.1))
    layer.taken.assign(taken)
    distiller.train_on_batch(np.zeros((4, 3), "float32"))
    sigmoid = 1.0 / (1.0 + np.exp(-1.0))
    slope = 20.0 * sigmoid * (1.0 - sigmoid)
    assert float(layer.theta.numpy()) == pytest.approx(1.0 + 0.1 * strength * slope, rel=1e-5)
    assert float(layer.taken.numpy()) == taken + 1


class _TemperatureAlone(losses.Loss):
    same_shape = False

    def call(self, y_true, y_pred):
        logits, temperature = y_pred
        return temperature * ops.ones_like(logits[:, 0])


def test_fusion_hands_the_deep_down_to_the_shallow():
    layer = projectors.Fusion(3)
    targets = normal(3, 8, 8, 7), normal(3, 4, 4, 6)
    layer((LARGE, SMALL, *targets))
    layer.gates[0].set_weights([np.zeros((1, 1, 6, 2)), np.zeros(2)])  # half open, come what may
    shallow, deep = (numpy(x) for x in layer((LARGE, SMALL, *targets)))
    shallow2, deep2 = (numpy(x) for x in layer((LARGE, 2.0 * SMALL, *targets)))
    assert not np.allclose(shallow, shallow2) and not np.allclose(deep, deep2)
    shallow3, deep3 = (numpy(x) for x in layer((2.0 * LARGE, SMALL, *targets)))
    assert not np.allclose(shallow, shallow3)
    np.testing.assert_allclose(deep, deep3)  # and nothing goes up


def test_heads_divide_what_others_call_heads():
    x = normal(2, 7, 2, 6)
    said = numpy(projectors.Heads(3)(x))
    np.testing.assert_array_equal(said[:, 1], x.reshape(2, 7, 12)[..., 4:8])
    with pytest.raises(ValueError, match="12 features cannot be divided into 5 heads"):
        projectors.Heads(5)(x)
