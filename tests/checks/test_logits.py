"""Probabilities that are given where logits are read: told of by their values, on the first batch."""

import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd as kd
from keras_kd import stores
from keras_kd._checks import _logits
from keras_kd._core.probabilities import looks, read
from keras_kd.losses import BinarySoftTarget, LogitMatch, SoftTarget
from tests.models import CLASSES, cross_entropy, data, mlp

RNG = np.random.default_rng(0)


def says(text, error=ValueError):
    return pytest.raises(error, match=re.escape(text))


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype("float32")


def sigmoid(z):
    return (1 / (1 + np.exp(-z))).astype("float32")


def seen(x):
    return read(ops.convert_to_numpy(looks(ops.convert_to_tensor(x))))


# What is told by values alone.

LOGITS = RNG.normal(size=(32, 10)).astype("float32") * 3
#: Numbers that can only be probabilities among classes.
SOFTMAX = {
    "of logits": softmax(LOGITS),
    "in float16": softmax(LOGITS).astype("float16"),
    "of many classes, in bfloat16's eight bits": (
        np.round(softmax(RNG.normal(size=(8, 1000))) * 2.0**18) / 2.0**18
    ).astype("float32"),
    "one-hot": np.eye(10, dtype="float32")[np.arange(20) % 10],
    "of sequences, with padding": np.concatenate(
        [softmax(RNG.normal(size=(4, 5, 7))), np.zeros((4, 3, 7), "float32")], axis=1
    ),
}
#: Numbers that can only be probabilities each of its own.
SIGMOID = {
    "of many labels": sigmoid(RNG.normal(size=(32, 20)) * 4 - 2),
    "one logit": sigmoid(RNG.normal(size=(64, 1)) * 5),
    "hard": (RNG.uniform(size=(32, 6)) < 0.3).astype("float32"),
}
#: Numbers that may well be logits.
NEITHER = {
    "logits": LOGITS,
    "of two classes": RNG.normal(size=(500, 2)).astype("float32") * 0.5,
    "small ones": LOGITS * 1e-3,
    "log-probabilities": np.log(softmax(LOGITS)),
    "behind a ReLU": np.maximum(LOGITS, 0),
    "of a fresh head": np.zeros((32, 10), "float32"),
    "too few rows": softmax(LOGITS[:7, :3]),
    "between 0 and 1": RNG.uniform(0.2, 0.8, size=(64, 1)).astype("float32"),
    "of a teacher that says one thing": np.full((64, 1), 0.99, "float32"),
    "of one that says hardly anything": np.full((64, 1), 0.01, "float32"),
    "from 0 to 1": RNG.uniform(size=(64, 4)).astype("float32"),
    "one row that is not": np.concatenate([softmax(LOGITS), LOGITS[:1]]),
    "NaN": np.full((32, 10), np.nan, "float32"),
}


@pytest.mark.parametrize("name", list(SOFTMAX))
def test_a_softmax_is_seen(name):
    assert seen(SOFTMAX[name]).softmax


@pytest.mark.parametrize("name", list(SIGMOID))
def test_a_sigmoid_is_seen(name):
    assert seen(SIGMOID[name]).sigmoid and not seen(SIGMOID[name]).softmax


@pytest.mark.parametrize("name", list(NEITHER))
def test_what_may_be_logits_is_let_be(name):
    found = seen(NEITHER[name])
    assert not found.softmax and not found.sigmoid


def test_no_false_alarm_in_a_hundred_thousand_batches_of_two_classes():
    """The rule again, in numpy: eight rows that agree by accident are never met."""
    z = np.abs(RNG.normal(size=(100_000, 8, 2)))  # nowhere negative: the worst there is
    assert not (np.abs(z.sum(-1) - 1) <= 5e-3).all(-1).any()


# In fit and evaluate, whoever gives them.

X, Y = data(32)


@keras.saving.register_keras_serializable(package="tests")
class Ends(keras.Model):
    """A model written as a class: nobody sees what it ends in."""

    def __init__(self, activation, units=CLASSES):
        super().__init__(name="written")
        self.dense = keras.layers.Dense(
            units, kernel_initializer=keras.initializers.RandomNormal(0, 2, seed=1)
        )
        self.last = keras.activations.get(activation)

    def call(self, x):
        return self.last(self.dense(x))


def distiller(student=None, teacher=None, loss=None, **kwargs):
    loss = loss or SoftTarget(4.0)
    made = kd.Distiller(
        student=student or mlp("s"), teacher=teacher, terms=[kd.Term(loss)], **kwargs
    )
    made.compile("sgd")
    return made


def given(signal):
    return {"inputs": X, "signals": {"teacher:output": signal}}


P = softmax(RNG.normal(size=(32, CLASSES)))


@pytest.mark.parametrize("skip", ["raise", "skip"])
@pytest.mark.parametrize("batch_size", [8, 2], ids=["one batch", "several small ones"])
def test_answers_by_hand(batch_size, skip):
    made = distiller(on_bad_teacher=skip)
    with says(
        "Term 'soft_target' reads 'teacher:output' as logits, and it holds probabilities: all 8 "
        "rows looked at are nowhere negative and sum to 1. A softmax or sigmoid of probabilities "
        "is nearly constant. Give logits: without its last activation, a model gives them; "
        "teacher=keras_kd.teachers.FromProbabilities(teacher) makes them of a teacher's "
        "probabilities, np.log(np.maximum(p, 1e-7)) of outputs that come with the batch."
    ):
        made.fit(given(P), batch_size=batch_size, epochs=2, verbose=0)
    assert 1 <= int(made._step.numpy()) <= 8 // batch_size
    with says("it holds probabilities"):
        made.evaluate(given(P), batch_size=batch_size, verbose=0)
    made.fit(given(np.log(P)), batch_size=batch_size, epochs=2, verbose=0)
    made.evaluate(given(np.log(P)), batch_size=batch_size, verbose=0)


def test_of_a_generator_each_batch_is_taken_once():
    taken = []

    def batches():
        for at in range(0, 32, 8):
            taken.append(at)
            yield ({"inputs": X[at : at + 8], "signals": {"teacher:output": P[at : at + 8]}},)

    with says("it holds probabilities"):
        distiller().fit(batches(), verbose=0)


@pytest.mark.parametrize(
    "loss",
    [SoftTarget(), LogitMatch(), kd.losses.DecoupledSoftTarget()],
    ids=lambda loss: loss.name,
)
def test_a_teacher_written_as_a_class(loss):
    several = ("teacher:output", "labels")
    target = several if isinstance(loss, kd.losses.DecoupledSoftTarget) else several[0]
    made = kd.Distiller(
        student=mlp("s"), teacher=Ends("softmax"), terms=[kd.Term(loss, target=target, name="t")]
    )
    made.compile("sgd")
    with says("Term 't' reads 'teacher:output' as logits, and it holds probabilities"):
        made.fit(X, Y, batch_size=16, verbose=0)
    right = kd.Distiller(
        student=mlp("s"), terms=[kd.Term(loss, target=target)],
        teacher=kd.teachers.FromProbabilities(Ends("softmax")),
    )  # fmt: skip
    right.compile("sgd")
    right.fit(X, Y, batch_size=16, verbose=0)


def test_a_student_written_as_a_class():
    made = distiller(Ends("softmax"), mlp("t"))
    with says("reads 'student:output' as logits, and it holds probabilities"):
        made.fit(X, batch_size=16, verbose=0)


def test_sigmoids_under_a_loss_between_binary_logits():
    students = [mlp("s"), Ends("linear")]
    made = distiller(students[0], Ends("sigmoid"), BinarySoftTarget())
    with says(
        "numbers looked at lie in [0, 1], many of them at the ends. A softmax or sigmoid of "
        "probabilities is nearly constant. Give logits: without its last activation, a model "
        "gives them; teacher=keras_kd.teachers.FromBinaryProbabilities(teacher)"
    ):
        made.fit(X, verbose=0)
    distiller(students[1], Ends("linear"), BinarySoftTarget()).fit(X, verbose=0)


def test_losses_on_probabilities_may_have_them():
    term = kd.Term(
        kd.losses.FeatureMatch(), projector=keras.layers.Softmax()
    )  # compares with the softmax of the student
    made = kd.Distiller(student=mlp("s"), terms=[term])
    made.compile("sgd")
    made.fit(given(P), verbose=0)


def test_a_batch_that_is_skipped_is_not_the_one_that_is_looked_at():
    p = np.log(P)
    p[:8] = np.nan
    p[8:] = P[8:]
    with says("it holds probabilities: all 8 rows"):
        distiller(on_bad_teacher="skip").fit(given(p), batch_size=8, shuffle=False, verbose=0)


def test_minus_infinity_names_the_logarithm_of_zero():
    hard = np.eye(CLASSES, dtype="float32")[Y]
    with np.errstate(divide="ignore"):
        p = np.log(hard)
    with says(
        "Among 'teacher:output' is -inf: the logarithm of a probability of 0, of which a forest, "
        "for one, gives many. Clip before the logarithm: np.log(np.maximum(p, 1e-7))."
    ):
        distiller().fit(given(p), batch_size=16, verbose=0)
    distiller().fit(given(np.log(np.maximum(hard, 1e-7))), batch_size=16, verbose=0)


def test_infinity_of_another_kind_does_not():
    z = np.log(P)
    z[3, 1] = np.inf
    with says("and the logarithm of a probability of 0 are the usual causes."):
        distiller().fit(given(z), batch_size=16, verbose=0)


def test_looking_ends_with_the_first_examples():
    """Later batches are not looked at: it costs nothing."""
    made = distiller()
    made.fit(given(np.log(P)), batch_size=8, shuffle=False, verbose=0)
    assert read(ops.convert_to_numpy(made._value_check.looks[1])).numbers == 8 * CLASSES


@pytest.mark.parametrize(
    ("shape", "looked"),
    [
        ((64, 10), (64, 10)),
        ((64, 40), (25, 40)),
        ((64, 1000), (8, 1000)),  # never fewer than make an accident impossible
        ((64, 5, 10), (20, 5, 10)),
        ((64, 50, 10), (8, 13, 10)),
        ((64, 50, 1000), (8, 1, 1000)),
        ((64,), (64,)),
        ((64, 0), (64, 0)),
    ],
)
def test_of_large_outputs_a_part_is_looked_at(monkeypatch, shape, looked):
    sizes = []
    monkeypatch.setattr(_logits, "_MOST", 1000)
    monkeypatch.setattr(_logits, "looks", lambda x: sizes.append(tuple(x.shape)) or ops.sum(x))
    _logits.looked_at({"student:output": ops.zeros(shape)}, ["student:output"])
    assert sizes == [looked]


def test_what_is_looked_at_of_large_outputs_is_enough(monkeypatch):
    monkeypatch.setattr(_logits, "_MOST", 3 * CLASSES)
    with says("all 8 rows looked at are nowhere negative and sum to 1"):
        distiller().fit(given(P), batch_size=16, verbose=0)


# Stores.


def teacher(activation=None):
    inputs = keras.Input((8, 8, 1))
    h = keras.layers.Flatten()(inputs)
    h = keras.layers.Dense(10, name="logits")(h)
    if activation is not None:
        h = keras.layers.Activation(activation, name="last")(h)
    return keras.Model(inputs, h, name="net")


class Hidden(keras.Model):
    """Nobody sees that it ends in a softmax."""

    def __init__(self):
        super().__init__(name="hidden")
        self.inner = teacher()

    def call(self, x):
        return ops.softmax(self.inner(x))


@pytest.fixture(scope="module")
def part():
    return kd.data.load("digits")["test"].take(np.arange(40))


def test_a_store_of_a_softmax_is_not_written(part, tmp_path):
    with says(
        "The teacher 'net' ends in a softmax: its 'output' is probabilities. What is stored under "
        "'output' is read as logits. Write it from keras_kd.teachers.FromProbabilities(teacher), "
        "or without the softmax. If you want the probabilities themselves, for a loss on "
        "probabilities, store them under the name of the layer that gives them: "
        "addresses=('NAME',).",
        stores._codecs.StoreError,
    ):
        stores.write(teacher("softmax"), part, tmp_path / "a")
    with says(
        "The teacher 'hidden' gives no logits: its 'output' is probabilities: of all examples"
    ):
        stores.write(Hidden(), part, tmp_path / "a", top_k=3)
    assert not (tmp_path / "a").exists()
    stores.write(teacher("softmax"), part, tmp_path / "layer", addresses=("last",))
    stores.write(kd.teachers.FromProbabilities(teacher("softmax")), part, tmp_path / "logs")
    stores.write(teacher("sigmoid"), part, tmp_path / "sigmoid")  # each of its own: as it may be
    assert len(stores.read(tmp_path / "layer", part)) == 1


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_store_of_probabilities_from_before_is_not_read(part, tmp_path, dtype, monkeypatch):
    with monkeypatch.context() as m:
        m.setattr("keras_kd.stores._writer.check_ending", lambda *_: None)
        m.setattr("keras_kd.stores._logit_checks.check_kinds", lambda *_: None)
        stores.write(teacher("softmax"), part, tmp_path / "a", dtype=dtype)
    with says("holds no logits: its 'output' is probabilities: of all examples looked"):
        stores.read(tmp_path / "a", part)
    kept = stores.Store(tmp_path / "a")(part.ids[:2], np.zeros(2, "int64"))["teacher:output"]
    np.testing.assert_allclose(kept.sum(-1), 1.0, atol=1e-3)


def test_the_labels_loss_is_not_looked_at():
    made = kd.Distiller(student=mlp("s"), terms=[kd.Labels()])
    made.compile("sgd", cross_entropy())
    made.fit(X, Y, verbose=0)
    assert made._value_check.logits == {}
