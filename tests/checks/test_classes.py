"""Students and teachers of different classes: what is refused, what is advised, what it is worth."""

import os
import re

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd as kd
from keras_kd._core.keras_private import mask_of
from keras_kd.losses import SoftTarget
from keras_kd.projectors import Classes
from tests.models import data

SLOW = bool(os.environ.get("KERAS_KD_SLOW"))


def says(text, error=ValueError):
    return pytest.raises(error, match=re.escape(text))


def net(classes, name, features=8):
    layers = [keras.Input((features,)), keras.layers.Dense(classes, name="logits")]
    return keras.Sequential(layers, name=name)


def distiller(student, teacher, *terms):
    return kd.Distiller(student=student, teacher=teacher, terms=list(terms) or None)


# What is said.

MORE = (
    "Term 'soft_target' compares outputs with different numbers of classes: pred 'student:output' "
    "is (None, 3), target 'teacher:output' is (None, 5). Pick the student's classes from the "
    "teacher's, by the teacher's index of each; for the first of them, "
    "teacher=keras_kd.teachers.ClassMap(teacher, range(0, 3)), or where its outputs come with the "
    "batch target_projector=keras_kd.projectors.Classes(range(0, 3)) in the term. A trained "
    "projector would give the classes any order."
)
LESS = (
    "pred 'student:output' is (None, 5), target 'teacher:output' is (None, 3). Compare those of "
    "the student's classes that the teacher has, by the student's index of each; for the first "
    "of them, give the term projector=keras_kd.projectors.Classes(range(0, 3))."
)


def test_other_numbers_of_classes_advise_to_pick_and_never_a_projector():
    with says(MORE) as more:
        distiller(net(3, "s"), net(5, "t"))
    with says(LESS) as less:
        distiller(net(5, "s"), net(3, "t"))
    assert "Dense" not in str(more.value) + str(less.value)


def test_the_advice_works():
    student, teacher = net(3, "s"), net(5, "t")
    assert distiller(student, kd.teachers.ClassMap(teacher, range(0, 3))).built
    term = kd.Term(SoftTarget(), target_projector=Classes(range(0, 3)))
    assert distiller(student, teacher, term).built
    term = kd.Term(SoftTarget(), projector=Classes(range(0, 3)))
    assert distiller(net(5, "s"), net(3, "t"), term).built


@pytest.mark.parametrize(
    "loss", [SoftTarget(), kd.losses.DecoupledSoftTarget()], ids=lambda loss: loss.name
)
@pytest.mark.parametrize("pred", ["student:output", "student:logits"])
def test_whatever_names_the_answers_and_whatever_else_the_loss_reads(loss, pred):
    target = "teacher:output"
    if isinstance(loss, kd.losses.DecoupledSoftTarget):
        target = (target, "labels")
    with says("compares outputs with different numbers of classes"):
        distiller(net(3, "s"), net(5, "t"), kd.Term(loss, pred=pred, target=target))


def test_slopes_of_answers_are_answers():
    with says("pred 'student:jvp' is (None, 3), target 'teacher:jvp' is (None, 5). Pick the"):
        distiller(
            net(3, "s"),
            net(5, "t"),
            kd.Term(kd.losses.JacobianMatch(), pred="student:jvp", target="teacher:jvp"),
        )


@pytest.mark.parametrize(
    "student, teacher, text", [(3, 5, MORE), (5, 3, LESS)], ids=["more", "less"]
)
def test_answers_that_come_with_the_batch(student, teacher, text):
    """The first batch tells, in the same words, before a step is made."""
    x, y = data()
    made = kd.Distiller(student=net(student, "s"))
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    said = np.random.default_rng(0).normal(size=(len(x), teacher)).astype("float32")
    inputs = {"inputs": x, "signals": {"teacher:output": said}}
    with says(text):
        made.fit(inputs, y, verbose=0)
    assert int(made._step.numpy()) == 0
    with says(text):
        made.evaluate(inputs, y, verbose=0)


@pytest.mark.parametrize("argument", ["projector", "target_projector"])
@pytest.mark.parametrize("teacher", [True, False], ids=["live", "stored"])
def test_a_trained_projector_between_answers_is_refused(argument, teacher):
    given = {argument: keras.Sequential([kd.projectors.Dense(3)])}
    names = {"pred": "student:logits"} if teacher else {}
    if argument == "target_projector" and not teacher:
        pytest.skip("it is built with the first batch")
    with says(
        "by SoftTarget, and its " + argument + " Sequential has trained weights that make each "
        "class out of all others. It would learn any order of the classes"
    ):
        distiller(
            net(3, "s"), net(3, "t") if teacher else None, kd.Term(SoftTarget(), **names, **given)
        )


def test_projectors_that_leave_the_classes_where_they_are_are_not():
    frozen = kd.projectors.Dense(3, trainable=False)  # a mapping that is known, and stays
    scaled = keras.layers.BatchNormalization()
    for projector in (frozen, scaled):
        distiller(net(3, "s"), net(3, "t"), kd.Term(SoftTarget(), projector=projector))
    distiller(net(3, "s"), net(3, "t"), *kd.recipes.ctkd(steps=10))
    own = kd.Term(
        SoftTarget(), pred="student:hidden", target="student:output",
        projector=kd.projectors.AuxiliaryHead(3),
    )  # fmt: skip
    inputs = keras.Input((8,))
    hidden = keras.layers.Dense(6, name="hidden")(inputs)
    distiller(keras.Model(inputs, keras.layers.Dense(3)(hidden)), None, own)


def test_probabilities_are_seen_before_a_projector_that_picks():
    inputs = keras.Input((8,))
    ends = keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(inputs), name="s")
    with says("student 's' ends in a softmax"):
        distiller(ends, net(3, "t"), kd.Term(SoftTarget(), projector=Classes(range(3))))
    with says("teacher 's' ends in a softmax"):
        distiller(net(3, "t"), ends, kd.Term(SoftTarget(), target_projector=Classes(range(3))))


def test_the_labels_loss_knows_that_the_whole_output_is_logits():
    known = kd.Term(SoftTarget(), projector=Classes([1, 0]))
    made = distiller(net(5, "s"), net(2, "t"), kd.Labels(), known)
    with pytest.raises(ValueError, match="from_logits=True"):
        made.compile("sgd", "sparse_categorical_crossentropy")


# The projector.


@pytest.mark.parametrize("classes", [[], [-1, 0], [0.5], ["1"], [True, 2.0]], ids=str)
def test_indices_that_are_none(classes):
    with says("`classes` must list, for each class of the other side, its index from 0"):
        Classes(classes)


def test_an_index_twice_or_beyond():
    with says("`classes` names class 2 3 times, and only one class of the other side can be"):
        Classes([2, 1, 2, 2])
    with says("names class 5, and there are 5 logits: indices from 0 to 4."):
        Classes([0, 5])(np.zeros((2, 5)))


@pytest.mark.parametrize("classes", [[3, 0, 4], [1, 2, 3]], ids=["any", "in a row"])
def test_what_it_picks_and_where_the_gradient_goes(classes):
    """The softmax of the picked ones; the others get no gradient."""
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    term = kd.Term(SoftTarget(1.0), projector=Classes(classes))
    signals = {"student:output": ops.convert_to_tensor(z), "teacher:output": t}
    p, q = (np.exp(a) / np.exp(a).sum(-1, keepdims=True) for a in (t, z[:, classes]))
    expected = (p * np.log(p / q)).sum(-1).mean()
    assert float(term(signals, step=0)) == pytest.approx(expected, rel=1e-5)
    others = [c for c in range(5) if c not in classes]
    moved = z.copy()
    moved[:, others] += 3.0
    signals["student:output"] = ops.convert_to_tensor(moved)
    assert float(term(signals, step=0)) == pytest.approx(expected, rel=1e-5)


def test_logits_stay_float32_and_masks_stay():
    keras.config.set_dtype_policy("mixed_float16")
    layer = Classes([1, 0])
    assert layer(np.zeros((2, 3), "float32")).dtype == ops.zeros((), "float32").dtype
    embedded = keras.layers.Embedding(4, 3, mask_zero=True)(np.array([[1, 0]]))
    assert mask_of(layer(embedded)) is not None


# What it is worth, on the digits: 100 labels, and what the teacher says of all images.


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)


@pytest.fixture(scope="module")
def teachers():
    """One of 12 classes, two of which never come; and one that knows 9, 8, ..., 3 alone."""
    keras.utils.set_random_seed(0)
    digits = kd.data.load("digits")
    wide = cnn(12)
    wide.compile(keras.optimizers.Adam(0.003), loss())
    wide.fit(digits.x_train, digits.y_train, epochs=10 if SLOW else 3, verbose=0)
    few = cnn(7)
    known = digits.y_train >= 3
    few.compile(keras.optimizers.Adam(0.003), loss())
    few.fit(digits.x_train[known], 9 - digits.y_train[known], epochs=10 if SLOW else 3, verbose=0)
    return wide, few


def cnn(classes):
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(classes),
        ]
    )


def accuracy(teacher, terms, seed, epochs, classes=10):
    """Of a student with 100 labels, on the test images: of all classes, and of those from 3 on."""
    digits = kd.data.load("digits")
    keras.utils.set_random_seed(seed)
    student = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(classes),
        ]
    )
    labels = np.full_like(digits.y_train, -1)
    order = np.random.default_rng(seed).permutation(len(labels))[:100]
    labels[order] = digits.y_train[order]
    made = kd.Distiller(student=student, teacher=teacher, terms=terms)
    made.compile(keras.optimizers.Adam(0.005), loss())
    made.fit(digits.x_train, labels, batch_size=64, epochs=epochs, verbose=0)
    said = student.predict(digits.x_test, verbose=0).argmax(-1)
    right = said == digits.y_test
    return right.mean(), right[digits.y_test >= 3].mean()


def soft(**kwargs):
    return [kd.Labels(weight=0.1), kd.Term(SoftTarget(4.0), weight=0.9, **kwargs)]


@pytest.mark.parametrize("seed", [2, 3, 4] if SLOW else [2])
def test_more_classes_fewer_and_another_order_are_worth_it_on_the_digits(teachers, seed):
    """Seeds 2 to 4, 20 epochs: see the bounds; the labels alone come to about .78."""
    wide, few = teachers
    epochs = 20 if SLOW else 8
    alone, few_alone = accuracy(None, [kd.Labels()], seed, epochs)
    more, _ = accuracy(kd.teachers.ClassMap(wide, range(10)), soft(), seed, epochs)
    there, _ = accuracy(wide, soft(target_projector=Classes(range(10))), seed, epochs)
    _, fewer = accuracy(few, soft(projector=Classes(range(9, 2, -1))), seed, epochs)
    padded, _ = accuracy(
        kd.teachers.ClassMap(wide, range(10)), soft(projector=Classes(range(10))), seed, epochs, 16
    )
    print(
        f"\nseed {seed}: {alone=:.3f} {more=:.3f} {there=:.3f} {fewer=:.3f} {few_alone=:.3f} {padded=:.3f}"
    )
    assert there == pytest.approx(more, abs=0.02)
    assert min(more, padded) > alone + (0.05 if SLOW else 0.1)
    assert fewer > few_alone + (0.01 if SLOW else 0.05)
