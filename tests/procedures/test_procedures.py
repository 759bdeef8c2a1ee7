"""Recipes in several trainings, layers that go together, and the reused classifier."""

import keras
import numpy as np
import pytest

from keras_kd import Distiller, procedures, recipes, teachers
from tests.models import cross_entropy, equal, mlp, values
from tests.recipes.networks import convolutional, images, transformer


def test_generations_are_taught_by_the_one_before():
    teacher, taught, answers = mlp("t"), [], []

    def train(distiller):
        answers.append(values(distiller.teacher.variables))
        distiller.compile(keras.optimizers.SGD(0.1), cross_entropy())
        x = np.random.default_rng(len(taught)).normal(size=(8, 8)).astype("float32")
        distiller.train_on_batch(x, np.zeros(8, "int32"))
        assert equal(answers[-1], values(distiller.teacher.variables))
        taught.append((distiller.teacher, distiller.student))

    students = procedures.born_again(lambda: mlp("s"), train, teacher=teacher, generations=3)
    assert [s for _, s in taught] == students
    assert [t for t, _ in taught] == [teacher, *students[:2]]
    assert all(s.trainable and s.trainable_variables for s in students)
    teachers.Ensemble(students)(np.zeros((2, 8)))


def test_each_generation_is_a_model_of_its_own():
    same = mlp("s")
    with pytest.raises(ValueError, match="a model of its own, and 's' has been there before"):
        procedures.born_again(lambda: same, lambda distiller: None, teacher=mlp("t"))
    with pytest.raises(ValueError, match="`generations` must be 1 or more"):
        procedures.born_again(lambda: mlp("s"), lambda d: None, teacher=mlp("t"), generations=0)


def test_layers_of_one_size_go_together():
    hints = procedures.hint_layers(convolutional("s"), convolutional("t", 6, 8))
    assert hints == {"pred": ["student:a", "student:b"], "target": ["teacher:a", "teacher:b"]}
    last = procedures.hint_layers(convolutional("s"), convolutional("t", 6, 8), max_pairs=1)
    assert last == {"pred": ["student:b"], "target": ["teacher:b"]}


def test_layers_that_share_no_size_go_by_their_depth():
    def deep(size, stages):
        layers = [keras.layers.Conv2D(3, 3, 2, "same", name=f"c{i}") for i in range(stages)]
        return keras.Sequential([keras.Input((size, size, 2)), *layers, keras.layers.Flatten()])

    hints = procedures.hint_layers(deep(20, 2), deep(64, 4))
    assert hints == {"pred": ["student:c0", "student:c1"], "target": ["teacher:c1", "teacher:c3"]}
    assert procedures.hint_layers(mlp("s"), mlp("t", 9)) == {
        "pred": ["student:hidden"],
        "target": ["teacher:hidden"],
    }
    hints = procedures.hint_layers(transformer("s"), transformer("t", width=6))
    assert hints == {
        "pred": ["student:hidden", "student:pooled"],
        "target": ["teacher:hidden", "teacher:pooled"],
    }


def test_networks_of_the_shop_need_no_names():
    kwargs = {"input_shape": (32, 32, 3), "weights": None, "classes": 3}
    student = keras.applications.MobileNetV2(alpha=0.35, **kwargs)
    teacher = keras.applications.MobileNet(alpha=0.25, **kwargs)
    student.layers[-1].activation = teacher.layers[-1].activation = keras.activations.linear
    hints = procedures.hint_layers(student, teacher)
    assert len(hints["pred"]) == len(hints["target"]) >= 3
    assert not [name for names in hints.values() for name in names if "pad" in name]
    sizes = [student.get_layer(name.split(":")[1]).output.shape[1] for name in hints["pred"]]
    assert sizes == [16, 8, 4, 2]  # each once: what is only padded is no layer of its own
    for name in ("attention_transfer", "fitnets"):
        Distiller(student=student, teacher=teacher, terms=getattr(recipes, name)(**hints))


def test_the_reused_classifier_answers_as_its_parts():
    x, _ = images()
    layers = {"pred": "student:b", "target": "teacher:b"}
    student, teacher = convolutional("s"), convolutional("t", 6, 8)
    distiller = Distiller(student=student, teacher=teacher, terms=recipes.simkd(**layers))
    distiller.compile("sgd")
    distiller.fit(x, verbose=0)
    model = procedures.reused_classifier(distiller, **layers)
    features = keras.Model(student.inputs, student.get_layer("b").output)(x)
    seen = distiller.terms[0].projector((features, np.zeros((16, 4, 4, 8), "float32")))
    pooled = keras.ops.mean(seen, axis=(1, 2))
    expected = keras.ops.convert_to_numpy(teacher.get_layer("logits")(pooled))
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    with pytest.raises(ValueError, match="No term of this distiller has a Bottleneck"):
        procedures.reused_classifier(distiller, pred="student:a", target="teacher:b")
