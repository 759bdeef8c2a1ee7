"""One bit of a store flipped, then what a user does next: write again, and read.

    KERAS_BACKEND=jax python -m tests.stores.damage FLIPS SEED

Half of the flips are drawn among all bits of the store, half among its files first, so that small
files are met as well. Prints how often each end came, for a finished store and for one of which
half is written; "wrong" and "raw" must not be there.
"""

import collections
import pathlib
import shutil
import sys
import tempfile

import numpy as np

import keras_kd as kd
from keras_kd import stores
from tests.stores.conftest import files, teacher

SETTINGS = {"batch_size": 16, "shard_size": 16, "dtype": "float32"}


class Damage:
    """A store of 64 examples in 4 shards, and what is in it.

    Args:
        folder: Where it may write.
        half: Whether the damaged store is one of which half is written.
    """

    def __init__(self, folder: pathlib.Path, half: bool):
        self.half = half
        self.part = kd.data.load("digits")["test"].take(np.arange(64))
        self.teacher, self.copy = teacher(), folder / "copy"
        self.right = self.read(self.write(folder / "whole"))
        writers = {"shard_index": 0, "num_shards": 2} if half else {}
        self.files = files(self.write(folder / "damaged", **writers))

    def write(self, folder: pathlib.Path, **writers: int) -> pathlib.Path:
        stores.write(self.teacher, self.part, folder, **SETTINGS, **writers)
        return folder

    def read(self, folder: pathlib.Path) -> np.ndarray:
        data = stores.read(folder, self.part, batch_size=len(self.part))
        return data[0][0]["signals"]["teacher:output"]

    def end(self, name: str, content: bytes | None) -> str:
        """How it ends when a file has other content, or is not there."""
        shutil.rmtree(self.copy, ignore_errors=True)
        for each, whole in self.files.items():
            (self.copy / each).parent.mkdir(parents=True, exist_ok=True)
            if each != name:
                (self.copy / each).write_bytes(whole)
            elif content is not None:
                (self.copy / each).write_bytes(content)
        said = []
        for act in (self.written, self.judged):
            try:
                said.append(act(self.copy))
            except stores.StoreError:
                said.append("an error in words")
            except Exception as error:
                said.append(f"raw {type(error).__name__}: {error}")
        return ", ".join(said)

    def written(self, folder: pathlib.Path) -> str:
        self.write(folder)
        return "written"

    def judged(self, folder: pathlib.Path) -> str:
        return "right" if np.array_equal(self.read(folder), self.right) else "wrong"

    def flip(self, name: str, bit: int) -> str:
        content = bytearray(self.files[name])
        content[bit // 8] ^= 1 << bit % 8
        return self.end(name, bytes(content))

    def flips(self, count: int, seed: int) -> collections.Counter:
        """How often each end came, of so many flips."""
        rng, names = np.random.default_rng(seed), sorted(self.files)
        sizes = np.array([len(self.files[name]) for name in names])
        ends: collections.Counter = collections.Counter()
        for number in range(count):
            name = names[rng.choice(len(names), p=None if number % 2 else sizes / sizes.sum())]
            ends[self.flip(name, int(rng.integers(8 * len(self.files[name]))))] += 1
        return ends


if __name__ == "__main__":
    for half in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            found = Damage(pathlib.Path(folder), half).flips(int(sys.argv[1]), int(sys.argv[2]))
            print("half of a store" if half else "a finished store", *found.items(), sep="\n  ")
