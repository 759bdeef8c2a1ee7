"""Every loss, on shapes, types, class counts and temperatures that nobody chose."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import losses
from keras_kd._trainers._programs import forward
from tests.losses import cases

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

#: The fewest where each shape is compiled anew: there, every third loss once.
EXAMPLES, EVERY = {"jax": (1, 3), "tensorflow": (5, 1), "torch": (8, 1)}[keras.config.backend()]
#: Least elsewhere for some: of a class that is as unlikely everywhere there is no correlation, by
#: the published formula; a density may be above 1; a softened teacher is met by logits that are divided
#: by the temperature.
ELSEWHERE = (losses.CorrelationTarget, losses.VariationalMatch, losses.TransformedTeacher)
CASES = [case for case in cases.CASES if case.note != "masked"]  # whose mask is of four examples


@st.composite
def settings(draw):
    return {
        "batch": draw(st.sampled_from([5, 1, 2])),
        "classes": draw(st.sampled_from([17, 2, 3])),
        "dtype": draw(st.sampled_from(["float16", "bfloat16", "float32"])),
        "scale": draw(st.sampled_from([20.0, 1e-3, 1.0])),
        "temperature": draw(st.sampled_from([0.5, 1.0, 4.0, 20.0])),
        "seed": draw(st.integers(0, 100)),
    }


def sides(case, monkeypatch, *, batch, classes, scale, seed, **_):
    """Target and pred of the table's kind, in other shapes."""
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(cases, "BATCH", batch)
    monkeypatch.setattr(cases, "LABELS", rng.integers(0, classes, batch))

    def draw(*shape):
        if shape[-1] == 6:  # the table's number of classes
            shape = (*shape[:-1], classes)
        return rng.normal(0, scale, size=shape).astype("float32")

    return case.make(draw)


def in_type(tree, dtype):
    def cast(x):
        x = ops.convert_to_tensor(x)
        return ops.cast(x, dtype) if ops.is_tensor(x) and "float" in str(x.dtype) else x

    return keras.tree.map_structure(cast, tree)


@pytest.mark.parametrize("case", CASES[::EVERY], ids=str)
def test_a_loss_is_finite_has_one_value_each_and_is_least_at_its_target(case):
    @hypothesis.settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )  # fmt: skip
    @hypothesis.given(settings())
    def holds(given):
        with pytest.MonkeyPatch.context() as monkeypatch:
            target, pred = sides(case, monkeypatch, **given)
            agreeing = case.identity(target) if case.identity else pred
        temperature = 1.0
        constants = {"reduction": None}
        if "temperature" in case.scheduled and case.loss.__name__ != "SparseSoftTarget":
            constants["temperature"] = temperature = given["temperature"]
        loss = case.build(**constants)
        target, pred, agreeing = in_type((target, pred, agreeing), given["dtype"])
        values, least = forward(lambda t, s, a: (loss(t, s), loss(t, a)))(target, pred, agreeing)
        assert values.shape == (given["batch"], *case.shape)
        assert values.dtype == np.float32
        assert np.isfinite(values).all() and np.isfinite(least).all()
        alone = case.loss.relational and given["batch"] == 1  # with none to be compared with
        if case.identity and case.least == 0.0 and not alone and case.loss not in ELSEWHERE:
            allowed = 1e-5 * max(1.0, temperature**2) * max(1.0, given["scale"])
            assert (values >= -allowed).all()
            np.testing.assert_allclose(least, 0.0, atol=10 * allowed)
            assert least.mean() <= values.mean() + allowed

    holds()
