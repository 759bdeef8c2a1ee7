"""Terms: what is compared with what, by which loss, and how much it counts."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras

from keras_kd._checks._arguments import check_address, check_named, check_weight
from keras_kd._checks._classes import check_classes, of_common_classes
from keras_kd._checks._term_dry_run import (
    check_before_data,
    check_ids,
    check_mask,
    check_spans,
)
from keras_kd._checks._terms import (
    LABELS_HELP,
    OF_SHAPES,
    cannot_compare,
    check_arguments,
    check_label_shapes,
    check_one_tensor,
    check_shapes,
    check_weight_of_output,
    instead_of_loss,
)
from keras_kd._core.addresses import IDS, LABELS, MASK, RESERVED, SPANS, as_tuple, current, parse
from keras_kd._core.configs import restored, whole_config
from keras_kd._core.keras_private import single_loss
from keras_kd._core.messages import snake_case, text_of
from keras_kd._core.registry import serializable
from keras_kd._core.representation import value_of
from keras_kd._core.scalars import Number, finite
from keras_kd._core.tensors import Tensor
from keras_kd._core.valid_counts import count_of, measured
from keras_kd._term_inputs import gathered, projected, without_gradient
from keras_kd.losses import Loss
from keras_kd.schedules import Adjustable
from keras_kd.taps import Signals

Addresses = str | tuple[str, ...]


class _Weighted(keras.layers.Layer):
    """A layer with a weight in the total; a weight that may be set is part of its state."""

    #: Finds, among labels that come by output, those of this term's: `label_part(y, "what they are")`.
    label_part: Callable[[Any, str], Any] = staticmethod(lambda given, what: given)

    @property
    def weight(self) -> Number:
        return self._weight

    @weight.setter
    def weight(self, value: Number) -> None:
        self._weight = finite(value, "weight")
        self._adjusted = value.variable if isinstance(value, Adjustable) else None


@serializable
class Term(_Weighted):
    """One term of a distiller's loss: two signals, a loss between them, and a weight.

    No gradient flows back through the target, whatever gives it. (A `target_projector` does learn;
    its input does not.)

    Args:
        loss: A `keras.losses.Loss`, of this package or any other; called as
            `loss(target, pred, sample_weight)`.
        pred: Address of the signal that learns, or a tuple of addresses: `"student:output"`,
            `"student:LAYER"`, and of several outputs one, `"student:output/NAME"` (of a list,
            `"student:output/0"`). Defaults to `"student:output"`.
        target: Address of the signal to learn from, or a tuple of addresses; `"labels"` is the
            ground truth, and `"mask"`, last, which positions of a sequence count, for a loss that
            takes it. Defaults to `"teacher:output"`.
        projector: Layer applied to `pred` before the comparison; trained with the student.
        target_projector: Layer applied to `target` (to its first signal, when there are several
            and the others are labels or the mask).
        weight: Factor of this term in the total; a float or a schedule. Defaults to `1.0`.
        name: Name of the term in the logs. Defaults to the loss's name.

    Raises:
        TypeError: If `loss` is not a `keras.losses.Loss`, or a projector not a layer.
        ValueError: If an address or the weight is malformed.

    Example:

    >>> hint = keras_kd.Term(keras_kd.losses.FeatureMatch(), pred="student:a", target="teacher:b")
    >>> signals = {"student:a": np.ones((2, 3)), "teacher:b": np.zeros((2, 3))}
    >>> round(float(hint(signals, step=0)), 4)
    1.0
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        write = "keras_kd.Term(loss, pred='student:output', target='teacher:output')"
        check_named(args[1:], write)
        return super().__new__(cls, *args, **kwargs)

    def __init__(
        self,
        loss: keras.losses.Loss,
        *,
        pred: Addresses = "student:output",
        target: Addresses = "teacher:output",
        projector: keras.layers.Layer | None = None,
        target_projector: keras.layers.Layer | None = None,
        weight: Number = 1.0,
        name: str | None = None,
        **kwargs: Any,
    ):
        if not isinstance(loss, keras.losses.Loss):
            raise TypeError(
                "`loss` must be a keras.losses.Loss instance, for example "
                f"keras_kd.losses.SoftTarget(temperature=4.0). Received: {loss!r}."
                + instead_of_loss(loss)
            )
        for argument, layer in (("projector", projector), ("target_projector", target_projector)):
            if layer is not None and not isinstance(layer, keras.layers.Layer):
                raise TypeError(
                    f"`{argument}` must be a keras.layers.Layer, for example "
                    f"keras_kd.projectors.Conv1x1(256). Received: {layer!r}."
                )
        for argument, address in (("pred", pred), ("target", target)):
            check_address(address, argument)
        super().__init__(name=name or snake_case(loss.name), dtype="float32", **kwargs)
        self.loss = loss
        self.pred = _current(pred)
        self.target = _current(target)
        self.projector, self.target_projector = projector, target_projector
        self.weight = weight
        #: Addresses of layers whose result is a model's output.
        self.output_layers: frozenset[str] = frozenset()
        if LABELS in as_tuple(self.pred):
            raise ValueError(f"Term '{self.name}': 'labels' can be a target, never a `pred`.")
        if IDS in as_tuple(self.target) or (IDS in as_tuple(self.pred) and projector is None):
            raise ValueError(
                f"Term '{self.name}': 'ids' are for a projector to read: one of several `pred`, "
                "never a target."
            )
        of_loss, of_projector = as_tuple(self.target), as_tuple(self.pred)
        if of_loss == (MASK,) or (
            MASK in of_projector and (projector is None or self.pred == MASK)
        ):
            raise ValueError(
                f"Term '{self.name}': 'mask' stands beside a signal: in `pred` for a projector to "
                "read, in `target` for a loss of one's own. Other losses find the mask by themselves."
            )
        check_arguments(self)
        self.built = True  # it owns no weights of its own; its projectors build themselves

    def __repr__(self) -> str:
        given = {"pred": self.pred, "target": self.target, "projector": self.projector,
                 "target_projector": self.target_projector, "weight": self.weight}  # fmt: skip
        if self.name != snake_case(self.loss.name):
            given["name"] = self.name
        shown = (f"{key}={value_of(value)}" for key, value in given.items() if value is not None)
        return f"Term({', '.join([value_of(self.loss), *shown])})"

    def addresses(self) -> tuple[str, ...]:
        """Every address of a model that this term reads."""
        both = (*as_tuple(self.pred), *as_tuple(self.target))
        return tuple(dict.fromkeys(a for a in both if a not in RESERVED))

    def projectors(self) -> list[keras.layers.Layer]:
        """The layers this term brings."""
        return [p for p in (self.projector, self.target_projector) if p is not None]

    def targets(self) -> tuple[str, ...]:
        """The addresses this term learns from, labels and the mask left out."""
        return tuple(a for a in as_tuple(self.target) if a not in RESERVED)

    def __call__(self, signals: Signals, **kwargs: Any) -> Any:
        """The term's value, before its weight; arguments as in `measured`. (Signals are no layer's
        input: Keras's own `Layer.__call__` has nothing to add here.)"""
        return self.measured(signals, **kwargs)[0]

    def measured(
        self,
        signals: Signals,
        *,
        step: Any,
        sample_weight: Tensor = None,
        training: bool = False,
        gather: Callable[[Any], Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The term's value, before its weight, and how many values it is the mean of. `gather`
        joins the rows of all replicas."""
        pred, target = self._sides(signals, training)
        pred, target = of_common_classes(self, pred, target)
        check_classes(self, pred, self._by_address(target))
        check_shapes(self, pred, target)
        try:
            return self._loss(pred, target, step, sample_weight, gather)
        except Exception as error:
            if type(error) not in OF_SHAPES:  # no subclass, such as want of memory
                raise
            raise cannot_compare(self, signals, pred, target, text_of(error)) from error

    def _loss(
        self, pred: Tensor, target: Tensor, step: Any, sample_weight: Tensor, gather: Any
    ) -> tuple[Tensor, Tensor]:
        if not isinstance(self.loss, Loss):
            return measured(self.loss, target, pred, sample_weight)
        loss = self.loss.at(step)
        if gather is not None and loss.relational:
            pred, target, sample_weight = gathered(gather, pred, target, sample_weight)
        return loss.measured(target, pred, sample_weight)

    def _sides(self, signals: Signals, training: bool) -> tuple[Any, Any]:
        check_ids(self, signals)
        check_mask(self, signals)
        check_spans(self, signals)
        check_one_tensor(self, signals)
        pred = [signals[a] for a in as_tuple(self.pred)]
        target = [self._held_still(a, signals[a]) for a in as_tuple(self.target)]
        pred = projected(self.projector, pred, training)
        if self.target_projector is not None:
            named = list(zip(target, as_tuple(self.target), strict=True))
            made = projected(
                self.target_projector, [t for t, a in named if a not in RESERVED], training
            )
            rest = [t for t, a in named if a in RESERVED]
            target = [*(made if isinstance(made, tuple) and rest else (made,)), *rest]
        return pred, target[0] if len(target) == 1 else tuple(target)

    def _held_still(self, address: str, signal: Any) -> Any:
        if address == LABELS:
            return self.label_part(signal, "`y`")
        # Of a pair the loader of torch makes a list.
        return without_gradient(tuple(signal) if address == SPANS else signal)

    def _by_address(self, target: Tensor) -> list[tuple[str, Any]]:
        """What `_sides` gave for the target, each with its address; labels and the mask left out."""
        addresses = as_tuple(self.target)
        if self.target_projector is not None:  # of several it makes what stands for the first
            addresses = (*self.targets()[:1], *(a for a in addresses if a in RESERVED))
        several = target if len(addresses) > 1 else (target,)
        return [(a, t) for a, t in zip(addresses, several, strict=False) if a not in RESERVED]

    def check(self, signals: Signals) -> None:
        """Builds the projectors on `signals` and proves that the two sides can be compared."""
        check_before_data(self, signals)

    def get_config(self) -> dict[str, Any]:
        keep = ("pred", "target", "projector", "target_projector", "weight")
        serialize = keras.saving.serialize_keras_object
        kept = {n: serialize(getattr(self, n)) for n in keep}
        return {"name": self.name, "loss": whole_config(self.loss), **kept}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Term":
        return cls(**restored(config))


@serializable
class Labels(_Weighted):
    """The term for the ground truth: the loss given to `compile`, on the student's output.

    Of several outputs, `Labels()` learns from the labels of all, and
    `Labels(pred="student:output/NAME")` from those of one: it takes its own part of `loss`,
    `loss_weights`, `y` and `sample_weight`, where these are dicts by name or lists in order, and
    all of what is given for every output alike. `NAME` is the key in what the student returns; in
    a list, the place, `"student:output/0"`. A loss for an output that no `Labels` learns from is
    refused at `compile`.

    Args:
        weight: Factor of this term in the total; a float or a schedule. Defaults to `1.0`.
        pred: Address of the output that learns: `"student:output"`, `"student:output/NAME"` for one
            of several, or a layer whose result is an output. Defaults to `"student:output"`.
        name: Name of the term in the logs. Defaults to `"labels"`.

    Raises:
        ValueError: If the address or the weight is malformed.

    Example:

    >>> keras_kd.Labels(weight=0.1).weight
    0.1
    """

    def __init__(
        self,
        weight: Number = 1.0,
        *,
        pred: str = "student:output",
        name: str | None = None,
        **kwargs: Any,
    ):
        check_weight(weight)
        check_address(pred, "pred")
        super().__init__(name=name or LABELS, dtype="float32", **kwargs)
        self.weight = weight
        self.pred = pred
        parse(pred)
        self._compiled: Callable[..., Any] | None = None
        self._given: Any = None
        self.built = True

    def __repr__(self) -> str:
        pred = "" if self.pred == "student:output" else f", pred={self.pred!r}"
        name = "" if self.name == LABELS else f", name={self.name!r}"
        return f"Labels(weight={value_of(self.weight)}{pred}{name})"

    def use_loss(self, loss: Callable[..., Any] | None, given: Any = None) -> None:
        """Takes the compiled loss, `loss(y, y_pred, sample_weight)`, as it was `given`."""
        self._compiled, self._given = loss, given

    def addresses(self) -> tuple[str, ...]:
        """Every address of a model that this term reads."""
        return (self.pred,)

    def projectors(self) -> list[keras.layers.Layer]:
        """The layers this term brings: none."""
        return []

    def targets(self) -> tuple[str, ...]:
        """The addresses this term learns from, labels left out: none."""
        return ()

    def __call__(self, signals: Signals, **kwargs: Any) -> Any:
        """The compiled loss on this output, before the term's weight."""
        return self.measured(signals, **kwargs)[0]

    def measured(
        self,
        signals: Signals,
        *,
        step: Any,
        sample_weight: Tensor = None,
        training: bool = False,
        gather: Callable[[Any], Any] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The compiled loss on this output, before the term's weight, and how many values it is
        the mean of."""
        y, pred = signals[LABELS], signals[self.pred]
        if y is None:
            raise ValueError(
                f"Term '{self.name}' needs labels, and this batch has none. Give `y` to fit, or "
                "leave Labels out of the terms to learn from the teacher alone."
            )
        y, sample_weight = (
            self.label_part(y, "`y`"),
            self.label_part(sample_weight, "`sample_weight`"),
        )
        check_weight_of_output(self, pred, sample_weight)
        compiled = self._compiled
        assert compiled is not None, "compile() sees to it"
        shapes = check_label_shapes(self, y, pred)
        try:
            return self._applied(compiled, y, pred, sample_weight)
        except Exception as error:
            raise ValueError(f"{shapes} {LABELS_HELP} Keras raised: {text_of(error)}") from error

    def _applied(
        self, compiled: Any, y: Tensor, pred: Tensor, sample_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        if keras.tree.is_nested(y) or keras.tree.is_nested(pred) or len(pred.shape) < 3:
            value = compiled(y, pred, sample_weight)
            return value, count_of(self._given, y, pred, sample_weight)
        loss, weight = single_loss(compiled, y, pred)
        ours = isinstance(loss, Loss)
        value, count = (loss.measured if ours else partial(measured, loss))(y, pred, sample_weight)
        return (value if weight is None else value * weight), count

    def check(self, signals: Signals) -> None:
        """Nothing to build; labels are seen first with the data."""

    def get_config(self) -> dict[str, Any]:
        weight = keras.saving.serialize_keras_object(self.weight)
        return {"name": self.name, "weight": weight, "pred": self.pred}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Labels":
        return cls(**restored(config))


def _current(addresses: Addresses) -> Addresses:
    """The addresses as they are written now, each proved to be one."""
    if isinstance(addresses, str):
        return addresses if addresses in RESERVED else current(addresses)
    return tuple(a if a in RESERVED else current(a) for a in addresses)
