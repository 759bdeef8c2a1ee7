"""Teachers made of other models, and what is said of models that end in probabilities."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import teachers
from keras_kd.losses import BinarySoftTarget, SoftTarget
from tests.models import CLASSES, Subclassed, cross_entropy, data, equal, mlp, noisy, values

Term = keras_kd.Term


def softmax(z, temperature=1.0):
    e = np.exp(np.asarray(z, "float64") / temperature)
    return e / e.sum(-1, keepdims=True)


def answer(model, x):
    return keras.ops.convert_to_numpy(model(x))


def ending(activation, name="net", units=CLASSES):
    layers = [keras.Input((8,)), keras.layers.Dense(units, activation=activation, name="last")]
    return keras.Sequential(layers, name=name)


def pure(student, teacher, loss=None, **kwargs):
    distiller = keras_kd.Distiller(
        student=student, teacher=teacher, terms=[Term(loss or SoftTarget(1.0))]
    )
    distiller.compile(keras.optimizers.SGD(0.1), **kwargs)
    return distiller


def loss_of(distiller, x, y=None):
    return distiller.evaluate(x, y, verbose=0, return_dict=True)["loss"]


# Ensembles.


def test_an_ensemble_answers_with_the_mean_of_the_probabilities():
    x, _ = data()
    members = [mlp("a"), mlp("b", units=9), mlp("c")]
    said = softmax(answer(teachers.Ensemble(members), x))
    expected = np.mean([softmax(answer(m, x)) for m in members], axis=0)
    np.testing.assert_allclose(said, expected, atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_an_ensemble_of_one_model_twice_answers_as_that_model(temperature):
    """Also in value, for what compares logits and no softmax."""
    x, _ = data()
    member = mlp("a")
    said = answer(teachers.Ensemble([member, member], temperature=temperature), x)
    expected = temperature * np.log(softmax(answer(member, x), temperature))
    np.testing.assert_allclose(said, expected, atol=1e-5)


def test_an_ensemble_at_a_temperature_is_exact_for_soft_targets_at_that_temperature():
    x, _ = data()
    members, student = [mlp("a"), mlp("b", units=9)], mlp("s")
    distiller = pure(student, teachers.Ensemble(members, temperature=3.0), SoftTarget(3.0))
    loss = loss_of(distiller, x)
    p = np.mean([softmax(answer(m, x), 3.0) for m in members], axis=0)
    q = softmax(answer(student, x), 3.0)
    expected = 9.0 * (p * np.log(p / q)).sum(-1).mean()
    assert loss == pytest.approx(expected, rel=1e-4)


def test_a_mean_of_logits_is_not_a_mean_of_probabilities():
    x, _ = data()
    members = [mlp("a"), mlp("b", units=9)]
    logits = [answer(m, x) for m in members]
    np.testing.assert_allclose(
        answer(teachers.LogitEnsemble(members), x), np.mean(logits, axis=0), atol=1e-6
    )
    assert not np.allclose(
        softmax(np.mean(logits, axis=0)), np.mean([softmax(z) for z in logits], axis=0), atol=1e-4
    )


def test_a_stack_has_one_more_model_on_top():
    x, _ = data()
    members = [mlp("a"), mlp("b")]
    head = keras.Sequential([keras.Input((2 * CLASSES,)), keras.layers.Dense(CLASSES)])
    joined = np.concatenate([answer(m, x) for m in members], axis=-1)
    np.testing.assert_allclose(
        answer(teachers.StackedEnsemble(members, head), x), answer(head, joined), atol=1e-6
    )


def test_a_layer_of_a_member_can_be_named():
    student, members = mlp("s"), [mlp("a"), mlp("b")]
    hint = Term(keras_kd.losses.FeatureMatch(), pred="student:hidden", target="teacher:b/hidden")
    distiller = keras_kd.Distiller(
        student=student, teacher=teachers.Ensemble(members), terms=[hint]
    )
    distiller.compile("sgd")
    x, _ = data()
    expected = np.mean((answer(student.layers[0], x) - answer(members[1].layers[0], x)) ** 2)
    assert loss_of(distiller, x) == pytest.approx(expected, rel=1e-5)


def test_the_top_of_a_stack_learns_from_the_labels_first():
    x, y = data()
    members = [mlp("a"), mlp("b")]
    head = keras.Sequential([keras.Input((2 * CLASSES,)), keras.layers.Dense(CLASSES)])
    stacked = teachers.StackedEnsemble(members, head)
    before = values(v for m in members for v in m.variables), values(head.variables)
    stacked.compile(keras.optimizers.SGD(0.1), cross_entropy())
    first, *_, last = stacked.fit(x, y, epochs=4, verbose=0).history["loss"]
    assert last < first
    assert equal(before[0], values(v for m in members for v in m.variables))
    assert not equal(before[1], values(head.variables), 1e-4)
    pure(mlp("s"), stacked)


@pytest.mark.parametrize("kind", [teachers.Ensemble, teachers.LogitEnsemble])
def test_members_are_models(kind):
    with pytest.raises(ValueError, match="at least one model"):
        kind([])
    with pytest.raises(TypeError, match=r"`members` must be a list of keras\.Model"):
        kind([mlp("a"), "b"])


# Views of one model.


def test_each_sees_its_own_key():
    x, _ = data()
    views = {"weak": x, "strong": x + 1.0}
    net, other = mlp("net"), mlp("other")
    student, teacher = teachers.SelectInput(net, "strong"), teachers.SelectInput(other, "weak")
    distiller = pure(student, teacher)
    loss = loss_of(distiller, views)
    p, q = softmax(answer(other, x)), softmax(answer(net, x + 1.0))
    assert loss == pytest.approx((p * np.log(p / q)).sum(-1).mean(), rel=1e-4)
    with pytest.raises(
        ValueError, match="sees the input under 'weak', and the input is a dict with"
    ):
        teacher({"strong": x})


def test_classes_in_another_order():
    x, _ = data()
    model = mlp("t")
    said = answer(teachers.ClassMap(model, [2, 0]), x)
    np.testing.assert_array_equal(said, answer(model, x)[:, [2, 0]])
    with pytest.raises(ValueError, match="names class 3, and 't' returns 3 logits"):
        teachers.ClassMap(model, [0, 3])(x)
    with pytest.raises(ValueError, match="`classes` must list"):
        teachers.ClassMap(model, [-1])


@pytest.mark.parametrize(
    "given, wanted, flip, expected",
    [
        ((0, 255), (0, 1), False, [0.0, 1 / 255, 1.0]),
        ((0, 255), (-1, 1), True, [1.0, 2 / 255 - 1, -1.0]),
        ((0, 255), "imagenet", False, [-0.485 / 0.229, (1 / 255 - 0.456) / 0.224, 0.594 / 0.225]),
        ((0, 255), "caffe", True, [255 - 103.939, 1 - 116.779, -123.68]),
        (([0, 0, 5], [1, 2, 255]), (0, 1), True, [1.0, 0.5, 0.0]),
    ],
)
def test_inputs_in_another_range(given, wanted, flip, expected):
    model = keras.Sequential([keras.layers.Rescaling(1.0)])
    view = teachers.ConvertInput(model, given, wanted, flip_channels=flip)
    found = view(np.array([[0, 1, 255]], "uint8"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found)[0], expected, rtol=1e-4, atol=1e-5)


def test_imagenet_and_back():
    there = teachers.ConvertInput(
        keras.Sequential([keras.layers.Rescaling(1.0)]), (0, 1), "imagenet"
    )
    back = teachers.ConvertInput(there, "imagenet", (0, 1))
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(back(x)), x, atol=1e-5)


@pytest.mark.parametrize(
    "wanted", ["imagenett", (1, 0), (0, 1, 2), ([0, 0], [1, 0]), 3, (0, np.inf)]
)
def test_a_range_that_is_none(wanted):
    with pytest.raises(ValueError, match=r"`wanted` must be a pair \(low, high\)"):
        teachers.ConvertInput(mlp("a"), wanted=wanted)


def test_probabilities_become_logits_again():
    x, _ = data()
    soft = ending("softmax")
    said = teachers.FromProbabilities(soft)
    np.testing.assert_allclose(softmax(answer(said, x)), answer(soft, x), atol=1e-6)
    binary = ending("sigmoid", units=1)
    logits = x @ binary.layers[0].kernel.numpy()
    np.testing.assert_allclose(
        answer(teachers.FromBinaryProbabilities(binary), x), logits, atol=1e-3
    )


# The teacher that follows.


def test_momentum_is_the_average_it_says():
    x, y = data(40)
    student = noisy("s")
    teacher = teachers.Momentum(student, decay=0.9)
    start = values(teacher.model.weights)
    assert equal(start, values(student.weights))
    distiller = keras_kd.Distiller(
        student=student, teacher=teacher, terms=[keras_kd.Labels(), Term(SoftTarget(1.0))]
    )
    distiller.compile(keras.optimizers.SGD(0.5), cross_entropy())
    expected = [w.astype("float64") for w in start]
    for i in range(0, 40, 8):
        distiller.train_on_batch(x[i : i + 8], y[i : i + 8])
        now = values(student.weights)
        expected = [0.9 * w + 0.1 * s for w, s in zip(expected, now, strict=True)]
    assert not equal(expected, start, 1e-3)
    names = [w.path.split("/")[-1] for w in teacher.model.weights]
    assert "moving_mean" in names
    for own, wanted, name in zip(values(teacher.model.weights), expected, names, strict=True):
        np.testing.assert_allclose(own, wanted, atol=1e-6, err_msg=name)


def test_momentum_moves_in_fit_and_not_in_evaluate():
    x, y = data(32)
    student = mlp("s")
    teacher = teachers.Momentum(student, decay=0.5)
    distiller = keras_kd.Distiller(
        student=student, teacher=teacher, terms=[keras_kd.Labels(), Term(SoftTarget(1.0))]
    )
    distiller.compile(keras.optimizers.SGD(0.5), cross_entropy())
    before = values(teacher.model.weights)
    distiller.evaluate(x, y, verbose=0)
    assert equal(before, values(teacher.model.weights))
    distiller.fit(x, y, batch_size=32, verbose=0)
    halfway = [0.5 * (b + s) for b, s in zip(before, values(student.weights), strict=True)]
    assert equal(halfway, values(teacher.model.weights), 1e-6)
    assert not equal(before, values(teacher.model.weights), 1e-4)


def test_momentum_inside_another_teacher_moves_too():
    x, _ = data(16)
    net = mlp("net")
    follower = teachers.Momentum(net, decay=0.5)
    student, teacher = teachers.SelectInput(net, "strong"), teachers.SelectInput(follower, "weak")
    distiller = pure(student, teacher)
    before = values(follower.model.weights)
    distiller.fit({"weak": x, "strong": x + 1.0}, batch_size=16, verbose=0)
    halfway = [0.5 * (b + s) for b, s in zip(before, values(net.weights), strict=True)]
    assert equal(halfway, values(follower.model.weights), 1e-6)
    assert not equal(before, values(follower.model.weights), 1e-6)


def test_the_decay_may_follow_the_step():
    x, y = data(8)
    student = mlp("s")
    decay = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.0, 1.0])
    teacher = teachers.Momentum(student, decay=decay)
    distiller = keras_kd.Distiller(
        student=student, teacher=teacher, terms=[keras_kd.Labels(), Term(SoftTarget(1.0))]
    )
    distiller.compile(keras.optimizers.SGD(0.5), cross_entropy())
    distiller.train_on_batch(x, y)  # after step 1, decay 0: the student itself
    first = values(student.weights)
    assert equal(first, values(teacher.model.weights), 1e-7)
    distiller.train_on_batch(x, y)  # decay 1: stands still
    assert equal(first, values(teacher.model.weights), 1e-7)
    assert not equal(first, values(student.weights), 1e-4)


def test_momentum_is_saved_and_goes_on(tmp_path):
    x, y = data(32)
    student = noisy("s")
    distiller = keras_kd.Distiller(
        student=student,
        teacher=teachers.Momentum(student, decay=0.5),
        terms=[keras_kd.Labels(), Term(SoftTarget(2.0))],
    )
    distiller.compile(keras.optimizers.SGD(0.1), cross_entropy())
    distiller.fit(x, y, verbose=0)
    distiller.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    assert equal(values(distiller.teacher.weights), values(again.teacher.weights))
    np.testing.assert_allclose(
        distiller.evaluate(x, y, verbose=0), again.evaluate(x, y, verbose=0), rtol=1e-5
    )
    before = values(again.teacher.model.weights)
    again.train_on_batch(x, y)
    halfway = [0.5 * (b + s) for b, s in zip(before, values(again.student.weights), strict=True)]
    assert equal(halfway, values(again.teacher.model.weights), 1e-6)


def test_momentum_of_a_subclassed_student():
    x, _ = data(8)
    student = Subclassed()
    with pytest.raises(ValueError, match="has none yet"):
        teachers.Momentum(student)
    student(x)
    teacher = teachers.Momentum(student)
    np.testing.assert_allclose(answer(teacher, x), answer(student, x), atol=1e-6)


def test_momentum_says_whom_it_cannot_follow():
    student = mlp("s")
    with pytest.raises(ValueError, match="follows the student 'studnt', and there is none"):
        pure(student, teachers.Momentum(student, of="studnt"))
    with pytest.raises(ValueError, match="no copy of the student"):
        pure(student, teachers.Momentum(mlp("other", units=9)))
    with pytest.raises(ValueError, match="`decay` must be from 0 to 1"):
        teachers.Momentum(student, decay=1.5)


# All of them: saved, and never moved by training.


def every_teacher():
    soft, binary = ending("softmax"), ending("sigmoid")
    head = keras.Sequential([keras.Input((2 * CLASSES,)), keras.layers.Dense(CLASSES)])
    return {
        "ensemble": teachers.Ensemble([mlp("a"), noisy("b")], temperature=2.0),
        "logits": teachers.LogitEnsemble([mlp("a"), noisy("b")]),
        "stacked": teachers.StackedEnsemble([mlp("a"), mlp("b")], head),
        "classes": teachers.ClassMap(mlp("a"), [2, 1, 0]),
        "range": teachers.ConvertInput(mlp("a"), (0, 1), (-1, 2), flip_channels=True),
        "soft": teachers.FromProbabilities(soft),
        "binary": teachers.FromBinaryProbabilities(binary),
        "nested": teachers.Ensemble([teachers.FromProbabilities(ending("softmax")), mlp("a")]),
    }


@pytest.mark.parametrize("name", list(every_teacher()))
def test_a_teacher_stands_still_and_comes_back_from_a_file(name, tmp_path):
    x, _ = data(16)
    distiller = pure(mlp("s"), every_teacher()[name])
    before, student = values(distiller.teacher.variables), values(distiller.student.variables)
    distiller.fit(x, epochs=2, verbose=0)
    assert equal(before, values(distiller.teacher.variables))
    assert not equal(student, values(distiller.student.variables), 1e-6)
    distiller.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    np.testing.assert_allclose(
        answer(again.teacher, x), answer(distiller.teacher, x), rtol=1e-5, atol=1e-6
    )


# Models that end in probabilities.


def test_a_teacher_that_ends_in_a_softmax_is_named_with_its_remedy():
    message = (
        r"Term 'soft_target' compares logits with SoftTarget, and teacher 't' ends in a softmax: "
        r"'teacher:output' gives probabilities\. Take the softmax off its last layer, or give "
        r"keras_kd\.teachers\.FromProbabilities\(teacher\)\."
    )
    with pytest.raises(ValueError, match=message):
        keras_kd.Distiller(student=mlp("s"), teacher=ending("softmax", "t"))
    keras_kd.Distiller(student=mlp("s"), teacher=teachers.FromProbabilities(ending("softmax", "t")))


def test_a_student_that_ends_in_a_softmax_is_named_with_its_remedy():
    message = (
        r"student 's' ends in a softmax.*student=keras_kd\.with_logits\(student\).*Compile with a "
        r"loss that has from_logits=True\."
    )
    with pytest.raises(ValueError, match=message):
        keras_kd.Distiller(student=ending("softmax", "s"), teacher=mlp("t"))


def test_a_sigmoid_has_its_own_remedy():
    with pytest.raises(ValueError, match=r"FromBinaryProbabilities\(teacher\)"):
        pure(ending(None, units=1), ending("sigmoid", units=1), BinarySoftTarget())


def wrapped_ends():
    inputs = keras.Input((8,))
    logits = keras.layers.Dense(CLASSES)(inputs)
    yield "layer", keras.Model(inputs, keras.layers.Softmax()(logits))
    yield "activation", keras.Model(inputs, keras.layers.Activation("softmax")(logits))
    yield "nested", keras.Sequential([keras.Input((8,)), ending("softmax")])
    yield "member", teachers.Ensemble([mlp("a"), ending("softmax")])
    head = [keras.Input((CLASSES,)), keras.layers.Dense(CLASSES, activation="softmax")]
    yield "head", teachers.StackedEnsemble([mlp("a")], keras.Sequential(head))
    yield "view", teachers.ClassMap(ending("softmax"), [0, 1, 2])
    yield "range", teachers.ConvertInput(ending("softmax"))


@pytest.mark.parametrize("model", [pytest.param(m, id=n) for n, m in wrapped_ends()])
def test_a_softmax_is_found_where_it_hides(model):
    with pytest.raises(ValueError, match="ends in a softmax"):
        keras_kd.Distiller(student=mlp("s"), teacher=model)


def composed():
    losses = keras_kd.losses
    yield Term(losses.SumOf(SoftTarget()))
    labelled = ("teacher:output", "labels")
    yield Term(losses.ConfidenceWeighted(SoftTarget()), target=labelled)
    yield Term(losses.ConfidenceWeighted(losses.FeatureMatch()), target=labelled)
    yield Term(losses.LabelledTarget(), target=labelled)
    yield Term(losses.HardTarget())
    yield Term(losses.LogitMatch())
    yield Term(losses.ReverseKL())


@pytest.mark.parametrize("term", list(composed()), ids=lambda term: term.name)
def test_a_softmax_is_found_by_losses_that_are_made_of_others(term):
    for student, teacher in ((mlp("s"), ending("softmax")), (ending("softmax"), mlp("t"))):
        with pytest.raises(ValueError, match=f"'{term.name}' compares logits.*ends in a softmax"):
            keras_kd.Distiller(student=student, teacher=teacher, terms=[term])


def test_a_sum_of_losses_on_features_asks_for_no_logits():
    term = Term(keras_kd.losses.SumOf(keras_kd.losses.FeatureMatch()))
    keras_kd.Distiller(student=ending("softmax"), teacher=ending("softmax"), terms=[term])


def test_one_output_of_several():
    def two(activation, name):
        x = keras.Input((8,))
        outputs = {
            "kind": keras.layers.Dense(CLASSES, activation=activation)(x),
            "size": keras.layers.Dense(1)(x),
        }
        return keras.Model(x, outputs, name=name)

    term = Term(SoftTarget(), pred="student:output/kind", target="teacher:output/kind")
    with pytest.raises(ValueError, match="'teacher:output/kind' gives probabilities"):
        keras_kd.Distiller(student=two(None, "s"), teacher=two("softmax", "t"), terms=[term])
    keras_kd.Distiller(student=two(None, "s"), teacher=two(None, "t"), terms=[term])


def test_probabilities_may_be_compared_by_what_asks_for_no_logits():
    term = Term(keras_kd.losses.FeatureMatch())
    keras_kd.Distiller(student=ending("softmax"), teacher=ending("softmax"), terms=[term])
