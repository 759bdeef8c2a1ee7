"""What Keras's own `compile` and `fit` need from a model: losses, metrics and logs."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_kd._checks._arguments import check_known, check_label_losses
from keras_kd._compiled._auto import loss_of, metrics_of, optimizer_of
from keras_kd._compiled._label_assignment import apply
from keras_kd._compiled._label_values import label_checks
from keras_kd._compiled._losses import check_losses, leaves
from keras_kd._compiled._metrics import check_metric_names, on_labelled_rows, warn_of_metrics
from keras_kd._compiled._signal_metrics import parted, path_of
from keras_kd._core.addresses import LABELS, OUTPUT, parse
from keras_kd._core.configs import whole_configs
from keras_kd._core.keras_private import compiled_loss, compiled_metrics, track_loss
from keras_kd._core.messages import listing
from keras_kd._core.tensors import Tensor
from keras_kd._participants import check_frozen, check_roles, check_shared, warn_of_precision
from keras_kd._trainers._epoch_means import SumOfMeans
from keras_kd.terms import Labels

if TYPE_CHECKING:  # the other half is a keras.Model with the distiller's methods
    from keras import Model as Base
else:
    Base = object


class Compiling(Base):
    """`compile`, the metrics it is given, and what stands in the logs."""

    _known_signals: set[str]

    @property
    def output_names(self) -> list[str]:
        """The student's output names, so that `compile` takes losses by name."""
        if len(self.students) > 1:
            raise AttributeError("output_names")
        return self.student.output_names

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`; `loss` is what the `Labels` terms apply.

        `"auto"` may stand for each, as in models of KerasHub: `loss="auto"` is the cross-entropy
        with integer labels; `optimizer="auto"`, `metrics="auto"` and `weighted_metrics="auto"` are
        new ones like those that the student itself was compiled with. Models of KerasHub are
        compiled from the beginning, causal ones with `Adam(2e-5)` and the accuracy: a rate for
        pretrained weights, small for others.

        With several students, `metrics` and `weighted_metrics` may be dicts by role; a list is
        given to each of them.
        """
        self._check_devices("compile")
        self._check_unchanged()
        check_known(kwargs, "compile()")
        warn_of_precision(self.students)
        labels = [term for term in self.terms if isinstance(term, Labels)]
        loss = loss_of(loss, self.students, bool(labels))
        optimizer = optimizer_of(optimizer, self.students)
        metrics, weighted_metrics = metrics_of(metrics, weighted_metrics, self.students)
        check_label_losses(leaves(loss))
        check_shared(self.students, self.teachers)  # a layer may have been unfrozen since
        check_frozen(self.teachers)
        if labels and loss is None:
            raise ValueError(
                f"Term '{labels[0].name}' applies the loss given to compile(), and none was given. "
                "Pass for example loss=keras.losses.SparseCategoricalCrossentropy("
                "from_logits=True), or leave Labels out of the terms."
            )
        if loss is not None and not labels:
            raise ValueError(
                f"compile() was given loss={loss!r}, but no Labels is among the terms "
                f"({listing(self.term_names)}), so nothing would apply it. Add keras_kd.Labels() "
                "to the terms, or leave out `loss`."
            )
        applied = check_losses(self.terms, self.students, loss)
        self._label_checks = label_checks(applied, self.terms, self.students)
        check_metric_names(metrics, weighted_metrics)
        metrics = self._for_each_student(metrics)
        weighted_metrics = self._for_each_student(weighted_metrics)
        given = {"metrics": metrics, "weighted_metrics": weighted_metrics}
        bound, (metrics, weighted_metrics) = parted(given, self._output_at)
        for one in bound:
            check_roles((one.target, one.pred), one.described, self.students, self.teachers)
        for judging in (metrics, weighted_metrics):
            warn_of_metrics(self.students, applied, self.terms, judging)
        super().compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=on_labelled_rows(self.students, applied, metrics),
            weighted_metrics=on_labelled_rows(self.students, applied, weighted_metrics),
            **kwargs,
        )
        self._count_positions()
        track_loss(self, SumOfMeans(len(self.terms) + 1))
        apply(self.terms, self.students, loss, loss_weights, compiled_loss(self))
        self._signal_metrics.use(bound, given)
        self._given_loss = (loss,)  # in a tuple: Keras would wrap a dict or a list
        self._taps.update(self._make_taps())
        self._learners_checked, self._known_signals = False, set()
        self._note_trainable()

    def _for_each_student(self, metrics: Any) -> Any:
        if metrics is None or len(self.students) == 1 or isinstance(metrics, dict):
            return metrics
        config = keras.saving.serialize_keras_object(metrics)
        return {role: keras.saving.deserialize_keras_object(config) for role in self.students}

    def _output_at(self, keys: tuple[Any, ...]) -> str:
        """The address of the output that `compile` knows by these keys."""
        role = next(iter(self.students))
        if len(self.students) > 1:
            role, keys = keys[0], keys[1:]
            if role not in self.students:
                raise ValueError(
                    f"`metrics` names the student {role!r}, and there is none. Expected one of "
                    f"{listing(self.students)}."
                )
        return f"{role}:{path_of(self.students[role], keys)}"

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        if not config:
            return config
        loss, metrics = self._given_loss[0], self._signal_metrics.given
        metrics = keras.saving.serialize_keras_object(metrics)
        return {**config, **metrics, "loss": whole_configs(loss)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Tensor = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """The labels' part alone; Keras calls it to build the compiled loss."""
        total = ops.zeros(())
        for term in self.terms:
            if isinstance(term, Labels) and y is not None:
                role, path = parse(term.pred)
                if path == OUTPUT:
                    pred = y_pred[role] if len(self.students) > 1 else y_pred
                    total += term({LABELS: y, term.pred: pred}, step=0, sample_weight=sample_weight)
        return total

    def compute_metrics(
        self, x: Tensor, y: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> dict[str, Any]:
        """The logs; compiled metrics are left out of a batch without labels."""
        compiled = compiled_metrics(self)
        if y is None:
            return self._results(m for m in self.metrics if m is not compiled)
        if len(self.students) > 1:
            y = dict.fromkeys(self.students, y)
        if compiled is not None and not compiled.built:
            with self._making_variables():
                compiled.build(y, y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        unbuilt = [m for m in (compiled_metrics(self),) if m is not None and not m.built]
        return self._results(m for m in self.metrics if m not in unbuilt)

    def _results(self, metrics: Iterable[keras.metrics.Metric]) -> dict[str, Any]:
        logs: dict[str, Any] = {}
        for metric in metrics:
            if metric is not self._value_check or self._value_check.skip:
                result = metric.result()
                logs.update(result if isinstance(result, dict) else {metric.name: result})
        return logs

    @property
    def metrics_names(self) -> list[str]:
        """The names in the logs, in the order of the list that `evaluate` returns."""
        return list(self.get_metrics_result())
