"""int8 accuracy of `keras_kd.compat.tfmot` beside tensorflow-model-optimization with tf_keras.

    python benchmarks/tfmot.py DATA --tfmot PYTHON [--seeds 3]

DATA is the folder with mnist.npz and fashion_mnist.npz as Keras has them, PYTHON the interpreter of
an environment with `pip install tensorflow-model-optimization==0.8.1 tf_keras`. For each set and
seed one float network is trained, in Keras 3. Its weights go to both, which train on for an epoch
of the same batches in the same order, and TensorFlow's converter writes both files; ai-edge-litert
runs both. Rows go to benchmarks/results/tfmot.csv; a script that is run again goes on.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "tfmot.csv"
SETS = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
TRAIN, FLOAT_EPOCHS, AWARE_EPOCHS, BATCH, RATE = 20_000, 4, 1, 50, 1e-4


def network(keras):
    """The same in both versions of Keras, down to the order of the weights."""
    layers = keras.layers
    x = entry = keras.Input((28, 28, 1))
    for i, channels in enumerate((16, 32)):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(x)
        x = layers.MaxPooling2D(name=f"pool{i}")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(entry, layers.Dense(10, name="head")(x))


def aware_file(keras, quantize_model, held, path):
    """Trains a quantized copy on, and writes the file that TensorFlow makes of it."""
    import tensorflow as tf

    model = network(keras)
    model.set_weights([held[f"w{i}"] for i in range(len(model.get_weights()))])
    aware = quantize_model(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    aware.compile(keras.optimizers.Adam(RATE), loss)
    aware.fit(held["x"], held["y"], batch_size=BATCH, epochs=AWARE_EPOCHS, shuffle=False, verbose=0)
    converter = tf.lite.TFLiteConverter.from_keras_model(aware)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    pathlib.Path(path).write_bytes(converter.convert())


def theirs(held, path):
    """Runs in the environment with tfmot."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    aware_file(tf_keras, tfmot.quantization.keras.quantize_model, np.load(held), path)


def accuracy(path, x, y):
    """Of a file, in per cent."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    entry, out = (
        details[0]["index"]
        for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    interpreter.resize_tensor_input(entry, (500, 28, 28, 1))
    interpreter.allocate_tensors()
    right = 0
    for i in range(0, len(x), 500):
        interpreter.set_tensor(entry, x[i : i + 500])
        interpreter.invoke()
        right += int((interpreter.get_tensor(out).argmax(-1) == y[i : i + 500]).sum())
    kinds = {np.dtype(t["dtype"]).name for t in interpreter.get_tensor_details()}
    assert "int8" in kinds, kinds
    return 100 * right / len(x)


def run(data, name, seed, python, rows):
    import keras

    from keras_kd.compat import tfmot

    keras.utils.set_random_seed(seed)
    with np.load(data / f"{name}.npz") as file:
        x, y = file["x_train"][..., None] / np.float32(255), file["y_train"].astype("int32")
        x_test, y_test = file["x_test"][..., None] / np.float32(255), file["y_test"]
    order = np.random.default_rng(seed).permutation(len(x))[:TRAIN]
    x, y = x[order], y[order]
    model = network(keras)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(x, y, batch_size=BATCH, epochs=FLOAT_EPOCHS, verbose=0)
    whole = 100 * float((model.predict(x_test, verbose=0).argmax(-1) == y_test).mean())
    with tempfile.TemporaryDirectory() as folder:
        held = pathlib.Path(folder) / "held.npz"
        weights = {f"w{i}": w for i, w in enumerate(model.get_weights())}
        np.savez(held, x=x, y=y, **weights)
        files = {"keras_kd": f"{folder}/ours.tflite", "tfmot": f"{folder}/theirs.tflite"}
        aware_file(keras, tfmot.quantization.keras.quantize_model, np.load(held), files["keras_kd"])
        subprocess.run([python, __file__, "--theirs", str(held), files["tfmot"]], check=True)
        for way, path in files.items():
            rows.keep(
                set=name, seed=seed, way=way, float=f"{whole:.2f}",
                int8=f"{accuracy(path, x_test, y_test):.2f}",
                bytes=pathlib.Path(path).stat().st_size,
            )  # fmt: skip


def table(rows):
    """The table of benchmarks/README.md."""
    print("| | float | int8, tfmot | int8, keras_kd | difference, mean and each seed | bytes |")
    print("|---|---|---|---|---|---|")
    for name, title in SETS.items():
        mine = [row for row in rows if row["set"] == name]
        by_way = {w: [r for r in mine if r["way"] == w] for w in ("tfmot", "keras_kd")}
        means = {w: np.mean([float(r["int8"]) for r in rs]) for w, rs in by_way.items()}
        pairs = zip(by_way["keras_kd"], by_way["tfmot"], strict=True)
        apart = [float(a["int8"]) - float(b["int8"]) for a, b in pairs]
        each = ", ".join(f"{d:+.2f}" for d in apart)
        sizes = " / ".join(f"{int(rs[0]['bytes']):,}" for rs in by_way.values())
        whole = np.mean([float(r["float"]) for r in mine])
        print(f"| {title} | {whole:.2f} | {means['tfmot']:.2f} | {means['keras_kd']:.2f} | "
              f"{np.mean(apart):+.2f} ({each}) | {sizes} |")  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--theirs"]:
        theirs(*sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        parser.add_argument("data", type=pathlib.Path)
        parser.add_argument("--tfmot", required=True)
        parser.add_argument("--seeds", type=int, default=3)
        given = parser.parse_args()
        from rows import Rows

        rows = Rows(RESULTS)
        for seed in range(given.seeds):
            for name in SETS:
                if not rows.have(set=name, seed=seed, way="tfmot"):
                    run(given.data, name, seed, given.tfmot, rows)
        table(rows)
