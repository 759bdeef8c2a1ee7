# %% [markdown]
# # Is it better?
#
# Two numbers differ; does that mean anything? One call, `keras_kd.report.compare`, with seeds and
# intervals, with a look at what a model is sure of and what it looks at, and with an honest "cannot say".
#
# **Time:** three minutes on a laptop's CPU. **At the end you have:** `report.html`, one page with
# verdict, tables and pictures in it, and `report.json` with the same numbers for programs.

# %%
import json
import os
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer epochs and seeds: a check, not a result
SEEDS = [1, 2] if QUICK else [1, 2, 3, 4, 5, 6]
EPOCHS = 15 if QUICK else 30
OUT = Path("out")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## Something to compare
#
# The teacher has every label of the digits. The student has 100 labels, drawn by the seed, and the
# teacher's answers for all images. The **control** is the student alone. A third one is distilled at
# another temperature: a question as it comes up every day, and a harder one.
#
# Every seed is its own run of each: the same labels, weights and batches for all three.

# %%
digits = kd.data.load("digits")
test = digits["test"]
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)


def network(seed, name, channels):
    keras.utils.set_random_seed(seed)
    blocks = [
        layers.Conv2D(count, 3, strides, "same", activation="relu", name=f"block{i}")
        for i, (count, strides) in enumerate(zip(channels, (1, 2, 2), strict=True), 1)
    ]
    head = [layers.GlobalAveragePooling2D(name="pool"), layers.Dense(10, name="logits")]
    return keras.Sequential([keras.Input((8, 8, 1)), *blocks, *head], name=name)


teacher = network(0, "teacher", (16, 32, 64))
teacher.compile(keras.optimizers.Adam(0.01), loss)
teacher.fit(digits.x_train, digits.y_train, batch_size=64, epochs=EPOCHS, verbose=0)


def train(seed, terms, teacher=None):
    kept = np.random.default_rng(seed).permutation(len(digits.y_train))[:100]
    labels = np.full_like(digits.y_train, -1)
    labels[kept] = digits.y_train[kept]
    student = network(seed, "student", (8, 8, 16))
    distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01), loss)
    distiller.fit(digits.x_train, labels, batch_size=64, epochs=EPOCHS, verbose=0)
    return student


def taught(temperature):
    terms = kd.recipes.hinton(temperature=temperature, alpha=0.9)
    return [train(seed, terms, teacher) for seed in SEEDS]


students = {
    "student alone": [train(seed, [kd.Labels()]) for seed in SEEDS],
    "distilled": taught(4.0),
    "distilled, T = 5": taught(5.0),
}
print({name: len(many) for name, many in students.items()})

# %% [markdown]
# ## One run
#
# `compare` asks every model about every test image once. What it says first is the **verdict**: how many
# errors fewer, and an interval. With one run of each the interval is over the examples: how much might the
# difference have been with other test images of this kind?


# %%
def compared(names, run=None, **kwargs):
    """A report of some of the students; of one run, or of all."""
    chosen = {name: students[name] if run is None else students[name][run] for name in names}
    return kd.report.compare(chosen, data=test, latency=False, **kwargs)


helped = compared(["student alone", "distilled"], run=0)
print(helped.verdict)
print("\n".join(helped.details()))

# %% [markdown]
# The interval is far from 0, and McNemar's exact test agrees, as it always does: the interval holds 0 just
# when its p is 0.05 or more. It looks only at the images that one of the
# two gets right: if both were equally good, each of those would be a toss of a coin.
#
# ## A difference that cannot be shown
#
# The same for the two temperatures.

# %%
hotter = compared(["distilled", "distilled, T = 5"], run=0)
print(hotter.verdict)
print("\n".join(hotter.details()))

# %% [markdown]
# This is an answer too. It does not say that the two are alike. It says that with these test images nobody
# can tell, and how large a difference could be hidden there.
#
# Would more test images help? Here are both intervals as they would have been with fewer of them.

# %%
sizes = [40, 80, 160, 320, 640]
drawn = np.random.default_rng(0).permutation(len(test))
figure, axes = plt.subplots(1, 2, figsize=(10, 3), sharey=True)
intervals = {}
for axis, report in zip(axes, (helped, hotter), strict=True):
    before, after = (report.models[name].wrong[0] for name in (report.baseline, report.judged))
    found = [kd.report.bootstrap(before[drawn[:size]], after[drawn[:size]]) for size in sizes]
    intervals[report.judged] = found
    for place, change in enumerate(found):
        axis.plot([place] * 2, [100 * change.low, 100 * change.high], color="#1b6ca8", linewidth=2)
        axis.plot(place, 100 * change.mean, "o", color="#1b6ca8")
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axis.set_xlabel("test images")
    axis.set_title(f"from {report.baseline!r}\nto {report.judged!r}", fontsize=10)
axes[0].set_ylabel("change in errors\n(percentage points)")
figure.tight_layout()
plt.show()
for name, found in intervals.items():
    widths = ", ".join(f"{100 * (c.high - c.low):.1f}" for c in found)
    print(f"{name}: width of the interval {widths} percentage points")

# %% [markdown]
# An interval shrinks slowly: four times as many images make it about half as wide. With a few
# dozen images one can say of a large difference that it is there, and hardly how large. (Where two models
# answer all of the images alike, there still is an interval: others might tell them apart.)
#
# ## Several seeds
#
# An interval over examples knows nothing of chance in the training: other labels, other first weights.
# For that there is one way, training again. Given lists of runs, in the same order of seeds,
# `compare` pairs them: what a seed does to both cancels out, and the interval is over
# the runs. Fewer than five are too few to say.

# %%
helped_by_seed = compared(["student alone", "distilled"])
hotter_by_seed = compared(["distilled", "distilled, T = 5"])
print(helped_by_seed.verdict)
print(hotter_by_seed.verdict)

figure, axes = plt.subplots(1, 2, figsize=(10, 3))
for axis, report in zip(axes, (helped_by_seed, hotter_by_seed), strict=True):
    sides = [report.models[name].wrong.sum(axis=1) for name in (report.baseline, report.judged)]
    for pair in zip(*sides, strict=True):
        axis.plot((0, 1), pair, "o-", color="#1b6ca8", alpha=0.5)
    axis.plot((0, 1), [np.mean(side) for side in sides], "k-", linewidth=2.5)
    axis.set_xticks((0, 1), [report.baseline, report.judged])
    axis.set(xlim=(-0.4, 1.4), ylim=(0, None), ylabel=f"errors of {len(test)}")
figure.suptitle("One line a seed, in black the mean", fontsize=10)
figure.tight_layout()
plt.show()

# %% [markdown]
# Look at the second pair. One run could not tell the two temperatures apart. In pairs of runs the higher one
# makes a few errors more nearly every time, and that adds up: with seeds a small difference shows that a
# single run hides. Whether so small a difference matters is another question, and not one for statistics.
#
# Seeds can also be abused. Of several runs of each, take the worst of the one and the best of the
# other:

# %%
counts = {name: [int(w.sum()) for w in m.wrong] for name, m in hotter_by_seed.models.items()}
print(counts)
worst = students["distilled"][int(np.argmax(counts["distilled"]))]
best = students["distilled, T = 5"][int(np.argmin(counts["distilled, T = 5"]))]
picked = kd.report.compare(
    {"worst of T = 4": worst, "best of T = 5": best}, data=test, latency=False
)
print(picked.verdict)

# %% [markdown]
# Now the order is turned round, and `compare` cannot know that the runs were picked. Decide on the seeds
# before you look, and give it all of them.
#
# ## The whole report
#
# With a teacher it also says how like the teacher each model is. `importance` and `similarity` ask for two
# looks inside.

# %%
report = kd.report.compare(
    {"teacher": teacher, **{name: students[name] for name in ("student alone", "distilled")}},
    data=test,
    importance="distilled:block3",
    similarity=("distilled", "teacher"),
)
print(report)

# %% [markdown]
# ## How sure, and how often right
#
# A model is **calibrated** when it is right in 80 of 100 cases where it says "80 %". The **calibration
# error** is the mean distance from that. In the picture a bar below the dashed line means: more sure than
# right. Most answers are in the last bar; those further left are of few images, and jump about.

# %%
report.figures().get("reliability")

# %%
for name, model in report.models.items():
    count, said, was = model.bins
    there = count > 0
    sure = float(np.sum(count[there] * said[there]) / count.sum())
    right = float(np.sum(count[there] * was[there]) / count.sum())
    print(f"{name}: {sure:.1%} sure, {right:.1%} right; calibration error {model.score('ece'):.3f}")
calibration = {name: model.score("ece") for name, model in report.models.items()}

# %% [markdown]
# (Sure and right are of the first run, the calibration error is the mean over the runs.) The student
# alone is far too sure of itself: it knows its labels by heart. The distilled one has learnt from the
# teacher also how sure to be.
#
# ## What it looks at
#
# One channel of a layer at a time is permuted over the images: it keeps its values, and they lose their
# meaning. How many decisions stray from the teacher's then, is what that channel is worth.

# %%
report.figures().get("importance")

# %%
drops = report.importance.drops
print(f"largest drop {100 * drops.max():.1f} percentage points, smallest {100 * drops.min():.1f}")
print(f"agreement before: {report.importance.agreement:.1%}")

# %% [markdown]
# No channel carries the answer alone, and some could nearly be left out. A channel whose information
# another one holds too shows no drop; so this is a hint for pruning, not a proof.
#
# ## Whom it resembles
#
# **CKA** says how alike two layers see a set of images, whatever the number and order of their channels:
# 1 when the one is the other turned and scaled. Below, the distilled student's layers against the
# teacher's.

# %%
report.figures().get("similarity")

# %%
ours = kd.report.similarity(students["student alone"][0], teacher, test.x[:256])
alike = {
    "student alone": dict(zip(ours.layers[0], np.diag(ours.values), strict=True)),
    "distilled": dict(zip(report.similarity.layers[0], np.diag(report.similarity.values), strict=True)),
}  # fmt: skip
for name, by_layer in alike.items():
    print(name, {layer: round(float(value), 2) for layer, value in by_layer.items()})

# %% [markdown]
# The distilled student was only told answers. Still its last layers have come to see the images as the
# teacher's do, more than those of the student alone. The first layer sees edges in either case.
#
# ## What you keep
#
# One page with everything in it, and the numbers as a dict.

# %%
page = OUT / "report.html"
report.save(page)
numbers = OUT / "report.json"
numbers.write_text(json.dumps(report.to_dict()))
print(f"{page} and {numbers}")
print(report.verdict)

# %%
assert helped.change.direction == "less" and helped.p_value < 0.01, "one run shows that it helped"
assert hotter.change.direction == "unclear", "of the temperatures one run can say nothing"
quarter, whole = (intervals["distilled"][sizes.index(size)] for size in (160, 640))
shrunk = (whole.high - whole.low) / (quarter.high - quarter.low)
assert 0.3 < shrunk < 0.75, "four times as many images: about half as wide"
assert QUICK or helped_by_seed.change.direction == "less", "the runs agree"
assert QUICK or hotter_by_seed.change.direction == "more", "by seed a small difference shows"
assert QUICK or picked.change.mean < 0 < hotter_by_seed.change.mean, "picking turns it round"
assert calibration["student alone"] > 1.5 * calibration["distilled"], "alone: far too sure"
assert abs(calibration["distilled"] - calibration["teacher"]) < 0.03, "distilled: as the teacher"
assert drops.max() < 0.4 and drops.min() < 0.03, "no channel is all, and some are little"
for layer in ("block3", "logits"):
    assert alike["distilled"][layer] > alike["student alone"][layer], "sees as the teacher does"
assert min(by_layer["block1"] for by_layer in alike.values()) > 0.9, "the first layer in any case"
assert "<html" in page.read_text() and json.loads(numbers.read_text())["verdict"] == report.verdict
