"""Bits by layer under a limit: against every combination, by hand, and from every kind of teacher."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers as L

from keras_kd.compression import plain, quantize_aware, search_bits
from tests.compression.networks import answers, images, joined, randomised, residual, small
from tests.project import needs_keras

pytestmark = needs_keras("3.9")
CHOICES = (8, 4, 2)


def tiny():
    x = inputs = keras.Input((6,))
    for place, units in enumerate((12, 7, 9)):
        x = L.Dense(units, activation="relu", name=f"dense{place}")(x)
    return randomised(keras.Model(inputs, L.Dense(3, name="logits")(x), name="tiny"))


@pytest.fixture(scope="module")
def searched():
    x = images(200, shape=(6,))
    found = {
        limit: search_bits(tiny(), x, max_bytes=limit, choices=CHOICES, verbose=False)
        for limit in (230, 260, 300, 340, 1000)
    }
    return x, found


def test_it_is_near_the_best_of_all_combinations(searched):
    _, found = searched
    for limit, result in found.items():
        rest = result.bytes - sum(layer.bytes(layer.bits) for layer in result.layers)
        cost = {}
        for bits in itertools.product(CHOICES, repeat=len(result.layers)):
            size = rest + sum(layer.bytes(b) for layer, b in zip(result.layers, bits, strict=True))
            if size <= limit:
                pairs = zip(result.layers, bits, strict=True)
                cost[bits] = sum(layer.divergence[b] for layer, b in pairs)
        ours = cost[tuple(layer.bits for layer in result.layers)]
        order = sorted(cost.values())
        assert ours <= order[max(0, len(order) // 20)], limit  # among the best twentieth
        assert ours <= 2 * order[0] + 1e-4, limit


def test_the_size_is_what_it_says(searched):
    _, found = searched
    for limit, result in found.items():
        kernels = {"dense0": 72, "dense1": 84, "dense2": 63, "logits": 27}
        packed = sum(-(-n * result.bits[name] // 8) for name, n in kernels.items())
        assert result.bytes == packed + 4 * (12 + 7 + 9 + 3) <= limit
    assert set(found[1000].bits.values()) == {8}
    sizes = [result.bytes for result in found.values()]
    assert sizes == sorted(sizes)


def kl(wanted, came):
    def log_softmax(x):
        x = x - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    p, q = log_softmax(wanted.astype("float64")), log_softmax(came.astype("float64"))
    return (np.exp(p) * (p - q)).sum(-1).mean()


def test_each_layer_is_rounded_alone(searched):
    x, found = searched
    student, result = tiny(), found[260]
    float_answers = answers(student, x)
    for layer in result.layers:
        for bits, divergence in layer.divergence.items():
            rounded = plain(quantize_aware(student, weight_bits=bits)).get_layer(layer.path)
            alone = tiny()
            alone.get_layer(layer.path).set_weights(rounded.get_weights())
            assert np.isclose(
                divergence, kl(float_answers, answers(alone, x)), rtol=1e-3, atol=1e-6
            )
    together = plain(quantize_aware(student, bits=result.bits))
    assert np.isclose(result.divergence, kl(float_answers, answers(together, x)), rtol=1e-3)
    assert result.unrounded == pytest.approx(0.0, abs=1e-6)


def test_the_table(searched):
    _, found = searched
    lines = str(found[260]).splitlines()
    assert lines[0].split() == [
        "layer",
        "weights",
        "8",
        "bits",
        "4",
        "bits",
        "2",
        "bits",
        "chosen",
        "bytes",
    ]
    assert [line.split()[0] for line in lines[1:5]] == ["dense0", "dense1", "dense2", "logits"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert lines[-1].startswith(f"{found[260].bytes:,} bytes in all")


def test_from_every_kind_of_teacher(tmp_path, capsys):
    student, teacher, x = small(), randomised(small("t"), seed=3), images(40)
    by_model = search_bits(student, x, max_bytes=250, teacher=teacher)
    assert "6/6" in capsys.readouterr().out
    by_array = search_bits(student, x, max_bytes=250, teacher=answers(teacher, x), verbose=False)
    assert capsys.readouterr().out == ""
    stored = [
        (
            {"inputs": x[i : i + 8], "signals": {"teacher:output": answers(teacher, x[i : i + 8])}},
            None,
        )
        for i in range(0, 40, 8)
    ]
    by_store = search_bits(student, stored, max_bytes=250, verbose=False)
    by_itself = search_bits(student, x, max_bytes=250, verbose=False)
    for other in (by_array, by_store):
        assert np.isclose(other.divergence, by_model.divergence, rtol=1e-4)
        assert other.bits == by_model.bits
    assert by_model.unrounded > 0.01 and by_itself.unrounded < 1e-6
    assert np.isclose(by_model.unrounded, kl(answers(teacher, x), answers(student, x)), rtol=1e-2)


@pytest.mark.parametrize("make", [residual, small])
def test_of_folded_norms_and_separable_layers(make):
    student = make()
    found = search_bits(student, images(16), max_bytes=10_000, verbose=False)
    assert found.unrounded < 1e-5  # the norm is in the weights
    aware = quantize_aware(student, bits=found.bits)
    assert all(aware.get_layer(name).bits == bits for name, bits in found.bits.items())


def test_of_probabilities():
    x = inputs = keras.Input((6,))
    x = L.Dense(8, activation="relu", name="a")(x)
    logits = randomised(keras.Model(inputs, L.Dense(3, name="b")(x)))
    soft = keras.Model(inputs, L.Softmax(name="s")(logits(inputs)))
    x = images(40, shape=(6,))
    one, other = (search_bits(m, x, max_bytes=100, verbose=False) for m in (logits, soft))
    assert np.isclose(one.divergence, other.divergence, rtol=1e-2)


def test_bad_input():
    x = images(8, shape=(6,))
    with pytest.raises(
        ValueError, match=r"With 2 bits for each layer .*'tiny' take 186 bytes, 124"
    ):
        search_bits(tiny(), x, max_bytes=150)
    with pytest.raises(ValueError, match="`max_bytes` must be a whole number"):
        search_bits(tiny(), x, max_bytes=1e6)
    with pytest.raises(ValueError, match="`choices` must be a whole number from 2 to 8"):
        search_bits(tiny(), x, max_bytes=300, choices=(8, 1))
    with pytest.raises(ValueError, match="`choices` must hold a number of bits"):
        search_bits(tiny(), x, max_bytes=300, choices=())
    with pytest.raises(
        ValueError, match=r"teacher's outputs have the shape \(8, 4\).*gives \(8, 3\)"
    ):
        search_bits(tiny(), x, max_bytes=300, teacher=np.zeros((8, 4)))
    with pytest.raises(ValueError, match="`inputs` held no batch"):
        search_bits(tiny(), [], max_bytes=300)
    with pytest.raises(ValueError, match="no whole 'teacher:output' to compare with"):
        batch = ({"inputs": x, "signals": {"teacher:hidden": x}}, None)
        search_bits(tiny(), [batch], max_bytes=300)
    net = tiny()
    two = keras.Model(net.inputs, [net.outputs[0], net.get_layer("dense1").output], name="two")
    with pytest.raises(ValueError, match="compares one output, and student 'two' has 2"):
        search_bits(two, x, max_bytes=300)
    with pytest.raises(ValueError, match="of class PReLU"):
        search_bits(joined(), images(8, shape=(8, 8, 2)), max_bytes=300)
