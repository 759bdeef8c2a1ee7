"""What `tfmot.quantization` does here, and what it refuses before anything is trained."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd.compat import tfmot
from tests.compat.pictures import compiled, small
from tests.project import older_than

quantization = tfmot.quantization.keras
Last = quantization.quantizers.LastValueQuantizer
Moving = quantization.quantizers.MovingAverageQuantizer

if older_than("3.9"):
    pytest.skip("rounds by what Keras 3.9 brought", allow_module_level=True)


def config(weights=None, activations=None, outputs=()):
    """A QuantizeConfig that names these quantizers."""

    @keras.saving.register_keras_serializable("compat")
    class Own(quantization.QuantizeConfig):
        def get_weights_and_quantizers(self, layer):
            return [(layer.kernel, q) for q in (weights or [])]

        def get_activations_and_quantizers(self, layer):
            return [(layer.activation, q) for q in (activations or [])]

        def get_output_quantizers(self, layer):
            return list(outputs)

    return Own()


def annotated(quantize_config=None):
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8, activation="relu", name="hidden"),
            quantization.quantize_annotate_layer(layers.Dense(4, name="logits"), quantize_config),
        ]
    )


EIGHT = Moving(8, per_axis=False, symmetric=False, narrow_range=False)


def weight(bits):
    return Last(bits, per_axis=False, symmetric=True, narrow_range=True)


def test_a_quantized_model_is_close_and_trains():
    model, x, y = small()
    aware = compiled(quantization.quantize_model(model), keras.optimizers.Adam(0.01))
    history = aware.fit(x, y, epochs=6, batch_size=16, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_names_have_the_prefix_that_is_asked_for():
    model = small()[0]
    assert quantization.quantize_model(model).get_layer("quant_hidden")
    assert quantization.quantize_model(model, "q8_").get_layer("q8_hidden")
    assert quantization.quantize_model(model, "").get_layer("hidden")
    assert quantization.quantize_model(model, None).get_layer("hidden")


def test_layers_without_a_mark_stay_in_float():
    aware = quantization.quantize_apply(annotated())
    assert type(aware.get_layer("quant_hidden")) is layers.Dense
    assert aware.get_layer("quant_logits").bits == 8


def test_an_annotated_model_computes_the_same():
    model, x, _ = small()
    marked = quantization.quantize_annotate_model(model)
    np.testing.assert_allclose(marked.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-6)


def test_an_annotated_model_comes_back_from_a_file(tmp_path):
    model = annotated(config([weight(4)], [EIGHT]))
    model.save(tmp_path / "marked.keras")
    with quantization.quantize_scope():
        loaded = keras.saving.load_model(tmp_path / "marked.keras")
    assert quantization.quantize_apply(loaded).get_layer("quant_logits").bits == 4


def test_an_aware_model_comes_back_from_a_file(tmp_path):
    model, x, y = small()
    aware = compiled(quantization.quantize_model(model))
    aware.fit(x, y, verbose=0)
    aware.save(tmp_path / "aware.keras")
    loaded = keras.saving.load_model(tmp_path / "aware.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), aware.predict(x, verbose=0), rtol=1e-6)


def test_n_bits():
    scheme = quantization.experimental.default_n_bit.DefaultNBitQuantizeScheme(
        num_bits_weight=4, num_bits_activation=6
    )
    aware = quantization.quantize_apply(quantization.quantize_annotate_model(small()[0]), scheme)
    assert aware.get_layer("quant_hidden").bits == 4
    assert {layer.bits for layer in aware.layers if "range" in layer.name} == {6}


@pytest.mark.parametrize(
    "own, says",
    [
        (config([weight(8)]), "rounds weights and no activation"),
        (config([EIGHT], [EIGHT]), "names the quantizer MovingAverageQuantizer.*LastValue"),
        (config([weight(8)], [weight(8)]), "for an activation names the quantizer LastValue"),
        (
            config([weight(8)], [Moving(4, False, False, False)]),
            r"gives an activation 4 bits.*activation_bits=4",
        ),
        (config([weight(4), weight(8)], [EIGHT]), "different numbers of bits"),
    ],
)
def test_configs_without_a_counterpart(own, says):
    with pytest.raises(ValueError, match=says):
        quantization.quantize_apply(annotated(own))


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: quantization.quantize_model(None), "takes a keras.Model"),
        (lambda: quantization.quantize_annotate_layer("dense"), "`to_annotate` must be a layer"),
        (
            lambda: quantization.quantize_annotate_layer(layers.Dense(2), "config"),
            "`quantize_config` must be",
        ),
        (lambda: quantization.quantize_apply(small()[0]), "No layer of .* is marked"),
        (
            lambda: quantization.quantize_model(keras.Sequential([layers.Dense(2)])),
            "takes a built model",
        ),
        (
            lambda: quantization.quantize_model(quantization.quantize_model(small()[0])),
            "quantised already",
        ),
    ],
)
def test_bad_input(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_schemes_without_a_counterpart():
    class Own(quantization.QuantizeScheme):
        pass

    with pytest.raises(NotImplementedError, match="`scheme` Own has no counterpart"):
        quantization.quantize_apply(annotated(), Own())
    with pytest.raises(NotImplementedError, match="disable_per_axis=True has no counterpart"):
        quantization.default_8bit.Default8BitQuantizeScheme(disable_per_axis=True)
