"""Training on several devices is training on one, on the same global batches."""

import json
import os

import keras
import numpy as np
import pytest

from tests.devices import runs

on = keras.config.backend()
tensorflow = pytest.mark.skipif(on != "tensorflow", reason="tf.distribute is TensorFlow's")
jax = pytest.mark.skipif(on != "jax", reason="keras.distribution is JAX's")

MIRRORED = ["synchronized", "skipping", "padded"]
PARALLEL = ["remembered", "skipping", "padded"]
FLAGS = os.environ.get("XLA_FLAGS", "")
FOUR = {"XLA_FLAGS": f"{FLAGS} --xla_force_host_platform_device_count=4"}


def made(out, asked, **env):
    runs.finished(runs.started(out, asked, **env))
    return runs.found(out)


@pytest.fixture(scope="module")
def replicas(tmp_path_factory):
    """On one device and on two replicas, in one process: they share the time to start."""
    asked = [f"{engine}:{case}" for case in MIRRORED for engine in ("one", "mirrored")]
    more = ["mirrored:normalised", "mirrored:complaining"]
    return made(tmp_path_factory.mktemp("devices") / "tensorflow.npz", [*asked, *more])


@pytest.fixture(scope="module")
def parallel(tmp_path_factory):
    asked = [f"{engine}:{case}" for case in PARALLEL for engine in ("one", "data_parallel")]
    asked.append("model_parallel:remembered")
    return made(tmp_path_factory.mktemp("devices") / "jax.npz", asked, **FOUR)


@tensorflow
@pytest.mark.parametrize("case", MIRRORED)
def test_two_replicas_are_one_device(replicas, case):
    runs.same(replicas[f"mirrored:{case}"], replicas[f"one:{case}"])


@tensorflow
def test_a_norm_that_is_not_synchronized_sees_the_replicas_own_share(replicas):
    ours, theirs = replicas["mirrored:normalised"], replicas["one:synchronized"]
    assert ours.keys() == theirs.keys()
    assert np.abs(ours["log loss"] - theirs["log loss"]).max() > 1e-3


@tensorflow
def test_a_fault_that_one_replica_saw_is_counted_once_and_named(replicas):
    said = str(replicas["mirrored:complaining"]["error"])
    assert "'teacher:output' in 1 of 2 batches, first in batch 1 (counted from 0)" in said


@jax
@pytest.mark.parametrize("case", PARALLEL)
def test_four_devices_are_one(parallel, case):
    runs.same(parallel[f"data_parallel:{case}"], parallel[f"one:{case}"])


@jax
def test_a_teacher_cut_in_two_beside_a_whole_student(parallel):
    runs.same(parallel["model_parallel:remembered"], parallel["one:remembered"])


@pytest.mark.parametrize(
    "engine",
    [pytest.param("replicas", marks=tensorflow), pytest.param("parallel", marks=jax)],
)
def test_the_count_of_what_was_skipped_is_in_the_logs(engine, request):
    for name, results in request.getfixturevalue(engine).items():
        if name.endswith(":skipping"):
            assert list(results["log skipped"]) == [1, 1]
            assert results["evaluated skipped"] == 1
            assert np.isfinite(results["log loss"]).all()
            assert results["state 0"] == 4  # of six steps


@jax
def test_two_processes_are_one(parallel, tmp_path):
    env = {"JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo", "XLA_FLAGS": FLAGS}
    for ours in runs.two_processes(tmp_path, ["data_parallel:remembered"], **env):
        runs.same(ours["data_parallel:remembered"], parallel["one:remembered"])


@tensorflow
def test_things_made_inside_and_outside_of_a_scope_are_named(tmp_path):
    out = tmp_path / "scopes.json"
    runs.finished(runs.started(out, [], module="tests.devices.scopes"))
    found = json.loads(out.read_text())
    assert [name for name, error in found.items() if not error] == ["all", "all but fit", "none"]
    start = "ValueError: Everything belongs inside one strategy.scope(). Received: "
    received = {
        "models": "student made inside it, teacher made inside it, distiller made outside it, "
        "Distiller() called outside it.",
        "distiller": "distiller made inside it, student made outside it, teacher made outside it, "
        "Distiller() called inside it.",
        "all but the teacher": "distiller made inside it, student made inside it, teacher made "
        "outside it, Distiller() called inside it.",
        "all but compile": "distiller made inside it, student made inside it, teacher made inside "
        "it, compile() called outside it.",
        "fit": "distiller made outside it, student made outside it, teacher made outside it, "
        "fit() called inside it.",
    }
    for name, words in received.items():
        assert found[name].startswith(start + words), found[name]
        assert "with strategy.scope():\n    student, teacher = ..." in found[name]
