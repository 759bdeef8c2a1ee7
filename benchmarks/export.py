"""Which students become which files: does it convert, does it agree, how small, how fast.

    KERAS_BACKEND=tensorflow python benchmarks/export.py --rows rows.json
    KERAS_BACKEND=jax python benchmarks/export.py --models cnn lstm --rows rows.json
    python benchmarks/export.py --table rows.json

Small students are trained for seconds, on the backend that KERAS_BACKEND names: the images are the
bundled digits, the texts are 24 made-up tokens each, in which one of four groups of tokens is the
most frequent. Each is exported in every quantization, with its limits off, and compared on examples
that it was not trained on. The size is the file's over the student's weights in float32. The time is the file's over
a compiled TensorFlow call of the same student (its SavedModel, called from Python), both with one
example on one thread.

Needs the extras "export", "quant" and "micro".
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_kd

layers = keras.layers

QUANTIZATIONS = ("float32", "float16", "dynamic", "int8", "int16x8", "int4")
STEPS, TOKENS, GROUPS = 24, 200, 4
HELD_OUT = 640


def digits(size=8, channels=1):
    data = keras_kd.data.load("digits")

    def grown(x):
        x = x.repeat(size // 8, axis=1).repeat(size // 8, axis=2)
        return x.repeat(channels, axis=3)

    return (grown(data.x_train), data.y_train), (grown(data.x_test), data.y_test)


def texts(examples=4000, seed=0):
    """Tokens, half of them from one group; which group is the label."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, GROUPS, examples)
    x = rng.integers(1, TOKENS, (examples, STEPS))
    of_group = rng.random(x.shape) < 0.3
    size = TOKENS // GROUPS
    x = np.where(of_group, np.maximum(1, x % size + y[:, None] * size), x)
    x, y = x.astype("int32"), y.astype("int32")
    return (x[HELD_OUT:], y[HELD_OUT:]), (x[:HELD_OUT], y[:HELD_OUT])


def cnn():
    x = inputs = keras.Input((8, 8, 1), name="image")
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(layers.Dense(64, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="cnn")


def mobilenet():
    student = keras.applications.MobileNetV3Small(
        input_shape=(32, 32, 3),
        weights=None,
        classes=10,
        include_preprocessing=False,
        classifier_activation=None,
        name="mobilenet",
    )
    for layer in normalized(student):  # made for days of training; this one lasts seconds
        layer.momentum = 0.9
    return student


def reader(name, *middle):
    x = inputs = keras.Input((STEPS,), dtype="int32", name="tokens")
    x = layers.Embedding(TOKENS, 32)(x)
    for layer in middle:
        x = layer(x)
    return keras.Model(inputs, layers.Dense(GROUPS, name="logits")(x), name=name)


def transformer():
    tokens = keras.Input((STEPS,), dtype="int32", name="tokens")
    x = layers.Embedding(TOKENS, 48)(tokens)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 12)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(48)(layers.Dense(96, activation="relu")(x)))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(tokens, layers.Dense(GROUPS, name="logits")(x), name="transformer")


#: A student, its data, and how many passes over them.
MODELS = {
    "cnn": (cnn, digits, 20),
    "mobilenet": (mobilenet, lambda: digits(32, 3), 10),
    "lstm": (lambda: reader("lstm", layers.LSTM(48)), texts, 6),
    "gru": (lambda: reader("gru", layers.GRU(48)), texts, 6),
    "transformer": (transformer, texts, 6),
}


def trained(name):
    build, data, epochs = MODELS[name]
    keras.utils.set_random_seed(0)
    student, (train, test) = build(), data()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile(keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    student.fit(*train, batch_size=64, epochs=epochs, verbose=0)
    settle(student, train[0])
    return student, train, test


def normalized(student):
    return [layer for layer in student.layers if isinstance(layer, layers.BatchNormalization)]


def settle(student, x):
    """Moving statistics follow by 1 % a step: too slow for a training of seconds."""
    found = normalized(student)
    for layer in found:
        layer.momentum = 0.8
    for start in range(0, len(x) - 63, 64) if found else ():
        student(x[start : start + 64], training=True)


def exported(student, path, test, train, quantization, **kwargs):
    if quantization in ("int8", "int16x8"):
        kwargs["calibration"] = train[0]
    began = time.perf_counter()
    proof = keras_kd.export(
        student,
        path,
        quantization=quantization,
        examples=test[0],
        labels=test[1],
        min_agreement=0.0,
        **kwargs,
    )
    return proof, time.perf_counter() - began


def measure(name, backend, folder):
    """One row for each quantization, and one for a microcontroller."""
    student, train, test = trained(name)
    weights = 4 * student.count_params()
    whole, _ = exported(student, folder / "whole", test, train, "float32")
    base = {
        "model": name,
        "backend": backend,
        "parameters": student.count_params(),
        "accuracy": whole.answers[0].student_accuracy,
        "compiled_ms": whole.milliseconds,
    }
    print(json.dumps(base), flush=True)
    targets = [(quantization, None) for quantization in QUANTIZATIONS]
    targets += [("int8", "micro")] if backend == "tensorflow" else []
    for quantization, target in targets:
        row = {**base, "quantization": quantization, "target": target}
        try:
            proof, seconds = exported(
                student, folder / "student.tflite", test, train, quantization, target=target
            )
        except keras_kd.exporting.ExportError as error:
            lines = str(error).splitlines()
            row["error"] = f"{lines[0]} {lines[-1]}"[:400]
        else:
            row |= {
                "agreement": proof.agreement,
                "file_accuracy": proof.accuracy,
                "bytes": proof.bytes,
                "size_ratio": proof.bytes / weights,
                "ms": proof.milliseconds,
                "speed": whole.milliseconds / proof.milliseconds,
                "integer": proof.integer_operators,
                "seconds": seconds,
            }
            if proof.micro:
                row |= {
                    "micro_agreement": proof.micro.agreement,
                    "arena_bytes": proof.micro.arena_bytes,
                    "flash_bytes": proof.micro.flash_bytes,
                }
        print(json.dumps({k: row[k] for k in row if k not in base}), flush=True)
        yield row


def table(rows):
    """The rows as Markdown."""
    lines = [
        "| student, trained on | | " + " | ".join(QUANTIZATIONS) + " |",
        "|---|---|" + "---:|" * len(QUANTIZATIONS),
    ]
    groups = {}
    for row in rows:
        groups.setdefault((row["model"], row["backend"]), []).append(row)
    for (model, backend), group in groups.items():
        found = {row["quantization"]: row for row in group if row["target"] is None}
        first = f"{model}, {backend}"
        for what, show in (
            ("agreement", lambda r: f"{r['agreement']:.3f}"),
            ("size", lambda r: f"{r['size_ratio']:.2f}"),
            ("time", lambda r: f"{1 / r['speed']:.3f}"),
        ):
            cells = ["no" if "error" in found[q] else show(found[q]) for q in QUANTIZATIONS]
            lines.append(f"| {first} | {what} | " + " | ".join(cells) + " |")
            first = ""
    lines += [
        "",
        "| int8 in tflite-micro | agreement | arena, bytes | flash, bytes |",
        "|---|---:|---:|---:|",
    ]
    for row in (r for r in rows if r["target"] == "micro"):
        if "error" in row:
            lines.append(f"| {row['model']} | no | | |")
            continue
        lines.append(
            f"| {row['model']} | {row['micro_agreement']:.3f} | {row['arena_bytes']:,} "
            f"| {row['flash_bytes']:,} |"
        )
    refused = [r for r in rows if "error" in r]
    lines += ["", *(f"- {r['model']}, {r['backend']}, {r['quantization']}"
                    f"{', micro' if r['target'] else ''}: {r['error']}" for r in refused)]  # fmt: skip
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rows", type=Path, help="a JSON file, to which rows are added")
    parser.add_argument(
        "--table", type=Path, help="print the table of such a file, and nothing else"
    )
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    rows = json.loads(options.rows.read_text()) if options.rows and options.rows.exists() else []
    for name in options.models:
        with tempfile.TemporaryDirectory() as folder:
            for row in measure(name, keras.config.backend(), Path(folder)):
                rows.append(row)
                if options.rows:
                    options.rows.write_text(json.dumps(rows, indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
