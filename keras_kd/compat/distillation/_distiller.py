"""`Distiller(teacher, student, distillation_losses, ...)`, as a `keras_kd.Distiller`."""

import warnings
from typing import Any

import keras

import keras_kd.distiller
from keras_kd._core.last_activation import ending
from keras_kd._core.scalars import is_number
from keras_kd.compat.distillation._losses import DistillationLoss, LogitsDistillation, registered
from keras_kd.terms import Labels

#: Losses of probabilities by name, and the class that reads logits.
_ON_PROBABILITIES = {
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
}


@registered
class Distiller(keras_kd.distiller.Distiller):
    """Trains a student from a teacher, by the constructor of `keras.distillation.Distiller`.

    `total = s · student_loss + (1 - s) · Σ_i weight_i · distillation_loss_i`

    It is a `keras_kd.Distiller` with these terms, and has all that one has: one pass of the student
    in a step, a teacher whose state never moves, sample weights that count in every term, an
    `evaluate` that moves nothing, one device's loss under `MirroredStrategy`. The logs hold
    `student_loss`, `distillation_loss` and `total_loss`, and each term by its name.

    A loss of `compile` by name, such as `"sparse_categorical_crossentropy"`, reads logits where the
    student gives logits, with a warning.

    Args:
        teacher: A trained `keras.Model`; `trainable = False` is set on it.
        student: The `keras.Model` to train.
        distillation_losses: A `LogitsDistillation`, a `FeatureDistillation`, a `DistillationLoss`
            of your own, or a list of them.
        distillation_loss_weights: A weight for each loss in a list. Defaults to 1 for each.
        student_loss_weight: The share `s` of the labels, in `[0, 1]`. Defaults to `0.5`.
        name: Name of the model. Defaults to `"distiller"`.
        **kwargs: As in `keras_kd.Distiller`.

    Raises:
        ValueError: If a model is none, a weight is out of its bounds, a layer does not exist, or
            two sides differ in shape.

    Example:

    >>> from keras_kd.compat.distillation import Distiller, LogitsDistillation
    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> distiller = Distiller(teacher, student, LogitsDistillation(temperature=3.0))
    >>> distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> history = distiller.fit(np.ones((8, 4)), np.zeros(8, "int32"), verbose=0)
    >>> [name for name in sorted(history.history) if name.endswith("_loss")]
    ['distillation_loss', 'student_loss', 'total_loss']

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return super().__new__(cls, **kwargs)  # by place too, as the other Distiller has it

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        distillation_losses: Any,
        distillation_loss_weights: Any = None,
        student_loss_weight: float = 0.5,
        name: str = "distiller",
        **kwargs: Any,
    ):
        for argument, model in (("teacher", teacher), ("student", student)):
            if not isinstance(model, keras.Model):
                raise ValueError(
                    f"`{argument}` must be a keras.Model. Received: {model!r} of type "
                    f"{type(model).__name__}."
                )
        share = student_loss_weight
        if not is_number(share) or not 0.0 <= share <= 1.0:
            raise ValueError(f"student_loss_weight must be in [0, 1]. Received: {share!r}.")
        losses = _listed(distillation_losses)
        weights = [1.0] * len(losses)
        if isinstance(distillation_losses, (list, tuple)) and distillation_loss_weights is not None:
            weights = list(distillation_loss_weights)
        if len(weights) != len(losses):
            raise ValueError(
                "distillation_loss_weights must be as many as distillation_losses. Received: "
                f"{len(weights)} weights for {len(losses)} losses."
            )
        for loss in losses:
            loss.validate_model_compatibility(teacher, student)
        terms: list[Any] = [Labels(share, name="student_loss")] if share > 0.0 else []
        for loss, weight in zip(losses, weights, strict=True):
            terms += loss.terms((1.0 - share) * weight)
        super().__init__(student=student, teacher=teacher, terms=terms, name=name, **kwargs)
        self._of_losses = (losses, weights)  # in a tuple: Keras would wrap lists
        self.student_loss_weight = share
        self._loss_of_student: Any = (None,)

    @property
    def distillation_losses(self) -> list[DistillationLoss]:
        """The losses, as they were given."""
        return list(self._of_losses[0])

    @property
    def distillation_loss_weights(self) -> list[float]:
        """The weights of the losses."""
        return list(self._of_losses[1])

    def compile(  # type: ignore[override]
        self, optimizer: Any = "adam", loss: Any = None, metrics: Any = None, **kwargs: Any
    ) -> None:
        """As `keras.distillation.Distiller.compile`; other arguments as in `keras.Model.compile`."""
        if loss is None:
            raise ValueError(
                "compile() needs `loss`, what the labels are learned by, for example "
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True)."
            )
        if metrics is not None and not isinstance(metrics, (list, tuple, dict)):
            raise ValueError(f"`metrics` must be a list. Received: {metrics!r}.")
        self._loss_of_student = (loss,)
        used = self._reading_logits(loss) if self.student_loss_weight > 0.0 else None
        super().compile(optimizer=optimizer, loss=used, metrics=metrics, **kwargs)

    def _reading_logits(self, loss: Any) -> Any:
        """A loss of probabilities by its name, made one of logits where the student gives these."""
        if isinstance(loss, (list, tuple)):
            return [self._reading_logits(one) for one in loss]
        if isinstance(loss, dict):
            return {key: self._reading_logits(one) for key, one in loss.items()}
        if not isinstance(loss, str) or loss not in _ON_PROBABILITIES:
            return loss
        softened = any(isinstance(one, LogitsDistillation) for one in self._of_losses[0])
        end = ending(self.student)
        if end != "linear" and not (end is None and softened):
            return loss
        made = _ON_PROBABILITIES[loss]
        warnings.warn(
            f"loss={loss!r} reads probabilities, and the student gives logits: "
            f"keras.losses.{made.__name__}(from_logits=True) is used. Write that.",
            stacklevel=3,
        )
        return made(from_logits=True)

    def compute_metrics(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The logs of a step."""
        return self._with_sums(super().compute_metrics(*args, **kwargs))

    def get_metrics_result(self) -> dict[str, Any]:
        """The logs so far."""
        return self._with_sums(super().get_metrics_result())

    def _with_sums(self, logs: dict[str, Any]) -> dict[str, Any]:
        if "total_loss" in logs or "loss" not in logs:
            return logs
        share = self.student_loss_weight
        distilled = [
            (term.weight, logs[name])
            for name, term in zip(self.term_names, self.terms, strict=True)
            if not isinstance(term, Labels) and name in logs
        ]
        total: Any = 0.0
        if share < 1.0:
            total = sum(weight / (1.0 - share) * value for weight, value in distilled)
        sums = {"distillation_loss": total, "total_loss": logs["loss"]}
        if share == 0.0:
            sums["student_loss"] = 0.0 * logs["loss"]
        return {**logs, **sums}

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        if config:
            config["loss"] = keras.saving.serialize_keras_object(self._loss_of_student[0])
        return config

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        config = super().get_config()
        return {
            "name": self.name, "student": config["student"], "teacher": config["teacher"],
            "distillation_losses": [serialize(loss) for loss in self._of_losses[0]],
            "distillation_loss_weights": list(self._of_losses[1]),
            "student_loss_weight": self.student_loss_weight,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Distiller":
        restore = keras.saving.deserialize_keras_object
        losses = [restore(loss, custom_objects) for loss in config["distillation_losses"]]
        models = {role: restore(config[role], custom_objects) for role in ("teacher", "student")}
        return cls(**{**config, **models, "distillation_losses": losses})


def _listed(losses: Any) -> list[DistillationLoss]:
    listed = list(losses) if isinstance(losses, (list, tuple)) else [losses]
    for loss in listed:
        if not isinstance(loss, DistillationLoss):
            raise ValueError(
                "`distillation_losses` must be of keras_kd.compat.distillation, such as "
                f"LogitsDistillation(temperature=3.0), or a list of such. Received: {loss!r}."
            )
    return listed
