"""The checks of the contract: each compares a loss with something that its code has no part in.

A check raises `AssertionError` when the loss breaks it; it returns a reason when it does not apply.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.tensors import Tensor
from keras_kd._trainers._programs import forward, value_and_gradient
from keras_kd.testing._case import EXAMPLES, Contract
from keras_kd.testing._flat_rows import Flat, batches
from keras_kd.testing._program import differences, result, steepest

Check = Callable[[Contract], str | None]


def equals_the_formula(contract: Contract) -> str | None:
    """Values as the oracle's, one per example or position, in float32."""
    target, pred = contract.inputs()
    found = result(contract, target, pred)
    shape = (EXAMPLES, *contract.case.shape)
    assert found.values.shape == shape, f"values of shape {found.values.shape}, not {shape}"
    assert found.values.dtype == np.float32, f"values of type {found.values.dtype}"
    expected = contract.values(_float64(target), _float64(pred))
    np.testing.assert_allclose(
        found.values, expected, rtol=contract.case.rtol, atol=1e-6 * np.abs(expected).max()
    )
    np.testing.assert_allclose(found.mean, expected.mean(), rtol=contract.case.rtol)
    return None


def is_least_where_the_sides_agree(contract: Contract) -> str | None:
    """The minimum is at the target itself, and has the value that the contract states."""
    if contract.identity is None:
        return "it has no minimum at the target itself"
    target, pred = contract.inputs()
    agreeing = contract.identity(target)
    least = result(contract, target, agreeing).mean
    wanted = contract.values(_float64(target), _float64(agreeing)).mean()
    np.testing.assert_allclose(least, wanted, atol=1e-5, rtol=1e-6)
    np.testing.assert_allclose(least, contract.case.least, atol=1e-3)
    assert least < result(contract, target, pred).mean, "another prediction has a smaller loss"
    return None


def ignores_the_order_of_the_batch(contract: Contract) -> str | None:
    """Examples in another order have their values in that order."""
    target, pred = contract.inputs()
    order = np.array([2, 0, 3, 1])
    before = result(contract, target, pred).values
    after = result(contract, _reordered(target, order), _reordered(pred, order)).values
    np.testing.assert_allclose(after, before[order], rtol=2e-5, atol=1e-6)
    return None


def says_whether_it_is_relational(contract: Contract) -> str | None:
    """`relational` is true just where an example's value depends on the others."""
    (target, pred), (other_target, other_pred) = contract.inputs(), contract.inputs(seed=1)

    def with_another_last(mine: Any, other: Tensor) -> Tensor:
        def swap(a: Tensor, b: Tensor) -> Tensor:
            if len(a) < EXAMPLES:
                return a
            return np.concatenate([a[: EXAMPLES - 1], b[EXAMPLES - 1 : EXAMPLES], a[EXAMPLES:]])

        return keras.tree.map_structure(swap, mine, other)

    before = result(contract, target, pred).values[: EXAMPLES - 1]
    changed = with_another_last(target, other_target), with_another_last(pred, other_pred)
    after = result(contract, *changed).values[: EXAMPLES - 1]
    depends = not np.allclose(before, after, rtol=1e-4)
    declared = contract.build().relational
    assert declared == depends, f"relational={declared}, and examples {'do' if depends else 'do not'} depend on one another"  # fmt: skip
    return None


def obeys_sample_weights(contract: Contract) -> str | None:
    """A weight of 0 takes an example out, and a weight of 2 counts it twice."""
    target, pred = contract.inputs()
    values = contract.values(_float64(target), _float64(pred))
    expected = values[1] * 2 + values[2] + values[3]
    np.testing.assert_allclose(
        result(contract, target, pred).weighted,
        expected.sum(),
        rtol=contract.case.rtol,
        atol=1e-6 * np.abs(values).max(),
    )
    return None


def gradient_equals_differences(contract: Contract) -> str | None:
    """The gradient is that of the oracle, by central differences in float64."""
    target, pred = contract.inputs()
    shares = contract.shares()
    exact_target, exact_pred = _float64(target), _float64(pred)
    derivative_of = contract.case.derivative_of
    values = derivative_of(exact_target, exact_pred) if derivative_of else contract.values
    expected = differences(lambda s: (values(exact_target, s) * shares).sum(), exact_pred)
    largest = max(np.abs(derivatives).max() for _, derivatives in expected)
    assert largest > 0, "the oracle does not change with the prediction"
    gradient = keras.tree.flatten(result(contract, target, pred).gradient)
    for got, (places, want) in zip(gradient, expected, strict=True):
        np.testing.assert_allclose(got.ravel()[places], want, rtol=1e-3, atol=2e-5 * largest)
    return None


def is_finite_at_the_ends(contract: Contract) -> str | None:
    """Values and gradients, at 1e4 of either sign, at zero, and with equal examples."""
    for size in (1e4, 0.0):
        target, pred = contract.extreme(size)
        for side in [pred, *([contract.identity(target)] if contract.identity else [])]:
            found = result(contract, target, side)
            assert np.isfinite(found.values).all(), f"a value is not finite at {size:g}"
            parts = keras.tree.flatten(found.gradient)
            assert all(np.isfinite(part).all() for part in parts), f"a gradient is not finite at {size:g}"  # fmt: skip
    return None


def is_not_steep_at_flat_rows(contract: Contract) -> str | None:
    """Blank images and dead ReLUs: rows without variation pull at most 10 times as hard as others,
    and a row that hardly varies at most 40 times."""
    wrong = []
    for flat in batches(contract):
        found = result(contract, flat.target, flat.pred)
        assert np.isfinite(found.values).all(), flat.kind
        times = steepest(found.gradient) / ordinary(contract, flat)
        if not times <= (40.0 if flat.faint else 10.0):
            wrong.append(f"{flat.kind}: {times:.3g} times")
    assert not wrong, wrong
    return None


def ordinary(contract: Contract, flat: Flat) -> float:
    """The largest gradient where rows vary: as they are drawn, or as large as the flat ones."""
    if "drawn" not in contract.programs:
        contract.programs["drawn"] = steepest(result(contract, *contract.inputs()).gradient)
    alike = steepest(result(contract, flat.target, flat.ordinary).gradient)
    return max(contract.programs["drawn"], alike)


def is_computed_in_float32(contract: Contract) -> str | None:
    """Whatever precision the sides come in."""
    loss = contract.build(reduction=None)

    def cast(x: Tensor, half: str) -> Tensor:
        return ops.cast(ops.convert_to_tensor(x), half)

    halves = [
        keras.tree.map_structure(lambda x, half=half: cast(x, half), contract.inputs())
        for half in ("float16", "bfloat16")
    ]
    found = forward(lambda *pairs: [loss(*pair) for pair in pairs])(*halves)
    for half, values in zip(halves, found, strict=True):
        full = keras.tree.map_structure(  # labels as they are: no other program
            lambda x, own: ops.convert_to_numpy(ops.cast(x, own.dtype)), half, contract.inputs()
        )
        assert values.dtype == np.float32, f"values of type {values.dtype}"
        wanted = result(contract, *full).values
        np.testing.assert_allclose(
            values, wanted, rtol=contract.case.rtol, atol=2e-6 * np.abs(wanted).max()
        )
    return None


def comes_back_from_its_config(contract: Contract) -> str | None:
    """As what it was, with its settings. (What it is then worth, the sample weights show.)"""
    loss = contract.build(name="mine", reduction="sum")
    back = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(back) is contract.loss, f"a {type(back).__name__} came back"
    assert back.get_config() == loss.get_config()
    for argument in contract.case.constants:
        assert argument in loss.get_config(), f"get_config() does not hold '{argument}'"
    return None


def follows_schedules(contract: Contract) -> str | None:
    """At a step, a schedule gives what the constant gives."""
    if not contract.case.scheduled:
        return "it has no constant that may follow a schedule"
    target, pred = contract.inputs()
    for argument in contract.case.scheduled:
        start = contract.case.constants[argument]
        falling = keras.optimizers.schedules.PolynomialDecay(start, 10, end_learning_rate=start / 2)
        scheduled = contract.build(**{argument: falling})
        constant = contract.build(**{argument: start * 0.75})
        back = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(scheduled))

        def three(
            target: Tensor, pred: Tensor, step: Tensor, of: Any = (scheduled, constant, back)
        ) -> Tensor:
            at_steps = of[0].at(step), of[1], of[2].at(step - 5)
            return [loss(target, pred) for loss in at_steps]

        midway, wanted, first = forward(three)(target, pred, np.array(5, "int32"))
        np.testing.assert_allclose(midway, wanted, rtol=contract.case.rtol, err_msg=argument)
        np.testing.assert_allclose(
            first, result(contract, target, pred).mean, rtol=contract.case.rtol, err_msg=argument
        )
    return None


def compiled_equals_eager(contract: Contract) -> str | None:
    """Values, and on TensorFlow gradients, which come another way there."""
    if keras.config.backend() == "jax":
        return "on JAX eager operations are compiled too, one by one"
    target, pred = contract.inputs()
    loss, shares = contract.build(reduction=None), contract.shares()
    found = result(contract, target, pred)
    eager = ops.convert_to_numpy(loss(target, pred))
    atol = 1e-6 * max(1.0, np.abs(eager).max())
    np.testing.assert_allclose(found.values, eager, rtol=contract.case.rtol, atol=atol)
    if keras.config.backend() == "tensorflow":
        _, want = value_and_gradient(lambda t, s: ops.sum(loss(t, s) * shares), target, pred)
        for a, b in zip(keras.tree.flatten(found.gradient), keras.tree.flatten(want), strict=True):
            np.testing.assert_allclose(a, b, rtol=5e-4, atol=1e-5 * (np.abs(b).max() + 1e-3))
    return None


CHECKS: tuple[Check, ...] = (
    equals_the_formula, is_least_where_the_sides_agree, ignores_the_order_of_the_batch,
    says_whether_it_is_relational, obeys_sample_weights, gradient_equals_differences,
    is_finite_at_the_ends, is_not_steep_at_flat_rows, is_computed_in_float32,
    comes_back_from_its_config, follows_schedules, compiled_equals_eager,
)  # fmt: skip


def _float64(tree: Any) -> Any:
    return keras.tree.map_structure(lambda x: np.asarray(x, "float64"), tree)


def _reordered(tree: Any, order: np.ndarray) -> Any:
    """Every array's examples in another order; what has fewer rows is not per example."""

    def move(x: Tensor) -> Tensor:
        if len(x) < EXAMPLES:
            return x
        return np.concatenate([x[:EXAMPLES][order], x[EXAMPLES:]])

    return keras.tree.map_structure(move, tree)
