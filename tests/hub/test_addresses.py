"""Addresses that last, calls of a layer that runs twice, and attention scores."""

import re

import keras
import numpy as np
import pytest

pytest.importorskip("keras_hub")

from keras import ops

from keras_kd._core.keras_private import layers_of
from keras_kd._core.layer_paths import lasting_path
from keras_kd.taps import Tap, layer_paths
from tests.hub.models import BACKBONES, DECODERS, batch, model


def signals_of(network, paths, x):
    tap = Tap("student", network, dict.fromkeys(paths, "a test"))
    found = tap(keras.tree.map_structure(ops.convert_to_tensor, x), training=False)[1]
    return {path: ops.convert_to_numpy(found[f"student:{path}"]) for path in paths}


def test_a_path_is_what_python_would_write():
    first, second = model("GPT2"), model("GPT2")
    assert first.backbone.name != second.backbone.name
    x, *_ = batch("GPT2")
    block = second.backbone.transformer_layers[1]
    named = f"{second.backbone.name}/transformer_layer_1"
    place = second.backbone.layers.index(block)
    paths = [
        named, f"backbone/layers/{place}", "backbone/transformer_layers/1",
        "backbone/transformer_layers/-1", "backbone/transformer_layer_1",
    ]  # fmt: skip
    found = signals_of(second, paths, x)
    for path in paths:
        np.testing.assert_array_equal(found[path], found[named])
    inside = "backbone/transformer_layers/0/self_attention/query"
    assert signals_of(second, [inside], x)[inside].shape == (4, 12, 4, 4)


def test_lasting_paths_name_the_same_layer_in_every_run():
    networks = model("Llama"), model("Llama")
    paths = [list(layer_paths(network)) for network in networks]
    assert paths[0] != paths[1]
    lasting = [
        [lasting_path(path, network) for path in named]
        for named, network in zip(paths, networks, strict=True)
    ]
    # Below the blocks, layers without a name of their own stay as Keras names them.
    named = r"backbone|.*/(query|key|value|transformer_layer_\d|token_embedding)"
    lasting = [[path for path in found if re.fullmatch(named, path)] for found in lasting]
    assert lasting[0] == lasting[1]
    assert "backbone/transformer_layer_0/self_attention/query" in lasting[0]


def test_each_call_of_a_tied_embedding_is_a_signal():
    network = model("GPT2")
    x, *_ = batch("GPT2")
    first, second = "backbone/token_embedding#0", "backbone/token_embedding#1"
    found = signals_of(network, [first, second, "output"], x)
    assert found[first].shape == (4, 12, 16)
    np.testing.assert_array_equal(found[second], found["output"])
    with pytest.raises(ValueError, match=r"runs 2 times .* 'student:backbone/token_embedding#0', "):
        signals_of(network, ["backbone/token_embedding"], x)
    with pytest.raises(ValueError, match=r"#2' is not one signal.*token_embedding#1'\.$"):
        signals_of(network, ["backbone/token_embedding#2"], x)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("backbone/transformer_layers/2", r"are 2 layers; .* to 'student:backbone/transformer_layers/1'"),
        ("backbone/transformer_layers", r"are 2 layers; name one by its number"),
        ("backbon/token_embedding", r"Did you mean 'student:backbone/token_embedding'\?"),
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere(path, message):
    with pytest.raises(ValueError, match=message):
        Tap("student", model("GPT2"), {path: "a test"})


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("backbone/transformer_layer_0/scores", "transformer_layer_0/self_attention/scores"),
        ("backbone/transformer_layer_0/self_attention/querry", "self_attention/query"),
    ],
)
def test_a_path_that_goes_on_where_there_is_one_tensor(path, meant):
    x, *_ = batch("GPT2")
    with pytest.raises(
        ValueError, match=f"is one tensor. Did you mean 'student:backbone/.*{meant}'"
    ):
        signals_of(model("GPT2"), [path], x)


@pytest.mark.parametrize("name", BACKBONES)
def test_scores_are_those_that_the_attention_is_made_of(name):
    """Softmax of the scores, times the values, through the last layer: what the attention returns.

    Rotary positions, grouped heads, a soft cap, a window, biases by distance and masks are in it.
    """
    network = model(name)
    x, *_ = batch(name)
    attention = "attention" if "Gemma" in name else "self_attention"
    part = "_dense" if name == "Bloom" else ""
    if name in ("Bert", "DistilBert", "Roberta"):
        attention = "self_attention_layer"
    path = f"backbone/transformer_layers/1/{attention}"
    scores, value, output = f"{path}/scores", f"{path}/value{part}", path
    found = signals_of(network, [scores, value, output], x)
    assert found[scores].shape == (4, 4, 12, 12)
    if name in DECODERS:
        assert (found[scores][:, :, 0, 1:] < -1e8).all()
    weights = ops.softmax(found[scores])
    values = np.repeat(found[value], 4 // found[value].shape[2], axis=2)
    mixed = ops.einsum("bhqk,bkhd->bqhd", weights, values)
    if name == "Bloom":
        mixed = ops.reshape(mixed, (4, 12, -1))
    block = network.backbone.transformer_layers[1]
    last = [
        layer for layer in layers_of(block) if layer.name in ("attention_output", "output_dense")
    ]
    got = ops.convert_to_numpy(last[0](mixed))
    valid = x["padding_mask"].astype(bool)
    np.testing.assert_allclose(got[valid], found[output][valid], rtol=1e-4, atol=1e-5)
