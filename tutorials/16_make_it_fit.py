# %% [markdown]
# # Make it fit
#
# A trained network, some data and a limit: 40 kB, whatever it takes. The student, the recipe, the
# temperature, the number format and the verdict are left to one call.
#
# **Time:** eight minutes on a laptop's CPU. **At the end you have:** `out/fit/student.tflite`, proven and
# within the limit, and a page that tells what it cost. Five of the minutes are the search's budget.

# %%
import logging
import os
import shutil
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # a short search of one student: a check, no result
OUT = Path("out")
OUT.mkdir(exist_ok=True)
FOLDER = OUT / "fit"
shutil.rmtree(FOLDER, ignore_errors=True)  # a search of an earlier run would be gone on with
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # data sets are read in an old way

# %% [markdown]
# ## The teacher
#
# Clothes, of Fashion-MNIST. (Where that set is not to be had, the walk goes on with the digits that come
# with the package.) The last of its training images are held out: the search chooses by them. The test
# images are looked at once, at the end.

# %%
try:
    data = kd.data.load("fashion_mnist", download=not QUICK)
    train, validation = (data["train"].take(np.arange(*ends)) for ends in ((6000,), (6000, 8000)))
    test = data["test"].take(np.arange(5000))
except kd.data.NotAvailable:
    data = kd.data.load("digits", validation=0.2)
    train, validation, test = (data[name] for name in ("train", "validation", "test"))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

keras.utils.set_random_seed(0)
teacher = keras.Sequential(
    [
        keras.Input(data.info.shape, name="image"),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dropout(0.4),
        layers.Dense(128, activation="relu"),
        layers.Dropout(0.4),
        layers.Dense(10),
    ],
    name="teacher",
)
teacher.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
teacher.fit(
    train.x, train.y, batch_size=64, epochs=2 if QUICK else 15, verbose=0,
    validation_data=(validation.x, validation.y),
)  # fmt: skip
print(f"{teacher.count_params():,} weights, {4e-3 * teacher.count_params():,.0f} kB in float32")

# %% [markdown]
# ## Is there something to learn?
#
# Before minutes are spent: the doctor looks for what makes distilling useless. Wrong scale of the inputs,
# classes in another order, probabilities for logits, answers that were learned by heart, and more. Each
# finding has what was measured and a line of Python that mends it.

# %%
print(kd.auto.examine(teacher, train=train, validation=validation))

# %% [markdown]
# The same teacher, whose classes somebody sorted otherwise:


# %%
def sorted_otherwise(x):
    return np.roll(teacher.predict(x, verbose=0), 1, axis=1)


print(kd.auto.examine(sorted_otherwise, train=train, validation=validation))

# %% [markdown]
# ## One call
#
# A limit is a number that can be measured: bytes of the file, milliseconds of an example, weights,
# operations, working memory on a microcontroller; or an accuracy to keep, for the smallest file that has
# it. The budget is time.
#
# What happens: the teacher is measured, and predicts each image once. Students are cut from it and taken
# from a ladder of small networks; those over the limit are left out before anything is trained. The rest
# of the time is shared out by Hyperband: many short trainings, longer ones for the best.

# %%
short = {"students": ["mlp-16"], "epochs": 2, "trials": 2} if QUICK else {}
result = kd.auto.compress(
    teacher,
    train,
    validation=validation,
    test=test,
    limits=kd.auto.Limits(size="40 kB"),
    budget="10 min" if QUICK else "5 min",
    folder=FOLDER,
    **short,
)
print(result)

# %% [markdown]
# The first line is the verdict: the best student that learned from the teacher beside the same student
# from the labels alone, for as many epochs, on the test images, with its interval. Where the student alone
# is clearly better on the validation data, it is the file, and that is said.
#
# ## The pictures
#
# Each dot is a training. To the left is small or fast, up is good; the line is what nothing cheaper
# beats. The bars tell what went with good scores among these trainings. Of few trainings they say nothing
# and are left out, and they are no law: the search looks where it is good.

# %%
result.report  # in a notebook its pictures

# %% [markdown]
# ## All of it as a page
#
# `report.html` needs nothing else: the pictures are inside, with every training, the failed ones among
# them, and the students that were left out, each with its reason.

# %%
result.report.save(OUT / "fit.html")
for name, why in list(result.dropped.items())[:4]:
    print(f"{name}: {why}")

# %% [markdown]
# ## The winner again, without a search

# %%
print(result.code)

# %% [markdown]
# ## The file
#
# It was proven when it was written: on the validation images it decides as the Keras student does. Here
# it runs as on a device.

# %%
file = kd.sources.LiteRTTeacher(result.best.file)
right = (np.asarray(file(test.x)).argmax(axis=1) == test.y).mean()
size = result.best.file.stat().st_size
print(f"{size:,} bytes, right on {right:.1%} of {len(test):,} test images")
print(f"as the Keras student: {result.best.proof['agreement']:.1%} of the validation images")

# %% [markdown]
# ## A limit that nothing keeps
#
# is an error before anything is trained, and it names the nearest.

# %%
try:
    kd.auto.compress(
        teacher, train, validation=validation, limits=kd.auto.Limits(size="2 kB"),
        budget="5 min", folder=OUT / "fit_2kB", students=["mlp-16"],
    )  # fmt: skip
except ValueError as error:
    print(error)
shutil.rmtree(OUT / "fit_2kB", ignore_errors=True)

# %% [markdown]
# From a shell the same is
#
# ```shell
# keras-kd auto teacher.keras --data photos/ --size 40kB --budget 5min --out run
# ```
#
# Stop it whenever you like: the best student so far is a file, and the same command goes on. More in
# the guide *Make it fit*, with the parts of which this is made.

# %%
assert size <= 40_000 and abs(right - result.best.test_score) < 0.01
