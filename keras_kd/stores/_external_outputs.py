"""A teacher of another framework for the writer: the same as `TeacherOutputs`."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.external import ExternalTeacher, SteadySignals
from keras_kd._core.largest import Largest
from keras_kd._core.positions import fits_positions
from keras_kd._examples._ids import shown
from keras_kd._padding import masks_of_batch
from keras_kd.stores._codecs import Codec, StoreError
from keras_kd.stores._draws import Draws
from keras_kd.stores._form import Form, plain
from keras_kd.stores._ragged import Ragged, no_mask, prepared, within
from keras_kd.stores._top_k_bytes import top_k_codec

#: The number of classes of a teacher that gives its largest logits alone, where it is not known.
_CLASSES_UNKNOWN = 1 << 31


class ExternalOutputs:
    """The signals of a teacher that is no Keras model, as the codecs want them.

    Args: as of `TeacherOutputs`.
    """

    def __init__(
        self,
        teacher: ExternalTeacher,
        paths: Sequence[str],
        dtypes: Mapping[str, str],
        form: Form,
        example: Any,
    ):
        self.teacher = teacher
        self._signals = SteadySignals(teacher, paths)
        self._example, self._first = example, self._run(example, None)
        self.codecs: dict[str, Codec] = {
            path: self._codec(path, signal, dtypes[path], form)
            for path, signal in self._first.items()
        }

    def _codec(self, path: str, signal: Any, dtype: str, form: Form) -> Codec:
        if not isinstance(signal, Largest):
            shape = tuple(signal.shape[1:])
            return form.codec(path, shape, dtype) if path == OUTPUT else plain(shape, dtype)
        k = signal.values.shape[-1]
        if form.top_k not in (None, k) or form.sampled or form.top_p or form.temperatures != (1.0,):
            raise StoreError(
                f"The teacher '{self.teacher.name}' gives its {k} largest logits alone: they are "
                "stored as they come, and hold at a temperature of 1. Leave out `top_k`, `sampled` "
                f"and `temperatures`. Received: top_k={form.top_k}, sampled={form.sampled}, "
                f"temperatures={form.temperatures}."
            )
        classes = getattr(self.teacher, "num_classes", None) or _CLASSES_UNKNOWN
        return top_k_codec((*signal.values.shape[1:-1], classes), k, dtype, (1.0,))

    def first_signals(self, x: Any, most: int) -> dict[str, Any]:
        """The signals of the first examples, as the teacher gave them for the shapes."""
        return {
            path: keras.tree.map_structure(lambda leaf: leaf[:most], signal)
            for path, signal in self._first.items()
        }

    def compute(self, x: Any, size: int, ids: np.ndarray, views: np.ndarray) -> list[Any]:
        """The prepared signals of some examples."""
        # The first batch was run for its shapes already, and some teachers cost money.
        first = x is self._example
        signals = self._first if first else self._run(ids if self.teacher.by_id else x, ids)
        prepared = [self._prepared(p, signals[p], x, ids, views) for p in self.codecs]
        return keras.tree.map_structure(_as_numpy, prepared)

    def _prepared(self, path: str, signal: Any, x: Any, ids: np.ndarray, views: np.ndarray) -> Any:
        codec, kept = self.codecs[path], within(self.codecs[path])
        starts = kept.starts(ids, views) if isinstance(kept, Draws) else None
        some = signal.values if isinstance(signal, Largest) else signal
        given = masks_of_batch({}, x).values()
        mask = next((each for each in given if fits_positions(each, some)), None)
        if mask is None and isinstance(codec, Ragged):
            raise no_mask(path, x)
        return prepared(codec, signal, starts, mask)

    def _run(self, x: Any, ids: np.ndarray | None) -> dict[str, Any]:
        def row(place: int) -> str:
            if ids is None:
                return f"row {place} of the first batch"
            return f"the example {shown(ids[min(place, len(ids) - 1)])}"

        try:
            return self._signals(x, row)
        except Exception as error:  # a user's function may raise any kind
            if ids is None:
                raise
            raise StoreError(
                f"The teacher '{self.teacher.name}' failed for the examples {shown(ids[0])} to "
                f"{shown(ids[-1])}: {type(error).__name__}: {error} Whole shards before these are "
                "kept: write again with the same arguments, and it goes on there."
            ) from error


def _as_numpy(x: Any) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else keras.ops.convert_to_numpy(x)
