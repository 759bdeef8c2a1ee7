"""The two sides of a term: what may be compared with what, and what to write when it may not.

Checked at construction where shapes are known, and again with the first batch, which brings the
rest: shapes cost nothing to read.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_kd._core.addresses import LABELS, MASK, RESERVED, SPANS, as_tuple
from keras_kd._core.messages import listing, see, shape_of
from keras_kd._core.shapes import advice_on_tokens
from keras_kd.losses import Loss

#: Losses of Keras that compare number with number, and would repeat one side along the other.
_ELEMENTWISE = (
    keras.losses.BinaryCrossentropy, keras.losses.CategoricalCrossentropy,
    keras.losses.CosineSimilarity, keras.losses.Huber, keras.losses.KLDivergence,
    keras.losses.LogCosh, keras.losses.MeanAbsoluteError, keras.losses.MeanSquaredError,
)  # fmt: skip

#: Errors that backends raise of shapes and structures that do not go together.
OF_SHAPES = (AttributeError, IndexError, RuntimeError, TypeError, ValueError)


def instead_of_loss(thing: Any) -> str:
    """What to write for something that is no loss."""
    if isinstance(thing, str):
        try:
            name = type(keras.losses.get({"mse": "MeanSquaredError"}.get(thing, thing))).__name__
        except (TypeError, ValueError):
            return ""
        return f" Write keras.losses.{name}()." if hasattr(keras.losses, name) else ""
    if isinstance(thing, type) and issubclass(thing, keras.losses.Loss):
        return f" It is a class: give an instance, {thing.__name__}()."
    if isinstance(thing, (list, tuple)):
        return " Write a Term for each of them."
    return ""


def check_arguments(term: Any) -> None:
    """Proves that the addresses are as many and of the kind that the loss compares."""
    loss, pred, target = term.loss, as_tuple(term.pred), as_tuple(term.target)
    kind = type(loss).__name__
    if not isinstance(loss, Loss):
        return
    if loss.with_labels and target[-1] != LABELS:
        whole = ", ".join(repr(a) for a in (*(a for a in target if a != LABELS), LABELS))
        raise ValueError(
            f"Term '{term.name}': {kind} reads the labels beside the teacher's output. Give "
            f"target=({whole}). Received: target={term.target!r}."
            + (f" {loss.without_labels}" if loss.without_labels else "")
        )
    if loss.reads_spans and (len(target) != 2 or target[-1] != SPANS):
        teacher = next((a for a in target if a not in RESERVED), "teacher:output")
        raise ValueError(
            f"Term '{term.name}': {kind} reads the spans of text beside the teacher's output. Give "
            f"target=({teacher!r}, 'spans'). Received: target={term.target!r}."
        )
    if _ours(loss) and SPANS in (*pred, *target) and not loss.reads_spans:
        raise ValueError(
            f"Term '{term.name}': {kind} does not read 'spans', which keras_kd.losses.SpanTarget "
            "does, as a target. Leave it out."
        )
    if not _ours(loss) or not loss.same_shape or loss.several or loss.with_labels:
        return
    if loss.on_logits and target == (LABELS,) and term.target_projector is None:
        raise ValueError(
            f"Term '{term.name}': {kind} compares logits with logits, and labels are none. For the "
            "ground truth list keras_kd.Labels(), which applies the loss given to compile()."
        )
    sides = (("pred", pred, term.projector), ("target", target, term.target_projector))
    for side, addresses, projector in sides:
        if len(addresses) > 1 and projector is None:
            if LABELS in addresses:
                advice = f"Leave the labels out: target={addresses[0]!r}, and list keras_kd.Labels() for them."  # fmt: skip
            elif MASK in addresses:
                advice = "Leave the mask out: losses find it by themselves."
            else:
                argument = "projector" if side == "pred" else "target_projector"
                advice = f"Write a Term for each of them, or give a `{argument}` that makes them one."  # fmt: skip
            raise ValueError(
                f"Term '{term.name}': {kind} takes one signal on each side, and `{side}` names "
                f"{len(addresses)}: {listing(addresses)}. {advice}"
            )


def check_one_tensor(term: Any, signals: Mapping[str, Any]) -> None:
    """Proves that no signal is several tensors where the loss takes one."""
    if not isinstance(term.loss, Loss) or not _ours(term.loss):
        return  # a loss of one's own may know what to do with them
    for address, signal in _bare(term, signals):
        stacked = isinstance(signal, (Mapping, list))  # a loss would make one tensor of a list
        if stacked or (
            isinstance(signal, tuple) and term.loss.same_shape and not term.loss.several
        ):
            raise ValueError(f"Term '{term.name}': {several(address, signal)}")


def several(address: str, signal: Any) -> str:
    """What to write for a signal of several tensors."""
    return f"'{address}' is several tensors. Name one: {listing(_parts(address, signal))}."


def check_shapes(term: Any, pred: Any, target: Any) -> None:
    """Proves that both sides have one shape, where the loss compares like with like."""
    loss = term.loss
    if isinstance(loss, Loss):
        if not loss.same_shape:
            return
        if loss.with_labels and isinstance(target, tuple) and len(target) == 2:
            target = target[0]
    elif not isinstance(loss, _ELEMENTWISE):
        return
    if keras.tree.is_nested(pred) or keras.tree.is_nested(target):
        return
    one, other = _shape(pred), _shape(target)
    if one is None or other is None or _fit(one, other, isinstance(loss, Loss)):
        return
    raise ValueError(
        f"Term '{term.name}' compares shapes that differ: pred '{term.pred}'"
        f"{_after(term.projector)} is {one}, target {_shown(term.target)}"
        f"{_after(term.target_projector)} is {other}. " + _suggestion(one, other) + see("shapes")
    )


def cannot_compare(
    term: Any, signals: Mapping[str, Any], pred: Any, target: Any, why: str
) -> ValueError:
    """The error of a loss that failed on the two sides."""
    shapes = keras.tree.map_structure(_shape, (pred, target))
    nested = [several(a, s) for a, s in _bare(term, signals) if keras.tree.is_nested(s)]
    return ValueError(
        f"Term '{term.name}': {type(term.loss).__name__} cannot compare pred {_shown(term.pred)}"
        f"{_after(term.projector)} of shape {shapes[0]} with target {_shown(term.target)}"
        f"{_after(term.target_projector)} of shape {shapes[1]}: " + " ".join(nested or [why])
    )


def _ours(loss: Loss) -> bool:
    return type(loss).__module__.split(".")[0] == __name__.split(".")[0]


def _bare(term: Any, signals: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The signals that reach the loss without a projector."""
    sides = ((term.pred, term.projector), (term.target, term.target_projector))
    for addresses, projector in sides:
        if projector is None:
            for address in as_tuple(addresses):
                if address not in RESERVED and address in signals:
                    yield address, signals[address]


def _parts(address: str, signal: Any) -> list[str]:
    if not isinstance(signal, (Mapping, list, tuple)):
        return [] if signal is None else [address]
    keyed = signal.items() if isinstance(signal, Mapping) else enumerate(signal)
    return [part for key, inner in keyed for part in _parts(f"{address}/{key}", inner)]


def _shape(tensor: Any) -> tuple[int | None, ...] | None:
    """The shape to show; `None` when not even the number of axes is known."""
    try:
        return shape_of(tensor)
    except (AttributeError, ValueError):
        return None


def _fit(pred: tuple, target: tuple, exactly: bool) -> bool:
    if not exactly and abs(len(pred) - len(target)) == 1:
        longer = max(pred, target, key=len)
        if longer[-1] == 1:  # Keras takes (batch,) and (batch, 1) for the same
            pred, target = (side[:-1] if side is longer else side for side in (pred, target))
    return len(pred) == len(target) and all(
        a is None or b is None or a == b for a, b in zip(pred, target, strict=True)
    )


def _shown(addresses: str | tuple[str, ...]) -> str:
    names = as_tuple(addresses)
    return repr(names[0]) if len(names) == 1 else f"({listing(names)})"


def _after(projector: keras.layers.Layer | None) -> str:
    return "" if projector is None else f" after {type(projector).__name__}"


def _suggestion(pred: tuple, target: tuple) -> str:
    """What would make `pred` comparable with `target`."""
    give, module = "Give it a projector, for example projector=", "keras_kd.projectors"
    if len(pred) == len(target) == 4:
        if pred[1:3] == target[1:3]:
            return f"{give}{module}.Conv1x1({target[-1]})."
        resize = f"{module}.Resize({target[1:3]})"
        if pred[-1] == target[-1]:
            return f"{give}{resize}."
        return f"{give}keras.Sequential([{resize}, {module}.Conv1x1({target[-1]})])."
    if len(pred) == len(target) and pred[:-1] == target[:-1]:
        return f"{give}{module}.Dense({target[-1]})."
    if len(target) == 2:
        return f"{give}{module}.AuxiliaryHead({target[-1]})."
    if advice := advice_on_tokens(pred, target):
        return advice
    return "Name layers of the same rank, or give it a projector that brings pred to that shape."


LABELS_HELP = (
    "Integer labels (batch,) go with SparseCategoricalCrossentropy, one-hot labels "
    "(batch, classes) with CategoricalCrossentropy, 0/1 labels (batch, 1) with BinaryCrossentropy."
)


def check_label_shapes(term: Any, y: Any, pred: Any) -> str:
    """Proves that the labels may go with an output; returns what an error begins with."""
    show = keras.tree.map_structure
    text = (
        f"Term '{term.name}': the loss given to compile cannot compare labels of shape "
        f"{show(shape_of, y)} with '{term.pred}' of shape {show(shape_of, pred)}."
    )
    flat_y, flat_pred = keras.tree.flatten(y), keras.tree.flatten(pred)
    if len(flat_y) == len(flat_pred):
        for label, pred in zip(flat_y, flat_pred, strict=True):
            if not len(pred.shape) - 1 <= len(label.shape) <= len(pred.shape):
                raise ValueError(f"{text} {LABELS_HELP}")
    return text


def check_weight_of_output(term: Any, pred: Any, sample_weight: Any) -> None:
    """Proves that weights by output come for a student of several."""
    if isinstance(sample_weight, Mapping) and not keras.tree.is_nested(pred):
        raise ValueError(
            f"Term '{term.name}': `sample_weight` holds weights by output, for "
            f"{listing(map(str, sample_weight))}, and '{term.pred}' is one output. Give one array, "
            "with a weight for each example."
        )
