import numpy as np
import pytest

from tests.prepared import SHARED, prepared


@pytest.fixture(scope="session")
def mnist_dir(tmp_path_factory):
    return prepared("mnist", tmp_path_factory)


@pytest.fixture(scope="session")
def imdb_dir(tmp_path_factory):
    return prepared("imdb_reviews", tmp_path_factory)


@pytest.fixture(scope="session")
def mnist_arrays():
    path = SHARED / "data" / "mnist.npz"
    if not path.exists():
        pytest.skip("../shared/data/mnist.npz is missing")
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}
