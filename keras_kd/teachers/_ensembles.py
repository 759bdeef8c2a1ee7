"""Several models as one teacher."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_kd._core.configs import restored
from keras_kd._core.last_activation import EndsLike
from keras_kd._core.models import no_model
from keras_kd._core.registry import formerly, serializable
from keras_kd._core.scalars import positive
from keras_kd._core.tensors import Tensor


class _Members(EndsLike, keras.Model):
    """What models with members share: their list, and how it is saved."""

    def __init__(self, members: Sequence[keras.Model], **kwargs: Any):
        members = list(members)
        for member in members:
            if not isinstance(member, keras.Model):
                raise no_model(member, "members", "a list of keras.Model")
        if not members:
            raise ValueError("`members` must hold at least one model. Received: an empty list.")
        super().__init__(**kwargs)
        self.members = members
        self.built = all(member.built for member in members)

    def build(self, input_shape: Any = None) -> None:
        """Nothing by itself: the members build when they see data."""

    def member_outputs(self, x: Tensor, training: bool | None) -> list[Tensor]:
        """The outputs of each member."""
        return [member(x, training=training) for member in self.members]

    def ends_like(self) -> list[keras.Model]:
        return self.members

    def get_config(self) -> dict[str, Any]:
        members = [keras.saving.serialize_keras_object(member) for member in self.members]
        return {"name": self.name, "members": members}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        return cls(**restored(config))


def _mean(tensors: Sequence[Any]) -> Any:
    return ops.mean(ops.stack(tensors, axis=0), axis=0)


@serializable
class Ensemble(_Members):
    """Several models as one teacher: the mean of their probabilities.

    The output is given as logits, so that softmax, at the ensemble's temperature, gives exactly
    the mean of the members' probabilities:

    `output = T · log( mean_k softmax(z_k / T) )`

    Softened means and means of softened probabilities differ. With `SoftTarget(temperature=4.0)`,
    an ensemble at its default `T = 1` softens the mean; `temperature=4.0` here as well takes the
    mean of the softened probabilities, which is what Hinton et al. do.

    Learning from the mean is not the mean of learning from each: the loss differs from that of one
    term for each teacher, `teacher={"a": t1, "b": t2}`, by how much the members disagree; the
    gradients with respect to the student are equal.

    Args:
        members: List of `keras.Model` that take the same input and return logits (or
            the same structure of logits).
        temperature: `T`, above 0. Defaults to `1.0`.
        **kwargs: As in `keras.Model`.

    Raises:
        TypeError: If a member is not a `keras.Model`.
        ValueError: If there is no member, or `temperature` is not above 0.

    Example:

    >>> sure = keras.Sequential([keras.layers.Rescaling(1.0)])
    >>> unsure = keras.Sequential([keras.layers.Rescaling(0.0)])
    >>> logits = keras_kd.teachers.Ensemble([sure, unsure])(np.array([[np.log(3.0), 0.0]]))
    >>> round(float(keras.ops.softmax(logits)[0, 0]), 4)  # the mean of 3/4 and 1/2
    0.625

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531, section 3.
    """

    def __init__(self, members: Sequence[keras.Model], *, temperature: float = 1.0, **kwargs: Any):
        super().__init__(members, **kwargs)
        self.temperature = positive(temperature, "temperature")

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        return keras.tree.map_structure(
            lambda *z: self._joined(z), *self.member_outputs(x, training)
        )

    def _joined(self, logits: Sequence[Any]) -> Any:
        outputs = [
            ops.log_softmax(ops.cast(z, "float32") / self.temperature, axis=-1) for z in logits
        ]
        total = ops.logsumexp(ops.stack(outputs, axis=0), axis=0)
        return self.temperature * (total - ops.log(float(len(outputs))))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}


@serializable
class LogitEnsemble(_Members):
    """Several models as one teacher: the mean of their logits.

    `output = mean_k z_k`

    Its softmax is the normalized geometric mean of the members' probabilities: a class that one
    member rules out is ruled out. Members with larger logits count for more.

    Args:
        members: List of `keras.Model` that take the same input and return logits (or
            the same structure of logits).
        **kwargs: As in `keras.Model`.

    Raises:
        TypeError: If a member is not a `keras.Model`.
        ValueError: If there is no member.

    Example:

    >>> sure = keras.Sequential([keras.layers.Rescaling(1.0)])
    >>> unsure = keras.Sequential([keras.layers.Rescaling(0.0)])
    >>> logits = keras_kd.teachers.LogitEnsemble([sure, unsure])(np.array([[2.0, 0.0]]))
    >>> float(logits[0, 0])
    1.0

    Reference: Ba, Caruana, "Do Deep Nets Really Need to be Deep?", NIPS 2014, arXiv:1312.6184,
    section 2.
    """

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        return keras.tree.map_structure(lambda *z: _mean(z), *self.member_outputs(x, training))


@formerly("Stacked")
@serializable
class StackedEnsemble(_Members):
    """Several models as one teacher: their outputs side by side, and one more model on top.

    `output = head([z_1, ..., z_K])`

    The head is given as trained, or trained on the labels first: the members are frozen
    (`trainable = False` is set on them), so `stacked.compile(...)` and `stacked.fit(x, y)` train
    the head alone. Then it can be a teacher.

    Args:
        members: List of trained `keras.Model` that take the same input and return one tensor
            each.
        head: `keras.Model` on their outputs, joined along the last axis.
        **kwargs: As in `keras.Model`.

    Raises:
        TypeError: If a member or the head is not a `keras.Model`.
        ValueError: If there is no member.

    Example:

    >>> members = [keras.Sequential([keras.layers.Rescaling(factor)]) for factor in (1.0, 2.0)]
    >>> head = keras.Sequential([keras.layers.Dense(1, kernel_initializer="ones")])
    >>> float(keras_kd.teachers.StackedEnsemble(members, head)(np.array([[1.0, 1.0]]))[0, 0])
    6.0

    Reference: Wolpert, "StackedEnsemble Generalization", Neural Networks 5, 1992.
    """

    def __init__(self, members: Sequence[keras.Model], head: keras.Model, **kwargs: Any):
        super().__init__(members, **kwargs)
        if not isinstance(head, keras.Model):
            raise no_model(head, "head")
        self.head = head
        for member in self.members:
            member.trainable = False
        self.built = self.built and head.built

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        joined = ops.concatenate(self.member_outputs(x, training), axis=-1)
        return self.head(joined, training=training)

    def ends_like(self) -> list[keras.Model]:
        return [self.head]

    def get_config(self) -> dict[str, Any]:
        head = keras.saving.serialize_keras_object(self.head)
        return {**super().get_config(), "head": head}
