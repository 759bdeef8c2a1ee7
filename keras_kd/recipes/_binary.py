"""The recipe for labels that are yes or no: one, or several for each example."""

from keras_kd import losses
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Terms, labels, recipe, rest
from keras_kd.terms import Term


@recipe
def binary(
    *,
    temperature: Number = 4.0,
    alpha: float = 0.9,
    labels_weight: Number | None = None,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Soft targets for yes-no labels: one logit, or one for each of several labels.

    `loss = (1 - alpha) · cross_entropy(labels) + alpha · T² · Σ_c KL(σ(teacher_c/T) ‖ σ(student_c/T))`

    Where an example may have several labels, or none, each column is a question of its own, and a
    softmax among them would be wrong. Compile with
    `keras.losses.BinaryCrossentropy(from_logits=True)` and labels of 0 and 1 in the shape of the
    logits.

    Args:
        temperature: `T`; a float or a schedule. Defaults to `4.0`.
        alpha: Share of the teacher, from 0 to 1. Defaults to `0.9`, as in `hinton`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `None`, `1 - alpha`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms; with `alpha=1` there is no label term, and no labels are needed.

    Raises:
        ValueError: If `alpha` is not between 0 and 1, or `temperature` not above 0.

    Example:

    >>> terms = keras_kd.recipes.binary(alpha=0.9)
    >>> [(term.name, round(term.weight, 1)) for term in terms]
    [('labels', 0.1), ('binary_soft_target', 0.9)]

    Reference: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015,
    arXiv:1503.02531, section 2, applied to each logit's Bernoulli distribution.
    """
    loss = losses.BinarySoftTarget(temperature)
    soft = Term(loss, pred=pred, target=target, weight=alpha)
    return [*labels(rest(alpha, labels_weight), pred), soft]
