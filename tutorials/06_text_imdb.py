# %% [markdown]
# # Text: what a review thinks of its film
#
# An LSTM that has read thousands of reviews teaches a small LSTM and a small Transformer, which have
# seen labels of few or none.
#
# **Time:** four minutes on a laptop's CPU. **At the end you have:** `reviews.keras` with its
# vocabulary beside it, and an idea of what distillation is when there is but one logit.

# %%
import logging
import os
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer words, steps and seeds: a check, no result
SEEDS = [1] if QUICK else [1, 2, 3]
WORDS = 40 if QUICK else 80  # of each review
STEPS = 150 if QUICK else 400  # of 64 reviews each
LABELLED = 500
OUT = Path("out")
OUT.mkdir(exist_ok=True)
logging.getLogger("tensorflow").setLevel(logging.ERROR)  # data sets are read in an old way


# %% [markdown]
# ## Reviews
#
# The reviews are those of IMDb: half of them like their film, half do not. A verdict tends to stand at
# the end, so the last words of each review are kept.
#
# Where the set is not to be had, the next cell makes one: clauses such as "the plot was not dull",
# and a review likes its film when most of its clauses do. That is a toy; what it prints says which of
# the two was used.


# %%
def made_up(count, seed):
    """Reviews of three clauses, and whether most of them are friendly."""
    draw = np.random.default_rng(seed)
    things = ["plot", "cast", "music", "camera", "ending", "dialogue", "pace", "set"]
    kinds = [["dull", "weak", "poor", "silly"], ["witty", "strong", "moving", "fresh"]]
    texts, labels = [], []
    for _ in range(count):
        friendly, denied = draw.integers(0, 2, 3), draw.integers(0, 2, 3)
        clauses = [
            f"the {draw.choice(things)} was {'not ' if no else ''}{draw.choice(kinds[yes ^ no])}"
            for yes, no in zip(friendly, denied, strict=True)
        ]
        texts.append(" and ".join(clauses))
        labels.append(friendly.sum() > 1)
    return np.array(texts, dtype=object), np.array(labels, "int32")


def some(texts, labels, count):
    """So many of them, drawn once; the last words of each."""
    rows = np.random.default_rng(0).permutation(len(labels))[:count]
    return [" ".join(texts[row].split()[-WORDS:]) for row in rows], labels[rows]


try:
    imdb = kd.data.load("imdb_reviews", download=not QUICK)
    source, train, test = "IMDb", imdb.train, imdb.test
except kd.data.NotAvailable:
    source, train, test = "made-up reviews", made_up(4000, seed=1), made_up(2000, seed=2)
texts, y = some(*train, count=3000 if QUICK else 10_000)
test_texts, y_test = some(*test, count=2000 if QUICK else 5000)
print(f"{source}: {len(texts):,} to train on, {len(test_texts):,} to test")
print(f"label {y[0]}: ... {texts[0][-150:]}")

# %% [markdown]
# ## Words as numbers
#
# `kd.data.Text` learns a vocabulary from the training texts and turns texts into rows of numbers. 0
# pads, 1 is any word that is not among them. The student needs this very vocabulary for ever, so it
# will be saved beside it.

# %%
text = kd.data.Text.learn(texts, size=5000, length=WORDS)
x, x_test = text(texts), text(test_texts)
print(f"{text.size:,} numbers; the first words are {', '.join(text.words[:8])}")
print(f"{np.mean(x == 1):.1%} of the training words are unknown, {np.mean(x == 0):.1%} are padding")

# %% [markdown]
# ## The teacher
#
# A review is liked or not: **one logit**, whose sigmoid is the probability. The teacher is an LSTM; its
# states over the whole text are averaged.

# %%
loss = keras.losses.BinaryCrossentropy(from_logits=True)


def embedded(width):
    inputs = keras.Input((WORDS,), dtype="int32", name="words")
    return inputs, layers.Dropout(0.3)(layers.Embedding(text.size, width)(inputs))


def answering(inputs, h, name):
    h = layers.GlobalAveragePooling1D()(h)
    return keras.Model(inputs, layers.Dense(1, name="liked")(h), name=name)


def lstm(seed, width, units, name):
    keras.utils.set_random_seed(seed)
    inputs, h = embedded(width)
    return answering(inputs, layers.LSTM(units, return_sequences=True)(h), name)


def transformer(seed, width=16):
    """One block. A convolution over three words tells it of their order."""
    keras.utils.set_random_seed(seed)
    inputs, h = embedded(width)
    h = layers.Conv1D(width, 3, padding="same")(h)
    h = layers.LayerNormalization()(h + layers.MultiHeadAttention(2, width // 2)(h, h))
    wider = layers.Dense(2 * width, activation="relu")(h)
    h = layers.LayerNormalization()(h + layers.Dense(width)(wider))
    return answering(inputs, h, "transformer")


def fit(student, terms, rows, teacher=None, steps=STEPS, epochs=1, **more):
    """The student, after so many steps on the reviews of these rows, over and over."""
    distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
    asked = any(isinstance(term, kd.Labels) for term in terms)
    right = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
    distiller.compile(keras.optimizers.Adam(0.003), loss if asked else None, metrics=[right])
    many = np.resize(rows, 64 * steps // epochs)
    distiller.fit(x[many], y[many, None], batch_size=64, epochs=epochs, verbose=0, **more)
    return student


def logits(model):
    return model.predict(x_test, batch_size=500, verbose=0)[:, 0]


def accuracy(answers):
    return float(np.mean((answers > 0) == y_test))


everything = np.arange(len(y))
teacher = lstm(0, width=32, units=48, name="teacher")
fit(teacher, [kd.Labels()], everything, steps=2 * STEPS)
said = {"teacher": [logits(teacher)]}
print(f"teacher: {accuracy(said['teacher'][0]):.1%}, {teacher.count_params():,} weights")

# %% [markdown]
# ## Two kinds of student, each alone and distilled
#
# The **control** has the labels of the first few reviews and nothing else. The distilled student has no
# labels at all, but the teacher's answers to all the reviews. Both start from the same weights and take
# as many steps. So many are too many for so few labels, so the control is taken at the best of four
# moments, and the test reviews themselves say which: that is more than fair.
#
# With one logit there is no softmax to soften. `BinarySoftTarget` is the same idea for a sigmoid: the
# temperature divides both logits, and the divergence is that between two coins. (`SoftTarget`, and with
# it the recipe `hinton`, is of no use here, and says so: the softmax of a single number is always 1.)

# %%
likes, dislikes = [[3.0]], [[-3.0]]  # what the teacher says of a review, and the student
opposite = float(kd.losses.BinarySoftTarget(2.0)(likes, dislikes))
print(f"BinarySoftTarget {opposite:.2f}")
refused = ""
try:
    kd.losses.SoftTarget(2.0)(likes, dislikes)
except ValueError as error:
    refused = str(error)
    print(refused)

builders = {
    "LSTM": lambda seed: lstm(seed, width=8, units=8, name="lstm"),
    "Transformer": transformer,
}


def alone(student):
    best = kd.callbacks.BestStudent(OUT / "alone.keras", resume=False)
    test = (x_test, y_test[:, None])
    few = everything[:LABELLED]
    return fit(student, [kd.Labels()], few, epochs=4, validation_data=test, callbacks=[best])


def distilled(student):
    return fit(student, [kd.Term(kd.losses.BinarySoftTarget(2.0))], everything, teacher)


students = {}
for kind, build in builders.items():
    students[f"{kind} alone"] = [alone(build(seed)) for seed in SEEDS]
    students[f"{kind} distilled"] = [distilled(build(seed)) for seed in SEEDS]
    print(f"{kind}: {students[f'{kind} alone'][0].count_params():,} weights")
    for way in (f"{kind} alone", f"{kind} distilled"):
        said[way] = [logits(student) for student in students[way]]
        print(f"  {way}: {', '.join(f'{accuracy(one):.1%}' for one in said[way])}")

# %% [markdown]
# ## Did it help?

# %%
report = kd.report.compare(
    {"teacher": teacher, **students}, data=(x_test, y_test),
    baseline="LSTM alone", judged="LSTM distilled", from_logits=True, latency=False,
)  # fmt: skip
print(report)

# %%
mean = {way: float(np.mean([accuracy(one) for one in many])) for way, many in said.items()}
figure, axis = plt.subplots(figsize=(7, 2.6))
for place, (way, many) in enumerate(said.items()):
    values = [100 * accuracy(one) for one in many]
    axis.plot(values, [place] * len(values), "o", color=f"C{(place + 1) // 2}", alpha=0.7)
    axis.plot(100 * mean[way], place, "|", color="black", markersize=16)
axis.set(xlabel=f"accuracy on the {len(y_test):,} test reviews, % (one dot a seed)")
axis.set_yticks(range(len(said)), said)
axis.set_ylim(len(said) - 0.5, -0.5)
figure.tight_layout()
plt.show()

# %% [markdown]
# Neither distilled student has seen a label. The LSTM is about as good as its teacher, and the
# Transformer, which shares nothing with it but the words and the answers, is better. A teacher is no
# upper bound: how sure it is tells more than on which side of zero it stands.
#
# ## As sure as the teacher
#
# Each dot is a test review. The teacher's logit says not only what it thinks but how surely. The
# student that learnt from it is sure where the teacher is, and in doubt where it is in doubt.

# %%
shown = slice(0, 1000)
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), sharex=True, sharey=True)
follows = {}
for axis, way in zip(axes, ("LSTM alone", "LSTM distilled"), strict=True):
    axis.plot(said["teacher"][0][shown], said[way][0][shown], ".", markersize=3, color="#1b6ca8")
    axis.axhline(0, color="black", linewidth=0.5)
    axis.axvline(0, color="black", linewidth=0.5)
    axis.set(title=way, xlabel="logit of the teacher")
    follows[way] = float(np.corrcoef(said["teacher"][0], said[way][0])[0, 1])
    print(f"{way}: correlation with the teacher's logits {follows[way]:.2f}")
axes[0].set_ylabel("logit of the student")
figure.tight_layout()
plt.show()

# %% [markdown]
# ## What you keep
#
# Three files: the student, its words, and a JSON with the settings. Anyone who has them can ask it. The
# student itself takes numbers, as a phone does; for a `.tflite` file, `kd.export(..., text=text)` puts
# the same two files beside it.

# %%
best = max((way for way in students if "distilled" in way), key=mean.get)
kept = students[best][0]
path = OUT / "reviews.keras"
kept.save(path)
text.save(path)
print(f"{best}: {', '.join(sorted(file.name for file in OUT.glob('reviews.*')))}")

again, words = keras.models.load_model(path), kd.data.Text.load(path)
asked = ["A witty and moving film, the best I have seen.", "Dull, weak and silly. A waste of time."]
liked = keras.ops.convert_to_numpy(keras.ops.sigmoid(again.predict(words(asked), verbose=0)))[:, 0]
for sentence, probability in zip(asked, liked, strict=True):
    print(f"{probability:.2f}  {sentence}")

# %%
assert opposite > 0 and "BinarySoftTarget" in refused, "one logit takes a sigmoid"
np.testing.assert_array_equal(words(asked), text(asked))
if source == "IMDb":
    for kind in builders:
        assert mean[f"{kind} distilled"] > mean[f"{kind} alone"], "better, without a label"
    assert follows["LSTM distilled"] > follows["LSTM alone"], "it is sure where the teacher is"
if source == "IMDb" and not QUICK:
    for kind in builders:
        assert mean[f"{kind} distilled"] > mean[f"{kind} alone"] + 0.03, "clearly better"
    assert abs(mean["LSTM distilled"] - mean["teacher"]) < 0.03, "about as good as its teacher"
    assert min(map(accuracy, said["Transformer distilled"])) > mean["teacher"], "and better"
    assert follows["LSTM distilled"] > 0.9, "in doubt where it is in doubt"
    assert liked[0] > 0.5 > liked[1], "the student and its words, read back, work together"
