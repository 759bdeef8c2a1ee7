"""A Keras teacher for the writer: batches in, prepared signals out."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import listing
from keras_kd._core.positions import fits_positions
from keras_kd._core.symbolic import symbolic
from keras_kd._padding import masks_of_batch, masks_of_keras
from keras_kd.stores._codecs import Codec
from keras_kd.stores._draws import Draws
from keras_kd.stores._form import Form, plain
from keras_kd.stores._ragged import Ragged, no_mask, prepared, within
from keras_kd.taps import Tap


class TeacherOutputs(keras.Model):
    """A teacher's signals at some addresses, as the codecs want them.

    Args:
        teacher: A built `keras.Model`.
        paths: The signals: `"output"`, or paths of layers.
        dtype: How each is stored.
        form: What is kept of the output.
        example: A batch of inputs, for the shapes.
    """

    def __init__(
        self,
        teacher: keras.Model,
        paths: Sequence[str],
        dtypes: Mapping[str, str],
        form: Form,
        example: Any,
    ):
        super().__init__(name="teacher_outputs", dtype="float32")
        self.teacher = teacher
        self.paths = list(paths)
        self._tap = Tap("teacher", teacher, dict.fromkeys(paths, "stores.write"))
        inputs = keras.tree.map_structure(
            lambda x: keras.KerasTensor((None, *np.shape(x)[1:]), _dtype(x)), example
        )
        signals = symbolic(lambda x: self._tap(x, training=False)[1], inputs)
        self.codecs: dict[str, Codec] = {}
        for path in paths:
            signal = signals[f"teacher:{path}"]
            if keras.tree.is_nested(signal):
                keys = signal if isinstance(signal, Mapping) else map(str, range(len(signal)))
                raise ValueError(
                    f"'{path}' of the teacher '{teacher.name}' is several tensors. Name one: "
                    + listing(f"{path}/{key}" for key in keys)
                    + "."
                )
            shape, logits = tuple(signal.shape[1:]), path.split("/")[0] == "output"
            kind = dtypes[path]
            self.codecs[path] = form.codec(path, shape, kind) if logits else plain(shape, kind)
            if not logits and form.ragged and len(shape) > 1:
                self.codecs[path] = Ragged(self.codecs[path])
            if None in signal.shape[1:]:
                raise ValueError(
                    f"'{path}' of the teacher '{teacher.name}' has the shape {signal.shape}: only "
                    "signals of one size can be stored. Give inputs of one size."
                )
        kept = {path: within(codec) for path, codec in self.codecs.items()}
        self._drawn = {path: codec for path, codec in kept.items() if isinstance(codec, Draws)}
        self.built = True
        if form.ragged:
            some = keras.tree.map_structure(lambda leaf: np.asarray(leaf)[:1], example)
            signals = self._tap(some, training=False)[1]
            for path, codec in self.codecs.items():
                if isinstance(codec, Ragged) and padding(some, signals, path) is None:
                    raise no_mask(path, example)

    def call(self, inputs: Any) -> Any:
        x, starts = inputs if self._drawn else (inputs, {})
        _, signals = self._tap(x, training=False)
        return [
            prepared(codec, signals[f"teacher:{path}"], starts.get(path), padding(x, signals, path))
            for path, codec in self.codecs.items()
        ]

    def first_signals(self, x: Any, most: int) -> dict[str, Any]:
        """The signals of the first examples, as the teacher gives them."""
        some = keras.tree.map_structure(lambda leaf: np.asarray(leaf)[:most], x)
        _, signals = self._tap(some, training=False)
        return {path: signals[f"teacher:{path}"] for path in self.paths}

    def compute(self, x: Any, size: int, ids: np.ndarray, views: np.ndarray) -> list[Any]:
        """The prepared signals of up to `size` examples; always computed `size` at a time."""
        count = len(keras.tree.flatten(x)[0])
        if self._drawn:
            x = (x, {path: codec.starts(ids, views) for path, codec in self._drawn.items()})
        if count < size:  # so that the last batch is computed as all others are
            fill = np.minimum(np.arange(size), count - 1)
            x = keras.tree.map_structure(lambda leaf: np.asarray(leaf)[fill], x)
        outputs = self.predict_on_batch(x)
        return keras.tree.map_structure(lambda leaf: np.asarray(leaf)[:count], outputs)


def padding(x: Any, signals: Mapping[str, Any], path: str) -> Any:
    """The mask of a signal's positions: an input that is one, or Keras's; `None` without."""
    given = masks_of_batch({}, x) or masks_of_keras(dict(signals))
    signal = signals[f"teacher:{path}"]
    return next((mask for mask in given.values() if fits_positions(mask, signal)), None)


def _dtype(x: Any) -> str:
    kind = np.asarray(x).dtype
    return "string" if kind.kind in "OSU" else kind.name
