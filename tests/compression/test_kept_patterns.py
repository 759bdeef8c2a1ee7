"""Prune or cluster, quantise, distil: zeros stay zeros, and weights that are equal stay so."""

import keras
import numpy as np
import pytest
from keras import layers as L

import keras_kd as kd
from keras_kd.compression import (
    Clustering,
    LearnedSteps,
    NOfM,
    Pruning,
    RunningRanges,
    plain,
    quantize_aware,
    sparsity,
)
from tests.compression.networks import images, randomised, recurrent, residual, small
from tests.models import cross_entropy
from tests.project import needs_keras

pytestmark = needs_keras("3.9")
STEPS = pytest.mark.parametrize(
    "steps", [RunningRanges(), LearnedSteps()], ids=["ranges", "learned"]
)


def distil(student, x=None, **kwargs):
    teacher = randomised(residual("teacher"), seed=1)
    x, y = images(32) if x is None else x, np.arange(32) % 3
    terms = None if x.shape[1:] == (8, 8, 3) else [kd.Labels()]
    distiller = kd.Distiller(student=student, teacher=None if terms else teacher, terms=terms)
    distiller.compile(keras.optimizers.AdamW(1e-2, weight_decay=0.1), cross_entropy())
    distiller.fit(x, y, batch_size=8, epochs=2, verbose=0, **kwargs)
    return student


def narrow():
    """Of layers whose kernels all can have 2 of 4."""
    x = inputs = keras.Input((8, 8, 3))
    x = L.Conv2D(8, (2, 2), use_bias=False, name="conv")(x)
    x = L.ReLU()(L.BatchNormalization()(x))
    x = L.Dense(8, activation="relu", name="dense")(L.Flatten()(x))
    return randomised(keras.Model(inputs, L.Dense(3, name="logits")(x), name="narrow"))


@STEPS
def test_half_of_zeros_stays_half(steps):
    pruned = distil(small(), callbacks=[Pruning(0.5)])
    assert sparsity(pruned) == pytest.approx(0.5, abs=0.01)
    ready = plain(distil(quantize_aware(pruned, steps=steps)))
    for name in ("conv", "logits"):
        before, now = (m.get_layer(name).get_weights()[0] for m in (pruned, ready))
        assert not now[before == 0].any()
        assert np.abs(now - before).max() > 1e-3
    assert sparsity(ready) + 0.01 >= 0.5


@STEPS
def test_two_of_four_stays_two_of_four(steps):
    pruned = distil(narrow(), callbacks=[Pruning(NOfM(keep=2, of=4))])
    ready = plain(distil(quantize_aware(pruned, steps=steps)))
    for name in ("conv", "dense", "logits"):
        blocks = [
            m.get_layer(name).get_weights()[0].reshape(-1, 4, m.get_layer(name).kernel.shape[-1])
            for m in (pruned, ready)
        ]
        assert ((blocks[0] != 0).sum(1) == 2).all()
        assert ((blocks[1] != 0).sum(1) <= 2).all() and not blocks[1][blocks[0] == 0].any()


def test_zeros_of_recurrent_layers_stay():
    x = np.random.default_rng(0).integers(0, 20, (32, 5)).astype("int32")
    pruned = distil(recurrent(), x, callbacks=[Pruning(0.5)])
    ready = plain(distil(quantize_aware(pruned), x))
    for name in ("lstm", "gru"):
        for old, new in zip(
            pruned.get_layer(name).get_weights()[:2], ready.get_layer(name).get_weights()[:2],
            strict=True,
        ):  # fmt: skip
            assert (old == 0).mean() == pytest.approx(0.5, abs=0.05)
            assert not new[old == 0].any()


def test_zeros_go_when_they_are_not_to_be_kept():
    pruned = distil(small(), callbacks=[Pruning(0.5)])
    aware = distil(quantize_aware(pruned, keep_zeros=False))
    assert sparsity(plain(aware)) < 0.4


def test_a_few_zeros_are_kept_when_asked_for():
    student = small()
    kernel = student.get_layer("conv").get_weights()[0]
    kernel[0, 0, 0, 0] = 0.0
    student.get_layer("conv").set_weights([kernel])
    assert not quantize_aware(student).get_layer("conv").pruned
    ready = plain(distil(quantize_aware(student, keep_zeros=True)))
    assert ready.get_layer("conv").get_weights()[0][0, 0, 0, 0] == 0.0


def clustered(model, values=8):
    """Each kernel on a few values, by the quantiles of its own."""
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            kernel, *bias = layer.get_weights()
            k = min(values, kernel.size // 4)
            centers = np.quantile(kernel, (np.arange(k) + 0.5) / k)
            nearest = np.abs(kernel[..., None] - centers).argmin(-1)
            layer.set_weights([centers[nearest].astype("float32"), *bias])
    return model


@STEPS
def test_clusters_stay_together(steps):
    student = clustered(narrow())
    aware = distil(quantize_aware(student, steps=steps))
    ready = plain(aware)
    for name, folded in (("conv", True), ("dense", False), ("logits", False)):
        before, now = (m.get_layer(name).get_weights()[0] for m in (student, ready))
        assert np.abs(now - before).max() > 1e-3
        for channel in range(before.shape[-1]):
            old, new = before[..., channel].ravel(), now[..., channel].ravel()
            for value in np.unique(old):
                assert np.ptp(new[old == value]) == 0.0
        if not folded:
            grid = aware.get_layer(name).grids[0]
            shared = keras.ops.convert_to_numpy(grid.remaining(aware.get_layer(name).kernel))
            assert len(np.unique(shared.round(6))) <= len(np.unique(before))


@pytest.mark.parametrize("per_channel", [False, True])
def test_after_the_callback(per_channel):
    student = distil(narrow(), callbacks=[Clustering(4, per_channel=per_channel)])
    ready = plain(distil(quantize_aware(student, keep_clusters=True)))
    for name in ("conv", "dense"):
        before, now = (m.get_layer(name).get_weights()[0] for m in (student, ready))
        assert len(np.unique(before)) <= 4 * (8 if per_channel else 1)
        assert np.abs(now - before).max() > 1e-3
        for old, new in zip(np.moveaxis(before, -1, 0), np.moveaxis(now, -1, 0), strict=True):
            assert all(np.ptp(new[old == value]) == 0.0 for value in np.unique(old))


def test_many_clusters_only_when_asked_for():
    rng = np.random.default_rng(0)
    kernel = rng.choice(rng.normal(size=300), (40, 60))
    student = keras.Sequential([keras.Input((40,)), L.Dense(60, name="dense")])
    student.set_weights([kernel, np.zeros(60)])
    assert quantize_aware(student).get_layer("dense").clusters == (0,)
    kept = quantize_aware(student, keep_clusters=True).get_layer("dense").clusters
    assert kept == (len(np.unique(kernel)),)


def test_a_folded_norm_multiplies_the_clusters():
    student = clustered(narrow())
    layer = quantize_aware(student).get_layer("conv")
    norm = next(x for x in student.layers if isinstance(x, L.BatchNormalization))
    gamma, _, _, variance = norm.get_weights()
    wanted = student.get_layer("conv").get_weights()[0] * gamma / np.sqrt(variance + norm.epsilon)
    came = keras.ops.convert_to_numpy(layer.grids[0].remaining(layer.kernel))
    assert np.allclose(came, wanted, rtol=1e-4, atol=1e-6)


def test_clusters_come_apart_when_they_are_not_to_be_kept():
    student = clustered(narrow())
    ready = plain(distil(quantize_aware(student, keep_clusters=False)))
    dense = [m.get_layer("dense").get_weights()[0][:, 0] for m in (student, ready)]
    assert any(np.ptp(dense[1][dense[0] == value]) > 0 for value in np.unique(dense[0]))


def test_clusters_of_zeros_stay_zero():
    student = clustered(narrow())
    kernel, bias = student.get_layer("dense").get_weights()
    kernel[np.abs(kernel) < 0.2] = 0.0
    student.get_layer("dense").set_weights([kernel, bias])
    now = plain(distil(quantize_aware(student))).get_layer("dense").get_weights()[0]
    assert (kernel == 0).mean() > 0.05 and not now[kernel == 0].any()
    assert np.abs(now - kernel).max() > 1e-3


def test_bad_input():
    with pytest.raises(ValueError, match=r"keep_zeros=True, and no kernel of student 'small' has"):
        quantize_aware(small(), keep_zeros=True)
    with pytest.raises(ValueError, match=r"keep_clusters=True, and no kernel of student 'small'"):
        quantize_aware(small(), keep_clusters=True)
    with pytest.raises(TypeError, match=r"`keep_zeros` must be True, False or None. .* 'yes'"):
        quantize_aware(small(), keep_zeros="yes")
