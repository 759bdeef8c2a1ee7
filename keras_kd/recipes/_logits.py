"""Recipes on the answers: the student's logits and the teacher's."""

from keras_kd import losses, projectors
from keras_kd._core.addresses import LABELS
from keras_kd._core.numbers import Number
from keras_kd.recipes._lists import Terms, labels
from keras_kd.schedules import LinearWarmup
from keras_kd.terms import Term


def hinton(
    temperature: Number = 4.0,
    alpha: float = 0.5,
    *,
    student: str = "student:output",
    teacher: str = "teacher:output",
) -> Terms:
    """Soft targets beside the labels.

    `loss = (1 - alpha) · cross_entropy(labels) + alpha · T² · KL(teacher ‖ student)`

    Args:
        temperature: `T`; a float or a schedule. Defaults to `4.0`, the literature's value for
            CIFAR-100.
        alpha: Share of the teacher, from 0 to 1. Defaults to `0.5`; RepDistiller's CIFAR-100
            table uses `0.9`.
        student: Address of the logits that learn. Defaults to `"student:output"`.
        teacher: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms; with `alpha=1` there is no label term, and no labels are needed.

    Raises:
        ValueError: If `alpha` is not between 0 and 1, or `temperature` not above 0.

    Example:

    >>> [(term.name, round(term.weight, 1)) for term in keras_kd.recipes.hinton(alpha=0.9)]
    [('labels', 0.1), ('soft_target', 0.9)]

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531, section 2.
    """
    _share(alpha)
    soft = Term(losses.SoftTarget(temperature), pred=student, target=teacher, weight=alpha)
    return [*labels(1 - alpha, student), soft]


def logit_standardization(
    temperature: Number = 2.0,
    *,
    weight: Number = 9.0,
    labels_weight: Number = 0.1,
    student: str = "student:output",
    teacher: str = "teacher:output",
) -> Terms:
    """Soft targets between logits brought to mean 0 and deviation 1, row by row.

    `loss = 0.1 · cross_entropy(labels) + 9 · T² · KL(z(teacher) ‖ z(student))`

    The student is free to choose the size of its logits; only their shape is compared. It costs
    nothing, and is the first thing to try after `hinton`.

    Args:
        temperature: `T`; a float or a schedule. Defaults to `2.0`.
        weight: Weight of the teacher. Defaults to `9.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.1`.
        student: Address of the logits that learn. Defaults to `"student:output"`.
        teacher: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.logit_standardization()
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 0.1), ('standardized_soft_target', 9.0)]

    Reference: Sun et al., "Logit Standardization in Knowledge Distillation", CVPR 2024,
    arXiv:2403.01427, section 4.
    """
    loss = losses.StandardizedSoftTarget(temperature)
    soft = Term(loss, pred=student, target=teacher, weight=weight)
    return [*labels(labels_weight, student), soft]


def dkd(
    alpha: Number = 1.0,
    beta: Number = 8.0,
    temperature: Number = 4.0,
    *,
    warmup: int = 0,
    weight: float = 1.0,
    labels_weight: Number = 1.0,
    student: str = "student:output",
    teacher: str = "teacher:output",
) -> Terms:
    """Decoupled soft targets: how sure of the right class, and what the others look like, apart.

    `loss = cross_entropy(labels) + T² · (α · TCKD + β · NCKD)`

    Args:
        alpha: Weight of the right class against all others. Defaults to `1.0`.
        beta: Weight of the others among themselves. Defaults to `8.0`; the paper takes from 2 to
            8 on CIFAR-100, the larger the surer the teacher, and 0.5 on ImageNet at `T = 1`.
        temperature: `T`; a float or a schedule. Defaults to `4.0`.
        warmup: Training steps in which the weight of the teacher rises from 0 along a line.
            Defaults to `0`, none; the paper takes 20 epochs, `20 * len(dataset)`.
        weight: Weight of the teacher. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        student: Address of the logits that learn. Defaults to `"student:output"`.
        teacher: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms. The labels are needed whatever their weight, as class numbers.

    Example:

    >>> terms = keras_kd.recipes.dkd(warmup=100)
    >>> float(terms[1].weight(50))
    0.5

    Reference: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679,
    section 3.
    """
    soft = Term(
        losses.DecoupledSoftTarget(alpha, beta, temperature),
        pred=student,
        target=(teacher, LABELS),
        weight=LinearWarmup(weight, steps=warmup) if warmup else weight,
    )
    return [*labels(labels_weight, student), soft]


def dist(
    beta: Number = 1.0,
    gamma: Number = 1.0,
    temperature: Number = 4.0,
    *,
    weight: Number = 2.0,
    labels_weight: Number = 1.0,
    student: str = "student:output",
    teacher: str = "teacher:output",
) -> Terms:
    """Correlation in place of equality: the student ranks as the teacher does.

    `loss = cross_entropy(labels) + 2 · T² · (β · inter + γ · intra)`

    For teachers much stronger than the student.

    Args:
        beta: Weight of the correlation over the classes of each example. Defaults to `1.0`.
        gamma: Weight of the correlation over the examples of each class. Defaults to `1.0`.
        temperature: `T`; a float or a schedule. Defaults to `4.0`, for CIFAR-100; the paper takes
            `1.0` on ImageNet.
        weight: Weight of the teacher. Defaults to `2.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        student: Address of the logits that learn. Defaults to `"student:output"`.
        teacher: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.dist()]
    [('labels', 1.0), ('correlation_target', 2.0)]

    Reference: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022,
    arXiv:2205.10536, section 3.
    """
    loss = losses.CorrelationTarget(beta, gamma, temperature)
    soft = Term(loss, pred=student, target=teacher, weight=weight)
    return [*labels(labels_weight, student), soft]


def nkd(
    gamma: Number = 1.5,
    temperature: Number = 1.0,
    *,
    labels_weight: Number = 1.0,
    student: str = "student:output",
    teacher: str = "teacher:output",
) -> Terms:
    """Soft targets in two cross-entropies, the other classes normalised among themselves.

    `loss = cross_entropy(labels) - p_y log q_y - γ · T² · Σ_{c≠y} P_c log Q_c`

    Args:
        gamma: Weight of the other classes. Defaults to `1.5`.
        temperature: `T` of the other classes; a float or a schedule. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        student: Address of the logits that learn. Defaults to `"student:output"`.
        teacher: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms. The labels are needed whatever their weight, as class numbers.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.nkd()]
    [('labels', 1.0), ('normalized_target', 1.0)]

    Reference: Yang et al., "From Knowledge Distillation to Self-Knowledge Distillation: A Unified
    Approach with Normalized Loss and Customized Soft Labels", ICCV 2023, arXiv:2303.13005.
    """
    loss = losses.NormalizedTarget(gamma, temperature)
    return [*labels(labels_weight, student), Term(loss, pred=student, target=(teacher, LABELS))]


def wsld(
    alpha: Number = 2.25,
    temperature: Number = 4.0,
    *,
    labels_weight: Number = 1.0,
    student: str = "student:output",
    teacher: str = "teacher:output",
) -> Terms:
    """Soft targets that count less where the student already does better than the teacher.

    `loss = cross_entropy(labels) + α · T² · w · Σ_c -p_c log q_c`

    Args:
        alpha: Weight of the teacher. Defaults to `2.25`.
        temperature: `T`; a float or a schedule. Defaults to `4.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        student: Address of the logits that learn. Defaults to `"student:output"`.
        teacher: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms. The labels are needed whatever their weight, as class numbers.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.wsld()]
    [('labels', 1.0), ('weighted_soft_target', 1.0)]

    Reference: Zhou et al., "Rethinking Soft Labels for Knowledge Distillation: A Bias-Variance
    Tradeoff Perspective", ICLR 2021, arXiv:2102.00650, section 4.
    """
    loss = losses.WeightedSoftTarget(alpha, temperature)
    return [*labels(labels_weight, student), Term(loss, pred=student, target=(teacher, LABELS))]


def deit(
    alpha: float = 0.5,
    *,
    student: str = "student:output",
    distilled: str | None = None,
    teacher: str = "teacher:output",
) -> Terms:
    """The teacher as a labeller: its likeliest class is a second label.

    `loss = (1 - α) · cross_entropy(labels) + α · cross_entropy(argmax teacher)`

    Args:
        alpha: Share of the teacher, from 0 to 1. Defaults to `0.5`.
        student: Address of the logits that learn from the labels. Defaults to `"student:output"`.
        distilled: Address of the logits that learn from the teacher, when the student has a head
            of their own for them (a distillation token). Defaults to `None`, those of `student`.
        teacher: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If `alpha` is not between 0 and 1.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.deit()]
    [('labels', 0.5), ('hard_target', 0.5)]

    Reference: Touvron et al., "Training data-efficient image transformers & distillation through
    attention", ICML 2021, arXiv:2012.12877, section 4.
    """
    _share(alpha)
    hard = Term(losses.HardTarget(), pred=distilled or student, target=teacher, weight=alpha)
    return [*labels(1 - alpha, student), hard]


def tf_kd(
    alpha: float = 0.1,
    temperature: Number = 20.0,
    *,
    correct: float = 0.99,
    student: str = "student:output",
) -> Terms:
    """Distillation without a teacher: a made-up one that is nearly always right.

    `loss = (1 - α) · cross_entropy(labels) + α · T² · KL(made up ‖ student)`

    Args:
        alpha: Share of the made-up teacher, from 0 to 1. Defaults to `0.1`.
        temperature: `T`; a float or a schedule. Defaults to `20.0`.
        correct: Probability that the made-up teacher gives the right class. Defaults to `0.99`.
        student: Address of the logits that learn. Defaults to `"student:output"`.

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
    _share(alpha)
    loss = losses.VirtualTarget(correct, temperature)
    soft = Term(loss, pred=student, target=LABELS, weight=alpha)
    return [*labels(1 - alpha, student), soft]


def ctkd(
    alpha: float = 0.9,
    *,
    steps: int,
    student: str = "student:output",
    teacher: str = "teacher:output",
) -> Terms:
    """Soft targets at a temperature that learns to make the lesson harder.

    `loss = (1 - α) · cross_entropy(labels) + α · T² · KL(teacher ‖ student)`

    with `T = 1 + 20 · σ(θ)`, where `θ` goes up the loss and not down, the more so the longer
    training goes on.

    Args:
        alpha: Share of the teacher, from 0 to 1. Defaults to `0.9`.
        steps: Training steps until the temperature learns at full rate; the paper takes 10
            epochs, `10 * len(dataset)`.
        student: Address of the logits that learn. Defaults to `"student:output"`.
        teacher: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If `alpha` is not between 0 and 1, or `steps` not above 0.

    Example:

    >>> terms = keras_kd.recipes.ctkd(steps=1000)
    >>> [(term.name, round(term.weight, 1)) for term in terms]
    [('labels', 0.1), ('curriculum_target', 0.9)]

    Reference: Li et al., "Curriculum Temperature for Knowledge Distillation", AAAI 2023,
    arXiv:2211.16231, section 3.
    """
    _share(alpha)
    soft = Term(
        losses.CurriculumTarget(),
        pred=student,
        target=teacher,
        projector=projectors.Temperature(steps),
        weight=alpha,
    )
    return [*labels(1 - alpha, student), soft]


def gkd(
    beta: float = 0.5,
    temperature: Number = 1.0,
    *,
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
    student: str = "student:output",
    teacher: str = "teacher:output",
) -> Terms:
    """Sequences, position by position, between the teacher's distribution and the student's own.

    `loss = β · KL(teacher ‖ M) + (1 - β) · KL(student ‖ M)`, `M = (1 - β) · student + β · teacher`

    It goes with sequences that the student itself has written, which is up to who feeds the data.

    Args:
        beta: From 0, the KL from the teacher, to 1, the KL from the student. Defaults to `0.5`.
        temperature: `T`; a float or a schedule. Defaults to `1.0`.
        weight: Weight of the teacher. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.
        student: Address of the logits that learn. Defaults to `"student:output"`.
        teacher: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.gkd()]
    [('jensen_shannon', 1.0)]

    Reference: Agarwal et al., "On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes", ICLR 2024, arXiv:2306.13649, section 3.
    """
    loss = losses.JensenShannon(beta, temperature)
    soft = Term(loss, pred=student, target=teacher, weight=weight)
    return [*labels(labels_weight, student), soft]


def _share(alpha: float) -> None:
    if not 0 <= alpha <= 1:
        raise ValueError(
            "`alpha` is the teacher's share and lies between 0 and 1: "
            f"(1 - alpha) · labels + alpha · teacher. Received: alpha={alpha!r}."
        )
