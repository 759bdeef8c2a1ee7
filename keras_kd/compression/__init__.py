"""Compression: students that are smaller still.

Fewer bits (`quantize_aware`), fewer weights (`Pruning`), fewer channels and layers (`shrink`). Each
gives a student that the `Distiller` trains like any other.

Names:
    compressed_bytes
        The size of a model's weights after gzip, as a device would download them.
    FakeQuant
        Rounds what passes to the steps of a range that follows what it sees.
    GridConv1D
        `keras.layers.Conv1D` with rounded weights.
    GridConv2D
        `keras.layers.Conv2D` with rounded weights.
    GridDense
        `keras.layers.Dense` with rounded weights.
    GridDepthwiseConv2D
        `keras.layers.DepthwiseConv2D` with rounded weights.
    L1Norm
        The L1 norm of the weights that make a channel: the largest count most.
    Magnitude
        Any weights of a kernel may go: the smallest do.
    mask
        1 where a weight stays and 0 where it goes: the smallest of those that may go.
    NOfM
        In each block of `of` weights that are summed one after another, the largest `keep` stay.
    plain
        The plain Keras student inside one made by `quantize_aware`, for export to int8.
    Pruning
        Sets the smallest weights to zero, little by little, while a model is trained.
    quantize_aware
        A copy of a student that computes as its int8 file will, and can be trained like that.
    recover
        A trained model in few bits that answers as it did in float, from images without labels.
    shrink
        A smaller student of the same make as a teacher.
    sparsity
        The share of zeros in the kernels that a `Pruning` would prune.
    Taylor
        How much the loss would change without a channel, to the first order, on some examples.
"""

from keras_kd.compression._fake_quantization import FakeQuant as FakeQuant
from keras_kd.compression._fake_quantization import GridConv1D as GridConv1D
from keras_kd.compression._fake_quantization import GridConv2D as GridConv2D
from keras_kd.compression._fake_quantization import GridDense as GridDense
from keras_kd.compression._fake_quantization import GridDepthwiseConv2D as GridDepthwiseConv2D
from keras_kd.compression._importance import L1Norm as L1Norm
from keras_kd.compression._importance import Taylor as Taylor
from keras_kd.compression._patterns import Magnitude as Magnitude
from keras_kd.compression._patterns import NOfM as NOfM
from keras_kd.compression._patterns import mask as mask
from keras_kd.compression._pruning import Pruning as Pruning
from keras_kd.compression._pruning import compressed_bytes as compressed_bytes
from keras_kd.compression._pruning import sparsity as sparsity
from keras_kd.compression._quantize import plain as plain
from keras_kd.compression._quantize import quantize_aware as quantize_aware
from keras_kd.compression._recover import recover as recover
from keras_kd.compression._shrink import shrink as shrink

__all__ = [
    "FakeQuant", "GridConv1D", "GridConv2D", "GridDense", "GridDepthwiseConv2D", "L1Norm",
    "Magnitude", "NOfM", "Pruning", "Taylor", "compressed_bytes", "mask", "plain",
    "quantize_aware", "recover", "shrink", "sparsity",
]  # fmt: skip
