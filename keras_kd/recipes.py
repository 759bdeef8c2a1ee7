"""Recipes: papers as functions that return a list of terms."""


import keras

from keras_kd._core.numbers import Number
from keras_kd.losses import FeatureMatch, SoftTarget
from keras_kd.terms import Labels, Term

Terms = list[Term | Labels]


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
    if not 0 <= alpha <= 1:
        raise ValueError(
            "`alpha` is the teacher's share and lies between 0 and 1: "
            f"(1 - alpha) · labels + alpha · teacher. Received: alpha={alpha!r}."
        )
    labels: Terms = [] if alpha == 1 else [Labels(weight=1 - alpha, pred=student)]
    return [*labels, Term(SoftTarget(temperature), pred=student, target=teacher, weight=alpha)]


def fitnets(
    *,
    pred: str,
    target: str,
    projector: keras.layers.Layer | None = None,
    weight: Number = 100.0,
) -> Terms:
    """A hint: a student's layer learns to see what a teacher's layer sees.

    `loss = cross_entropy(labels) + weight · mean (projector(pred) - target)²`

    Args:
        pred: Address of the student's layer, such as `"student:block3"`.
        target: Address of the teacher's layer, such as `"teacher:conv4"`.
        projector: Regressor from the student's shape to the teacher's, such as
            `keras_kd.projectors.Conv1x1(256)`. Defaults to none, for equal shapes.
        weight: Weight of the hint. Defaults to `100.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.fitnets(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('hint', 100.0)]

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550,
    section 2.2; hint and labels trained together, as in Tian et al., ICLR 2020, arXiv:1910.10699.
    """
    hint = Term(
        FeatureMatch(), pred=pred, target=target, projector=projector, weight=weight, name="hint"
    )
    return [Labels(), hint]


