"""The ways that tfmot's guides lead, with nothing but the import changed."""

import gzip
import os
import tempfile

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.compat import tfmot
from tests.compat.pictures import compiled, distinct, network, pictures
from tests.project import needs_keras

only_tensorflow = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="tf.lite converts models of TensorFlow"
)


@pytest.fixture(scope="module")
def trained():
    """The guides' first step, once: weights and accuracy of the float model."""
    keras.utils.set_random_seed(0)
    (x, y), (x_test, y_test) = pictures()
    model = compiled(network())
    model.fit(x, y, epochs=2, validation_split=0.1, verbose=0)
    return model.get_weights(), model.evaluate(x_test, y_test, verbose=0)[1]


@pytest.fixture
def baseline(trained):
    model = compiled(network())
    model.set_weights(trained[0])
    return model, trained[1]


def zipped(path):
    with open(path, "rb") as file:
        return len(gzip.compress(file.read(), mtime=0))


def answers(content, x):
    """What a .tflite file answers, one example at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    out = interpreter.get_output_details()[0]["index"]
    rows = []
    for one in x:
        interpreter.set_tensor(entry, one[None].astype("float32"))
        interpreter.invoke()
        rows.append(interpreter.get_tensor(out)[0])
    return np.array(rows)


def converted(model, *, optimized):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if optimized:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def test_pruning_in_keras_with_magnitudes(baseline):
    """The guide "Pruning in Keras example": .5 to .8 over two epochs, stripped, three times smaller.

    The guide ends at the share of the last step that is a multiple of `frequency`; so does this."""
    (x, y), (x_test, y_test) = pictures()
    model, accuracy = baseline
    prune_low_magnitude = tfmot.sparsity.keras.prune_low_magnitude
    batch_size, epochs, validation_split = 32, 2, 0.1
    images = x.shape[0] * (1 - validation_split)
    end_step = np.ceil(images / batch_size).astype(np.int32) * epochs
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.50, final_sparsity=0.80, begin_step=0, end_step=end_step
    )
    model_for_pruning = prune_low_magnitude(model, pruning_schedule=schedule)
    compiled(model_for_pruning)
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    model_for_pruning.fit(
        x, y, batch_size=batch_size, epochs=epochs, validation_split=validation_split,
        callbacks=callbacks, verbose=0,
    )  # fmt: skip
    assert model_for_pruning.evaluate(x_test, y_test, verbose=0)[1] > accuracy - 0.03

    model_for_export = tfmot.sparsity.keras.strip_pruning(model_for_pruning)
    _, folder = None, tempfile.mkdtemp()
    whole, pruned = os.path.join(folder, "whole.keras"), os.path.join(folder, "pruned.keras")
    model.save(whole, include_optimizer=False)
    model_for_export.save(pruned, include_optimizer=False)
    assert zipped(whole) > 2.5 * zipped(pruned)
    wanted = 0.8 - 0.3 * (1 - 300 / int(end_step)) ** 3
    assert keras_kd.compression.sparsity(model_for_export) == pytest.approx(wanted, abs=1e-3)
    assert type(model_for_export.layers[1]) is keras.layers.Conv2D


@only_tensorflow
def test_pruned_models_are_converted(baseline):
    pytest.importorskip("ai_edge_litert")
    _, (x_test, _) = pictures()
    model = tfmot.sparsity.keras.strip_pruning(
        tfmot.sparsity.keras.prune_low_magnitude(baseline[0])
    )
    got = answers(converted(model, optimized=False), x_test[:20])
    np.testing.assert_allclose(got, baseline[0].predict(x_test[:20], verbose=0), atol=1e-4)


def test_pruning_some_layers(baseline):
    """The guide's "comprehensive": a clone_function wraps the dense layers alone."""
    (x, y), (x_test, y_test) = pictures()
    base_model, accuracy = baseline

    def apply_pruning_to_dense(layer):
        if isinstance(layer, keras.layers.Dense):
            return tfmot.sparsity.keras.prune_low_magnitude(layer)
        return layer

    model_for_pruning = keras.models.clone_model(base_model, clone_function=apply_pruning_to_dense)
    names = [layer.name.rsplit("_", 1)[0] for layer in model_for_pruning.layers]
    assert sum("prune_low_magnitude" in name for name in names) == 1
    compiled(model_for_pruning)
    model_for_pruning.fit(
        x[:4000], y[:4000], epochs=1, verbose=0,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
    )  # fmt: skip
    assert model_for_pruning.evaluate(x_test, y_test, verbose=0)[1] > accuracy - 0.05
    kernel = model_for_pruning.layers[-1].layer.kernel
    assert np.mean(keras.ops.convert_to_numpy(kernel) == 0) == pytest.approx(0.5, abs=1e-3)


def test_structural_pruning_2_by_4():
    """The guide of 2 by 4: layers wrapped one by one, some with a share and some with a pattern."""
    (x, y), _ = pictures()
    prune_low_magnitude = tfmot.sparsity.keras.prune_low_magnitude
    by_share = {
        "pruning_schedule": tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0, frequency=20)
    }
    by_pattern = {"sparsity_m_by_n": (2, 4), **by_share}
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            prune_low_magnitude(
                layers.Conv2D(8, 5, padding="same", activation="relu", name="half"), **by_share
            ),
            layers.MaxPooling2D((2, 2), (2, 2), padding="same"),
            prune_low_magnitude(
                layers.Conv2D(8, 5, padding="same", name="structural"), **by_pattern
            ),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D((4, 4), (4, 4), padding="same"),
            layers.Flatten(),
            prune_low_magnitude(layers.Dense(32, activation="relu", name="dense"), **by_pattern),
            layers.Dropout(0.4),
            layers.Dense(10),
        ]
    )
    compiled(model)
    model.fit(
        x[:1000, ..., None], y[:1000], batch_size=32, verbose=0,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
    )  # fmt: skip
    model = tfmot.sparsity.keras.strip_pruning(model)
    for name in ("structural", "dense"):
        kernel = keras.ops.convert_to_numpy(model.get_layer(name).kernel)
        blocks = kernel.reshape(-1, 4, kernel.shape[-1])
        assert ((blocks == 0).sum(axis=1) == 2).all()


@needs_keras("3.9")
def test_quantization_aware_training(baseline):
    """The guide "Quantization aware training in Keras example": one epoch on a subset."""
    (x, y), (x_test, y_test) = pictures()
    model, accuracy = baseline
    quantize_model = tfmot.quantization.keras.quantize_model
    q_aware_model = quantize_model(model)
    compiled(q_aware_model)
    q_aware_model.fit(x[:1000], y[:1000], batch_size=500, epochs=1, validation_split=0.1, verbose=0)
    assert q_aware_model.evaluate(x_test, y_test, verbose=0)[1] > accuracy - 0.02
    assert "quant_" in q_aware_model.layers[-2].name


@only_tensorflow
@needs_keras("3.9")
def test_a_quantized_model_is_converted_as_it_is(baseline):
    """The guide's next step: the converter takes the aware model; the file is int8 within, four
    times smaller, and answers as the model does."""
    pytest.importorskip("ai_edge_litert")
    (x, y), (x_test, _) = pictures()
    model, _ = baseline
    q_aware_model = compiled(tfmot.quantization.keras.quantize_model(model))
    q_aware_model.fit(x[:1000], y[:1000], batch_size=500, epochs=1, verbose=0)
    file = converted(q_aware_model, optimized=True)
    assert len(file) < len(converted(model, optimized=False)) / 3
    got, wanted = answers(file, x_test[:300]), q_aware_model.predict(x_test[:300], verbose=0)
    assert (got.argmax(-1) == wanted.argmax(-1)).mean() >= 0.99


@needs_keras("3.9")
def test_quantizing_some_layers(baseline):
    """The guide's "comprehensive": `quantize_annotate_layer` in a clone_function, then `apply`."""
    (x, y), (x_test, y_test) = pictures()
    base_model, accuracy = baseline

    def apply_quantization_to_dense(layer):
        if isinstance(layer, keras.layers.Dense):
            return tfmot.quantization.keras.quantize_annotate_layer(layer)
        return layer

    annotated_model = keras.models.clone_model(
        base_model, clone_function=apply_quantization_to_dense
    )
    quant_aware_model = tfmot.quantization.keras.quantize_apply(annotated_model)
    kinds = [type(layer).__name__ for layer in quant_aware_model.layers]
    assert "GridDense" in kinds and "Conv2D" in kinds and "GridConv2D" not in kinds
    compiled(quant_aware_model)
    quant_aware_model.fit(x[:1000], y[:1000], batch_size=500, verbose=0)
    assert quant_aware_model.evaluate(x_test, y_test, verbose=0)[1] > accuracy - 0.02


@needs_keras("3.9")
def test_a_config_of_ones_own(baseline):
    """The guide's experiment with 4 bits: the class is as the guide has it."""
    LastValueQuantizer = tfmot.quantization.keras.quantizers.LastValueQuantizer
    MovingAverageQuantizer = tfmot.quantization.keras.quantizers.MovingAverageQuantizer

    class ModifiedDenseQuantizeConfig(tfmot.quantization.keras.QuantizeConfig):
        def get_weights_and_quantizers(self, layer):
            rounded = LastValueQuantizer(
                num_bits=4, symmetric=True, narrow_range=False, per_axis=False
            )
            return [(layer.kernel, rounded)]

        def get_activations_and_quantizers(self, layer):
            follows = MovingAverageQuantizer(
                num_bits=8, symmetric=False, narrow_range=False, per_axis=False
            )
            return [(layer.activation, follows)]

        def set_quantize_weights(self, layer, quantize_weights):
            layer.kernel = quantize_weights[0]

        def set_quantize_activations(self, layer, quantize_activations):
            layer.activation = quantize_activations[0]

        def get_output_quantizers(self, layer):
            return []

        def get_config(self):
            return {}

    quantize_annotate_layer = tfmot.quantization.keras.quantize_annotate_layer
    model = tfmot.quantization.keras.quantize_annotate_model(
        keras.Sequential(
            [
                keras.Input((20,)),
                quantize_annotate_layer(
                    keras.layers.Dense(20, name="four"), ModifiedDenseQuantizeConfig()
                ),
                keras.layers.Flatten(),
            ]
        )
    )
    with tfmot.quantization.keras.quantize_scope(
        {"ModifiedDenseQuantizeConfig": ModifiedDenseQuantizeConfig}
    ):
        quant_aware_model = tfmot.quantization.keras.quantize_apply(model)
    assert quant_aware_model.get_layer("quant_four").bits == 4


def test_weight_clustering(baseline):
    """The guide "Weight clustering in Keras example": 16 values from a linear start, one epoch."""
    (x, y), (x_test, y_test) = pictures()
    model, accuracy = baseline
    cluster_weights = tfmot.clustering.keras.cluster_weights
    CentroidInitialization = tfmot.clustering.keras.CentroidInitialization
    clustering_params = {
        "number_of_clusters": 16,
        "cluster_centroids_init": CentroidInitialization.LINEAR,
    }
    clustered_model = cluster_weights(model, **clustering_params)
    compiled(clustered_model, keras.optimizers.Adam(learning_rate=1e-5))
    clustered_model.fit(x, y, batch_size=500, epochs=1, validation_split=0.1, verbose=0)
    assert clustered_model.evaluate(x_test, y_test, verbose=0)[1] > accuracy - 0.02

    final_model = tfmot.clustering.keras.strip_clustering(clustered_model)
    assert max(distinct(final_model)) <= 16
    size = keras_kd.compression.compressed_bytes
    assert size(model) > 4 * size(final_model)


@needs_keras("3.9")
def test_pruning_preserving_quantization(baseline):
    """The guide "Pruning preserving QAT": zeros of the pruned model are zeros in the quantized one.

    There, plain QAT loses them and the scheme keeps them. Here both keep them."""
    (x, y), (x_test, y_test) = pictures()
    model, accuracy = baseline
    prune_low_magnitude = tfmot.sparsity.keras.prune_low_magnitude
    pruned_model = prune_low_magnitude(
        model,
        pruning_schedule=tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0, frequency=100),
    )
    compiled(pruned_model, keras.optimizers.Adam(learning_rate=1e-5))
    pruned_model.fit(
        x, y, epochs=1, validation_split=0.1, verbose=0,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
    )  # fmt: skip
    stripped = tfmot.sparsity.keras.strip_pruning(pruned_model)
    annotated = tfmot.quantization.keras.quantize_annotate_model(stripped)
    pqat_model = tfmot.quantization.keras.quantize_apply(
        annotated, tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    )
    qat_model = tfmot.quantization.keras.quantize_model(stripped)
    for aware in (pqat_model, qat_model):
        compiled(aware)
        aware.fit(x[:3200], y[:3200], batch_size=128, epochs=1, verbose=0)
        plain = keras_kd.compression.plain(aware)
        assert keras_kd.compression.sparsity(plain) >= 0.5
        assert aware.evaluate(x_test, y_test, verbose=0)[1] > accuracy - 0.03
