"""Recipes in which the student makes what the teacher has: factors, whole maps, last features."""

from keras_kd import losses, projectors
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Layers, Terms, labels, paired, recipe, shaped


@recipe
def ft(
    *,
    pred: Layers,
    target: Layers,
    rate: float = 0.5,
    weight: Number = 200.0,
    labels_weight: Number = 1.0,
) -> Terms:
    """Factor transfer: the teacher's map in fewer channels, translated by the student.

    `loss = cross_entropy(labels) + 200 · mean |unit(translated pred) - unit(paraphrased target)|`

    The paraphraser learns alongside, by restoring the teacher's map; that cost is added too.

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        rate: Number of factors for each of the teacher's channels. Defaults to `0.5`.
        weight: Weight of each pair. Defaults to `200.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.ft(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('factors', 200.0)]

    Reference: Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor
    Transfer", NeurIPS 2018, arXiv:1802.04977; the weight is that of Tian et al., ICLR 2020.
    """
    terms = [
        shaped(
            losses.FactorMatch(), s, t, projectors.Translator(rate), weight, "factors",
            target_projector=projectors.Paraphraser(rate),
        )
        for s, t in paired(pred, target)
    ]  # fmt: skip
    return [*labels(labels_weight), *terms]


@recipe
def mgd(
    *,
    pred: Layers,
    target: Layers,
    rate: float = 0.5,
    weight: Number = 7e-5,
    labels_weight: Number = 1.0,
) -> Terms:
    """Masked generative distillation: the teacher's map from half of the student's positions.

    `loss = cross_entropy(labels) + 7e-5 · Σ over elements of (generated - target)²`

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        rate: Share of the positions that is hidden. Defaults to `0.5`.
        weight: Weight of each pair. Defaults to `7e-5`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.mgd(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('generation', 7e-05)]

    Reference: Yang et al., "Masked Generative Distillation", ECCV 2022, arXiv:2205.01529,
    section 3.
    """
    terms = [
        shaped(
            losses.MaskedGeneration(), s, t, projectors.MaskedGenerator(rate), weight, "generation"
        )
        for s, t in paired(pred, target)
    ]
    return [*labels(labels_weight), *terms]


@recipe
def simkd(
    *, pred: str, target: str, factor: int = 2, weight: Number = 1.0, labels_weight: Number = 0.0
) -> Terms:
    """SimKD: the student learns the teacher's last features, and reuses its classifier.

    `loss = mean (projector(pred) - target)²`

    What was trained is put together by
    `keras_kd.procedures.reused_classifier`: the student up to `pred`, the
    projector, and the teacher from `target` on. The student's own head is not trained.

    Args:
        pred: Address of the student's last feature map.
        target: Address of the teacher's last feature map, before its pooling.
        factor: By how much the projector divides the teacher's channels inside. Defaults to `2`.
        weight: Weight of the features. Defaults to `1.0`.
        labels_weight: Weight of the labels on the student's own head. Defaults to `0.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.simkd(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('features', 1.0)]

    Reference: Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022,
    arXiv:2203.14001, section 3.
    """
    projector = projectors.Bottleneck(factor)
    features = shaped(losses.ClassifierReuse(), pred, target, projector, weight, "features")
    return [*labels(labels_weight), features]
