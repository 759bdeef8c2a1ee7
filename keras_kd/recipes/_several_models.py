"""Recipes without a teacher of the usual kind: students that teach each other, or themselves."""

import keras

from keras_kd import losses, projectors
from keras_kd._core.addresses import LABELS
from keras_kd._core.scalars import Number, finite
from keras_kd.recipes._building_blocks import Layers, Terms, labels, listed, recipe
from keras_kd.schedules import SigmoidWarmup
from keras_kd.terms import Labels, Term


@recipe
def mutual(
    *roles: str, temperature: Number = 1.0, weight: float = 1.0, labels_weight: Number = 1.0
) -> Terms:
    """Deep mutual learning: students that teach each other, all at once.

    For each student: `loss = cross_entropy(labels) + mean over the others of T² · KL(other ‖ it)`

    Args:
        *roles: Roles of two or more students.
        temperature: `T`; a float or a schedule. Defaults to `1.0`.
        weight: Weight of what a student learns from the others. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If there are fewer than two roles, or one twice.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.mutual("a", "b")]
    [('a_labels', 1.0), ('b_labels', 1.0), ('a_from_b', 1.0), ('b_from_a', 1.0)]

    Reference: Zhang et al., "Deep Mutual Learning", CVPR 2018, arXiv:1706.00384, section 3.
    """
    if len(roles) < 2 or len(set(roles)) < len(roles):
        raise ValueError(
            "`mutual` takes the roles of two or more students, each once. "
            f"Received: {', '.join(map(repr, roles)) or 'none'}."
        )
    own: Terms = []
    if labels_weight != 0:
        own = [Labels(labels_weight, pred=f"{a}:output", name=f"{a}_labels") for a in roles]
    return own + [
        Term(
            losses.SoftTarget(temperature),
            pred=f"{a}:output",
            target=f"{b}:output",
            weight=weight / (len(roles) - 1),
            name=f"{a}_from_{b}",
        )
        for a in roles
        for b in roles
        if a != b
    ]


@recipe
def own_teacher(
    *,
    pred: Layers,
    units: int,
    deepest: str | None = None,
    temperature: Number = 3.0,
    alpha: float = 0.3,
    hint: Number = 0.03,
    labels_weight: Number = 1.0,
    target: str = "student:output",
) -> Terms:
    """Be your own teacher: the shallow layers of a network learn from its output.

    For each shallow layer, with a classifier of its own:
    `loss = (1 - α) · cross_entropy(labels) + α · T² · KL(student ‖ layer) + 0.03 · hint`

    and `cross_entropy(labels)` for the student's own output.

    Args:
        pred: Address of a shallow layer of the student, or a list of them.
        units: Number of classes.
        deepest: Address of the deep layer that the shallow ones are to see like. Defaults to
            `None`, no hint.
        temperature: `T`; a float or a schedule. Defaults to `3.0`.
        alpha: Share of the student's own output, from 0 to 1. Defaults to `0.3`.
        hint: Weight of the hint. Defaults to `0.03`.
        labels_weight: Weight of the labels for the student's own output; 0 leaves them out. The
            shallow layers' share is `1 - alpha`. Defaults to `1.0`.
        target: Address of the student's output. Defaults to `"student:output"`.

    Returns:
        A list of terms. The labels are class numbers.

    Example:

    >>> terms = keras_kd.recipes.own_teacher(pred="student:block1", units=10)
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('early', 1.0)]

    Reference: Zhang et al., "Be Your Own Teacher: Improve the Performance of Convolutional Neural
    Networks via Self Distillation", ICCV 2019, arXiv:1905.08094, section 3.
    """
    finite(hint, "hint")  # also where there is no deepest layer, and so no hint
    terms: Terms = labels(labels_weight, target)
    for layer in listed(pred):
        terms.append(
            Term(
                losses.LabelledTarget(alpha, temperature),
                pred=layer,
                target=(target, LABELS),
                projector=projectors.AuxiliaryHead(units),
                name="early",
            )
        )
        if deepest is not None:
            terms.append(
                Term(
                    losses.FeatureMatch(),
                    pred=(layer, deepest),
                    target=deepest,
                    projector=projectors.Regressor(),
                    weight=hint,
                    name="hint",
                )
            )
    return terms


@recipe
def mean_teacher(
    *,
    warmup: int = 0,
    weight: float = 100.0,
    labels_weight: Number = 1.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Mean teacher: the student agrees with the average of its own past.

    `loss = cross_entropy(labels) + 100 · mean (softmax(student) - softmax(teacher))²`

    The teacher is `keras_kd.teachers.Momentum(student)`; each is best shown another view of the
    example (`keras_kd.teachers.SelectInput`). Examples without a label can take part: give them
    the label -1 and the loss `ignore_class=-1`, or leave the labels out. (A `sample_weight` of 0
    would take them out of every term.)

    Args:
        warmup: Training steps in which that weight rises from nearly 0. Defaults to `0`, none; the
            paper takes 40000.
        weight: Weight of the agreement. Defaults to `100.0`, for CIFAR-10.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.mean_teacher()]
    [('labels', 1.0), ('consistency', 100.0)]

    Reference: Tarvainen, Valpola, "Mean teachers are better role models", NIPS 2017,
    arXiv:1703.01780, section 2.
    """
    consistency = Term(
        losses.FeatureMatch(),
        pred=pred,
        target=target,
        projector=keras.layers.Softmax(),
        target_projector=keras.layers.Softmax(),
        weight=SigmoidWarmup(weight, steps=warmup) if warmup else weight,
        name="consistency",
    )
    return [*labels(labels_weight, pred), consistency]


@recipe
def ca_mkd(
    *teachers: str,
    temperature: Number = 4.0,
    weight: Number = 1.0,
    labels_weight: Number = 1.0,
    pred: str = "student:output",
) -> Terms:
    """Confidence-aware multi-teacher distillation: each teacher counts as far as it is right.

    `loss = cross_entropy(labels) + Σ_k w_k · T² · KL(teacher_k ‖ student)`

    Args:
        *teachers: Roles of two or more teachers.
        temperature: `T`; a float or a schedule. Defaults to `4.0`.
        weight: Weight of the teachers. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.

    Returns:
        A list of terms. The labels are needed whatever their weight, as class numbers.

    Raises:
        ValueError: If there are fewer than two teachers.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.ca_mkd("big", "old")]
    [('labels', 1.0), ('confidence_weighted', 1.0)]

    Reference: Zhang, Chen, Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP
    2022, arXiv:2201.00007, section 2.
    """
    if len(teachers) < 2:
        raise ValueError(
            "`ca_mkd` takes the roles of two or more teachers. "
            f"Received: {', '.join(map(repr, teachers)) or 'none'}."
        )
    soft = Term(
        losses.ConfidenceWeighted(losses.SoftTarget(temperature)),
        pred=pred,
        target=(*(f"{role}:output" for role in teachers), LABELS),
        weight=weight,
    )
    return [*labels(labels_weight, pred), soft]
