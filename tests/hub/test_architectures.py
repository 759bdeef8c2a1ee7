"""keras-hub's architectures as student and teacher, made from their configs: one step of each."""

import keras
import numpy as np
import pytest

pytest.importorskip("keras_hub")

import keras_kd
from tests.hub.models import BACKBONES, ENCODERS, batch, model


@pytest.mark.parametrize("name", BACKBONES)
def test_a_step_with_outputs_hidden_states_scores_and_relations(name):
    """A narrower, shallower student; the recipes find the layers; any length is taken."""
    student, teacher = model(name, width=8, layers=1), model(name)
    inside = [
        *keras_kd.recipes.tinybert(student, teacher),
        *keras_kd.recipes.minilm(student, teacher),
    ]
    distiller = keras_kd.Distiller(
        student=student, teacher=teacher, terms=[*keras_kd.recipes.hinton(), *inside]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile(keras.optimizers.Adam(0.01), loss)
    before = [w.copy() for w in student.get_weights()]
    x, y, weights = batch(name)
    logs = distiller.fit(x, y, sample_weight=weights, epochs=2, verbose=0).history
    assert set(logs) == {
        "labels", "soft_target", "hidden", "scores", "attention", "values", "loss"
    }  # fmt: skip
    assert all(np.isfinite(values).all() for values in logs.values())
    moved = [not np.array_equal(a, b) for a, b in zip(before, student.get_weights(), strict=True)]
    assert sum(moved) >= len(moved) - 1  # BERT reads no segments but 0
    x, y, weights = batch(name, rows=2, length=20)
    assert np.isfinite(distiller.evaluate(x, y, sample_weight=weights, verbose=0)).all()


def test_a_student_learns_from_the_layers_as_often_as_it_is_shallower():
    student, teacher = model("Bert", layers=2), model("Bert", layers=4)
    terms = keras_kd.recipes.tinybert(student, teacher)
    hidden = [(term.pred[0], term.target) for term in terms if term.name == "hidden"]
    assert hidden == [
        ("student:backbone/transformer_layer_0", "teacher:backbone/transformer_layer_1"),
        ("student:backbone/transformer_layer_1", "teacher:backbone/transformer_layer_3"),
    ]
    scores = [term.pred for term in terms if term.name == "scores"]
    assert scores[1] == "student:backbone/transformer_layer_1/self_attention_layer/scores"
    assert len(keras_kd.recipes.tinybert(student, teacher, scores=False)) == 2
    last = keras_kd.recipes.minilm(student, teacher)[0]
    assert last.target[0] == "teacher:backbone/transformer_layer_3/self_attention_layer/query"
    assert last.projector.heads == 4


def test_models_whose_layers_cannot_be_paired():
    student, teacher = model("Bert", layers=1), model("Bert", layers=2)
    with pytest.raises(ValueError, match="student has 2 transformer layers and the teacher 1"):
        keras_kd.recipes.tinybert(teacher, student)
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="plain")
    with pytest.raises(ValueError, match=r"student 'plain' no layer holds an attention.*pred=\["):
        keras_kd.recipes.minilm(plain, teacher)
    with pytest.raises(TypeError, match=r"minilm\(student, teacher\), or .* pred='student:a'"):
        keras_kd.recipes.minilm(student, teacher, pred="student:a")
    with pytest.raises(TypeError, match=r"tinybert\(pred=..., target=...\); one of the two"):
        keras_kd.recipes.tinybert(student)
    with pytest.raises(TypeError, match=r"`teacher` must be a keras.Model. Received: 'b'"):
        keras_kd.recipes.tinybert(student, "b")


@pytest.mark.parametrize("name", [*ENCODERS[:1], "Llama"])
def test_other_numbers_of_heads(name):
    import keras_hub

    grouped = (
        {"num_query_heads": 2, "num_key_value_heads": 1} if name == "Llama" else {"num_heads": 2}
    )
    backbone = getattr(keras_hub.models, f"{name}Backbone")(
        vocabulary_size=64, num_layers=1, hidden_dim=12, intermediate_dim=8, **grouped
    )
    student, teacher = keras.Model(backbone.inputs, backbone.outputs, name="s"), model(name)
    with pytest.raises(ValueError, match=r"student has 2 heads, the teacher 4.*scores=False"):
        keras_kd.recipes.tinybert(student, teacher)
    assert keras_kd.recipes.minilm(student, teacher)[0].projector.heads == (
        2 if name == "Llama" else 4
    )
