"""A small causal model as a file of one length, token by token."""

import keras
import numpy as np
import pytest

import keras_kd as kd

hub = pytest.importorskip("keras_hub")
VOCABULARY, LENGTH = 64, 12


def llama():
    backbone = hub.models.LlamaBackbone(
        vocabulary_size=VOCABULARY, num_layers=2, num_query_heads=2, num_key_value_heads=1,
        hidden_dim=16, intermediate_dim=32,
    )  # fmt: skip
    return hub.models.LlamaCausalLM(backbone=backbone, preprocessor=None)


def test_litert_gives_every_position(tmp_path):
    if keras.config.backend() != "tensorflow":
        pytest.skip("LiteRT files are converted by TensorFlow here")
    pytest.importorskip("ai_edge_litert")
    student = llama()
    rng = np.random.default_rng(0)
    student.set_weights(
        [rng.normal(0, 0.5, w.shape).astype("float32") for w in student.get_weights()]
    )
    ids = rng.integers(1, VOCABULARY, (6, LENGTH)).astype("int32")
    mask = (np.arange(LENGTH) < rng.integers(2, LENGTH + 1, (6, 1))).astype("int32")
    x = {"token_ids": ids, "padding_mask": mask}
    proof = kd.export(student, tmp_path / "student.tflite", examples=x)
    assert proof.agreement == 1.0
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(str(tmp_path / "student.tflite")).get_signature_runner()
    wanted = student.predict(x, verbose=0)
    for i in range(6):
        (found,) = run(**{name: value[i : i + 1] for name, value in x.items()}).values()
        np.testing.assert_allclose(found[0][mask[i] > 0], wanted[i][mask[i] > 0], atol=1e-3)
