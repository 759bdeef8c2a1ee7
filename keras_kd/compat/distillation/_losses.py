"""What the student learns from the teacher, as the constructors of `keras.distillation` say it."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from keras_kd._core.messages import snake_case
from keras_kd._core.scalars import is_number
from keras_kd._core.tensors import Tensor
from keras_kd.losses import Loss, SoftTarget
from keras_kd.terms import Term

registered = keras.saving.register_keras_serializable("keras_kd.compat.distillation")
_KL = ("kl_divergence", "kldivergence", "kullback_leibler_divergence", "kld", "kl")
_CROSSENTROPY = ("categorical_crossentropy", "categoricalcrossentropy")


class DistillationLoss:
    """What a distiller compares: the base of losses of your own.

    `compute_loss(teacher_outputs, student_outputs)` returns a scalar. (A scalar has no examples: a
    `sample_weight` scales it by its mean. A `keras.losses.Loss` in a `keras_kd.Term` weights each.)
    """

    teacher_layer_name: str | None = None
    student_layer_name: str | None = None

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        """The loss of a batch, a scalar."""
        raise NotImplementedError(
            f"{type(self).__name__} must define compute_loss(teacher_outputs, student_outputs)."
        )

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        """Raises a ValueError for outputs that differ in structure."""
        keras.tree.assert_same_structure(teacher_outputs, student_outputs)

    def validate_model_compatibility(self, teacher: keras.Model, student: keras.Model) -> None:
        """Raises a ValueError for models that this loss is not for."""

    def terms(self, weight: float) -> list[Term]:
        """The terms of a `keras_kd.Distiller` that compute this loss, times `weight`."""
        return [self._term(_Whole(self), weight, ())]

    def _term(self, loss: keras.losses.Loss, weight: float, path: tuple[str, ...]) -> Term:
        ends = [self.teacher_layer_name or "output", self.student_layer_name or "output"]
        target, pred = ("/".join((end, *path)) for end in ends)
        return Term(
            loss, pred=f"student:{pred}", target=f"teacher:{target}", weight=weight,
            name=snake_case(type(self).__name__),
        )  # fmt: skip


class _OfLosses(DistillationLoss):
    """One Keras loss, or a structure of them like that of the outputs, with `None` to skip one."""

    def __init__(self, loss: Any):
        self.loss = _each(_checked, loss)
        if not any(True for _ in _leaves(self.loss)):
            raise ValueError(
                f"`loss` of {type(self).__name__} must hold at least one loss. Received: {loss!r}."
            )

    def _applied(self, loss: Any) -> keras.losses.Loss:
        """A loss of teacher and student, one value for each example."""
        raise NotImplementedError

    def terms(self, weight: float) -> list[Term]:
        return [self._term(self._applied(loss), weight, path) for path, loss in _leaves(self.loss)]

    def validate_outputs(self, teacher_outputs: Any, student_outputs: Any) -> None:
        super().validate_outputs(teacher_outputs, student_outputs)
        for path, _ in _leaves(self.loss):
            try:
                _at(teacher_outputs, path)
            except (KeyError, IndexError, TypeError) as error:
                raise ValueError(
                    f"`loss` has a loss at {'/'.join(path)!r}, and there is no such output."
                ) from error

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs: Any) -> Any:
        total: Any = 0.0
        for path, loss in _leaves(self.loss):
            target, pred = (_at(side, path) for side in (teacher_outputs, student_outputs))
            total += ops.mean(self._applied(loss)(target, pred))
        return total

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"loss": _each(_serialized, self.loss)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A loss made of `get_config()`."""
        return cls(**{**config, "loss": _restored(config["loss"])})


@registered
class LogitsDistillation(_OfLosses):
    """The student's softened answer against the teacher's.

    With the default loss, the divergence that the founding paper means, of whatever way it is
    named, for `p = softmax(teacher / T)` and `q = softmax(student / T)`:

    `T² · Σ_c p_c · (log p_c - log q_c)`

    `"categorical_crossentropy"` is `T² · -Σ_c p_c · log q_c`: the same gradient. Any other loss
    compares the logits divided by `T`. Both models must end in logits.

    Args:
        temperature: Softening `T`, above 0. Defaults to `3.0`.
        loss: Name of a Keras loss, a loss, or a list or dict of them for models of several outputs,
            with `None` where an output is not compared. Defaults to `"kl_divergence"`.

    Raises:
        ValueError: If `temperature` is not above 0, or no loss is given.

    Example:

    >>> loss = keras_kd.compat.distillation.LogitsDistillation(temperature=1.0)
    >>> round(float(loss.compute_loss(np.array([[2.0, 0.0]]), np.array([[0.0, 0.0]]))), 4)
    0.3278

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531, section 2.
    """

    def __init__(self, temperature: float = 3.0, loss: Any = "kl_divergence"):
        if not is_number(temperature) or not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be a number above 0. Received: {temperature!r}.")
        self.temperature = temperature
        super().__init__(loss)

    def _applied(self, loss: Any) -> keras.losses.Loss:
        if _name(loss) in _KL:
            return SoftTarget(self.temperature)
        if _name(loss) in _CROSSENTROPY:
            return _SoftCrossEntropy(self.temperature)
        return _Applied(loss, self.temperature)

    def get_config(self) -> dict[str, Any]:
        return {"temperature": self.temperature, **super().get_config()}


@registered
class FeatureDistillation(_OfLosses):
    """A layer of the student against a layer of the teacher.

    Layers are named as in `keras_kd`: `"conv4"`, and within a model inside the model
    `"backbone/conv4"`, in subclassed models too. The student runs once in a step, and in `evaluate`
    in inference mode.

    Args:
        loss: As in `LogitsDistillation`. Defaults to `"mse"`.
        teacher_layer_name: The teacher's layer. Defaults to its output.
        student_layer_name: The student's layer. Defaults to its output.

    Raises:
        ValueError: If no loss is given; by the `Distiller`, if a layer does not exist or the two
            differ in shape.

    Example:

    >>> loss = keras_kd.compat.distillation.FeatureDistillation()
    >>> float(loss.compute_loss(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])))
    2.0
    """

    def __init__(
        self,
        loss: Any = "mse",
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
    ):
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name
        super().__init__(loss)

    def _applied(self, loss: Any) -> keras.losses.Loss:
        return _Applied(loss, 1.0)

    def get_config(self) -> dict[str, Any]:
        names = {n: getattr(self, n) for n in ("teacher_layer_name", "student_layer_name")}
        return {**super().get_config(), **names}


@registered
class _SoftCrossEntropy(Loss):
    """Cross-entropy of softened logits with the softened answer of the teacher, times T²."""

    on_logits = True
    among_classes = True

    def __init__(self, temperature: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.temperature = temperature

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        target = ops.softmax(y_true / self.temperature, axis=-1)
        log_pred = ops.log_softmax(y_pred / self.temperature, axis=-1)
        return -(self.temperature**2) * ops.sum(target * log_pred, axis=-1)


@registered
class _Applied(Loss):
    """A Keras loss of both sides, each divided by a temperature."""

    def __init__(self, loss: Any, temperature: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.loss, self.temperature = _checked(loss), temperature

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        function: Callable[..., Any] = getattr(self.loss, "call", self.loss)
        return function(y_true / self.temperature, y_pred / self.temperature)

    def get_config(self) -> dict[str, Any]:
        own = {"loss": _serialized(self.loss), "temperature": self.temperature}
        return {"name": self.name, "reduction": self.reduction, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "_Applied":
        return cls(**{**config, "loss": _restored(config["loss"])})


@registered
class _Whole(Loss):
    """A `DistillationLoss` of someone's own: a scalar, the same for each example."""

    same_shape = False
    relational = True

    def __init__(self, distillation: DistillationLoss, **kwargs: Any):
        super().__init__(**kwargs)
        self.distillation = distillation

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        self.distillation.validate_outputs(y_true, y_pred)
        value = self.distillation.compute_loss(y_true, y_pred)
        if len(getattr(value, "shape", ())):
            raise ValueError(
                f"compute_loss of {type(self.distillation).__name__} must return a scalar. "
                f"Received: shape {tuple(value.shape)}."
            )
        return ops.broadcast_to(ops.cast(value, self.dtype), ops.shape(y_pred)[:1])

    def get_config(self) -> dict[str, Any]:
        held = keras.saving.serialize_keras_object(self.distillation)
        return {"name": self.name, "reduction": self.reduction, "distillation": held}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "_Whole":
        held = keras.saving.deserialize_keras_object(config["distillation"])
        return cls(**{**config, "distillation": held})


def _checked(loss: Any) -> Any:
    """A loss by name, or as it is."""
    return keras.losses.get(loss) if isinstance(loss, str) else loss


def _name(loss: Any) -> str:
    name = getattr(loss, "__name__", type(loss).__name__)
    return name.lower()


def _leaves(losses: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each loss of a structure with its place in it; `None` is none."""
    if isinstance(losses, (list, tuple, dict)):
        items = losses.items() if isinstance(losses, dict) else enumerate(losses)
        for key, inner in items:
            yield from _leaves(inner, (*path, str(key)))
    elif losses is not None:
        yield path, losses


def _at(outputs: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        outputs = outputs[key] if isinstance(outputs, dict) else outputs[int(key)]
    return outputs


def _serialized(loss: Any) -> Any:
    return keras.saving.serialize_keras_object(loss)


def _restored(config: Any) -> Any:
    if isinstance(config, dict) and "class_name" in config:
        return keras.saving.deserialize_keras_object(config)
    if isinstance(config, dict):
        return {key: _restored(inner) for key, inner in config.items()}
    return [_restored(inner) for inner in config] if isinstance(config, list) else config


def _each(change: Callable[[Any], Any], losses: Any) -> Any:
    """The structure with each loss changed; `None` stays."""
    if isinstance(losses, dict):
        return {key: _each(change, inner) for key, inner in losses.items()}
    if isinstance(losses, (list, tuple)):
        return [_each(change, inner) for inner in losses]
    return None if losses is None else change(losses)
