"""Slopes: how an answer changes along a direction of the input, exact on every backend."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd._core.directions import random_direction
from keras_kd.losses import JacobianMatch
from keras_kd.taps import Tap
from tests.models import data, equal, mlp, two_headed, values
from tests.recipes.networks import images, transformer

Term = keras_kd.Term


def derivatives(student, teacher, **kwargs):
    term = Term(JacobianMatch(), pred="student:jvp", target="teacher:jvp", **kwargs)
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=[term])
    distiller.compile(keras.optimizers.SGD(0.1))
    return distiller


def along(distiller, role, x, step):
    tap = Tap(role, {**distiller.students, **distiller.teachers}[role], {"jvp": "me"})
    (said,) = tap.jvps(x, step, distiller._jvp).values()
    return keras.ops.convert_to_numpy(said)


def drawn(x, step):
    return keras.ops.convert_to_numpy(random_direction(step, keras.ops.convert_to_tensor(x), "net"))


def test_of_a_linear_model_it_is_its_matrix():
    linear = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    distiller = derivatives(linear, mlp("t", features=4))
    x = np.zeros((5, 4), "float32")
    kernel = linear.layers[0].kernel.numpy()
    np.testing.assert_allclose(along(distiller, "student", x, 7), drawn(x, 7) @ kernel, atol=1e-5)
    assert not np.allclose(drawn(x, 7), drawn(x, 8))


def test_it_is_what_finite_differences_say():
    """Of a network without kinks, in inference: BatchNorm by its statistics, no dropout."""
    layers = [
        keras.Input((8, 8, 2)),
        keras.layers.Conv2D(4, 3, activation="tanh"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.5),
        keras.layers.Conv2D(3, 3, 2, activation="softplus"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    ]
    model = keras.Sequential(layers)
    distiller = derivatives(model, keras.models.clone_model(model))
    x = images()[0][:3]
    step, v = 1e-2, drawn(x, 4)
    ends = [model(x + side * step * v, training=False) for side in (1, -1)]
    expected = keras.ops.convert_to_numpy(ends[0] - ends[1]) / (2 * step)
    found = along(distiller, "student", x, 4)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def test_the_mean_over_directions_is_the_distance_of_the_jacobians():
    linear = [keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]) for _ in range(2)]
    distiller = derivatives(*linear)
    x = np.zeros((4000, 4), "float32")
    mean = distiller.evaluate(x, batch_size=4000, verbose=0, return_dict=True)["loss"]
    a, b = (model.layers[0].kernel.numpy() for model in linear)
    assert mean == pytest.approx(((a - b) ** 2).sum(), rel=0.1)


def test_training_brings_the_derivatives_together_and_looking_moves_nothing():
    x, _ = data()
    distiller = derivatives(mlp("s"), mlp("t"))
    before = values(distiller.variables)
    looked = [distiller.evaluate(x, verbose=0) for _ in range(2)]
    assert looked[0] == looked[1] and equal(before, values(distiller.variables))
    teacher = values(distiller.teacher.variables)
    logs = distiller.fit(x, epochs=20, verbose=0).history["loss"]
    assert np.mean(logs[-5:]) < 0.7 * np.mean(logs[:5])
    assert equal(teacher, values(distiller.teacher.variables))


def test_its_pass_leaves_nothing_behind():
    """Statistics, draws and what layers add to the loss are those of the one training pass."""

    def network():
        layers = [
            keras.Input((8,)),
            keras.layers.Dense(6, activity_regularizer=keras.regularizers.L2(0.5)),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5, seed=3),
            keras.layers.Dense(3),
        ]
        return keras.Sequential(layers, name="s")

    x, _ = data(16)
    other, found = mlp("t"), []
    for weight in (0.0, None):
        keras.utils.set_random_seed(1)
        student = network()
        terms = [Term(keras_kd.losses.LogitMatch())]
        if weight is not None:
            terms.append(
                Term(JacobianMatch(), pred="student:jvp", target="teacher:jvp", weight=weight)
            )
        distiller = keras_kd.Distiller(student=student, teacher=other, terms=terms)
        distiller.compile(keras.optimizers.SGD(0.1))
        logs = distiller.train_on_batch(x, return_dict=True)
        found.append((logs["loss"], values(student.variables)))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert equal(found[0][1], found[1][1], 1e-6)


def test_one_output_of_several_inputs():
    term = Term(JacobianMatch(), pred="student:jvp/kind", target="teacher:jvp/kind")
    student, teacher = two_headed("s"), two_headed("t")
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=[term])
    distiller.compile("sgd")
    x = {"a": data(8)[0], "b": data(8)[0]}
    gap = student.get_layer("kind").kernel.numpy() - teacher.get_layer("kind").kernel.numpy()
    direction = random_direction(0, keras.tree.map_structure(keras.ops.convert_to_tensor, x), "net")
    direction = keras.ops.convert_to_numpy(direction["a"])
    expected = ((direction @ gap) ** 2).sum(-1).mean()
    loss = distiller.evaluate(x, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(expected, rel=1e-4)


def test_token_numbers_have_no_derivative():
    with pytest.raises(ValueError, match=r"derivative by the input.*type int32.*embeddings"):
        derivatives(transformer("s"), transformer("t"))


def test_the_former_address_leads_to_the_new_one():
    with pytest.warns(
        FutureWarning, match="'student:slope/kind' is deprecated .* 'student:jvp/kind'"
    ):
        term = Term(JacobianMatch(), pred="student:slope/kind", target="teacher:jvp/kind")
    assert (term.pred, term.target) == ("student:jvp/kind", "teacher:jvp/kind")
