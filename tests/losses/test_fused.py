"""Fused losses in several blocks of rows, the last of which goes beyond the end: value and gradients
are those of the loss inside on whole logits."""

import keras
import numpy as np
import pytest

from keras_kd import losses
from keras_kd._trainers._programs import compiled
from keras_kd.losses import _row_sums

EXAMPLES, LENGTH, WIDTH, CLASSES = 5, 5, 4, 7  # 25 rows: blocks of 4 leave one over
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, CLASSES, (EXAMPLES, LENGTH)).astype("int32")
WEIGHTS = RNG.choice([0.0, 1.0, 2.0], (EXAMPLES, LENGTH)).astype("float32")


def factors(seed):
    rng = np.random.default_rng(seed)
    shapes = ((EXAMPLES, LENGTH, WIDTH), (WIDTH, CLASSES), (CLASSES,))
    return losses.Factors(*(rng.normal(size=shape).astype("float32") for shape in shapes))


def largest(logits, k=3):
    classes = np.argsort(-logits, axis=-1)[..., :k].astype("int32")
    total = np.log(np.exp(logits).sum(-1)).astype("float32")
    return np.take_along_axis(logits, classes, -1), classes, total


#: The loss inside; what it compares with: the teacher's factors, with labels, labels, or stored.
CASES = {
    "soft": (losses.SoftTarget(2.0), lambda t: t),
    "jsd": (losses.JensenShannon(0.3), lambda t: t),
    "dkd": (losses.DecoupledSoftTarget(), lambda t: (t, LABELS)),
    "labels": (losses.LabelTarget(), lambda t: LABELS),
    "stored": (losses.SparseReverseKL(), lambda t: largest(np.asarray(whole(t)))),
}


def whole(side):
    """Logits in place of factors."""
    if isinstance(side, losses.Factors):
        return side.hidden @ side.kernel + side.bias
    return tuple(map(whole, side)) if isinstance(side, tuple) else side


@pytest.fixture(params=[2, 4, 5, 25], ids=lambda rows: f"{rows} rows")
def in_blocks(request, monkeypatch):
    monkeypatch.setattr(_row_sums, "_BLOCK", request.param * CLASSES)
    monkeypatch.setattr(_row_sums, "_FEWEST", 1)
    monkeypatch.setattr(_row_sums, "_PART", 2 * CLASSES)  # the formula sees two rows at a time
    return request.param


@pytest.mark.parametrize("name", CASES)
def test_blocks_are_the_whole(name, in_blocks):
    inside, target_of = CASES[name]
    pred, target = factors(1), target_of(factors(2))
    fused = losses.Fused(inside)

    def together(target, pred):
        return fused(target, losses.Factors(*pred), WEIGHTS), ()

    def apart(target, pred):
        return inside(target, pred, WEIGHTS), ()

    value, gradients, _ = compiled(together)(target, tuple(pred))
    wanted, by_logits, _ = compiled(apart)(whole(target), whole(pred))
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    rows = by_logits.reshape(-1, CLASSES)
    expected = (
        by_logits @ pred.kernel.T,
        pred.hidden.reshape(-1, WIDTH).T @ rows,
        rows.sum(axis=0),
    )
    for got, want in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(
    keras.config.backend() != "torch", reason="gradients are changed in place there"
)
def test_a_second_gradient_is_the_first(in_blocks):
    import torch

    fused = losses.Fused(losses.SoftTarget(2.0))
    pred = [torch.tensor(x, requires_grad=True) for x in factors(1)]
    scaled = 3.0 * fused(factors(2), losses.Factors(*pred), WEIGHTS)
    first = [x.clone() for x in torch.autograd.grad(scaled, pred, retain_graph=True)]
    for again, once in zip(torch.autograd.grad(scaled, pred), first, strict=True):
        assert once.abs().max() > 0
        np.testing.assert_allclose(again, once, rtol=1e-6)


def test_a_block_is_as_small_as_is_asked(monkeypatch):
    """The logits of all rows are never made."""
    seen = []
    made = losses.Factors.logits
    monkeypatch.setattr(
        losses.Factors, "logits", lambda self, rows: seen.append(rows.shape[0]) or made(self, rows)
    )
    monkeypatch.setattr(_row_sums, "_BLOCK", 4 * CLASSES)
    monkeypatch.setattr(_row_sums, "_FEWEST", 1)
    fused = losses.Fused(losses.SoftTarget(1.0))
    fused(factors(2), factors(1))
    assert seen and max(seen) <= 4


def test_rows_of_weight_0_take_no_part(in_blocks):
    """Whatever stands there: NaN moves neither the value nor a gradient."""
    pred, target = factors(1), factors(2)
    fused = losses.Fused(losses.JensenShannon(0.5))

    def function(target, pred):
        return fused(losses.Factors(*target), losses.Factors(*pred), WEIGHTS), ()

    value, gradients, _ = compiled(function)(tuple(target), tuple(pred))
    spoilt = [losses.Factors(np.where(WEIGHTS[..., None] == 0, np.nan, side.hidden).astype("float32"),
                             *side[1:]) for side in (target, pred)]  # fmt: skip
    again, same, _ = compiled(function)(*map(tuple, spoilt))
    np.testing.assert_allclose(again, value, rtol=1e-6)
    for one, other in zip(gradients, same, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
