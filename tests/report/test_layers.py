"""What looks at layers: operations, importance, similarity, costs."""

import sys

import keras
import numpy as np
import pytest

from keras_kd.report import _costs, cka, importance, similarity, work
from tests.models import Subclassed, mlp, nested, set_weights

L = keras.layers


def sequential(*layers, shape, dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def attention():
    inputs = keras.Input((24, 16))
    x = L.MultiHeadAttention(2, 8)(inputs, inputs)
    return keras.Model(inputs, L.Dense(3)(L.GlobalAveragePooling1D()(x)))


def grouped():
    inputs = keras.Input((6, 16))
    x = L.GroupQueryAttention(head_dim=4, num_query_heads=4, num_key_value_heads=2)(inputs, inputs)
    return keras.Model(inputs, x)


#: Model, and its multiplications by hand.
COUNTED = {
    "dense": (lambda: sequential(L.Dense(3), shape=(4,)), 4 * 3),
    "positions": (lambda: sequential(L.Dense(3), shape=(5, 4)), 5 * 4 * 3),
    "convolution": (
        lambda: sequential(L.Conv2D(6, 3, padding="same"), shape=(8, 7, 2)),
        8 * 7 * 6 * 9 * 2,
    ),
    "groups": (
        lambda: sequential(L.Conv2D(6, 3, groups=2, strides=2), shape=(9, 9, 4)),
        4 * 4 * 6 * 9 * 2,
    ),
    "depthwise": (
        lambda: sequential(L.DepthwiseConv2D(3, depth_multiplier=2), shape=(5, 5, 3)),
        3 * 3 * 6 * 9,
    ),
    "separable": (
        lambda: sequential(L.SeparableConv2D(7, 3, depth_multiplier=2), shape=(5, 5, 3)),
        3 * 3 * (6 * 9 + 6 * 7),
    ),
    "transposed": (
        lambda: sequential(L.Conv2DTranspose(6, 3, strides=2), shape=(4, 4, 2)),
        4 * 4 * 2 * 9 * 6,
    ),
    "one axis": (lambda: sequential(L.Conv1D(6, 3, padding="causal"), shape=(8, 2)), 8 * 6 * 3 * 2),
    "einsum": (
        lambda: sequential(L.EinsumDense("abc,cde->abde", (None, 4, 5)), shape=(6, 3)),
        6 * 3 * 4 * 5,
    ),
    "einsum ...": (
        lambda: sequential(L.EinsumDense("...x,xy->...y", 7), shape=(2, 6, 3)),
        2 * 6 * 3 * 7,
    ),
    "lstm": (lambda: sequential(L.LSTM(8), shape=(24, 16)), 24 * 4 * 8 * (16 + 8)),
    "gru": (lambda: sequential(L.GRU(8), shape=(24, 16)), 24 * 3 * 8 * (16 + 8)),
    "both ways": (
        lambda: sequential(L.Bidirectional(L.SimpleRNN(8)), shape=(24, 16)),
        2 * 24 * 8 * (16 + 8),
    ),
    "each step": (lambda: sequential(L.TimeDistributed(L.Dense(3)), shape=(5, 4)), 5 * 4 * 3),
    "embedding": (
        lambda: sequential(L.Embedding(50, 8), L.Dense(2), shape=(12,), dtype="int32"),
        12 * 8 * 2,
    ),
    "attention": (
        attention,
        24 * 16 * 2 * (8 + 8 + 8) + 24 * 24 * 2 * (8 + 8) + 24 * 16 * 16 + 16 * 3,
    ),
    "grouped": (grouped, 6 * 16 * 4 * (4 + 2 + 2) + 6 * 6 * 4 * (4 + 4) + 6 * 16 * 16),
    "nested": (lambda: nested("n"), 8 * 6 + 6 * 5 + 5 * 3),
    "subclassed": (lambda: Subclassed(), 8 * 6 + 6 * 5 + 5 * 3),
}


def batch(model, shape=(8,)):
    inputs = model.inputs[0] if getattr(model, "inputs", None) else None
    kind = "float32" if inputs is None else inputs.dtype
    return np.zeros((2, *(shape if inputs is None else inputs.shape[1:])), kind)


@pytest.mark.parametrize("case", COUNTED)
def test_flops_by_hand(case):
    make, multiplications = COUNTED[case]
    model = make()
    found = work(model, batch(model))
    assert found.flops == 2 * multiplications and found.without == ()
    model(batch(model))  # nothing is left behind
    assert work(model, batch(model)) == found


def by_torch(model):
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(np.zeros((1, *model.inputs[0].shape[1:]), "float32"))
    return counter.get_total_flops()


def by_tensorflow(model):
    """What the profiler counts of the frozen graph of one example, in its matrix operations."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    spec = tf.TensorSpec([1, *model.inputs[0].shape[1:]], "float32")
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
    _, graph_def = convert_to_constants.convert_variables_to_constants_v2_as_graph(function)
    profiler = tf.compat.v1.profiler
    total = 0
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
        for operation in ("Conv2D", "MatMul", "DepthwiseConv2dNative", "BatchMatMulV2"):
            options = (
                profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
                .with_accounted_types([f"^{operation}$"])
                .with_empty_output()
                .build()
            )
            counted = profiler.profile(graph=graph, cmd="op", options=options)
            total += counted.total_float_ops
    return total


@pytest.mark.parametrize(
    "make",
    [
        lambda: sequential(
            L.Conv2D(8, 3, padding="same", activation="relu"),
            L.MaxPooling2D(),
            L.DepthwiseConv2D(3),
            L.Conv2D(6, 3, strides=2, use_bias=False),
            L.Flatten(),
            L.Dense(10),
            shape=(20, 20, 3),
        ),
        lambda: sequential(L.GRU(8, unroll=True), L.Dense(3), shape=(5, 6)),
    ],
)
def test_flops_as_others_count(make):
    count = {"tensorflow": by_tensorflow, "torch": by_torch}.get(keras.config.backend())
    if count is None:
        pytest.skip("jax counts after its own rewriting")
    model = make()
    assert work(model, batch(model)).flops == count(model)


def test_layers_without_a_formula_are_named():
    class Own(keras.layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(shape=(shape[-1], 2))

        def call(self, x):
            return keras.ops.matmul(x, self.matrix)

    model = sequential(L.Dense(3), Own(name="own"), shape=(4,))
    assert work(model, batch(model)).without == ("own",)


def test_memory_from_shapes():
    """Weights of 4 · 3 + 3 numbers; the largest layer takes in 4 and gives 3."""
    found = _costs.costs_without_running(
        sequential(L.Dense(3), shape=(4,)), np.zeros((2, 4), "float32")
    )
    assert found.parameters == 15 and found.memory == 4 * (15 + 4 + 3)


def test_the_file_has_no_optimizer():
    model = mlp("s", 64)
    bare = _costs.costs_without_running(model, np.zeros((2, 8), "float32")).file_bytes
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 8)), np.zeros((4, 3)), verbose=0)
    optimizer = model.optimizer
    assert (
        abs(_costs.costs_without_running(model, np.zeros((2, 8), "float32")).file_bytes - bare)
        < 2000
    )
    assert model.optimizer is optimizer and optimizer is not None
    model.fit(np.zeros((4, 8)), np.zeros((4, 3)), verbose=0)


def test_times_are_medians_in_turns(monkeypatch):
    """A clock that says how long each call took: the median call counts, not the mean."""
    order, now = [], [0.0]

    class Slow:
        def __init__(self, name, *seconds):
            self.name, self.seconds = name, list(seconds)

        def predict_on_batch(self, x):
            order.append((self.name, len(x)))
            now[0] += self.seconds[len(order) % len(self.seconds)]

    monkeypatch.setattr(_costs.time, "perf_counter", lambda: now[0])
    models = {"a": Slow("a", 0.125), "b": Slow("b", 0.25)}
    nothing = _costs.Costs(1, None, None, (), None)
    found = _costs.with_times(models, dict.fromkeys(models, nothing), np.zeros((3, 2)), 4)
    assert found["a"].latency.median == 125 and found["b"].latency.median == 250
    assert found["a"].throughput.median == 32 and found["b"].throughput.calls == 7
    counted = order[2 * _costs._WARM_UP_CALLS :]
    assert counted[:4] == [("a", 1), ("b", 1), ("a", 1), ("b", 1)]
    assert counted[-1] == ("a", 4)


def test_measured_memory():
    if sys.platform != "linux" or keras.config.backend() != "tensorflow":
        pytest.skip("one backend is enough; Linux alone tells")
    model = sequential(L.Dense(4000), shape=(1000,))  # 16 MB
    found = _costs.measured_memory(model, np.zeros((1, 1000), "float32"))
    assert 16e6 < found < 150e6


def features(seed, width, n=40):
    return np.random.default_rng(seed).normal(size=(n, width))


def test_cka_by_its_definition():
    a, b = features(0, 5), features(1, 9)
    b[:, :5] += a
    x, y = a - a.mean(0), b - b.mean(0)
    norm = np.linalg.norm
    wanted = norm(y.T @ x) ** 2 / (norm(x.T @ x) * norm(y.T @ y))
    assert cka(a, b) == pytest.approx(wanted, abs=1e-5)
    turn = np.linalg.qr(features(2, 5)[:5])[0]
    assert cka(a, 3 * a @ turn + 7) == pytest.approx(1, abs=1e-5)
    assert np.isnan(cka(a, np.ones((40, 3))))


def test_similarity_of_layers():
    a, b = set_weights(mlp("a"), 1), set_weights(mlp("b", 12), 2)
    x = features(3, 8).astype("float32")
    found = similarity(a, b, x)
    assert found.layers == (("hidden", "logits"), ("hidden", "logits")) and found.examples == 40
    hidden = [keras.ops.convert_to_numpy(m.get_layer("hidden")(x)) for m in (a, b)]
    assert found.values[0, 0] == pytest.approx(cka(*hidden), abs=1e-5)
    named = similarity(a, b, x, layers=(["logits"], ["hidden"]))
    assert named.values[0, 0] == pytest.approx(found.values[1, 0])
    with pytest.raises(ValueError, match=r"No layer 'hiden' .* Did you mean 'hidden'"):
        similarity(a, b, x, layers=(["hiden"], ["hidden"]))


def test_importance_of_channels():
    """Channel 1 alone decides; permuted, the sign of noise agrees half the time."""
    model = sequential(L.Dense(3, name="first"), L.Dense(1, name="last"), shape=(3,))
    model.set_weights([np.eye(3), np.zeros(3), np.array([[0.0], [1.0], [0.0]]), np.zeros(1)])
    x = features(4, 3, 400).astype("float32")
    found = importance(model, "first", x)
    assert found.agreement == 1.0 and found.drops[0] == found.drops[2] == 0
    assert found.drops[1] == pytest.approx(0.5, abs=0.08)
    inverted = importance(model, "first", x, target=x[:, 1] <= 0)
    assert inverted.agreement == 0 and inverted.drops[1] == pytest.approx(-0.5, abs=0.08)
    assert (importance(model, "first", x, seed=0).drops == found.drops).all()
    before = keras.ops.convert_to_numpy(model(x))
    assert (before[:, 0] == x[:, 1]).all()  # the layer speaks for itself again


def test_importance_of_maps_and_nested_layers():
    inner = sequential(L.Conv2D(4, 3, name="conv"), shape=(6, 6, 2))
    inner.name = "inner"
    model = sequential(inner, L.GlobalAveragePooling2D(), L.Dense(3), shape=(6, 6, 2))
    x = np.random.default_rng(0).normal(size=(32, 6, 6, 2)).astype("float32")
    assert importance(model, "inner/conv", x).drops.shape == (4,)
    with pytest.raises(ValueError, match="Did you mean 'inner/conv'"):
        importance(model, "inner/cnv", x)
