"""The vocabulary and the settings beside a file."""

import json

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd.exporting._text import check_text, write_text
from tests.exporting.conftest import needs

TOKENS = {"tokens": np.zeros((2, 6), "int32")}


def layer(**kwargs):
    vectorize = keras.layers.TextVectorization(**{"output_sequence_length": 6, **kwargs})
    vectorize.adapt(["one two two", "two three three three three"])
    return vectorize


@needs("tensorflow")
def test_a_layer_can_be_made_again_from_what_is_written(tmp_path):
    write_text(check_text(layer(ngrams=2), TOKENS), tmp_path / "student.tflite")
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["student.text.json", "student.words.txt"]
    again = kd.data.Text.load(tmp_path / "student.tflite")
    text = ["two three, unknown ONE!"]
    np.testing.assert_array_equal(again(text), keras.ops.convert_to_numpy(layer(ngrams=2)(text)))


@needs("tensorflow")
def test_what_cannot_be_written():
    import tensorflow as tf

    with pytest.raises(ValueError, match=r"gives rows of 5 numbers; .* shapes \(6,\)"):
        check_text(layer(output_sequence_length=5), TOKENS)
    with pytest.raises(ValueError, match=r"has no vocabulary yet. Adapt it first"):
        check_text(keras.layers.TextVectorization(output_sequence_length=6), TOKENS)
    with pytest.raises(ValueError, match=r"a function of your own as `standardize`"):
        check_text(layer(standardize=tf.strings.lower), TOKENS)
    with pytest.raises(ValueError, match=r"must give rows of one length"):
        check_text(layer(output_mode="multi_hot", output_sequence_length=None), TOKENS)


def test_settings_of_another_tokenizer(tmp_path):
    mine = {"vocabulary": ["<pad>", "é"], "split": "bytes"}
    write_text(check_text(mine, TOKENS), tmp_path / "student.tflite")
    assert json.loads((tmp_path / "student.text.json").read_text("utf-8")) == mine
    with pytest.raises(ValueError, match=r"settings that JSON cannot hold"):
        check_text({**mine, "split": str.split}, TOKENS)
    with pytest.raises(TypeError, match=r"`text` must be a keras_kd.data.Text, .* 'words'"):
        check_text("words", TOKENS)
