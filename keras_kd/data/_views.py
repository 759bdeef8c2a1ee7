"""Views: images drawn anew by random choices that follow from the example's id and the view."""

import functools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_kd._core.messages import listing
from keras_kd.data._ids import as_bytes
from keras_kd.data._mixes import MIXES, CutMix, MixUp, Pool, one_hot


def tensorflow(purpose: str) -> Any:
    """The package, or an error that says who asks for it."""
    try:
        import tensorflow
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ModuleNotFoundError(
            f"{purpose} with tensorflow, which is not installed. Run: pip install tensorflow.",
            name=error.name,
        ) from None
    return tensorflow


def _tf() -> Any:
    return tensorflow("keras_kd.data.Augment draws views")


class Step:
    """One random change of an image; its settings are the fields of a frozen dataclass."""

    def draw(self, image: Any, seed: Any) -> Any:
        """The changed image: `(height, width, channels)` in and out; `seed` is two integers."""
        raise NotImplementedError


@dataclass(frozen=True)
class Crop(Step):
    """The image padded on all sides, and a piece of its former size cut out somewhere.

    Args:
        padding: Pixels added on each side. Defaults to `4`.
        fill: What they show: `"reflect"` or `"constant"` (zero). Defaults to `"reflect"`.
    """

    padding: int = 4
    fill: str = "reflect"

    def draw(self, image: Any, seed: Any) -> Any:
        tf, p = _tf(), self.padding
        padded = tf.pad(image, [[p, p], [p, p], [0, 0]], mode=self.fill.upper())
        return tf.image.stateless_random_crop(padded, tf.shape(image), seed)


@dataclass(frozen=True)
class Flip(Step):
    """The image, or one time in two its mirror image, left and right exchanged."""

    def draw(self, image: Any, seed: Any) -> Any:
        return _tf().image.stateless_random_flip_left_right(image, seed)


@dataclass(frozen=True)
class Translate(Step):
    """The image moved by up to a part of its height and of its width; zeros come in.

    Args:
        height: The largest part of the height, in both directions. Defaults to `0.1`.
        width: The same of the width. Defaults to `0.1`.
    """

    height: float = 0.1
    width: float = 0.1

    def draw(self, image: Any, seed: Any) -> Any:
        tf = _tf()
        size = tf.shape(image)
        share = tf.constant([self.height, self.width], tf.float32)
        p = tf.cast(tf.round(share * tf.cast(size[:2], tf.float32)), tf.int32)
        padded = tf.pad(image, [[p[0], p[0]], [p[1], p[1]], [0, 0]])
        return tf.image.stateless_random_crop(padded, size, seed)


@dataclass(frozen=True)
class Colour(Step):
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
        tf = _tf()
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
class CutOut(Step):
    """A square of zeros whose middle is anywhere in the image.

    Args:
        size: Its side in pixels. Defaults to `8`.
    """

    size: int = 8

    def draw(self, image: Any, seed: Any) -> Any:
        tf = _tf()
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
STEPS = {step.__name__: step for step in (Crop, Flip, Translate, Colour, CutOut)}


class Augment:
    """Random changes of images, the same for the same id and view, today and tomorrow.

    Every choice follows from the example's id, the number of the view and `seed`, and from nothing
    else: not from the order, the batch, the worker or the backend. So a teacher that answered for
    view 3 of an example, and a student that sees view 3 of it, have seen the same pixels.

    The images are drawn by tensorflow on the processor, whatever backend Keras runs on.

    Args:
        *steps: What happens to an image, one after the other: `Crop`, `Flip`, `Translate`,
            `Colour`, `CutOut`.
        mix: `MixUp` or `CutMix`: what is then made of the image and another one of the same set.
            It needs the set as a `keras_kd.data.Part`, and all of it. Defaults to `None`.
        seed: A whole number. Another seed gives other views. Defaults to `0`.

    Raises:
        TypeError: If a step or the mix is none of these, or there is neither.

    Example:

    >>> augment = keras_kd.data.Augment(keras_kd.data.Crop(1), keras_kd.data.Flip(), seed=1)
    >>> x = np.arange(32, dtype="float32").reshape(2, 4, 4, 1)
    >>> alone = augment(x[1:], ids=["b"], views=3)
    >>> together = augment(x, ids=["a", "b"], views=3)
    >>> bool((alone[0] == together[1]).all())
    True
    """

    def __init__(self, *steps: Step, mix: MixUp | CutMix | None = None, seed: int = 0):
        for step in steps:
            if type(step) not in STEPS.values():
                raise TypeError(
                    f"A step is one of {listing(STEPS)} of keras_kd.data. Received: {step!r}."
                )
        if mix is not None and type(mix) not in MIXES.values():
            raise TypeError(
                f"A mix is one of {listing(MIXES)} of keras_kd.data. Received: {mix!r}."
            )
        if not steps and mix is None:
            raise TypeError("Give at least one step, such as keras_kd.data.Crop(4).")
        self.steps: Sequence[Step] = steps
        self.mix, self.seed = mix, int(seed)

    def one(self, image: Any, identifier: Any, view: Any) -> Any:
        """One image as tensorflow tensors, for `tf.data`."""
        tf = _tf()
        shape = image.shape
        for number, step in enumerate(self.steps):
            image = step.draw(image, self._seed(tf, identifier, view, number))
        return tf.ensure_shape(image, shape)

    def _seed(self, tf: Any, identifier: Any, view: Any, number: int) -> Any:
        """The seed of the step with this number: two integers."""
        choice = tf.strings.join(
            [identifier, tf.strings.as_string(view), str(self.seed)], separator="\n"
        )
        name = tf.strings.to_hash_bucket_strong(choice, (1 << 63) - 1, key=[0x6B6572, 0x61736B64])
        return tf.stack([name, tf.constant(number, tf.int64)])

    def batch(self, images: Any, ids: Any, views: Any) -> Any:
        """A batch of images as tensorflow tensors; `views` is one number or one for each."""
        tf = _tf()
        views = tf.broadcast_to(tf.cast(views, tf.int64), tf.shape(ids))
        return tf.map_fn(
            lambda each: self.one(*each),
            (images, ids, views),
            fn_output_signature=tf.TensorSpec(images.shape[1:], images.dtype),
        )

    def __call__(self, images: Any, *, ids: Any, views: Any = 0) -> np.ndarray:
        """A batch of images as arrays, changed (and not mixed)."""
        if not self.steps:
            return np.asarray(images)
        tf = _tf()
        images = np.asarray(images)
        with tf.device("CPU:0"):
            ids = tf.constant(as_bytes(ids).astype(object))
            return self._compiled(images.shape[1:], images.dtype.name)(
                tf.constant(images), ids, tf.constant(views, tf.int64)
            ).numpy()

    @functools.cache  # noqa: B019, one small graph for each shape, kept while its owner lives
    def _compiled(self, shape: tuple[int, ...], dtype: str) -> Any:
        tf = _tf()
        return tf.function(
            self.batch,
            autograph=False,
            input_signature=[
                tf.TensorSpec((None, *shape), dtype),
                tf.TensorSpec((None,), tf.string),
                tf.TensorSpec(None, tf.int64),
            ],
        )

    def mixed(
        self, images: Any, y: Any, *, ids: Any, views: np.ndarray, pool: Pool | None
    ) -> tuple[np.ndarray, Any]:
        """A batch of images as arrays, changed and mixed with their partners; and its labels."""
        images = self(images, ids=ids, views=views)
        if self.mix is None:
            return images, y
        if pool is None:
            raise TypeError(
                f"{type(self.mix).__name__} mixes an example with any other one of the set: give "
                "the whole set, as a keras_kd.data.Part."
            )
        partners = pool.partners(ids, views, self.seed)
        others = self(pool.part.x[partners], ids=pool.ids[partners], views=views)
        tf = _tf()
        with tf.device("CPU:0"):
            ids = tf.constant(as_bytes(ids).astype(object))
            images, share = self._compiled_mix(images.shape[1:], images.dtype.name)(
                tf.constant(images), tf.constant(others), ids, tf.constant(views, tf.int64)
            )
        if y is not None:
            ours, theirs = (one_hot(z, self.mix.classes) for z in (y, pool.part.y[partners]))
            share = share.numpy()[:, np.newaxis]
            y = share * ours + (1 - share) * theirs
        return images.numpy(), y

    @functools.cache  # noqa: B019, as above
    def _compiled_mix(self, shape: tuple[int, ...], dtype: str) -> Any:
        tf, mix = _tf(), self.mix
        assert mix is not None

        def one(first: Any, second: Any, identifier: Any, view: Any) -> Any:
            seed = self._seed(tf, identifier, view, len(self.steps))
            return mix.draw(tf, first, second, seed)

        image = tf.TensorSpec((None, *shape), dtype)
        signature = (tf.TensorSpec(shape, dtype), tf.TensorSpec((), tf.float32))
        return tf.function(
            lambda *batch: tf.map_fn(lambda each: one(*each), batch, fn_output_signature=signature),
            autograph=False,
            input_signature=[
                image,
                image,
                tf.TensorSpec((None,), tf.string),
                tf.TensorSpec((None,), tf.int64),
            ],
        )

    def get_config(self) -> dict[str, Any]:
        steps = [{"step": type(step).__name__, **asdict(step)} for step in self.steps]  # type: ignore[call-overload]
        mix = self.mix and {"mix": type(self.mix).__name__, **asdict(self.mix)}
        return {"seed": self.seed, "steps": steps, "mix": mix}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Augment":
        steps = []
        for entry in config["steps"]:
            settings = dict(entry)
            name = settings.pop("step")
            if name not in STEPS:
                raise ValueError(f"No step '{name}'. Expected one of {listing(STEPS)}.")
            steps.append(STEPS[name](**settings))
        mix = config.get("mix")
        if mix is not None:
            settings = dict(mix)
            mix = MIXES[settings.pop("mix")](**settings)
        return cls(*steps, mix=mix, seed=config["seed"])

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Augment) and self.get_config() == other.get_config()

    __hash__ = object.__hash__
