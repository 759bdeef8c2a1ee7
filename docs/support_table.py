"""The tables of what runs where in support.md: `python docs/support_table.py` writes them anew.

Their cells stand in support.json, and come from running it: for each layer a small network with it
is rounded, pruned, narrowed and written as a file, and for each kind of student a file of each
format is made and proven.

    KERAS_BACKEND=torch python docs/support_table.py --measure layers files

measures the rows of that backend, and writes them down as they come; `--again` those that are there
already, too. Files need the packages of each format; on TensorFlow all quantizations are tried.
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
    "AveragePooling2D": ("image", lambda: L.AveragePooling2D()),
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
STUDENTS = {
    "images": lambda: (kd.students.tiny((8, 8, 1), 4), (8, 8, 1)),
    "spectrograms": lambda: (kd.students.ds_cnn((49, 10, 1), 4, width=16, blocks=2), (49, 10, 1)),
    "columns": lambda: (kd.students.mlp((14,), 4), (14,)),
    "words, convolutions": lambda: (kd.students.text_cnn((12,), 4, vocabulary=20), (12,)),
    "words, LSTM": lambda: (_words(L.LSTM(8)), (12,)),
    "words, attention": lambda: (_words(_attention), (12,)),
}
QUANTIZATIONS = ("float32", "float16", "dynamic", "int8", "int16x8", "int4")
#: By column of the second table: the file's suffix and what else `export` is given.
FORMATS = {
    **{f"LiteRT {q}": (".tflite", {"quantization": q}) for q in QUANTIZATIONS},
    "micro int8": (".tflite", {"quantization": "int8", "target": "micro"}),
    "ONNX": (".onnx", {}),
    "SavedModel": ("", {}),
}
#: What other backends are asked: the way to the other LiteRT files is the same.
ON_EACH = ("LiteRT float32", "LiteRT int8", "ONNX", "SavedModel")


def _attention(x):
    return L.MultiHeadAttention(2, 4, name="layer")(x, x)


def _words(layer):
    x = inputs = keras.Input((12,), dtype="int32", name="tokens")
    x = layer(L.Embedding(20, 8)(x))
    x = L.GlobalAveragePooling1D()(x) if len(x.shape) == 3 else x
    return keras.Model(inputs, L.Dense(4, name="logits")(x), name="words")


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


def trained(model, x, callbacks=(), epochs=2):
    """The model after some steps on classes that its inputs do have."""
    y = (x.reshape(len(x), -1).mean(1) > np.median(x.reshape(len(x), -1).mean(1))).astype("int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
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
    trained(model, x)
    kept = {}

    def rounded():
        kept["plain"] = compression.plain(trained(compression.quantize_aware(model), x))
        return YES

    def pruned():
        weights = [w for w in model.get_layer("layer").trainable_weights if len(w.shape) > 1]
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        copy(x[:1])
        trained(copy, x, [compression.Pruning(0.5)], epochs=3)
        zeros = [
            float(np.mean(keras.ops.convert_to_numpy(w) == 0))
            for w in copy.get_layer("layer").trainable_weights
            if len(w.shape) > 1
        ]
        return NOTHING if not weights else YES if min(zeros) > 0.3 else NO

    def narrowed():
        small = compression.shrink(model, width=0.5)
        trained(small, x)
        return YES if small.count_params() < model.count_params() else NO

    row = {"quantize_aware": said(rounded), "Pruning": said(pruned), "shrink": said(narrowed)}
    if files:
        student = kept.get("plain", model)
        more = {"quantization": "int8", "target": "micro"}
        row["int8 file"] = said(lambda: written(student, x, ".tflite", more))
    return row


def written(student, x, suffix, more) -> str:
    """How a file of a student turns out: the share of integer operators, where that is not all."""
    calibrated = more.get("quantization") in ("int8", "int16x8")
    with tempfile.TemporaryDirectory() as folder:
        proof = kd.export(
            student, pathlib.Path(folder) / f"student{suffix}", examples=x, min_agreement=0.9,
            calibration=x if calibrated else None, **more,
        )  # fmt: skip
    share = proof.integer_operators
    return f"{share:.0%} int" if calibrated and share is not None and share < 1 else YES


def of_student(name, formats) -> dict[str, str]:
    """A row of the second table."""
    keras.utils.set_random_seed(0)
    model, shape = STUDENTS[name]()
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            layer.momentum = 0.7
    x = inputs_of(shape, model.inputs[0].dtype, 128)
    trained(model, x, epochs=8)
    return {f: said(lambda f=f: written(model, x, *FORMATS[f])) for f in formats}


def measure(tables, again) -> None:
    backend = keras.config.backend()
    first = backend == "tensorflow"
    for table in tables:
        for name in LAYERS if table == "layers" else STUDENTS:
            cells = json.loads(CELLS.read_text("utf-8")) if CELLS.exists() else {}
            rows = cells.setdefault(table, {}).setdefault(backend, {})
            if name in rows and not again:
                continue
            if table == "layers":
                rows[name] = of_layer(name, files=first)
            else:
                rows[name] = of_student(name, FORMATS if first else ON_EACH)
            print(backend, name, rows[name], flush=True)
            CELLS.write_text(json.dumps(cells, indent=1, ensure_ascii=False) + "\n", "utf-8")


def cell(found: dict[str, str]) -> str:
    """One word where all backends are alike; else each with its own."""
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{backend}: {value}" for backend, value in found.items())


def table(which) -> str:
    rows = json.loads(CELLS.read_text("utf-8"))[which]
    columns = list(next(iter(rows["tensorflow"].values())))
    lines = [["" if which == "files" else "layer", *columns], ["---"] * (len(columns) + 1)]
    for name in rows["tensorflow"]:
        cells = [
            cell({b: rows[b][name][c] for b in BACKENDS if c in rows.get(b, {}).get(name, {})})
            for c in columns
        ]
        lines.append([f"`{name}`" if which == "layers" else name, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def with_tables(page) -> str:
    """The page, with the tables that this script makes."""
    for which in ("layers", "files"):
        before, rest = page.split(MARK.format(which))
        page = (
            before + MARK.format(which) + "\n" + table(which) + "\n" + END + rest.split(END, 1)[1]
        )
    return page


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", nargs="+", choices=("layers", "files"))
    parser.add_argument("--again", action="store_true", help="also rows that are there")
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.again)
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")
