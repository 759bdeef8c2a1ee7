"""What an example looked like, in few numbers: enough to notice other data under the same ids.

Of images and other numbers, projections on random signs are kept. Those of single numbers measure
the root mean square of a change (Johnson and Lindenstrauss). Those of the means of cells, eight to
an axis, measure what changes neighbors alike: the noise of pixels is averaged away there, and what
moves a smooth picture is not. Both are given as parts of the example's own spread (its standard
deviation), so that they do not depend on its scaling.
"""

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

#: How many numbers are kept of one input of an example.
NUMBERS = 24
#: Mean, spread and how channels differ; signs of cells; signs of single numbers.
_LEVELS, _COARSE, _FINE = 3, 13, 8
_CELLS = 8
_EXACT = ("string", "bool", "int32", "int64", "uint32", "uint64")
_CHUNK = 1 << 22  # numbers of a batch that are looked at together
_MOST = 1 << 15  # numbers of an example that get a sign of their own, spread evenly over it


class Tolerance(NamedTuple):
    """How far an example may be from what it was, as parts of its spread.

    Noise and drift are estimated by random signs: of what is half as large nothing is refused, of
    what is twice as large nothing is accepted.

    Args:
        level: Its mean and its spread.
        noise: The root mean square of what changes each number for itself.
        drift: The same, of what changes neighbors alike.
    """

    level: float
    noise: float
    drift: float


#: A JPEG file decoded by another library, or by a faster and less exact way, is the same image.
IMAGES = Tolerance(level=0.045, noise=0.07, drift=0.005)
#: Computed again, other numbers differ in their last digits.
OTHERS = Tolerance(level=0.003, noise=0.003, drift=0.003)
#: Up to `NUMBERS` numbers are kept as they are, and compared one by one.
FEW = 1e-3


class Digest:
    """The digests of examples with certain inputs, `(batch, inputs, 24)`.

    Args:
        inputs: Shape and type of each input of one example, as a manifest has them. None, of a
            store that knows ids alone: then no example differs from what it was.
    """

    def __init__(self, inputs: Sequence[dict[str, Any]]):
        self._inputs = [_kind_of(tuple(entry["shape"]), entry["dtype"]) for entry in inputs]
        self.shape: tuple[int, ...] = (len(self._inputs), NUMBERS)

    def of(self, x: Any, examples: int = 0) -> np.ndarray:
        """The digests of a batch; without inputs, of so many `examples`."""
        if not self._inputs:
            return np.zeros((examples, *self.shape), "float32")
        leaves = map(np.asarray, keras.tree.flatten(x))
        parts = [kind.of(leaf) for kind, leaf in zip(self._inputs, leaves, strict=True)]
        return np.stack(parts, axis=1).astype("float32")

    def apart(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        """How far each example is from what it was; up to 1 it is the same."""
        if not self._inputs:
            return np.zeros(len(now))
        pairs = ((now[:, i], then[:, i]) for i in range(len(self._inputs)))
        return np.max(
            [k.apart(a, b) for k, (a, b) in zip(self._inputs, pairs, strict=True)], axis=0
        )


def _kind_of(shape: tuple[int, ...], dtype: str) -> Any:
    if dtype in _EXACT:
        return _Exact(dtype)
    return _Few() if math.prod(shape) <= NUMBERS else _Many(shape)


class _Exact:
    """Words and their numbers: any other is another example. A hash of them."""

    def __init__(self, dtype: str):
        self.dtype = dtype

    def of(self, leaf: np.ndarray) -> np.ndarray:
        rows = leaf.reshape(len(leaf), -1)
        if self.dtype != "string":
            content = [row.tobytes() for row in rows.astype("<i8")]
        else:
            content = [b"".join(_with_length(word) for word in row) for row in rows]
        hashes = [hashlib.blake2b(each, digest_size=2 * NUMBERS).digest() for each in content]
        return np.frombuffer(b"".join(hashes), "<u2").reshape(len(leaf), NUMBERS)

    def apart(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        return np.where((now == then).all(axis=1), 0.0, np.inf)


def _with_length(word: Any) -> bytes:
    plain = word if isinstance(word, bytes) else str(word).encode()
    return len(plain).to_bytes(8, "little") + plain


class _Few:
    """Few numbers, each of which may mean something else and have another size."""

    def of(self, leaf: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            rows = leaf.reshape(len(leaf), -1).astype("float32")
        rows = np.nan_to_num(rows, nan=-1e-9, posinf=1e30, neginf=-1e30)
        return np.pad(rows, ((0, 0), (0, NUMBERS - rows.shape[1])))

    def apart(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        size = np.maximum(np.abs(now), np.abs(then))
        least = 1e-3 * size.max(axis=1, keepdims=True)  # rounding of what was a difference
        return (np.abs(now - then) / np.maximum(np.maximum(size, least), 1e-30)).max(axis=1) / FEW


class _Many:
    """Images, sounds, rows of a table: statistics and projections."""

    def __init__(self, shape: tuple[int, ...]):
        self.shape, self.count = shape, math.prod(shape)
        self.tolerance = IMAGES if len(shape) > 2 else OTHERS
        self.spatial = shape[:-1] if len(shape) > 2 else shape
        self.cell = math.prod(max(1.0, size / _CELLS) for size in self.spatial)
        self.stride = -(-self.count // _MOST)
        while math.gcd(self.stride, self.count) > 1:  # not the same column in each row
            self.stride += 1

    def of(self, leaf: np.ndarray) -> np.ndarray:
        few = max(1, _CHUNK // self.count)
        parts = [self._of(leaf[i : i + few]) for i in range(0, len(leaf), few)]
        return np.concatenate(parts) if parts else np.zeros((0, NUMBERS), "float32")

    def _of(self, leaf: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.ascontiguousarray(leaf, "float32")
            cells = self._cells(x)
        if not np.isfinite(cells).all():
            x = np.nan_to_num(x, nan=-1.0, posinf=2.0, neginf=-2.0)
            cells = self._cells(x)
        some = x.reshape(len(x), -1)[:, :: self.stride]
        channels = cells.mean(axis=1)
        mean = channels.mean(axis=1)
        cells = (cells - channels[:, None]).reshape(len(x), -1)
        spread = some.std(axis=1)
        against = channels @ np.resize([1, -1], channels.shape[1]) / channels.shape[1]
        coarse = cells @ signs(cells.shape[1], _COARSE) / math.sqrt(cells.shape[1])
        fine = (some - mean[:, None]) @ signs(some.shape[1], _FINE) / math.sqrt(some.shape[1])
        return np.concatenate([mean[:, None], spread[:, None], against[:, None], coarse, fine], 1)

    def _cells(self, x: np.ndarray) -> np.ndarray:
        """The means of the cells of each channel, `(batch, cells, channels)`."""
        for axis, size in enumerate(self.spatial, 1):
            if size > _CELLS:
                starts = np.arange(_CELLS) * size // _CELLS
                x = np.add.reduceat(x, starts, axis=axis)
                each = np.diff(starts, append=size).astype("float32")
                x /= each.reshape(-1, *[1] * (x.ndim - axis - 1))
        channels = x.shape[-1] if len(self.shape) > len(self.spatial) else 1
        return x.reshape(len(x), -1, channels)

    def apart(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        spread = np.maximum(now[:, 1], 1e-3 * np.abs(now[:, 0]))
        change = np.abs(now - then) / np.maximum(spread, 1e-30)[:, None]
        levels, coarse, fine = np.split(change, [_LEVELS, _LEVELS + _COARSE], axis=1)
        drift = self.tolerance.drift + self.tolerance.noise / math.sqrt(self.cell)
        parts = [levels.max(axis=1) / self.tolerance.level]
        for those, most in ((coarse, drift), (fine, self.tolerance.noise)):
            parts.append(np.sqrt(np.mean(those**2, axis=1)) / most)
        return np.max(parts, axis=0)


@functools.lru_cache(maxsize=16)
def signs(count: int, projections: int) -> np.ndarray:
    """Random signs, `(count, projections)`: the same ones for ever, as stores are kept for long."""
    drawn = hashlib.shake_128(b"%d %d" % (count, projections)).digest(-(-count * projections // 8))
    bits = np.unpackbits(np.frombuffer(drawn, "uint8"), count=count * projections)
    return (2 * bits.astype("float32") - 1).reshape(count, projections)
