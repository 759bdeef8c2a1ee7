"""Recipes on feature maps: where layers are active, how they lead to one another."""

from itertools import pairwise

from keras_kd import losses, projectors
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Layers, Terms, each, labels, listed, paired, recipe
from keras_kd.schedules import LinearWarmup
from keras_kd.terms import Term


@recipe
def attention_transfer(
    *, pred: Layers, target: Layers, weight: Number = 1000.0, labels_weight: Number = 1.0
) -> Terms:
    """Attention transfer: the student's layers are active where the teacher's are.

    `loss = cross_entropy(labels) + 1000 · Σ over pairs of mean (map(pred) - map(target))²`

    Needs no projectors: maps have no channels, and the larger is pooled to the smaller.

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        weight: Weight of each pair. Defaults to `1000.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.attention_transfer(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('attention', 1000.0)]

    Reference: Zagoruyko, Komodakis, "Paying More Attention to Attention", ICLR 2017,
    arXiv:1612.03928, section 3.1; the weight is that of Tian et al., ICLR 2020.
    """
    terms = each(pred, target, losses.AttentionMap, weight, "attention")
    return [*labels(labels_weight), *terms]


@recipe
def nst(
    *, pred: Layers, target: Layers, weight: Number = 50.0, labels_weight: Number = 1.0
) -> Terms:
    """Neuron selectivity transfer: the channels select the same patterns as the teacher's.

    `loss = cross_entropy(labels) + 50 · Σ over pairs of mmd²(pred, target)`

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        weight: Weight of each pair. Defaults to `50.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.nst(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('selectivity', 50.0)]

    Reference: Huang, Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity
    Transfer", 2017, arXiv:1707.01219, section 4; the weight is that of Tian et al., ICLR 2020.
    """
    terms = each(pred, target, losses.MaximumMeanDiscrepancy, weight, "selectivity")
    return [*labels(labels_weight), *terms]


@recipe
def fsp(
    *, pred: Layers, target: Layers, weight: Number = 50.0, labels_weight: Number = 1.0
) -> Terms:
    """Flow of solution procedure: how one layer leads to the next, as in the teacher.

    `loss = cross_entropy(labels) + 50 · Σ over flows of mean (G(pred) - G(target))²`

    The paper pairs layers with the same number of channels. Where the numbers differ, the
    student's layer goes through a 1×1 convolution that is learned with it.

    Args:
        pred: Addresses of two or more of the student's layers, shallow first.
        target: Addresses of as many of the teacher's.
        weight: Weight of each flow. Defaults to `50.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If there are fewer than two pairs.

    Example:

    >>> pred, target = ["student:a", "student:b"], ["teacher:a", "teacher:b"]
    >>> terms = keras_kd.recipes.fsp(pred=pred, target=target)
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('flow', 50.0)]

    Reference: Yim et al., "A Gift from Knowledge Distillation", CVPR 2017, section 3; the weight
    is that of Tian et al., ICLR 2020.
    """
    pairs = paired(pred, target)
    if len(pairs) < 2:
        raise ValueError(
            "A flow runs between two layers: list at least two, shallow first. "
            f"Received: pred={pred!r}."
        )
    flows = [
        Term(
            losses.FlowMatch(),
            pred=(s, s2, t, t2),
            target=(t, t2),
            projector=projectors.MatchedChannels(),
            weight=weight,
            name="flow",
        )
        for (s, t), (s2, t2) in pairwise(pairs)
    ]
    return [*labels(labels_weight), *flows]


@recipe
def review_kd(
    *,
    pred: Layers,
    target: Layers,
    width: int | None = None,
    warmup: int = 0,
    weight: float = 5.0,
    labels_weight: Number = 1.0,
) -> Terms:
    """Knowledge review: the student's layers learn from shallower ones of the teacher, too.

    `loss = cross_entropy(labels) + 5 · Σ over pairs of hierarchical_context(fused pred, target)`

    Args:
        pred: Addresses of the student's layers, shallow first.
        target: Addresses of as many of the teacher's.
        width: Number of channels of the fusion. Defaults to `None`, as many as the student's
            deepest layer has, and at most 512.
        warmup: Training steps in which the weight rises from 0 along a line. Defaults to `0`,
            none; the paper takes 20 epochs, `20 * len(dataset)`.
        weight: Weight of the review. Defaults to `5.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> pred, target = ["student:a", "student:b"], ["teacher:a", "teacher:b"]
    >>> terms = keras_kd.recipes.review_kd(pred=pred, target=target)
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('review', 5.0)]

    Reference: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021,
    arXiv:2104.09044, section 3.
    """
    paired(pred, target)
    review = Term(
        losses.SumOf(losses.HierarchicalContext()),
        pred=(*listed(pred), *listed(target)),
        target=tuple(listed(target)),
        projector=projectors.Fusion(width),
        weight=LinearWarmup(weight, steps=warmup) if warmup else weight,
        name="review",
    )
    return [*labels(labels_weight), review]
