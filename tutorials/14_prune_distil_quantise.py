# %% [markdown]
# # Prune, distil, quantise, prove
#
# A trained network loses half of its channels, learns from its former self to do without them, and
# becomes integers. After each step there is a file, and the file is measured.
#
# **Time:** four minutes on a laptop's CPU. **At the end you have:** `pruned.int8.tflite` and its proof: a
# file of about a quarter of the first one's bytes, and what each step took and gave.

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
from keras_kd.compression import L1Norm, Taylor, plain, quantize_aware, recover, shrink

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer steps and seeds: a check, not a result
SEEDS = [1] if QUICK else [1, 2, 3]
STEPS = 50 if QUICK else 600
OUT = Path("out")
OUT.mkdir(exist_ok=True)
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # data sets are read in an old way

# %% [markdown]
# ## The network
#
# Clothes, of Fashion-MNIST. (Where that set is not to be had, the walk goes on with the digits that come
# with the package.) The network is of the kind that small devices are given: a convolution of each
# channel by itself, then one that mixes the channels, several times over.

# %%
try:
    data = kd.data.load("fashion_mnist", download=not QUICK)
except kd.data.NotAvailable:
    data = kd.data.load("digits")
x, y = data.x_train[:6000], data.y_train[:6000]
x_test, y_test = (part[: 640 if QUICK else 5000] for part in data.test)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def normed(h):
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(h))


def network():
    keras.utils.set_random_seed(0)
    h = inputs = keras.Input(data.info.shape, name="image")
    h = normed(layers.Conv2D(24, 3, 2, "same", use_bias=False, name="stem")(h))
    for block, (channels, strides) in enumerate(((48, 1), (64, 2), (64, 1), (96, 2)), 1):
        h = normed(layers.DepthwiseConv2D(3, strides, "same", use_bias=False)(h))
        h = normed(layers.Conv2D(channels, 1, use_bias=False, name=f"mix{block}")(h))
    answers = layers.Dense(10, name="classes")(layers.GlobalAveragePooling2D()(h))
    return keras.Model(inputs, answers, name="network")


def train(model, teacher=None, steps=STEPS, rate=0.003, seed=0):
    """The model, trained: by the labels, and by the teacher when there is one."""
    keras.utils.set_random_seed(seed)
    terms = kd.recipes.hinton(temperature=4.0, alpha=0.9) if teacher else [kd.Labels()]
    distiller = kd.Distiller(student=model, teacher=teacher, terms=terms)
    distiller.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)), loss
    )
    epochs = -(-steps * 64 // len(x))
    distiller.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def accuracy(model):
    answers = model.predict(x_test, batch_size=500, verbose=0)
    return float(np.mean(answers.argmax(axis=1) == y_test))


whole = train(network())
found = {"whole": [accuracy(whole)]}
print(f"{data.info.name}: {len(x):,} images to train on")
print(f"the network has {whole.count_params():,} weights and is right on {found['whole'][0]:.1%}")

# %% [markdown]
# ## Which half may go?
#
# A channel is made by a filter. The old answer is its **norm**: filters with small weights go. But
# large weights are no use where nothing follows on them. The **Taylor importance** looks at what a filter
# does to the loss: the sum of (gradient · weight)² over its weights, on some images. It needs no labels:
# it draws them from what the network itself answers.
#
# `shrink` builds the narrower network and gives it the weights of the channels that stay. What stands
# behind a channel goes with it: the next layer's inputs, its part of the normalisation, its depthwise
# filter. The result is a plain smaller network, for which no device needs to know of zeros.

# %%
ways = {"L1 norm": L1Norm(), "Taylor": Taylor(x[:1024])}
pruned = {
    way: shrink(whole, 0.5, copy_weights=True, importance=importance)
    for way, importance in ways.items()
}
for way, model in pruned.items():
    found[f"pruned by {way}"] = [accuracy(model)]
    print(f"{way}: {model.count_params():,} weights, {found[f'pruned by {way}'][0]:.1%} right")

# %% [markdown]
# The first layer's filters: a bar for each, as long as its weights are large. The norm keeps the longest;
# the Taylor importance has its own mind.


# %%
def filters(model):
    return model.get_layer("stem").get_weights()[0].reshape(-1, model.get_layer("stem").filters).T


def stays(model):
    return np.array([(one == filters(model)).all(axis=1).any() for one in filters(whole)])


norms = np.abs(filters(whole)).sum(axis=1)
by_norm, by_taylor = (stays(pruned[way]) for way in ways)
figure, axis = plt.subplots(figsize=(8, 3.2), layout="constrained")
order = np.argsort(-norms)
for name, chosen, color in (
    ("both keep it", by_norm & by_taylor, "#1b6ca8"),
    ("the norm alone", by_norm & ~by_taylor, "#90a4ae"),
    ("Taylor alone", ~by_norm & by_taylor, "#ef6c00"),
    ("it goes", ~by_norm & ~by_taylor, "#dde3e6"),
):
    places = [place for place, one in enumerate(order) if chosen[one]]
    axis.bar(places, norms[order][places], color=color, label=f"{name}: {len(places)}")
axis.set(xlabel="filters of the first layer", ylabel="sum of its weights' sizes")
axis.set_xticks([])
figure.legend(loc="outside upper center", ncols=4, frameon=False)
plt.show()

# %% [markdown]
# ## Distil
#
# What is left is trained on for the same number of steps: by the labels alone, or by the whole network as
# well, a teacher that is always at hand and needs no labels.

# %%
students = {}
for way, teacher in (("labels alone", None), ("from its former self", whole)):
    students[way] = [
        train(
            shrink(whole, 0.5, copy_weights=True, importance=ways["Taylor"]), teacher,
            steps=STEPS // 2, rate=0.002, seed=seed,
        )
        for seed in SEEDS
    ]  # fmt: skip
    found[way] = [accuracy(model) for model in students[way]]
    print(f"{way}: {', '.join(f'{value:.1%}' for value in found[way])}")

# %% [markdown]
# ## Quantise
#
# Eight bits first. Rounding is done by `export`, off some images; `quantize_aware` lets the student feel
# it while it learns, here with the whole network as teacher still.

# %%
student = students["from its former self"][0]
aware = train(quantize_aware(student), whole, steps=STEPS // 6, rate=0.0003)
found["int8, aware"] = [accuracy(aware)]
print(f"aware of 8 bits: {found['int8, aware'][0]:.1%}")

# %% [markdown]
# With two bits a weight has three steps, and rounding after training is no longer harmless. Say you have
# the network and some of its images, and no labels at all. `recover` makes the float network the teacher
# of its rounded copy, which learns to predict what the float network predicts.

# %%
few = x[:512]
rounded = quantize_aware(student, weight_bits=2)
rounded(few, training=True)  # reads the ranges of the activations off these images
recovered = recover(student, few, 2, whole_steps=40 if QUICK else 400, verbose=0)
for way, model in {"2 bits, rounded": rounded, "2 bits, recovered": recovered}.items():
    found[way] = [accuracy(model)]
    print(f"{way}: {found[way][0]:.1%}")

# %% [markdown]
# ## Prove
#
# Each step as a file. `export` runs what it writes, on the test images, beside the model that it was made
# of; what it returns is the proof. For a microcontroller the file is run in its interpreter as well
# (`pip install "keras-kd[micro]"`), which tells the arena, the memory that it works in.

# %%
micro = "micro" if importlib.util.find_spec("tflite_micro") else None


def written(model, name, quantization):
    more = {"calibration": x[:256]} if quantization == "int8" else {}
    return kd.export(
        model, OUT / name, quantization=quantization, target=micro,
        examples=x_test, labels=y_test, **more,
    )  # fmt: skip


proofs = {"whole, float32": written(whole, "whole.tflite", "float32")}
if not QUICK:
    proofs["pruned, float32"] = written(student, "pruned.tflite", "float32")
    proofs["pruned, int8"] = written(student, "pruned.plain.int8.tflite", "int8")
proofs["pruned, int8, aware"] = written(
    plain(aware, keep_ranges=True), "pruned.int8.tflite", "int8"
)
print(f"{'':20}{'bytes':>8}{'gzip':>8}{'accuracy':>10}{'µs':>7}{'arena':>9}")
for step, proof in proofs.items():
    arena = f"{proof.micro.arena_bytes:9,}" if proof.micro else f"{'-':>9}"
    print(
        f"{step:20}{proof.bytes:8,}{proof.gzip_bytes:8,}{proof.accuracy:10.1%}"
        f"{1000 * proof.milliseconds:7.0f}{arena}"
    )

# %% [markdown]
# ## The path
#
# From the upper right to the left: fewer bytes, and how much accuracy each step took.

# %%
figure, axis = plt.subplots(figsize=(7, 3.6))
places = [(proof.bytes / 1000, 100 * proof.accuracy) for proof in proofs.values()]
axis.plot(*zip(*places, strict=True), "o-", color="#1b6ca8")
BESIDE = {"whole, float32": (-90, 4), "pruned, float32": (10, -4), "pruned, int8": (-64, -16)}
for step, place in zip(proofs, places, strict=True):
    beside = BESIDE.get(step, (-6, 10))
    axis.annotate(step, place, xytext=beside, textcoords="offset points", fontsize=9)
axis.set(xlabel="kB of the file", ylabel="accuracy, %")
axis.margins(x=0.25, y=0.25)
figure.tight_layout()
plt.show()

# %% [markdown]
# And every way that was tried, one dot a seed:

# %%
figure, axis = plt.subplots(figsize=(7, 3.4))
for place, (way, values) in enumerate(found.items()):
    color = "#ef6c00" if "labels" in way else "#1b6ca8"
    axis.plot(100 * np.array(values), [place] * len(values), "o", color=color, alpha=0.7)
axis.set_yticks(range(len(found)), found)
axis.set_ylim(len(found) - 0.5, -0.5)
axis.set_xlabel(f"accuracy on {len(y_test):,} test images, %")
axis.grid(axis="x", alpha=0.3)
figure.tight_layout()
plt.show()

# %% [markdown]
# ## What to take with you
#
# Half of the channels are three quarters of the weights of the layers that mix them. Right after pruning
# little is right; training on brings most of it back. Where every image has its label, as here, the labels
# alone do as well as the former self; its answers are what you have where labels are missing. Eight bits
# cost next to nothing. Two ruin a network that is rounded after training, and it wins back a part of that
# from itself, without a label. And believe the file, not the step before it.

# %%
first, last = proofs["whole, float32"], proofs["pruned, int8, aware"]
print(
    f"{last.path}: {first.bytes / last.bytes:.1f} times smaller, "
    f"{100 * (first.accuracy - last.accuracy):.1f} points less accurate"
)

# %%
mean = {way: 100 * float(np.mean(values)) for way, values in found.items()}
assert by_norm.sum() == by_taylor.sum() == len(norms) // 2, "half of the filters stay"
assert last.bytes < first.bytes / 3, "the file is small"
assert last.agreement >= 0.97, "and proven"
assert mean["from its former self"] > mean["pruned by Taylor"], "training on brings back"
if not QUICK and data.info.name == "fashion_mnist":
    assert mean["whole"] - mean["from its former self"] < 4, "a pruned network nearly as good"
    assert mean["2 bits, recovered"] > mean["2 bits, rounded"] + 10, "recovered"
