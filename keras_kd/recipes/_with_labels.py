"""Recipes on logits that treat the labeled class apart from the others."""

from keras_kd import losses
from keras_kd._core.addresses import LABELS
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Terms, labels, recipe, rest
from keras_kd.schedules import LinearWarmup
from keras_kd.terms import Term


@recipe
def dkd(
    *,
    temperature: Number = 4.0,
    alpha: Number = 1.0,
    beta: Number = 8.0,
    warmup: int = 0,
    weight: float = 1.0,
    labels_weight: Number = 1.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Decoupled distillation: the right class and the other classes have a weight each.

    `loss = cross_entropy(labels) + T² · (α · TCKD + β · NCKD)`

    Args:
        temperature: `T`; a float or a schedule. Defaults to `4.0`.
        alpha: Weight of the right class against all others. Defaults to `1.0`.
        beta: Weight of the others among themselves. Defaults to `8.0`; the paper takes from 2 to
            8 on CIFAR-100, the larger the surer the teacher, and 0.5 on ImageNet at `T = 1`.
        warmup: Training steps in which the weight of the teacher rises from 0 along a line.
            Defaults to `0`, none; the paper takes 20 epochs, `20 * len(dataset)`.
        weight: Weight of the teacher. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms. The labels are needed whatever their weight, as class numbers or exact
        one-hot rows.

    Example:

    >>> terms = keras_kd.recipes.dkd(warmup=100)
    >>> float(terms[1].weight(50))
    0.5

    Reference: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679,
    section 3.
    """
    soft = Term(
        losses.DecoupledSoftTarget(alpha, beta, temperature),
        pred=pred,
        target=(target, LABELS),
        weight=LinearWarmup(weight, steps=warmup) if warmup else weight,
    )
    return [*labels(labels_weight, pred), soft]


@recipe
def nkd(
    *,
    temperature: Number = 1.0,
    gamma: Number = 1.5,
    weight: Number = 1.0,
    labels_weight: Number = 1.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Normalized distillation: soft targets with the other classes normalized among themselves.

    `loss = cross_entropy(labels) - p_y log q_y - γ · T² · Σ_{c≠y} P_c log Q_c`

    Args:
        temperature: `T` of the other classes; a float or a schedule. Defaults to `1.0`.
        gamma: Weight of the other classes. Defaults to `1.5`.
        weight: Weight of the teacher. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms. The labels are needed whatever their weight, as class numbers or exact
        one-hot rows.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.nkd()]
    [('labels', 1.0), ('normalized_target', 1.0)]

    Reference: Yang et al., "From Knowledge Distillation to Self-Knowledge Distillation: A Unified
    Approach with Normalized Loss and Customized Soft Labels", ICCV 2023, arXiv:2303.13005.
    """
    loss = losses.NormalizedTarget(gamma, temperature)
    soft = Term(loss, pred=pred, target=(target, LABELS), weight=weight)
    return [*labels(labels_weight, pred), soft]


@recipe
def wsld(
    *,
    temperature: Number = 4.0,
    weight: Number = 2.25,
    labels_weight: Number = 1.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Weighted soft labels: soft targets count less where the student is the better one.

    `loss = cross_entropy(labels) + 2.25 · T² · w · Σ_c -p_c log q_c`

    Args:
        temperature: `T`; a float or a schedule. Defaults to `4.0`.
        weight: Weight of the teacher, `α` in the paper. Defaults to `2.25`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms. The labels are needed whatever their weight, as class numbers or exact
        one-hot rows.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.wsld()]
    [('labels', 1.0), ('weighted_soft_target', 2.25)]

    Reference: Zhou et al., "Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance
    Tradeoff Perspective", ICLR 2021, arXiv:2102.00650, section 4.
    """
    loss = losses.WeightedSoftTarget(1.0, temperature)
    soft = Term(loss, pred=pred, target=(target, LABELS), weight=weight)
    return [*labels(labels_weight, pred), soft]


@recipe
def tf_kd(
    *,
    temperature: Number = 20.0,
    alpha: float = 0.1,
    correct: float = 0.99,
    labels_weight: Number | None = None,
    pred: str = "student:output",
) -> Terms:
    """Teacher-free distillation: soft targets of a virtual teacher that is nearly always right.

    `loss = (1 - α) · cross_entropy(labels) + α · T² · KL(made up ‖ student)`

    Args:
        temperature: `T`; a float or a schedule. Defaults to `20.0`.
        alpha: Share of the made-up teacher, from 0 to 1. Defaults to `0.1`.
        correct: Probability that the made-up teacher gives the right class. Defaults to `0.99`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `None`, `1 - alpha`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.

    Returns:
        A list of terms; no teacher is needed. The labels are class numbers.

    Raises:
        ValueError: If `alpha` is not between 0 and 1.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.tf_kd()]
    [('labels', 0.9), ('virtual_target', 0.1)]

    Reference: Yuan et al., "Revisiting Knowledge Distillation via Label Smoothing
    Regularization", CVPR 2020, arXiv:1909.11723, section 4.
    """
    loss = losses.VirtualTarget(correct, temperature)
    soft = Term(loss, pred=pred, target=LABELS, weight=alpha)
    return [*labels(rest(alpha, labels_weight), pred), soft]
