"""Proof that a file of a student can be loaded again."""

import warnings
from pathlib import Path

import keras
import numpy as np


def warn_if_unloadable(path: Path, student: keras.Model) -> None:
    """Warns when `keras.saving.load_model` cannot make the student of its file again."""
    try:
        again = keras.saving.load_model(path, compile=False)
        pairs = zip(student.weights, again.weights, strict=True)
        same = all(np.array_equal(np.asarray(a.numpy()), np.asarray(b.numpy())) for a, b in pairs)
        why = "" if same else "what is loaded has other weights."
    except Exception as error:  # of whatever kind a layer makes of its own config
        why = " ".join(str(error).split())[:300]
    if why:
        warnings.warn(
            f"'{path}' holds the weights of '{student.name}', and keras.saving.load_model cannot make "
            "the model of it: the model's config leaves out how it was made, as that of KerasHub's "
            "Llama leaves out tie_word_embeddings, or a class is not registered. Make the student as "
            f"it was made now, and load the weights: student.load_weights({str(path)!r}). Keras "
            f"raised: {why}",
            stacklevel=2,
        )
