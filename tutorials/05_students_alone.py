# %% [markdown]
# # Students alone
#
# No teacher is at hand. Students teach each other, a network teaches itself, each generation teaches
# the next, and a student learns from the average of its own past.
#
# **Time:** three minutes on a laptop's CPU. **At the end you have:** `mean_teacher.keras`, trained
# with 50 labels, `early_exit.keras`, which answers before the end, and numbers for four ideas.

# %%
import os
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer epochs and seeds: a check, not a result
SEEDS = [1] if QUICK else [1, 2, 3, 4]
EPOCHS = 30 if QUICK else 40
OUT = Path("out")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## Fifty labels, and images without
#
# There are 50 labelled digits, five of each class. All other images of the training set have no label: they are marked
# −1, and the loss passes over them. But an image without a label can still be used. Two networks can
# be asked to agree on it, or one network with itself.
#
# For that they have to differ. Noise on the pixels and dropout make every look at an image another
# look; both are switched off when a model is asked as a teacher.

# %%
digits = kd.data.load("digits")
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)


def network(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.GaussianNoise(0.15),
            layers.Conv2D(16, 3, 2, "same", activation="relu", name="block1"),
            layers.Conv2D(32, 3, 2, "same", activation="relu", name="block2"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, name="logits"),
        ],
        name="student",
    )


def few_labels(seed):
    """The labels of five images of each class, drawn by the seed; −1 for all the others."""
    draw = np.random.default_rng(seed)
    labels = np.full_like(digits.y_train, -1)
    for digit in range(10):
        labels[draw.choice(np.flatnonzero(digits.y_train == digit), 5, replace=False)] = digit
    return labels


def fit(distiller, seed):
    distiller.compile(keras.optimizers.Adam(0.005), loss)
    history = distiller.fit(
        digits.x_train, few_labels(seed), batch_size=64, epochs=EPOCHS, verbose=0
    )
    return history.history


def answers(model):
    return keras.ops.convert_to_numpy(keras.ops.argmax(model(digits.x_test), axis=1))


def errors(model):
    return int(np.sum(answers(model) != digits.y_test))


# %% [markdown]
# ## The control
#
# The same network from the same weights, with the labels and nothing else. A distiller without a
# teacher and with one term is plain training.

# %%
students = {"student alone": []}
for seed in SEEDS:
    student = network(seed)
    fit(kd.Distiller(student=student, terms=[kd.Labels()]), seed)
    students["student alone"].append(student)
print([errors(student) for student in students["student alone"]], "errors")

# %% [markdown]
# ## Students that teach each other
#
# **Deep mutual learning**: two students start from different weights and are trained at once. Each has
# the labels, and each takes the other's softened answer as a target. A target is held still, so each
# term moves one student only. The recipe `mutual` writes the terms.

# %%
students["mutual"], agreed = [], []
for seed in SEEDS:
    pair = {"a": network(seed), "b": network(seed + 1000)}
    distiller = kd.Distiller(student=pair, terms=kd.recipes.mutual("a", "b", temperature=2.0))
    fit(distiller, seed)
    students["mutual"].append(pair["a"])
    agreed.append(float(np.mean(answers(pair["a"]) == answers(pair["b"]))))
print([(term.name, term.weight) for term in distiller.terms])
print([errors(student) for student in students["mutual"]], "errors")
print([f"{share:.1%}" for share in agreed], "of the test images answered alike by both")

# %% [markdown]
# ## Its own teacher
#
# **Be your own teacher**: a small classifier on a layer inside learns from the network's own answer,
# and from the labels. The recipe `own_teacher` brings that classifier as the term's projector. It is
# meant as a help for the layers before it. Beside that it gives an **early exit**: an answer from the
# second block, without the layers after it.

# %%
students["own teacher"], early = [], []
for seed in SEEDS:
    student = network(seed)
    terms = kd.recipes.own_teacher(units=10, pred="student:block2")
    fit(kd.Distiller(student=student, terms=terms), seed)
    students["own teacher"].append(student)
    halfway = terms[1].projector(student.get_layer("block2").output)
    early.append(keras.Model(student.inputs, halfway, name="early_exit"))
print([errors(student) for student in students["own teacher"]], "errors at the end")
print([errors(model) for model in early], "errors after the second block")
print(f"{early[0].count_params():,} weights, the student has {student.count_params():,}")

# %% [markdown]
# ## Generations
#
# **Born-again networks**: the trained student becomes the teacher of a new one of the same kind, and so
# on. `born_again` asks for two functions: one builds the next student, the other trains a distiller.
# The control is the first teacher, so the first generation answers what a second training is worth.

# %%
GENERATIONS = 2 if QUICK else 3
families = []
for seed, first in zip(SEEDS, students["student alone"], strict=True):
    seeds = iter(range(seed + 100, seed + 1000, 100))
    families.append(
        kd.procedures.born_again(
            lambda seeds=seeds: network(next(seeds)),
            lambda distiller, seed=seed: fit(distiller, seed),
            teacher=first,
            generations=GENERATIONS,
            terms=lambda: kd.recipes.hinton(temperature=2.0, alpha=0.9),
        )
    )
students["born again"] = [family[-1] for family in families]

lines = [
    [errors(model) for model in (first, *family)]
    for first, family in zip(students["student alone"], families, strict=True)
]
figure, axis = plt.subplots(figsize=(5, 2.8))
for seed, line in zip(SEEDS, lines, strict=True):
    axis.plot(line, "o-", alpha=0.4, label=f"seed {seed}")
axis.plot(np.mean(lines, axis=0), "k-", linewidth=2, label="mean")
axis.set(xlabel="generation (0: the student alone)", ylabel="errors", ylim=(0, None))
axis.set_xticks(range(GENERATIONS + 1))
axis.legend(fontsize=8)
figure.tight_layout()
plt.show()
print("mean errors by generation:", [round(float(value), 1) for value in np.mean(lines, axis=0)])

# %% [markdown]
# ## The average of its own past
#
# **Mean teacher**: the teacher is a copy of the student whose weights follow the student's slowly. An
# average over many steps is steadier than any one of them. The student, with noise and dropout, is to
# answer every image as its average does without them. `Momentum` is that teacher; the weight of the
# agreement rises over the first steps, since at first there is nothing worth agreeing with.

# %%
steps = EPOCHS * -(-len(digits.y_train) // 64)
students["mean teacher"] = []
for seed in SEEDS:
    student = network(seed)
    distiller = kd.Distiller(
        student=student,
        teacher=kd.Momentum(student, decay=0.98),
        terms=kd.recipes.mean_teacher(weight=10.0, warmup=steps // 4),
    )
    history = fit(distiller, seed)
    students["mean teacher"].append(distiller.teacher.model)
print([errors(model) for model in students["mean teacher"]], "errors")

# %% [markdown]
# ## Side by side

# %%
counts = {way: [errors(student) for student in many] for way, many in students.items()}
mean = {way: float(np.mean(many)) for way, many in counts.items()}

figure, axis = plt.subplots(figsize=(7, 2.8))
for place, (way, many) in enumerate(counts.items()):
    colour = "#c0504d" if way == "student alone" else "#1b6ca8"
    axis.plot(many, [place] * len(many), "o", color=colour, alpha=0.6)
    axis.plot(mean[way], place, "|", color="black", markersize=16)
axis.axvline(mean["student alone"], color="#c0504d", linewidth=1, linestyle=":")
axis.set(xlabel=f"errors on the {len(digits.y_test)} test images, one dot a seed", xlim=(0, None))
axis.set_yticks(range(len(counts)), counts)
axis.set_ylim(len(counts) - 0.5, -0.5)
figure.tight_layout()
plt.show()
for way, value in mean.items():
    print(f"{way:16}{value:6.1f}")

# %%
report = kd.report.compare(
    {way: students[way] for way in ("student alone", "born again", "mutual", "mean teacher")},
    data=(digits.x_test, digits.y_test),
    baseline="student alone",
    judged="mean teacher",
    latency=False,
)
print(report)

# %% [markdown]
# The mean teacher makes fewer errors than the student alone, for hardly more than one training. So do
# the later generations, for a training each. Both ask something of the images without labels that a
# trained network can answer.
#
# Mutual learning swings from seed to seed. The two do come to agree, but with so few labels they may
# agree on a mistake; look at the dots, not only at the mean. The classifier inside is no help to so
# shallow a network; in the paper the networks are many times as deep. But as an exit it answers
# about as well as the end.
#
# ## What you keep

# %%
path = OUT / "mean_teacher.keras"
students["mean teacher"][0].save(path)
again = keras.models.load_model(path)
early[0].save(OUT / "early_exit.keras")
print(f"{path}: {again.count_params():,} weights; two files of Keras, no part of keras_kd in them")

# %%
alone = mean["student alone"]
assert mean["mean teacher"] < 0.95 * alone, "mean teacher: fewer errors"
assert mean["born again"] < 0.97 * alone, "later generations: fewer errors"
assert min(agreed) > 0.85, "students that teach each other come to agree"
assert mean["own teacher"] > 0.85 * alone, "its own teacher: no help here"
ratio = np.mean([errors(model) for model in early]) / mean["own teacher"]
assert 0.75 < ratio < 1.3, "the early exit answers about as well as the end"
assert errors(again) == counts["mean teacher"][0], "the file answers as the average"
