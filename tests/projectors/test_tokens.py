"""Tokens and maps: the same places, in another shape."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_kd import Distiller, Term, losses, procedures, projectors, recipes
from keras_kd._core.shapes import grid_of
from tests.models import cross_entropy

layers = keras.layers


def test_places_keep_their_order_and_tokens_before_them_are_cut():
    places = np.arange(2 * 6 * 4, dtype="float32").reshape(2, 6, 4)
    extra = np.full((2, 3, 4), -1, "float32")
    seen = ops.convert_to_numpy(projectors.TokensToMap((2, 3))(np.concatenate([extra, places], 1)))
    np.testing.assert_array_equal(seen, places.reshape(2, 2, 3, 4))


@pytest.mark.parametrize("tokens, side", [(49, 7), (50, 7), (51, 7), (196, 14), (197, 14), (1, 1)])
def test_squares_are_found(tokens, side):
    assert projectors.TokensToMap()(np.zeros((2, tokens, 3))).shape == (2, side, side, 3)


@pytest.mark.parametrize("tokens, before, side", [(53, 4, 7), (261, 5, 16), (49, 0, 7), (13, 4, 3)])
def test_class_tokens_say_how_many_are_cut(tokens, before, side):
    x = np.arange(2.0 * tokens * 3).reshape(2, tokens, 3)
    seen = projectors.TokensToMap(class_tokens=before)(x)
    expected = x[:, before:].reshape(2, side, side, 3)
    np.testing.assert_array_equal(ops.convert_to_numpy(seen), expected)


def test_one_integer_is_a_square():
    layer = projectors.TokensToMap(4, class_tokens=2)
    assert layer(np.zeros((2, 18, 3))).shape == (2, 4, 4, 3)
    again = projectors.TokensToMap.from_config(layer.get_config())
    assert again.size == (4, 4) and again.class_tokens == 2


def test_between_other_projectors():
    """Before a resizing and a trained projection; after a map of the channels."""
    tokens = np.random.default_rng(0).normal(size=(2, 17, 6)).astype("float32")
    steps = [projectors.TokensToMap(), projectors.Resize((2, 2)), projectors.Conv1x1(3)]
    row = keras.Sequential([projectors.Dense(5), *steps])
    assert row(tokens).shape == (2, 2, 2, 3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(row))
    again(tokens)
    again.set_weights(row.get_weights())
    np.testing.assert_allclose(*map(ops.convert_to_numpy, (row(tokens), again(tokens))), atol=1e-6)


def test_known_sizes_come_first():
    assert grid_of(53, [(56, 56), (7, 7)]) == (7, 7)  # a class token and three registers
    assert grid_of(17, [(2, 8)]) == (2, 8)
    assert grid_of(53) is None and grid_of(0) is None


def test_channels_first(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    tokens = np.arange(2 * 4 * 3, dtype="float32").reshape(2, 4, 3)
    seen = ops.convert_to_numpy(projectors.TokensToMap()(tokens))
    np.testing.assert_array_equal(seen, tokens.transpose(0, 2, 1).reshape(2, 3, 2, 2))


@pytest.mark.parametrize(
    "make, shape, message",
    [
        (projectors.TokensToMap, (2, 7, 3), r"The 7 tokens of the input are no square"),
        (projectors.TokensToMap, (2, 7, 7, 3), r"takes tokens, of shape \(batch, tokens, channels"),
        (lambda: projectors.TokensToMap((3, 3)), (2, 8, 3), "A map of 3 by 3 has more places than"),
        (lambda: projectors.TokensToMap((3,)), (2, 9, 3), "`size` must be height and width"),
        (lambda: projectors.TokensToMap(0), (2, 9, 3), r"`size` must be .* Received: size=0"),
        (lambda: projectors.TokensToMap(class_tokens=-1), (2, 9, 3), "`class_tokens` must be a wh"),
        (projectors.TokensToMap, (2, 261, 3),
         r"The 261 tokens .* TokensToMap\(\(height, width\)\)\. If 5 of them stand before 16 by 16 "
         r"places: TokensToMap\(class_tokens=5\)\."),
        (lambda: projectors.TokensToMap(class_tokens=1), (2, 49, 3),
         r"class_tokens=1 leaves 48 places, which are no square\. .*TokensToMap\(class_tokens=0\)"),
        (lambda: projectors.TokensToMap((2, 4), class_tokens=1), (2, 12, 3),
         r"2 by 4 and class_tokens=1 are 9 tokens\. Received 12: .*or class_tokens=4"),
    ],
)  # fmt: skip
def test_what_will_not_do(make, shape, message):
    with pytest.raises(ValueError, match=message):
        make()(np.zeros(shape))


# A convolutional network and a vision transformer.


@keras.saving.register_keras_serializable(package="tests")
class ClassToken(layers.Layer):
    def build(self, shape):
        self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")

    def call(self, x):
        return ops.concatenate([ops.repeat(self.token, ops.shape(x)[0], axis=0), x], axis=1)


def vision_transformer(name="vit", width=6):
    x = inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(width, 4, 4, name="patches")(x)
    x = ClassToken(name="class_token")(layers.Reshape((16, width))(x))
    for i in range(2):
        x = layers.Add()([x, layers.MultiHeadAttention(2, 3, name=f"attention{i}")(x, x)])
        x = layers.LayerNormalization(name=f"block{i}")(x)
    return keras.Model(inputs, layers.Dense(3, name="head")(x[:, 0]), name=name)


def convolutional(name="cnn", width=4):
    x = inputs = keras.Input((16, 16, 3))
    for i in range(2):
        x = layers.Conv2D(width, 3, 2, "same", activation="relu", name=f"stage{i}")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)), name=name)


def test_the_last_map_goes_with_the_last_tokens_not_with_the_patches():
    hints = procedures.hint_layers(convolutional(), vision_transformer())
    assert hints == {"pred": ["student:stage1"], "target": ["teacher:block1"]}
    hints = procedures.hint_layers(vision_transformer(), vision_transformer(width=8))
    assert hints == {"pred": ["student:block1"], "target": ["teacher:block1"]}


@pytest.mark.parametrize(
    "student, teacher", [(convolutional, vision_transformer), (vision_transformer, convolutional)]
)
def test_hints_between_the_two_learn(student, teacher):
    """The hint of `fitnets`, on the tokens' own numbers: the class token has no part in it."""
    keras.utils.set_random_seed(0)
    student, teacher = student(), teacher()
    tokens = teacher.name == "vit"
    terms = recipes.fitnets(
        **procedures.hint_layers(student, teacher),
        target_projector=projectors.TokensToMap() if tokens else None,
    )
    distiller = Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01), cross_entropy())
    x = np.random.default_rng(0).normal(size=(32, 16, 16, 3)).astype("float32")
    history = distiller.fit(x, np.arange(32) % 3, epochs=6, batch_size=16, verbose=0).history
    assert history["hint"][-1] < 0.8 * history["hint"][0]
    # Term by term, against numpy.
    layer = "block1" if tokens else "stage1"
    seen = keras.Model(teacher.inputs, teacher.get_layer(layer).output).predict(x[:2], verbose=0)
    wanted = seen[:, 1:].reshape(2, 4, 4, -1) if tokens else seen
    term = distiller.terms[1]
    ours = keras.Model(student.inputs, student.get_layer("stage1" if tokens else "block1").output)
    pred = term.projector(
        (ops.convert_to_tensor(ours.predict(x[:2], verbose=0)), ops.zeros(seen.shape))
    )
    value = term({term.pred[0]: ours(x[:2]), term.pred[1]: seen}, step=0)
    assert float(ops.convert_to_numpy(value)) == pytest.approx(
        float(np.mean((ops.convert_to_numpy(pred) - wanted) ** 2)), rel=1e-4
    )


@pytest.mark.parametrize(
    "student, teacher, pred, target, advice",
    [
        (convolutional(), vision_transformer(), "stage1", "block1",
         "projector=keras_kd.projectors.Conv1x1(6) and target_projector=keras_kd.projectors."
         "TokensToMap()."),
        (vision_transformer(), convolutional(), "block0", "stage1",
         "projector=keras.Sequential([keras_kd.projectors.TokensToMap(), keras_kd.projectors."
         "Conv1x1(4)])."),
        (convolutional(), vision_transformer(), "stage0", "block1",
         "projector=keras.Sequential([keras_kd.projectors.Resize((4, 4)), keras_kd.projectors."
         "Conv1x1(6)]) and target_projector=keras_kd.projectors.TokensToMap()."),
        (convolutional(width=6), vision_transformer(), "stage1", "block1",
         "target_projector=keras_kd.projectors.TokensToMap()."),
    ],
)  # fmt: skip
def test_errors_propose_what_brings_them_together(student, teacher, pred, target, advice):
    def made(**kwargs):
        addresses = {"pred": f"student:{pred}", "target": f"teacher:{target}"}
        term = Term(losses.FeatureMatch(), **addresses, **kwargs)
        return Distiller(student=student, teacher=teacher, terms=[term])

    with pytest.raises(ValueError) as error:
        made()
    text = f"Tokens are the places of a map: give the term {advice}"
    assert str(error.value).partition(" See http")[0].endswith(text)
    names = {"keras": keras, "keras_kd": __import__("keras_kd")}
    made(**eval(f"dict({advice[:-1].replace(' and ', ', ')})", names))  # and it does


def test_fitnets_without_the_targets_projector_proposes_it():
    student, teacher = convolutional(), vision_transformer()
    with pytest.raises(ValueError, match=r"give the term target_projector=keras_kd.projectors.Tok"):
        Distiller(
            student=student,
            teacher=teacher,
            terms=recipes.fitnets(**procedures.hint_layers(student, teacher)),
        )
