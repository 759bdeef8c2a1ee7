"""The same small distillers on one device and on several; what came of each, in a file.

    python -m tests.devices.program OUT ENGINE:CASE...

Networks, weights and data are the same wherever it runs. Every engine is given the same global
batches of 16 examples.
"""

import contextlib
import functools
import os
import sys

import keras
import numpy as np

import keras_kd as kd
from tests.models import CLASSES, cross_entropy, data, mlp

BATCH, STEPS, EPOCHS = 16, 3, 2
X, Y = data(BATCH * STEPS, seed=3)
WEIGHT = np.random.default_rng(5).uniform(0.5, 2.0, len(X)).astype("float32")
#: What a teacher said, once something that is no number; in the second replica's share.
BROKEN = np.random.default_rng(6).normal(size=(len(X), CLASSES)).astype("float32")
BROKEN[BATCH + BATCH - 1] = np.nan


def student(**kwargs):
    """BatchNorm, as in Keras or with its arguments, and a regulariser."""
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(
                6, use_bias=False, kernel_regularizer=keras.regularizers.L2(0.1), name="hidden"
            ),
            keras.layers.BatchNormalization(momentum=0.5, **kwargs),
            keras.layers.Dense(CLASSES, name="logits"),
        ],
        name="student",
    )


def normalised(*more, **kwargs):
    """Soft targets, a hint through a projector, weighted examples, a sum, metrics; a mean teacher
    that follows the moving statistics too; losses between the examples of a batch."""
    learner = student(**kwargs)
    teachers = {"teacher": mlp("teacher", 10), "mean": kd.teachers.Momentum(learner, decay=0.5)}
    hidden = {"pred": "student:hidden", "target": "teacher:hidden"}
    between = [kd.losses.SimilarityMatrix(), kd.losses.DistanceRelation()]
    terms = [
        *kd.recipes.hinton(temperature=3.0, alpha=0.7),
        kd.Term(kd.losses.FeatureMatch(), projector=kd.projectors.Dense(10), **hidden),
        kd.Term(kd.losses.FeatureMatch(reduction="sum"), weight=0.01, name="summed"),
        kd.Term(kd.losses.SoftTarget(2.0), target="mean:output", name="follow"),
        *(kd.Term(loss, **hidden) for loss in between),
        kd.Term(kd.losses.ContrastiveMatch(0.5), projector=kd.projectors.Dense(10), **hidden),
        kd.Term(kd.losses.CorrelationTarget()),
        *more,
    ]
    made = kd.Distiller(student=learner, teacher=teachers, terms=terms)
    metrics = [kd.metrics.Agreement(), kd.metrics.TeacherKL(), kd.metrics.NegativeLogLikelihood()]
    weighted = [kd.metrics.TeacherKL(name="weighted_kl")]
    return made, {"metrics": ["accuracy", *metrics], "weighted_metrics": weighted}


def synchronized():
    return normalised(synchronized=True)


def remembered():
    """A memory of the whole set besides, whose draws are seeded."""
    term = kd.Term(
        kd.losses.NoiseContrastive(len(X)),
        pred=("student:hidden", "teacher:hidden", "ids"),
        target="teacher:hidden",
        projector=kd.projectors.MemoryBank(len(X), 4, negatives=8, temperature=0.5, seed=1),
    )
    return normalised(term)


def skipping():
    """A batch on which the teacher is at fault."""
    terms = kd.recipes.hinton()
    made = kd.Distiller(student=mlp("student"), terms=terms, on_bad_teacher="skip")
    return made, {"metrics": ["accuracy"]}


def complaining():
    made = kd.Distiller(student=mlp("student"), terms=kd.recipes.hinton())
    return made, {}


def sequences(name, units):
    """Reads eight numbers, of which an input tells which are padding."""
    inputs = {n: keras.Input((8,), name=n) for n in ("numbers", "padding_mask")}
    x = keras.layers.Reshape((8, 1))(inputs["numbers"])
    x = keras.layers.Dense(units, activation="tanh", name="hidden")(x)
    return keras.Model(inputs, keras.layers.Dense(CLASSES)(x), name=name)


def padded():
    """The replicas' shares of a batch do not hold as many positions that count, told by an input
    and by weights; a loss of Keras's own too."""
    hidden = {"pred": "student:hidden", "target": "teacher:hidden"}
    terms = [
        *kd.recipes.hinton(),
        kd.Term(kd.losses.JensenShannon()),
        kd.Term(keras.losses.MeanSquaredError(), name="squares"),
        kd.Term(kd.losses.HiddenStateMatch(), **hidden),
    ]
    made = kd.Distiller(student=sequences("s", 4), teacher=sequences("t", 4), terms=terms)
    return made, {"metrics": ["accuracy", kd.metrics.Agreement()]}


CASES = {
    case.__name__: case
    for case in (normalised, synchronized, remembered, skipping, complaining, padded)
}


def fed(case, x, y, weight, broken, ids):
    """What `fit` is given in this case: x, y, sample_weight."""
    if case in ("skipping", "complaining"):
        return {"inputs": x, "signals": {"teacher:output": broken}}, y, None
    if case == "padded":
        valid = (np.arange(8) < 1 + ids[:, None] // 2 % 8).astype("float32")
        weights = (weight[:, None] * WEIGHT[:8]).astype("float32")
        return {"numbers": x, "padding_mask": valid}, np.repeat(y[:, None], 8, axis=1), weights
    if case == "remembered":
        return {"inputs": x, "signals": {"ids": ids}}, y, weight
    return x, y, weight


def trained(case, share=slice(None), batch=BATCH):
    """What a training came to: the logs of all epochs, of an evaluation, and every variable."""
    keras.utils.set_random_seed(0)
    made, judged = CASES[case]()
    rng = np.random.default_rng(1)
    for variable in made.variables:
        if "float" in variable.dtype and "variance" not in variable.path:
            variable.assign(rng.normal(0, 0.4, variable.shape).astype("float32"))
    if case == "remembered":
        made.terms[-1].projector.started.assign(0.0)
    made.compile(keras.optimizers.Adam(0.01), cross_entropy(), **judged)
    steps = [np.arange(len(X))[i * BATCH :][:BATCH][share] for i in range(STEPS)]
    mine = np.concatenate(steps)
    x, y, weight = fed(case, *(a[mine] for a in (X, Y, WEIGHT, BROKEN, np.arange(len(X)))))
    settings = {"batch_size": batch, "sample_weight": weight, "verbose": 0}
    try:
        history = made.fit(x, y, epochs=EPOCHS, shuffle=False, **settings).history
    except ValueError as error:
        if case != "complaining":
            raise
        return {"error": np.array(str(error))}
    logs = made.evaluate(x, y, return_dict=True, **settings)
    found = {f"log {name}": np.array(values) for name, values in history.items()}
    found |= {f"evaluated {name}": np.array(value) for name, value in logs.items()}
    state = made._moving_variables()
    return found | {f"state {i}": np.asarray(v.numpy()) for i, v in enumerate(state)}


@functools.cache
def replicas():
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])  # a second one would not work


def mirrored():
    return replicas().scope()


def data_parallel():
    """Of two processes, each is given its own share by `main`, not by Keras."""
    shares = "PROCESS" not in os.environ
    return keras.distribution.DataParallel(auto_shard_dataset=shares).scope()


def model_parallel():
    """The teacher's and no other kernels are cut in two."""
    mesh = keras.distribution.DeviceMesh((2, 2), ["batch", "model"])
    layouts = keras.distribution.LayoutMap(mesh)
    layouts["teacher/hidden/kernel"] = (None, "model")
    layouts["teacher/logits/kernel"] = ("model", None)
    return keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch").scope()


ENGINES = {
    "one": contextlib.nullcontext,
    "mirrored": mirrored,
    "data_parallel": data_parallel,
    "model_parallel": model_parallel,
}


def main(out, *asked):
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
    share, batch = slice(None), BATCH
    if "PROCESS" in os.environ:  # one of two, which are given half of each batch
        half, number = BATCH // 2, int(os.environ["PROCESS"])
        share, batch = slice(number * half, (number + 1) * half), half
        keras.distribution.initialize(os.environ["COORDINATOR"], 2, number)
    found = {}
    for pair in asked:
        engine, case = pair.split(":")
        with ENGINES[engine]():
            found |= {f"{pair}/{k}": v for k, v in trained(case, share, batch).items()}
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
