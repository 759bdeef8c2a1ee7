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
    with says("The teacher is the student itself: 'one' cannot stand still and learn."):
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
    assert int(model.step.numpy()) == 0


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
    with says("The teacher's answers hold NaN or infinite values: 'teacher:output' in 1 of 1"):
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
    with says("'student:output/kind' asks for 'kind', but what stands there is one tensor."):
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
        with says("not today", RuntimeError):
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
