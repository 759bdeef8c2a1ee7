"""What `tfmot.sparsity` does here: schedules, masks, errors in time, files."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd
from keras_kd.compat import tfmot
from tests.compat.pictures import compiled, small

sparsity = tfmot.sparsity.keras
HALF = sparsity.ConstantSparsity(0.5, 0, frequency=1)


def zeros(weight):
    return float(np.mean(ops.convert_to_numpy(weight) == 0))


def updates():
    return [sparsity.UpdatePruningStep()]


def test_polynomial_decay_is_the_formula():
    schedule = sparsity.PolynomialDecay(0.2, 0.8, 10, 110, power=2, frequency=50)
    due = [step for step in range(200) if schedule(step)[0]]
    assert due == [10, 60, 110]
    assert schedule(60)[1] == pytest.approx(0.8 - 0.6 * 0.25)
    assert schedule(0)[1] == pytest.approx(0.2) and schedule(200)[1] == pytest.approx(0.8)


def test_constant_sparsity_begins_and_ends():
    schedule = sparsity.ConstantSparsity(0.5, 10, end_step=30, frequency=10)
    assert [step for step in range(60) if schedule(step)[0]] == [10, 20, 30]
    endless = sparsity.ConstantSparsity(0.5, 10)
    assert [step for step in range(400) if endless(step)[0]] == [10, 110, 210, 310]


@pytest.mark.parametrize("schedule", [HALF, sparsity.PolynomialDecay(0.1, 0.9, 2, 9, 2, 3)])
def test_schedules_come_back_from_their_config(schedule):
    again = type(schedule).from_config(schedule.get_config())
    assert [again(step) for step in range(12)] == [schedule(step) for step in range(12)]


def test_zeros_follow_the_schedule_and_stay():
    model, x, y = small()
    schedule = sparsity.PolynomialDecay(0.25, 0.75, 0, 8, frequency=4)
    pruned = compiled(sparsity.prune_low_magnitude(model, schedule), keras.optimizers.Adam(0.05))
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(zeros(pruned.layers[0].layer.kernel))

    pruned.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[*updates(), Look()])
    at_4, at_8 = schedule(4)[1], 0.75
    want = [0.0] * 3 + [at_4] * 4 + [at_8] * 9
    np.testing.assert_allclose(seen, want, atol=1 / 96)


def test_training_without_the_callback_is_an_error_at_any_time():
    """Of a model, before the first step, so that the same model can then be trained."""
    model, x, y = small()
    pruned = compiled(sparsity.prune_low_magnitude(model, HALF))
    before = pruned.get_weights()
    with pytest.raises(RuntimeError, match=r"'sequential.*UpdatePruningStep"):
        pruned.fit(x, y, verbose=0)
    for w, was in zip(pruned.get_weights(), before, strict=True):
        np.testing.assert_array_equal(w, was)
    pruned.fit(x, y, verbose=0, callbacks=updates())
    assert zeros(pruned.layers[0].layer.kernel) == 0.5
    with pytest.raises(RuntimeError, match="UpdatePruningStep"):
        pruned.fit(x, y, verbose=0)


def test_wrapped_layers_notice_it_too():
    """In a model that one wrote: in the first step, and in a second fit."""
    _, x, y = small()

    def network():
        return compiled(
            keras.Sequential(
                [
                    keras.Input((6,)),
                    sparsity.prune_low_magnitude(layers.Dense(4, name="logits"), HALF),
                ]
            )
        )

    with pytest.raises(RuntimeError, match="Layer 'logits' is to be pruned"):
        network().fit(x, y, verbose=0)
    model = network()
    model.fit(x, y, verbose=0, callbacks=updates())
    with pytest.raises(RuntimeError, match="Layer 'logits' is to be pruned"):
        model.fit(x, y, verbose=0)


def test_the_model_stays_as_it_was():
    model, x, y = small()
    before = model.get_weights()
    pruned = compiled(sparsity.prune_low_magnitude(model, HALF))
    np.testing.assert_allclose(pruned.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)
    pruned.fit(x, y, verbose=0, callbacks=updates())
    for w, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(w, was)


def test_a_file_goes_on_where_it_was(tmp_path):
    """Zeros stay zero, and the step of the schedule is in the file."""
    model, x, y = small()
    schedule = sparsity.PolynomialDecay(0.5, 0.75, 0, 12, frequency=4)
    pruned = compiled(sparsity.prune_low_magnitude(model, schedule))
    pruned.fit(x, y, batch_size=16, verbose=0, callbacks=updates())
    pruned.save(tmp_path / "pruned.keras")
    with sparsity.prune_scope():
        loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    assert int(ops.convert_to_numpy(loaded.layers[0].pruning_step)) == 4
    was = ops.convert_to_numpy(loaded.layers[0].layer.kernel) == 0
    assert was.mean() == pytest.approx(schedule(4)[1], abs=1 / 96)
    loaded.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=updates())
    now = ops.convert_to_numpy(loaded.layers[0].layer.kernel) == 0
    assert now.mean() == pytest.approx(0.75, abs=1 / 96) and now[was].all()


def test_a_schedule_of_ones_own_comes_back_from_a_file(tmp_path):
    """Written as tfmot's own are: with tensors, and a config within a config."""

    @keras.saving.register_keras_serializable("compat")
    class Third(sparsity.PruningSchedule):
        def __init__(self, begin_step):
            self.begin_step = begin_step

        def __call__(self, step):
            due = self._should_prune_in_step(step, self.begin_step, -1, 1)
            return ops.convert_to_tensor(due), ops.convert_to_tensor(1 / 3)

        def get_config(self):
            return {"class_name": "Third", "config": {"begin_step": self.begin_step}}

    model, x, y = small()
    pruned = compiled(sparsity.prune_low_magnitude(model, Third(1)))
    pruned.fit(x, y, verbose=0, callbacks=updates())
    assert zeros(pruned.layers[0].layer.kernel) == pytest.approx(1 / 3)
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    assert loaded.layers[0].pruning_schedule.begin_step == 1


def test_what_the_model_was_compiled_with_is_not_copied():
    model, x, y = small()
    model.compile("sgd", lambda y, p: ops.mean(p), metrics=[lambda y, p: ops.max(p)])
    model.fit(x, y, verbose=0)
    pruned = sparsity.prune_low_magnitude(model, HALF)
    assert model.compiled and not pruned.compiled
    model.fit(x, y, verbose=0)


def test_stripped_models_are_plain(tmp_path):
    model, x, y = small()
    pruned = compiled(sparsity.prune_low_magnitude(model, HALF))
    pruned.fit(x, y, verbose=0, callbacks=updates())
    stripped = sparsity.strip_pruning(pruned)
    assert [layer.name for layer in stripped.layers] == ["hidden", "logits"]
    assert {type(layer) for layer in stripped.layers} == {layers.Dense}
    np.testing.assert_allclose(
        stripped.predict(x, verbose=0), pruned.predict(x, verbose=0), rtol=1e-6
    )
    stripped.save(tmp_path / "plain.keras")


def test_blocks_stay_or_go_as_a_whole():
    """By hand: a 4 by 4 matrix in blocks of 2 by 2, half of them gone."""
    layer = sparsity.PruneLowMagnitude(layers.Dense(4), block_size=(2, 2))
    kernel = np.array([[5, 0, 1, 1], [0, 0, 1, 1], [3, 3, 0, 0], [3, 3, 0, 2]], "float32")
    block = np.ones((2, 2))
    np.testing.assert_array_equal(layer.mask_for(kernel, 0.5), np.kron([[1, 0], [1, 0]], block))
    by_largest = sparsity.PruneLowMagnitude(
        layers.Dense(4), block_size=(2, 2), block_pooling_type="MAX"
    )
    np.testing.assert_array_equal(
        by_largest.mask_for(-kernel, 0.25), np.kron([[1, 0], [1, 1]], block)
    )


def test_blocks_that_do_not_fill_the_matrix():
    layer = sparsity.PruneLowMagnitude(layers.Dense(3), block_size=(2, 2))
    kept = layer.mask_for(np.arange(1.0, 16.0).reshape(5, 3), 0.5)
    assert kept.shape == (5, 3) and set(np.unique(kept)) == {0.0, 1.0}
    assert (kept[0, :2] == 0).all() and kept[4, 2] == 1


def test_layers_of_ones_own():
    @keras.saving.register_keras_serializable("compat")
    class Own(layers.Layer, sparsity.PrunableLayer):
        def build(self, shape):
            self.table = self.add_weight(name="table", shape=(shape[-1], 8))

        def call(self, x):
            return ops.matmul(x, self.table)

        def get_prunable_weights(self):
            return [self.table]

    _, x, y = small()
    model = compiled(
        sparsity.prune_low_magnitude(keras.Sequential([keras.Input((6,)), Own()]), HALF)
    )
    model.fit(x, y, verbose=0, callbacks=updates())
    assert zeros(model.layers[0].layer.table) == 0.5

    @keras.saving.register_keras_serializable("compat")
    class Unknown(layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(name="table", shape=(shape[-1], 8))

        def call(self, x):
            return ops.matmul(x, self.table)

    with pytest.raises(ValueError, match=r"'mine' is of class Unknown.*PrunableLayer"):
        sparsity.prune_low_magnitude(keras.Sequential([keras.Input((6,)), Unknown(name="mine")]))


def test_a_policy_chooses_the_layers():
    class Hidden(sparsity.PruningPolicy):
        def allow_pruning(self, layer):
            return layer.name == "hidden"

        def ensure_model_supports_pruning(self, model):
            pass

    pruned = sparsity.prune_low_magnitude(small()[0], HALF, pruning_policy=Hidden())
    names = [layer.name for layer in pruned.layers]
    assert names == ["prune_low_magnitude_hidden", "logits"]


def test_xnnpacks_policy():
    body = [layers.Conv2D(4, 3, name="three"), layers.Conv2D(4, 1, name="one")]
    model = keras.Sequential([keras.Input((8, 8, 3)), *body, layers.GlobalAveragePooling2D()])
    pruned = sparsity.prune_low_magnitude(model, pruning_policy=sparsity.PruneForLatencyOnXNNPack())
    assert [la.name for la in pruned.layers][:2] == ["three", "prune_low_magnitude_one"]
    with pytest.raises(ValueError, match=r"kernel_size=\(1, 1\)"):
        sparsity.prune_low_magnitude(small()[0], pruning_policy=sparsity.PruneForLatencyOnXNNPack())


def test_recurrent_and_nested_models():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(8, name="in")], name="inner")
    entry = keras.Input((5, 3))
    x = layers.LSTM(4, name="lstm")(entry)
    model = keras.Model(entry, layers.Dense(2, name="out")(inner(x)))
    pruned = sparsity.prune_low_magnitude(model, HALF)
    pruned.compile("sgd", "mse")
    pruned.fit(np.ones((8, 5, 3)), np.ones((8, 2)), verbose=0, callbacks=updates())
    plain = sparsity.strip_pruning(pruned)
    assert keras_kd.compression.sparsity(plain) == pytest.approx(0.5, abs=0.02)
    assert [la.name for la in plain.get_layer("inner").layers] == ["in"]


def test_under_a_distiller_the_student_is_pruned():
    model, x, y = small()
    student = sparsity.prune_low_magnitude(model, HALF)
    distiller = compiled(keras_kd.Distiller(student=student, teacher=model))
    with pytest.raises(RuntimeError, match="UpdatePruningStep"):
        distiller.fit(x, y, verbose=0)
    history = distiller.fit(x, y, verbose=0, callbacks=updates()).history
    assert history["sparsity"] == [pytest.approx(0.5, abs=0.01)]
    assert keras_kd.compression.sparsity(model) == 0.0


def test_a_loop_of_ones_own():
    """As in the guide's "comprehensive": the callbacks are called by hand."""
    if keras.config.backend() != "tensorflow":
        pytest.skip("the loop is TensorFlow's")
    import tensorflow as tf

    model, x, y = small()
    pruned = sparsity.prune_low_magnitude(model, HALF)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam()
    step_callback = sparsity.UpdatePruningStep()
    step_callback.set_model(pruned)
    step_callback.on_train_begin()
    for _ in range(2):
        for i in range(0, 64, 16):
            step_callback.on_train_batch_begin(batch=-1)
            with tf.GradientTape() as tape:
                value = loss(y[i : i + 16], pruned(x[i : i + 16], training=True))
            gradients = tape.gradient(value, pruned.trainable_variables)
            optimizer.apply_gradients(zip(gradients, pruned.trainable_variables, strict=True))
        step_callback.on_epoch_end(batch=-1)
    assert zeros(pruned.layers[0].layer.kernel) == 0.5


def test_summaries_are_written(tmp_path):
    model, x, y = small()
    try:
        import tensorboard  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(ModuleNotFoundError, match="pip install tensorboard"):
            sparsity.PruningSummaries(log_dir=tmp_path)
        return
    pruned = compiled(sparsity.prune_low_magnitude(model, HALF))
    summaries = sparsity.PruningSummaries(log_dir=tmp_path)
    pruned.fit(x, y, verbose=0, callbacks=[*updates(), summaries])
    files = [path.read_bytes() for path in tmp_path.rglob("events*")]
    assert any(b"prune_low_magnitude_hidden/sparsity" in held for held in files)


def test_too_short_a_training_is_told():
    model, x, y = small()
    pruned = compiled(sparsity.prune_low_magnitude(model))  # by default every 100 steps
    with pytest.warns(UserWarning, match="0.000, less than its schedule asks for"):
        pruned.fit(x, y, verbose=0, callbacks=updates())


def test_nothing_to_prune_is_told():
    model, x, y = small()
    with pytest.warns(UserWarning, match="found nothing to prune"):
        compiled(model).fit(x, y, verbose=0, callbacks=updates())
    with pytest.raises(ValueError, match="Nothing to prune"):
        sparsity.prune_low_magnitude(keras.Sequential([keras.Input((3,)), layers.ReLU()]))


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"block_pooling_type": "SUM"}, "must be 'AVG' or 'MAX'"),
        ({"block_size": 4}, "`block_size` must be two whole numbers"),
        ({"sparsity_m_by_n": (4, 2)}, "`sparsity_m_by_n` must be a whole number from 1 to 1"),
        ({"sparsity_m_by_n": (2, 4)}, "'hidden'.*cannot have the pattern"),
        ({"pruning_schedule": 0.5}, "`pruning_schedule` must be a PruningSchedule"),
    ],
)
def test_bad_arguments(arguments, says):
    with pytest.raises(ValueError, match=says):
        sparsity.prune_low_magnitude(small()[0], **arguments)


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: sparsity.ConstantSparsity(1.0, 0), "`target_sparsity` must be a share"),
        (lambda: sparsity.ConstantSparsity(0.5, -1), "`begin_step` must be a whole number"),
        (lambda: sparsity.ConstantSparsity(0.5, 0, frequency=0), "`frequency` must be"),
        (lambda: sparsity.PolynomialDecay(0.1, 0.5, 0, -1), "`end_step` must be"),
        (lambda: sparsity.PolynomialDecay(0.1, 0.5, 10, 5), "must not be before `begin_step`"),
        (lambda: sparsity.prune_low_magnitude("model"), "`to_prune` must be a layer"),
        (lambda: sparsity.strip_pruning("model"), "takes a keras.Model"),
    ],
)  # fmt: skip
def test_bad_numbers_and_things(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_attention_is_not_wrapped():
    entry = keras.Input((4, 6))
    model = keras.Model(entry, layers.MultiHeadAttention(2, 3, name="heads")(entry, entry))
    with pytest.raises(ValueError, match=r"does not wrap layer 'heads'.*compression.Pruning"):
        sparsity.prune_low_magnitude(model)
