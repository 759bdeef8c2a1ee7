"""A copy of a model without noise."""

from typing import Any

import keras

from keras_kd.compression._graph import Graph, Step, again

L = keras.layers
#: Of use to a model that learns from few labels, and noise to one whose answers are looked at.
NOISE = (
    L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D, L.AlphaDropout,
    L.GaussianNoise, L.GaussianDropout, L.ActivityRegularization,
)  # fmt: skip
_RATES = ("dropout", "recurrent_dropout")


def still(graph: Graph, prefix: str = "") -> tuple[keras.Model, dict[int, Any]]:
    """A copy with weights of its own, and its layers by the `id` of those they copy.

    It has no dropout, and its layers' names have the prefix.
    """
    made: dict[int, Any] = {}

    def build(step: Step, args: tuple, kwargs: dict[str, Any]) -> Any:
        layer = step.operation
        if isinstance(layer, NOISE):
            return args[0]
        if id(layer) not in made:
            settings = layer.get_config() if isinstance(layer, L.Layer) else {}
            none = {rate: 0.0 for rate in _RATES if settings.get(rate)}
            made[id(layer)] = again(layer, prefix + step.name, **none)
        return made[id(layer)](*args, **kwargs)

    copy = graph.assemble(build, name=prefix + graph.model.name)
    for step in graph.steps:
        if isinstance(made.get(id(step.operation)), L.Layer):
            made[id(step.operation)].set_weights(step.operation.get_weights())
    return copy, made
