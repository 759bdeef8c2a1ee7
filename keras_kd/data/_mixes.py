"""Mixes: two examples made one, the partner chosen by the id and the view from the whole set."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MixUp:
    """Each pixel a weighted mean of two examples, and each label the same mean of two classes.

    `x = share · x_1 + (1 - share) · x_2`, with `share` drawn from Beta(alpha, alpha).

    A partner from the batch at hand would be another one for each order and each batch size. Here
    it is chosen among all examples of the set, by a hash of the example's id, the view and the
    seed: in any batch and on any machine, view 3 of an example is the same image. So a teacher can
    predict that very image, and a store of `views=k` holds its outputs for k mixed images of every
    example, which come again every k epochs.

    A store cannot hold the outputs for pairs that come together by chance. Nor can these be
    computed from the outputs for the two examples: the teacher's output for a mixed image is not
    the mean of its outputs for the two.

    Args:
        classes: Number of classes: labels become `(batch, classes)`, for
            `keras.losses.CategoricalCrossentropy`.
        alpha: Above 0; the larger, the more alike the two shares. Defaults to `0.2`.

    Reference: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR
    2018, arXiv:1710.09412. Beyer et al., "Knowledge distillation: A good teacher is patient and
    consistent", CVPR 2022, arXiv:2106.05237, on mixing for distillation.
    """

    classes: int
    alpha: float = 0.2

    def draw(self, tf: Any, first: Any, second: Any, seed: Any) -> tuple[Any, Any]:
        """One image of two, and the share of the first."""
        if not first.dtype.is_floating:
            raise TypeError(
                "MixUp adds parts of two images, which must be floating-point numbers. Received "
                f"images of type {first.dtype.name}: divide them by 255 first."
            )
        share = _beta(tf, self.alpha, seed)
        return share * first + (1 - share) * second, share


@dataclass(frozen=True)
class CutMix:
    """A rectangle of another example pasted in; labels by how much of each is to be seen.

    The partner is chosen, and teacher outputs are stored, as for `MixUp`.

    The rectangle has the image's proportions and the part `1 - share` of its area, less what is
    cut off at the edges; `share` is drawn from Beta(alpha, alpha).

    Args:
        classes: Number of classes: labels become `(batch, classes)`, for
            `keras.losses.CategoricalCrossentropy`.
        alpha: Above 0. Defaults to `1.0`: every share is as likely.

    Reference: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
    Localizable Features", ICCV 2019, arXiv:1905.04899.
    """

    classes: int
    alpha: float = 1.0

    def draw(self, tf: Any, first: Any, second: Any, seed: Any) -> tuple[Any, Any]:
        """One image of two, and the share of the first."""
        side = tf.sqrt(1 - _beta(tf, self.alpha, seed))
        middle = tf.random.stateless_uniform((2,), seed + tf.constant([0, 1 << 33], tf.int64))
        inside = []
        for axis in (0, 1):
            size = tf.cast(tf.shape(first)[axis], tf.float32)
            low = tf.round((middle[axis] - side / 2) * size)
            high = tf.round((middle[axis] + side / 2) * size)
            place = tf.range(size)
            inside.append((place >= low) & (place < high))
        box = inside[0][:, tf.newaxis] & inside[1][tf.newaxis, :]
        share = 1 - tf.reduce_mean(tf.cast(box, tf.float32))
        return tf.where(box[..., tf.newaxis], second, first), share


MIXES = {mix.__name__: mix for mix in (MixUp, CutMix)}


def _beta(tf: Any, alpha: float, seed: Any) -> Any:
    first, second = tf.unstack(tf.random.stateless_gamma((2,), seed, alpha))
    return first / tf.maximum(first + second, 1e-30)


def blended(share: Any, ours: Any, theirs: Any) -> Any:
    """Labels `(batch, classes)`, mixed as the images are."""
    return share[:, None] * ours + (1.0 - share[:, None]) * theirs
