"""Recipes on logits: the student's and the teacher's."""

from keras_kd import losses, projectors
from keras_kd._core.addresses import FACTORS, JVP, LABELS, OUTPUT, parse
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Terms, labels, recipe, rest
from keras_kd.terms import Term


@recipe
def hinton(
    *,
    temperature: Number = 4.0,
    alpha: float = 0.9,
    labels_weight: Number | None = None,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Knowledge distillation: soft targets beside the labels.

    `loss = (1 - alpha) · cross_entropy(labels) + alpha · T² · KL(teacher ‖ student)`

    Args:
        temperature: `T`; a float or a schedule. Defaults to `4.0`, the usual one on CIFAR-100; on
            ImageNet it is `1.0`, with `alpha=0.5`.
        alpha: Share of the teacher, from 0 to 1. Defaults to `0.9`, the usual one at this
            temperature, and the better one where images or labels are few (`benchmarks/README.md`
            has the figures); where labels are plenty and the teacher is hardly better than the
            student, a smaller share may be better.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `None`, `1 - alpha`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms; with `alpha=1` there is no label term, and no labels are needed.

    Raises:
        ValueError: If `alpha` is not between 0 and 1, or `temperature` not above 0.

    Example:

    >>> [(term.name, round(term.weight, 1)) for term in keras_kd.recipes.hinton()]
    [('labels', 0.1), ('soft_target', 0.9)]

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531, section 2.
    """
    soft = Term(losses.SoftTarget(temperature), pred=pred, target=target, weight=alpha)
    return [*labels(rest(alpha, labels_weight), pred), soft]


@recipe
def logit_standardization(
    *,
    temperature: Number = 2.0,
    weight: Number = 9.0,
    labels_weight: Number = 0.1,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Logit standardization: soft targets between logits of mean 0 and deviation 1.

    `loss = 0.1 · cross_entropy(labels) + 9 · T² · KL(z(teacher) ‖ z(student))`

    The student is free to choose the size of its logits; only their shape is compared. It costs
    nothing, and is the first thing to try after `hinton`.

    Args:
        temperature: `T`; a float or a schedule. Defaults to `2.0`.
        weight: Weight of the teacher. Defaults to `9.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.1`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

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
    soft = Term(loss, pred=pred, target=target, weight=weight)
    return [*labels(labels_weight, pred), soft]


@recipe
def ttm(
    *,
    temperature: Number = 10.0,
    weight: Number = 45.0,
    labels_weight: Number = 1.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """TTM: the teacher is softened, and the student is not.

    `loss = cross_entropy(labels) + 45 · KL(softmax(teacher / T) ‖ softmax(student))`

    Args:
        temperature: `T`; a float or a schedule. Defaults to `10.0`, the authors' for VGG networks on
            CIFAR-100, as the weight.
        weight: Weight of the teacher. Defaults to `45.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.ttm()
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('transformed_teacher', 45.0)]

    Reference: Zheng, Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024,
    arXiv:2402.11148, section 3.
    """
    loss = losses.TransformedTeacher(temperature)
    soft = Term(loss, pred=pred, target=target, weight=weight)
    return [*labels(labels_weight, pred), soft]


@recipe
def wttm(
    *,
    temperature: Number = 5.0,
    weight: Number = 4.0,
    labels_weight: Number = 1.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Weighted TTM: examples count the more, the softer the teacher is on them.

    `loss = cross_entropy(labels) + 4 · U · KL(softmax(teacher / T) ‖ softmax(student))`, with
    `U = Σ_c softmax(teacher)_c^(1/T)` of each example

    Args:
        temperature: `T`; a float or a schedule. Defaults to `5.0`, the authors' example on CIFAR-100,
            as the weight.
        weight: Weight of the teacher. Defaults to `4.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.wttm()
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('transformed_teacher', 4.0)]

    Reference: Zheng, Yang, "Knowledge Distillation Based on Transformed Teacher Matching", ICLR 2024,
    arXiv:2402.11148, section 4.
    """
    loss = losses.TransformedTeacher(temperature, weighted=True)
    soft = Term(loss, pred=pred, target=target, weight=weight)
    return [*labels(labels_weight, pred), soft]


@recipe
def abkd(
    *,
    temperature: Number = 1.0,
    alpha: float = 0.2,
    beta: float = 0.7,
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """ABKD: a divergence whose weight on large errors and on sure classes is chosen apart.

    `loss = D_αβ(softmax(teacher / T) ‖ softmax(student / T))`, which is the forward divergence at
    `α=1, β=0` and the reverse one at `α=0, β=1`

    Args:
        temperature: `T`; a float or a schedule. Defaults to `1.0`.
        alpha: Power of the teacher's probabilities; smaller, and large errors count more. Defaults to
            `0.2`, the paper's for language models, as `beta`.
        beta: Power of the student's; larger, and classes count more of which the student is sure.
            Defaults to `0.7`.
        weight: Weight of the teacher. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.abkd(labels_weight=0.5)
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 0.5), ('alpha_beta_divergence', 1.0)]

    Reference: Wang et al., "ABKD: Pursuing a Proper Allocation of the Probability Mass in Knowledge
    Distillation via α-β-Divergence", ICML 2025, arXiv:2505.04560, section 4.
    """
    loss = losses.AlphaBetaDivergence(alpha, beta, temperature)
    soft = Term(loss, pred=pred, target=target, weight=weight)
    return [*labels(labels_weight, pred), soft]


@recipe
def dist(
    *,
    temperature: Number = 4.0,
    beta: Number = 1.0,
    gamma: Number = 1.0,
    weight: Number = 2.0,
    labels_weight: Number = 1.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Distillation from a stronger teacher: the student correlates with the teacher.

    `loss = cross_entropy(labels) + 2 · T² · (β · inter + γ · intra)`

    For teachers much stronger than the student.

    Args:
        temperature: `T`; a float or a schedule. Defaults to `4.0`, for CIFAR-100; the paper takes
            `1.0` on ImageNet.
        beta: Weight of the correlation over the classes of each example. Defaults to `1.0`.
        gamma: Weight of the correlation over the examples of each class. Defaults to `1.0`.
        weight: Weight of the teacher. Defaults to `2.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.dist()]
    [('labels', 1.0), ('correlation_target', 2.0)]

    Reference: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022,
    arXiv:2205.10536, section 3.
    """
    loss = losses.CorrelationTarget(beta, gamma, temperature)
    soft = Term(loss, pred=pred, target=target, weight=weight)
    return [*labels(labels_weight, pred), soft]


@recipe
def deit(
    *,
    alpha: float = 0.5,
    labels_weight: Number | None = None,
    pred: str = "student:output",
    distilled: str | None = None,
    target: str = "teacher:output",
) -> Terms:
    """Data-efficient image transformers (DeiT): the teacher's likeliest class is a second label.

    `loss = (1 - α) · cross_entropy(labels) + α · cross_entropy(argmax teacher)`

    Args:
        alpha: Share of the teacher, from 0 to 1. Defaults to `0.5`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `None`, `1 - alpha`.
        pred: Address of the logits that learn from the labels. Defaults to `"student:output"`.
        distilled: Address of the logits that learn from the teacher, when the student has a head
            of their own for them (a distillation token). Defaults to `None`, those of `pred`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

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
    hard = Term(losses.HardTarget(), pred=distilled or pred, target=target, weight=alpha)
    return [*labels(rest(alpha, labels_weight), pred), hard]


@recipe
def sobolev(
    *,
    temperature: Number = 1.0,
    weight: Number = 1.0,
    soft_weight: Number = 1.0,
    labels_weight: Number = 1.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Sobolev training: the outputs, and their derivatives along directions of the input.

    `loss = cross_entropy(labels) + T² · KL(teacher ‖ student) + ‖(J_student - J_teacher) v‖²`

    The derivatives cost one more pass of each model. The papers choose the weight anew for each
    task, for it depends on the scale of the input; they have no common setting. The inputs must be
    numbers that can change a little, such as pixels.

    Args:
        temperature: `T`; a float or a schedule. Defaults to `1.0`.
        weight: Weight of the derivatives. Defaults to `1.0`.
        soft_weight: Weight of the soft targets. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.sobolev()]
    [('labels', 1.0), ('soft_target', 1.0), ('jacobian_match', 1.0)]

    Reference: Czarnecki et al., "Sobolev Training for Neural Networks", NIPS 2017,
    arXiv:1706.04859, section 2; Srinivas, Fleuret, "Knowledge Transfer with Jacobian Matching",
    ICML 2018, arXiv:1803.00443.
    """
    soft = Term(losses.SoftTarget(temperature), pred=pred, target=target, weight=soft_weight)
    derivatives = Term(
        losses.JacobianMatch(),
        pred=pred.replace(f":{OUTPUT}", f":{JVP}"),
        target=target.replace(f":{OUTPUT}", f":{JVP}"),
        weight=weight,
    )
    return [*labels(labels_weight, pred), soft, derivatives]


@recipe
def ctkd(
    *,
    steps: int,
    alpha: float = 0.9,
    labels_weight: Number | None = None,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Curriculum temperature: soft targets at a temperature that learns to make the task harder.

    `loss = (1 - α) · cross_entropy(labels) + α · T² · KL(teacher ‖ student)`

    with `T = 1 + 20 · σ(θ)`, where `θ` goes up the loss and not down, the more so the longer
    training goes on.

    Args:
        steps: Training steps until the temperature learns at full rate; the paper takes 10
            epochs, `10 * len(dataset)`.
        alpha: Share of the teacher, from 0 to 1. Defaults to `0.9`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `None`, `1 - alpha`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

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
    soft = Term(
        losses.CurriculumTarget(),
        pred=pred,
        target=target,
        projector=projectors.Temperature(steps),
        weight=alpha,
    )
    return [*labels(rest(alpha, labels_weight), pred), soft]


@recipe
def gkd(
    *,
    temperature: Number = 1.0,
    beta: float = 0.0,
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
    pred: str = "student:output",
    target: str = "teacher:output",
    fused: bool = False,
) -> Terms:
    """Generalized distillation of sequences: a divergence between forward and reverse KL.

    `loss = β · KL(teacher ‖ M) + (1 - β) · KL(student ‖ M)`, `M = (1 - β) · student + β · teacher`

    It goes with sequences that the student itself has written: `keras_kd.sources.OnPolicy`.

    Args:
        temperature: `T`; a float or a schedule. Defaults to `1.0`.
        beta: From 0, the KL from the teacher, to 1, the KL from the student. Defaults to `0.0`:
            of these the one whose students foretell texts better than a student alone.
        weight: Weight of the teacher. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.
        fused: Whether the models' last layers and the losses are computed as one, a few rows at a
            time, so that the logits of a batch never stand whole: see `keras_kd.losses.Fused`. Then
            `pred` and `target` name the models' outputs, and `compile` takes neither a loss nor
            metrics on the student's output. Defaults to `False`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If `fused` and `pred` or `target` name anything but a model's output.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.gkd()]
    [('jensen_shannon', 1.0)]

    Reference: Agarwal et al., "On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes", ICLR 2024, arXiv:2306.13649, section 3.
    """
    loss = losses.JensenShannon(beta, temperature)
    if not fused:
        soft = Term(loss, pred=pred, target=target, weight=weight)
        return [*labels(labels_weight, pred), soft]
    pred, target = _factors(pred, "pred"), _factors(target, "target")
    soft = Term(losses.Fused(loss), pred=pred, target=target, weight=weight)
    if labels_weight == 0:
        return [soft]
    hard = losses.Fused(losses.LabelTarget(), name=LABELS)
    return [Term(hard, pred=pred, target=LABELS, weight=labels_weight), soft]


def _factors(address: str, argument: str) -> str:
    """The factors of the logits at `address`."""
    role, path = parse(address)
    if path not in (OUTPUT, FACTORS):
        raise ValueError(
            f"With fused=True, `{argument}` must be a model's output, such as '{role}:{OUTPUT}': the "
            f"last layer is what is computed with the loss. Received: {address!r}."
        )
    return f"{role}:{FACTORS}"
