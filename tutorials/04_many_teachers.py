# %% [markdown]
# # Many teachers
#
# A student learns from several teachers: from their mean, from those that number their classes in
# another way, from the one that is right, and from a chain of them.
#
# **Time:** three minutes on a laptop's CPU. **At the end you have:** `student_of_four.keras`, which
# was never shown a label, and an idea of which of four ways suits which situation.

# %%
import os
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer epochs and seeds: a check, not a result
SEEDS = [1] if QUICK else [1, 2, 3]
EPOCHS = 20 if QUICK else 30
OUT = Path("out")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## Four teachers who may not share their data
#
# Think of four clinics. Each has 60 labelled images and may not show them to the others. Each trains
# a network of its own on them. Two of the clinics number their classes from the other end: their
# class 0 is the digit 9.

# %%
digits = kd.data.load("digits")
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
order = np.random.default_rng(0).permutation(len(digits.y_train))
clinics = [order[60 * k : 60 * (k + 1)] for k in range(4)]
REVERSED = list(range(9, -1, -1))


def network(seed, name, units, classes=10):
    """One hidden layer."""
    keras.utils.set_random_seed(seed)
    body = [layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dense(classes)]
    return keras.Sequential([keras.Input((8, 8, 1)), *body], name=name)


def taught_by_labels(model, rows, labels):
    model.compile(keras.optimizers.Adam(0.003), loss)
    many = np.resize(np.arange(len(rows)), len(digits.x_train))  # over and over, one epoch's worth
    x, y = digits.x_train[rows][many], labels[many]
    model.fit(x, y, batch_size=64, epochs=EPOCHS, verbose=0)
    return model


def errors(model):
    answers = keras.ops.convert_to_numpy(keras.ops.argmax(model(digits.x_test), axis=1))
    return int(np.sum(answers != digits.y_test))


teachers = []
for k, rows in enumerate(clinics):
    labels = digits.y_train[rows]
    numbered = labels if k < 2 else 9 - labels
    teacher = network(k, f"clinic_{k + 1}", units=64)
    teachers.append(taught_by_labels(teacher, rows, numbered))
    print(f"{teacher.name}: {errors(teacher)} errors on {len(digits.y_test)} test images")

# %% [markdown]
# The last two do not read badly: they answer in another order. `ClassMap` puts a teacher's answers
# into the student's order; its list says, for each class of the student, which of the teacher's it
# is. (The list may also be shorter than the teacher's answers. Then the other classes are left out.)
#
# An `Ensemble` makes one teacher of several: the mean of their probabilities. Where one of them errs,
# the others mostly do not err in the same way.

# %%
mapped = [*teachers[:2], *(kd.teachers.ClassMap(teacher, REVERSED) for teacher in teachers[2:])]
together = kd.Ensemble(mapped, name="together")
single = [errors(teacher) for teacher in mapped]
print(f"each, in the right order: {single}")
print(f"together, as they are: {errors(kd.Ensemble(teachers))} errors")
print(f"together, in the right order: {errors(together)} errors")

# %% [markdown]
# ## A student without labels
#
# The student is a quarter as wide. It gets images without labels and asks the teachers: first its own
# clinic's teacher, then all four. With `alpha=1` the recipe `hinton` has no labels in it.
#
# The **control** stays at home: the 60 labelled images of the first clinic, and nothing else. It
# starts from the same weights and takes as many steps, so it sees its images over and over.

# %%
students = {}


def train(seed, terms, teacher=None, rows=order, units=16):
    """A student of this seed; the labels of `rows` are used if a term asks for them."""
    student = network(seed, "student", units)
    distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
    asked = any(isinstance(term, kd.Labels) for term in terms)
    distiller.compile(keras.optimizers.Adam(0.01), loss if asked else None)
    many = np.resize(rows, len(order))
    x, y = digits.x_train[many], digits.y_train[many]
    distiller.fit(x, y, batch_size=64, epochs=EPOCHS, verbose=0)
    return student


def soft_targets(alpha=1.0):
    return kd.recipes.hinton(temperature=4.0, alpha=alpha)


home = clinics[0]
students["student alone"] = [train(seed, [kd.Labels()], rows=home) for seed in SEEDS]
students["of one clinic"] = [train(seed, soft_targets(), teachers[0]) for seed in SEEDS]
students["of all four"] = [train(seed, soft_targets(), together) for seed in SEEDS]

# %%
report = kd.report.compare(
    {"teacher": together, **students}, data=(digits.x_test, digits.y_test),
    baseline="student alone", judged="of all four", latency=False,
)  # fmt: skip
print(report)

# %% [markdown]
# A student of one teacher ends about where that teacher is. The student of all four is better than any
# of the networks that taught it, and a quarter as wide.
#
# ## Believe the one that is right
#
# A mean helps while the teachers are about equally good. Now one of two has learnt from labels that
# somebody mixed up: 0 for 1, 2 for 3 and so on. It is as sure of itself as the other.
#
# The student has 300 labelled images. On these one can see who is right: **confidence weights** give
# each teacher, image by image, the more weight the smaller its cross-entropy to the label. For two
# teachers the weight is 1 − softmax over the teachers of their cross-entropies. The recipe is
# `ca_mkd`; the teachers come as a dict, each under its role.

# %%
sound = taught_by_labels(network(10, "sound", 256), order, digits.y_train[order])
mixed_up = np.array([1, 0, 3, 2, 5, 4, 7, 6, 9, 8])
astray = taught_by_labels(network(11, "astray", 64), home, mixed_up[digits.y_train[home]])
print(f"sound: {errors(sound)} errors, astray: {errors(astray)} errors")

labelled = order[240:540]


costs = np.stack(
    [
        keras.ops.convert_to_numpy(
            keras.losses.sparse_categorical_crossentropy(
                digits.y_train[labelled], model(digits.x_train[labelled]), from_logits=True
            )
        )
        for model in (sound, astray)
    ]
)
weights = 1 - np.exp(costs) / np.exp(costs).sum(axis=0)
print(f"mean weight of sound: {weights[0].mean():.3f}, of astray: {weights[1].mean():.3f}")

figure, axis = plt.subplots(figsize=(6, 2.6))
bins = np.linspace(0, 1, 21)
axis.hist([weights[0], weights[1]], bins, label=["sound", "astray"], color=["#1b6ca8", "#c0504d"])
axis.set(xlabel="weight of the teacher", ylabel=f"of {len(labelled)} images")
axis.legend(loc="upper center")
figure.tight_layout()
plt.show()

# %%
students["300 labels alone"] = [train(seed, [kd.Labels()], rows=labelled) for seed in SEEDS]
students["mean of both"] = [
    train(seed, soft_targets(alpha=0.9), kd.Ensemble([sound, astray]), labelled) for seed in SEEDS
]
students["confidence weights"] = [
    train(
        seed,
        kd.recipes.ca_mkd("sound", "astray", temperature=4.0, weight=0.9, labels_weight=0.1),
        {"sound": sound, "astray": astray},
        labelled,
    )
    for seed in SEEDS
]
counts = {way: [errors(student) for student in many] for way, many in students.items()}
for way in ("300 labels alone", "mean of both", "confidence weights"):
    print(f"{way}: {counts[way]} errors")

# %% [markdown]
# The mean of a teacher that is right and one that is wrong is worse than no teacher. With confidence
# weights the second is hardly heard. What this needs is labels: on an image without one nobody can
# say who is right, and the weights would be equal.
#
# ## A chain of teachers
#
# When a student is very much smaller than its teacher, the literature advises an **assistant** of a
# size in between: teacher → assistant → student. `kd.procedures.assistant` trains such a chain, each
# network from the one before. Here the teacher has 256 hidden units, the assistant 16, and the student
# 6. The control has the 60 labels of the first clinic once more.


# %%
def chained(seed):
    def fit(distiller):
        distiller.compile(keras.optimizers.Adam(0.01))
        distiller.fit(digits.x_train, batch_size=64, epochs=EPOCHS, verbose=0)

    builds = [
        lambda: network(seed, "assistant", units=16),
        lambda: network(seed, "student", units=6),
    ]
    return kd.procedures.assistant(builds, fit, teacher=sound, terms=soft_targets)[-1]


students["tiny, alone"] = [train(seed, [kd.Labels()], rows=home, units=6) for seed in SEEDS]
students["tiny, of the teacher"] = [train(seed, soft_targets(), sound, units=6) for seed in SEEDS]
students["tiny, of an assistant"] = [chained(seed) for seed in SEEDS]

# %% [markdown]
# ## All of them
#
# The dots are seeds, the bars their means. Each colour is one task: compare within a colour.

# %%
counts = {way: [errors(student) for student in many] for way, many in students.items()}
mean = {way: float(np.mean(many)) for way, many in counts.items()}

figure, axis = plt.subplots(figsize=(7, 3.6))
for place, (way, many) in enumerate(counts.items()):
    axis.plot(many, [place] * len(many), "o", color=f"C{place // 3}", alpha=0.7)
    axis.plot(mean[way], place, "|", color="black", markersize=16)
axis.set(xlabel=f"errors on the {len(digits.y_test)} test images, one dot a seed", xlim=(0, None))
axis.set_yticks(range(len(counts)), counts)
axis.set_ylim(len(counts) - 0.5, -0.5)
figure.tight_layout()
plt.show()
for way, value in mean.items():
    print(f"{way:24}{value:6.1f}")

# %% [markdown]
# For the tiny student the teacher is a great help. The assistant is not needed on a task as small as
# this one: that way ends near the direct one. Try both before you train twice.
#
# ## What you keep

# %%
path = OUT / "student_of_four.keras"
kept = students["of all four"][0]
kept.save(path)
again = keras.models.load_model(path)
print(f"{path}: {again.count_params():,} weights, the four have {together.count_params():,}")

# %%
assert min(single) > errors(together), "four together are better than the best of them"
assert errors(kd.Ensemble(teachers)) > 2 * errors(together), "the order of the classes matters"
assert 0.8 < mean["of one clinic"] / single[0] < 1.2, "a student of one ends where that one is"
assert mean["of all four"] < 0.75 * mean["of one clinic"], "at least a quarter fewer errors"
assert mean["of all four"] < 0.75 * mean["student alone"], "and than the control"
assert max(counts["of all four"]) < min(single), "better than any of its teachers"
assert weights[0].mean() > 0.9, "the sound teacher is heard"
assert mean["mean of both"] > 1.5 * mean["300 labels alone"], "a mean with the wrong one does harm"
assert mean["confidence weights"] < mean["300 labels alone"], "confidence weights make it a help"
assert mean["tiny, of the teacher"] < 0.8 * mean["tiny, alone"], "the tiny student is helped"
ratio = mean["tiny, of an assistant"] / mean["tiny, of the teacher"]
assert 0.7 < ratio < 1.4, "an assistant makes no great difference"
assert errors(again) == counts["of all four"][0], "the file answers as the student"
