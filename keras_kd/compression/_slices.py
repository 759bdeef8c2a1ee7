"""A layer's weights, less the channels that are gone."""

import keras
import numpy as np

from keras_kd.compression._channels import DEPTHWISE, MAKERS

L = keras.layers
_TRANSPOSED = (L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose)
_SEPARABLE = (L.SeparableConv1D, L.SeparableConv2D)
_RECURRENT = (L.LSTM, L.GRU, L.SimpleRNN)


def per_channel(layer: keras.Layer, numbers: list[np.ndarray]) -> np.ndarray:
    """For each channel that the layer makes, the sum over the kernels' weights that make it, of
    numbers given for every weight of the layer."""
    kernels = [w for w in numbers if w.ndim > 1]
    if isinstance(layer, _SEPARABLE):
        kernels = kernels[1:]
    if isinstance(layer, _RECURRENT):  # the gates of a unit are columns, one block after another
        kernels = [k.reshape(-1, k.shape[-1] // layer.units, layer.units) for k in kernels[:2]]
    out = -2 if isinstance(layer, _TRANSPOSED) else -1
    return sum(np.moveaxis(k, out, -1).reshape(-1, k.shape[out]).sum(0) for k in kernels)


def sliced(layer: keras.Layer, ins: np.ndarray, outs: np.ndarray) -> list[np.ndarray]:
    """The layer's weights; `ins` and `outs` are true for the channels that stay."""
    weights = layer.get_weights()
    if ins.all() and outs.all():
        return weights
    if isinstance(layer, _SEPARABLE):
        depthwise, pointwise, *bias = weights
        between = np.repeat(ins, layer.depth_multiplier)
        pointwise = pointwise[..., between, :][..., outs]
        return [depthwise[..., ins, :], pointwise, *(b[outs] for b in bias)]
    if isinstance(layer, DEPTHWISE):
        kernel, *bias = weights
        return [kernel[..., ins, :], *(b[outs] for b in bias)]
    if isinstance(layer, _TRANSPOSED):
        kernel, *bias = weights
        return [kernel[..., outs, :][..., ins], *(b[outs] for b in bias)]
    if isinstance(layer, _RECURRENT):
        kernel, recurrent, *bias = weights
        gates = np.tile(outs, kernel.shape[-1] // layer.units)
        return [kernel[ins][:, gates], recurrent[outs][:, gates], *(b[..., gates] for b in bias)]
    if isinstance(layer, L.Embedding):
        return [w[:, outs] for w in weights]
    if type(layer) in MAKERS:
        kernel, *bias = weights
        return [kernel[..., ins, :][..., outs], *(b[outs] for b in bias)]
    return [w[..., outs] if w.ndim and w.shape[-1] == len(outs) else w for w in weights]
