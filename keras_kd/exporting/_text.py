"""What turns text into a student's numbers, written beside its file: no device file has strings."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from keras_kd.data import Text
from keras_kd.exporting._signature import Arrays


def check_text(text: Any, inputs: Arrays) -> Any:
    """`text` in the form that `write_text` takes; an error when it does not fit the student."""
    if isinstance(text, keras.layers.TextVectorization):
        text = _of_layer(text)
    if isinstance(text, Text):
        taken = sorted({x.shape[1:] for x in inputs.values()})
        if (text.length,) not in taken:
            raise ValueError(
                f"`text` gives rows of {text.length} numbers; the student takes inputs of the "
                f"shapes {', '.join(map(str, taken))}."
            )
    elif isinstance(text, Mapping) and "vocabulary" in text:
        try:
            json.dumps(text)
        except TypeError as error:
            raise ValueError(
                f"`text` has settings that JSON cannot hold: {error}. Describe them in words."
            ) from error
    else:
        raise TypeError(
            "`text` must be a keras_kd.data.Text, an adapted keras.layers.TextVectorization, or a "
            f"dict with the 'vocabulary' and the settings. Received: {text!r} of type "
            f"{type(text).__name__}."
        )
    return text


def write_text(text: Any, path: Path) -> None:
    """The vocabulary and the settings, beside the file at `path`."""
    if isinstance(text, Text):
        text.save(path)
    else:
        content = json.dumps(dict(text), indent=1, ensure_ascii=False) + "\n"
        path.with_suffix(".text.json").write_text(content, encoding="utf-8")


def _of_layer(layer: keras.layers.TextVectorization) -> Text:
    config = layer.get_config()
    words = [str(word) for word in layer.get_vocabulary()]
    if not words[2:]:
        raise ValueError("`text` has no vocabulary yet. Adapt it first: text.adapt(texts).")
    if config["output_mode"] != "int" or config["output_sequence_length"] is None:
        raise ValueError(
            "`text` must give rows of one length: TextVectorization(output_mode='int', "
            "output_sequence_length=...)."
        )
    for name in ("standardize", "split"):
        if config[name] is not None and not isinstance(config[name], str):
            raise ValueError(
                f"`text` has a function of your own as `{name}`, which no file can hold. Give "
                "`text` as a dict: the 'vocabulary' and, in words, the settings."
            )
    return Text(
        words[2:],  # after those for padding and for unknown words
        length=config["output_sequence_length"],
        standardize=config["standardize"],
        split=config["split"],
        ngrams=config["ngrams"],
    )
