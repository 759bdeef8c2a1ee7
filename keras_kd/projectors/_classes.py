"""Classes: the projector that picks some of a model's logits."""

import collections
import reprlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor


@serializable
class Classes(keras.layers.Layer):
    """Some of the classes of a model's logits, in the order in which the other side has them.

    For a teacher that knows some of the student's classes only, knows them in another order, or
    has no logits for the padding at the end of a vocabulary: of the student's logits, those of the
    teacher's classes are compared, and no others.

    `output_i = logits[classes[i]]`

    A softmax over these is the student's distribution given that the class is one of them. So the
    term compares how the teacher's classes share their probability, and not how much of it the
    other classes have: their logits get no gradient from it. The labels (`keras_kd.Labels`) train
    them.

    As `target_projector` it picks from the teacher's logits, where the teacher has more classes:
    what `keras_kd.teachers.ClassMap` does for a live teacher, for outputs that come with the
    batch. It has no weights.

    Shapes: logits `(batch, ..., n)` -> `(batch, ..., len(classes))`.

    Args:
        classes: For each class of the other side, the index of it among these logits; each index
            once. A `range` will do.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If `classes` is empty, names a class twice, or holds anything but indices from
            0 on; when it is built, if an index is beyond the logits.

    Example:

    >>> student = np.array([[1.0, 5.0, 3.0]])  # cat, dog, cow
    >>> [float(z) for z in keras_kd.projectors.Classes([2, 0])(student)[0]]  # cow, cat
    [3.0, 1.0]

    In a term:

    >>> known = keras_kd.projectors.Classes([2, 0])
    >>> term = keras_kd.Term(keras_kd.losses.SoftTarget(4.0), projector=known)
    """

    keeps_logits = True

    def __init__(self, classes: Iterable[int], **kwargs: Any):
        kwargs.setdefault("autocast", False)  # logits stay as precise as they come
        super().__init__(**kwargs)
        given = list(classes)
        whole = all(isinstance(index, (int, np.integer)) for index in given)
        if not given or not whole or min(given) < 0:
            raise ValueError(
                "`classes` must list, for each class of the other side, its index from 0 among "
                f"these logits. Received: classes={reprlib.repr(given)}."
            )
        self.classes = [int(index) for index in given]
        for index, times in collections.Counter(self.classes).items():
            if times > 1:
                raise ValueError(
                    f"`classes` names class {index} {times} times, and only one class of the "
                    f"other side can be that one. Received: classes={reprlib.repr(given)}."
                )
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        count = input_shape[-1]
        if count is not None and max(self.classes) >= count:
            raise ValueError(
                f"`classes` of '{self.name}' names class {max(self.classes)}, and there are "
                f"{count} logits: indices from 0 to {count - 1}."
            )

    def call(self, logits: Tensor) -> Tensor:
        first, last = self.classes[0], self.classes[-1]
        if self.classes == list(range(first, last + 1)):
            return logits[..., first : last + 1]  # of a long row, no index for each
        return ops.take(logits, ops.convert_to_tensor(self.classes, dtype="int32"), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}
