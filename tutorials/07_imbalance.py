# %% [markdown]
# # Imbalance
#
# Three of ten digits are rare. A student that is right nearly always may still be wrong about those:
# how to see it, three ways against it, and what a teacher can tell of what a student hardly ever sees.
#
# **Time:** three minutes on a laptop's CPU. **At the end you have:** `student_of_rare_digits.keras`, a
# table that looks at rare and frequent digits apart, and a reason to distrust the mean.

# %%
import os
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer epochs and seeds: a check, not a result
SEEDS = [1, 2] if QUICK else [1, 2, 3, 4, 5]
EPOCHS = 20 if QUICK else 40
RARE, KEPT = [3, 8, 9], 6
OUT = Path("out")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## A rare-class problem
#
# Of three digits only a few images are left in the training set, which ones the seed draws. The test set
# stays as it is, with about as many images of each digit.

# %%
digits = kd.data.load("digits")
train, test = digits["train"], digits["test"]
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def with_rare_classes(seed):
    """The training images; of each rare class the seed draws a few, the others are left out."""
    draw, kept = np.random.default_rng(seed), []
    for digit in range(10):
        of_class = np.flatnonzero(train.y == digit)
        kept.append(draw.choice(of_class, KEPT, replace=False) if digit in RARE else of_class)
    return train.take(np.sort(np.concatenate(kept)))


parts = {seed: with_rare_classes(seed) for seed in SEEDS}
counts = np.bincount(parts[1].y)
is_rare = np.isin(test.y, RARE)
print(f"rare: {RARE}, {KEPT} training images of each, {is_rare.sum()} of {len(test)} test images")

figure, axis = plt.subplots(figsize=(6, 2.4))
axis.bar(range(10), counts, color=["#c0504d" if d in RARE else "#1b6ca8" for d in range(10)])
axis.set(xlabel="digit", ylabel="training images")
axis.set_xticks(range(10))
axis.bar_label(axis.containers[0], fontsize=8)
axis.margins(y=0.15)
figure.tight_layout()
plt.show()

# %% [markdown]
# ## Two teachers
#
# Both are larger than the student. One has **the same data** as the student, and no more. The other
# **knows all** digits: it was trained elsewhere, where none was rare. That is common: the large model
# comes with its knowledge, the images at hand are few.
#
# Both are trained with `Balanced`: batches in which every class is met equally often, whatever its share
# of the set.


# %%
def large(seed, part, name):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10),
        ],
        name=name,
    )
    model.compile("adam", loss)
    batches = kd.data.feed(kd.data.Balanced(part, batch_size=64, seed=seed))
    model.fit(batches, epochs=EPOCHS // 2, verbose=0)
    return model


def recalls(model):
    """The share of right answers, digit by digit."""
    answers = keras.ops.convert_to_numpy(keras.ops.argmax(model(test.x), axis=1))
    return np.array([np.mean(answers[test.y == digit] == digit) for digit in range(10)])


def told(way, models):
    """One line: how much of the rare and of the frequent digits is read rightly."""
    found = np.mean([recalls(model) for model in models], axis=0)
    frequent = np.delete(found, RARE)
    print(f"{way:18}rare {found[RARE].mean():.1%}, frequent {frequent.mean():.1%}")
    return {"rare": found[RARE].mean(), "frequent": frequent.mean(), "digits": found}


knows_all = large(0, train, "knows_all")
same_data = {seed: large(seed, parts[seed], "same_data") for seed in SEEDS}
teachers = {
    "same data": told("same data", list(same_data.values())),
    "knows all": told("knows all", [knows_all]),
}

# %% [markdown]
# ## Five students
#
# The **control** is the student alone. Two more have the labels alone too:
#
# - **class weights**: an example of a rare class counts more, so that all classes count the same.
#   `class_weights` computes them, `fit` takes them.
# - **balanced batches**: `Balanced` once more. A rare image comes several times in an epoch.
#
# The other two are taught, by the one teacher and by the other, with neither weights nor balanced
# batches. All five of a seed start from the same weights and take as many steps.


# %%
def fit(seed, batches, terms, teacher=None, **kwargs):
    keras.utils.set_random_seed(seed)
    body = [layers.Flatten(), layers.Dense(32, activation="relu"), layers.Dense(10)]
    student = keras.Sequential([keras.Input((8, 8, 1)), *body], name="student")
    distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01), loss)
    distiller.fit(batches, epochs=EPOCHS, verbose=0, **kwargs)
    return student


def shuffled(seed):
    return kd.data.feed(parts[seed], batch_size=64, shuffle=True, seed=seed)


def balanced(seed):
    return kd.data.feed(kd.data.Balanced(parts[seed], batch_size=64, seed=seed))


def weighted(seed):
    weights = kd.data.class_weights(parts[seed].y)
    return fit(seed, shuffled(seed), [kd.Labels()], class_weight=weights)


def taught(seed, teacher):
    terms = kd.recipes.hinton(temperature=4.0, alpha=0.9)
    return fit(seed, shuffled(seed), terms, teacher)


students = {
    "student alone": [fit(seed, shuffled(seed), [kd.Labels()]) for seed in SEEDS],
    "class weights": [weighted(seed) for seed in SEEDS],
    "balanced batches": [fit(seed, balanced(seed), [kd.Labels()]) for seed in SEEDS],
    "taught, same data": [taught(seed, same_data[seed]) for seed in SEEDS],
    "taught, knows all": [taught(seed, knows_all) for seed in SEEDS],
}
weights = kd.data.class_weights(parts[1].y)
print(f"class weights: {weights[RARE[0]]:.1f} for a rare digit, {weights[0]:.2f} for digit 0")

# %% [markdown]
# ## What the mean hides
#
# Suppose the test set were as lopsided as the training set, as it is when somebody cuts one set in two.
# Its accuracy is each digit's share of right answers, weighted by how frequent the digit is.

# %%
shares = counts / counts.sum()
lopsided = {
    way: float(np.mean([recalls(model) @ shares for model in many]))
    for way, many in students.items()
}
for way, value in lopsided.items():
    print(f"{way:18}{value:.1%} right on a lopsided test set")

# %% [markdown]
# By that number the student alone is as good as any. Now the same students, rare and frequent digits
# apart:

# %%
found = {way: told(way, many) for way, many in students.items()}

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), width_ratios=[3, 2])
places = np.arange(len(RARE))
colours = ["#c0504d", "#e0a030", "#7a9a3a", "#6fa8dc", "#1b6ca8"]
for i, ((way, of_way), colour) in enumerate(zip(found.items(), colours, strict=True)):
    left.bar(places + 0.16 * (i - 2), of_way["digits"][RARE], 0.15, color=colour, label=way)
    each = np.array([recalls(model) for model in students[way]])
    rare, frequent = each[:, RARE].mean(axis=1), np.delete(each, RARE, axis=1).mean(axis=1)
    right.plot(frequent, rare, "o", color=colour, alpha=0.8)
left.set(xlabel="rare digit", ylabel="share read rightly", ylim=(0, 1))
left.set_xticks(places, RARE)
left.set_title("mean over the seeds", fontsize=10)
right.set(xlabel="frequent digits read rightly", ylabel="rare digits read rightly")
right.locator_params(axis="x", nbins=4)
right.set_title("one dot a seed", fontsize=10)
figure.legend(loc="lower center", ncols=5, frameon=False)
figure.tight_layout(rect=(0, 0.09, 1, 1))
plt.show()

# %% [markdown]
# Weights and balanced batches help: they make the most of the few images that there are. But a few images
# are a few images, however often they are shown.
#
# A teacher on the same data helps as well, and hands on what balance gave it. The one that knows all
# helps most by far. Its student has seen no more rare digits than the others; but the teacher's answers
# to *frequent* digits say how much each of them looks like a rare one, and that can be learnt from every
# image.
#
# There is a price: the frequent digits are read a little worse, about as well as the teacher reads
# them. Whoever answers "9" more often does so wrongly more often.
#
# ## What the report shows
#
# `slices` takes an array with one value for each test image. Each value gets a row, with the change from
# the baseline and its interval.

# %%
shown = {way: students[way] for way in ("student alone", "taught, knows all")}
report = kd.report.compare(
    {"teacher": knows_all, **shown},
    data=test,
    baseline="student alone",
    judged="taught, knows all",
    slices={"digits": np.where(is_rare, "rare", "frequent")},
    latency=False,
)
print(report)

# %%
by_name = {group.name: group.change for group in report.slices["digits"]}
for name, change in by_name.items():
    print(
        f"{name}: {100 * change.mean:+.1f} percentage points, "
        f"95 % interval {100 * change.low:+.1f} to {100 * change.high:+.1f}"
    )

# %% [markdown]
# One line says that the rare digits have won much, the next that the frequent ones have lost a little.
# The table of classes shows which digits, the last table what they are no longer taken for.
#
# ## What you keep

# %%
path = OUT / "student_of_rare_digits.keras"
kept = students["taught, knows all"][0]
kept.save(path)
again = keras.models.load_model(path)
print(f"{path}: {again.count_params():,} weights, the teacher has {knows_all.count_params():,}")

# %%
alone = found["student alone"]
assert weights[RARE[0]] > 5 * weights[0], "a rare example counts for many"
assert lopsided["student alone"] > max(lopsided.values()) - 0.01, "by the mean, alone is fine"
assert alone["rare"] < alone["frequent"] - 0.2, "it is not: the rare digits are read far worse"
for way in ("class weights", "balanced batches", "taught, same data"):
    assert found[way]["rare"] > alone["rare"] + 0.03, f"{way}: better on the rare digits"
others = [of_way["rare"] for way, of_way in found.items() if way != "taught, knows all"]
assert found["taught, knows all"]["rare"] > max(others) + 0.05, "knowing all helps most by far"
assert found["taught, knows all"]["frequent"] < alone["frequent"], "at a price"
assert abs(found["taught, knows all"]["frequent"] - teachers["knows all"]["frequent"]) < 0.03
assert QUICK or by_name["rare"].low > 0, "the report shows the one"
assert by_name["frequent"].mean < 0, "and the other"
assert QUICK or report.change.direction == "less", "and fewer errors in all"
assert np.array_equal(recalls(again), recalls(kept)), "the file answers as the student"
