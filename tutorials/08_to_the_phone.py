# %% [markdown]
# # To the phone
#
# A student becomes a file of 8-bit integers that is proven to answer as the student does; with 4 bits
# it has to learn to live with them first.
#
# **Time:** four minutes on a laptop's CPU. **At the end you have:** `student.int8.tflite` and beside it
# its proof, a `.json` that says how large, how fast and how faithful the file is.

# %%
import importlib.util
import logging
import os
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer steps and seeds: a check, not a result
SEEDS = [1] if QUICK else [1, 2, 3]
STEPS = 100 if QUICK else 400
OUT = Path("out")
OUT.mkdir(exist_ok=True)
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # data sets are read in an old way

# %% [markdown]
# ## A teacher, a student alone, a student distilled
#
# The pictures are clothes, of Fashion-MNIST. (Where that set is not to be had, the walk goes on with
# the digits that come with the package.) The teacher has every label; the student has one in six, and
# what the teacher says of all. The student is of the kind that phones are given: convolutions of single
# channels, each followed by one that mixes the channels.

# %%
try:
    data = kd.data.load("fashion_mnist", download=not QUICK)
except kd.data.NotAvailable:
    data = kd.data.load("digits")
x, y = data.x_train[:6000], data.y_train[:6000]
x_test, y_test = (part[: 640 if QUICK else None] for part in data.test)
few_labels = np.where(np.arange(len(y)) < len(y) // 6, y, -1)  # the loss passes over -1
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
print(f"{data.info.name}: {len(x):,} images to train on, {np.sum(few_labels >= 0):,} labels")


def normed(h):
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(h))


def new_teacher():
    keras.utils.set_random_seed(0)
    h = inputs = keras.Input(data.info.shape, name="image")
    for channels in (32, 64, 128):
        h = normed(layers.Conv2D(channels, 3, 2, "same", use_bias=False)(h))
    answers = layers.Dense(10, name="classes")(layers.GlobalAveragePooling2D()(h))
    return keras.Model(inputs, answers, name="teacher")


def new_student(seed):
    keras.utils.set_random_seed(seed)
    h = inputs = keras.Input(data.info.shape, name="image")
    h = normed(layers.Conv2D(16, 3, 2, "same", use_bias=False)(h))
    for channels, strides in ((32, 2), (64, 1), (96, 2)):
        h = normed(layers.DepthwiseConv2D(3, strides, "same", use_bias=False)(h))
        h = normed(layers.Conv2D(channels, 1, use_bias=False)(h))
    answers = layers.Dense(10, name="classes")(layers.GlobalAveragePooling2D()(h))
    return keras.Model(inputs, answers, name="student")


def train(model, teacher=None, labels=few_labels, steps=STEPS, rate=0.01):
    """The model, trained: by its labels, and by the teacher when there is one."""
    terms = kd.recipes.hinton(temperature=4.0, alpha=0.9) if teacher else [kd.Labels()]
    distiller = kd.Distiller(student=model, teacher=teacher, terms=terms)
    falling = keras.optimizers.schedules.CosineDecay(rate, steps)
    distiller.compile(keras.optimizers.Adam(falling), loss)
    epochs = -(-steps * 64 // len(x))
    distiller.fit(x, labels, batch_size=64, epochs=epochs, verbose=0)
    return model


def accuracy(model):
    said = keras.ops.convert_to_numpy(keras.ops.argmax(model(x_test), axis=1))
    return float(np.mean(said == y_test))


teacher = train(new_teacher(), labels=y, rate=0.003)
print(f"teacher: {accuracy(teacher):.1%}, {teacher.count_params():,} weights")

students = {"student alone": [train(new_student(seed)) for seed in SEEDS]}
students["distilled"] = [train(new_student(seed), teacher) for seed in SEEDS]
found = {way: [accuracy(model) for model in many] for way, many in students.items()}
print(f"a student has {students['distilled'][0].count_params():,} weights")
for way, values in found.items():
    print(f"{way}: {', '.join(f'{value:.1%}' for value in values)}")

# %% [markdown]
# ## The file and its proof
#
# `kd.export` writes the student, and the student alone: LiteRT, the format of `.tflite` files. For int8
# it needs **calibration**: some training images, off which the range of every layer's numbers is read.
#
# A file is worth nothing if it answers otherwise. So each is run, on the test images, and its answers are
# put beside the student's. If fewer than 97 % of the decisions are the same, nothing is written and an
# error says which layers lose most. What `export` returns is the proof.

# %%
student = students["distilled"][0]


def written(model, name, quantization, **more):
    if quantization == "int8":
        more["calibration"] = x[:256]
    return kd.export(
        model, OUT / name, quantization=quantization,
        examples=x_test, labels=y_test, **more,
    )  # fmt: skip


proofs = {
    "float32": written(student, "student.tflite", "float32"),
    "int8": written(student, "student.int8.tflite", "int8", teacher=teacher),
}
proof = proofs["int8"]
(answer,) = proof.answers
print(proof)
print(
    f"KL from the teacher {answer.divergence:.3f}, of the student {answer.student_divergence:.3f}"
)
print(f"{proof.integer_operators:.0%} of its operators compute in integers:")
print("  " + ", ".join(f"{count} {name}" for name, count in proof.operators.items()))

# %% [markdown]
# ## Fewer bits
#
# With 8 bits a weight has 255 steps. With 4 it has 15, and the file of a trained student answers
# differently from it. What helps is to let the student train on with the rounding inside:
# **quantisation-aware distillation**. `quantize_aware` makes a copy whose weights are rounded in every
# pass, while the gradient goes by as if they were not; the teacher is the same as before. `plain` gives
# back a Keras model whose weights lie on the steps.
#
# Fairness asks for one more control: the same steps of further training, without the rounding.

# %%
MORE = STEPS // 2


def rounded(model, bits=4):
    """The model with its weights rounded, one step size for each channel."""
    return kd.compression.plain(kd.compression.quantize_aware(model, weight_bits=bits))


def trained_on(model):
    return train(model, teacher, steps=MORE, rate=0.001)


def copied(model):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def aware(model, bits):
    return kd.compression.plain(trained_on(kd.compression.quantize_aware(model, weight_bits=bits)))


students["4 bits, rounded"] = [rounded(model) for model in students["distilled"]]
students["4 bits, trained on, rounded"] = [
    rounded(trained_on(copied(model))) for model in students["distilled"]
]
students["4 bits, aware"] = [aware(model, 4) for model in students["distilled"]]
for way in list(students)[2:]:
    found[way] = [accuracy(model) for model in students[way]]
    print(f"{way}: {', '.join(f'{value:.1%}' for value in found[way])}")

# %% [markdown]
# Where did the weights go? One layer of the first student: each dot is a weight, counted in the steps of
# its channel.


# %%
def in_steps(model):
    """The first convolution that mixes channels: seven steps up, seven down, one at zero."""
    kernel = next(weight for weight in model.get_weights() if weight.shape[:2] == (1, 1))
    return (7 * kernel / np.abs(kernel).max(axis=(0, 1, 2))).ravel()


floats = in_steps(rounded(student, bits=8))  # nearly: with 127 steps up and as many down
moved = float(
    np.mean(
        np.round(in_steps(students["4 bits, aware"][0]))
        != np.round(in_steps(students["4 bits, rounded"][0]))
    )
)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
for axis, way in zip(axes, ("4 bits, rounded", "4 bits, aware"), strict=True):
    axis.plot(floats, in_steps(students[way][0]), "o", markersize=3, alpha=0.4, color="#1b6ca8")
    axis.set(title=way, xlabel="weight before, in steps")
    axis.set_xticks(range(-7, 8))
    axis.set_yticks(range(-7, 8))
axes[0].set_ylabel("weight in 4 bits, in steps")
figure.tight_layout()
plt.show()
print(f"{moved:.1%} of the layer's weights lie on another step than plain rounding gives them")

# %% [markdown]
# Plain rounding takes each weight to the nearest step. Training with the rounding inside moves some of
# them to a step next to it, where the answers suffer less.
#
# ## And with 8 bits?
#
# The int8 files of every student, rounded after training and trained with the rounding.

# %%
files = {"8 bits, rounded": [proof], "8 bits, aware": []}
for seed, model in zip(SEEDS, students["distilled"], strict=True):
    if seed != SEEDS[0]:
        files["8 bits, rounded"].append(written(model, f"student_{seed}.int8.tflite", "int8"))
    if not QUICK:
        path = f"student_{seed}.aware.int8.tflite"
        files["8 bits, aware"].append(written(aware(model, 8), path, "int8"))
for way, many in files.items():
    found[way] = [one.accuracy for one in many]
    print(f"{way}: {', '.join(f'{value:.1%}' for value in found[way]) or 'not in the quick form'}")

# %% [markdown]
# ## The files of 4 bits
#
# They are written with a further package (`pip install "keras-kd[quant]"`). Each is compared with the
# student it is to stand for: the first with the student in floats.

# %%
refused = ""
try:
    proofs["4 bits, rounded"] = written(student, "student.int4.tflite", "int4")
except ModuleNotFoundError as error:
    print(error)
except kd.exporting.ExportError as error:
    refused = str(error)
    print(f"refused: {refused}")

if importlib.util.find_spec("ai_edge_quantizer") and not QUICK:
    trained = students["4 bits, aware"][0]
    proofs["4 bits, aware"] = written(trained, "student.aware.int4.tflite", "int4")

# %%
print(f"{'':16}{'bytes':>8}{'accuracy':>10}{'agreement':>11}{'ms':>8}")
for way, one in proofs.items():
    print(f"{way:16}{one.bytes:8,}{one.accuracy:10.1%}{one.agreement:11.1%}{one.milliseconds:8.4f}")

# %% [markdown]
# The milliseconds are those of this machine's CPU, which gains little from integers. A phone's
# accelerator, or a microcontroller without floats, may take nothing but integers: measure there. For a
# microcontroller, `kd.export(..., target="micro")` also runs the file in its interpreter.
#
# ## All of them
#
# The dots are seeds, the bars their means.

# %%
order = [
    "student alone", "distilled", "8 bits, rounded", "8 bits, aware",
    "4 bits, rounded", "4 bits, trained on, rounded", "4 bits, aware",
]  # fmt: skip
mean = {way: 100 * float(np.mean(found[way])) for way in order if found[way]}
figure, axis = plt.subplots(figsize=(7, 3))
for place, way in enumerate(mean):
    colour = f"C{('student alone', 'distilled').index(way)}" if "bits" not in way else f"C{way[0]}"
    axis.plot(100 * np.array(found[way]), [place] * len(found[way]), "o", color=colour, alpha=0.7)
    axis.plot(mean[way], place, "|", color="black", markersize=16)
axis.set(xlabel=f"accuracy on the {len(y_test):,} test images, % (one dot a seed)")
axis.set_yticks(range(len(mean)), mean)
axis.set_ylim(len(mean) - 0.5, -0.5)
figure.tight_layout()
plt.show()
for way, value in mean.items():
    print(f"{way:30}{value:6.1f} %")

# %% [markdown]
# Eight bits are as good as floats here, so there is nothing for awareness to win back. Try the plain
# file first; its proof tells. Four bits cost something. Further training in floats may win back a part
# of it before the rounding takes its share again; training with the rounding wins back all of it.
#
# ## What you keep

# %%
again = kd.exporting.verify(proof.path, student, x_test, y_test)
print(f"{proof.path} and {proof.path}.json: {again.bytes:,} bytes, {again.agreement:.1%} agree")

# %% [markdown]
# ## For whoever gets the file
#
# They need to know what goes in and what comes out. Told `preprocessing`, names of the classes and a
# card, `export` writes all of it into the file: TensorFlow Lite's metadata, where Android's libraries
# read them. With `softmax=True` the file ends in one, and gives probabilities. `readme=True` writes a page
# beside it, with the lines that load it and an example to try them on.

# %%
given = written(
    student, "for_others.tflite", "int8", softmax=True, readme=True,
    class_names=data.info.class_names, preprocessing="float images in [0, 1]",
    card={"license": "CC0", "data": data.info.name, "recipe": "hinton(temperature=4, alpha=0.9)"},
)  # fmt: skip
print(given)
page = (OUT / "for_others.README.md").read_text()
print(page[page.index("## Python") : page.index("## Kotlin")])

# %% [markdown]
# And a page that runs the student in a browser: draw, drop an image, see the answer. It holds the file
# and an interpreter, which is fetched once from the npm registry, and needs no server.

# %%
try:
    shown = kd.exporting.page(given.path, title="A student of clothes")
    print(f"{shown}: {shown.stat().st_size / 1e6:.1f} MB, open it in a browser")
except RuntimeError as error:  # no network
    print(error)

# %%
assert mean["distilled"] > mean["student alone"] + 1, "distilled is better than alone"
assert proof.agreement >= 0.97 and proof.integer_operators == 1.0, "all integers, and it agrees"
assert abs(mean["8 bits, rounded"] - mean["distilled"]) < 1, "8 bits are as good as floats"
assert proof.bytes < proofs["float32"].bytes, "and take less room"
assert again.sha256 == proof.sha256 and again.agreeing == proof.agreeing, "the proof holds"
assert given.outputs[0].ending == "softmax" and given.agreement >= 0.97, "with probabilities, too"
assert kd.exporting.card(given.path)["card"]["license"] == "CC0", "and says what it is"
if not QUICK and data.info.name == "fashion_mnist":
    assert abs(mean["8 bits, aware"] - mean["8 bits, rounded"]) < 1, "nothing to win back there"
    lost = mean["distilled"] - mean["4 bits, rounded"]
    assert lost > 0.5, "4 bits cost something"
    assert mean["4 bits, aware"] > mean["distilled"] - lost / 4, "awareness wins it back"
    assert mean["4 bits, aware"] > mean["4 bits, trained on, rounded"] + lost / 4, "floats do not"
    assert 0.005 < moved < 0.5, "by moving some of the weights to another step"
if "4 bits, aware" in proofs:
    kept = proofs.get("4 bits, rounded")
    assert kept or "less than min_agreement=0.97" in refused, "no file that does not agree"
    assert proofs["4 bits, aware"].agreement >= 0.97, "the aware student's own file agrees with it"
