"""Peak memory of losses over a large vocabulary: the loss and its gradient, in arrays of logits.

    KERAS_BACKEND=torch python benchmarks/memory.py --positions 8 512 --classes 50000

    ... --features 256                    with the last layer of the models: fused, and before the loss

(JIT=0 for tensorflow without XLA.)

Each figure is from a fresh process: the logits of teacher and student are made, memory is read,
the loss and its gradient by the student's logits are computed, compiled as the backend's trainer
compiles, and the highest resident memory since then is divided by the size of the logits. The
gradient itself is one of these arrays. "plain" is the formula as one would write it down, left to
automatic differentiation. Linux only: it reads /proc.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import keras
import numpy as np
from keras import ops

import keras_kd
from keras_kd import losses

JIT = os.environ.get("JIT", "1") == "1"  # tensorflow with XLA, as Keras compiles by itself
K = 64  # the largest logits that SparseSoftTarget is given


def plain_soft_target(t, s):
    p, q = ops.softmax(t, axis=-1), ops.softmax(s, axis=-1)
    return ops.sum(p * (ops.log(p + 1e-9) - ops.log(q + 1e-9)), axis=-1)


def plain_reverse_kl(t, s):
    return plain_soft_target(s, t)


def plain_jensen_shannon(t, s):
    p, q = ops.softmax(t, axis=-1), ops.softmax(s, axis=-1)
    m = 0.5 * (p + q)

    def kl(a):
        return ops.sum(a * (ops.log(a + 1e-9) - ops.log(m + 1e-9)), axis=-1)

    return 0.5 * (kl(p) + kl(q))


def plain_skew(t, s):
    p, q = ops.softmax(t, axis=-1), ops.softmax(s, axis=-1)
    return ops.sum(p * (ops.log(p + 1e-9) - ops.log(0.1 * p + 0.9 * q + 1e-9)), axis=-1)


def plain_skew_reverse(t, s):
    return plain_skew(s, t)


def plain_standardized(t, s):
    def z(x):
        return (x - ops.mean(x, axis=-1, keepdims=True)) / ops.std(x, axis=-1, keepdims=True)

    return plain_soft_target(z(t), z(s))


def plain_decoupled(target, s):
    t, labels = target
    mask = ops.one_hot(labels, s.shape[-1])
    p, q = ops.softmax(t, axis=-1), ops.softmax(s, axis=-1)
    p_right, q_right = ops.sum(p * mask, axis=-1), ops.sum(q * mask, axis=-1)
    right = p_right * ops.log(p_right / q_right)
    right = right + (1.0 - p_right) * ops.log((1.0 - p_right) / (1.0 - q_right))
    return right + 8.0 * plain_soft_target(t - 1000.0 * mask, s - 1000.0 * mask)


def plain_sparse(target, s):
    values, classes, log_sum_exp = target
    p = ops.exp(values - log_sum_exp[..., None])
    q = ops.take_along_axis(ops.softmax(s, axis=-1), classes, axis=-1)
    rest, q_rest = 1.0 - ops.sum(p, axis=-1), 1.0 - ops.sum(q, axis=-1)
    known = ops.sum(p * (ops.log(p) - ops.log(q + 1e-9)), axis=-1)
    return known + rest * (ops.log(rest + 1e-9) - ops.log(q_rest + 1e-9))


def relations(loss):
    """A loss between the relations of 512 examples of 512 features each."""
    rng = np.random.default_rng(0)
    sides = [ops.convert_to_tensor(rng.standard_normal((512, 512), "float32")) for _ in range(2)]
    run = program(loss)
    run(*(side[:8] for side in sides))
    before = fresh()
    ops.convert_to_numpy(run(*sides)[0])
    return {"MiB": (memory("VmHWM") - before) / 2**20}


def whole_logits(loss):
    """A loss of logits, on factors: the last layer as a model has it, then the loss."""

    def on_factors(target, pred):
        t, s = (ops.matmul(side.hidden, side.kernel) + side.bias for side in (target, pred))
        return loss(t, s)

    return on_factors


#: How a last layer and its loss are computed, by kind: both at once, the layer before a lean loss,
#: the layer before the plain formula.
FUSED = {
    "JensenShannon": (losses.JensenShannon(0.5), plain_jensen_shannon),
    "SoftTarget": (losses.SoftTarget(1.0), plain_soft_target),
    "ReverseKL": (losses.ReverseKL(), plain_reverse_kl),
}


def of_factors(name, kind):
    lean, plain = FUSED[name]
    kinds = {"fused": losses.Fused(lean), "lean": whole_logits(lean), "plain": whole_logits(plain)}
    return kinds[kind]


def factors(positions, classes, features):
    rng = np.random.default_rng(0)

    def side():
        shapes = ((*positions, features), (features, classes), (classes,))
        made = (rng.standard_normal(s, dtype="float32") / s[0] ** 0.5 for s in shapes)
        return losses.Factors(*map(ops.convert_to_tensor, made))

    return side(), side()


RELATIONS = {"DistanceRelation": losses.DistanceRelation(), "AngleRelation": losses.AngleRelation()}
LOSSES = {
    "SoftTarget": (losses.SoftTarget(1.0, reduction=None), plain_soft_target),
    "ReverseKL": (losses.ReverseKL(reduction=None), plain_reverse_kl),
    "JensenShannon": (losses.JensenShannon(reduction=None), plain_jensen_shannon),
    "SkewKL": (losses.SkewKL(reduction=None), plain_skew),
    "SkewReverseKL": (losses.SkewReverseKL(reduction=None), plain_skew_reverse),
    "StandardizedSoftTarget": (
        losses.StandardizedSoftTarget(1.0, reduction=None),
        plain_standardized,
    ),
    "DecoupledSoftTarget": (
        losses.DecoupledSoftTarget(temperature=1.0, reduction=None),
        plain_decoupled,
    ),
    "SparseSoftTarget": (losses.SparseSoftTarget(reduction=None), plain_sparse),
}


def program(function):
    """(target, pred) -> value and gradient, as the backend's trainer runs it."""

    def total(target, pred):
        return ops.mean(function(target, pred))

    backend = keras.config.backend()
    if backend == "jax":
        import jax

        return jax.jit(jax.value_and_grad(total, argnums=1))
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function(jit_compile=JIT)
        def both(target, pred):
            with tf.GradientTape() as tape:
                tape.watch(pred)
                value = total(target, pred)
            return value, tape.gradient(value, pred)

        return both
    import torch

    def run(target, pred):
        leaves = keras.tree.map_structure(lambda x: x.detach().requires_grad_(), pred)
        value = total(target, leaves)
        return value, torch.autograd.grad(value, keras.tree.flatten(leaves))

    return run


def inputs(name, positions, classes):
    rng = np.random.default_rng(0)

    def logits(count):
        return ops.convert_to_tensor(rng.standard_normal((*positions, count), dtype="float32"))

    if name == "DecoupledSoftTarget":
        labels = ops.convert_to_tensor(rng.integers(0, classes, positions))
        return (logits(classes), labels), logits(classes)
    if name != "SparseSoftTarget":
        return logits(classes), logits(classes)
    values = logits(K)  # made up: the rest is worth as much as these
    known = np.broadcast_to(np.arange(K, dtype="int32") * (classes // K), values.shape)
    total = ops.logsumexp(values, axis=-1) + float(np.log(2.0))
    return (values, ops.convert_to_tensor(known), total), logits(classes)


def memory(field):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024


def fresh():
    """Memory now; the high-water mark begins anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return memory("VmRSS")


def measure(name, kind, positions, classes, features):
    """Peak memory in arrays of the logits' size, and CPU seconds of a second run."""
    if features:
        run, made = program(of_factors(name, kind)), lambda p, c: factors(p, c, features)
    else:
        run, made = program(LOSSES[name][kind == "plain"]), lambda p, c: inputs(name, p, c)
    ops.convert_to_numpy(run(*made((2, 2), 100))[0])  # what the library itself needs
    target, pred = made(positions, classes)
    before = fresh()
    ops.convert_to_numpy(run(target, pred)[0])
    arrays = (memory("VmHWM") - before) / (4 * int(np.prod(positions)) * classes)
    start = time.process_time()
    ops.convert_to_numpy(run(target, pred)[0])
    return {"arrays": arrays, "seconds": time.process_time() - start}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--positions", type=int, nargs="+", default=[8, 512])
    parser.add_argument("--classes", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=0, help="with the last layer, of so many")
    parser.add_argument("--losses", nargs="+", choices=list(LOSSES), default=list(LOSSES))
    parser.add_argument("--only", nargs=2, metavar=("LOSS", "KIND"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        name, kind = args.only
        if name in RELATIONS:
            print(json.dumps(relations(RELATIONS[name])))
        else:
            shape = tuple(args.positions), args.classes, args.features
            print(json.dumps(measure(name, kind, *shape)))
        return
    shape = " x ".join(map(str, (*args.positions, args.classes)))
    print(f"Keras {keras.__version__} on {keras.config.backend()}, logits {shape}, float32,")
    print(f"keras_kd {keras_kd.__version__}: loss and gradient, in arrays of the logits' size\n")
    if args.features:
        print(f"With the last layer, of {args.features} features:\n")
        print("| loss | fused | lean | plain | fused, CPU s | lean | plain |")
        print("|---|---|---|---|---|---|---|")
        for name in FUSED:
            if name in args.losses:
                found = [apart(name, kind, args) for kind in ("fused", "lean", "plain")]
                cells = [f"{r['arrays']:.2f}" for r in found]
                cells += [f"{r['seconds']:.1f}" for r in found]
                print(f"| {name} | {' | '.join(cells)} |", flush=True)
        return
    print("| loss | ours | plain | ours, CPU s | plain, CPU s |\n|---|---|---|---|---|")
    for name in args.losses:
        found = [apart(name, kind, args) for kind in ("ours", "plain")]
        cells = [f"{r['arrays']:.2f}" for r in found] + [f"{r['seconds']:.1f}" for r in found]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)
    print("\n512 examples of 512 features, loss and gradient:")
    for name in RELATIONS:
        print(f"{name}: {apart(name, 'ours', args)['MiB']:.0f} MiB", flush=True)


def apart(name, kind, args):
    """What a fresh process measures."""
    command = [sys.executable, __file__, "--only", name, kind, "--classes"]
    command += [
        str(args.classes),
        "--features",
        str(args.features),
        "--positions",
        *map(str, args.positions),
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{name}, {kind}: {run.stderr[-2000:]}")
    return json.loads(run.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
