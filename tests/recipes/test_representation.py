"""Pretraining without labels: what is compared, what moves, and what the student has from it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import Distiller, projectors, recipes
from tests.models import equal, values
from tests.projectors.test_tokens import ClassToken
from tests.recipes.networks import convolutional, images

layers = keras.layers
RNG = np.random.default_rng(0)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def match(t, s, alpha=0.9, beta=0.1):
    cosine = (t * s).sum(-1) / (np.linalg.norm(t, axis=-1) * np.linalg.norm(s, axis=-1))
    gap = np.abs(s - t)
    smooth = np.where(gap < 1, gap**2 / 2, gap - 0.5).mean(-1)
    return (alpha * (1 - cosine) + beta * smooth).mean()


def trained(target="teacher:b", teacher=None, epochs=1, **settings):
    terms = recipes.representation(pred="student:b", target=target, **settings)
    teacher = convolutional("t", 6, 8) if teacher is None else teacher
    distiller = Distiller(student=convolutional("s"), teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01), loss=None)
    x, _ = images(32)
    history = distiller.fit(x, batch_size=8, epochs=epochs, verbose=0).history
    return distiller, x, history


def test_it_learns_without_labels_and_its_terms_are_the_formula():
    distiller, x, history = trained(epochs=5, alpha=0.7, beta=0.4)
    assert set(history) == {"loss", "pooled", "spatial"}
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    ours = keras.Model(distiller.student.inputs, distiller.student.get_layer("b").output)
    theirs = keras.Model(distiller.teacher.inputs, distiller.teacher.get_layer("b").output)
    t, s = theirs.predict(x, verbose=0), ours.predict(x, verbose=0)
    logs = distiller.evaluate(x, batch_size=32, verbose=0, return_dict=True)
    for term in distiller.terms:
        head = numpy(term.projector((ops.convert_to_tensor(s), ops.zeros(t.shape))))
        target = t.mean((1, 2)) if term.name == "pooled" else t
        axes = tuple(range(target.ndim - 1))
        target = (target - target.mean(axes)) / target.std(axes)
        # The statistics are those of five passes over the same images.
        assert logs[term.name] == pytest.approx(match(target, head, 0.7, 0.4), rel=2e-3)


def test_evaluate_moves_nothing_and_the_target_learns_nothing():
    distiller, x, _ = trained()
    before = values(distiller.variables)
    distiller.evaluate(10.0 * x, verbose=0)
    moved = [
        v.path for v, was in zip(distiller.variables, before, strict=True)
        if not np.array_equal(was, v.numpy())
    ]  # fmt: skip
    assert all("metric" in path or path.split("/")[-1] in ("total", "count") for path in moved)
    assert not any(term.target_projector.trainable_variables for term in distiller.terms)


def test_each_of_several_teachers_has_its_own_heads_and_scale():
    teachers = {"big": convolutional("t", 6, 8), "old": convolutional("u", 3, 6)}
    kernel = teachers["old"].get_layer("norm_b").gamma
    kernel.assign(100.0 * kernel)
    distiller, _, history = trained(["big:b", "old:a"], teachers)
    names = ["big_pooled", "big_spatial", "old_pooled", "old_spatial"]
    assert [term.name for term in distiller.terms] == names
    widths = [term.target_projector.layers[-1].mean.shape[0] for term in distiller.terms]
    assert widths == [8, 8, 3, 3]
    heads = [term.projector for term in distiller.terms]
    assert len({id(v) for head in heads for v in head.trainable_variables}) == sum(
        len(head.trainable_variables) for head in heads
    )
    assert max(history[name][0] for name in names) < 3.0  # a hundred times the size counts alike


def test_lists_of_several_calls_add_up():
    teachers = {"big": convolutional("t", 6, 8), "old": convolutional("u", 3, 6)}
    terms = [
        *recipes.representation(pred="student:b", target="big:b", spatial=0),
        *recipes.representation(pred="student:a", target="old:a", pooled=0, weight=2.0),
    ]
    distiller = Distiller(student=convolutional("s"), teacher=teachers, terms=terms)
    distiller.compile("sgd")
    logs = distiller.fit(images()[0], verbose=0).history
    assert logs["loss"][0] == pytest.approx(logs["pooled"][0] + 2.0 * logs["spatial"][0], rel=1e-5)


def with_registers(width=6):
    """A vision transformer with a class token and three registers before its 16 places."""
    x = inputs = keras.Input((8, 8, 2))
    x = layers.Reshape((16, width))(layers.Conv2D(width, 2, 2)(x))
    for number in range(4):
        x = ClassToken(name=f"token{number}")(x)
    x = layers.LayerNormalization(name="tokens")(layers.Dense(width)(x))
    return keras.Model(inputs, layers.Dense(3)(x[:, 0]), name="vit")


@pytest.mark.parametrize("layer, size", [("b", (4, 4)), ("a", (8, 8))])
def test_a_transformer_with_registers_teaches_a_convolutional_network(layer, size, tmp_path):
    terms = recipes.representation(
        pred=f"student:{layer}",
        target="teacher:tokens",
        target_projector=projectors.TokensToMap(class_tokens=4),
    )
    teacher = with_registers()
    distiller = Distiller(student=convolutional("s"), teacher=teacher, terms=terms)
    distiller.compile("adam")
    x, _ = images()
    distiller.fit(x, batch_size=8, verbose=0)
    tokens = keras.Model(teacher.inputs, teacher.get_layer("tokens").output)
    places = tokens.predict(x, verbose=0)[:, 4:]
    for term in terms:
        assert distiller.student.get_layer(layer).output.shape[1:3] == size
        mean = term.target_projector.layers[-1].mean.numpy()
        np.testing.assert_allclose(mean, places.mean((0, 1)), rtol=1e-3, atol=1e-4)
    distiller.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    assert equal(values(distiller.terms[1].weights), values(again.terms[1].weights))


def test_fitnets_takes_registers_too():
    terms = recipes.fitnets(
        pred="student:a",
        target="teacher:tokens",
        target_projector=projectors.TokensToMap(class_tokens=4),
        labels_weight=0,
    )
    distiller = Distiller(student=convolutional("s"), teacher=with_registers(), terms=terms)
    distiller.compile("sgd")
    assert np.isfinite(distiller.fit(images()[0], verbose=0).history["hint"][0])


def test_one_of_means_and_positions_has_to_be_there():
    with pytest.raises(ValueError, match="compares means over the positions, positions, or both"):
        recipes.representation(pred="student:b", target="teacher:b", pooled=0, spatial=0)
    with pytest.raises(ValueError, match="name layers in pairs"):
        recipes.representation(pred=["student:a", "student:b"], target="teacher:b")
