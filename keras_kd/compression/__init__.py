"""Compression: students that are smaller still.

Fewer bits (`quantize_aware`), fewer weights (`Pruning`), fewer different weights (`Clustering`),
fewer channels and layers (`shrink`). Each
gives a student that the `Distiller` trains like any other.

Names:
    assign_clusters
        The cluster of each weight, by k-means: weights of one cluster are to have one value.
    Clustering
        Gives the weights of each kernel a few shared values, which are trained.
    compressed_bytes
        The size of a model's weights after gzip, as a device would download them.
    density_centroids
        First centroids with the same number of weights about each of them.
    distant_centroids
        First centroids drawn one after another, far from those before (k-means++).
    FakeQuant
        Rounds what passes to the steps of a range that follows what it sees.
    FoundBits
        What `search_bits` found; `print` shows it as a table.
    GridConv1D
        `keras.layers.Conv1D` with rounded weights.
    GridConv1DTranspose
        `keras.layers.Conv1DTranspose` with rounded weights.
    GridConv2D
        `keras.layers.Conv2D` with rounded weights.
    GridConv2DTranspose
        `keras.layers.Conv2DTranspose` with rounded weights.
    GridDense
        `keras.layers.Dense` with rounded weights.
    GridDepthwiseConv2D
        `keras.layers.DepthwiseConv2D` with rounded weights.
    GridEinsumDense
        `keras.layers.EinsumDense` with rounded weights: a step size for each output of a sum.
    GridEmbedding
        `keras.layers.Embedding` with a rounded table: one step size, from its least to its largest
        entry.
    GridGRU
        `keras.layers.GRU` with rounded weights.
    GridLSTM
        `keras.layers.LSTM` with rounded weights.
    GridMultiHeadAttention
        `keras.layers.MultiHeadAttention` with rounded weights and ranges within.
    GridSimpleRNN
        `keras.layers.SimpleRNN` with rounded weights.
    L1Norm
        The L1 norm of the weights that make a channel: the largest count most.
    LayerBits
        A layer in the table of `FoundBits`.
    LearnedQuant
        Rounds what passes to steps whose size is learnt.
    LearnedSteps
        Step sizes that are learnt along with the weights, for weights and activations.
    linear_centroids
        First centroids at equal distances, from the smallest weight to the largest.
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
    random_centroids
        First centroids that are weights drawn at random, the same for the same weights.
    recover
        A trained model in few bits that answers as it did in float, from images without labels.
    RunningRanges
        Step sizes from what is seen: the largest weight, the running range of an activation.
    search_bits
        How many bits each layer's weights get, so that all fit into a size.
    share_values
        The kernel with the mean of its cluster in the place of each weight.
    shrink
        A smaller student of the same make as a teacher.
    sparsity
        The share of zeros in the kernels that a `Pruning` would prune.
    Taylor
        How much the loss would change without a channel, to the first order, on some examples.
"""

from keras_kd.compression._clustering import Clustering as Clustering
from keras_kd.compression._clustering import assign_clusters as assign_clusters
from keras_kd.compression._clustering import density_centroids as density_centroids
from keras_kd.compression._clustering import distant_centroids as distant_centroids
from keras_kd.compression._clustering import linear_centroids as linear_centroids
from keras_kd.compression._clustering import random_centroids as random_centroids
from keras_kd.compression._clustering import share_values as share_values
from keras_kd.compression._fake_quantization import FakeQuant as FakeQuant
from keras_kd.compression._grid_layers import GridConv1D as GridConv1D
from keras_kd.compression._grid_layers import GridConv1DTranspose as GridConv1DTranspose
from keras_kd.compression._grid_layers import GridConv2D as GridConv2D
from keras_kd.compression._grid_layers import GridConv2DTranspose as GridConv2DTranspose
from keras_kd.compression._grid_layers import GridDense as GridDense
from keras_kd.compression._grid_layers import GridDepthwiseConv2D as GridDepthwiseConv2D
from keras_kd.compression._grid_layers import GridEinsumDense as GridEinsumDense
from keras_kd.compression._grid_layers import GridEmbedding as GridEmbedding
from keras_kd.compression._grid_sequences import GridGRU as GridGRU
from keras_kd.compression._grid_sequences import GridLSTM as GridLSTM
from keras_kd.compression._grid_sequences import GridMultiHeadAttention as GridMultiHeadAttention
from keras_kd.compression._grid_sequences import GridSimpleRNN as GridSimpleRNN
from keras_kd.compression._importance import L1Norm as L1Norm
from keras_kd.compression._importance import Taylor as Taylor
from keras_kd.compression._learned_steps import LearnedQuant as LearnedQuant
from keras_kd.compression._patterns import Magnitude as Magnitude
from keras_kd.compression._patterns import NOfM as NOfM
from keras_kd.compression._patterns import mask as mask
from keras_kd.compression._pruning import Pruning as Pruning
from keras_kd.compression._pruning import compressed_bytes as compressed_bytes
from keras_kd.compression._pruning import sparsity as sparsity
from keras_kd.compression._quantize import plain as plain
from keras_kd.compression._quantize import quantize_aware as quantize_aware
from keras_kd.compression._recover import recover as recover
from keras_kd.compression._search_bits import FoundBits as FoundBits
from keras_kd.compression._search_bits import LayerBits as LayerBits
from keras_kd.compression._search_bits import search_bits as search_bits
from keras_kd.compression._shrink import shrink as shrink
from keras_kd.compression._steps import LearnedSteps as LearnedSteps
from keras_kd.compression._steps import RunningRanges as RunningRanges

__all__ = [
    "Clustering", "FakeQuant", "FoundBits", "GridConv1D", "GridConv1DTranspose",
    "GridConv2D", "GridConv2DTranspose", "GridDense", "GridDepthwiseConv2D",
    "GridEinsumDense", "GridEmbedding", "GridGRU", "GridLSTM", "GridMultiHeadAttention",
    "GridSimpleRNN", "L1Norm", "LayerBits", "LearnedQuant", "LearnedSteps", "Magnitude",
    "NOfM", "Pruning", "RunningRanges", "Taylor", "assign_clusters", "compressed_bytes",
    "density_centroids", "distant_centroids", "linear_centroids", "mask", "plain",
    "quantize_aware", "random_centroids", "recover", "search_bits", "share_values",
    "shrink", "sparsity",
]  # fmt: skip
