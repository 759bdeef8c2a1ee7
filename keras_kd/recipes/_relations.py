"""Recipes on embeddings: how the examples of a batch stand to one another."""

from keras_kd import losses, projectors
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Layers, Terms, labels, paired, recipe
from keras_kd.terms import Term


@recipe
def sp(
    *, pred: Layers, target: Layers, weight: Number = 3000.0, labels_weight: Number = 1.0
) -> Terms:
    """Similarity-preserving distillation: examples alike for the teacher are so for the student.

    `loss = cross_entropy(labels) + 3000 · ‖G(target) - G(pred)‖² / batch²`

    Args:
        pred: Address of the student's last feature map, or a list of layers.
        target: Address of the teacher's, or a list of as many.
        weight: Weight of each pair. Defaults to `3000.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.sp(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('similarity', 3000.0)]

    Reference: Tung, Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019,
    arXiv:1907.09682; the weight is that of Tian et al., ICLR 2020, arXiv:1910.10699.
    """
    terms = [
        Term(losses.SimilarityMatrix(), pred=s, target=t, weight=weight, name="similarity")
        for s, t in paired(pred, target)
    ]
    return [*labels(labels_weight), *terms]


def _pooled(loss: losses.Loss, pred: str, target: str, weight: Number, name: str) -> Term:
    """A term on the means over the positions."""
    return Term(
        loss,
        pred=pred,
        target=target,
        projector=projectors.Pool(),
        target_projector=projectors.Pool(),
        weight=weight,
        name=name,
    )


@recipe
def rkd(
    *,
    pred: Layers,
    target: Layers,
    distance: Number = 25.0,
    angle: Number = 50.0,
    labels_weight: Number = 1.0,
) -> Terms:
    """Relational distillation: distances and angles between the examples are the teacher's.

    `loss = cross_entropy(labels) + 25 · distances + 50 · angles`, on pooled features

    Args:
        pred: Address of the student's embedding, or a list of layers.
        target: Address of the teacher's, or a list of as many.
        distance: Weight of the distances between two examples. Defaults to `25.0`.
        angle: Weight of the angles between three. Defaults to `50.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.rkd(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('distances', 25.0), ('angles', 50.0)]

    Reference: Park et al., "Relational Knowledge Distillation", CVPR 2019, arXiv:1904.05068,
    section 3.
    """
    terms: Terms = []
    for s, t in paired(pred, target):
        terms.append(_pooled(losses.DistanceRelation(), s, t, distance, "distances"))
        terms.append(_pooled(losses.AngleRelation(), s, t, angle, "angles"))
    return [*labels(labels_weight), *terms]


@recipe
def pkt(
    *, pred: Layers, target: Layers, weight: Number = 30000.0, labels_weight: Number = 1.0
) -> Terms:
    """Probabilistic knowledge transfer: an example's likely neighbors are the teacher's.

    `loss = cross_entropy(labels) + 30000 · mean p · log (p / q)`, on pooled features

    Args:
        pred: Address of the student's embedding, or a list of layers.
        target: Address of the teacher's, or a list of as many.
        weight: Weight of each pair. Defaults to `30000.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.pkt(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('neighbours', 30000.0)]

    Reference: Passalis, Tefas, "Learning Deep Representations with Probabilistic Knowledge
    Transfer", ECCV 2018, arXiv:1803.10837; the weight is that of Tian et al., ICLR 2020.
    """
    terms = [
        _pooled(losses.NeighborDistribution(), s, t, weight, "neighbours")
        for s, t in paired(pred, target)
    ]
    return [*labels(labels_weight), *terms]


@recipe
def cc(
    *, pred: Layers, target: Layers, weight: Number = 0.02, labels_weight: Number = 1.0
) -> Terms:
    """Correlation congruence: the correlations between the examples are the teacher's.

    `loss = cross_entropy(labels) + 0.02 · ‖C(target) - C(pred)‖² / batch²`, on pooled features

    Args:
        pred: Address of the student's embedding, or a list of layers.
        target: Address of the teacher's, or a list of as many.
        weight: Weight of each pair. Defaults to `0.02`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.cc(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('congruence', 0.02)]

    Reference: Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019,
    arXiv:1904.01802; the weight is that of Tian et al., ICLR 2020, whose code compares products of
    neighbouring differences in place of the paper's kernel.
    """
    terms = [
        _pooled(losses.CorrelationCongruence(), s, t, weight, "congruence")
        for s, t in paired(pred, target)
    ]
    return [*labels(labels_weight), *terms]
