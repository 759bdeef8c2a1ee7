import gc
import importlib.metadata
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # one worker a core: threads of their own would only queue
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(name, "1")
if os.environ.get("KERAS_BACKEND") == "jax":  # small programs that run once: compiling is the work
    flags = [os.environ.get("XLA_FLAGS", ""), "--xla_backend_optimization_level=0"]
    if tuple(map(int, importlib.metadata.version("jaxlib").split(".")[:2])) >= (0, 10):
        flags += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]
    os.environ["XLA_FLAGS"] = " ".join(flags).strip()

import keras
import pytest

gc.set_threshold(20_000, 20, 20)  # graphs are many small objects, and most of them stay

#: What `-m "not slow"` runs: the mathematics, the terms, a step on each backend and the errors. A new
#: file gets in if it takes seconds; the whole is to take less than a minute.
CORE = {
    "test_cross_backend.py", "test_distiller.py", "test_errors.py", "test_jvp.py",
    "test_own_names.py", "test_taps.py", "test_terms.py", "checks/test_arguments.py",
    "compiled/test_losses.py", "compiled/test_metrics.py", "losses/test_goldens.py",
    "testing/test_check_loss.py",
}  # fmt: skip
HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.relative_to(HERE).as_posix() not in CORE:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    if keras.config.backend() == "tensorflow":
        # An error within `tf.map_fn` leaves the scope of variables so that no strategy opens any more.
        import tensorflow as tf

        tf.compat.v1.get_variable_scope()._caching_device = None


@pytest.fixture(scope="session", autouse=True)
def conversions():
    """Exports are converted in processes that are forked, but where everything is run."""
    if os.environ.get("KERAS_KD_SLOW") or not sys.platform.startswith("linux"):
        yield
        return
    from keras_kd.exporting import _subprocess
    from tests import forked

    server = forked.Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_subprocess, "ended", server.ended)
        yield
    server.stop()


@pytest.fixture
def backend():
    return keras.config.backend()
