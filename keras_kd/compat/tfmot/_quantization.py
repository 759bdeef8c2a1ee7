"""`quantize_model` and what goes with it."""

from typing import Any

import keras

from keras_kd import compression
from keras_kd._core.keras_private import input_shape_argument
from keras_kd._core.registry import serializable
from keras_kd.compat.tfmot._copies import check_wired, copied
from keras_kd.compat.tfmot._quantize_configs import QuantizeConfig, check_config, weight_bits_of
from keras_kd.compat.tfmot._schemes import (
    Default8BitQuantizeScheme,
    QuantizeScheme,
    check_scheme,
)


@serializable
class QuantizeAnnotate(keras.layers.Wrapper):
    """A layer that `quantize_apply` is to quantize. It computes what the layer computes.

    Args:
        layer: The layer.
        quantize_config: A `QuantizeConfig` for it, or `None`.
        **kwargs: As in `keras.layers.Layer`.
    """

    def __init__(
        self, layer: keras.Layer, quantize_config: QuantizeConfig | None = None, **kwargs: Any
    ):
        shape = input_shape_argument(layer)
        if shape is not None:
            kwargs.setdefault("input_shape", shape)
        kwargs["name"] = f"quantize_annotate_{layer.name}"
        super().__init__(layer, **kwargs)
        self.quantize_config = quantize_config
        self.supports_masking = True

    def call(self, inputs: Any, **kwargs: Any) -> Any:
        return self.layer(inputs, **kwargs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        config = keras.saving.serialize_keras_object(self.quantize_config)
        return {**super().get_config(), "quantize_config": config}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        config = dict(config)
        for name in ("layer", "quantize_config"):
            config[name] = keras.saving.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)


def quantize_annotate_layer(
    to_annotate: keras.Layer, quantize_config: QuantizeConfig | None = None
) -> QuantizeAnnotate:
    """The layer, marked for `quantize_apply` to quantize; layers without a mark stay in float.

    Args:
        to_annotate: The layer.
        quantize_config: A `QuantizeConfig`, of which the bits of the weights are read. Defaults to
            `None`, 8 bits.

    Returns:
        A layer that computes the same.

    Raises:
        ValueError: If `to_annotate` is no layer, or `quantize_config` no `QuantizeConfig`.
    """
    if not isinstance(to_annotate, keras.layers.Layer) or isinstance(to_annotate, keras.Model):
        raise ValueError(
            "`to_annotate` must be a layer (quantize_annotate_model is for models). Received: "
            f"{to_annotate!r} of type {type(to_annotate).__name__}."
        )
    check_config(quantize_config)
    return QuantizeAnnotate(to_annotate, quantize_config)


def quantize_annotate_model(to_annotate: keras.Model) -> keras.Model:
    """A copy of the model with every layer marked for `quantize_apply`.

    Args:
        to_annotate: A Sequential or Functional model.

    Returns:
        A model that computes the same, not compiled.

    Raises:
        ValueError: If `to_annotate` is no such model.
    """

    def bare(layer: keras.Layer) -> keras.Layer:
        return layer.layer if isinstance(layer, QuantizeAnnotate) else layer

    def marked(layer: keras.Layer, copy: keras.Layer) -> keras.Layer:
        if isinstance(layer, keras.layers.InputLayer):
            return copy
        return QuantizeAnnotate(copy, getattr(layer, "quantize_config", None))

    return copied(to_annotate, "quantize_annotate_model()", inside=bare, around=marked)


def quantize_apply(
    model: keras.Model,
    scheme: QuantizeScheme = Default8BitQuantizeScheme(),  # noqa: B008, never changed
    quantized_layer_name_prefix: str = "quant_",
) -> keras.Model:
    """A copy of a model in which the marked layers compute as they will in an int8 file.

    It is what `keras_kd.compression.quantize_aware` returns: train it on, and write the file with
    TensorFlow's converter, or with `keras_kd.export`, which also proves it:
    `keras_kd.export(keras_kd.compression.plain(model), "model.tflite", quantization="int8")`.
    The model stays as it was.

    Args:
        model: A built model with layers marked by `quantize_annotate_layer` or
            `quantize_annotate_model`.
        scheme: `Default8BitQuantizeScheme`, `DefaultNBitQuantizeScheme`, or one of
            `tfmot.experimental.combine`. Defaults to the first.
        quantized_layer_name_prefix: Stands before the names of the layers. Defaults to `"quant_"`.

    Returns:
        A Functional model, not compiled.

    Raises:
        ValueError: If no layer is marked, or a layer has no quantized form.
        NotImplementedError: If `scheme` or what a `QuantizeConfig` asks for has no counterpart.
    """
    check_scheme(scheme)
    check_wired(model, "quantize_apply()")
    if not model.built:
        raise ValueError(
            f"quantize_apply() takes a built model. Start '{model.name}' with keras.Input(...), or "
            "call model.build(input_shape)."
        )
    bits: dict[str, int | None] = {}
    marks = 0

    def bare(layer: keras.Layer) -> keras.Layer:
        nonlocal marks
        if not isinstance(layer, QuantizeAnnotate):
            if not isinstance(layer, keras.layers.InputLayer):
                bits[layer.name] = None
            return layer
        marks += 1
        if layer.quantize_config is not None:
            own = weight_bits_of(layer.quantize_config, layer.layer)
            if own is not None:
                bits[layer.layer.name] = own
        return layer.layer

    plain = copied(model, "quantize_apply()", inside=bare)
    if not marks:
        raise ValueError(
            f"No layer of '{model.name}' is marked: use quantize_annotate_layer or "
            "quantize_annotate_model before, or quantize_model in place of both."
        )
    aware = compression.quantize_aware(
        plain, weight_bits=scheme.weight_bits, activation_bits=scheme.activation_bits, bits=bits
    )
    return _renamed(aware, quantized_layer_name_prefix or "")


def quantize_model(
    to_quantize: keras.Model, quantized_layer_name_prefix: str = "quant_"
) -> keras.Model:
    """A copy of a model that computes as its int8 file will, and can be trained like that.

    As `quantize_apply` of a model whose layers are all marked.

    Args:
        to_quantize: A built Sequential or Functional model.
        quantized_layer_name_prefix: Stands before the names of the layers. Defaults to `"quant_"`.

    Returns:
        A Functional model, not compiled.

    Raises:
        ValueError: If a layer has no quantized form, or `to_quantize` is no such model.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="score")])
    >>> aware = keras_kd.compat.tfmot.quantization.keras.quantize_model(model)
    >>> aware.get_layer("quant_score").bits
    8

    Reference: Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877, section 3.
    """
    check_wired(to_quantize, "quantize_model()")
    if not to_quantize.built:
        raise ValueError(
            f"quantize_model() takes a built model. Start '{to_quantize.name}' with "
            "keras.Input(...), or call model.build(input_shape)."
        )
    return _renamed(compression.quantize_aware(to_quantize), quantized_layer_name_prefix or "")


def quantize_scope(*args: Any) -> Any:
    """The scope in which files with quantized layers are loaded. `keras.saving.load_model` finds
    them without it too; a scope is needed for a `QuantizeConfig` of your own.

    Args:
        *args: Dicts of your own classes by name.
    """
    return keras.saving.custom_object_scope(
        {
            "QuantizeAnnotate": QuantizeAnnotate,
            **{name: kind for given in args for name, kind in given.items()},
        }
    )


def _renamed(model: keras.Model, prefix: str) -> keras.Model:
    """The model with the prefix before its layers' names; ranges keep theirs."""
    if not prefix:
        return model

    def name(layer: keras.Layer) -> str:
        return layer.name if isinstance(layer, compression.FakeQuant) else prefix + layer.name

    return copied(model, "quantize_model()", name=name)
