"""Same weights, same data: the same five steps on every backend.

`goldens/five_steps.npz` was written by this file run as a program on the TensorFlow backend
(`KERAS_BACKEND=tensorflow python -m tests.test_cross_backend`); its first loss is checked here
against a float64 computation in numpy that shares no code with the package.
"""

import pathlib

import keras
import numpy as np
import pytest

import keras_kd
from tests.models import cross_entropy, data, mlp, set_weights, values

GOLDEN = pathlib.Path(__file__).parent / "goldens" / "five_steps.npz"
TEMPERATURE, ALPHA, HINT = 3.0, 0.7, 0.5


def five_steps():
    x, y = data(40, seed=3)
    student, teacher = set_weights(mlp("s", 6), 1), set_weights(mlp("t", 9), 2)
    projector = keras_kd.projectors.Dense(9)
    hint = keras_kd.Term(
        keras_kd.losses.FeatureMatch(),
        pred="student:hidden",
        target="teacher:hidden",
        projector=projector,
        weight=HINT,
        name="hint",
    )
    distiller = keras_kd.Distiller(
        student=student,
        teacher=teacher,
        terms=[*keras_kd.recipes.hinton(temperature=TEMPERATURE, alpha=ALPHA), hint],
    )
    rng = np.random.default_rng(4)
    projector.set_weights([rng.normal(0, 0.5, w.shape) for w in projector.get_weights()])
    start = [values(m.variables) for m in (student, teacher, projector)]
    distiller.compile(keras.optimizers.Adam(0.01), cross_entropy())
    names = ("loss", "labels", "soft_target", "hint")
    losses = []
    for step in range(5):
        part = slice(8 * step, 8 * step + 8)
        distiller.reset_metrics()
        logs = distiller.train_on_batch(x[part], y[part], return_dict=True)
        losses.append([float(logs[name]) for name in names])
    weights = np.concatenate([v.ravel() for v in values(distiller.trainable_variables)])
    return np.array(losses), weights, start, (x[:8], y[:8])


def by_hand(start, batch):
    """loss, labels, soft target and hint of the first batch, in float64."""
    (k1, b1, k2, b2), (tk1, tb1, tk2, tb2), (pk, pb) = (
        [w.astype("float64") for w in weights] for weights in start
    )
    x, y = batch[0].astype("float64"), batch[1]
    hidden, seen = np.maximum(x @ k1 + b1, 0), np.maximum(x @ tk1 + tb1, 0)
    s, t = hidden @ k2 + b2, seen @ tk2 + tb2
    labels = soft = 0.0
    for i in range(len(x)):
        labels += (np.log(np.exp(s[i]).sum()) - s[i, y[i]]) / len(x)
        p = np.exp(t[i] / TEMPERATURE) / np.exp(t[i] / TEMPERATURE).sum()
        q = np.exp(s[i] / TEMPERATURE) / np.exp(s[i] / TEMPERATURE).sum()
        soft += TEMPERATURE**2 * sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)) / len(x)
    hint = ((hidden @ pk + pb - seen) ** 2).mean()
    return [(1 - ALPHA) * labels + ALPHA * soft + HINT * hint, labels, soft, hint]


def test_five_steps_are_the_same_on_every_backend():
    losses, weights, start, batch = five_steps()
    np.testing.assert_allclose(losses[0], by_hand(start, batch), rtol=1e-5)
    with np.load(GOLDEN) as golden:
        np.testing.assert_allclose(losses, golden["losses"], rtol=1e-4)
        np.testing.assert_allclose(weights, golden["weights"], atol=1e-4)


def test_the_gradient_of_a_soft_target_is_exact_at_any_scale():
    """d/ds of T² KL(p ‖ q) is T (q - p) / B: relative error under 1e-5 up to logits of ±100s."""
    from tests.gradients import gradient

    rng = np.random.default_rng(0)
    for scale in (1, 20, 100):
        s, t = (rng.normal(0, scale, (64, 10)) for _ in range(2))
        s32, t32 = s.astype("float32"), t.astype("float32")
        for temperature in (1.0, 4.0):
            loss = keras_kd.losses.SoftTarget(temperature)
            found = gradient(lambda z, t=t32, loss=loss: loss(t, z), s32)
            q, p = (_softmax(z.astype("float64") / temperature) for z in (s32, t32))
            exact = temperature * (q - p) / len(s)
            error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
            assert error < 1e-5, (scale, temperature, error)


def _softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


if __name__ == "__main__":
    if keras.config.backend() != "tensorflow":
        raise SystemExit("The golden file is written by the TensorFlow backend.")
    losses, weights, start, batch = five_steps()
    assert losses[0] == pytest.approx(by_hand(start, batch), rel=1e-5)
    np.savez(GOLDEN, losses=losses, weights=weights)
