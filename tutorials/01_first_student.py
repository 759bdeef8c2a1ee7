# %% [markdown]
# # Your first student
#
# A small network learns to read handwritten digits from a larger one, with 100 labels.
#
# **Time:** two minutes on a laptop's CPU. **At the end you have:** `student.keras`, a table that
# says whether distillation helped, and an idea of what *temperature* does.

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
EPOCHS = 20 if QUICK else 40
OUT = Path("out")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## What a teacher knows beyond its answer
#
# A network that is shown a cat answers "cat". But its numbers say more: a dog would have been a
# smaller mistake than a car. The softmax hides that, since the winner takes nearly everything. A
# **temperature** divides the numbers before the softmax, and what was hidden comes up: softmax(z/T).

# %%
names = ["cat", "dog", "car"]
logits = np.array([9.0, 5.0, -1.0])
temperatures = [1, 2, 4, 8]
softened = [keras.ops.convert_to_numpy(keras.ops.softmax(logits / t)) for t in temperatures]

figure, axes = plt.subplots(1, 4, figsize=(10, 2.4), sharey=True)
for axis, t, p in zip(axes, temperatures, softened, strict=True):
    axis.bar(names, p, color=["#1b6ca8", "#6fa8dc", "#c9c9c9"])
    axis.set(title=f"T = {t}", xlabel="class", ylim=(0, 1))
    for i, value in enumerate(p):
        axis.text(i, value + 0.03, f"{value:.2g}", ha="center")
axes[0].set_ylabel("probability")
figure.tight_layout()
plt.show()

# %% [markdown]
# At T = 1 the dog is a rounding error. At T = 4 a student can see that a cat is more of a dog than
# of a car. At a very high temperature everything looks alike again. The loss that carries this is
# T² · KL(teacher's softened answer ‖ student's softened answer). The T² keeps its gradient as
# strong as that of the labels, whatever the temperature.
#
# ## The teacher, and what the student is given
#
# The digits come with the package. The teacher has every label. The student has 100 of them: the
# rest are marked −1, and the loss is told to pass over those.

# %%
digits = kd.data.load("digits")
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
print(f"{len(digits.y_train):,} images to train on, {len(digits.y_test)} to test")

keras.utils.set_random_seed(0)
teacher = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.5),
        layers.Dense(10),
    ],
    name="teacher",
)
teacher.compile("adam", loss)
teacher.fit(digits.x_train, digits.y_train, batch_size=64, epochs=EPOCHS, verbose=0)


def few_labels(seed):
    """The labels of 100 images, drawn by the seed; −1 for all the others."""
    kept = np.random.default_rng(seed).permutation(len(digits.y_train))[:100]
    labels = np.full_like(digits.y_train, -1)
    labels[kept] = digits.y_train[kept]
    return labels


def new_student(seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(10),
        ],
        name="student",
    )


# %% [markdown]
# ## Two students: one alone, one distilled
#
# The first is the **control**. Without it nobody can say that distillation helped. Both start from
# the same weights, see the same images in the same order, and take the same number of steps.
#
# `hinton` is a list of two terms: the labels, and the teacher's softened answers. The teacher
# answers every image, also those without a label, and that is where the student learns most.


# %%
def train(seed, terms, teacher=None):
    distiller = kd.Distiller(student=new_student(seed), teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01), loss)
    history = distiller.fit(
        digits.x_train, few_labels(seed), batch_size=64, epochs=EPOCHS, verbose=0
    )
    return distiller.student, history.history


alone, distilled, histories = [], [], {}
for seed in SEEDS:
    student, histories["student alone"] = train(seed, [kd.Labels()])
    alone.append(student)
    terms = kd.recipes.hinton(temperature=4.0, alpha=0.9)
    student, histories["distilled"] = train(seed, terms, teacher)
    distilled.append(student)

# %%
figure, axis = plt.subplots(figsize=(6, 3))
axis.plot(histories["student alone"]["labels"], label="student alone")
axis.plot(histories["distilled"]["labels"], label="distilled")
axis.set(xlabel="epoch", ylabel="cross-entropy on the 100 labels (nats)", yscale="log")
axis.legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# Both come to know their 100 labels by heart, the distilled one sooner. So the labels that they have
# seen cannot tell which of them reads new digits better. The test images can.
#
# ## Did it help?

# %%
report = kd.report.compare(
    {"teacher": teacher, "student alone": alone, "distilled": distilled},
    data=(digits.x_test, digits.y_test),
)
print(report)

# %% [markdown]
# ## What the student was told
#
# The test image about which the teacher is least sure, and its answer at two temperatures.

# %%
said = teacher.predict(digits.x_test, verbose=0)
by_temperature = {t: keras.ops.convert_to_numpy(keras.ops.softmax(said / t)) for t in (1, 4)}
doubtful = int(np.argmin(by_temperature[1].max(axis=1)))

figure, axes = plt.subplots(1, 3, figsize=(10, 2.6), width_ratios=[1, 2, 2])
axes[0].imshow(digits.x_test[doubtful, ..., 0], cmap="gray_r")
axes[0].set(title=f"labelled {digits.y_test[doubtful]}", xticks=[], yticks=[])
for axis, (t, p) in zip(axes[1:], by_temperature.items(), strict=True):
    axis.bar(range(10), p[doubtful], color="#1b6ca8")
    axis.set(title=f"the teacher at T = {t}", xlabel="digit", ylabel="probability", ylim=(0, 1))
    axis.set_xticks(range(10))
figure.tight_layout()
plt.show()

# %% [markdown]
# ## What you keep
#
# `distiller.student` is the model that you passed in. The file holds it alone, and loads without
# `keras_kd`.

# %%
path = OUT / "student.keras"
distilled[0].save(path)
again = keras.models.load_model(path)
print(f"{path}: {again.count_params():,} weights, the teacher has {teacher.count_params():,}")


# %%
def errors(models):
    answers = [m.predict(digits.x_test, verbose=0).argmax(axis=1) for m in models]
    return np.mean([np.sum(answer != digits.y_test) for answer in answers])


last = {name: history["labels"][-1] for name, history in histories.items()}
assert QUICK or max(last.values()) < 0.05, "both know their labels by heart"
assert softened[0][1] < 0.02 < 0.2 < softened[2][1], "T = 4 lets the dog come up"
assert errors(distilled) < 0.8 * errors(alone), "distilled makes at least a fifth fewer errors"
assert errors([teacher]) < errors(distilled), "the teacher is still better"
assert errors([again]) == errors(distilled[:1]), "the file answers as the student"
