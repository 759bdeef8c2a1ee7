"""Transforms: the random changes of an image that views are made of."""

from dataclasses import dataclass
from typing import Any

from keras_kd._core.optional import require_tensorflow


def drawing() -> Any:
    """The package that views are drawn with."""
    return require_tensorflow("keras_kd.data.Augment draws views")


class Transform:
    """One random change of an image; its settings are the fields of a frozen dataclass."""

    def draw(self, image: Any, seed: Any) -> Any:
        """The changed image: `(height, width, channels)` in and out; `seed` is two integers."""
        raise NotImplementedError


@dataclass(frozen=True)
class Crop(Transform):
    """The image padded on all sides, and a piece of its former size cut out somewhere.

    Args:
        padding: Pixels added on each side. Defaults to `4`.
        fill: What they show: `"reflect"` or `"constant"` (zero). Defaults to `"reflect"`.
    """

    padding: int = 4
    fill: str = "reflect"

    def draw(self, image: Any, seed: Any) -> Any:
        tf, p = drawing(), self.padding
        padded = tf.pad(image, [[p, p], [p, p], [0, 0]], mode=self.fill.upper())
        return tf.image.stateless_random_crop(padded, tf.shape(image), seed)


@dataclass(frozen=True)
class Flip(Transform):
    """The image, or one time in two its mirror image, left and right exchanged."""

    def draw(self, image: Any, seed: Any) -> Any:
        return drawing().image.stateless_random_flip_left_right(image, seed)


@dataclass(frozen=True)
class Translate(Transform):
    """The image moved by up to a part of its height and of its width; zeros come in.

    Args:
        height: The largest part of the height, in both directions. Defaults to `0.1`.
        width: The same of the width. Defaults to `0.1`.
    """

    height: float = 0.1
    width: float = 0.1

    def draw(self, image: Any, seed: Any) -> Any:
        tf = drawing()
        size = tf.shape(image)
        share = tf.constant([self.height, self.width], tf.float32)
        p = tf.cast(tf.round(share * tf.cast(size[:2], tf.float32)), tf.int32)
        padded = tf.pad(image, [[p[0], p[0]], [p[1], p[1]], [0, 0]])
        return tf.image.stateless_random_crop(padded, size, seed)


@dataclass(frozen=True)
class Color(Transform):
    """Brightness, contrast, and, of images with three channels, saturation and hue.

    Args:
        brightness: Up to how much is added or taken away. Defaults to `0.2`.
        contrast: Up to which part the contrast is raised or lowered. Defaults to `0.2`.
        saturation: The same of the saturation. Defaults to `0.0`.
        hue: Up to how much the hue is turned, 0.5 being half a circle. Defaults to `0.0`.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.0
    hue: float = 0.0

    def draw(self, image: Any, seed: Any) -> Any:
        tf = drawing()
        another = tf.constant([0, 1 << 32], tf.int64)  # a seed apart from those of other steps
        if self.brightness:
            image = tf.image.stateless_random_brightness(image, self.brightness, seed)
        for amount, change in (
            (self.contrast, tf.image.stateless_random_contrast),
            (self.saturation, tf.image.stateless_random_saturation),
        ):
            seed = seed + another
            if amount:
                image = change(image, 1 - amount, 1 + amount, seed)
        if self.hue:
            image = tf.image.stateless_random_hue(image, self.hue, seed + another)
        return tf.clip_by_value(image, 0.0, 1.0)


@dataclass(frozen=True)
class CutOut(Transform):
    """A square of zeros whose middle is anywhere in the image.

    Args:
        size: Its side in pixels. Defaults to `8`.
    """

    size: int = 8

    def draw(self, image: Any, seed: Any) -> Any:
        tf = drawing()
        shape = tf.shape(image)
        share = tf.random.stateless_uniform((2,), seed)
        first = tf.cast(share * tf.cast(shape[:2], tf.float32), tf.int32) - self.size // 2
        kept = [
            (tf.range(shape[axis]) < first[axis])
            | (tf.range(shape[axis]) >= first[axis] + self.size)
            for axis in (0, 1)
        ]
        outside = kept[0][:, tf.newaxis] | kept[1][tf.newaxis, :]
        return tf.where(outside[..., tf.newaxis], image, tf.zeros_like(image))


#: The steps by the names they have in a file.
TRANSFORMS = {kind.__name__: kind for kind in (Crop, Flip, Translate, Color, CutOut)}
#: Names in files, where they are others: those that stores were written with stay.
SAVED_AS = {"Color": "Colour"}
