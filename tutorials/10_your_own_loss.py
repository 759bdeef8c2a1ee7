# %% [markdown]
# # Your own loss
#
# Ten lines make a loss; a few checks show that it is the loss you meant; then it stands in a term
# like any other.
#
# **Time:** two minutes on a laptop's CPU. **At the end you have:** a loss of your own, a list of
# checks that takes any loss, and `distiller.keras`, which knows the loss by name.

# %%
import os
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops

import keras_kd as kd

QUICK = os.environ.get("KERAS_KD_QUICK") == "1"  # fewer epochs and seeds: a check, not a result
SEEDS = [1] if QUICK else [1, 2, 3]
EPOCHS = 20 if QUICK else 40
OUT = Path("out")
OUT.mkdir(exist_ok=True)

# %% [markdown]
# ## Ten lines
#
# A loss compares a **target** with a **prediction** and returns one number for each example. It
# knows nothing of models, layers or steps: means, masks, sample weights, precision and saving are
# done by the class that it inherits from.
#
# Our example is a cousin of the usual soft target. Both soften two answers to p and q. The usual one
# takes the Kullback-Leibler divergence between them, which grows without end when a student is sure
# of the wrong class. The **Hellinger distance** looks at how much the two answers overlap, and has a
# largest value:
#
# 4 · T² · (1 − Σ √(p · q))
#
# The 4 makes the two alike where teacher and student nearly agree, so that the weights that are
# usual for the one suit the other.


# %%
@keras.saving.register_keras_serializable(package="tutorial")
class Hellinger(kd.losses.Loss):
    def __init__(self, temperature=4.0, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature

    def call(self, y_true, y_pred):
        log_p = ops.log_softmax(y_true / self.temperature, axis=-1)
        log_q = ops.log_softmax(y_pred / self.temperature, axis=-1)
        overlap = ops.sum(ops.exp((log_p + log_q) / 2), axis=-1)
        return 4 * self.temperature**2 * (1 - overlap)


# %% [markdown]
# Three habits are in there. The target comes first. The constructor's argument is kept under its
# own name, which is all that saving needs. And √(p · q) is computed from logarithms: you will see
# below what becomes of the loss without that.
#
# How the two losses answer to a teacher that says "the first of two classes", while the student
# leans more and more to the other:

# %%
teacher_says = np.tile([[2.0, -2.0]], (61, 1))
lean = np.linspace(-4, 16, 61)
student_says = np.stack([-lean, lean], axis=1)
curves = {
    loss.name: ops.convert_to_numpy(loss(teacher_says, student_says))
    for loss in (
        kd.losses.SoftTarget(1.0, reduction=None, name="SoftTarget"),
        Hellinger(1.0, reduction=None, name="Hellinger"),
    )
}
figure, axis = plt.subplots(figsize=(6, 3))
for name, values in curves.items():
    axis.plot(lean, values, label=name)
axis.set(xlabel="logit of the wrong class", ylabel="loss, at T = 1", ylim=(0, 16))
axis.legend()
figure.tight_layout()
plt.show()
for name, values in curves.items():
    print(f"{name}: {values.min():.3f} where they agree, {values[-1]:.1f} at the right end")

# %% [markdown]
# ## The checks
#
# A wrong loss seldom fails. It trains, a little worse, and nobody knows why. So each check below
# compares with something that the loss's code has no part in. They take any loss between logits.
#
# **Numbers.** The formula once more, written so plainly that it can be read against the page: a loop
# over the examples, float64, no tricks. This is called an *oracle*.


# %%
def oracle(target, pred, temperature=4.0):
    values = []
    for z, s in zip(target.astype("float64"), pred.astype("float64"), strict=True):
        p = np.exp(z / temperature) / np.sum(np.exp(z / temperature))
        q = np.exp(s / temperature) / np.sum(np.exp(s / temperature))
        values.append(4 * temperature**2 * (1 - np.sum(np.sqrt(p * q))))
    return np.array(values)


EXAMPLES, CLASSES = 5, 4
random = np.random.default_rng(0)
TARGET, PRED = 3 * random.normal(size=(2, EXAMPLES, CLASSES)).astype("float32")


def values(loss, target=TARGET, pred=PRED):
    return ops.convert_to_numpy(loss(target, pred))


def equals_the_formula(loss):
    return np.allclose(values(loss(reduction=None)), oracle(TARGET, PRED), rtol=1e-4)


def one_value_per_example(loss):
    return values(loss(reduction=None)).shape == (EXAMPLES,)


def least_where_they_agree(loss):
    agreed = values(loss(), TARGET, TARGET)
    return abs(agreed) < 1e-4 and agreed < values(loss())


# %% [markdown]
# **Sample weights.** A weight of 0 takes an example out, a weight of 2 counts it twice. A loss that
# has taken a mean of its own accord cannot do that.


# %%
def obeys_sample_weights(loss):
    weights = np.array([0, 2, 1, 1, 1], "float32")
    total = float(loss(reduction="sum")(TARGET, PRED, sample_weight=weights))
    return np.isclose(total, np.sum(weights * oracle(TARGET, PRED)), rtol=1e-5)


# %% [markdown]
# **Gradients.** The gradient must be the slope of the oracle, as measured by moving each logit a
# little to either side. To see a gradient on any backend, we let a distiller take one step. The
# students are tables: fed with an example's number in one-hot form, a layer without bias answers
# with one row of its weights. One step of plain gradient descent at rate 1 subtracts the gradient
# from them.
#
# The teacher's seat is taken by a second such student. Terms hold their target still, whoever made
# it, so the second table must stay as it is.


# %%
def table(logits):
    model = keras.Sequential([keras.Input((EXAMPLES,)), layers.Dense(CLASSES, use_bias=False)])
    model.set_weights([logits])
    return model


def after_one_step(loss, target=TARGET, pred=PRED):
    """Both sides' logits after a step in which only the prediction may learn."""
    pair = {"learner": table(pred), "other": table(target)}
    term = kd.Term(loss(reduction="sum"), pred="learner:output", target="other:output")
    distiller = kd.Distiller(student=pair, terms=[term])
    distiller.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    distiller.fit(np.eye(EXAMPLES, dtype="float32"), batch_size=EXAMPLES, verbose=0)
    return [model.get_weights()[0] for model in pair.values()]


def gradient_is_the_slope(loss):
    slope, small = np.zeros_like(PRED), 1e-3
    for place in np.ndindex(*PRED.shape):
        step = np.zeros(PRED.shape)
        step[place] = small
        slope[place] = np.sum(oracle(TARGET, PRED + step) - oracle(TARGET, PRED - step)) / 2 / small
    return np.allclose(PRED - after_one_step(loss)[0], slope, rtol=1e-3, atol=1e-4)


def target_is_held_still(loss):
    learner, other = after_one_step(loss)
    return np.array_equal(other, TARGET) and not np.array_equal(learner, PRED)


# %% [markdown]
# **The ends.** Networks do say 10,000 now and then, early in training or in half precision. Values
# and gradients must stay finite there.


# %%
def finite_at_large_logits(loss):
    target, pred = random.choice([-1e4, 0.0, 1e4], size=(2, EXAMPLES, CLASSES)).astype("float32")
    both = values(loss(reduction=None), target, pred), after_one_step(loss, target, pred)[0]
    return all(np.isfinite(numbers).all() for numbers in both)


# %% [markdown]
# **Saving.** A loss written to a file and read again is the same loss, with its settings. Where a
# setting is a schedule, the loss reads it at the training step; `at(step)` shows what it then is.


# %%
def comes_back_from_its_config(loss):
    config = keras.saving.serialize_keras_object(loss(temperature=2.0))
    again = keras.saving.deserialize_keras_object(config)
    return np.isclose(values(again), oracle(TARGET, PRED, temperature=2.0).mean(), rtol=1e-5)


def follows_a_schedule(loss):
    falling = keras.optimizers.schedules.PolynomialDecay(4.0, 10, end_learning_rate=2.0)
    halfway = loss(temperature=falling).at(5)
    return np.isclose(values(halfway), oracle(TARGET, PRED, temperature=3.0).mean(), rtol=1e-5)


CONTRACT = [
    equals_the_formula,
    one_value_per_example,
    least_where_they_agree,
    obeys_sample_weights,
    gradient_is_the_slope,
    target_is_held_still,
    finite_at_large_logits,
    comes_back_from_its_config,
    follows_a_schedule,
]

# %% [markdown]
# ## Two losses that look right
#
# A check that never failed has not been checked itself. Here is the same formula written down as it
# comes, and once more with a mean at the end and the setting kept under another name.


# %%
@keras.saving.register_keras_serializable(package="tutorial")
class AsItComes(Hellinger):
    def call(self, y_true, y_pred):
        p = ops.softmax(y_true / self.temperature, axis=-1)
        q = ops.softmax(y_pred / self.temperature, axis=-1)
        return 4 * self.temperature**2 * (1 - ops.sum(ops.sqrt(p * q), axis=-1))


@keras.saving.register_keras_serializable(package="tutorial")
class Averaged(Hellinger):
    def __init__(self, temperature=4.0, **kwargs):
        super().__init__(4.0, **kwargs)
        self.t = temperature

    def call(self, y_true, y_pred):
        log_p = ops.log_softmax(y_true / self.t, axis=-1)
        log_q = ops.log_softmax(y_pred / self.t, axis=-1)
        return 4 * self.t**2 * (1 - ops.mean(ops.sum(ops.exp((log_p + log_q) / 2), axis=-1)))


def passes(check, loss):
    """Whether the loss passes; one that cannot even be run does not."""
    try:
        return bool(check(loss))
    except Exception:
        return False


LOSSES = [Hellinger, AsItComes, Averaged]
results = {loss: {check.__name__: passes(check, loss) for check in CONTRACT} for loss in LOSSES}
print(f"{'':28}" + "".join(f"{loss.__name__:>12}" for loss in LOSSES))
for check in CONTRACT:
    marks = ["yes" if results[loss][check.__name__] else "NO" for loss in LOSSES]
    print(f"{check.__name__.replace('_', ' '):28}" + "".join(f"{mark:>12}" for mark in marks))

# %% [markdown]
# The second loss has every number right and every gradient too, until a logit is large. Then a
# probability is rounded to 0, and the square root has no slope there. A network with such a loss
# trains well for an hour and is NaN after it. The third gives the right mean, which is the number
# that one would look at; but it cannot weigh its examples, and comes back from a file with another
# temperature.
#
# These checks, and those that each loss of this package passes besides, are one call. It returns
# their names, and raises with all that is broken.

# %%
settings = kd.testing.LossCase(
    constants={"temperature": 4.0}, scheduled=("temperature",), rtol=1e-4
)
passed = kd.testing.check_loss(Hellinger, oracle, settings)
print(f"{len(passed)} checks passed, among them: {', '.join(passed[-4:])}")
try:
    kd.testing.check_loss(AsItComes, oracle, settings)
except AssertionError as error:
    print(str(error).splitlines()[0], str(error).splitlines()[2])

# %% [markdown]
# ## In a term, beside a recipe
#
# Now the loss goes to work. A teacher has every label of the digits; the students have 100, the
# rest are marked −1 and passed over. The **control** has the labels alone. All students of a seed
# start from the same weights and take the same number of steps.
#
# Recipes are lists, so a term of your own is added with a comma.

# %%
digits = kd.data.load("digits")
labels_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)

keras.utils.set_random_seed(0)
teacher = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, 2, "same", activation="relu"),
        layers.Conv2D(32, 3, 2, "same", activation="relu"),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(10),
    ],
    name="teacher",
)
teacher.compile(keras.optimizers.Adam(0.003), labels_loss)
teacher.fit(digits.x_train, digits.y_train, batch_size=64, epochs=EPOCHS, verbose=0)


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


def train(seed, terms):
    kept = np.random.default_rng(seed).permutation(len(digits.y_train))[:100]
    few_labels = np.full_like(digits.y_train, -1)
    few_labels[kept] = digits.y_train[kept]
    distiller = kd.Distiller(student=new_student(seed), teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.Adam(0.01), labels_loss)
    distiller.fit(digits.x_train, few_labels, batch_size=64, epochs=EPOCHS, verbose=0)
    return distiller


WAYS = {
    "student alone": lambda: [kd.Labels()],
    "hinton": lambda: kd.recipes.hinton(temperature=4.0, alpha=0.9),
    "Hellinger": lambda: [kd.Labels(0.1), kd.Term(Hellinger(temperature=4.0), weight=0.9)],
    "hinton + Hellinger": lambda: [
        *kd.recipes.hinton(temperature=4.0, alpha=0.9),
        kd.Term(Hellinger(temperature=4.0), weight=0.9),
    ],
}
distillers = {way: [train(seed, terms()) for seed in SEEDS] for way, terms in WAYS.items()}
students = {way: [distiller.student for distiller in many] for way, many in distillers.items()}

# %%
report = kd.report.compare(
    {"teacher": teacher, **students},
    data=(digits.x_test, digits.y_test),
    baseline="student alone",
    judged="Hellinger",
    latency=False,
)
print(report)


# %%
def logits(model):
    return ops.convert_to_numpy(model(digits.x_test))


def errors(model):
    return int(np.sum(logits(model).argmax(axis=1) != digits.y_test))


counts = {way: [errors(student) for student in many] for way, many in students.items()}
figure, axis = plt.subplots(figsize=(6, 2.6))
for place, many in enumerate(counts.values()):
    axis.plot(many, [place] * len(many), "o", color="#1b6ca8", alpha=0.7)
    axis.plot(np.mean(many), place, "|", color="black", markersize=18)
axis.set(xlabel=f"errors on the {len(digits.y_test)} test images, one dot a seed", xlim=(0, None))
axis.set_yticks(range(len(counts)), counts)
axis.set_ylim(len(counts) - 0.5, -0.5)
figure.tight_layout()
plt.show()

# %% [markdown]
# The loss of our own teaches: its student makes far fewer errors than the one alone. It is not
# better than the usual one, and the two together are no better than either. That is the common
# fate of a new loss, and a good reason to keep a control and several seeds at hand.
#
# ## What you keep
#
# A distiller is saved whole: student, teacher, terms, and the loss by its registered name. Whoever
# loads it needs the class, as registered above. The student alone needs nothing of it.

# %%
path = OUT / "distiller.keras"
distillers["Hellinger"][0].save(path)
again = keras.models.load_model(path)
print([f"{term.name}: weight {term.weight}" for term in again.terms])

again.student.save(OUT / "own_loss_student.keras")
before, after = logits(students["Hellinger"][0]), logits(again.student)
print(f"largest difference between the answers before and after: {np.abs(before - after).max()}")

# %%
mean = {way: np.mean(many) for way, many in counts.items()}
broken = {loss.__name__: [c for c, ok in results[loss].items() if not ok] for loss in LOSSES}

assert curves["Hellinger"].max() <= 4 < curves["SoftTarget"].max(), "one has a largest value"
assert not broken["Hellinger"], "the loss passes every check"
assert broken["AsItComes"] == ["finite_at_large_logits"], "the second fails at the ends alone"
assert len(broken["Averaged"]) >= 3, "the third fails several"
assert mean["Hellinger"] < 0.8 * mean["student alone"], "at least a fifth fewer errors than alone"
assert 0.75 < mean["Hellinger"] / mean["hinton"] < 1.33, "about as good as the usual loss"
assert isinstance(again.terms[1].loss, Hellinger), "the file knows the loss"
assert np.array_equal(before, after), "and the student answers as before"
