# %% [markdown]
# # What a term is
#
# A distiller's loss is a list of terms; each compares two signals. Here you meet four kinds of them,
# add them up, let one fade, and see which layers are worth pairing.
#
# **Time:** four minutes on a laptop's CPU. **At the end you have:** `student_of_terms.keras`, and a
# picture that tells which of the terms taught it anything.

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
EPOCHS = 15 if QUICK else 30
OUT = Path("out")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## Two signals, a loss, a weight
#
# What a layer returns for a batch is a **signal**. It has an **address**: `"teacher:block3"` is what
# the teacher's layer `block3` returns, `"student:output"` is the student's answer.
#
# A **term** names two signals and a loss between them. The first, `pred`, is to learn; the second,
# `target`, is held still. One can be computed by hand:

# %%
term = kd.Term(kd.losses.FeatureMatch(), pred="student:block3", target="teacher:block3")
by_hand = {
    "student:block3": np.array([[1.0, 2.0, 3.0]]),
    "teacher:block3": np.array([[1.0, 4.0, 3.0]]),
}
value_by_hand = float(term(by_hand, step=0))
print(f"mean of the squared differences: {value_by_hand:.4f}")

# %% [markdown]
# ## Teacher and student
#
# Both are convolutional networks of three blocks; the images shrink from 8×8 to 4×4 and 2×2. The
# teacher is wide and has every label of the digits. The student is narrow and has 100; the rest are
# marked −1, and the loss for the labels passes over those. The teacher speaks on every image.

# %%
digits = kd.data.load("digits")
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)


def network(seed, name, channels):
    keras.utils.set_random_seed(seed)
    blocks = [
        layers.Conv2D(count, 3, strides, "same", activation="relu", name=f"block{i}")
        for i, (count, strides) in enumerate(zip(channels, (1, 2, 2), strict=True), 1)
    ]
    head = [layers.GlobalAveragePooling2D(name="pool"), layers.Dense(10, name="logits")]
    return keras.Sequential([keras.Input((8, 8, 1)), *blocks, *head], name=name)


def new_student(seed):
    return network(seed, "student", (8, 8, 16))


teacher = network(0, "teacher", (16, 32, 64))
teacher.compile(keras.optimizers.Adam(0.01), loss)
teacher.fit(digits.x_train, digits.y_train, batch_size=64, epochs=EPOCHS, verbose=0)


def errors(model):
    answers = keras.ops.convert_to_numpy(keras.ops.argmax(model(digits.x_test), axis=1))
    return int(np.sum(answers != digits.y_test))


print(f"the teacher makes {errors(teacher)} errors on {len(digits.y_test)} test images")

# %% [markdown]
# Which layers go together? For networks of images, those that see the picture at the same size.
# `hint_layers` finds them, shallow first, as the two lists that recipes on layers take.

# %%
pairs = kd.procedures.hint_layers(new_student(0), teacher)
for pred, target in zip(pairs["pred"], pairs["target"], strict=True):
    mine = new_student(0).get_layer(pred.split(":")[1]).output.shape[1:]
    its = teacher.get_layer(target.split(":")[1]).output.shape[1:]
    print(f"{pred} {mine} learns from {target} {its}")


def pair(number):
    """One of the pairs, as arguments of a recipe."""
    return {side: addresses[number] for side, addresses in pairs.items()}


# %% [markdown]
# ## One way to train them all
#
# Every student of a seed has the same 100 labels, starts from the same weights, sees the same
# batches, and takes the same number of steps. Only the list of terms differs. The **control** has
# the labels alone.


# %%
students, histories, distillers = {}, {}, {}


def train(way, terms):
    """Students from every seed, with the terms that `terms()` gives."""
    students[way] = []
    for seed in SEEDS:
        kept = np.random.default_rng(seed).permutation(len(digits.y_train))[:100]
        few_labels = np.full_like(digits.y_train, -1)
        few_labels[kept] = digits.y_train[kept]
        distiller = kd.Distiller(student=new_student(seed), teacher=teacher, terms=terms())
        distiller.compile(keras.optimizers.Adam(0.01), loss)
        history = distiller.fit(digits.x_train, few_labels, batch_size=64, epochs=EPOCHS, verbose=0)
        students[way].append(distiller.student)
    histories[way], distillers[way] = history.history, distiller
    print(f"{way}: {', '.join(str(errors(s)) for s in students[way])} errors")


train("student alone", lambda: [kd.Labels()])

# %% [markdown]
# ## Hints: see what the teacher sees
#
# A **hint** asks a layer of the student for the very numbers of a layer of the teacher. The student
# has fewer channels, so a small layer stands between them, a **projector**: it learns along with the
# student and is left behind afterwards. The recipe `fitnets` finds its shape.
#
# Which pair? A shallow layer of a narrow student has little room, and what it spends on the
# teacher's edges it cannot spend on its own. The last layer holds what the answer is made from.

# %%
hint_weight = 10.0
train("hint, first pair", lambda: kd.recipes.fitnets(**pair(0), weight=hint_weight))
train("hint, last pair", lambda: kd.recipes.fitnets(**pair(-1), weight=hint_weight))
distiller = distillers["hint, last pair"]
brought = sum(p.count_params() for term in distiller.terms for p in term.projectors())
print(
    f"the last projector has {brought:,} weights, the student {distiller.student.count_params():,}"
)

# %% [markdown]
# The hint at the last pair helps a good deal, the one at the first does not. A hint is a demand;
# what matters is whether meeting it brings the answer nearer.
#
# ## Attention: look where the teacher looks
#
# An **attention map** forgets what a layer says and keeps where it is active: the mean over the
# channels of the squared activations. Maps have no channels, so no projector is needed.
#
# A weight must fit the task. The recipe's own is from the literature, for deeper networks and longer
# training; here a smaller one leaves more room to the labels.

# %%
published = kd.recipes.attention_transfer(**pairs)
print(f"the published weight: {published[1].weight:g}")
train("attention", lambda: kd.recipes.attention_transfer(**pairs, weight=30.0))


# %%
def attention(model, block, images):
    """Where a layer is active, each map divided by its largest value."""
    inner = keras.Model(model.inputs, model.get_layer(block).output)
    maps = np.mean(np.square(keras.ops.convert_to_numpy(inner(images))), axis=-1)
    return maps / maps.max(axis=(1, 2), keepdims=True)


shown = digits.x_test[:4]
rows = {"image": shown[..., 0], "teacher": attention(teacher, "block2", shown)}
for way in ("student alone", "attention"):
    rows[way] = attention(students[way][0], "block2", shown)
figure, axes = plt.subplots(len(rows), 4, figsize=(5.5, 5.5))
for line, (name, pictures) in zip(axes, rows.items(), strict=True):
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for axis, picture in zip(line, pictures, strict=True):
        axis.imshow(picture, cmap="gray_r" if name == "image" else "viridis")
        axis.set(xticks=[], yticks=[])
figure.suptitle("Attention of block2")
figure.tight_layout()
plt.show()


def distance(way):
    """How far a student's maps of block2 are from the teacher's, over the test set."""
    mine, its = (attention(m, "block2", digits.x_test) for m in (students[way][0], teacher))
    return float(np.mean(np.abs(mine - its)))


apart = {way: distance(way) for way in ("student alone", "attention")}
for way, value in apart.items():
    print(f"{way}: {value:.3f} from the teacher's map, in the mean")

# %% [markdown]
# The maps of the student that was told where to look are nearer to the teacher's, and it makes fewer
# errors for it.
#
# ## Relations: who is near to whom
#
# A **relation** does not ask for the teacher's numbers at all. It asks that images which are near to
# each other for the teacher are near for the student, and that the angles between them are alike.
# Nothing has to have the same shape, and the student may put its features where it likes.

# %%
train("relations", lambda: kd.recipes.rkd(**pair(-1)))

# %% [markdown]
# ## Several terms
#
# The usual term compares the answers: soft targets, the recipe `hinton`. Recipes are lists, and
# lists add up. With `labels_weight=0` a recipe leaves the labels to another one.

# %%
train("soft targets", lambda: kd.recipes.hinton(temperature=4.0, alpha=0.9))


def soft_targets_and_relations():
    return [
        *kd.recipes.hinton(temperature=4.0, alpha=0.9),
        *kd.recipes.rkd(**pair(-1), labels_weight=0),
    ]


train("soft targets + relations", soft_targets_and_relations)
history = histories["soft targets + relations"]
for term in distillers["soft targets + relations"].terms:
    first, last = (term.weight * history[term.name][epoch] for epoch in (0, -1))
    print(
        f"{term.name}: weight {term.weight:g}, its part of the loss {first:.2f}, later {last:.2f}"
    )

# %% [markdown]
# That printout is worth a look whenever terms are added. A part that is a hundred times smaller than
# the others does nothing; one that is a hundred times larger leaves nothing to them.
#
# ## Schedules
#
# A weight may follow the training step: any schedule of Keras, or one of `kd.schedules`, may stand
# where a number stands. Hints are often wanted early and not late: first see like the teacher, then
# find your own way. Here the weight of the hint falls to 0 by the middle of training.

# %%
steps = EPOCHS * -(-len(digits.y_train) // 64)


def fading():
    return keras.optimizers.schedules.PolynomialDecay(hint_weight, steps // 2, end_learning_rate=0)


train("hint, fading", lambda: kd.recipes.fitnets(**pair(-1), weight=fading()))
weights = [float(fading()(step)) for step in range(steps)]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 2.8))
left.plot(np.arange(steps) / steps * EPOCHS, weights, color="#1b6ca8")
left.set(xlabel="epoch", ylabel="weight of the hint")
for way in ("hint, last pair", "hint, fading"):
    right.plot(np.arange(1, EPOCHS + 1), histories[way]["hint"], label=way)
right.set(xlabel="epoch", ylabel="hint, before its weight", ylim=(0, None))
right.legend()
figure.tight_layout()
plt.show()

# %% [markdown]
# The hint falls for as long as it is asked for, and no further. Whether letting it fade is better than
# asking on, the next picture shows.
#
# ## Which of them taught it anything?

# %%
counts = {way: [errors(student) for student in many] for way, many in students.items()}
mean = {way: float(np.mean(many)) for way, many in counts.items()}

figure, axis = plt.subplots(figsize=(7, 4))
for place, (way, many) in enumerate(counts.items()):
    colour = "#c0504d" if way == "student alone" else "#1b6ca8"
    axis.plot(many, [place] * len(many), "o", color=colour, alpha=0.7)
    axis.plot(mean[way], place, "|", color="black", markersize=16)
axis.axvline(mean["student alone"], color="#c0504d", linewidth=1, linestyle=":")
axis.set(xlabel=f"errors on the {len(digits.y_test)} test images, one dot a seed", xlim=(0, None))
axis.set_yticks(range(len(counts)), counts)
axis.set_ylim(len(counts) - 0.5, -0.5)
figure.tight_layout()
plt.show()
for way, value in mean.items():
    print(f"{way:26}{value:6.1f}")

# %% [markdown]
# What tells the student most about the answer teaches it most: the answers themselves, and the
# relations between images at the last layer, then the hint at the last layer. The shallower the
# pair, the less there is to learn from it. Letting the hint fade brought nothing here. Two good terms
# together need not be better than the better one of them; only the control and several seeds can tell.

# %%
report = kd.report.compare(
    {
        "teacher": teacher,
        **{way: students[way] for way in ("student alone", "relations", "soft targets")},
    },
    data=(digits.x_test, digits.y_test),
    baseline="student alone",
    judged="relations",
    latency=False,
)
print(report)

# %% [markdown]
# ## What you keep
#
# The student is the model that was passed in. Projectors, terms and teacher are not in its file.

# %%
path = OUT / "student_of_terms.keras"
kept = students["soft targets + relations"][0]
kept.save(path)
again = keras.models.load_model(path)
print(f"{path}: {again.count_params():,} weights, the teacher has {teacher.count_params():,}")

# %%
alone = mean["student alone"]
assert np.isclose(value_by_hand, 4 / 3), "the term is the mean of the squared differences"
assert mean["hint, last pair"] < 0.8 * alone, "a hint at the last pair helps"
assert mean["hint, first pair"] > 0.85 * alone, "one at the first does not"
assert mean["attention"] < alone, "attention helps"
assert apart["attention"] < apart["student alone"], "the maps have come nearer"
assert mean["relations"] < 0.8 * alone, "relations: at least a fifth fewer errors"
assert mean["soft targets"] < 0.6 * alone, "soft targets: far fewer"
assert mean["soft targets"] < min(mean["relations"], mean["hint, last pair"])
assert mean["hint, fading"] > 0.9 * mean["hint, last pair"], "letting it fade brings nothing"
assert weights[0] == hint_weight and weights[-1] == 0, "the schedule falls to nothing"
assert histories["hint, fading"]["hint"][-1] > 1.2 * histories["hint, last pair"]["hint"][-1]
assert errors(again) == errors(kept), "the file answers as the student"
