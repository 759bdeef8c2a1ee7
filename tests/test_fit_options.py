"""Everything that `compile` and `fit` offer a Keras model, the Distiller offers too."""

import os

import keras
import numpy as np
import pytest

import keras_kd
from tests.models import Subclassed, cross_entropy, data, equal, mlp, noisy, set_weights, values

Term, SoftTarget = keras_kd.Term, keras_kd.losses.SoftTarget


def make(student=None, teacher=None, terms=None, **kwargs):
    kwargs.setdefault("loss", cross_entropy())
    kwargs.setdefault("optimizer", keras.optimizers.SGD(0.1))
    student = student or set_weights(mlp("s"), 1)
    teacher = teacher or set_weights(mlp("t"), 2)
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(**kwargs)
    return distiller


def trained(x, y, fit=None, **kwargs):
    distiller = make(**kwargs)
    history = distiller.fit(x, y, verbose=0, shuffle=False, **(fit or {})).history
    return distiller, history


def test_sample_weight_zero_removes_and_two_counts_twice():
    x, y = data(32)
    weight = np.ones(32)
    weight[:8], weight[8:16] = 0.0, 2.0
    weighted, _ = trained(x, y, {"batch_size": 32, "sample_weight": weight})
    # The same sum over 32 examples, written out: 8 twice, 16 once, and nothing for the rest.
    chosen = np.concatenate([np.arange(8, 16), np.arange(8, 32)])
    plain, _ = trained(x[chosen], y[chosen], {"batch_size": 32})
    assert equal(values(weighted.student.variables), values(plain.student.variables), 1e-6)


def test_class_weight_weighs_every_term():
    x, y = data(32)
    by_class, _ = trained(x, y, {"class_weight": {0: 0.0, 1: 1.0, 2: 3.0}})
    by_hand, _ = trained(x, y, {"sample_weight": np.array([0.0, 1.0, 3.0])[y]})
    assert equal(values(by_class.student.variables), values(by_hand.student.variables), 1e-6)


def test_weighted_metrics():
    x, y = data(32)
    weight = (y == 1).astype("float32")
    distiller = make(metrics=["accuracy"], weighted_metrics=["accuracy"])
    logs = distiller.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    right = distiller.predict(x, verbose=0).argmax(-1) == y
    assert logs["accuracy"] == pytest.approx(right.mean())
    assert logs["weighted_accuracy"] == pytest.approx(right[y == 1].mean(), abs=1e-6)


def test_validation_split_sees_the_last_part():
    x, y = data(40)
    distiller, history = trained(x, y, {"validation_split": 0.25})
    logs = distiller.evaluate(x[30:], y[30:], verbose=0, return_dict=True)
    for name in ("loss", "labels", "soft_target"):
        assert history[f"val_{name}"][-1] == pytest.approx(logs[name], rel=1e-5)


@pytest.mark.parametrize(
    "option", [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}]
)
def test_compiled_and_eager_steps_agree(option, backend):
    if backend == "torch" and option.get("jit_compile"):
        pytest.skip("torch.compile is tried in test_torch_compiles")
    x, y = data(40)
    plain, expected = trained(x, y, {"epochs": 2})
    other, history = trained(x, y, {"epochs": 2}, **option)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert equal(values(plain.student.variables), values(other.student.variables), 1e-5)


def test_steps_per_execution(backend):
    if backend == "torch":
        pytest.skip("Keras's torch trainer takes one step per execution")
    x, y = data(40)
    plain, _ = trained(x, y, {"batch_size": 10})
    other, _ = trained(x, y, {"batch_size": 10}, steps_per_execution=4)
    assert equal(values(plain.student.variables), values(other.student.variables), 1e-6)


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y, size):
        super().__init__()
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, i):
        part = slice(i * self.size, (i + 1) * self.size)
        return self.x[part], self.y[part]


def test_arrays_py_datasets_and_tf_data_give_the_same():
    tf = pytest.importorskip("tensorflow")
    x, y = data(40)
    weights = []
    for source in (
        {"x": x, "y": y, "batch_size": 10, "shuffle": False},
        {"x": Batches(x, y, 10), "shuffle": False},
        {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(10)},
    ):
        distiller = make()
        distiller.fit(**source, epochs=2, verbose=0)
        weights.append(values(distiller.student.variables))
    assert equal(weights[0], weights[1], 1e-6) and equal(weights[0], weights[2], 1e-6)


def test_the_step_is_traced_once(backend, monkeypatch):
    """TensorFlow traces a step once more when it made variables in its graph."""
    if backend != "tensorflow":
        pytest.skip("TensorFlow's graphs")
    traced, objective = [], keras_kd.Distiller._objective
    monkeypatch.setattr(
        keras_kd.Distiller, "_objective",
        lambda *args, **kwargs: traced.append(kwargs["training"]) or objective(*args, **kwargs),
    )  # fmt: skip
    distiller = keras_kd.Distiller(student=mlp("student"), teacher=mlp("teacher"))
    distiller.compile(keras.optimizers.Adam(), cross_entropy(), metrics=["accuracy"])
    x, y = data()
    distiller.fit(x, y, batch_size=16, validation_data=(x, y), verbose=0)
    assert traced == [True, False]


def test_early_stopping_and_checkpoints(tmp_path):
    x, y = data(40)
    distiller = make(optimizer=keras.optimizers.SGD(0.0))
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_loss")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1)
    history = distiller.fit(
        x, y, epochs=9, validation_data=(x, y), callbacks=[checkpoint, stop], verbose=0
    )
    assert len(history.history["loss"]) == 2  # nothing gets better at learning rate 0
    loaded = keras.models.load_model(tmp_path / "best.keras")
    assert equal(values(loaded.student.variables), values(distiller.student.variables))


def test_backup_and_restore_goes_on_where_it_was(tmp_path):
    x, y = data(40)

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    fit = {"epochs": 4, "verbose": 0, "shuffle": False}
    unbroken = make(optimizer=keras.optimizers.Adam(0.01), student=set_weights(noisy("s"), 1))
    unbroken.fit(x, y, **fit)
    broken = make(optimizer=keras.optimizers.Adam(0.01), student=set_weights(noisy("s"), 1))
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        broken.fit(x, y, callbacks=[backup, Stop()], **fit)
    again = make(optimizer=keras.optimizers.Adam(0.01), student=set_weights(noisy("s"), 5))
    history = again.fit(
        x, y, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup")], **fit
    )
    assert len(history.history["loss"]) == 2
    assert int(again._step.numpy()) == int(unbroken._step.numpy()) == 8
    assert equal(values(again.student.variables), values(unbroken.student.variables), 1e-6)


@pytest.mark.parametrize(
    "option",
    [
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.5},
        {"clipnorm": 0.01},
        {"clipvalue": 0.001},
        {"global_clipnorm": 0.01},
    ],
)
def test_optimizer_options_do_what_they_do_for_a_plain_model(option):
    """A distiller of labels alone is plain training: same options, same weights."""
    x, y = data(40)
    student = set_weights(mlp("s"), 1)
    plain = set_weights(mlp("p"), 1)
    plain.compile(keras.optimizers.SGD(0.1, **option), cross_entropy())
    plain.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    distiller = keras_kd.Distiller(student=student, terms=[keras_kd.Labels()])
    distiller.compile(keras.optimizers.SGD(0.1, **option), cross_entropy())
    distiller.fit(x, y, batch_size=10, shuffle=False, verbose=0)
    assert equal(values(plain.variables), values(student.variables), 1e-6)
    assert not equal(values(plain.variables), values(set_weights(mlp("q"), 1).variables), 1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_close_to_float32(policy):
    x, y = data(40)
    _, exact = trained(x, y, {"epochs": 3})
    keras.config.set_dtype_policy(policy)
    student, teacher = set_weights(mlp("s"), 1), set_weights(mlp("t"), 2)
    keras.config.set_dtype_policy("float32")  # as after loading: the student alone knows
    distiller, history = trained(x, y, {"epochs": 3}, student=student, teacher=teacher)
    assert distiller.dtype_policy.name == policy
    scaled = isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert all(v.dtype == "float32" for v in student.trainable_variables)
    assert history["loss"] == pytest.approx(exact["loss"], rel=0.03)


def test_regularisers_and_add_loss_of_the_student_count_once():
    x, y = data(40)

    @keras.saving.register_keras_serializable(package="tests")
    class Penalty(keras.layers.Layer):
        def call(self, x):
            self.add_loss(0.25 * keras.ops.mean(keras.ops.ones_like(x)))
            return x

    def build(name):
        inputs = keras.Input((8,))
        h = Penalty()(keras.layers.Dense(6, kernel_regularizer=keras.regularizers.L2(0.1))(inputs))
        return keras.Model(inputs, keras.layers.Dense(3)(h), name=name)

    student, teacher = set_weights(build("s"), 1), set_weights(build("t"), 2)
    distiller = make(student=student, teacher=teacher)
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    kernel = student.layers[1].kernel.numpy()
    extra = 0.1 * (kernel**2).sum() + 0.25
    expected = 0.1 * logs["labels"] + 0.9 * logs["soft_target"] + extra
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    history = distiller.fit(x, y, batch_size=40, verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_regularisers_of_the_student_train():
    x, y = data(40)
    student = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.5))]
    )
    distiller = make(student=student, terms=[keras_kd.Labels(0.0)])
    before = student.layers[0].kernel.numpy()
    distiller.fit(x, y, batch_size=40, verbose=0)
    after = student.layers[0].kernel.numpy()
    np.testing.assert_allclose(after, before * (1 - 0.1 * 2 * 0.5), rtol=1e-5)


def test_training_without_labels():
    x, y = data(40)
    distiller = make(terms=keras_kd.recipes.hinton(alpha=1), loss=None, metrics=["accuracy"])
    history = distiller.fit(x, epochs=2, validation_data=(x, y), verbose=0).history
    assert set(history) == {"loss", "soft_target", "val_loss", "val_soft_target", "val_accuracy"}
    right = (distiller.predict(x, verbose=0).argmax(-1) == y).mean()
    assert history["val_accuracy"][-1] == pytest.approx(right)
    assert history["loss"][1] < history["loss"][0]


def test_unlabelled_examples_among_labelled_ones():
    """Labels of -1 are left out by Keras's own `ignore_class`; the soft targets see them all."""
    x, y = data(40)
    partly = np.where(np.arange(40) < 10, y, -1)
    distiller = make(loss=cross_entropy(ignore_class=-1))
    logs = distiller.evaluate(x, partly, batch_size=40, verbose=0, return_dict=True)
    reference = make()
    few = reference.evaluate(x[:10], y[:10], verbose=0, return_dict=True)
    every = reference.evaluate(x, y, batch_size=40, verbose=0, return_dict=True)
    assert logs["labels"] == pytest.approx(few["labels"], rel=1e-5)
    assert logs["soft_target"] == pytest.approx(every["soft_target"], rel=1e-5)


def test_a_sequences_mask_leaves_padding_out():
    tokens = np.array([[1, 2, 3, 0, 0], [4, 1, 0, 0, 0]])

    def build(name):
        inputs = keras.Input((None,), dtype="int32")
        h = keras.layers.Embedding(6, 4, mask_zero=True)(inputs)
        return keras.Model(inputs, keras.layers.Dense(3, name="logits")(h), name=name)

    student, teacher = set_weights(build("s"), 1), set_weights(build("t"), 2)
    distiller = keras_kd.Distiller(
        student=student, teacher=teacher, terms=keras_kd.recipes.hinton(temperature=2.0, alpha=1)
    )
    distiller.compile("sgd")
    logged = distiller.evaluate(tokens, verbose=0)[0]
    each = SoftTarget(2.0, reduction=None)(
        teacher.predict(tokens, verbose=0), student.predict(tokens, verbose=0)
    )
    valid = keras.ops.convert_to_numpy(each)[tokens > 0]
    assert logged == pytest.approx(valid.mean(), rel=1e-5)


def test_metrics_and_train_on_batch():
    x, y = data(40)
    distiller = make(metrics=["accuracy"])
    first = distiller.train_on_batch(x, y, return_dict=True)
    second = distiller.test_on_batch(x, y, return_dict=True)
    assert second["loss"] < first["loss"]
    assert int(distiller._step.numpy()) == 1


def test_a_subclassed_student_is_built_by_the_first_batch():
    x, y = data(40)
    student = Subclassed()
    projector = keras_kd.projectors.Dense(6)
    terms = keras_kd.recipes.fitnets(
        pred="student:inner/deep", target="teacher:hidden", projector=projector, weight=1.0
    )
    distiller = make(student=student, terms=terms)
    assert not projector.built
    before = distiller.fit(x, y, verbose=0).history["hint"][0]
    kernel = projector.kernel.numpy().copy()
    after = distiller.fit(x, y, epochs=3, verbose=0).history["hint"][-1]
    assert after < before and not np.allclose(kernel, projector.kernel.numpy())


def test_torch_compiles(backend):
    if backend != "torch" or not os.environ.get("KERAS_KD_SLOW"):
        pytest.skip("torch only, and a minute long: set KERAS_KD_SLOW=1")
    x, y = data(20)
    _, expected = trained(x, y)
    _, history = trained(x, y, jit_compile=True)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-4)
