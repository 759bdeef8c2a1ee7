"""Students whose file Keras cannot load again, for their config leaves out how they were made."""

import warnings

import keras
import numpy as np
import pytest

pytest.importorskip("keras_hub")

import keras_hub

import keras_kd
from tests.hub.models import batch, model


def tied():
    backbone = keras_hub.models.LlamaBackbone(
        vocabulary_size=64, num_layers=1, num_query_heads=2, num_key_value_heads=1,
        hidden_dim=8, intermediate_dim=8, tie_word_embeddings=True,
    )  # fmt: skip
    return keras_hub.models.LlamaCausalLM(backbone=backbone)


def trained(student, epochs, callbacks):
    learner = keras_kd.Distiller(student=student, terms=[keras_kd.Labels()])
    learner.compile("adam", "auto")
    x, y, weights = batch("Llama")
    learner.fit(x, y, sample_weight=weights, epochs=epochs, callbacks=callbacks, verbose=0)


def test_the_best_student_says_how_to_have_it_from_a_file_that_does_not_load(tmp_path):
    path = tmp_path / "student.keras"
    student = tied()
    with pytest.warns(UserWarning, match=r"cannot make the model.*student\.load_weights\("):
        trained(student, 1, [keras_kd.callbacks.BestStudent(path, "loss")])
    with pytest.raises(Exception, match="could not be loaded"):  # else the warning can go
        keras.saving.load_model(path)
    again = tied()
    again.load_weights(path)
    for a, b in zip(student.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_that_loads_is_no_matter(tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="(?s).*cannot make the model")
        callback = keras_kd.callbacks.BestStudent(tmp_path / "student.keras", "loss")
        trained(model("GPT2", width=8, layers=1), 1, [callback])


def test_a_checkpoint_of_a_tied_student_goes_on(tmp_path):
    x, y, weights = batch("Llama")

    def run(epochs):
        keras.utils.set_random_seed(0)
        learner = keras_kd.Distiller(student=tied(), terms=[keras_kd.Labels()])
        learner.compile("adam", "auto")
        checkpoint = keras_kd.callbacks.Checkpoint(tmp_path / "state.npz")
        done = checkpoint.restore(learner)
        learner.fit(x, y, sample_weight=weights, epochs=epochs, initial_epoch=done, verbose=0,
                    shuffle=False, callbacks=[checkpoint])  # fmt: skip
        return done, learner.student.get_weights()

    run(1)
    done, stopped = run(2)
    (tmp_path / "state.npz").unlink()
    _, unbroken = run(2)
    assert done == 1
    for a, b in zip(stopped, unbroken, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
