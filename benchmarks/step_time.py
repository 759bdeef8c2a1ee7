"""How long a step of distillation takes, as ratios measured in one run.

    KERAS_BACKEND=tensorflow python benchmarks/step_time.py
    KERAS_BACKEND=jax python benchmarks/step_time.py

1. Distiller with a soft target, over what it cannot be faster than: plain training of the student
   and `predict_on_batch`-like inference of the teacher (one compiled call) on the same batches.
2. Distiller with a soft target and a hint on a student with dropout in each block, over
   `keras.distillation.Distiller` doing the same, with the same `jit_compile`.

Everything is warmed up; the contestants then take turns, epoch by epoch, and the ratio of their
medians is printed with the number of rounds.
"""

import argparse
import statistics
import time

import keras
import numpy as np

import keras_kd


def network(name: str, channels: int, dropout: float = 0.0) -> keras.Model:
    x = inputs = keras.Input((28, 28, 1))
    for i, width in enumerate((channels, 2 * channels)):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", name=f"conv{i}")(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU(name=f"block{i}")(x)
        x = keras.layers.Dropout(dropout)(x) if dropout else x
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x), name=name)


def cross_entropy() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def in_turns(contestants: dict, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contestant, in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run(), run()
    for _ in range(rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def report(title: str, seconds: dict[str, list[float]], steps: int, ours: str, theirs: list[str]):
    print(f"\n{title}")
    for name, times in seconds.items():
        ms = [1e3 * t / steps for t in times]
        print(
            f"  {name:32s} {statistics.median(ms):8.2f} ms/step  ({min(ms):.2f} to {max(ms):.2f})"
        )
    ratios = [own / sum(seconds[t][i] for t in theirs) for i, own in enumerate(seconds[ours])]
    medians = statistics.median(seconds[ours]) / sum(statistics.median(seconds[t]) for t in theirs)
    print(f"  {ours} / ({' + '.join(theirs)}): {medians:.3f} of medians; "
          f"round by round {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    jit = keras.config.backend() == "jax"
    rng = np.random.default_rng(0)
    n = args.batch * args.steps
    x = rng.normal(size=(n, 28, 28, 1)).astype("float32")
    y = rng.integers(0, 10, n)
    fit = {"batch_size": args.batch, "verbose": 0, "shuffle": False}
    print(f"keras {keras.__version__}, backend {keras.config.backend()}, jit_compile={jit}, "
          f"batch {args.batch}, {args.steps} steps a round, {args.rounds} rounds")  # fmt: skip

    teacher = network("teacher", 32)
    plain = network("plain", 8)
    plain.compile("adam", cross_entropy(), metrics=["accuracy"], jit_compile=jit)
    answering = network("answering", 32)
    answering.compile(jit_compile=jit)
    soft = keras_kd.Distiller(student=network("student", 8), teacher=teacher)
    soft.compile("adam", cross_entropy(), metrics=["accuracy"], jit_compile=jit)
    seconds = in_turns(
        {
            "Distiller": lambda: soft.fit(x, y, **fit),
            "plain fit": lambda: plain.fit(x, y, **fit),
            "teacher predict": lambda: answering.predict(x, batch_size=args.batch, verbose=0),
        },
        args.rounds,
    )
    report("1. soft target", seconds, args.steps, "Distiller", ["plain fit", "teacher predict"])

    hint = keras_kd.Term(
        keras_kd.losses.FeatureMatch(), pred="student:block1", target="teacher:block1", name="hint"
    )
    ours = keras_kd.Distiller(
        student=network("student", 24, dropout=0.3),
        teacher=network("teacher", 24),
        terms=[*keras_kd.recipes.hinton(), hint],
    )
    ours.compile("adam", cross_entropy(), metrics=["accuracy"], jit_compile=jit)
    shipped = keras.distillation.Distiller(
        student=network("student", 24, dropout=0.3),
        teacher=network("teacher", 24),
        distillation_losses=[
            keras.distillation.LogitsDistillation(temperature=4.0),
            keras.distillation.FeatureDistillation(
                teacher_layer_name="block1", student_layer_name="block1"
            ),
        ],
    )
    shipped.compile("adam", cross_entropy(), metrics=["accuracy"], jit_compile=jit)
    seconds = in_turns(
        {
            "Distiller": lambda: ours.fit(x, y, **fit),
            "keras.distillation": lambda: shipped.fit(x, y, **fit),
        },
        args.rounds,
    )
    report(
        "2. soft target, hint, dropout", seconds, args.steps, "Distiller", ["keras.distillation"]
    )


if __name__ == "__main__":
    main()
