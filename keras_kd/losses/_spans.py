"""A target of a teacher with another tokenizer, over spans of text that both sides have."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_kd._core.registry import serializable
from keras_kd._core.scalars import Number, count, is_number, positive
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss
from keras_kd.losses._divergences import share_or_end
from keras_kd.losses._universal import sorted_gap

#: What is left of the first token at least, as a share: its logarithm is never that of 0.
_LEAST = 1e-7


@serializable
class SpanTarget(Loss):
    """Divergence from a teacher with another tokenizer, span by span.

    A span is the smallest piece of text that begins and ends between tokens on both sides. At its
    beginning both models have read the same text, and what they expect next is compared as events:
    that the text goes on as it does, by the tokens of the span one after another, and that it goes
    on otherwise, by the first token. Tokens that mean the same on both sides form groups, and each
    group is an event; tokens in no group are compared by how their probability is spread.

    With `x_1 ... x_n` the span's tokens on one side, and `p` that side's softmax at temperature `T`:

    `P(span) = Π_i p(x_i | text, x_1 ... x_(i-1))`, `P(group) = Σ_(y in group) p(y | text)`

    where `p(x_1)` counts without `P(span)` (with `1e-7 · p(x_1)` at least). With `P` the teacher's, `Q` the student's, and
    `m = beta · P + (1 - beta) · Q`, over the groups and the span:

    `loss = a · [beta · KL(P ‖ m) + (1 - beta) · KL(Q ‖ m)] + b · Σ_i |P_(i) - Q_(i)|`

    the last over the tokens of no group, sorted, as in `UniversalLogit`. `beta=0` is `KL(P ‖ Q)`,
    `beta=1` is `KL(Q ‖ P)`, each with the difference of the sums added, as these may be below 1.
    With one vocabulary on both sides it is `JensenShannon`. There is no factor `T²`.

    The mean is over the spans. `keras_kd.recipes.gold` makes it of two tokenizers, and
    `keras_kd.sources.TwoTokenizers` the spans of texts.

    Shapes: `y_true` a pair: logits `(batch, teacher's positions, teacher's tokens)`, and the spans, a
    pair of whole numbers. Of the student `(batch, positions, 3)`: the next token; the position at
    which its span begins, -1 in none; and where the span begins, the teacher's position there. Of the
    teacher `(batch, teacher's positions, 2)`: the next token, and the student's position at which
    its span begins, or -1. `y_pred` logits `(batch, positions, tokens)`; one value per
    `(batch, positions)`, 0 where no span begins.

    Args:
        student_groups: The group of each of the student's tokens, from 0, or -1.
        teacher_groups: That of each of the teacher's tokens; the same groups.
        beta: From 0 to 1, as in `JensenShannon`; a float or a schedule. Defaults to `0.5`.
        temperature: Softening `T`, above 0; a float or a schedule. Defaults to `1.0`.
        matched_weight: The weight `a`. Defaults to `None`: the share of the teacher's tokens that
            are in a group.
        unmatched_weight: The weight `b`. Defaults to `None`: the rest of 1.
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Raises:
        ValueError: If the two sides have other groups, a weight is below 0, or one alone is given.

    Example:

    >>> student, teacher = [0, 1, 2], [0, 1]  # the student's token 2 is none of the teacher's
    >>> loss = keras_kd.losses.SpanTarget([0, 1, -1], teacher, beta=0.0)
    >>> spans = np.array([[[0, 0, 0]]]), np.array([[[0, 0]]])  # one token on each side, its 0
    >>> flat = np.zeros((1, 1, 3)), np.zeros((1, 1, 2))
    >>> round(float(loss((flat[1], spans), flat[0])), 4)  # ln (3/2) - 1 + 2/3
    0.0721

    Reference: Patiño et al., "Unlocking On-Policy Distillation for Any Model Family", Hugging Face,
    2025, which merges and matches tokens in another way; Boizard et al., "Towards Cross-Tokenizer
    Distillation: the Universal Logit Distillation Loss for LLMs", TMLR 2025, arXiv:2402.12030.
    """

    same_shape = False
    own_classes = True
    on_logits = True
    among_classes = True
    reads_spans = True

    def __init__(
        self,
        student_groups: Sequence[int],
        teacher_groups: Sequence[int],
        *,
        beta: Number = 0.5,
        temperature: Number = 1.0,
        matched_weight: float | None = None,
        unmatched_weight: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.student_groups = _groups(student_groups, "student_groups")
        self.teacher_groups = _groups(teacher_groups, "teacher_groups")
        mine, theirs = ({*groups} - {-1} for groups in (self.student_groups, self.teacher_groups))
        if mine != theirs or mine != set(range(len(mine))):
            raise ValueError(
                "`student_groups` and `teacher_groups` must have the same groups, 0, 1, 2 and so on, "
                f"each on both sides. Received {len(mine)} and {len(theirs)} groups, "
                f"{len(mine & theirs)} of them on both sides."
            )
        self.beta = share_or_end(beta)
        self.temperature = positive(temperature, "temperature")
        self.matched_weight = _weight(matched_weight, "matched_weight")
        self.unmatched_weight = _weight(unmatched_weight, "unmatched_weight")
        if (matched_weight is None) != (unmatched_weight is None):
            raise ValueError(
                "`matched_weight` and `unmatched_weight` are given together or not at all. Received: "
                f"matched_weight={matched_weight!r}, unmatched_weight={unmatched_weight!r}."
            )

    def counting(self, y_true: Any) -> Tensor:
        """Where a span begins."""
        mine, _ = y_true[1]
        return ops.equal(ops.cast(mine[..., 1], "int32"), _places(mine))

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        teacher, (mine, theirs) = y_true
        mine, theirs = ops.cast(mine, "int32"), ops.cast(theirs, "int32")
        self.check_tokens(teacher, y_pred)
        _check_positions(y_pred, mine, "student")
        _check_positions(teacher, theirs, "teacher")
        begins = self.counting(y_true)
        here = ops.zeros_like(mine[..., 1]) + _places(mine)
        there = ops.where(begins, mine[..., 2], 0)
        q = self._events(y_pred, mine, here, self.student_groups)
        p = self._events(ops.stop_gradient(teacher), theirs, there, self.teacher_groups)
        a, b = self._weights()
        values = a * _divergence(p[0], q[0], self.beta) + b * sorted_gap(p[1], q[1])
        return ops.where(begins, values, ops.zeros_like(values))

    def check_tokens(self, teacher: Tensor, student: Tensor) -> None:
        """Proves that logits are of the vocabularies that the groups are of, padding aside."""
        sides = (student, self.student_groups, "student"), (teacher, self.teacher_groups, "teacher")
        for logits, groups, side in sides:
            if logits.shape[-1] is not None and logits.shape[-1] < len(groups):
                raise ValueError(
                    f"the {side} gives logits of {logits.shape[-1]} tokens, and its tokenizer has "
                    f"{len(groups)}. Give gold(student_tokenizer, teacher_tokenizer) those of the two "
                    "models, in this order."
                )

    def _weights(self) -> tuple[float, float]:
        if self.matched_weight is not None and self.unmatched_weight is not None:
            return self.matched_weight, self.unmatched_weight
        share = sum(group >= 0 for group in self.teacher_groups) / len(self.teacher_groups)
        return share, 1.0 - share

    def _events(
        self, logits: Tensor, tokens: Tensor, first: Tensor, groups: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """What is expected at the beginning of each span: the logarithms of the probabilities of the
        groups and, last, of the span; and the probabilities of the tokens of no group."""
        logits = logits / self.temperature
        token, span = tokens[..., 0], tokens[..., 1]
        chosen = ops.take_along_axis(logits, ops.maximum(token, 0)[..., None], axis=-1)[..., 0]
        log_p = chosen - ops.logsumexp(logits, axis=-1)  # of the text as it is
        of_first = ops.take_along_axis(first, ops.maximum(span, 0), axis=1)
        follows = ops.logical_and(span >= 0, ops.not_equal(of_first, _places(tokens)))
        place = ops.arange(first.shape[1], dtype="int32")
        in_span = ops.cast(ops.equal(span[..., None], place), log_p.dtype)
        later = ops.einsum("blj,bl->bj", in_span, ops.where(follows, log_p, ops.zeros_like(log_p)))
        rows = ops.log_softmax(ops.take_along_axis(logits, first[..., None], axis=1), axis=-1)
        otherwise = ops.log(-ops.expm1(ops.minimum(later, math.log1p(-_LEAST))))
        begun = ops.take_along_axis(token, first, axis=1)[..., None]
        is_begun = ops.equal(begun, ops.arange(logits.shape[-1], dtype="int32"))
        rows = ops.where(is_begun, rows + otherwise[..., None], rows)
        written = ops.take_along_axis(log_p, first, axis=1) + later
        events = ops.concatenate([_grouped(rows, groups), written[..., None]], axis=-1)
        alone = [i for i, group in enumerate(_whole(groups, logits)) if group < 0]
        return events, ops.exp(ops.take(rows, np.array(alone, "int32"), axis=-1))


def _divergence(log_p: Tensor, log_q: Tensor, beta: Any) -> Tensor:
    """Generalized Jensen-Shannon divergence, which by itself does not need sums of 1; at the ends
    the KL, with the difference of the sums."""
    if is_number(beta) and beta in (0.0, 1.0):
        a, b = (log_p, log_q) if beta == 0.0 else (log_q, log_p)
        return ops.sum(ops.exp(a) * (a - b - 1.0) + ops.exp(b), axis=-1)
    beta = ops.cast(beta, log_p.dtype)
    log_m = ops.logaddexp(ops.log(beta) + log_p, ops.log1p(-beta) + log_q)
    p, q = beta * ops.exp(log_p), (1.0 - beta) * ops.exp(log_q)
    return ops.sum(p * (log_p - log_m) + q * (log_q - log_m), axis=-1)


def _grouped(rows: Tensor, groups: Sequence[int]) -> Tensor:
    """The logarithm of each group's probability, from those of the tokens."""
    whole = np.array(_whole(groups, rows), "int32")
    number = int(whole.max()) + 1
    if not number:
        return rows[..., :0]
    if (np.bincount(whole[whole >= 0]) == 1).all():  # nothing to add up
        return ops.take(rows, np.argsort(np.where(whole < 0, len(whole), whole))[:number], axis=-1)
    known = np.flatnonzero(whole >= 0)
    ids = ops.convert_to_tensor(whole[known])
    by_token = ops.transpose(ops.reshape(ops.take(rows, known, axis=-1), (-1, len(known))))
    most = ops.segment_max(ops.stop_gradient(by_token), ids, num_segments=number)
    shares = ops.exp(by_token - ops.take(most, ids, axis=0))
    sums = ops.log(ops.segment_sum(shares, ids, num_segments=number)) + most
    return ops.reshape(ops.transpose(sums), (*ops.shape(rows)[:-1], number))


def _whole(groups: Sequence[int], logits: Tensor) -> list[int]:
    """The groups, and for the padding of a vocabulary none."""
    return [*groups, *[-1] * (logits.shape[-1] - len(groups))]


def _places(tokens: Tensor) -> Tensor:
    return ops.arange(tokens.shape[1], dtype="int32")


def _groups(groups: Sequence[int], argument: str) -> list[int]:
    found = [count(group, argument, least=-1) for group in groups]
    if not found:
        raise ValueError(f"`{argument}` must name the group of each token. Received: none.")
    return found


def _weight(value: float | None, argument: str) -> float | None:
    if value is None:
        return None
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(
            f"`{argument}` must be a number of at least 0, or None. Received: {argument}={value!r}."
        )
    return float(value)


def _check_positions(logits: Tensor, spans: Tensor, side: str) -> None:
    """Proves that logits are of the positions that the spans are of."""
    positions = logits.shape[1]
    if None not in (positions, spans.shape[1]) and positions != spans.shape[1]:
        raise ValueError(
            f"the {side} gives {positions} positions, and the spans have {spans.shape[1]}. Feed "
            "keras_kd.sources.TwoTokenizers, which brings the inputs and their spans."
        )
