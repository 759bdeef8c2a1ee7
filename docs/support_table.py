"""The tables of what runs where in support.md: `python docs/support_table.py` writes them anew.

    KERAS_BACKEND=torch python docs/support_table.py --measure

The cells of layers stand in support.json, and come from running it: a small network with the layer
is rounded, pruned and narrowed. `--measure` runs the rows of that backend that are not there yet,
and writes them down as they come; `--again` those with a no in them, too, and `--files` makes the
int8 file of each as well, for TensorFlow, which writes them. The table of files is that of the rows
of benchmarks/export.py.
"""

import argparse
import json
import pathlib
import tempfile

import keras
import numpy as np

import keras_kd as kd
from keras_kd import compression

HERE = pathlib.Path(__file__).parent
PAGE, CELLS = HERE / "support.md", HERE / "support.json"
RESULTS = HERE.parent / "benchmarks" / "results" / "export.json"
MARK = "<!-- {}: made by support_table.py -->\n"
END = "<!-- end of table -->\n"
BACKENDS = ("tensorflow", "jax", "torch")
YES, NO, NOTHING = "yes", "no", "–"
L = keras.layers

#: A layer of each class within images, sequences or rows; `x` has 8 channels or columns.
LAYERS = {
    "Dense": ("row", lambda: L.Dense(8)),
    "Conv2D": ("image", lambda: L.Conv2D(8, 3, padding="same")),
    "DepthwiseConv2D": ("image", lambda: L.DepthwiseConv2D(3, padding="same")),
    "SeparableConv2D": ("image", lambda: L.SeparableConv2D(8, 3, padding="same")),
    "Conv2DTranspose": ("image", lambda: L.Conv2DTranspose(8, 3, 2, padding="same")),
    "Conv1D": ("sequence", lambda: L.Conv1D(8, 3, padding="same")),
    "SeparableConv1D": ("sequence", lambda: L.SeparableConv1D(8, 3, padding="same")),
    "EinsumDense": ("sequence", lambda: L.EinsumDense("btc,cd->btd", (None, 8), bias_axes="d")),
    "Embedding": ("tokens", lambda: L.Embedding(20, 8)),
    "LSTM": ("sequence", lambda: L.LSTM(8)),
    "GRU": ("sequence", lambda: L.GRU(8)),
    "SimpleRNN": ("sequence", lambda: L.SimpleRNN(8)),
    "Bidirectional": ("sequence", lambda: L.Bidirectional(L.GRU(4))),
    "MultiHeadAttention": ("sequence", lambda: _attention),
    "BatchNormalization": ("image", lambda: L.BatchNormalization()),
    "LayerNormalization": ("sequence", lambda: L.LayerNormalization()),
    "GroupNormalization": ("image", lambda: L.GroupNormalization(2)),
    "Normalization": ("first", lambda: L.Normalization(mean=0.5, variance=0.1)),
    "Rescaling": ("first", lambda: L.Rescaling(2.0, -1.0)),
    "ReLU": ("image", lambda: L.ReLU()),
    "ReLU(6)": ("image", lambda: L.ReLU(6.0)),
    "LeakyReLU": ("image", lambda: L.LeakyReLU()),
    "PReLU": ("image", lambda: L.PReLU(shared_axes=(1, 2))),
    "Activation('gelu')": ("image", lambda: L.Activation("gelu")),
    "Activation('silu')": ("image", lambda: L.Activation("silu")),
    "Activation('sigmoid')": ("image", lambda: L.Activation("sigmoid")),
    "Activation('tanh')": ("image", lambda: L.Activation("tanh")),
    "Softmax": ("row", lambda: L.Softmax()),
    "MaxPooling2D": ("image", lambda: L.MaxPooling2D()),
    "AveragePooling2D": ("image", lambda: L.AveragePooling2D(2)),
    "GlobalMaxPooling2D": ("image", lambda: L.GlobalMaxPooling2D()),
    "GlobalMaxPooling1D": ("sequence", lambda: L.GlobalMaxPooling1D()),
    "UpSampling2D": ("image", lambda: L.UpSampling2D()),
    "ZeroPadding2D": ("image", lambda: L.ZeroPadding2D()),
    "Add": ("image", lambda: lambda x: L.Add(name="layer")([x, L.ReLU()(x)])),
    "Multiply": ("image", lambda: lambda x: L.Multiply(name="layer")([x, L.ReLU()(x)])),
    "Concatenate": ("image", lambda: lambda x: L.Concatenate(name="layer")([x, L.ReLU()(x)])),
    "Flatten": ("image", lambda: L.Flatten()),
    "Reshape": ("image", lambda: L.Reshape((16, 32))),
    "Dropout": ("row", lambda: L.Dropout(0.2)),
}  # fmt: skip
INPUTS = {
    "image": (8, 8, 2), "first": (8, 8, 2), "sequence": (6, 4), "tokens": (6,), "row": (5,),
}  # fmt: skip
#: The students of benchmarks/export.py, what they are made of, and the files that it made of each.
STUDENTS = {
    "cnn": "images: convolutions",
    "mobilenet": "images: inverted residuals, squeeze-and-excitation",
    "lstm": "text: LSTM",
    "gru": "text: bidirectional GRU",
    "transformer": "text: attention",
}
FILES = ("float32", "float16", "dynamic", "int8", "int16x8", "int4", "micro int8")


def _attention(x):
    return L.MultiHeadAttention(2, 4, name="layer")(x, x)


def network(name) -> keras.Model:
    """The layer between others of its kind, in a classifier."""
    kind, make = LAYERS[name]
    layer = make()
    if isinstance(layer, L.Layer):
        layer.name = "layer"
    dtype = "int32" if kind == "tokens" else "float32"
    x = inputs = keras.Input(INPUTS[kind], dtype=dtype, name="x")
    if kind == "image":
        x = L.Conv2D(8, 3, padding="same", name="before")(x)
    elif kind == "sequence":
        x = L.Conv1D(8, 3, padding="same", name="before")(x)
    elif kind == "row":
        x = L.Dense(8, name="before")(x)
    x = layer(x)
    if len(x.shape) == 4:
        x = L.GlobalAveragePooling2D()(L.Conv2D(8, 3, activation="relu", name="after")(x))
    elif len(x.shape) == 3:
        x = L.GlobalAveragePooling1D()(L.Conv1D(8, 3, activation="relu", name="after")(x))
    return keras.Model(inputs, L.Dense(3, name="logits")(x), name="network")


def inputs_of(shape, dtype, examples=64):
    rng = np.random.default_rng(0)
    if dtype == "int32":
        return rng.integers(1, 20, (examples, *shape)).astype("int32")
    return rng.normal(0.5, 1, (examples, *shape)).astype("float32")


def trained(model, x, callbacks=(), epochs=1):
    """The model after some steps on classes that its inputs do have; uncompiled where that is
    faster, for a few steps of a small network take less time than to compile them."""
    means = x.reshape(len(x), -1).mean(1)
    y = (means > np.median(means)).astype("int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=keras.config.backend() != "jax")
    model.fit(x, y, batch_size=16, epochs=epochs, verbose=0, callbacks=list(callbacks))
    return model


def said(attempt) -> str:
    """What an attempt gives; an error of ours is a no, and any other one ends the measurement."""
    try:
        return attempt()
    except (ValueError, TypeError, kd.exporting.ExportError):
        return NO


def of_layer(name, files: bool) -> dict[str, str]:
    """A row of the first table."""
    keras.utils.set_random_seed(0)
    model = network(name)
    x = inputs_of(model.input_shape[1:], model.inputs[0].dtype)
    kept = {}

    def kernels(model):
        held = model.get_layer("layer").trainable_weights
        return [w for w in held if "kernel" in w.path or "embeddings" in w.path]

    def rounded():
        kept["plain"] = compression.plain(trained(compression.quantize_aware(model), x))
        return YES

    def pruned():
        if not kernels(model):
            return NOTHING
        copy = keras.models.clone_model(model)
        copy(x[:1])
        trained(copy, x, [compression.Pruning(0.5)], epochs=3)
        zeros = [np.mean(keras.ops.convert_to_numpy(w) == 0) for w in kernels(copy)]
        return YES if min(zeros) > 0.3 else NO

    def narrowed():
        small = compression.shrink(model, width=0.5)
        small(x[:1])
        return YES if small.count_params() < model.count_params() else NO

    row = {"quantize_aware": said(rounded), "Pruning": said(pruned), "shrink": said(narrowed)}
    if files:
        row["int8 file"] = said(lambda: written(kept.get("plain", model), x))
    return row


def written(student, x) -> str:
    """How the int8 file of a student turns out: all operators in integers, or a share of them."""
    with tempfile.TemporaryDirectory() as folder:
        proof = kd.export(
            student, pathlib.Path(folder) / "student.tflite", examples=x, min_agreement=0.9,
            calibration=x, quantization="int8", target="micro",
        )  # fmt: skip
    share = proof.integer_operators
    return f"{share:.0%} of it" if share is not None and share < 1 else YES


def measured() -> dict[str, dict[str, dict[str, str]]]:
    """By backend and layer: a row."""
    return json.loads(CELLS.read_text("utf-8")) if CELLS.exists() else {}


def measure(files, again) -> None:
    backend = keras.config.backend()
    for name in LAYERS:
        there = measured().get(backend, {}).get(name, {})
        done = bool(there) and (not files or "int8 file" in there)
        if done and not (again and NO in there.values()):
            continue
        row = {**there, **of_layer(name, files)}
        print(backend, name, row, flush=True)
        cells = measured()
        rows = {**cells.get(backend, {}), name: row}
        cells[backend] = {known: rows[known] for known in LAYERS if known in rows}
        CELLS.write_text(json.dumps(cells, indent=1, ensure_ascii=False) + "\n", "utf-8")


def cell(found: dict[str, str]) -> str:
    """One word where all backends are alike; else each with its own."""
    if len(set(found.values())) <= 1:
        return next(iter(found.values()), "")
    return ", ".join(f"{backend}: {value}" for backend, value in found.items())


def layers() -> str:
    rows = measured()
    columns = list(dict.fromkeys(c for row in rows["tensorflow"].values() for c in row))
    lines = [["layer", *columns], ["---"] * (len(columns) + 1)]
    for name in LAYERS:
        found = {b: rows[b][name] for b in BACKENDS if name in rows.get(b, {})}
        cells = [cell({b: row[c] for b, row in found.items() if c in row}) for c in columns]
        lines.append([f"`{name}`", *cells])
    return table(lines)


def files() -> str:
    """The least agreement over the backends, of the rows of benchmarks/export.py."""
    least: dict[tuple[str, str], float] = {}
    for row in json.loads(RESULTS.read_text("utf-8")):
        name = f"{row['target']} {row['quantization']}" if row["target"] else row["quantization"]
        agreement = min(row["agreement"], row.get("micro_agreement", 1.0))
        least[row["model"], name] = min(agreement, least.get((row["model"], name), 1.0))
    lines = [["", *FILES], ["---"] + ["---:"] * len(FILES)]
    for model, said in STUDENTS.items():
        lines.append([said, *(f"{least[model, name]:.3f}" for name in FILES)])
    return table(lines)


def table(lines) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_tables(page) -> str:
    """The page, with the tables that this script makes."""
    for name, made in (("layers", layers()), ("files", files())):
        before, rest = page.split(MARK.format(name))
        page = before + MARK.format(name) + "\n" + made + "\n" + END + rest.split(END, 1)[1]
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--files", action="store_true", help="int8 files of each layer as well")
    parser.add_argument("--again", action="store_true", help="also rows with a no")
    options = parser.parse_args()
    if options.measure:
        measure(options.files, options.again)
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
