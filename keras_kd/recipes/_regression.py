"""Recipes for regression: outputs that are numbers."""

import keras

from keras_kd import losses
from keras_kd._core.scalars import Number, is_number
from keras_kd.recipes._building_blocks import Terms, labels, recipe, rest
from keras_kd.terms import Term


@recipe
def regression(
    *,
    alpha: float = 0.5,
    delta: float | None = None,
    labels_weight: Number | None = None,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """Regression: the student's numbers come near the labels and near the teacher's.

    `loss = (1 - alpha) · compiled_loss(labels) + alpha · mean (student - teacher)²`

    The loss of `compile`, such as `"mse"`, is that of the labels. With `delta`, the teacher's part
    is a Huber loss, quadratic up to that error and linear beyond: a teacher that is far off now and
    then costs less. Bring the numbers to a like scale first: the mean runs over all of them.

    Where a teacher is to be a bound and no value to copy, see `keras_kd.losses.RegressionMatch`.

    Args:
        alpha: Share of the teacher, from 0 to 1. Defaults to `0.5`.
        delta: Error from which on the teacher's part grows linearly, above 0. Defaults to `None`:
            it is quadratic throughout.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `None`, `1 - alpha`.
        pred: Address of the numbers that learn. Defaults to `"student:output"`.
        target: Address of the numbers to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms; with `alpha=1` there is no label term, and no labels are needed.

    Raises:
        ValueError: If `alpha` is not between 0 and 1, or `delta` not above 0.

    Example:

    >>> terms = keras_kd.recipes.regression(alpha=0.75)
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 0.25), ('imitation', 0.75)]
    >>> signals = {"student:output": np.array([[3.0]]), "teacher:output": np.array([[1.0]])}
    >>> float(terms[1](signals, step=0))  # (3 - 1)²
    4.0

    Reference: Saputra et al., "Distilling Knowledge From a Deep Pose Regressor Network", ICCV 2019,
    arXiv:1908.00858, the imitation loss as an additional loss.
    """
    if delta is not None and not (is_number(delta) and 0 < delta < float("inf")):
        raise ValueError(f"`delta` must be a number above 0, or None. Received: delta={delta!r}.")
    loss = losses.FeatureMatch() if delta is None else keras.losses.Huber(delta)
    near = Term(loss, pred=pred, target=target, weight=alpha, name="imitation")
    return [*labels(rest(alpha, labels_weight), pred), near]
