"""Tiny models of keras-hub's architectures, each made from its config: nothing is downloaded."""

import keras_hub
import numpy as np

VOCABULARY = 64
LENGTH = 12  #: of what the tests feed; no model's `max_sequence_length`

_models = keras_hub.models


def _backbone(name, width, layers, **config):
    return getattr(_models, f"{name}Backbone")(
        vocabulary_size=VOCABULARY, num_layers=layers, hidden_dim=width, intermediate_dim=2 * width,
        **config,
    )  # fmt: skip


def _grouped(name, width, layers, **config):
    return _backbone(name, width, layers, num_query_heads=4, num_key_value_heads=2, **config)


def _gemma(name, width, layers, **config):
    return _grouped(name, width, layers, head_dim=width // 2, **config)


#: A backbone of each, by the name that keras-hub gives its classes.
BACKBONES = {
    "GPT2": lambda w, n: _backbone("GPT2", w, n, num_heads=4, max_sequence_length=24),
    "OPT": lambda w, n: _backbone("OPT", w, n, num_heads=4, max_sequence_length=24),
    "Llama": lambda w, n: _grouped("Llama", w, n),
    "Llama3": lambda w, n: _grouped("Llama3", w, n),
    "Gemma": lambda w, n: _gemma("Gemma", w, n, attention_logit_soft_cap=5.0,
                                 final_logit_soft_cap=3.0),
    "Gemma3": lambda w, n: _gemma("Gemma3", w, n, image_size=16, vision_encoder=None),
    "Qwen3": lambda w, n: _grouped("Qwen3", w, n, head_dim=w // 4),
    "Mistral": lambda w, n: _grouped("Mistral", w, n, sliding_window=6),
    "Bloom": lambda w, n: _backbone("Bloom", w, n, num_heads=4),
    "Bert": lambda w, n: _backbone("Bert", w, n, num_heads=4, max_sequence_length=24),
    "DistilBert": lambda w, n: _backbone("DistilBert", w, n, num_heads=4, max_sequence_length=24),
    "Roberta": lambda w, n: _backbone("Roberta", w, n, num_heads=4, max_sequence_length=24),
}  # fmt: skip
ENCODERS = ("Bert", "DistilBert", "Roberta")
DECODERS = tuple(name for name in BACKBONES if name not in ENCODERS)


def model(name, width=16, layers=2, preprocessor=None):
    """A causal model, or of an encoder a classifier of three classes."""
    backbone = BACKBONES[name](width, layers)
    if name in ENCODERS:
        return getattr(_models, f"{name}TextClassifier")(
            backbone, num_classes=3, preprocessor=preprocessor
        )
    return getattr(_models, f"{name}CausalLM")(backbone=backbone, preprocessor=preprocessor)


def batch(name, rows=4, length=LENGTH, seed=0):
    """What the model takes, its labels, and 1 for each label that counts."""
    draw = np.random.default_rng(seed)
    tokens = draw.integers(3, VOCABULARY, (rows, length + 1)).astype("int32")
    lengths = draw.integers(length // 2, length + 1, rows)
    mask = (np.arange(length) < lengths[:, None]).astype("int32")
    x = {"token_ids": tokens[:, :-1] * mask, "padding_mask": mask}
    if name == "Bert":
        x["segment_ids"] = np.zeros_like(mask)
    if name in ENCODERS:
        return x, draw.integers(0, 3, rows), np.ones(rows, "float32")
    return x, tokens[:, 1:] * mask, mask.astype("float32")
