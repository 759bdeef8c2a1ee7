"""Teachers of other frameworks run batch by batch, ahead of the step."""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.external import ExternalTeacher, SteadySignals
from keras_kd._core.function_teacher import FunctionTeacher
from keras_kd._core.models import looks_like_a_model, no_model
from keras_kd._core.optional import require_tensorflow
from keras_kd._core.scalars import count
from keras_kd._examples._batches import is_tf_data
from keras_kd._examples._part import Part
from keras_kd._padding import emptied, masks_of_batch


def live(
    teacher: ExternalTeacher | Callable[[Any], Any] | Mapping[str, Any],
    data: Any,
    *,
    addresses: Sequence[str] = (OUTPUT,),
    batch_size: int = 128,
    shuffle: bool = False,
    seed: int = 0,
    prefetch: int = 4,
) -> Any:
    """Batches for `fit` with what a teacher of another framework predicts for them.

    The teacher runs ahead of the step, in a thread of its own: an epoch takes about as long as the
    slower of the two. It sees the very inputs that the student sees. Run anew in each epoch,
    it costs its whole time in each; `keras_kd.stores.write` runs it once.

    Gives `({"inputs": x, "signals": {"teacher:output": ...}}, y)`, for a Distiller without
    `teacher`.

    Args:
        teacher: A teacher of `keras_kd.sources`, or a function from a batch of inputs to logits
            (NumPy in and NumPy out); or a dict of several by role.
        data: What `fit` takes: arrays `(x, y)` or `(x, y, sample_weight)`, a
            `keras_kd.data.Part`, a `keras.utils.PyDataset`, or a `tf.data.Dataset` in batches.
        addresses: The signals it gives: `"output"`, and others that the teacher has. Defaults to
            `("output",)`.
        batch_size: Of arrays and a `Part`. Defaults to `128`.
        shuffle: Of arrays and a `Part`: whether each epoch has an order of its own. Defaults to
            `False`.
        seed: Of these orders. Defaults to `0`.
        prefetch: How many batches are kept ready. Defaults to `4`.

    Returns:
        A `tf.data.Dataset`, which Keras reads on any backend. Keras does not shuffle it.

    Raises:
        TypeError: If the teacher is a Keras model, which belongs into the Distiller, or `data` none
            of these.
        ValueError: While it is read, if the teacher's outputs change shape or type, hold NaN, or
            are not one for each example.

    Example:

    >>> part = keras_kd.data.load("digits")["train"]
    >>> batches = keras_kd.sources.live(lambda x: x.reshape(len(x), -1)[:, :10], part)
    >>> batch, y = next(iter(batches))
    >>> batch["signals"]["teacher:output"].shape, y.shape
    (TensorShape([128, 10]), TensorShape([128]))
    """
    count(prefetch, "prefetch")
    teachers = dict(teacher) if isinstance(teacher, Mapping) else {"teacher": teacher}
    signals_of = _Teachers({r: _as_external(t, r) for r, t in teachers.items()}, addresses)
    if is_tf_data(data):
        return _from_dataset(data, signals_of, prefetch)
    if isinstance(data, (tuple, Part)):
        data = _Arrays(_arrays_of(data), batch_size, shuffle, seed)
    elif shuffle:
        raise ValueError(
            "`shuffle` orders arrays and a keras_kd.data.Part. Shuffle other data where they come "
            "from."
        )
    if not isinstance(data, keras.utils.PyDataset):
        raise TypeError(
            "`data` must be a tuple of arrays (x, y), a keras_kd.data.Part, a keras.utils.PyDataset "
            f"or a tf.data.Dataset. Received: {type(data).__name__}."
        )
    return _from_batches(data, signals_of, prefetch)


class _Teachers:
    """Teachers by role, run one at a time: few runtimes may be called from two threads at once."""

    def __init__(self, teachers: Mapping[str, ExternalTeacher], addresses: Sequence[str]):
        self._signals = {role: SteadySignals(t, addresses) for role, t in teachers.items()}
        self._lock = threading.Lock()

    def __call__(self, x: Any) -> dict[str, Any]:
        found = {}
        with self._lock:
            for role, signals in self._signals.items():
                for path, signal in signals(x).items():
                    address = f"{role}:{path}"
                    counting = emptied({address: signal}, masks_of_batch({}, x))[address]
                    _check_finite(counting, path, signals.teacher.name)
                    found[f"{role}:{path}"] = signal
        return found


def _from_batches(batches: keras.utils.PyDataset, signals_of: _Teachers, prefetch: int) -> Any:
    """A pipeline of the batches with their signals.

    Not a `PyDataset` with workers: Keras shuffles the order of its batches, or looks at the first
    and begins anew, and whatever was computed ahead would be computed twice.
    """
    tf = require_tensorflow("keras_kd.sources.live keeps batches ready")

    def with_signals(index: int) -> tuple:
        batch = batches[index]
        x, *rest = batch if isinstance(batch, (tuple, list)) else (batch,)
        return ({"inputs": x, "signals": signals_of(x)}, *rest)

    def once() -> Iterator[tuple]:
        batches.on_epoch_begin()
        length = batches.num_batches
        yield from map(with_signals, itertools.count() if length is None else range(length))
        batches.on_epoch_end()

    dataset = tf.data.Dataset.from_generator(once, output_signature=_signature(tf, with_signals(0)))
    if batches.num_batches is not None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches.num_batches))
    return dataset.prefetch(prefetch)


def _from_dataset(data: Any, signals_of: _Teachers, prefetch: int) -> Any:
    """The same of a `tf.data.Dataset` in batches, whose pipeline goes on."""
    tf = require_tensorflow("keras_kd.sources.live reads a tf.data.Dataset")
    first = next(iter(data.take(1)), None)
    if first is None:
        raise ValueError("`data` has no batches.")
    x = first[0] if isinstance(first, tuple) else first
    sample = signals_of(keras.tree.map_structure(lambda leaf: leaf.numpy(), x))
    specs = keras.tree.flatten(_signature(tf, sample))

    def now(*leaves: np.ndarray) -> list[np.ndarray]:
        return keras.tree.flatten(signals_of(keras.tree.pack_sequence_as(x, list(leaves))))

    @tf.autograph.experimental.do_not_convert
    def with_signals(x: Any, *rest: Any) -> tuple:
        found = tf.numpy_function(now, keras.tree.flatten(x), [spec.dtype for spec in specs])
        for tensor, spec in zip(found, specs, strict=True):
            tensor.set_shape(spec.shape)
        signals = keras.tree.pack_sequence_as(sample, list(found))
        return ({"inputs": x, "signals": signals}, *rest)

    return data.map(with_signals).prefetch(prefetch)


def _signature(tf: Any, batch: Any) -> Any:
    def spec_of(leaf: Any) -> Any:
        array = np.asarray(leaf)
        return tf.TensorSpec((None, *array.shape[1:]), tf.as_dtype(array.dtype))

    return keras.tree.map_structure(spec_of, batch)


def _check_finite(signal: Any, path: str, name: str) -> None:
    for leaf in map(keras.ops.convert_to_numpy, keras.tree.flatten(signal)):
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            bad = ~np.isfinite(leaf).reshape(len(leaf), -1).all(axis=1)
            raise ValueError(
                f"'{path}' of the teacher '{name}' holds NaN or infinite values in row "
                f"{bad.argmax()} of a batch."
            )


def _as_external(teacher: Any, role: str) -> ExternalTeacher:
    if isinstance(teacher, ExternalTeacher):
        return teacher
    if isinstance(teacher, keras.Model):
        raise TypeError(
            f"The {role} '{teacher.name}' is a Keras model, which runs inside the step: give it to "
            "the Distiller, keras_kd.Distiller(student=..., teacher=...)."
        )
    if looks_like_a_model(teacher) or not callable(teacher):
        raise no_model(teacher, "teacher", "a teacher of keras_kd.sources or a function")
    return FunctionTeacher(teacher, name=getattr(teacher, "__name__", role))


class _Arrays(keras.utils.PyDataset):
    """Arrays in batches, in order or shuffled anew for each epoch."""

    def __init__(self, arrays: Sequence[Any], batch_size: int, shuffle: bool, seed: int):
        super().__init__()
        self.arrays, self.batch_size = arrays, count(batch_size, "batch_size")
        self.shuffle, self.seed, self.epoch = shuffle, seed, -1
        self.examples = len(keras.tree.flatten(arrays[0])[0])
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        self.epoch += 1
        order = np.arange(self.examples)
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        self._order = order

    def __len__(self) -> int:
        return -(-self.examples // self.batch_size)

    def __getitem__(self, index: int) -> tuple:
        which = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return keras.tree.map_structure(lambda leaf: leaf[which], tuple(self.arrays))


def _arrays_of(data: tuple | Part) -> list[Any]:
    """Inputs, and labels and weights where there are any."""
    given = (data.x, data.y) if isinstance(data, Part) else data
    arrays = [each for each in given if each is not None]
    if not 1 <= len(given) <= 3 or (len(arrays) < len(given) and given[-1] is not None):
        raise ValueError(
            "`data` must be (x, y) or (x, y, sample_weight), weights with labels alone. Received: "
            f"{len(given)} parts."
        )
    arrays = [keras.tree.map_structure(np.asarray, each) for each in arrays]
    sizes = {len(leaf) for leaf in keras.tree.flatten(arrays)}
    if len(sizes) > 1:
        raise ValueError(
            f"`data` must have one row for each example in all arrays. Received: {sorted(sizes)}."
        )
    return arrays
