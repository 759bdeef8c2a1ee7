"""Bad input gets an error that says what is wrong, what came, and what to do."""

import re

import keras
import numpy as np
import pytest

import keras_kd
from tests.models import CLASSES, Subclassed, cross_entropy, data, mlp

Term, SoftTarget, FeatureMatch = (
    keras_kd.Term,
    keras_kd.losses.SoftTarget,
    keras_kd.losses.FeatureMatch,
)


def says(text, error=ValueError):
    return pytest.raises(error, match=re.escape(text))


def image_net(name, channels, size=8):
    inputs = keras.Input((size, size, 1))
    h = keras.layers.Conv2D(channels, 3, padding="same", name="conv")(inputs)
    h = keras.layers.GlobalAveragePooling2D()(h)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(h), name=name)


def distiller(*terms, student=None, teacher=None, **kwargs):
    student, teacher = student or mlp("small"), teacher or mlp("large", 9)
    return keras_kd.Distiller(student=student, teacher=teacher, terms=list(terms) or None, **kwargs)


def test_a_layer_that_is_not_there():
    with says(
        "No layer 'hiden' in student 'small', named by Term 'hint'. Expected 'output' or one of "
        "its 2 layers: 'hidden', 'logits'. Did you mean 'student:hidden'?"
    ):
        distiller(Term(FeatureMatch(), pred="student:hiden", target="teacher:hidden", name="hint"))


def test_a_nested_layer_is_found_by_its_last_name():
    with says("Did you mean 'student:inner/deep'?"):
        distiller(
            Term(FeatureMatch(), pred="student:deep", target="teacher:hidden"),
            student=Subclassed(name="s"),
        )


def test_a_role_that_is_not_there():
    with says(
        "Term 'soft_target' names the role 'techer' in 'techer:output', and there is none. "
        "Expected one of 'student', 'teacher'. Did you mean 'teacher'?"
    ):
        distiller(Term(SoftTarget(), target="techer:output"))


@pytest.mark.parametrize("address", ["student", ":output", "student:", " student:output"])
def test_malformed_addresses(address):
    with says("An address names a role and a path"):
        Term(SoftTarget(), pred=address)


def test_labels_cannot_be_what_learns():
    with says("'labels' can be a target, never a `pred`"):
        Term(SoftTarget(), pred="labels")


@pytest.mark.parametrize(
    "student, teacher, suggestion",
    [
        (mlp("s", 6), mlp("t", 9), "keras_kd.projectors.Dense(9)"),
        (image_net("s", 4), image_net("t", 16), "keras_kd.projectors.Conv1x1(16)"),
        (image_net("s", 4, 8), image_net("t", 4, 8), None),
    ],
)
def test_shapes_that_differ_suggest_a_projector(student, teacher, suggestion):
    layer = student.layers[-2].name if isinstance(student, keras.Sequential) else "conv"
    term = Term(FeatureMatch(), pred=f"student:{layer}", target=f"teacher:{layer}", name="hint")
    if suggestion is None:
        assert distiller(term, student=student, teacher=teacher).built
        return
    with says(f"Give it a projector, for example projector={suggestion}."):
        distiller(term, student=student, teacher=teacher)


def test_the_whole_message_of_shapes_that_differ():
    term = Term(FeatureMatch(), pred="student:conv", target="teacher:conv", name="hint")
    with says(
        "Term 'hint' compares shapes that differ: pred 'student:conv' is (None, 8, 8, 4), target "
        "'teacher:conv' is (None, 8, 8, 16). Give it a projector, for example "
        "projector=keras_kd.projectors.Conv1x1(16)."
    ):
        distiller(term, student=image_net("s", 4), teacher=image_net("t", 16))


def test_maps_of_other_sizes_suggest_resizing_and_it_works():
    inputs = keras.Input((8, 8, 1))
    h = keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(inputs)
    h = keras.layers.GlobalAveragePooling2D()(h)
    student = keras.Model(inputs, keras.layers.Dense(CLASSES)(h), name="s")
    teacher = image_net("t", 16)
    names = {"pred": "student:conv", "target": "teacher:conv"}
    with says(
        "projector=keras.Sequential([keras_kd.projectors.Resize((8, 8)), "
        "keras_kd.projectors.Conv1x1(16)])."
    ):
        distiller(Term(FeatureMatch(), **names), student=student, teacher=teacher)
    fix = keras.Sequential([keras_kd.projectors.Resize((8, 8)), keras_kd.projectors.Conv1x1(16)])
    assert distiller(
        Term(FeatureMatch(), projector=fix, **names), student=student, teacher=teacher
    ).built


def test_a_projector_that_does_not_fit_names_itself():
    wrong = keras_kd.projectors.Dense(7)
    term = Term(
        FeatureMatch(), pred="student:hidden", target="teacher:hidden", projector=wrong, name="hint"
    )
    with says("pred 'student:hidden' after Dense is (None, 7)"):
        distiller(term)


def test_the_teacher_is_the_student():
    model = mlp("one")
    with says("The teacher is the student itself: 'one' cannot be frozen and learn."):
        keras_kd.Distiller(student=model, teacher=model)


def test_the_teacher_shares_weights_with_the_student():
    student = mlp("s")
    teacher = keras.Model(student.inputs, student.outputs[0] * 2.0, name="twice")
    with says("shares the variable"):
        keras_kd.Distiller(student=student, teacher=teacher)


def stem_and_head(stem, name):
    return keras.Sequential([keras.Input((8,)), stem, keras.layers.Dense(CLASSES)], name=name)


@pytest.mark.parametrize("layer", [keras.layers.Dense, keras.layers.BatchNormalization])
def test_a_frozen_layer_may_be_shared(layer):
    stem = layer(6) if layer is keras.layers.Dense else layer()
    student, teacher = stem_and_head(stem, "s"), stem_and_head(stem, "t")
    with says("or freeze the shared layer in both: layer.trainable = False"):
        keras_kd.Distiller(student=student, teacher=teacher)
    stem.trainable = False
    before = [np.array(w) for w in stem.get_weights()]
    learner = keras_kd.Distiller(student=student, teacher=teacher)
    learner.compile("adam", cross_entropy())
    learner.fit(*data(), verbose=0)
    for was, now in zip(before, stem.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    stem.trainable = True
    with says("shares the variable"):
        learner.compile("adam", cross_entropy())


def test_one_role_for_two():
    with says("Role 'a' is given to a student and to a teacher."):
        keras_kd.Distiller(student={"a": mlp("x")}, teacher={"a": mlp("y")})


def test_not_a_model():
    with says("`teacher` must be a keras.Model or a dict of them by role.", TypeError):
        keras_kd.Distiller(student=mlp("s"), teacher=lambda x: x)


def test_models_that_take_other_inputs():
    with says("Teacher 'wide' could not run on the student's input (None, 8)"):
        keras_kd.Distiller(student=mlp("s"), teacher=mlp("wide", features=12))


def test_loss_missing_while_labels_is_listed():
    with says("Term 'labels' applies the loss given to compile(), and none was given."):
        distiller().compile("adam")


def test_loss_given_while_labels_is_not_listed():
    with says("no Labels is among the terms ('soft_target')"):
        distiller(Term(SoftTarget())).compile("adam", cross_entropy())


@pytest.mark.parametrize("shape", [(48, 1, 1), (48, CLASSES)])
def test_labels_of_the_wrong_rank(shape):
    x, _ = data()
    model = distiller()
    model.compile("sgd", cross_entropy())
    with says(
        f"cannot compare labels of shape (None, {', '.join(map(str, shape[1:]))}) with "
        "'student:output' of shape (None, 3). Integer labels (batch,) go with "
        "SparseCategoricalCrossentropy"
    ):
        model.fit(x, np.zeros(shape, "int32"), verbose=0)
    assert int(model._step.numpy()) == 0


def test_labels_that_are_not_there():
    x, _ = data()
    model = distiller()
    model.compile("sgd", cross_entropy())
    with says("Term 'labels' needs labels, and this batch has none."):
        model.fit(x, verbose=0)


def test_a_signal_that_nobody_gives():
    x, y = data()
    model = keras_kd.Distiller(student=mlp("s"))
    model.compile("sgd", cross_entropy())
    with says("Term 'soft_target' needs 'teacher:output', which no model here gives"):
        model.fit(x, y, verbose=0)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), "4", True])
def test_temperatures_that_are_none(temperature):
    with says("`temperature` must be a number above 0"):
        SoftTarget(temperature)


@pytest.mark.parametrize("weight", [float("nan"), float("inf"), "1", None])
def test_weights_that_are_none(weight):
    with says("`weight` must be a finite number"):
        Term(SoftTarget(), weight=weight)


@pytest.mark.parametrize("alpha", [-0.1, 1.5])
def test_alpha_out_of_range(alpha):
    with says("`alpha` is the teacher's share and lies between 0 and 1"):
        keras_kd.recipes.hinton(alpha=alpha)


def test_losses_and_projectors_of_the_wrong_type():
    with says("`loss` must be a keras.losses.Loss instance", TypeError):
        Term("mse")
    with says("`projector` must be a keras.layers.Layer", TypeError):
        Term(FeatureMatch(), projector=lambda x: x)
    with says("`terms` must be a list of Term and Labels", TypeError):
        distiller(SoftTarget())


def test_a_teacher_with_nan_weights_is_named_at_once():
    teacher = mlp("broken")
    teacher.layers[0].bias.assign(np.full(6, np.nan))
    with says("The teacher 'broken' holds NaN or infinite values in"):
        distiller(teacher=teacher)


def test_nan_in_the_teachers_answers_is_named_as_such():
    x, y = data(48)
    teacher = mlp("loud")
    teacher.layers[0].kernel.assign(np.full((8, 6), 2e38))
    model = distiller(teacher=teacher)
    model.compile("sgd", cross_entropy())
    with says("The teacher's outputs hold NaN or infinite values: 'teacher:output' in 1 of 1"):
        model.fit(x, y, batch_size=16, verbose=0)


def test_nan_in_a_later_batch_names_the_batch():
    x, y = data(48)
    answers = np.zeros((48, CLASSES), "float32")
    answers[40] = np.nan
    model = keras_kd.Distiller(student=mlp("s"))
    model.compile("sgd", cross_entropy())
    inputs = {"inputs": x, "signals": {"teacher:output": answers}}
    with says("'teacher:output' in 1 of 3 batches, first in batch 2 (counted from 0)"):
        model.fit(inputs, y, batch_size=16, shuffle=False, verbose=0)
    with says("'teacher:output' in 1 of 3 batches"):
        model.evaluate(inputs, y, batch_size=16, verbose=0)


def test_a_layer_that_runs_twice():
    shared = keras.layers.Dense(8, name="shared")
    inputs = keras.Input((8,))
    student = keras.Model(inputs, keras.layers.Dense(CLASSES)(shared(shared(inputs))), name="s")
    with says("Layer 'shared' of student 's' runs 2 times in one pass"):
        distiller(
            Term(FeatureMatch(), pred="student:shared", target="teacher:hidden"), student=student
        )


def test_a_key_that_an_output_does_not_have():
    with says("'student:output/kind' names 'kind', but what stands there is one tensor."):
        distiller(Term(SoftTarget(), pred="student:output/kind"))


def test_empty_terms():
    with says("`terms` must list at least one Term or Labels."):
        keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=[])


def test_a_loss_that_cannot_compare_names_its_term_and_the_shapes():
    class Sums(keras_kd.losses.Loss):
        same_shape = False

        def call(self, y_true, y_pred):
            return keras.ops.sum(y_true - y_pred, axis=-1)

    with says(
        "Term 'sums': Sums cannot compare pred 'student:hidden' of shape (None, 6) with target "
        "'teacher:hidden' of shape (None, 9):"
    ):
        distiller(Term(Sums(), pred="student:hidden", target="teacher:hidden"))


def test_an_error_in_the_first_step_costs_no_weights():
    x, y = data()

    class Fails(keras_kd.losses.Loss):
        def call(self, y_true, y_pred):
            raise RuntimeError("not today")

    student, teacher = mlp("s"), mlp("t")
    before = [np.array(w) for m in (student, teacher) for w in m.get_weights()]
    model = keras_kd.Distiller(
        student=student, teacher=teacher, terms=[Term(Fails(), target=("teacher:output", "labels"))]
    )
    model.compile("sgd")
    for attempt in (model.fit, model.evaluate):
        with says(
            "Fails cannot compare pred 'student:output' of shape (None, 3) with target", ValueError
        ):
            attempt(x, y, verbose=0)
        after = [w for m in (student, teacher) for w in m.get_weights()]
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(old, new)


def test_one_projector_in_two_terms():
    shared = keras_kd.projectors.Dense(9, name="shared")
    first, second = (
        Term(
            FeatureMatch(),
            pred="student:hidden",
            target="teacher:hidden",
            projector=shared,
            name=name,
        )
        for name in ("one", "two")
    )
    with says("Terms 'one' and 'two' share the projector 'shared'"):
        distiller(first, second)


def test_a_projector_that_reads_a_shape_nobody_knows_yet():
    term = Term(
        FeatureMatch(),
        pred=("student:hidden", "teacher:hidden"),
        target="teacher:hidden",
        projector=keras_kd.projectors.Regressor(),
        name="hint",
    )
    with says("Term 'hint': its projector Regressor reads 'teacher:hidden', whose shape is not"):
        keras_kd.Distiller(student=mlp("s"), terms=[term])


def test_one_logit_is_no_choice_among_classes():
    ends = [
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)], name=name)
        for name in ("small", "large")
    ]
    with says("SoftTarget compares the classes of the last axis, and there is but one"):
        distiller(student=ends[0], teacher=ends[1])


# Signals of several tensors, and losses that take one.


def rnn(name):
    inputs = keras.Input((5, 4))
    states = keras.layers.LSTM(CLASSES, return_state=True, name="rnn")(inputs)
    return keras.Model(inputs, keras.layers.Dense(CLASSES, name="logits")(states[0]), name=name)


def answering_with_a_dict(name, subclassed=False):
    if subclassed:
        return DictAnswer(name=name)
    inputs = keras.Input((8,))
    both = {n: keras.layers.Dense(CLASSES, name=n)(inputs) for n in ("logits", "embedding")}
    return keras.Model(inputs, both, name=name)


class DictAnswer(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head = keras.layers.Dense(CLASSES)

    def call(self, x):
        logits = self.head(x)
        return {"logits": logits, "embedding": [x, logits]}


def test_a_layer_that_returns_its_states_is_several_tensors():
    with says(
        "Term 'feature_match': 'student:rnn' is several tensors. Name one: 'student:rnn/0', "
        "'student:rnn/1', 'student:rnn/2'."
    ):
        distiller(
            Term(FeatureMatch(), pred="student:rnn", target="teacher:rnn/0"),
            student=rnn("s"),
            teacher=rnn("t"),
        )
    one = Term(FeatureMatch(), pred="student:rnn/0", target="teacher:rnn/0")
    assert distiller(one, student=rnn("s"), teacher=rnn("t")).built


def test_a_teacher_that_answers_with_a_dict_is_several_tensors():
    with pytest.raises(ValueError) as error:
        distiller(teacher=answering_with_a_dict("t"))
    text = str(error.value)
    assert text.startswith("Term 'soft_target': 'teacher:output' is several tensors. Name one: ")
    assert "'teacher:output/logits'" in text and "'teacher:output/embedding'" in text
    with says("'teacher:output/embedding/1'"):  # deeper structures, told by the first pass
        distiller(teacher=answering_with_a_dict("t", subclassed=True))
    assert distiller(
        Term(SoftTarget(), target="teacher:output/logits"), teacher=answering_with_a_dict("t")
    ).built


class ListAnswer(keras.Model):
    """Two answers of one shape, which a loss would stack."""

    def __init__(self, kind, **kwargs):
        super().__init__(**kwargs)
        self.kind, self.head = kind, keras.layers.Dense(CLASSES)

    def call(self, x):
        return self.kind([self.head(x), self.head(x)])


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("loss", [FeatureMatch, keras_kd.losses.LogitMatch, SoftTarget])
def test_answers_in_a_list_are_not_stacked(kind, loss):
    with says("'teacher:output' is several tensors. Name one: 'teacher:output/0'"):
        distiller(Term(loss()), teacher=ListAnswer(kind, name="t"))


def given(signal, **kwargs):
    """A distiller that is given the teacher's answers, and what it is fed."""
    x, y = data()
    model = keras_kd.Distiller(student=mlp("s"), **kwargs)
    return model, {"inputs": x, "signals": {"teacher:output": signal}}, y


def test_a_tuple_that_comes_with_the_batch_is_several_tensors():
    halves = (np.zeros((48, CLASSES), "float32"),) * 2
    model, x, y = given(halves, terms=[Term(SoftTarget())])
    model.compile("sgd")
    with says("Term 'soft_target': 'teacher:output' is several tensors. Name one: "):
        model.fit(x, y, verbose=0)
    assert int(model._step.numpy()) == 0


def test_a_loss_of_ones_own_may_take_several_tensors():
    class States(keras_kd.losses.Loss):
        def call(self, y_true, y_pred):
            return sum(
                keras.ops.mean(keras.ops.square(a - b), -1)
                for a, b in zip(y_true, y_pred, strict=True)
            )

    term = Term(States(), pred="student:rnn", target="teacher:rnn")
    model = distiller(term, student=rnn("s"), teacher=rnn("t"))
    model.compile("sgd")
    model.fit(np.ones((4, 5, 4), "float32"), verbose=0)

    class Fails(States):
        def call(self, y_true, y_pred):
            return y_pred - y_true

    term = Term(Fails(), pred="student:rnn", target="teacher:rnn")
    with says("'student:rnn' is several tensors. Name one: 'student:rnn/0'"):
        distiller(term, student=rnn("s"), teacher=rnn("t"))


def test_a_loss_of_one_signal_is_given_two():
    with says(
        "Term 'soft_target': SoftTarget takes one signal on each side, and `target` names 2: "
        "'teacher:output', 'labels'. Leave the labels out: target='teacher:output', and list "
        "keras_kd.Labels() for them."
    ):
        Term(SoftTarget(), target=("teacher:output", "labels"))
    with says("Write a Term for each of them, or give a `target_projector` that makes them one."):
        Term(SoftTarget(), target=("teacher:output", "teacher:hidden"))
    with says("or give a `projector` that makes them one."):
        Term(FeatureMatch(), pred=("student:hidden", "student:logits"))
    with says("SoftTarget compares logits with logits, and labels are none. For the ground truth"):
        Term(SoftTarget(), target="labels")


@pytest.mark.parametrize(
    "loss",
    [
        keras_kd.losses.DecoupledSoftTarget(),
        keras_kd.losses.NormalizedTarget(),
        keras_kd.losses.WeightedSoftTarget(),
        keras_kd.losses.RegressionMatch(),
        keras_kd.losses.ConfidenceWeighted(SoftTarget()),
    ],
    ids=lambda loss: loss.name,
)
def test_losses_that_read_the_labels_as_well(loss):
    with says("reads the labels beside the teacher's output. Give target=('teacher:output', 'la"):
        Term(loss)
    with says("reads the labels as well: its target is a tuple"):
        loss(np.zeros((2, 3), "float32"), np.zeros((2, 3), "float32"))


def test_regression_is_named_where_it_is_looked_for():
    with says(
        "RegressionMatch reads the labels beside the teacher's output. Give target="
        "('teacher:output', 'labels'). Received: target='teacher:output'. To learn from the "
        "teacher's numbers alone, by their squared error or a Huber loss: "
        "terms=keras_kd.recipes.regression(alpha=1.0)."
    ):
        Term(keras_kd.losses.RegressionMatch())
    ends = [
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)], name=name) for name in "st"
    ]
    with says(
        "shape (None, 1). For one logit of yes or no, take "
        "keras_kd.losses.BinarySoftTarget; for a number, as in regression, "
        "terms=keras_kd.recipes.regression()."
    ):
        distiller(student=ends[0], teacher=ends[1])


# Shapes that only the first batch tells.


@pytest.mark.parametrize("width", [1, 9])
@pytest.mark.parametrize("loss", [FeatureMatch(), keras.losses.MeanSquaredError()])
def test_signals_of_another_shape_are_told_by_the_first_batch(loss, width):
    x, _ = data()
    term = Term(loss, pred="student:hidden", target="teacher:hidden", name="hint")
    model = keras_kd.Distiller(student=mlp("s"), terms=[term])
    model.compile("sgd")
    signals = {"teacher:hidden": np.zeros((48, width), "float32")}
    with says(
        "Term 'hint' compares shapes that differ: pred 'student:hidden' is (None, 6), target "
        f"'teacher:hidden' is (None, {width}). Give it a projector, for example "
        f"projector=keras_kd.projectors.Dense({width})."
    ):
        model.fit({"inputs": x, "signals": signals}, verbose=0)
    assert int(model._step.numpy()) == 0


def test_keras_losses_may_leave_out_an_axis_of_one():
    x, _ = data()
    student = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model = keras_kd.Distiller(student=student, terms=[Term(keras.losses.MeanSquaredError())])
    model.compile("sgd")
    model.fit({"inputs": x, "signals": {"teacher:output": np.zeros(48, "float32")}}, verbose=0)
    assert int(model._step.numpy()) == 2


def test_a_loss_that_fails_on_the_batch_names_its_term_and_the_shapes():
    term = Term(keras_kd.losses.RegressionMatch(), target=("teacher:output", "labels"))
    model, x, y = given(np.zeros((48, CLASSES), "float32"), terms=[term])
    model.compile("sgd")
    with says(
        "Term 'regression_match': RegressionMatch cannot compare pred 'student:output' of shape "
        "(None, 3) with target ('teacher:output', 'labels') of shape ((None, 3), (None,)): The "
        "labels must have the prediction's shape."
    ):
        model.fit(x, y, verbose=0)


# Models that take other inputs.


def test_inputs_that_differ_name_on_input():
    with says(
        "It takes (None, 12). Where each has an input of its own, feed a dict of both, such as "
        "{'a': x, 'b': z}, and give student=keras_kd.teachers.SelectInput(student, 'a') and "
        "teacher=keras_kd.teachers.SelectInput(teacher, 'b')."
    ):
        keras_kd.Distiller(student=mlp("s"), teacher=mlp("wide", features=12))
    x, y = data()
    on_input = keras_kd.teachers.SelectInput
    model = keras_kd.Distiller(
        student=on_input(mlp("s"), "a"), teacher=on_input(mlp("wide", features=12), "b")
    )
    model.compile("sgd", cross_entropy())
    model.fit({"a": x, "b": np.zeros((48, 12), "float32")}, y, verbose=0)


def test_images_of_another_size_name_the_layer_between_and_it_works():
    student, teacher = image_net("s", 4, 8), image_net("t", 4, 16)
    student, teacher = (
        keras.Sequential([keras.Input((n, n, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])
        for n in (8, 16)
    )
    with says(
        "Images of another size: teacher=keras.Sequential([keras.Input((8, 8, 1)), "
        "keras.layers.Resizing(16, 16), teacher])."
    ):
        keras_kd.Distiller(student=student, teacher=teacher)
    teacher = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Resizing(16, 16), teacher], name="large"
    )
    assert keras_kd.Distiller(student=student, teacher=teacher).built


@pytest.mark.parametrize("kind", [list, dict])
def test_a_student_of_several_inputs_names_on_input_and_it_works(kind):
    inputs = {"left": keras.Input((8,), name="left"), "right": keras.Input((12,), name="right")}
    taken = inputs if kind is dict else list(inputs.values())
    joined = keras.layers.Concatenate()(list(inputs.values()))
    student = keras.Model(taken, keras.layers.Dense(CLASSES)(joined), name="s")
    teacher = mlp("t", features=12)
    key = "right" if kind is dict else 1
    with says(
        "To show it one of the student's inputs: teacher=keras_kd.teachers.SelectInput(teacher, "
        f"{key!r})."
    ) as error:
        keras_kd.Distiller(student=student, teacher=teacher)
    assert "\x1b" not in str(error.value) and "Arguments received" not in str(error.value)
    view = keras_kd.teachers.SelectInput(teacher, key)
    model = keras_kd.Distiller(student=student, teacher=view)
    model.compile("sgd", cross_entropy())
    x, y = data()
    wide = np.random.default_rng(3).normal(size=(48, 12)).astype("float32")
    fed = {"left": x, "right": wide} if kind is dict else [x, wide]
    model.fit(fed, y, verbose=0)
    same = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(view))
    assert same.key == key
    np.testing.assert_allclose(view.predict(fed, verbose=0), teacher.predict(wide, verbose=0))


def test_an_input_of_which_there_is_no_such_part():
    view, x = keras_kd.teachers.SelectInput(mlp("t"), 2), np.zeros((4, 8), "float32")
    with says("sees the input under 2, and the input is a list of 2, which has places from 0 to 1"):
        view([x, x])
    with says("sees the input under 2, and the input is one tensor: feed a dict or a list"):
        view(x)
    with says("`key` must be the key of a dict input, such as 'weak', or the place", TypeError):
        keras_kd.teachers.SelectInput(mlp("t"), None)


# What a batch brings.


def fitted_on(x, y=None, terms=None, teacher=None):
    model = keras_kd.Distiller(student=mlp("s"), teacher=teacher, terms=terms)
    model.compile("sgd", cross_entropy() if terms is None else None)
    model.fit(x, y, verbose=0)


def test_signals_in_another_form():
    x, y = data()
    answers = {"teacher:output": np.zeros((48, CLASSES), "float32")}
    with says("Signals come by address: feed {'inputs': x, 'signals': {'teacher:output'") as error:
        fitted_on({"inputs": x, "signals": answers["teacher:output"]}, y)
    assert "\x1b" not in str(error.value) and "Arguments received" not in str(error.value)
    with says("keys 'inputs', 'signal'. Did you mean 'signals'?"):
        fitted_on({"inputs": x, "signal": answers}, y)
    with says("The batch holds signals in another form than {'inputs': x, 'signals': {"):
        fitted_on({"inputs": x, **answers}, y)
    with says("the signal 'output', which no term and no metric reads. Did you mean 'teacher:outp"):
        fitted_on({"inputs": x, "signals": {"output": answers["teacher:output"]}}, y)


def test_a_data_set_that_was_not_batched():
    tf = pytest.importorskip("tensorflow")
    examples = tf.data.Dataset.from_tensor_slices(data())
    words = "The input is of shape (8,), which is that of one example and not of a batch, (None, 8)"
    with says(words) as error:
        fitted_on(examples, teacher=mlp("t"))
    assert "Batch the data set first: data.batch(32)." in str(error.value)
    fitted_on(examples.batch(16), teacher=mlp("t"))


# Terms.


def test_terms_that_are_none_say_what_to_write():
    hinton, soft = keras_kd.recipes.hinton, Term(SoftTarget())
    cases = {
        "Write terms=[term].": soft,
        "Call it: terms=recipe().": hinton,
        "Put the loss into a term: keras_kd.Term(loss).": [SoftTarget()],
        "Lists add up: terms=[*recipe(), term].": [hinton(), soft],
        "Call it: a recipe returns a list, so terms=[*recipe(), ...].": [hinton],
    }
    for words, terms in cases.items():
        with says(words, TypeError):
            keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=terms)


def test_losses_that_are_none_say_what_to_write():
    cases = {
        "Write keras.losses.MeanSquaredError().": "mse",
        "It is a class: give an instance, SoftTarget().": SoftTarget,
        "Write a Term for each of them.": [SoftTarget(), FeatureMatch()],
    }
    for words, loss in cases.items():
        with says(words, TypeError):
            Term(loss)


@pytest.mark.parametrize(
    "term",
    [
        Term(SoftTarget(), pred="teacher:output", target="student:output"),
        keras_kd.Labels(pred="teacher:output"),
    ],
)
def test_a_term_that_teaches_nobody(term):
    with says(
        "has pred='teacher:output', which is frozen: nothing would learn. `pred` is the side "
        "that learns, such as 'student:output', and `target` the side to learn from."
    ):
        distiller(keras_kd.Labels(name="others"), term)


# What is no model.


class Forest:
    """As scikit-learn's estimators are used."""

    def fit(self, x, y):
        return self

    def predict(self, x):
        return self.predict_proba(x).argmax(axis=1)

    def predict_proba(self, x):
        return np.full((len(x), CLASSES), 1.0 / CLASSES)


NO_MODELS = {
    "It is a layer: wrap it, teacher=keras.Sequential([layer]).": keras.layers.Dense(CLASSES),
    "A Forest is an estimator. Make a teacher of it: keras_kd.sources.SklearnTeacher(estimator). It "
    "runs outside the training step: keras_kd.stores.write stores its outputs once, "
    "keras_kd.sources.live brings them with each batch, and keras_kd.teachers.FromFunction makes a "
    "model of it.": Forest(),
    "It is an array. If it holds the teacher's outputs: they come with the batch, {'inputs': x, "
    "'signals': {'teacher:output': outputs}} in place of x, to a Distiller without `teacher`; or "
    "keras_kd.stores.from_answers stores them by the examples' ids.": np.zeros((4, CLASSES)),
    "Load it first: teacher=keras.saving.load_model('teacher.keras').": "teacher.keras",
    "Or make one teacher of them: keras_kd.teachers.Ensemble([first, second]).": [mlp("t")] * 2,
    "It is a class: give an instance of it, Subclassed(...).": Subclassed,
}


@pytest.mark.parametrize("words", NO_MODELS)
def test_what_is_no_model_says_what_to_write(words, tmp_path):
    thing, part = NO_MODELS[words], keras_kd.data.load("digits")["test"]
    with says(words, TypeError):
        keras_kd.Distiller(student=mlp("s"), teacher=thing)
    with says(words, TypeError):
        keras_kd.stores.write(thing, part, tmp_path / "answers")
    assert not (tmp_path / "answers").exists()


def test_an_estimator_teaches_as_its_error_says():
    tree = pytest.importorskip("sklearn.tree").DecisionTreeClassifier(max_depth=2)
    x, y = data()
    tree.fit(x, y)
    model = keras_kd.Distiller(student=mlp("s"), terms=keras_kd.recipes.hinton())
    model.compile("sgd", cross_entropy())
    model.fit(keras_kd.sources.live(keras_kd.sources.SklearnTeacher(tree), (x, y)), verbose=0)
    assert int(model._step.numpy()) == 1


def test_a_function_of_numpy_is_no_model(tmp_path):
    with says(
        "Put it into a model: teacher=keras.Sequential([keras.layers.Lambda(function)]). If it is of "
        "NumPy: make a teacher of it: keras_kd.sources.FunctionTeacher(function, name='...'). It runs "
        "outside the training step",
        TypeError,
    ):
        distiller(teacher=np.tanh)
    teacher = keras_kd.sources.FunctionTeacher(np.tanh, name="tanh")
    with says(
        "Received: <FunctionTeacher 'tanh'> of type FunctionTeacher. It runs outside", TypeError
    ):
        distiller(teacher=teacher)
    with says("give the name by which the store knows it, such as name='forest-2026'"):
        keras_kd.stores.write(np.tanh, keras_kd.data.load("digits")["test"], tmp_path / "answers")


def test_a_torch_module_as_a_teacher():
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(8, CLASSES)
    with says(
        "It is a torch module: with KERAS_BACKEND=torch, give teacher=keras.Sequential("
        "[keras.layers.TorchModuleWrapper(module)]). On any backend: make a teacher of it: "
        "keras_kd.sources.TorchTeacher(module). It runs outside the training step",
        TypeError,
    ):
        distiller(teacher=module)
    if keras.config.backend() == "torch":
        wrapped = keras.Sequential([keras.layers.TorchModuleWrapper(module)])
        model = distiller(teacher=wrapped)
        model.compile("sgd", cross_entropy())
        model.fit(*data(), verbose=0)


@pytest.mark.parametrize(
    "loss",
    [keras.losses.KLDivergence(), keras.losses.CategoricalCrossentropy(),
     keras.losses.BinaryCrossentropy()],
    ids=lambda loss: loss.name,
)  # fmt: skip
def test_a_loss_on_probabilities_between_logits(loss):
    with pytest.raises(ValueError, match=r"ends in logits: .* keras_kd\.losses\.SoftTarget"):
        keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=[keras_kd.Term(loss)])


def test_nor_is_one_refused_that_reads_logits_or_follows_a_softmax():
    on_logits = keras.losses.CategoricalCrossentropy(from_logits=True)
    term = keras_kd.Term(on_logits, target_projector=keras.layers.Softmax())
    keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=[term])
    both = {"projector": keras.layers.Softmax(), "target_projector": keras.layers.Softmax()}
    term = keras_kd.Term(keras.losses.KLDivergence(), **both)
    keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=[term])


def test_weights_without_labels():
    term = keras_kd.Term(keras_kd.losses.SoftTarget())
    model = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=[term])
    model.compile("adam")
    x = np.zeros((4, 8), "float32")
    with pytest.raises(ValueError, match=r"`sample_weight` .* y=np\.zeros\(len\(sample_weight\)\)"):
        model.fit(x, sample_weight=np.ones(4), verbose=0)
    with pytest.raises(ValueError, match=r"^evaluate\(\) was given `sample_weight` without `y`"):
        model.evaluate(x, sample_weight=np.ones(4), verbose=0)
    with pytest.raises(ValueError, match=r"^`validation_data` was given `sample_weight` without"):
        model.fit(x, validation_data=(x, None, np.ones(4)), verbose=0)
    with pytest.raises(ValueError, match=r"fit\(x, y, class_weight=\.\.\.\)"):
        model.fit(x, class_weight={0: 1.0}, verbose=0)
    model.fit(x, np.zeros(4), sample_weight=np.ones(4), verbose=0)


def test_signals_that_are_no_arrays_or_too_few():
    model = keras_kd.Distiller(
        student=mlp("s"), terms=[keras_kd.Term(keras_kd.losses.SoftTarget())]
    )
    model.compile("adam")
    x = np.zeros((4, 8), "float32")

    def fit(signal):
        model.fit({"inputs": x, "signals": {"teacher:output": signal}}, verbose=0)

    with pytest.raises(ValueError, match=r"'teacher:output' is a list of Python numbers.*asarray"):
        fit([[0.0] * CLASSES] * 4)
    with pytest.raises(ValueError, match=r"has 3 rows, and the inputs have 4"):
        fit(np.zeros((3, CLASSES), "float32"))
    fit(np.zeros((4, CLASSES), "float32"))


def test_weights_by_output_for_one_output():
    model = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"))
    model.compile("adam", cross_entropy())
    x, y = np.zeros((4, 8), "float32"), np.zeros(4, "int32")
    with pytest.raises(ValueError, match=r"weights by output, for 'logits', .* Give one array"):
        model.train_on_batch(x, y, sample_weight={"logits": np.ones(4)})


@pytest.mark.parametrize("metrics", [["accuracy", "agreement"], {"output": ["teacher_kl"]}])
def test_metrics_of_this_package_by_name(metrics):
    model = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"))
    with pytest.raises(
        ValueError, match=r"metrics=\[keras_kd\.metrics\.(Agreement|TeacherKL)\(\)\]"
    ):
        model.compile("adam", cross_entropy(), metrics=metrics)


def test_a_name_that_a_package_does_not_have():
    with pytest.raises(AttributeError, match=r"no attribute 'Hinton'\. Did you mean 'hinton'\?"):
        _ = keras_kd.recipes.Hinton
    with pytest.raises(AttributeError, match=r"Did you mean 'SoftTarget'\?"):
        _ = keras_kd.losses.SoftTargets
