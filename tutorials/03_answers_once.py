# %% [markdown]
# # Answers once
#
# A teacher is asked once and its answers are kept. Ten students learn from them, and none of them
# waits for the teacher again. Then the trap in this, and the way around it.
#
# **Time:** three minutes on a laptop's CPU. **At the end you have:** `answers`, a folder with all
# that three experts say about the digits, `student_of_a_store.keras`, and a picture of what answers
# for another picture do to a student.

# %%
import functools
import os
import shutil
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer epochs and seeds: a check, not a result
SEEDS = [1] if QUICK else [1, 2, 3]
WIDTHS = [8, 64] if QUICK else [8, 16, 32, 64, 128]
EPOCHS = 18 if QUICK else 30
VIEWS = 5 if QUICK else 10
UNITS = 64  # of the student, where its width is not what is looked at
OUT = Path("out")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## A teacher that takes its time
#
# The teacher is three convolutional networks together, which have every label of the digits.

# %%
digits = kd.data.load("digits")
train, test = digits["train"], digits["test"]
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)


def expert(seed):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(128, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10),
        ],
        name=f"expert_{seed}",
    )
    model.compile("adam", loss)
    model.fit(train.x, train.y, batch_size=64, epochs=15, verbose=0)
    return model


def answers(model):
    return keras.ops.convert_to_numpy(keras.ops.argmax(model(test.x), axis=1))


def errors(model):
    return int(np.sum(answers(model) != test.y))


teacher = kd.Ensemble([expert(seed) for seed in range(3)], name="three_experts")
print(f"the teacher makes {errors(teacher)} errors on {len(test)} test images")

# %% [markdown]
# ## Written once
#
# `write` asks the teacher about every image and keeps what it says, with the id of the image. The
# folder says whose answers they are, about which data, and how each file must look. If something ends
# it, the same call goes on where it was.

# %%
shutil.rmtree(OUT / "answers", ignore_errors=True)  # of an earlier teacher


def seconds(work):
    """What `work()` gives, and the processor time that it took."""
    start = time.process_time()
    return work(), time.process_time() - start


manifest, writing = seconds(lambda: kd.stores.write(teacher, train, OUT / "answers"))
print(f"{manifest.examples:,} examples, {manifest.bytes_per_example()} bytes for each answer")

# %% [markdown]
# `verify` compares all files with their checksums, and asks the teacher once more about some of the
# images. Numbers are kept in half precision; what that costs is the difference that is reported, as a
# part of the largest number in an answer.

# %%
verified = kd.stores.verify(OUT / "answers", train, teacher)
print(f"{verified.examples} asked again; at most {verified.largest['output']:.5f} apart")

# %% [markdown]
# ## Read by a student
#
# `read` joins answers to examples by their ids and gives batches for `fit`. No teacher is in memory,
# and the distiller is not given one. The order of the examples does not matter, and neither do their
# labels: this student has 100, the others are marked −1.
#
# To see that nothing is lost, the same student is trained three times from the same weights, on the
# same batches in the same order: with the teacher beside it (**live**), from the store, and, as the
# **control**, alone with its labels.


# %%
def few_labels(seed):
    """The training images with 100 labels, drawn by the seed."""
    kept = np.random.default_rng(seed).permutation(len(train))[:100]
    labels = np.full_like(train.y, -1)
    labels[kept] = train.y[kept]
    return kd.data.Part(train.x, labels, train.ids)


def fit(seed, units, batches, terms, teacher=None):
    keras.utils.set_random_seed(seed)
    body = [layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dense(10)]
    student = keras.Sequential([keras.Input((8, 8, 1)), *body], name="student")
    distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01), loss)
    distiller.fit(batches, epochs=EPOCHS, verbose=0)
    return student


def taught():
    return kd.recipes.hinton(temperature=4.0, alpha=0.9)


def in_batches(seed):
    return {"batch_size": 64, "shuffle": True, "seed": seed}


@functools.cache  # some are met again below
def alone(seed, units):
    return fit(seed, units, kd.data.feed(few_labels(seed), **in_batches(seed)), [kd.Labels()])


@functools.cache
def live(seed, units):
    batches = kd.data.feed(few_labels(seed), **in_batches(seed))
    return fit(seed, units, batches, taught(), teacher)


@functools.cache
def from_store(seed, units):
    batches = kd.stores.read(OUT / "answers", few_labels(seed), **in_batches(seed))
    return fit(seed, units, batches, taught())


inputs, labels = kd.stores.read(OUT / "answers", few_labels(1), **in_batches(1))[0]
print({name: signal.shape for name, signal in inputs["signals"].items()})

spent, students = {}, {}
for way, train_one in {"alone": alone, "live": live, "from the store": from_store}.items():
    students[way], spent[way] = seconds(lambda train_one=train_one: train_one(1, UNITS))
    print(f"{way}: {errors(students[way])} errors, {spent[way]:.1f} seconds of the processor")
alike = float(np.mean(answers(students["live"]) == answers(students["from the store"])))
print(f"live and from the store answer {alike:.1%} of the test images alike")

# %% [markdown]
# The two taught students are one student, but for the rounding. The one from the store took about as
# long as the one alone.
#
# ## Ten students
#
# How small may the student be? That asks for many students: each width from more than one seed, and
# for each of them its control.

# %%
sweep_seeds = SEEDS[:2]
swept = {"student alone": {}, "from the store": {}}
for units in WIDTHS:
    swept["student alone"][units] = [errors(alone(seed, units)) for seed in sweep_seeds]
    swept["from the store"][units] = [errors(from_store(seed, units)) for seed in sweep_seeds]
count = len(WIDTHS) * len(sweep_seeds)
bill = {
    "with the teacher": count * spent["live"],
    "from the store": writing + count * spent["from the store"],
    "alone": count * spent["alone"],
}
print(f"{'units':>6}{'alone':>10}{'from the store':>16}")
for units in WIDTHS:
    cells = [np.mean(of_width[units]) for of_width in swept.values()]
    print(f"{units:>6}{cells[0]:>10.1f}{cells[1]:>16.1f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), width_ratios=[3, 2])
for (way, of_width), colour in zip(swept.items(), ("#c0504d", "#1b6ca8"), strict=True):
    for units, found in of_width.items():
        left.plot([units] * len(found), found, "o", color=colour, alpha=0.5)
    left.plot(WIDTHS, [np.mean(of_width[u]) for u in WIDTHS], color=colour, label=way)
left.set(xscale="log", xlabel="hidden units", ylabel=f"errors of {len(test)}", ylim=(0, None))
left.set_xticks(WIDTHS, [str(units) for units in WIDTHS])
left.minorticks_off()
left.legend()
right.barh(list(bill), list(bill.values()), color=["#9a9a9a", "#1b6ca8", "#c0504d"])
right.invert_yaxis()
right.set(xlabel=f"processor time of {count} students (s)")
figure.tight_layout()
plt.show()
print(f"asking the teacher once, and writing: {writing:.2f} s")
print(f"the time of {count} students by that of one:")
print("\n".join(f"  {way}: {value:.0f} s" for way, value in bill.items()))

# %% [markdown]
# At every width the taught student is better than the one alone, and the teacher was asked once for all
# of them. Three small experts are a cheap teacher. The dearer the teacher, the more is saved: a stored
# answer takes as long to read whoever gave it.
#
# ## The trap
#
# It is common to show a student each image a little otherwise every epoch. With the teacher beside it
# that is no matter: both see the same picture. But an answer that was stored was given for *one*
# picture.
#
# `Augment` changes images at random, here by moving them up to a pixel each way. Its choices follow from
# the image's id and the number of the **view**: the same id and number give the same picture, today and
# tomorrow. Here is an image, three of its views, and what the teacher says of each.

# %%
moving = kd.data.Augment(kd.data.Crop(1, fill="constant"), seed=1)
some = train.take(np.arange(400))
pictures = {"as it is": some.x} | {
    f"view {view}": moving(some.x, ids=some.ids, views=view) for view in range(3)
}
said = {
    name: keras.ops.convert_to_numpy(keras.ops.softmax(teacher(x))) for name, x in pictures.items()
}
decided = np.stack([p.argmax(axis=1) for p in said.values()])
same = np.mean(decided[1:] == decided[0])
print(f"the teacher says the same of a view as of the image as it is: {same:.1%}")

example = int(np.argmax([len(set(column)) for column in decided.T]))
figure, axes = plt.subplots(2, len(pictures), figsize=(10, 4), height_ratios=[3, 2], sharey="row")
for (top, bottom), name in zip(axes.T, pictures, strict=True):
    top.imshow(pictures[name][example, ..., 0], cmap="gray_r", vmin=0, vmax=1)
    top.set(title=name, xticks=[], yticks=[])
    bottom.bar(range(10), said[name][example], color="#1b6ca8")
    bottom.set(xlabel="digit", ylim=(0, 1))
    bottom.set_xticks(range(10))
axes[1, 0].set_ylabel("probability")
figure.suptitle(f"A {some.y[example]}, and what the teacher says of it")
figure.tight_layout()
plt.show()

# %% [markdown]
# This teacher never saw a moved digit, and what it says of one may be odd. But it is what it says of
# *that* picture.
#
# `read` does not let you fall in. It knows which views the answers were given for, and refuses others:

# %%
try:
    kd.stores.read(OUT / "answers", train, augment=moving)
    refused = ""
except kd.stores.StoreError as error:
    refused = str(error)
print(refused)

# %% [markdown]
# ## The way around: views
#
# Given `augment` and `views`, `write` asks the teacher about several views of each image. `read` then
# gives view `e` in epoch `e`, and begins again after the last: picture and answer always belong
# together. How the views are drawn stands in the store; nobody has to say it again.

# %%
shutil.rmtree(OUT / "answers_to_views", ignore_errors=True)
of_views, writing_views = seconds(
    lambda: kd.stores.write(teacher, train, OUT / "answers_to_views", augment=moving, views=VIEWS)
)
print(f"{of_views.views} views: {of_views.bytes_per_example()} bytes for each example")
print(f"asking and writing: {writing_views:.1f} seconds of the processor")

# %% [markdown]
# Now all of it side by side. To show what the trap does, it has to be built by hand: `feed` draws the
# views, and its `join` brings the answers of the wrong picture, once those for the image as it is, once
# always those for view 0.

# %%
plain = kd.stores.Store(OUT / "answers")
views = kd.stores.Store(OUT / "answers_to_views")


def mismatched(seed, store):
    batches = kd.data.feed(
        few_labels(seed), augment=moving, views=VIEWS, **in_batches(seed),
        join=lambda ids, views: store(ids, views * 0),
    )  # fmt: skip
    return fit(seed, UNITS, batches, taught())


def matched(seed):
    batches = kd.stores.read(OUT / "answers_to_views", few_labels(seed), **in_batches(seed))
    return fit(seed, UNITS, batches, taught())


ways = {
    "student alone": lambda seed: alone(seed, UNITS),
    "not moved": lambda seed: from_store(seed, UNITS),
    "moved, answers to the image as it is": lambda seed: mismatched(seed, plain),
    "moved, answers to another view": lambda seed: mismatched(seed, views),
    "moved, answers to that view": matched,
}
trained = {way: [train_one(seed) for seed in SEEDS] for way, train_one in ways.items()}
counts = {way: [errors(student) for student in many] for way, many in trained.items()}
mean = {way: float(np.mean(many)) for way, many in counts.items()}

figure, axis = plt.subplots(figsize=(8, 2.8))
for place, (way, many) in enumerate(counts.items()):
    colour = "#c0504d" if "alone" in way else "#1b6ca8"
    axis.plot(many, [place] * len(many), "o", color=colour, alpha=0.6)
    axis.plot(mean[way], place, "|", color="black", markersize=16)
axis.axvline(mean["student alone"], color="#c0504d", linewidth=1, linestyle=":")
axis.set(xlabel=f"errors on the {len(test)} test images, one dot a seed", xlim=(0, None))
axis.set_yticks(range(len(ways)), list(ways))
axis.set_ylim(len(ways) - 0.5, -0.5)
figure.tight_layout()
plt.show()
for way, value in mean.items():
    print(f"{way:38}{value:6.1f}")

# %%
best = "moved, answers to that view"
report = kd.report.compare(
    {
        "teacher": teacher,
        "student alone": trained["student alone"],
        "wrong picture": trained["moved, answers to the image as it is"],
        "right picture": trained[best],
    },
    data=test,
    baseline="student alone",
    latency=False,
)
print(report)

# %% [markdown]
# An answer to another picture is a wrong answer, and the student learns it. With answers to the image as
# it is, much of what the teacher gave is lost again; with answers to another view the student is worse
# than one without any teacher. Nothing breaks and no error is seen: this is why the store asks.
#
# With the right answers the student is where it would be without moving anything. These digits all
# stand in the middle, so there is nothing to gain by moving them; where there is, views are how a store
# gives it.
#
# ## What you keep

# %%
path = OUT / "student_of_a_store.keras"
kept = from_store(SEEDS[0], UNITS)
kept.save(path)
again = keras.models.load_model(path)
print(f"{path}: {again.count_params():,} weights, the teacher has {teacher.count_params():,}")

# %%
assert verified.largest["output"] < 1e-3, "half precision loses next to nothing"
assert alike > 0.97, "a student of the store is the student of the live teacher"
assert spent["from the store"] < 0.75 * spent["live"], "and is trained faster"
assert spent["from the store"] < 1.4 * spent["alone"], "about as fast as one alone"
assert bill["from the store"] < 0.75 * bill["with the teacher"], "so the sweep is"
assert all(
    np.mean(swept["from the store"][units]) < np.mean(swept["student alone"][units])
    for units in WIDTHS
), "at every width the taught student is better"
assert same < 0.95, "the teacher says something else of another view"
assert refused, "the store refuses to give answers for other views"
assert mean["moved, answers to the image as it is"] > 1.3 * mean[best], "the trap: more errors"
assert mean["moved, answers to another view"] > mean["student alone"], "worse than no teacher"
assert mean[best] < 0.85 * mean["student alone"], "with the right answers the teacher is a help"
assert 0.75 < mean[best] / mean["not moved"] < 1.35, "and moving neither helps nor harms"
assert errors(again) == errors(kept), "the file answers as the student"
