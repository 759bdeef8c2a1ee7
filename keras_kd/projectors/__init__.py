"""Projectors: layers that own every weight which is neither student nor teacher.

Any `keras.layers.Layer` can stand as a projector; these are the ones that papers use. Some of them
map a signal to the shape of another and are given both, as
`Term(..., pred=("student:a", "teacher:b"), target="teacher:b", projector=Regressor())`: of the
second, nothing but the shape is read.

Names:
    AuxiliaryHead
        A classifier on a layer inside the network: mean over the positions, then logits.
    Bottleneck
        Maps one signal to the shape of another through a narrow 3×3 convolution.
    Classes
        Some of the classes of a model's logits, in the order in which the other side has them.
    Conv1x1
        1×1 convolution: maps the channels of a feature map, position by position.
    Conv3x3
        3×3 convolution: maps the channels of a feature map, each position with its neighbors.
    ConvTransposed
        4×4 transposed convolution: a larger map from a smaller one.
    Dense
        `keras.layers.Dense`.
    Fusion
        Reviews a network's maps from the deepest to the shallowest, each with what came before.
    Heads
        Queries, keys or values, divided into another number of heads.
    Join
        Several signals of one side as one vector: each pooled over its positions, side by side.
    LinearRegressor
        Maps one signal to the shape of another, by a linear map alone.
    MaskedGenerator
        Hides positions of the learner's map at random and makes the target's map from the rest.
    MatchedChannels
        Several signals with the numbers of channels of as many others; positions stay as they are.
    MemoryBank
        Scores of an example's two embeddings against remembered ones: its own, and random others'.
    MLP
        Two linear maps of the channels with a ReLU between them.
    NormalizedRegressor
        Maps one signal to the shape of another: a linear map, then BatchNorm.
    Paraphraser
        Encodes a teacher's map in fewer channels: the factors that a student is to match.
    Pool
        The mean over the positions: a map or a sequence becomes a vector.
    PooledDense
        Maps a signal to as many channels as another has, after the mean over the positions.
    PooledNorm
        The mean over the positions, each channel then brought to mean 0 and variance 1.
    QueuedEmbedding
        A `UnitEmbedding` that also hands out the embeddings of batches gone by.
    Regressor
        Maps one signal to the shape of another: a linear map, BatchNorm, ReLU.
    Resize
        Resizes a feature map; it has no weights.
    Standardize
        Each channel brought to mean 0 and variance 1, by the statistics of the data.
    Temperature
        Logits, and a trained temperature that works against the learner.
    TokensToMap
        A vision transformer's tokens as a feature map; it has no weights.
    Translator
        Encodes a student's map in the code of a `Paraphraser`.
    UnitEmbedding
        A linear map to a vector of length one, after the mean over the positions.
    VariationalRegressor
        What a learner makes of its target, and how sure of it: a mean, and a variance per channel.
"""

from keras.layers import Dense as Dense

from keras_kd.projectors._attention_heads import Heads as Heads
from keras_kd.projectors._auxiliary_head import AuxiliaryHead as AuxiliaryHead
from keras_kd.projectors._classes import Classes as Classes
from keras_kd.projectors._embeddings import QueuedEmbedding as QueuedEmbedding
from keras_kd.projectors._embeddings import UnitEmbedding as UnitEmbedding
from keras_kd.projectors._factors import Paraphraser as Paraphraser
from keras_kd.projectors._factors import Translator as Translator
from keras_kd.projectors._fusion import Fusion as Fusion
from keras_kd.projectors._generators import Bottleneck as Bottleneck
from keras_kd.projectors._generators import MaskedGenerator as MaskedGenerator
from keras_kd.projectors._maps import Conv1x1 as Conv1x1
from keras_kd.projectors._maps import Conv3x3 as Conv3x3
from keras_kd.projectors._maps import ConvTransposed as ConvTransposed
from keras_kd.projectors._maps import Resize as Resize
from keras_kd.projectors._memory import MemoryBank as MemoryBank
from keras_kd.projectors._pooled import MLP as MLP
from keras_kd.projectors._pooled import Join as Join
from keras_kd.projectors._pooled import Pool as Pool
from keras_kd.projectors._pooled import PooledDense as PooledDense
from keras_kd.projectors._pooled import PooledNorm as PooledNorm
from keras_kd.projectors._regressors import LinearRegressor as LinearRegressor
from keras_kd.projectors._regressors import MatchedChannels as MatchedChannels
from keras_kd.projectors._regressors import NormalizedRegressor as NormalizedRegressor
from keras_kd.projectors._regressors import Regressor as Regressor
from keras_kd.projectors._regressors import VariationalRegressor as VariationalRegressor
from keras_kd.projectors._standardize import Standardize as Standardize
from keras_kd.projectors._temperature import Temperature as Temperature
from keras_kd.projectors._tokens import TokensToMap as TokensToMap

__all__ = [
    "MLP", "AuxiliaryHead", "Bottleneck", "Classes", "Conv1x1", "Conv3x3", "ConvTransposed",
    "Dense", "Fusion", "Heads", "Join", "LinearRegressor", "MaskedGenerator",
    "MatchedChannels", "MemoryBank", "NormalizedRegressor", "Paraphraser", "Pool",
    "PooledDense", "PooledNorm", "QueuedEmbedding", "Regressor", "Resize", "Standardize",
    "Temperature", "TokensToMap", "Translator", "UnitEmbedding", "VariationalRegressor",
]  # fmt: skip
