"""Recipes on the insides of transformers."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_kd import losses, projectors
from keras_kd._core.models import no_model
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Terms, each, labels, paired, recipe, shaped
from keras_kd.recipes._transformer_layers import Block, blocks, layer_pairs
from keras_kd.terms import Term


@recipe
def tinybert(
    student: keras.Model | None = None,
    teacher: keras.Model | None = None,
    *,
    pred: Sequence[str] | None = None,
    target: Sequence[str] | None = None,
    pred_scores: Sequence[str] = (),
    target_scores: Sequence[str] = (),
    scores: bool = True,
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
) -> Terms:
    """TinyBERT: hidden states and attention scores of a transformer, layer by layer.

    `loss = Σ mean (linear(pred) - target)² + Σ mean (pred_scores - target_scores)²`

    Layer `i` of the student learns from layer `i · k` of a teacher `k` times as deep. The outputs
    are learned afterwards, or at once by adding `hinton()`.

    Given the two models, transformers of keras-hub for example, it finds these layers itself: the
    hidden states of each of the student's, and its attention scores where both have as many heads
    (`scores=False` leaves them out). Fused attention shows no scores; they are computed again
    from its queries and keys, rotated, capped and masked as there.

    Args:
        student: The student; or none, and `pred` names its layers. Defaults to `None`.
        teacher: The teacher; or none, and `target` names its layers. Defaults to `None`.
        pred: Addresses of the student's hidden states, `(batch, positions, features)`. Defaults to
            its transformer layers.
        target: Addresses of as many of the teacher's. Defaults to its transformer layers, evenly
            spread, the last with the last.
        pred_scores: Addresses of the student's attention scores before their softmax, `(batch,
            heads, queries, keys)`; of an attention layer, `"student:.../attention/scores"`.
            Defaults to none where `pred` is given.
        target_scores: Addresses of as many of the teacher's; as many heads. Defaults to none where
            `target` is given.
        scores: Whether the scores of models are compared. Defaults to `True`.
        weight: Weight of each term. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If neither models nor addresses are given, or both; if a model has no layers
            that hold an attention; or if the heads of the two differ in number.

    Example:

    >>> terms = keras_kd.recipes.tinybert(pred=["student:a"], target=["teacher:b"])
    >>> [(term.name, term.weight) for term in terms]
    [('hidden', 1.0)]

    Reference: Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding",
    Findings of EMNLP 2020, arXiv:1909.10351, section 3.1.
    """
    if models := _models("tinybert", (student, teacher), (pred, target)):
        pairs = layer_pairs(blocks(models[0], "student"), blocks(models[1], "teacher"))
        pred, target = [s.hidden for s, _ in pairs], [t.hidden for _, t in pairs]
        if scores:
            _check_heads(*pairs[0])
            pred_scores, target_scores = [s.scores for s, _ in pairs], [t.scores for _, t in pairs]
    hidden = [
        shaped(losses.HiddenStateMatch(), s, t, projectors.LinearRegressor(), weight, "hidden")
        for s, t in paired(pred or (), target or ())
    ]
    attention: Terms = []
    if pred_scores or target_scores:
        attention = each(pred_scores, target_scores, losses.AttentionScoreMatch, weight, "scores")
    return [*labels(labels_weight), *hidden, *attention]


@recipe
def minilm(
    student: keras.Model | None = None,
    teacher: keras.Model | None = None,
    *,
    pred: tuple[str, str, str] | None = None,
    target: tuple[str, str, str] | None = None,
    heads: int | None = None,
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
) -> Terms:
    """MiniLM: the last layer's relations between queries, between keys and between values.

    `loss = KL(softmax(Q Kᵀ / √d)) + KL(softmax(V Vᵀ / √d))`, teacher against student

    Given the two models, transformers of keras-hub for example, it finds their last layers itself.
    Queries and keys are compared as their layers return them, before positions rotate them; where
    several queries share a key, it counts for each.

    Args:
        student: The student; or none, and `pred` names its layers. Defaults to `None`.
        teacher: The teacher; or none, and `target` names its layers. Defaults to `None`.
        pred: Addresses of the student's queries, keys and values in its last layer, `(batch,
            positions, heads, width)` or `(batch, positions, features)`; of a Keras
            `MultiHeadAttention` these are its layers `query`, `key` and `value`. Defaults to those
            of the student's last layer.
        target: Addresses of the teacher's. Defaults to those of its last layer.
        heads: Number of heads that both are divided into. Defaults to the teacher's number, or the
            nearest below it that divides the features of both; with addresses, to `12`.
        weight: Weight of each term. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If neither models nor addresses are given, or both; or if a model has no layers
            that hold an attention.

    Example:

    >>> pred = "student:last/query", "student:last/key", "student:last/value"
    >>> target = "teacher:last/query", "teacher:last/key", "teacher:last/value"
    >>> terms = keras_kd.recipes.minilm(pred=pred, target=target)
    >>> [(term.name, term.weight) for term in terms]
    [('attention', 1.0), ('values', 1.0)]

    Reference: Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic
    Compression of Pre-Trained Transformers", NeurIPS 2020, arXiv:2002.10957, section 3.
    """
    if models := _models("minilm", (student, teacher), (pred, target)):
        last, teachers = blocks(models[0], "student")[-1], blocks(models[1], "teacher")[-1]
        pred, target = last.projections, teachers.projections
        heads = _common_heads(last, teachers) if heads is None else heads
    heads = 12 if heads is None else heads
    assert pred and target, "either was given"
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


def _models(
    name: str, models: tuple[Any, Any], addresses: tuple[Any, Any]
) -> tuple[keras.Model, keras.Model] | None:
    """The student and the teacher; `None` when addresses of their layers are given instead."""
    by_models, by_addresses = ([one is not None for one in pair] for pair in (models, addresses))
    if [all(by_models), any(by_models)] == [all(by_addresses), any(by_addresses)] or any(
        any(given) and not all(given) for given in (by_models, by_addresses)
    ):
        raise TypeError(
            f"The recipe '{name}' needs the two models, keras_kd.recipes.{name}(student, teacher), or "
            f"addresses of their layers, keras_kd.recipes.{name}(pred=..., target=...); one of the "
            f"two. Received: student={_shown(models[0])}, teacher={_shown(models[1])}, "
            f"pred={addresses[0]!r}, target={addresses[1]!r}."
        )
    if not all(by_models):
        return None
    for role, model in zip(("student", "teacher"), models, strict=True):
        if not isinstance(model, keras.Model):
            raise no_model(model, role)
    return models


def _shown(model: Any) -> str:
    return f"'{model.name}'" if isinstance(model, keras.Model) else repr(model)


def _check_heads(student: Block, teacher: Block) -> None:
    if None not in (student.heads, teacher.heads) and student.heads != teacher.heads:
        raise ValueError(
            f"Attention scores are compared head by head, and the student has {student.heads} heads, "
            f"the teacher {teacher.heads}. Leave them out, keras_kd.recipes.tinybert(student, teacher, "
            "scores=False), or take keras_kd.recipes.minilm, which divides both into as many."
        )


def _common_heads(student: Block, teacher: Block) -> int | None:
    """The teacher's number of heads, or the nearest below it that divides the features of both."""
    if student.features is None or teacher.features is None or teacher.heads is None:
        return None
    counts = range(teacher.heads, 0, -1)
    return next(n for n in counts if not (student.features % n or teacher.features % n))
