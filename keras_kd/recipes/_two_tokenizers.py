"""The recipe for a teacher with another tokenizer, as `keras_kd.sources.TwoTokenizers` feeds it."""

from collections.abc import Mapping
from typing import Any

from keras_kd import losses
from keras_kd._core.addresses import SPANS
from keras_kd._core.scalars import Number
from keras_kd._core.token_texts import both_tokens, groups_of
from keras_kd.recipes._building_blocks import Terms, labels, recipe
from keras_kd.terms import Term


@recipe
def gold(
    student_tokenizer: Any,
    teacher_tokenizer: Any,
    *,
    temperature: Number = 1.0,
    beta: float = 0.0,
    matched_weight: float | None = None,
    unmatched_weight: float | None = None,
    by_prefix: bool = True,
    special_tokens: Mapping[str, str] | None = None,
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """A teacher with another tokenizer: a divergence over the spans of text that both sides have.

    Where a span begins, both models have read the same text. How likely they find the span, by the
    chain of its tokens, and what else they expect in its place, is compared: tokens that mean the
    same by the divergence of `gkd`, others by how their probability is spread. See
    `keras_kd.losses.SpanTarget` for the formula, and feed `keras_kd.sources.TwoTokenizers`, with
    which each model sees tokens of its own. With one tokenizer on both sides it is `gkd`.

    `loss = a · JSD(matched tokens, span) + b · ULD(other tokens)`

    Tokens are matched by their bytes, whether they are written in the way of GPT-2 or of
    SentencePiece. `by_prefix`, a token that the other side lacks counts with the longest one there
    that it begins with: with `" mov"` there, `" movie"` and `" moving"` here together stand for what
    that one does. Without it such tokens are the others, as in the paper; then the student unlearns
    tokens that the teacher has not.

    Args:
        student_tokenizer: The student's tokenizer: of KerasHub, or of the package `tokenizers`; or a
            preprocessor of KerasHub.
        teacher_tokenizer: The teacher's.
        temperature: `T`; a float or a schedule. Defaults to `1.0`.
        beta: From 0, the KL from the teacher, to 1, the KL from the student. Defaults to `0.0`.
        matched_weight: The weight `a`. Defaults to `None`: the share of the teacher's tokens that
            are matched.
        unmatched_weight: The weight `b`. Defaults to `None`: the rest of 1.
        by_prefix: Whether a token is matched by its beginning where the other side lacks it. Defaults
            to `True`.
        special_tokens: Special tokens of the student by those of the teacher that mean the same, as
            `{"<end>": "</s>"}`. Defaults to `None`: the ends and starts of KerasHub's tokenizers, and
            those that are written alike.
        weight: Weight of the teacher. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Raises:
        TypeError: If a tokenizer does not tell its tokens by their ids.
        ValueError: If the tokenizers have no token in common, or `special_tokens` names one that is
            not there.

    Example:

    >>> class Tokenizer:
    ...     def __init__(self, *tokens): self.tokens = tokens
    ...     def vocabulary_size(self): return len(self.tokens)
    ...     def id_to_token(self, id): return self.tokens[id]
    >>> student, teacher = Tokenizer("a", "b", "ab", "c"), Tokenizer("c", "b", "a")
    >>> term, = keras_kd.recipes.gold(student, teacher, beta=0.0)
    >>> term.loss.student_groups, term.loss.teacher_groups  # "ab" begins with the teacher's "a"
    ([0, 1, 0, 2], [2, 1, 0])

    Reference: Patiño et al., "Unlocking On-Policy Distillation for Any Model Family", Hugging Face,
    2025, https://huggingface.co/spaces/HuggingFaceH4/on-policy-distillation.
    """
    tokens = both_tokens(student_tokenizer, teacher_tokenizer, special_tokens)
    groups = groups_of(*tokens, by_prefix=by_prefix)
    if max(groups[0], default=-1) < 0:
        raise ValueError(
            "The two tokenizers have no token in common, by the bytes that their tokens stand for, "
            f"among {len(tokens[0])} and {len(tokens[1])}. Give tokenizers that read text."
        )
    loss = losses.SpanTarget(
        *groups, beta=beta, temperature=temperature, matched_weight=matched_weight,
        unmatched_weight=unmatched_weight,
    )  # fmt: skip
    soft = Term(loss, pred=pred, target=(target, SPANS), weight=weight)
    return [*labels(labels_weight, pred), soft]
