"""Losses over a vocabulary of 128,000: peak device memory and time of the loss and its gradient.

In arrays of the logits' size, beyond the two given; the gradient is one of them. Each row on jax
is from a process of its own, since a peak cannot be forgotten there. Where memory does not allow
8 x 2,048 positions they are halved, and the row says so.
"""

import gc
import json
import subprocess
import sys
import time

import keras
from keras import ops

from keras_kd import losses
from keras_kd.losses import _custom_gradients
from on_accelerator.bench import Bench, median, wait

T = 4.0
CLASSES, POSITIONS = 128_000, 16_384


def plain_kl(t, s):
    p, q = ops.softmax(t, axis=-1), ops.softmax(s, axis=-1)
    return ops.sum(p * (ops.log(p + 1e-9) - ops.log(q + 1e-9)), axis=-1)


def plain_jensen_shannon(t, s):
    p, q = ops.softmax(t, axis=-1), ops.softmax(s, axis=-1)
    m = ops.log(0.5 * (p + q) + 1e-9)
    return sum(0.5 * ops.sum(a * (ops.log(a + 1e-9) - m), axis=-1) for a in (p, q))


def plain_decoupled(target, s):
    teacher, labels = target
    right = ops.one_hot(labels, s.shape[-1], dtype=s.dtype)
    p, q = ops.softmax(teacher / T, axis=-1), ops.softmax(s / T, axis=-1)
    pairs = [ops.stack([a, 1 - a], axis=-1) for a in (ops.sum(right * x, axis=-1) for x in (p, q))]
    of_right = ops.sum(pairs[0] * (ops.log(pairs[0]) - ops.log(pairs[1])), axis=-1)
    log_p, log_q = (ops.log_softmax(x / T - 1e4 * right, axis=-1) for x in (teacher, s))
    return T**2 * (of_right + 8.0 * ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1))


LOSSES = {
    "SoftTarget": (losses.SoftTarget(1.0, reduction=None), plain_kl),
    "ReverseKL": (losses.ReverseKL(reduction=None), lambda t, s: plain_kl(s, t)),
    "JensenShannon": (losses.JensenShannon(reduction=None), plain_jensen_shannon),
    "DecoupledSoftTarget": (losses.DecoupledSoftTarget(temperature=T, reduction=None),
                            plain_decoupled),
}  # fmt: skip


def asked() -> list[tuple[str, str]]:
    """What is measured, in this order: the loss and how it is computed."""
    found = [(name, kind) for name in LOSSES for kind in ("ours", "plain")]
    # How far the blocks that suit a CPU's caches suit this device.
    return [*found, ("SoftTarget", "ours, blocks of 2^26")]


def logits(rows: int, classes: int, seed: float):
    """Made on the device, with nothing else of their size."""
    if keras.config.backend() == "torch":
        import torch

        where = "cuda" if torch.cuda.is_available() else "cpu"
        torch.manual_seed(int(seed))
        return torch.randn(rows, classes, device=where)
    import jax
    import jax.numpy as jnp

    def made():
        i, j = (jax.lax.broadcasted_iota("float32", (rows, classes), axis) for axis in (0, 1))
        return 3.0 * jnp.sin(seed + 0.7 * i + 1.3 * j)

    return jax.block_until_ready(jax.jit(made)())


def peak() -> int | None:
    """The most bytes that have been in use on the device; None where nothing tells."""
    if keras.config.backend() == "torch":
        import torch

        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def program(function):
    """(target, pred) -> value and gradient by pred."""

    def total(target, pred):
        return ops.mean(function(target, pred))

    if keras.config.backend() == "jax":
        import jax

        return jax.jit(jax.value_and_grad(total, argnums=1))
    import torch

    def run(target, pred):
        leaf = pred.detach().requires_grad_()
        value = total(target, leaf)
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    return run


def measured(name: str, kind: str, rows: int, classes: int, seconds: float) -> dict:
    ours, plain = LOSSES[name]
    if "blocks" in kind:
        _custom_gradients._LARGE = _custom_gradients._BLOCK = 2**26
    run = program(plain if kind == "plain" else ours)
    teacher, pred = (logits(rows, classes, seed) for seed in (1.0, 2.0))
    labels = ops.cast(ops.arange(rows) % classes, "int32")
    target = (teacher, labels) if name == "DecoupledSoftTarget" else teacher
    given = 2 * 4 * rows * classes + 4 * rows
    row = {}
    if keras.config.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    else:
        start = time.perf_counter()
        run = run.lower(target, pred).compile()
        said = run.memory_analysis()
        held = getattr(said, "temp_size_in_bytes", 0) + getattr(said, "output_size_in_bytes", 0)
        row |= {"compile s": round(time.perf_counter() - start, 2),
                "compiler's arrays": round(held / (4 * rows * classes), 3)}  # fmt: skip
    value = run(target, pred)
    wait(value)
    row["value"] = float(value[0])
    most = peak()
    del value
    times, end = [], time.monotonic() + seconds
    while len(times) < 50 and (len(times) < 3 or time.monotonic() < end):
        start = time.perf_counter()
        value = run(target, pred)
        wait(value)
        times.append(time.perf_counter() - start)
        del value
    arrays = None if most is None else round((most - given) / (4 * rows * classes), 3)
    return row | {"arrays": arrays, "peak MiB": None if most is None else most // 2**20,
                  "ms": median([1e3 * t for t in times]), "runs": len(times)}  # fmt: skip


def here(bench: Bench, name: str, kind: str, rows: int) -> dict:
    classes = 500 if bench.tiny else CLASSES
    what = {"case": f"{name}, {kind}", "classes": classes, "positions": rows}
    gc.collect()
    try:
        return what | measured(name, kind, rows, classes, 0.5 if bench.tiny else 4.0)
    except Exception as error:
        return what | {"error": f"{type(error).__name__}: {error}"[:1000]}


def apart(bench: Bench, name: str, kind: str, rows: int) -> dict:
    """The same from a process of its own."""
    command = [sys.executable, sys.argv[0], "--parts", "vocabulary", "--backend", "jax",
               "--row", f"{name}; {kind}; {rows}", "--out", str(bench.out), "--budget", "60",
               *(["--tiny"] if bench.tiny else [])]  # fmt: skip
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=max(15, bench.left())
        )
        return json.loads(run.stdout.splitlines()[-1])
    except Exception as error:
        told = getattr(error, "stderr", None) or str(error)
        told = f"{type(error).__name__}: {str(told)[-1000:]}"
        return {"case": f"{name}, {kind}", "positions": rows, "error": told}


def rows(bench: Bench):
    if bench.row:
        name, kind, positions = bench.row.split("; ")
        yield here(bench, name, kind, int(positions))
        return
    saved = _custom_gradients._LARGE, _custom_gradients._BLOCK
    for name, kind in asked():
        positions, halved = 64 if bench.tiny else POSITIONS, {}
        while bench.left() > 12:
            found = (here if keras.config.backend() == "torch" else apart)(
                bench, name, kind, positions
            )
            _custom_gradients._LARGE, _custom_gradients._BLOCK = saved
            told = found.get("error", "").lower()
            if not ("memory" in told or "resource_exhausted" in told) or positions <= 1024:
                yield found | halved
                break
            halved = {"halved": f"memory did not allow {positions} positions"}
            positions //= 2
