"""`check_loss` lets a right loss pass, and names what is wrong with others."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd
from keras_kd.testing import LossCase, check_loss
from keras_kd.testing._checks import CHECKS

#: The formula takes a number that is nearly 1 from 1.
CASE = LossCase(constants={"temperature": 4.0}, scheduled=("temperature",), rtol=1e-4)


def oracle(target, pred, temperature=4.0):
    p, q = (np.exp(z / temperature) for z in (target, pred))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    return 4 * temperature**2 * (1 - np.sqrt(p * q).sum(-1))


@keras.saving.register_keras_serializable("tests")
class Hellinger(keras_kd.losses.Loss):
    def __init__(self, temperature=4.0, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature

    def call(self, y_true, y_pred):
        log_p = ops.log_softmax(y_true / self.temperature, axis=-1)
        log_q = ops.log_softmax(y_pred / self.temperature, axis=-1)
        return 4 * self.temperature**2 * (1 - ops.sum(ops.exp((log_p + log_q) / 2), axis=-1))


@keras.saving.register_keras_serializable("tests")
class AsItComes(Hellinger):
    """The square root of a probability that was rounded to 0 is steep without bound."""

    def call(self, y_true, y_pred):
        p = ops.softmax(y_true / self.temperature, axis=-1)
        q = ops.softmax(y_pred / self.temperature, axis=-1)
        return 4 * self.temperature**2 * (1 - ops.sum(ops.sqrt(p * q), axis=-1))


@keras.saving.register_keras_serializable("tests")
class Swapped(keras_kd.losses.SoftTarget):
    def call(self, y_true, y_pred):
        return super().call(y_pred, y_true)


@keras.saving.register_keras_serializable("tests")
class Averaged(Hellinger):
    def call(self, y_true, y_pred):
        return ops.mean(super().call(y_true, y_pred)) * ops.ones_like(y_pred[:, 0])


@keras.saving.register_keras_serializable("tests")
class Forgetful(Hellinger):
    def get_config(self):
        return {k: v for k, v in super().get_config().items() if k != "temperature"}


def broken(loss, by=oracle, case=CASE):
    with pytest.raises(AssertionError, match=f"{loss.__name__} breaks") as caught:
        check_loss(loss, by, case)
    names = [check.__name__ for check in CHECKS]
    return {name for name in names if f"\n\n{name}: " in str(caught.value)}


def test_a_right_loss_passes():
    passed = check_loss(Hellinger, oracle, CASE)
    left_out = {"compiled_equals_eager"} if keras.config.backend() == "jax" else set()
    assert set(passed) == {check.__name__ for check in CHECKS} - left_out


def test_what_is_wrong_is_named():
    assert broken(AsItComes) >= {"is_finite_at_the_ends"}
    assert {"equals_the_formula", "gradient_equals_differences"} <= broken(
        Swapped, keras_kd_soft_target
    )
    averaged = broken(Averaged)
    assert {
        "equals_the_formula",
        "obeys_sample_weights",
        "says_whether_it_is_relational",
    } <= averaged
    forgetful = LossCase(constants={"temperature": 2.0}, rtol=1e-4)
    assert broken(Forgetful, case=forgetful) >= {"comes_back_from_its_config"}


def keras_kd_soft_target(target, pred, temperature):
    p, q = (np.exp(z / temperature) for z in (target, pred))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    return temperature**2 * (p * np.log(p / q)).sum(-1)


def test_what_is_no_loss():
    with pytest.raises(TypeError, match="give the class itself"):
        check_loss(Hellinger(), oracle)
    with pytest.raises(TypeError, match=r"a subclass of keras_kd\.losses\.Loss"):
        check_loss(keras.losses.Huber, oracle)
