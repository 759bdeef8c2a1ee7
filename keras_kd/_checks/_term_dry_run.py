"""A term on shapes alone: its projectors built, its two sides proved to be comparable."""

from typing import Any

import keras

from keras_kd._checks._batch import no_spans
from keras_kd._checks._classes import check_classes, check_projectors, of_common_classes
from keras_kd._checks._terms import cannot_compare, check_one_tensor, check_shapes
from keras_kd._core.addresses import IDS, MASK, RESERVED, SPANS, as_tuple
from keras_kd._core.messages import text_of
from keras_kd._core.symbolic import reason, symbolic
from keras_kd._term_inputs import projected
from keras_kd.losses import Loss, SpanTarget
from keras_kd.taps import Signals


def check_mask(term: Any, signals: Signals) -> None:
    if MASK in (*as_tuple(term.pred), *as_tuple(term.target)) and MASK not in signals:
        raise ValueError(
            f"Term '{term.name}' reads the mask of the positions, and this batch brings none. Give "
            "it as an input named 'padding_mask', or feed {'inputs': x, 'signals': {'mask': mask}} "
            "in place of x: (batch, positions), 1 where a position counts, 0 at padding. A layer "
            "Embedding(mask_zero=True) makes one too."
        )


def check_spans(term: Any, signals: Signals) -> None:
    if SPANS in as_tuple(term.target) and SPANS not in signals:
        raise no_spans(f"Term '{term.name}'", f"'{SPANS}'")


def check_ids(term: Any, signals: Signals) -> None:
    if IDS in as_tuple(term.pred) and IDS not in signals:
        raise ValueError(
            f"Term '{term.name}' reads the examples' ids, and this batch brings none. Feed "
            "{'inputs': x, 'signals': {'ids': numbers}} in place of x: for each example its "
            "number in the training data, from 0, or -1 for one that is not among them. "
            "keras_kd.data.feed(data, join=keras_kd.data.Numbers(ids)) does so."
        )


def check_before_data(term: Any, signals: Signals) -> None:
    """Builds the projectors on `signals` and proves that the two sides can be compared."""
    check_ids(term, signals)
    unknown = [a for a in as_tuple(term.pred) if a not in signals]
    if unknown and term.projector is not None:
        raise ValueError(
            f"Term '{term.name}': its projector {type(term.projector).__name__} reads "
            f"'{unknown[0]}', whose shape is not known before the batch that brings it. Give "
            "a projector that needs no other signal, for example "
            "projector=keras_kd.projectors.Conv1x1(256) or Dense(256)."
        )
    check_one_tensor(term, signals)
    if unknown:
        return
    pred = _symbolic_side(term.projector, [signals[a] for a in as_tuple(term.pred)])
    known = [a for a in term.targets() if a in signals]
    if not known or len(known) < len(term.targets()):
        check_projectors(term)
        return
    target = _symbolic_side(term.target_projector, [signals[a] for a in known])
    check_projectors(term)
    pred, target = of_common_classes(term, pred, target)
    several = target if isinstance(target, (tuple, list)) and len(known) > 1 else (target,)
    check_classes(term, pred, list(zip(known, several, strict=False)))
    if SPANS in as_tuple(term.target) and isinstance(term.loss, SpanTarget):
        _check_vocabularies(term, pred, target)
    if set(RESERVED) & set(as_tuple(term.target)):
        return  # they are seen first with the data
    check_shapes(term, pred, target)
    sides = keras.tree.flatten((pred, target))
    if all(keras.backend.is_keras_tensor(side) for side in sides):
        _try_loss(term, signals, pred, target)


def _check_vocabularies(term: Any, pred: Any, target: Any) -> None:
    """Proves that the models give the tokens that the term's tokenizers have."""
    if keras.tree.is_nested(pred) or keras.tree.is_nested(target):
        return
    try:
        term.loss.check_tokens(target, pred)
    except ValueError as error:
        raise ValueError(f"Term '{term.name}': {text_of(error)}") from error


def _try_loss(term: Any, signals: Signals, pred: Any, target: Any) -> None:
    """The loss, on shapes alone."""
    loss = term.loss.at(0) if isinstance(term.loss, Loss) else term.loss
    try:
        symbolic(loss, target, pred)
    except Exception as error:
        why = reason(error)
        raise cannot_compare(term, signals, pred, target, why) from error


def _symbolic_side(projector: keras.layers.Layer | None, tensors: list[Any]) -> Any:
    single = tensors[0] if len(tensors) == 1 else tuple(tensors)
    if projector is None:
        return single
    if keras.backend.is_keras_tensor(tensors[0]):
        try:
            return symbolic(lambda *x: projected(projector, list(x), False), *tensors)
        except ValueError as error:
            raise ValueError(reason(error)) from error
    return projected(projector, tensors, False)
