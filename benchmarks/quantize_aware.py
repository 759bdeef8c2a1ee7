"""What rounding to integers costs a small student, and what learning with it wins back.

    KERAS_BACKEND=tensorflow python benchmarks/quantize_aware.py --seeds 3

A convolutional teacher; then from each seed a narrow and deep student of depthwise convolutions,
distilled in float. From that student on: the file that rounding makes of it; the file after some
more epochs of distillation in float, and after as many quantisation-aware. All accuracies are those
of LiteRT files, run on the whole test set. "int8": weights and activations; "int4": weights of four
bits, float activations (needs ai-edge-quantizer).

With `--steps`: running ranges and learnt step sizes at four and two bits of weight, from the same
students and for as many epochs. Accuracies are those of the student with rounded weights and float
activations, and for four bits of the int4 file as well.

    KERAS_BACKEND=tensorflow python benchmarks/quantize_aware.py --steps --seeds 3

With `--search`: three bits throughout, and bits by layer from `search_bits` in no more bytes; both
rounded, and both after some epochs.

    KERAS_BACKEND=tensorflow python benchmarks/quantize_aware.py --search --seeds 3

Needs TensorFlow (which writes the files) and ai-edge-litert (which runs them).
"""

import argparse
import importlib
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers as L

import keras_kd
from keras_kd import compression

CLASSES = 10
ROWS = {
    "float": "student in float32",
    "int8": "int8, plain",
    "int8 few": "int8, plain, 2 images to calibrate",
    "int8 on": "int8 after more epochs in float",
    "int8 aware": "int8 after as many, quantisation-aware",
    "int4": "int4 weights, plain",
    "int4 on": "int4 weights after more epochs in float",
    "int4 aware": "int4 weights after as many, quantisation-aware",
}


def teacher_of(shape: tuple[int, ...]) -> keras.Model:
    x = inputs = keras.Input(shape)
    for channels in (24, 48, 96):
        x = L.Conv2D(channels, 3, 2, "same", use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization()(x))
    return keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling2D()(x)), name="teacher")


def student_of(shape: tuple[int, ...], channels: int, blocks: int) -> keras.Model:
    """Inverted residual blocks: a stream without ReLU that every block adds to."""

    def normed(x: keras.KerasTensor) -> keras.KerasTensor:
        return L.BatchNormalization(momentum=0.9)(x)

    x = inputs = keras.Input(shape)
    x = L.ReLU()(normed(L.Conv2D(channels, 3, 2, "same", use_bias=False)(x)))
    for block in range(blocks):
        late = block >= blocks // 2
        y = L.ReLU()(normed(L.Conv2D(2 * x.shape[-1], 1, use_bias=False)(x)))
        strides = 2 if block == blocks // 2 else 1
        y = L.ReLU()(normed(L.DepthwiseConv2D(3, strides, "same", use_bias=False)(y)))
        y = normed(L.Conv2D(channels * (1 + late), 1, use_bias=False)(y))
        x = L.Add()([x, y]) if x.shape == y.shape else y
    return keras.Model(inputs, L.Dense(CLASSES)(L.GlobalAveragePooling2D()(x)), name="student")


class Bench:
    def __init__(self, name: str, images: int):
        data = keras_kd.data.load(name)
        order = np.random.default_rng(0).permutation(len(data.y_train))[:images]
        self.x, self.y = data.x_train[order].astype("float32"), data.y_train[order]
        self.test = data.x_test.astype("float32"), data.y_test
        self.folder = pathlib.Path(tempfile.mkdtemp())

    def distil(
        self, student: keras.Model, teacher: keras.Model | None, epochs: int, rate: float
    ) -> keras.Model:
        steps = epochs * -(-len(self.y) // 64)
        terms = None if teacher else [keras_kd.Labels()]
        distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
        distiller.compile(
            keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        distiller.fit(self.x, self.y, batch_size=64, epochs=epochs, verbose=0)
        return student

    def file(self, model: keras.Model, calibration: int = 0) -> pathlib.Path:
        """The model as a file: in float, or in int8 when calibrated."""
        path = self.folder / f"{time.monotonic_ns()}.tflite"
        signature = [keras.InputSpec(shape=(1, *self.x.shape[1:]), dtype="float32")]
        ops, int8 = tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        options: dict = {"target_spec": {"supported_ops": [ops]}}
        if calibration:
            options = {
                "target_spec": {"supported_ops": [int8]},
                "optimizations": [tf.lite.Optimize.DEFAULT],
                "representative_dataset": lambda: ([x[None]] for x in self.x[:calibration]),
                "inference_output_type": tf.int8,
            }
        model.export(path, format="litert", verbose=False, input_signature=signature, **options)
        return path

    def int4(self, model: keras.Model) -> pathlib.Path:
        quantizer = importlib.import_module("ai_edge_quantizer.quantizer")
        recipe = importlib.import_module("ai_edge_quantizer.recipe")
        path = self.file(model)
        out = path.with_suffix(".int4.tflite")
        quantizer.Quantizer(str(path), recipe.dynamic_wi4_afp32()).quantize().export_model(str(out))
        return out

    def accuracy(self, path: pathlib.Path) -> float:
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        (i,), (o,) = interpreter.get_input_details(), interpreter.get_output_details()
        right = 0
        for x, y in zip(*self.test, strict=True):
            interpreter.set_tensor(i["index"], x[None])
            interpreter.invoke()
            right += interpreter.get_tensor(o["index"])[0].argmax() == y
        return right / len(self.test[1])

    def right(self, model: keras.Model) -> float:
        """The accuracy of a model on the test set, without a file."""
        x, y = self.test
        return float((model.predict(x, batch_size=500, verbose=0).argmax(-1) == y).mean())


def copied(model: keras.Model) -> keras.Model:
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


class Rows:
    """Accuracies by row, printed as they come and as a table at the end."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}

    def note(self, row: str, accuracy: float) -> None:
        self.found.setdefault(row, []).append(accuracy)
        print(f"  {row}: {accuracy:.4f}", flush=True)

    def table(self) -> None:
        print("\n| | accuracy, % | ± |\n|---|---:|---:|")
        for row, values in self.found.items():
            spread = 100 * statistics.stdev(values) if len(values) > 1 else 0.0
            print(f"| {row} | {100 * statistics.mean(values):.2f} | {spread:.2f} |")


def few_bits(bench: Bench, teacher: keras.Model, options: argparse.Namespace) -> None:
    rows = Rows()
    for seed in range(1, options.seeds + 1):
        print(f"seed {seed}", flush=True)
        keras.utils.set_random_seed(seed)
        student = student_of(bench.x.shape[1:], options.channels, options.blocks)
        bench.distil(student, teacher, options.epochs, 2e-2)
        rows.note("student in float32", bench.right(student))
        compare = compare_steps if options.steps else compare_searched
        compare(bench, teacher, student, options.more, rows)
    print(f"\nstudent: {student.count_params()} parameters; {options.data}")
    rows.table()


def compare_steps(
    bench: Bench, teacher: keras.Model, student: keras.Model, epochs: int, rows: Rows
) -> None:
    ways = {
        "running ranges": compression.RunningRanges(),
        "learnt steps": compression.LearnedSteps(),
        "learnt steps, of activations too": compression.LearnedSteps(activations=True),
    }
    for bits in (4, 2):
        rounded = compression.plain(compression.quantize_aware(student, weight_bits=bits))
        rows.note(f"{bits} bits, plain", bench.right(rounded))
        for name, steps in ways.items():
            aware = compression.quantize_aware(student, weight_bits=bits, steps=steps)
            bench.distil(aware, teacher, epochs, 2e-3)
            ready = compression.plain(aware)
            rows.note(f"{bits} bits, {name}", bench.right(ready))
            if bits == 4:
                rows.note(f"the int4 file of {name}", bench.accuracy(bench.int4(ready)))


def compare_searched(
    bench: Bench, teacher: keras.Model, student: keras.Model, epochs: int, rows: Rows
) -> None:
    images = bench.x[:512]
    throughout = compression.search_bits(
        student, images, max_bytes=10**9, choices=(3,), teacher=teacher, verbose=False
    )
    searched = compression.search_bits(
        student, images, max_bytes=throughout.bytes, choices=(8, 6, 4, 3, 2), teacher=teacher
    )
    print(searched, flush=True)
    for name, found in (("3 bits throughout", throughout), ("bits by layer", searched)):
        print(f"  {name}: {found.bytes:,} bytes", flush=True)
        aware = compression.quantize_aware(student, bits=found.bits)
        rows.note(f"{name}, rounded", bench.right(compression.plain(aware)))
        bench.distil(aware, teacher, epochs, 2e-3)
        rows.note(f"{name}, trained on", bench.right(compression.plain(aware)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--more", type=int, default=3, help="epochs after that")
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--steps", action="store_true", help="running ranges or learnt steps")
    parser.add_argument("--search", action="store_true", help="bits by layer or throughout")
    options = parser.parse_args()

    bench = Bench(options.data, options.images)
    keras.utils.set_random_seed(100)
    teacher = bench.distil(teacher_of(bench.x.shape[1:]), None, options.epochs, 3e-3)
    print(f"teacher: {bench.accuracy(bench.file(teacher)):.4f}", flush=True)
    if options.steps or options.search:
        return few_bits(bench, teacher, options)
    found: dict[str, list[float]] = {row: [] for row in ROWS}
    for seed in range(1, options.seeds + 1):
        keras.utils.set_random_seed(seed)
        student = student_of(bench.x.shape[1:], options.channels, options.blocks)
        bench.distil(student, teacher, options.epochs, 2e-2)
        on = bench.distil(copied(student), teacher, options.more, 2e-3)
        aware = compression.quantize_aware(student)
        bench.distil(aware, teacher, options.more, 2e-3)
        aware4 = compression.quantize_aware(student, weight_bits=4)
        bench.distil(aware4, teacher, options.more, 2e-3)
        files = {
            "float": bench.file(student),
            "int8": bench.file(student, 200),
            "int8 few": bench.file(student, 2),
            "int8 on": bench.file(on, 200),
            "int8 aware": bench.file(compression.plain(aware, keep_ranges=True), 200),
            "int4": bench.int4(student),
            "int4 on": bench.int4(on),
            "int4 aware": bench.int4(compression.plain(aware4)),
        }
        for row, path in files.items():
            found[row].append(bench.accuracy(path))
        said = ", ".join(f"{row} {values[-1]:.4f}" for row, values in found.items())
        print(f"seed {seed}: {said}", flush=True)

    print(
        f"\nstudent: {student.count_params()} parameters; {options.data}, {options.images} images\n"
    )
    print("| | accuracy, % | ± | lost against float |\n|---|---:|---:|---:|")
    mean = {row: 100 * statistics.mean(values) for row, values in found.items()}
    for row, values in found.items():
        spread = 100 * statistics.stdev(values) if len(values) > 1 else 0.0
        lost = mean["float"] - mean[row]
        print(f"| {ROWS[row]} | {mean[row]:.2f} | {spread:.2f} | {lost:+.2f} |")
    for bits in ("int8", "int4"):
        lost, back = mean["float"] - mean[bits], mean[f"{bits} aware"] - mean[bits]
        print(f"\n{bits}: {lost:.2f} points lost, {back:.2f} won back", end="")
        print(f", {100 * back / lost:.0f} %" if lost > 0 else "")


if __name__ == "__main__":
    main()
