"""Images without labels, as they are given to learn from."""

from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import see

LEAST = 32


def rows_of(images: Any) -> int:
    """How many examples the arrays hold."""
    return len(keras.tree.flatten(images)[0])


def checked(images: Any, model: keras.Model) -> Any:
    """The images as arrays, proved to be inputs of the model, and no labels among them."""
    wanted = keras.tree.flatten(model.inputs)
    if isinstance(images, tuple) and len(images) == 2 and len(wanted) == 1:
        raise ValueError(
            "recover() learns without labels. Received a tuple of two, as of images and labels: "
            "give the images alone, recover(model, x)." + see("recover")
        )
    given = keras.tree.flatten(images)
    if not all(hasattr(x, "shape") and hasattr(x, "dtype") for x in given):
        raise TypeError(
            "`images` must be an array, (examples, ...), or one for each input of the model. "
            f"Received: {type(images).__name__}. Of a data set give the arrays, such as x_train."
        )
    arrays = [np.asarray(x) for x in given]
    shapes = [tuple(x.shape) for x in arrays]
    fit = len(arrays) == len(wanted) and all(
        len(a) == len(w.shape)
        and all(size in (None, own) for own, size in zip(a[1:], w.shape[1:], strict=True))
        for a, w in zip(shapes, wanted, strict=False)
    )
    if not fit:
        raise ValueError(
            f"`images` do not fit the inputs of '{model.name}': "
            f"{_shapes(w.shape for w in wanted)}. Received: {_shapes(shapes)}. (They come without "
            "labels.)"
        )
    rows = {len(x) for x in arrays}
    if len(rows) > 1 or min(rows) < LEAST:
        raise ValueError(
            f"recover() needs {LEAST} images or more, as many for each input; a few hundred are "
            f"better. Received: {_shapes(shapes)}." + see("recover")
        )
    for x in arrays:
        if not np.isfinite(x).all():
            raise ValueError("`images` hold NaN or infinite numbers. Take these examples out.")
    if all((x == x[:1]).all() for x in arrays):
        raise ValueError(
            "All `images` are alike, so they tell nothing of what the model's layers do. Give "
            "images of the kind that the model will see." + see("recover")
        )
    return keras.tree.pack_sequence_as(images, arrays)


def _shapes(shapes: Any) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes)
