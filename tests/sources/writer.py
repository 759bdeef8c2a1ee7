"""Writes the store of tests/sources/test_server.py, to be killed: writer.py URL FOLDER EXAMPLES."""

import sys

import numpy as np

import keras_kd as kd
from tests.sources.server import FEATURES


def write(url, folder, examples):
    """10 shards."""
    x = np.random.default_rng(3).normal(size=(examples, FEATURES)).astype("float32")
    part = kd.data.Part(x, None, np.arange(examples))
    with kd.sources.ServerTeacher(
        url, name="small", batch_size=1, timeout=0.3, backoff=0.02, retries=20
    ) as teacher:
        kd.stores.write(
            teacher, part, folder, dtype="float32", batch_size=examples // 10,
            shard_size=examples // 10,
        )  # fmt: skip
    return part


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2], int(sys.argv[3]))
