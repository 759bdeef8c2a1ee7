"""Small causal models as files of one length, token by token, whatever backend trained them."""

import keras
import numpy as np
import pytest

import keras_kd as kd

pytest.importorskip("keras_hub")
pytest.importorskip("ai_edge_litert")
pytest.importorskip("tensorflow")  # which converts, in a process of its own

from tests.hub.models import LENGTH, VOCABULARY, model


def texts():
    rng = np.random.default_rng(0)
    ids = rng.integers(1, VOCABULARY, (6, LENGTH)).astype("int32")
    mask = (np.arange(LENGTH) < rng.integers(2, LENGTH + 1, (6, 1))).astype("int32")
    return {"token_ids": ids * mask, "padding_mask": mask}, np.roll(ids, -1, axis=1), mask


def trained(name):
    """A student that learned a few steps, from weights that say something."""
    student, teacher = (model(name, width, layers=1) for width in (8, 16))
    rng = np.random.default_rng(1)
    for one in (student, teacher):
        one.set_weights([rng.normal(0, 0.5, w.shape).astype("float32") for w in one.get_weights()])
    distiller = kd.Distiller(
        student=student, teacher=teacher, terms=kd.recipes.gkd(labels_weight=0.5)
    )
    distiller.compile(keras.optimizers.Adam(0.01), "auto")
    x, y, weights = texts()
    distiller.fit(x, y, sample_weight=weights.astype("float32"), epochs=2, verbose=0)
    return student


@pytest.mark.parametrize("name", ["Llama", "GPT2", "Qwen3", "Gemma"])
def test_litert_gives_every_position(name, tmp_path):
    student = trained(name)
    x, _, mask = texts()
    proof = kd.export(student, tmp_path / "student.tflite", examples=x)
    assert proof.agreement == 1.0
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(tmp_path / "student.tflite")).get_signature_runner()
    wanted = student.predict(x, verbose=0)
    for i in range(6):
        (found,) = run(**{name: value[i : i + 1] for name, value in x.items()}).values()
        np.testing.assert_allclose(found[0][mask[i] > 0], wanted[i][mask[i] > 0], atol=1e-3)
