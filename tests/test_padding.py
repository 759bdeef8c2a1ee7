"""Sequences with padding: it changes nothing, and batches of any size join to the same numbers."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import metrics
from keras_kd._core.keras_private import set_mask
from tests.models import CLASSES, cross_entropy, set_weights
from tests.project import older_than

LENGTH, WIDTH, HEADS = 6, 8, 2
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(1, 20, (12, LENGTH)).astype("int32")
VALID = (np.arange(LENGTH) < RNG.integers(1, LENGTH + 1, (12, 1))).astype("int32")
Y = RNG.integers(0, CLASSES, (12, LENGTH))
OTHER = np.where(VALID, TOKENS, RNG.integers(1, 20, TOKENS.shape)).astype("int32")


def weighted(model, seed):
    set_weights(model, seed)
    return model


def tagger(name, seed):
    """A transformer that is told the padding by an input, as those of keras-hub are."""
    tokens = keras.Input((LENGTH,), dtype="int32", name="token_ids")
    valid = keras.Input((LENGTH,), dtype="int32", name="padding_mask")
    x = keras.layers.Embedding(20, WIDTH)(tokens)
    attention = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name="attention")
    seen = keras.ops.cast(valid, "bool")[:, None, :]
    x = keras.layers.LayerNormalization(name="hidden")(x + attention(x, x, attention_mask=seen))
    inputs = {"token_ids": tokens, "padding_mask": valid}
    return weighted(keras.Model(inputs, keras.layers.Dense(CLASSES)(x), name=name), seed)


def masking(name, seed):
    """The same padding, told by a mask that Keras hands on."""
    tokens = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(20, WIDTH, mask_zero=True)(tokens)
    x = keras.layers.LSTM(WIDTH, return_sequences=True)(x)
    return weighted(keras.Model(tokens, keras.layers.Dense(CLASSES)(x), name=name), seed)


def terms():
    qkv = [tuple(f"{role}:attention/{n}" for n in ("query", "key", "value"))
           for role in ("student", "teacher")]  # fmt: skip
    hidden = keras_kd.Term(
        keras_kd.losses.HiddenStateMatch(), pred="student:hidden", target="teacher:hidden"
    )
    plain = keras_kd.Term(keras.losses.MeanSquaredError(), name="plain")
    return [
        *keras_kd.recipes.hinton(),
        *keras_kd.recipes.minilm(pred=qkv[0], target=qkv[1], heads=HEADS),
        hidden,
        plain,
    ]


def between_examples():
    """Terms that compare the examples of a batch, whole sequences of them."""
    hidden = {"pred": "student:hidden", "target": "teacher:hidden"}
    kinds = ("DistanceRelation", "AngleRelation", "SimilarityMatrix", "CorrelationCongruence")
    made = [keras_kd.Term(getattr(keras_kd.losses, kind)(), **hidden) for kind in kinds]
    return [*made, keras_kd.Term(keras_kd.losses.CorrelationTarget())]


def judged(tokens, batch_size, y=Y, terms=terms):
    distiller = keras_kd.Distiller(student=tagger("s", 1), teacher=tagger("t", 2), terms=terms())
    distiller.compile("adam", cross_entropy(), metrics=["accuracy", metrics.Agreement()])
    x = {"token_ids": tokens, "padding_mask": VALID}
    logs = distiller.evaluate(x, y, batch_size=batch_size, return_dict=True, verbose=0)
    if older_than("3.12"):
        del logs["accuracy"]  # Keras's own metrics counted padding
    return logs


def test_what_stands_at_padding_changes_nothing():
    whole = judged(TOKENS, 12)
    other = judged(OTHER, 12, y=np.where(VALID, Y, (Y + 1) % CLASSES))
    assert {"attention", "values", "labels", "soft_target", "plain"} <= set(whole)
    assert other == pytest.approx(whole, rel=1e-4)


def test_nor_where_whole_sequences_are_compared_with_one_another():
    with_labels = lambda: [keras_kd.Labels(), *between_examples()]  # noqa: E731
    y = np.where(VALID, Y, 0)
    whole, other = (judged(t, 12, y, with_labels) for t in (TOKENS, OTHER))
    assert other == pytest.approx(whole, rel=1e-4)
    assert whole["distance_relation"] > 0


def test_batches_of_any_size_join_to_the_same_numbers():
    whole = judged(TOKENS, 12)
    assert judged(TOKENS, 5) == pytest.approx(whole, rel=1e-4)
    weights = dict.fromkeys(
        ("soft_target", "attention", "values", "hidden_state_match", "plain"), 1
    )
    hinton = {term.name: term.weight for term in keras_kd.recipes.hinton()}
    total = sum(whole[name] * weight for name, weight in (weights | hinton).items())
    assert whole["loss"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize("batch_size", [12, 5])
def test_labels_that_are_ignored_do_not_thin_the_mean_out(batch_size):
    x = RNG.normal(size=(12, 8)).astype("float32")
    y = np.where(np.arange(12) % 3 == 0, np.arange(12) % CLASSES, -1)
    models = [keras.Sequential([keras.Input((8,)), keras.layers.Dense(CLASSES)]) for _ in "ab"]
    distiller = keras_kd.Distiller(student=models[0], teacher=models[1])
    distiller.compile("adam", cross_entropy(ignore_class=-1))
    logs = distiller.evaluate(x, y, batch_size=batch_size, return_dict=True, verbose=0)
    known = y >= 0
    expected = cross_entropy()(y[known], models[0](x[known]))
    assert logs["labels"] == pytest.approx(float(expected), rel=1e-5)


def test_metrics_and_losses_see_the_mask_that_keras_hands_on():
    tokens = np.where(VALID, TOKENS, 0).astype("int32")
    student, teacher = masking("s", 1), masking("t", 2)
    distiller = keras_kd.Distiller(student=student, teacher=teacher)
    distiller.compile("adam", cross_entropy(), metrics=[metrics.Agreement()])
    logs = distiller.evaluate(tokens, Y, batch_size=5, return_dict=True, verbose=0)
    said = [model.predict(tokens, verbose=0)[VALID > 0] for model in (student, teacher)]
    same = said[0].argmax(-1) == said[1].argmax(-1)
    assert logs["agreement"] == pytest.approx(same.mean(), rel=1e-6)
    soft = keras_kd.losses.SoftTarget()(said[1], said[0])
    assert logs["soft_target"] == pytest.approx(float(soft), rel=1e-4)


def test_padding_of_rows_that_other_replicas_have():
    """A term that joins the rows of all replicas joins what tells their padding too."""
    rng = np.random.default_rng(1)
    valid = np.arange(LENGTH) < np.array([[2], [6], [4], [5]])

    def side(rows, seed):
        drawn = np.random.default_rng(seed).normal(size=(4, LENGTH, WIDTH))[rows]
        padding = rng.normal(size=drawn.shape) * 9.0
        tensor = keras.ops.convert_to_tensor(
            np.where(valid[rows][..., None], drawn, padding), "float32"
        )
        set_mask(tensor, keras.ops.convert_to_tensor(valid[rows]))
        return tensor

    def signals(rows):
        return {"student:output": side(rows, 1), "teacher:output": side(rows, 2)}

    def gather(x):  # the other replica has rows 2 and 3
        if len(x.shape) == 2:
            return keras.ops.convert_to_tensor(valid)
        first = side(slice(0, 2), 1)
        seed = 1 if float(keras.ops.max(keras.ops.abs(x - first)[:, 0])) < 1e-6 else 2
        return keras.ops.concatenate([x, side(slice(2, 4), seed)])

    term = keras_kd.Term(keras_kd.losses.SimilarityMatrix())
    whole, _ = term.measured(signals(slice(0, 4)), step=0)
    joined, _ = term.measured(signals(slice(0, 2)), step=0, gather=gather)
    assert float(joined) == pytest.approx(float(whole), rel=1e-5)
