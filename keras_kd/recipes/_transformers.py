"""Recipes on the insides of transformers."""

from collections.abc import Sequence

from keras_kd import losses, projectors
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Terms, each, labels, paired, recipe, shaped
from keras_kd.terms import Term


@recipe
def tinybert(
    *,
    pred: Sequence[str],
    target: Sequence[str],
    pred_scores: Sequence[str] = (),
    target_scores: Sequence[str] = (),
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
) -> Terms:
    """TinyBERT: hidden states and attention scores of a transformer, layer by layer.

    `loss = Σ mean (linear(pred) - target)² + Σ mean (pred_scores - target_scores)²`

    Layer `i` of the student learns from layer `i · k` of a teacher `k` times as deep. The outputs
    are learned afterwards, or at once by adding `hinton()`.

    Args:
        pred: Addresses of the student's hidden states, `(batch, positions, features)`.
        target: Addresses of as many of the teacher's.
        pred_scores: Addresses of the student's attention scores before their softmax, `(batch,
            heads, queries, keys)`. Defaults to none.
        target_scores: Addresses of as many of the teacher's; as many heads. Defaults to none.
        weight: Weight of each term. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.tinybert(pred=["student:a"], target=["teacher:b"])
    >>> [(term.name, term.weight) for term in terms]
    [('hidden', 1.0)]

    Reference: Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding",
    Findings of EMNLP 2020, arXiv:1909.10351, section 3.1.
    """
    hidden = [
        shaped(losses.HiddenStateMatch(), s, t, projectors.LinearRegressor(), weight, "hidden")
        for s, t in paired(pred, target)
    ]
    scores: Terms = []
    if pred_scores or target_scores:
        scores = each(pred_scores, target_scores, losses.AttentionScoreMatch, weight, "scores")
    return [*labels(labels_weight), *hidden, *scores]


@recipe
def minilm(
    *,
    pred: tuple[str, str, str],
    target: tuple[str, str, str],
    heads: int = 12,
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
) -> Terms:
    """MiniLM: the last layer's relations between queries, between keys and between values.

    `loss = KL(softmax(Q Kᵀ / √d)) + KL(softmax(V Vᵀ / √d))`, teacher against student

    Args:
        pred: Addresses of the student's queries, keys and values in its last layer, `(batch,
            positions, heads, width)` or `(batch, positions, features)`; of a Keras
            `MultiHeadAttention` these are its layers `query`, `key` and `value`.
        target: Addresses of the teacher's.
        heads: Number of heads that both are divided into. Defaults to `12`.
        weight: Weight of each term. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.

    Returns:
        A list of terms.

    Example:

    >>> pred = "student:last/query", "student:last/key", "student:last/value"
    >>> target = "teacher:last/query", "teacher:last/key", "teacher:last/value"
    >>> terms = keras_kd.recipes.minilm(pred=pred, target=target)
    >>> [(term.name, term.weight) for term in terms]
    [('attention', 1.0), ('values', 1.0)]

    Reference: Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic
    Compression of Pre-Trained Transformers", NeurIPS 2020, arXiv:2002.10957, section 3.
    """
    (q, k, v), (tq, tk, tv) = pred, target
    relations = [("attention", (q, k), (tq, tk)), ("values", (v, v), (tv, tv))]
    terms = [
        Term(
            losses.RelationMatch(),
            pred=s,
            target=t,
            projector=projectors.Heads(heads),
            target_projector=projectors.Heads(heads),
            weight=weight,
            name=name,
        )
        for name, s, t in relations
    ]
    return [*labels(labels_weight), *terms]
