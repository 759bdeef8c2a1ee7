"""Losses between the relations of a batch's examples: who is like whom, and how far apart."""

from keras import ops

from keras_kd._core.geometry import angle_gap, flat, huber, squared_distances, unit
from keras_kd._core.registry import serializable
from keras_kd._core.tensors import Tensor
from keras_kd.losses._base import Loss


@serializable
class SimilarityMatrix(Loss):
    """Squared difference of the similarities between the examples of a batch.

    Examples that excite the teacher alike are to excite the student alike. Only the batch counts,
    so the layers may differ in every other size.

    With `G = F Fᵀ` `(batch, batch)` of the flattened features, rows divided by their length:

    `loss = Σ_j (G_pred - G_true)²_ij / batch`

    so that the mean over the examples is the squared Frobenius norm over batch². A row of zeros
    stays zeros; a faint one, shorter than a tenth of the mean, has a gradient that fades out.

    Shapes: `y_true`, `y_pred` `(batch, ...)`; one value per example, which depends on the others.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.SimilarityMatrix()
    >>> teacher = [[1.0, 0.0], [0.0, 1.0]]  # unlike: G is the identity
    >>> student = [[1.0], [1.0]]  # alike: G is .7071 everywhere
    >>> round(float(loss(teacher, student)), 4)  # 2 · (.2929² + .7071²) / 4
    0.2929

    Reference: Tung, Mori, "Similarity-Preserving Knowledge Distillation", ICCV 2019,
    arXiv:1907.09682, section 3.
    """

    joins_positions = True
    same_shape = False
    relational = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(ops.square(_similarities(y_pred) - _similarities(y_true)), axis=-1)


def _similarities(x: Tensor) -> Tensor:
    x = flat(x)
    return unit(ops.matmul(x, ops.transpose(x)))


@serializable
class DistanceRelation(Loss):
    """Difference of the distances between the examples of a batch, in units of their mean.

    The student may place the examples anywhere, as long as near stays near and far stays far.

    With `d` the Euclidean distances between flattened features, at least 1e-6 between two
    examples, divided by their mean over all pairs, and `h` Huber's function (`x²/2` up to 1,
    `|x| - 1/2` beyond):

    `loss = mean over j of h(d_pred(i, j) - d_true(i, j))`, the example itself included

    A batch of one has no pairs and no loss. Memory is batch² + batch · features.

    Shapes: `y_true`, `y_pred` `(batch, ...)`; one value per example, which depends on the others.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.DistanceRelation()
    >>> teacher = [[0.0], [1.0], [2.0]]  # distances 1, 1, 2: over their mean .75, .75, 1.5
    >>> student = [[0.0], [2.0], [4.0]]  # twice as far: the same
    >>> round(float(loss(teacher, student)), 4)
    0.0

    Reference: Park et al., "Relational Knowledge Distillation", CVPR 2019, arXiv:1904.05068,
    section 3.2.1.
    """

    joins_positions = True
    same_shape = False
    relational = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return ops.mean(huber(_distances(y_pred) - _distances(y_true)), axis=-1)


def _distances(x: Tensor) -> Tensor:
    x = flat(x)
    count = ops.arange(ops.shape(x)[0])
    others = ops.cast(ops.not_equal(count[:, None], count[None, :]), x.dtype)
    distances = others * ops.sqrt(ops.maximum(squared_distances(x), 1e-12))
    mean = ops.sum(distances) / ops.maximum(ops.sum(others), 1.0)
    return distances / ops.maximum(mean, 1e-6)


@serializable
class AngleRelation(Loss):
    """Difference of the angles between all triples of a batch's examples.

    Angles hold more of the shape of a cloud of points than distances do, and do not change with
    its size.

    With `c(i; j, k)` the cosine of the angle at `i` between `j` and `k`, 0 where two of them
    are at the same place (towards which the gradient fades out), and `h` Huber's function (`x²/2` up to 1, `|x| - 1/2` beyond):

    `loss = mean over j, k of h(c_pred(i; j, k) - c_true(i; j, k))`

    Time grows with batch³; memory is batch² + batch · features, for one vertex is looked at after
    another.

    Shapes: `y_true`, `y_pred` `(batch, ...)`; one value per example, which depends on the others.

    Args:
        **kwargs: `name`, `reduction`, `dtype` as in `keras.losses.Loss`.

    Example:

    >>> loss = keras_kd.losses.AngleRelation()
    >>> teacher = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]  # a right angle and two of 45 degrees
    >>> student = [[0.0], [1.0], [2.0]]  # in line: cosines 1, -1, 1
    >>> round(float(loss(teacher, student)), 4)  # 2 · (.5 + (1.7071 - .5) + .0429) / 27
    0.1296

    Reference: Park et al., "Relational Knowledge Distillation", CVPR 2019, arXiv:1904.05068,
    section 3.2.2.
    """

    joins_positions = True
    same_shape = False
    relational = True

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        target = squared_distances(flat(y_true))
        return angle_gap(target, squared_distances(flat(y_pred)))
