"""Views: images drawn anew by random choices that follow from the example's id and the view."""

import functools
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from keras_kd._core.messages import listing
from keras_kd._examples._ids import as_bytes
from keras_kd._examples._pool import Pool, one_hot
from keras_kd.data._mixes import MIXES, CutMix, MixUp, blended
from keras_kd.data._transforms import SAVED_AS, TRANSFORMS, Transform, drawing


class Augment:
    """Random changes of images, the same for the same id and view, today and tomorrow.

    Every choice follows from the example's id, the number of the view and `seed`, and from nothing
    else: not from the order, the batch, the worker or the backend. So a teacher that predicted
    view 3 of an example, and a student that sees view 3 of it, have seen the same pixels.

    The images are drawn by tensorflow on the processor, whatever backend Keras runs on.

    Args:
        *steps: What happens to an image, one after the other: `Crop`, `Flip`, `Translate`,
            `Color`, `CutOut`.
        mix: `MixUp` or `CutMix`: what is then made of the image and another one of the same set,
            which is seen through its own view of that number. Defaults to `None`.
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

    def __init__(self, *steps: Transform, mix: MixUp | CutMix | None = None, seed: int = 0):
        for step in steps:
            if type(step) not in TRANSFORMS.values():
                raise TypeError(
                    f"A step is one of {listing(TRANSFORMS)} of keras_kd.data. Received: {step!r}."
                )
        if mix is not None and type(mix) not in MIXES.values():
            raise TypeError(
                f"A mix is one of {listing(MIXES)} of keras_kd.data. Received: {mix!r}."
            )
        if not steps and mix is None:
            raise TypeError("Give at least one step, such as keras_kd.data.Crop(4).")
        self.steps: Sequence[Transform] = steps
        self.mix, self.seed = mix, int(seed)

    def one(self, image: Any, identifier: Any, view: Any) -> Any:
        """One image as tensorflow tensors, for `tf.data`."""
        tf = drawing()
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
        tf = drawing()
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
        tf = drawing()
        images = np.asarray(images)
        with tf.device("CPU:0"):
            ids = tf.constant(as_bytes(ids).astype(object))
            return self._compiled(images.shape[1:], images.dtype.name)(
                tf.constant(images), ids, tf.constant(views, tf.int64)
            ).numpy()

    @functools.cache  # noqa: B019, one small graph for each shape, kept while its owner lives
    def _compiled(self, shape: tuple[int, ...], dtype: str) -> Any:
        tf = drawing()
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
        if self.mix is None or pool is None:
            return images, y
        classes = 0 if y is None else self.mix.classes
        others, names, labels = pool.others(ids, views, self.seed, classes)
        others = self(others, ids=names, views=views)
        tf = drawing()
        with tf.device("CPU:0"):
            ids = tf.constant(as_bytes(ids).astype(object))
            mixed, share = self._compiled_blend(images.shape[1:], images.dtype.name)(
                tf.constant(images), tf.constant(others), ids, tf.constant(views, tf.int64)
            )
        if y is not None:
            y = blended(share.numpy(), one_hot(y, classes), labels)
        return mixed.numpy(), y

    def blend(self, images: Any, others: Any, ids: Any, views: Any) -> tuple[Any, Any]:
        """Changed images and their changed partners as mixed ones, and the shares of the first."""
        tf, mix = drawing(), self.mix
        assert mix is not None

        def one(each: Any) -> Any:
            first, second, identifier, view = each
            return mix.draw(tf, first, second, self._seed(tf, identifier, view, len(self.steps)))

        signature = (tf.TensorSpec(images.shape[1:], images.dtype), tf.TensorSpec((), tf.float32))
        return tf.map_fn(one, (images, others, ids, views), fn_output_signature=signature)

    @functools.cache  # noqa: B019, as above
    def _compiled_blend(self, shape: tuple[int, ...], dtype: str) -> Any:
        tf = drawing()
        image = tf.TensorSpec((None, *shape), dtype)
        return tf.function(
            self.blend,
            autograph=False,
            input_signature=[
                image,
                image,
                tf.TensorSpec((None,), tf.string),
                tf.TensorSpec((None,), tf.int64),
            ],
        )

    def get_config(self) -> dict[str, Any]:
        names = [type(step).__name__ for step in self.steps]
        steps = [
            {"step": SAVED_AS.get(name, name), **asdict(step)}  # type: ignore[call-overload]
            for name, step in zip(names, self.steps, strict=True)
        ]
        mix = self.mix and {"mix": type(self.mix).__name__, **asdict(self.mix)}
        return {"seed": self.seed, "steps": steps, "mix": mix}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Augment":
        steps = []
        former = {saved: name for name, saved in SAVED_AS.items()}
        for entry in config["steps"]:
            settings = dict(entry)
            name = former.get(settings["step"], settings["step"])
            del settings["step"]
            if name not in TRANSFORMS:
                raise ValueError(f"No step '{name}'. Expected one of {listing(TRANSFORMS)}.")
            steps.append(TRANSFORMS[name](**settings))
        mix = config.get("mix")
        if mix is not None:
            settings = dict(mix)
            mix = MIXES[settings.pop("mix")](**settings)
        return cls(*steps, mix=mix, seed=config["seed"])

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Augment) and self.get_config() == other.get_config()

    __hash__ = object.__hash__
