"""Models of transformers as teachers, made from their configurations."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import sources, stores

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "good", "bad", "film"]
SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "attn_implementation": "eager",
}  # fmt: skip


def bert():
    config = transformers.BertConfig(vocab_size=8, num_labels=3, **SMALL)
    return transformers.BertForSequenceClassification(config)


def tokenizer(texts, padding, truncation, max_length, return_tensors):
    """As a tokenizer of transformers is called."""
    assert (padding, truncation, return_tensors) == ("max_length", True, "np")
    ids = np.zeros((len(texts), max_length), "int64")
    for row, text in enumerate(texts):
        words = [WORDS.index(word) for word in text.split()][:max_length]
        ids[row, : len(words)] = words
    return {"input_ids": ids, "attention_mask": (ids > 0).astype("int64")}


def test_texts_and_every_signal_of_the_model():
    import torch

    model = bert()
    teacher = sources.HuggingFaceTeacher(model, tokenizer, max_length=6)
    texts = np.array([b"good film", b"bad film", b"film"], object)
    paths = ("output", "hidden_states/0", "hidden_states/2", "attentions/1", "bert.pooler")
    signals = teacher.signals(texts, paths)
    model.eval()
    given = tokenizer(["good film", "bad film", "film"], "max_length", True, 6, "np")
    with torch.no_grad():
        expected = model(
            **{key: torch.as_tensor(value) for key, value in given.items()},
            output_hidden_states=True, output_attentions=True,
        )  # fmt: skip
    for path, tensor in {
        "output": expected.logits, "hidden_states/0": expected.hidden_states[0],
        "hidden_states/2": expected.hidden_states[2], "attentions/1": expected.attentions[1],
    }.items():  # fmt: skip
        found = signals[path]
        if path == "attentions/1":  # (batch, heads, tokens, tokens) has four axes and no channels
            assert found.shape == tuple(tensor.shape)
        np.testing.assert_allclose(found, tensor.numpy(), atol=1e-6)
    assert signals["bert.pooler"].shape == (3, 16)


def test_tokens_of_a_vision_transformer_teach_a_cnn(tmp_path):
    """Patch tokens of torch as a signal, channels last in, without logits."""
    config = transformers.Dinov2Config(image_size=8, patch_size=2, num_channels=1, **SMALL)
    teacher = sources.HuggingFaceTeacher(transformers.Dinov2Model(config), name="dino")
    part = kd.data.load("digits")["train"].take(np.arange(20))
    stores.write(teacher, part, tmp_path / "a", addresses=("last_hidden_state",), dtype="float32")
    batch, _ = stores.read(tmp_path / "a", part, batch_size=20)[0]
    assert batch["signals"]["teacher:last_hidden_state"].shape == (20, 17, 16)
    student = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 2, strides=2, name="maps"),
         keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    )  # fmt: skip
    hint = kd.Term(
        kd.losses.FeatureMatch(), pred="student:maps", target="teacher:last_hidden_state",
        projector=kd.projectors.Conv1x1(16), name="hint",
        target_projector=kd.projectors.TokensToMap(class_tokens=1),
    )  # fmt: skip
    distiller = kd.Distiller(student=student, terms=[hint])
    distiller.compile(keras.optimizers.Adam(0.01))
    data = stores.read(tmp_path / "a", part, batch_size=20)
    losses = distiller.fit(data, epochs=5, verbose=0).history["hint"]
    assert losses[-1] < losses[0]
    patches = batch["signals"]["teacher:last_hidden_state"][:, 1:].reshape(20, 4, 4, 16)
    weights = [np.asarray(w.numpy()) for w in distiller.terms[0].projector.weights]
    maps = keras.Model(student.inputs, student.get_layer("maps").output)(part.x)
    found = np.asarray(keras.ops.convert_to_numpy(maps)) @ weights[0][0, 0]
    found = found + weights[1] if len(weights) > 1 else found
    after = distiller.evaluate(data, verbose=0, return_dict=True)["hint"]
    assert after == pytest.approx(np.mean((found - patches) ** 2), rel=1e-4)
    with pytest.raises(
        ValueError, match=r"gives no logits\. Expected an inner module or one of 'la"
    ):
        teacher(part.x)


def test_signals_that_it_does_not_give():
    config = transformers.BertConfig(
        vocab_size=8, num_labels=3, **{**SMALL, "attn_implementation": "sdpa"}
    )
    teacher = sources.HuggingFaceTeacher(transformers.BertForSequenceClassification(config))
    ids = {"input_ids": np.ones((2, 4), "int64")}
    with pytest.raises(ValueError, match=r"gives no 'hidden_states/9'.*hidden_states/0 to "):
        teacher.signals(ids, ("hidden_states/9",))
    with pytest.raises(ValueError, match=r"gives no 'hiden_states/1'"):
        teacher.signals(ids, ("hiden_states/1",))
