"""The Distiller: a Keras model with students, teachers and a list of terms."""

import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_kd._checks import _values
from keras_kd._checks._arguments import (
    check_known,
    check_label_losses,
    check_named,
    check_roles_of_default,
)
from keras_kd._checks._batch import (
    absent,
    cannot_run,
    check_batched,
    check_read,
    check_some,
    fits,
    no_batches,
    split,
)
from keras_kd._checks._changes import Changes
from keras_kd._checks._logits import logits_among, looked_at
from keras_kd._compiled._absent_teacher import warn_of_absent
from keras_kd._compiled._label_assignment import apply, own
from keras_kd._compiled._label_values import Check, label_checks
from keras_kd._compiled._label_values import faults as label_faults
from keras_kd._compiled._losses import check_losses, leaves
from keras_kd._compiled._metrics import on_labelled_rows, warn_of_metrics
from keras_kd._compiled._outputs import name_answers
from keras_kd._core.addresses import IDS, LABELS, OUTPUT, parse
from keras_kd._core.configs import restored, whole_configs
from keras_kd._core.keras_private import (
    added_loss,
    compiled_loss,
    compiled_metrics,
    layers_of,
    track_loss,
    unframed,
)
from keras_kd._core.messages import listing, text_of
from keras_kd._core.registry import export
from keras_kd._core.scalars import at
from keras_kd._fit_methods import Fitting
from keras_kd._padding import mark_padding
from keras_kd._participants import (
    Participants,
    as_given,
    as_list,
    by_role,
    check_learners,
    check_participants,
    check_roles,
    check_shared,
    check_still,
    check_terms,
    followers,
    freeze,
    only,
    policy,
)
from keras_kd._saving import Saving, uncompiled
from keras_kd._trainers import BackendStep
from keras_kd._trainers._base import Outcome, batch_size
from keras_kd._trainers._epoch_means import SumOfMeans
from keras_kd.metrics._signal_metrics import SignalMetrics, parted, path_of
from keras_kd.recipes import hinton
from keras_kd.taps import Signals, Tap, input_of, lengths_unknown, on_zeros, reason, symbolic
from keras_kd.teachers._last_activation import check_logits
from keras_kd.terms import Labels, Term


@export
class Distiller(BackendStep, Fitting, Saving, Changes, keras.Model):
    """Trains a student from a teacher with `compile`, `fit` and `evaluate`.

    A distiller has students, teachers and terms. One pass of each model gives signals; each term
    compares two of them; the loss is the weighted sum of the terms, and what the student's own
    regularisers and `add_loss` ask for:

    `loss = Σ weight_i · term_i`

    Nothing is renormalised. Teachers are frozen (`teacher.trainable = False` is set on them) and
    always run in inference mode; none of their state moves: no variable, no seed, no state of a
    stateful RNN. A `Momentum` alone follows its student. The metrics given to `compile`
    judge the student's output; those of `keras_kd.metrics` that compare with a teacher are given
    its answers. The logs hold each term by name, before its weight.

    Models and terms are read when the distiller is made: set later, they are refused. A term's
    `weight` and the numbers of its loss may be set at any time, and count from the next step on;
    what is `trainable` counts from the next `compile` on.

    The teacher's answers may also come with the batch, as `{"inputs": x, "signals": {"teacher:
    output": ...}}` in place of `x`; a teacher whose every answer is there is not run. So do the
    examples' numbers, as the signal `"ids"`, for projectors that keep something of each example.

    On several devices it learns what one device learns from the same global batches, shared out
    evenly: under `tf.distribute.MirroredStrategy`, and on JAX under
    `keras.distribution.DataParallel` and `ModelParallel`, in one process or several. Losses
    between the examples of a batch (`relational` ones) see the whole global batch on every engine.
    Under `MirroredStrategy` each replica has its own statistics in a `BatchNormalization`, unless
    that is `synchronized=True`, and its own memory in a `MemoryBank` or `QueuedEmbedding`. Keras
    has no such engine on torch.

    Args:
        student: The `keras.Model` to train, with the role `"student"`; or a dict of several, by
            role.
        teacher: A trained `keras.Model` that takes the same input, with the role `"teacher"`; a
            dict of several, by role; or `None` when its answers come with the batch, or when no
            term asks for one.
        terms: List of `Term` and `Labels`. Defaults to `keras_kd.recipes.hinton()`.
        on_bad_teacher: What becomes of a batch on which a teacher's answer is NaN or infinite.
            `"raise"` stops with an error that names the batch; `"skip"` leaves it out: nothing
            moves, and the logs count it as `"skipped"`. Defaults to `"raise"`.
        name: Name of the model. Defaults to `"distiller"`.

    Raises:
        ValueError: In `compile`, if a loss reads probabilities and the student gives logits; in
            `fit`, if the student's loss or weights turn NaN, or labels cannot be right; and at
            once, if an address names no role or no layer, if two sides of a term differ in
            shape, if a teacher is (or shares weights with) a student, or holds NaN.

    Example:

    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> distiller = keras_kd.Distiller(student=student, teacher=teacher)
    >>> distiller.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> x, y = np.ones((8, 4)), np.zeros(8, "int32")
    >>> history = distiller.fit(x, y, verbose=0)
    >>> sorted(history.history)
    ['labels', 'loss', 'soft_target']

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        check_named(args, "keras_kd.Distiller(student=..., teacher=..., terms=[...])")
        return super().__new__(cls, **kwargs)

    def __init__(
        self,
        *,
        student: Participants,
        teacher: Participants | None = None,
        terms: Sequence[Term | Labels] | None = None,
        on_bad_teacher: Literal["raise", "skip"] = "raise",
        name: str = "distiller",
        **kwargs: Any,
    ):
        check_known(kwargs, "Distiller()")
        students = by_role(student, "student")
        teachers = by_role(teacher, "teacher") if teacher is not None else {}
        check_participants(students, teachers)
        kwargs.setdefault("dtype", policy(students.values()))
        super().__init__(name=name, **kwargs)
        self.students, self.teachers = students, teachers
        if terms is None:
            check_roles_of_default(students, teachers)
        self.terms = hinton() if terms is None else as_list(terms)
        check_terms(self.terms, students, teachers)
        name_answers(self.terms, {**students, **teachers})
        check_logits(self.terms, {**students, **teachers}, set(students))
        self._followers = followers(students, teachers)
        freeze(teachers)
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip
        self.check_places("Distiller")
        self.signal_metrics = SignalMetrics()
        self._taps = self._tapped()
        self.term_trackers = [keras.metrics.Mean(name=name) for name in self.term_names]
        self._watched = self._targets_to_watch()
        self.on_bad_teacher = on_bad_teacher
        self._logits = logits_among(self.terms)
        self.watch = _values.Faults(self._watched, _values.skips(on_bad_teacher), self._logits)
        self._label_checks: list[Check] = []
        self._told_of_absent = False
        self._input_config: Any = None
        self._prepared = False
        self._learners_known = False
        self._read: set[str] = set()
        self.seal()
        inputs = input_of(next(iter(students.values())))
        if inputs is not None:
            self._rehearse(inputs)

    # Who takes part.

    @property
    def student(self) -> keras.Model:
        """The student: the model to keep."""
        return only(self.students, "student")

    @property
    def teacher(self) -> keras.Model | None:
        """The teacher, if there is one."""
        return only(self.teachers, "teacher") if self.teachers else None

    @property
    def term_names(self) -> list[str]:
        """The terms' names in the logs; the second of a name gets `_2`, and so on."""
        names: list[str] = []
        for term in self.terms:
            same = sum(other.name == term.name for other in self.terms[: len(names)])
            names.append(f"{term.name}_{same + 1}" if same else term.name)
        return names

    @property
    def output_names(self) -> list[str]:
        """The student's output names, so that `compile` takes losses by name."""
        if len(self.students) > 1:
            raise AttributeError("output_names")
        return self.student.output_names

    def _asked_of(self, role: str) -> dict[str, str]:
        """The paths asked of `role`, each with who asks."""
        asked: dict[str, str] = {}
        for term in self.terms:
            for address in map(parse, term.addresses()):
                if address.role == role:
                    asked.setdefault(address.path, f"Term '{term.name}'")
        for one in self.signal_metrics.asking:
            for address in (parse(one.target), parse(one.pred)):
                if address.role == role:
                    asked.setdefault(address.path, one.asker)
        return asked

    def _tapped(self) -> dict[str, Tap]:
        """Every model, tapped for all that terms and metrics ask of it."""
        models = {**self.students, **self.teachers}
        return {role: Tap(role, model, self._asked_of(role)) for role, model in models.items()}

    def _targets_to_watch(self) -> list[str]:
        targets = (a for term in self.terms for a in term.targets())
        return [a for a in dict.fromkeys(targets) if parse(a).role not in self.students]

    # Building: once, on symbolic inputs where the student tells them, else on the first batch.

    def _rehearse(self, inputs: Any) -> None:
        """One dry run: every model takes the input, every address and every shape is right.

        It may only help. On symbolic inputs a backend makes up what is unknown, and some models
        cannot take a length that was made up: then the first batch tells.
        """
        signals: Signals = {IDS: keras.KerasTensor((None,), "int32")}
        for role, tap in self._taps.items():
            try:
                signals.update(symbolic(tap.rehearsed, inputs))
            except Exception:
                if lengths_unknown(inputs):
                    return
                try:
                    signals.update(on_zeros(tap, inputs))
                except Exception as error:
                    why, learns = reason(error), role in self.students
                    raise cannot_run(role, tap.model, inputs, why, learns) from error
        self._prepare(signals, inputs)

    def _prepare(self, signals: Signals, inputs: Any) -> None:
        """Builds what the terms own; runs once."""
        if self._prepared:
            return
        for term in self.terms:
            term.check(signals)
        self._input_config = keras.tree.map_structure(
            lambda x: {"shape": [None, *x.shape[1:]], "dtype": keras.backend.standardize_dtype(x.dtype)},
            inputs,
        )  # fmt: skip
        self._prepared = self.built = True

    def build(self, input_shape: Any = None) -> None:
        """Nothing by itself: the models and projectors build when they see data."""

    def get_build_config(self) -> dict[str, Any] | None:
        return {"inputs": self._input_config} if self._prepared else None

    def build_from_config(self, config: dict[str, Any]) -> None:
        if config and not self._prepared:
            self._rehearse(_symbolic_inputs(config["inputs"]))

    # One pass.

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's answer; with several students, a dict by role."""
        with unframed():
            x, _ = self._split(inputs)
            if not self._prepared:
                answers = self.answers(inputs)
                outputs, signals = self._respond(x, training=False)
                self._prepare({**answers, **signals}, x)
                return outputs
            outputs = {role: m(x, training=training) for role, m in self.students.items()}
            return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def _split(self, inputs: Any) -> tuple[Any, Signals]:
        if inputs is None:  # what Keras calls a model on, where torch got no batch
            raise no_batches()
        x, given = split(inputs)
        check_some(x, "The batch")
        check_batched(x, input_of(next(iter(self.students.values()))))
        return x, given

    def answers(self, inputs: Any) -> Signals:
        """The teachers' signals for a batch: those that came with it, and those computed now."""
        x, given = self._split(inputs)
        signals = dict(given)
        self._check_given(signals)
        for role in self.teachers:
            asked = [f"{role}:{path}" for path in self._asked_of(role)]
            if not all(address in given for address in asked):
                said = self._asked(role, x)
                said |= self._taps[role].slopes(x, self.step, self.along)
                signals.update({a: s for a, s in said.items() if a not in given})
        return signals

    def _check_given(self, given: Signals) -> None:
        """Proves, with the first batch, that somebody reads the signals that came with it."""
        if given.keys() <= self._read:
            return
        asked = [a for term in self.terms for a in term.addresses()]
        asked += [a for one in self.signal_metrics.asking for a in (one.target, one.pred)]
        check_read(given, asked, {**self.students, **self.teachers})
        self._read |= given.keys()

    def _asked(self, role: str, x: Any) -> Signals:
        """A teacher's signals for the input `x`."""
        try:
            with self.still() if self.teachers[role].built else contextlib.nullcontext():
                return self._taps[role](x, training=False)[1]
        except (TypeError, ValueError) as error:
            wants = input_of(next(iter(self.students.values())))
            if wants is not None and not fits(x, wants):
                raise  # the data are for neither model
            raise cannot_run(role, self.teachers[role], x, text_of(error), False) from error

    def _respond(self, x: Any, training: bool) -> tuple[Any, Signals]:
        """The students' outputs and signals, from one pass of each."""
        outputs: dict[str, Any] = {}
        signals: Signals = {}
        for role in self.students:
            # Slopes first: a model's next pass forgets what the last one added to the loss.
            signals.update(self._taps[role].slopes(x, self.step, self.along))
            outputs[role], said = self._taps[role](x, training=training)
            signals.update(said)
        mark_padding(signals, x)
        return (next(iter(outputs.values())) if len(outputs) == 1 else outputs), signals

    def objective(
        self, inputs: Any, y: Any, sample_weight: Any, answers: Signals, training: bool
    ) -> Outcome:
        """The sum of the terms on one batch, and what it was made of."""
        x, _ = split(inputs)
        y, sample_weight = keras.tree.map_structure(_tensor, (y, sample_weight))
        outputs, said = self._respond(x, training=training)
        signals = {**answers, **said, LABELS: y}
        self._prepare(signals, x)
        if training and not self._learners_known:
            check_learners(self.students, self.terms)
            self._learners_known = True
        total: Any = ops.zeros(())
        values: list[Any] = []
        counts: list[Any] = []
        parts: list[Any] = []
        if not training:
            self._leave_out(signals)
        else:
            for one in self.signal_metrics.asking:
                self._check_present((one.target, one.pred), signals, one.asker)
        for term in self.terms:
            if not training and not set(term.addresses()) <= set(signals):
                values.append(None)
                counts.append(0.0)
                parts.append(ops.zeros(()))
                continue
            self._check_present(term.addresses(), signals, f"Term '{term.name}'")
            weights = _weights_for(term, sample_weight, self.students)
            value, count = term.measured(
                signals,
                step=self.step,
                sample_weight=weights,
                training=training,
                gather=self.gather,
            )
            weight = at(term.weight, self.step)
            values.append(value)
            counts.append(count)
            parts.append(weight * value)
            total += weight * self.shared(value, count)
        learners = (*self.students.values(), *self.terms)
        extras = [loss for learner in learners for loss in learner.losses]
        extra = sum(ops.cast(added_loss(self, loss), "float32") for loss in extras)
        parts.append(ops.convert_to_tensor(extra, "float32"))
        total += extra
        asked = {a: signals[a] for a in self.signal_metrics.addresses() if a in signals}
        found = self.faults(answers), label_faults(self._label_checks, y, said)
        looks = self.first_looks(lambda: looked_at(signals, self._logits))
        empty = ops.equal(batch_size(x), 0) if self.gather is None else ops.zeros(())
        return Outcome(total, values, counts, parts, outputs, *found, empty, asked, looks)

    def _leave_out(self, signals: Signals) -> None:
        """Says once what an evaluation without the teacher's answers leaves out."""
        named = zip(self.term_names, self.terms, strict=True)
        asked = {name: term.addresses() for name, term in named}
        judged = {one.name: (one.target, one.pred) for one in self.signal_metrics.asking}
        absent = {a for of in (asked, judged) for both in of.values() for a in both} - set(signals)
        if absent and not self._told_of_absent:
            self._told_of_absent = True
            warn_of_absent(absent, asked, judged)

    def left_out(self, outcome: Outcome) -> set[str]:
        """What the logs leave out: terms and metrics whose signals did not come."""
        names = zip(self.term_names, outcome.values, strict=True)
        out = {name for name, value in names if value is None}
        there = self.signal_metrics.present(outcome.asked)
        out.update(one.name for one in self.signal_metrics.asking if one not in there)
        return out | {"loss"} if all(value is None for value in outcome.values) else out

    def label_faults(self) -> list[Callable[[str], str]]:
        """For each check of the labels, what it says of a batch."""
        return [check.says for check in self._label_checks]

    def term_values(self) -> dict[str, Any]:
        """Each term's mean over the batches since the last reset."""
        named = zip(self.term_names, self.term_trackers, strict=True)
        return {name: ops.convert_to_numpy(tracker.result()) for name, tracker in named}

    def faults(self, answers: Signals) -> Any:
        """Per watched target, 1 when this batch's holds NaN or infinite values."""
        return _values.faults(answers, self._watched)

    def advance(self) -> None:
        """One training step is done."""
        self.step.assign_add(1)
        for teacher in self._followers:
            teacher.follow(self.students[teacher.of], self.step)

    def _check_present(self, asked: Iterable[str], signals: Collection[str], asker: str) -> None:
        for address in asked:
            if address not in signals:
                raise absent(asker, address, signals, self.students)

    # What Keras's own `compile` and `fit` ask of a model.

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

        With several students, `metrics` and `weighted_metrics` may be dicts by role; a list is
        given to each of them.
        """
        self.check_places("compile")
        self.check_unchanged()
        check_known(kwargs, "compile()")
        check_label_losses(leaves(loss))
        check_shared(self.students, self.teachers)  # a layer may have been unfrozen since
        check_still(self.teachers)
        labels = [term for term in self.terms if isinstance(term, Labels)]
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
        metrics = self._for_each_student(metrics)
        weighted_metrics = self._for_each_student(weighted_metrics)
        given = {"metrics": metrics, "weighted_metrics": weighted_metrics}
        asking, (metrics, weighted_metrics) = parted(given, self._output_at)
        for one in asking:
            check_roles((one.target, one.pred), one.asker, self.students, self.teachers)
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
        track_loss(self, SumOfMeans(len(self.terms) + 1))
        apply(self.terms, self.students, loss, loss_weights, compiled_loss(self))
        self.signal_metrics.use(asking, given)
        self._given_loss = (loss,)  # in a tuple: Keras would wrap a dict or a list
        self._taps.update(self._tapped())
        self._learners_known, self._read = False, set()
        self.note_trainable()

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
        loss, metrics = self._given_loss[0], self.signal_metrics.given
        metrics = keras.saving.serialize_keras_object(metrics)
        return {**config, **metrics, "loss": whole_configs(loss)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
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
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """The logs; compiled metrics are left out of a batch without labels."""
        if y is None:
            compiled = compiled_metrics(self)
            return self._results(m for m in self.metrics if m is not compiled)
        if len(self.students) > 1:
            y = dict.fromkeys(self.students, y)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        unbuilt = [m for m in (compiled_metrics(self),) if m is not None and not m.built]
        return self._results(m for m in self.metrics if m not in unbuilt)

    def _results(self, metrics: Iterable[keras.metrics.Metric]) -> dict[str, Any]:
        logs: dict[str, Any] = {}
        for metric in metrics:
            if metric is not self.watch or self.watch.skip:
                result = metric.result()
                logs.update(result if isinstance(result, dict) else {metric.name: result})
        return logs

    def moving(self) -> list[keras.Variable]:
        """Every variable that training moves, metrics left out, in an order that stays."""
        frozen: set[int] = set()
        for teacher in self.teachers.values():
            if not any(layer in self._followers for layer in layers_of(teacher)):
                frozen.update(id(v) for v in teacher.variables)
        unique = {id(v): v for v in [*self.variables, *self.optimizer.variables]}
        return [v for i, v in unique.items() if i not in frozen]

    @property
    def metrics_names(self) -> list[str]:
        """The names in the logs, in the order of the list that `evaluate` returns."""
        return list(self.get_metrics_result())

    # Configuration.

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "student": serialize(as_given(self.students, "student")),
            "teacher": uncompiled(serialize(as_given(self.teachers, "teacher"))),
            "terms": [serialize(term) for term in self.terms],
            "on_bad_teacher": self.on_bad_teacher,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Distiller":
        return cls(**restored({**config, "teacher": uncompiled(config["teacher"])}))


def _tensor(x: Any) -> Any:
    return None if x is None else ops.convert_to_tensor(x)


def _weights_for(
    term: Term | Labels, sample_weight: Any, students: Mapping[str, keras.Model]
) -> Any:
    """Weights given per output serve the labels, and a term on just that output."""
    if isinstance(term, Labels) or not keras.tree.is_nested(sample_weight):
        return sample_weight
    if not isinstance(term.pred, str) or parse(term.pred).role not in students:
        return None
    part = own(term, students)
    found = part.find(sample_weight) if part.keys else None
    return None if keras.tree.is_nested(found) else found


def _symbolic_inputs(config: Any) -> Any:
    if isinstance(config, dict) and set(config) == {"shape", "dtype"}:
        return keras.KerasTensor(config["shape"], config["dtype"])
    if isinstance(config, dict):
        return {name: _symbolic_inputs(inner) for name, inner in config.items()}
    return [_symbolic_inputs(inner) for inner in config]
