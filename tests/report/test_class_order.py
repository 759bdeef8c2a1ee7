"""The order of a teacher's classes against that of the labels."""

import keras
import numpy as np
import pytest

from keras_kd import sources
from keras_kd.data import Part
from keras_kd.report import check_class_order, class_order
from keras_kd.report._class_order import _probability_by_chance, examples_to_check


def answered(labels, classes, accuracy, seed=0):
    """One-hot answers of a model that is right so often, and else answers anything."""
    rng = np.random.default_rng(seed)
    wrong = rng.integers(0, classes, len(labels))
    return np.eye(classes)[np.where(rng.random(len(labels)) < accuracy, labels, wrong)]


@pytest.mark.parametrize("classes", [2, 3, 10, 200])
@pytest.mark.parametrize("accuracy", [0.6, 0.95])
def test_another_order_is_found_and_told(classes, accuracy):
    labels = np.arange(max(500, 10 * classes)) % classes
    answers = answered(labels, classes, accuracy)
    assert class_order(answers, labels).verdict == "right"
    outputs = (
        np.random.default_rng(2).permutation(classes) if classes > 3 else np.roll(range(classes), 1)
    )
    found = class_order(answers[:, outputs], labels)  # output j stands for class outputs[j]
    assert found.verdict == "permuted"
    assert found.reordered > found.accuracy + 0.2
    if classes <= 10:
        np.testing.assert_array_equal(found.order, np.argsort(outputs))
        names = [f"c{i}" for i in range(classes)]
        assert found.by_output(names) == [f"c{i}" for i in outputs]
        assert answers[:, outputs][:, found.order].tolist() == answers.tolist()  # as ClassMap does


def test_two_classes_of_a_hundred_that_changed_places_are_found():
    labels = np.arange(2000) % 100
    swapped = np.arange(100)
    swapped[[7, 40]] = 40, 7
    found = class_order(answered(labels, 100, 0.9)[:, swapped], labels)
    assert found.verdict == "permuted" and found.order == tuple(swapped)


def test_two_classes_that_a_weak_model_takes_for_one_another_are_no_other_order():
    labels = np.arange(1000) % 10
    decided = answered(labels, 10, 0.5).argmax(axis=1)
    rng = np.random.default_rng(3)
    share, anything = rng.random(len(labels)), rng.integers(0, 10, len(labels))
    for one, other in ((1, 6), (6, 1)):
        mine = labels == one
        decided[mine] = np.where(
            share[mine] < 0.15, one, np.where(share[mine] < 0.5, other, anything[mine])
        )
    found = class_order(np.eye(10)[decided], labels)
    assert found.verdict == "right" and found.reordered > found.accuracy


def test_nothing_is_found_where_nothing_is():
    """A weak teacher is no permuted one, and one that knows nothing is found out."""
    verdicts = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        labels = rng.integers(0, 10, 300)
        verdicts.append(class_order(rng.normal(size=(300, 10)), labels).verdict)
        assert class_order(answered(labels, 10, 0.3, seed), labels).verdict == "right"
        # Confused about pairs of classes, as a teacher of other data may be: still in order.
        confused = np.where(rng.random(300) < 0.4, labels ^ 1, labels)
        assert class_order(np.eye(10)[confused], labels).verdict == "right"
    assert verdicts.count("chance") >= 98 and "permuted" not in verdicts


def test_of_few_examples_a_weak_model_is_not_said_to_guess():
    labels = np.arange(30) % 2
    answers = np.eye(2)[np.where(np.arange(30) < 21, labels, 1 - labels)]  # 21 of 30: p = .02
    assert class_order(answers, labels).verdict == "unclear"
    more = class_order(np.tile(answers, (10, 1)), np.tile(labels, 10))
    assert (more.verdict, more.accuracy) == ("right", 0.7)


def test_one_answer_to_everything_is_chance():
    labels = np.repeat([0, 1], [270, 30])
    found = class_order(np.tile([2.0, 1.0], (300, 1)), labels)
    assert (found.verdict, found.accuracy, found.chance) == ("chance", 0.9, pytest.approx(0.9))
    known = np.eye(2)[labels]
    assert class_order(known, labels).verdict == "right"


def test_few_examples_tell_nothing_and_labels_below_zero_do_not_count():
    labels = np.arange(19) % 3
    assert class_order(np.eye(3)[(labels + 1) % 3], labels).verdict == "unclear"
    more = np.concatenate([labels, np.full(100, -1)])
    assert class_order(np.eye(3)[(more + 1) % 3], more).examples == 19
    assert class_order(np.zeros((4, 3)), np.full(4, -1)).verdict == "unclear"


def test_what_will_not_do():
    with pytest.raises(ValueError, match=r"`labels` hold class 3, and the outputs have 3 classes"):
        class_order(np.zeros((30, 3)), np.full(30, 3))
    with pytest.raises(ValueError, match=r"Received shapes: \(30, 3\) and \(29,\)"):
        class_order(np.zeros((30, 3)), np.zeros(29, int))


def test_binomial_tails():
    assert _probability_by_chance(3, 3, 0.5) == pytest.approx(1 / 8)
    assert _probability_by_chance(0, 5, 0.3) == pytest.approx(1)
    assert _probability_by_chance(4, 5, 0.2) == pytest.approx(5 * 0.2**4 * 0.8 + 0.2**5)


def test_as_many_of_each_class_are_asked_about():
    labels = np.repeat([0, 1, 2, -1], [500, 60, 30, 10])
    drawn = labels[examples_to_check(labels)]
    assert np.bincount(drawn).tolist() == [30, 30, 30]
    many = np.repeat(np.arange(1000), 5)
    assert np.bincount(many[examples_to_check(many)]).tolist() == [2] * 1000
    rare = np.repeat([0, 1], [500, 3])
    assert np.bincount(rare[examples_to_check(rare)]).tolist() == [10, 3]
    assert len(examples_to_check(np.full(5, -1))) == 0


def model_that_answers(outputs):
    """Its input is the right class, one-hot; its output `j` stands for class `outputs[j]`."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)], name="big")
    model.layers[0].set_weights([np.eye(4)[:, outputs], np.zeros(4)])
    return model


def test_check_class_order_says_what_to_do():
    y = np.arange(400) % 4
    x = np.eye(4, dtype="float32")[y]
    names = ["cat", "dog", "hen", "pig"]
    assert check_class_order(model_that_answers([0, 1, 2, 3]), (x, y)).verdict == "right"
    with pytest.raises(ValueError) as error:
        check_class_order(model_that_answers([3, 0, 1, 2]), (x, y), class_names=names)
    assert str(error.value) == (
        "'big' is right about 0.0% of 200 labelled examples, and about 100.0% if its outputs stand "
        "for 'pig', 'cat', 'dog', 'hen', in this order. The labels' order is 'cat', 'dog', 'hen', "
        "'pig'. Give the labels in the order of its outputs, or use "
        "keras_kd.teachers.ClassMap(model, [1, 2, 3, 0])."
    )
    part = Part(np.zeros_like(x), y, np.arange(400))
    with pytest.raises(ValueError, match=r"no more than by chance \(25.0%\), in whichever order"):
        check_class_order(model_that_answers([0, 1, 2, 3]), part)
    with pytest.raises(ValueError, match="predicts 4 classes, and `class_names` has 2"):
        check_class_order(model_that_answers([0, 1, 2, 3]), (x, y), class_names=names[:2])


def test_a_teacher_of_another_framework_says_what_to_do():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 60)
    x = np.eye(4)[y] + 0.1 * rng.normal(size=(240, 4))
    teacher = sources.FunctionTeacher(lambda x: x[:, [3, 0, 1, 2]], name="lab")
    with pytest.raises(ValueError, match=r"lambda x: teacher\(x\)\[:, \[1, 2, 3, 0\]\]"):
        check_class_order(teacher, (x, y))
    again = sources.FunctionTeacher(lambda x: teacher(x)[:, [1, 2, 3, 0]], name="mended")
    assert check_class_order(again, (x, y)).verdict == "right"
