"""The Distiller: a Keras model with students, teachers and a list of terms."""

import contextlib
from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_kd._checks import _values
from keras_kd._checks._arguments import check_known, check_named, check_roles_of_default
from keras_kd._checks._batch import (
    cannot_run,
    check_batched,
    check_some,
    fits,
    no_batches,
    no_spans,
    split,
)
from keras_kd._checks._changes import Changes
from keras_kd._checks._logits import check_logits, check_probabilities, logits_among, looked_at
from keras_kd._checks._signals import SignalChecks
from keras_kd._compiled._compile import Compiling
from keras_kd._compiled._label_assignment import weights_for
from keras_kd._compiled._label_values import Check
from keras_kd._compiled._label_values import faults as label_faults
from keras_kd._compiled._outputs import name_output_layers
from keras_kd._compiled._signal_metrics import SignalMetrics
from keras_kd._core.addresses import INPUTS, LABELS, SPANS
from keras_kd._core.configs import restored
from keras_kd._core.keras_private import added_loss, layers_of, unframed
from keras_kd._core.messages import text_of
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import at
from keras_kd._core.symbolic import input_of
from keras_kd._core.tensors import Tensor
from keras_kd._dry_run import DryRun
from keras_kd._fit_methods import Fitting
from keras_kd._padding import (
    Masks,
    emptied,
    mark_padding,
    masks_of_batch,
    masks_of_keras,
    of_shared_tokens,
)
from keras_kd._participants import (
    Participants,
    as_given,
    as_list,
    by_role,
    check_participants,
    check_terms,
    check_tokenizers,
    freeze,
    momentum_teachers,
    only,
    policy,
)
from keras_kd._read_paths import ReadPaths
from keras_kd._saving import Saving, uncompiled
from keras_kd._trainers import BackendStep
from keras_kd._trainers._base import Outcome, batch_size
from keras_kd.recipes import hinton
from keras_kd.taps import Signals
from keras_kd.terms import Labels, Term


@serializable
class Distiller(
    BackendStep, Compiling, DryRun, ReadPaths, SignalChecks, Fitting, Saving, Changes, keras.Model
):
    """Trains a student from a teacher with `compile`, `fit` and `evaluate`.

    A distiller has students, teachers and terms. One pass of each model gives signals; each term
    compares two of them; the loss is the weighted sum of the terms, and what the student's own
    regularizers and `add_loss` add:

    `loss = Σ weight_i · term_i`

    Nothing is renormalized. Teachers are frozen (`teacher.trainable = False` is set on them) and
    always run in inference mode; none of their state moves: no variable, no seed, no state of a
    stateful RNN. A `Momentum` alone follows its student. The metrics given to `compile`
    read the student's output; those of `keras_kd.metrics` that compare with a teacher read its
    outputs too. The logs hold each term by name, before its weight.

    Models and terms are read when the distiller is made: set later, they are refused. A term's
    `weight` and the numbers of its loss may be set at any time, and count from the next step on;
    what is `trainable` counts from the next `compile` on.

    The teacher's outputs may also come with the batch, in place of `x`, as
    `{"inputs": x, "signals": {"teacher:output": ...}}`; a teacher of which every signal is there is
    not run. So do the examples' numbers, as the signal `"ids"`, for projectors that keep something
    of each example; and which positions of the sequences count, as the signal `"mask"`, `(batch,
    positions)`. Without it the mask is an input named `padding_mask` or the like, else Keras's own.
    Losses, terms on hidden states and metrics leave the other positions out: what stands there
    moves nothing, NaN from a teacher included. Every term, that of the labels too, is divided by
    the number of positions that count in the global batch, with `sample_weight` per position as
    shares of one; where none does, it is 0.

    On several devices it learns what one device learns from the same global batches, shared out
    evenly, whatever the padding in each share: under `tf.distribute.MirroredStrategy`, and on JAX under
    `keras.distribution.DataParallel` and `ModelParallel`, in one process or several. Losses
    between the examples of a batch (`relational` ones) see the whole global batch on every engine.
    Under `MirroredStrategy` each replica has its own statistics in a `BatchNormalization`, unless
    that is `synchronized=True`, and its own memory in a `MemoryBank` or `QueuedEmbedding`. Keras
    has no such engine on torch.

    Args:
        student: The `keras.Model` to train, with the role `"student"`; or a dict of several, by
            role.
        teacher: A trained `keras.Model` that takes the same input, with the role `"teacher"`; a
            dict of several, by role; or `None` when its outputs come with the batch, or when no
            term reads one.
        terms: List of `Term` and `Labels`. Defaults to `keras_kd.recipes.hinton()`.
        on_bad_teacher: What becomes of a batch on which a teacher's output is NaN or infinite.
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
        self._apart = self._with_own_tokens()
        check_tokenizers({**students, **teachers}, self._apart)
        name_output_layers(self.terms, {**students, **teachers})
        check_logits(self.terms, {**students, **teachers}, set(students))
        check_probabilities(self.terms, {**students, **teachers})
        self._momentum_teachers = momentum_teachers(students, teachers)
        freeze(teachers)
        self._step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", trainable=False,
            aggregation="only_first_replica",
        )  # fmt: skip
        self._check_devices("Distiller")
        self._signal_metrics = SignalMetrics()
        self._taps = self._make_taps()
        self._term_means = [keras.metrics.Mean(name=name) for name in self.term_names]
        self._checked_targets = self._targets_to_check()
        self.on_bad_teacher = on_bad_teacher
        self._logit_addresses = logits_among(self.terms)
        self._value_check = _values.FaultCounts(
            self._checked_targets, _values.skips(on_bad_teacher), self._logit_addresses
        )
        self._label_checks: list[Check] = []
        self._warned_of_absent = False
        self._input_config: Any = None
        self._terms_built = False
        self._learners_checked = False
        self._known_signals: set[str] = set()
        self._seal()
        inputs = input_of(next(iter(students.values())))
        if inputs is not None:
            self._dry_run(inputs)

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

    # One pass.

    def call(self, inputs: Any, training: bool | None = None) -> Tensor:
        """The student's output; with several students, a dict by role."""
        with unframed():
            x, _ = self._split(inputs)
            if not self._terms_built:
                targets = self._teacher_signals(inputs)
                outputs, signals = self._student_signals(x, training=False)
                self._build_terms({**targets, **signals}, x)
                return outputs
            outputs = {role: m(x, training=training) for role, m in self.students.items()}
            return next(iter(outputs.values())) if len(outputs) == 1 else outputs

    def _split(self, inputs: Any) -> tuple[Any, Signals]:
        """The models' input, and the signals that came with the batch."""
        if inputs is None:  # what Keras calls a model on, where torch got no batch
            raise no_batches()
        x, given = split(inputs)
        check_some(x, "The batch")
        check_batched(x, input_of(next(iter(self.students.values()))))
        return x, given

    def _teacher_signals(self, inputs: Any) -> Signals:
        """The teachers' signals for a batch: those that came with it, and those computed now."""
        x, given = self._split(inputs)
        signals = {a: s for a, s in given.items() if not a.endswith(f":{INPUTS}")}
        self._check_signals_are_read(given)
        for role in self.teachers:
            wanted = [f"{role}:{path}" for path in self._paths_of(role)]
            if not all(address in given for address in wanted):
                own = self._inputs_of(role, x, given)
                computed = self._run_teacher(role, own)
                computed |= self._taps[role].jvps(own, self._step, self._jvp)
                signals.update({a: s for a, s in computed.items() if a not in given})
        return emptied(signals, self._masks(given, x, signals), self._apart)

    def _inputs_of(self, role: str, x: Tensor, given: Signals) -> Any:
        """What a teacher takes: inputs of its own that came with the batch, or the student's."""
        address = f"{role}:{INPUTS}"
        if role in self._apart and not {address, SPANS} <= given.keys():
            raise no_spans(f"The {role} '{self.teachers[role].name}'", f"'{address}'")
        return given.get(address, x)

    def _masks(self, given: Signals, x: Any, *passes: Signals) -> Masks:
        """The masks of the student's positions: the batch's, or else the one that Keras made."""
        made = (of_shared_tokens(signals, self._apart) for signals in passes)
        return masks_of_batch(given, x) or masks_of_keras(*made)

    def _run_teacher(self, role: str, x: Tensor) -> Signals:
        """A teacher's signals for the input `x`."""
        built = self.teachers[role].built
        try:
            with self._without_updates() if built else contextlib.nullcontext():
                return self._taps[role](x, training=False)[1]
        except (TypeError, ValueError) as error:
            wants = input_of(next(iter(self.students.values())))
            if wants is not None and not fits(x, wants):
                raise  # the data are for neither model
            raise cannot_run(role, self.teachers[role], x, text_of(error), False) from error

    def _student_signals(self, x: Tensor, training: bool) -> tuple[Any, Signals]:
        """The students' outputs and signals, from one pass of each."""
        outputs: dict[str, Any] = {}
        signals: Signals = {}
        for role in self.students:
            # Derivatives first: a model's next pass forgets what the last one added to the loss.
            signals.update(self._taps[role].jvps(x, self._step, self._jvp))
            outputs[role], computed = self._taps[role](x, training=training)
            signals.update(computed)
        return (next(iter(outputs.values())) if len(outputs) == 1 else outputs), signals

    def _objective(
        self, inputs: Any, y: Tensor, sample_weight: Tensor, targets: Signals, training: bool
    ) -> Outcome:
        """The sum of the terms on one batch, and what it is made of."""
        x, _ = split(inputs)
        y, sample_weight = keras.tree.map_structure(_tensor, (y, sample_weight))
        outputs, predictions = self._student_signals(x, training=training)
        masks = masks_of_batch(targets, x)
        if not masks and (masks := self._masks({}, None, predictions, targets)):
            targets = emptied(targets, masks, self._apart)
        mask = mark_padding(predictions, masks)
        signals = {**targets, **predictions, LABELS: y, **mask}
        self._build_terms(signals, x)
        self._check_signals(signals, training)
        total: Any = ops.zeros(())
        values: list[Any] = []
        counts: list[Any] = []
        parts: list[Any] = []
        for term in self.terms:
            if not training and not set(term.addresses()) <= set(signals):
                values.append(None)
                counts.append(0.0)
                parts.append(ops.zeros(()))
                continue
            value, count = term.measured(
                signals,
                step=self._step,
                sample_weight=weights_for(term, sample_weight, self.students),
                training=training,
                gather=self._gather,
            )
            weight = at(term.weight, self._step)
            values.append(value)
            counts.append(count)
            parts.append(weight * value)
            total += weight * self._share_of_mean(value, count)
        learners = (*self.students.values(), *self.terms)
        extras = [loss for learner in learners for loss in learner.losses]
        extra = sum(ops.cast(added_loss(self, loss), "float32") for loss in extras)
        parts.append(ops.convert_to_tensor(extra, "float32"))
        total += extra
        return Outcome(
            total,
            values,
            counts,
            parts,
            outputs,
            self._teacher_faults(targets),
            label_faults(self._label_checks, y, predictions),
            ops.equal(batch_size(x), 0) if self._gather is None else ops.zeros(()),
            {a: signals[a] for a in self._signal_metrics.addresses() if a in signals},
            self._first_looks(lambda: looked_at(signals, self._logit_addresses)),
        )

    def _advance_step(self) -> None:
        """One training step is done."""
        self._step.assign_add(1)
        for teacher in self._momentum_teachers:
            teacher.follow(self.students[teacher.of], self._step)

    def _moving_variables(self) -> list[keras.Variable]:
        """Every variable that training moves, metrics left out, in an order that stays."""
        frozen: set[int] = set()
        for teacher in self.teachers.values():
            if not any(layer in self._momentum_teachers for layer in layers_of(teacher)):
                frozen.update(id(v) for v in teacher.variables)
        unique = {id(v): v for v in [*self.variables, *self.optimizer.variables]}
        return [v for i, v in unique.items() if i not in frozen]

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


def _tensor(x: Tensor) -> Tensor:
    return None if x is None else ops.convert_to_tensor(x)
