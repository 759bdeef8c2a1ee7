"""Methods put together as no one has published them: a list of terms is a list."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import procedures, recipes, teachers
from keras_kd.losses import ContrastiveMatch, FeatureMatch, SoftTarget
from keras_kd.projectors import AuxiliaryHead, Join, QueuedEmbedding, UnitEmbedding
from tests.models import cross_entropy, equal, values
from tests.recipes.networks import CLASSES, convolutional, images

Term = keras_kd.Term
LAYERS = {"pred": ["student:a", "student:b"], "target": ["teacher:a", "teacher:b"]}


def fitted(distiller, x, y=None, loss=None, **kwargs):
    distiller.compile(keras.optimizers.SGD(0.05), loss)
    logs = distiller.fit(x, y, batch_size=8, shuffle=False, verbose=0, **kwargs).history
    assert all(np.isfinite(v).all() for v in logs.values()), logs
    return logs


def test_students_teach_each_other_while_a_stored_teacher_teaches_both():
    """Mutual learning, and answers that come with the batch: no teacher is in memory."""
    x, y = images()
    a, b = convolutional("a"), convolutional("b", 6, 8)
    stored = np.random.default_rng(3).normal(size=(16, CLASSES)).astype("float32")
    batch = {"inputs": x, "signals": {"teacher:output": stored}}
    terms = [
        *recipes.mutual("a", "b"),
        Term(SoftTarget(4.0), pred="a:output", name="a_from_teacher"),
        Term(SoftTarget(2.0), pred="b:output", weight=0.5, name="b_from_teacher"),
    ]
    distiller = keras_kd.Distiller(student={"a": a, "b": b}, terms=terms)
    before = values(a.trainable_variables), values(b.trainable_variables)
    logs = fitted(distiller, batch, y, cross_entropy(), epochs=3)
    assert set(logs) == {"loss", *distiller.term_names}
    assert logs["a_from_teacher"][-1] < logs["a_from_teacher"][0]
    assert not equal(before[0], values(a.trainable_variables))
    assert not equal(before[1], values(b.trainable_variables))


def test_decoupled_targets_with_attention_and_a_temperature_that_falls():
    x, y = images()
    student, teacher = convolutional("s"), convolutional("t", 6, 8)
    cooling = keras.optimizers.schedules.PolynomialDecay(8.0, 2, 2.0)
    terms = [
        *recipes.dkd(temperature=cooling, warmup=2),
        *recipes.attention_transfer(**procedures.hint_layers(student, teacher), labels_weight=0),
    ]
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    assert distiller.term_names == ["labels", "decoupled_soft_target", "attention", "attention_2"]
    # Two examples, so that each step sees the same: what changes in the log is the schedule.
    distiller.compile(keras.optimizers.SGD(0.0), cross_entropy())
    x, y = x[:8], y[:8]
    first = distiller.train_on_batch(x, y, return_dict=True)
    distiller.train_on_batch(x, y)
    third = distiller.train_on_batch(x, y, return_dict=True)
    rest = first["labels"] + 1000 * (first["attention"] + first["attention_2"])
    assert first["loss"] == pytest.approx(rest, rel=1e-4)  # weight 0 at step 0
    assert third["decoupled_soft_target"] != pytest.approx(first["decoupled_soft_target"], rel=1e-4)


def test_two_teachers_with_different_heads_and_a_hint_from_one():
    """One knows the classes in another order, the other ends in a softmax over more of them."""
    x, y = images()
    student = convolutional("s")
    other = keras.Sequential(
        [keras.Input((8, 8, 2)), keras.layers.Flatten(),
         keras.layers.Dense(5, activation="softmax", name="answer")], name="other",
    )  # fmt: skip
    roles = {
        "cnn": teachers.ClassMap(convolutional("t", 6, 8), [2, 0, 1]),
        "five": teachers.ClassMap(teachers.FromProbabilities(other), [4, 1, 3]),
    }
    terms = [
        *recipes.ca_mkd("cnn", "five"),
        *recipes.fitnets(pred="student:b", target="cnn:t/b", labels_weight=0),
    ]
    distiller = keras_kd.Distiller(student=student, teacher=roles, terms=terms)
    before = values(v for t in roles.values() for v in t.variables)
    logs = fitted(distiller, x, y, cross_entropy(), epochs=3)
    assert logs["hint"][-1] < logs["hint"][0]
    assert equal(before, values(v for t in roles.values() for v in t.variables))


def test_what_two_layers_say_together():
    """Joined features on both sides: one loss on the whole, and its value by hand."""
    x, _ = images()
    student, teacher = convolutional("s"), convolutional("t")
    joined = Term(
        FeatureMatch(),
        pred=("student:a", "student:b"),
        target=("teacher:a", "teacher:b"),
        projector=Join(),
        target_projector=Join(),
    )
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=[joined])
    distiller.compile(keras.optimizers.SGD(0.05))

    def whole(model):
        parts = [keras.Model(model.inputs, model.get_layer(n).output)(x) for n in ("a", "b")]
        pooled = [keras.ops.convert_to_numpy(p).mean((1, 2)) for p in parts]
        return np.concatenate(pooled, axis=-1)

    expected = ((whole(student) - whole(teacher)) ** 2).mean()
    found = distiller.evaluate(x, verbose=0, return_dict=True)["loss"]
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_mean_teacher_without_labels():
    """Each sees its own view of the example, and no label is given."""
    x, _ = images()
    net = convolutional("s")
    average = teachers.Momentum(net, decay=0.9)
    distiller = keras_kd.Distiller(
        student=teachers.SelectInput(net, "strong"),
        teacher=teachers.SelectInput(average, "weak"),
        terms=recipes.mean_teacher(labels_weight=0, warmup=4),
    )
    before = values(average.model.weights)
    views = {"weak": x, "strong": x + np.random.default_rng(1).normal(0, 1, x.shape).astype("f4")}
    logs = fitted(distiller, views, epochs=2)
    assert set(logs) == {"loss", "consistency"}
    assert not equal(before, values(average.model.weights))


def test_its_own_teacher_and_contrast_with_its_past():
    """Self-distillation from the deep answer, and contrast of a shallow layer with a deep one."""
    x, y = images()
    student = convolutional("s")
    contrast = Term(
        ContrastiveMatch(),
        pred="student:a",
        target="student:b",
        projector=UnitEmbedding(4),
        target_projector=QueuedEmbedding(4, size=24),
        weight=0.1,
    )
    early = Term(
        SoftTarget(3.0), pred="student:a", target="student:output", projector=AuxiliaryHead(CLASSES)
    )
    distiller = keras_kd.Distiller(student=student, terms=[keras_kd.Labels(), early, contrast])
    start = contrast.target_projector.queue.numpy().copy()
    logs = fitted(distiller, x, y, cross_entropy())
    assert set(logs) == {"loss", "labels", "soft_target", "contrastive_match"}
    queue = contrast.target_projector.queue.numpy()
    np.testing.assert_allclose(np.linalg.norm(queue, axis=-1), 1.0, atol=1e-5)
    kept = start / np.linalg.norm(start, axis=-1, keepdims=True)
    np.testing.assert_allclose(queue[16:], kept[:8], atol=1e-5)  # 16 went in, 16 went out
    now = queue.copy()
    distiller.evaluate(x, y, verbose=0)
    np.testing.assert_array_equal(now, contrast.target_projector.queue.numpy())
