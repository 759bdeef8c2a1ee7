"""One model with its inputs or outputs converted."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.configs import restored
from keras_kd._core.last_activation import EndsLikeItsModel
from keras_kd._core.messages import listing
from keras_kd._core.models import no_model
from keras_kd._core.registry import formerly, serializable
from keras_kd._core.tensors import Tensor


class _View(keras.Model):
    """What models around one model share."""

    def __init__(self, model: keras.Model, **kwargs: Any):
        if not isinstance(model, keras.Model):
            raise no_model(model, "model")
        super().__init__(**kwargs)
        self.model = model
        self.built = model.built

    def build(self, input_shape: Any = None) -> None:
        """Nothing by itself: the model inside builds when it sees data."""

    def converted(self, output: Tensor) -> Tensor:
        """One tensor of the model's output, as this view gives it."""
        return output

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        return keras.tree.map_structure(self.converted, self.model(x, training=training))

    def get_config(self) -> dict[str, Any]:
        model = keras.saving.serialize_keras_object(self.model)
        return {"name": self.name, "model": model}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**restored(config))


@formerly("OnInput")
@serializable
class SelectInput(EndsLikeItsModel, _View):
    """A model that sees one part of an input of several: a key of a dict, or a place in a list.

    The batch may hold several views of each example, such as `{"weak": ..., "strong": ...}`; with
    `student=SelectInput(net, "strong")` and `teacher=SelectInput(other, "weak")` each sees its own. So
    does a teacher of another kind of data, from pictures to sounds; a layer that it needs before
    it goes with it: `SelectInput(keras.Sequential([layer, other]), "sound")`.

    Args:
        model: The `keras.Model`.
        key: The key that it sees; of a list or tuple of inputs the place, from 0.
        **kwargs: As in `keras.Model`.

    Raises:
        ValueError: If the input has no such part.

    Example:

    >>> model = keras.Sequential([keras.layers.Rescaling(2.0)])
    >>> views = {"weak": np.array([[1.0]]), "strong": np.array([[5.0]])}
    >>> float(keras_kd.teachers.SelectInput(model, "weak")(views)[0, 0])
    2.0
    """

    def __init__(self, model: keras.Model, key: str | int, **kwargs: Any):
        super().__init__(model, **kwargs)
        if not isinstance(key, (str, int)) or isinstance(key, bool):
            raise TypeError(
                "`key` must be the key of a dict input, such as 'weak', or the place in a list of "
                f"inputs, such as 0. Received: key={key!r}."
            )
        self.key = key

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        if isinstance(x, dict):
            there, came = self.key in x, f"a dict with {listing(map(str, x))}"
        elif isinstance(x, (list, tuple)):
            there = isinstance(self.key, int) and 0 <= self.key < len(x)
            came = f"a list of {len(x)}, which has places from 0 to {len(x) - 1}"
        else:
            there, came = False, "one tensor: feed a dict or a list of inputs"
        if not there:
            raise ValueError(
                f"'{self.name}' sees the input under {self.key!r}, and the input is {came}."
            )
        return self.model(x[self.key], training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "key": self.key}


@serializable
class ClassMap(EndsLikeItsModel, _View):
    """A model whose classes stand in another order, or are more than are wanted.

    Picks logits, so that class `i` of the output is class `classes[i]` of the model. Of a subset,
    the softmax is the model's distribution given that the class is one of them.

    Args:
        model: The `keras.Model`; it returns logits.
        classes: For each class of the student, the model's index of it.
        **kwargs: As in `keras.Model`.

    Raises:
        ValueError: If `classes` is empty or holds anything but indices from 0 on.

    Example:

    >>> model = keras.Sequential([keras.layers.Rescaling(1.0)])
    >>> logits = keras_kd.teachers.ClassMap(model, [2, 0])(np.array([[1.0, 2.0, 3.0]]))
    >>> [float(logit) for logit in logits[0]]
    [3.0, 1.0]
    """

    def __init__(self, model: keras.Model, classes: Sequence[int], **kwargs: Any):
        super().__init__(model, **kwargs)
        self.classes = [int(index) for index in classes]
        if not self.classes or min(self.classes) < 0:
            raise ValueError(
                "`classes` must list the model's index, from 0, of each class of the student. "
                f"Received: classes={classes!r}."
            )

    def converted(self, output: Tensor) -> Tensor:
        if max(self.classes) >= output.shape[-1]:
            raise ValueError(
                f"`classes` of '{self.name}' names class {max(self.classes)}, and "
                f"'{self.model.name}' returns {output.shape[-1]} logits."
            )
        return ops.take(output, np.array(self.classes, "int32"), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@serializable
class FromProbabilities(_View):
    """A model that ends in a softmax, its output converted to logits.

    Losses of this package compare logits. The logarithm of probabilities is as good: its softmax
    is the probabilities again. Probabilities that were rounded to zero count as 1e-30; a model
    whose last activation can be taken off keeps more of what it knows.

    Args:
        model: The `keras.Model`; it returns probabilities that sum to 1.
        **kwargs: As in `keras.Model`.

    Example:

    >>> model = keras.Sequential([keras.layers.Softmax()])
    >>> logits = keras_kd.teachers.FromProbabilities(model)(np.array([[np.log(3.0), 0.0]]))
    >>> round(float(keras.ops.softmax(logits)[0, 0]), 4)
    0.75
    """

    def converted(self, output: Tensor) -> Tensor:
        return ops.log(ops.maximum(ops.cast(output, "float32"), 1e-30))


@serializable
class FromBinaryProbabilities(_View):
    """A model that ends in a sigmoid, its output converted to logits.

    `logit = log p - log (1 - p)`

    Probabilities that were rounded to 0 or 1 give logits of ±16 at most; a model whose last
    activation can be taken off keeps more of what it knows.

    Args:
        model: The `keras.Model`; each of its outputs is a probability.
        **kwargs: As in `keras.Model`.

    Example:

    >>> model = keras.Sequential([keras.layers.Activation("sigmoid")])
    >>> logits = keras_kd.teachers.FromBinaryProbabilities(model)(np.array([[2.0]]))
    >>> round(float(logits[0, 0]), 4)
    2.0
    """

    def converted(self, output: Tensor) -> Tensor:
        p = ops.clip(ops.cast(output, "float32"), 1.2e-7, 1.0 - 1.2e-7)
        return ops.log(p) - ops.log1p(-p)
