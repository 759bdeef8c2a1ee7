"""Projectors: layers that own every weight which is neither student nor teacher.

Any `keras.layers.Layer` can stand as a projector; these are the ones that papers use. Some of them
map a signal to the shape of another and are given both, as
`Term(..., pred=("student:a", "teacher:b"), target="teacher:b", projector=Regressor())`: of the
second, nothing but the shape is read.
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
from keras_kd.projectors._temperature import Temperature as Temperature
from keras_kd.projectors._tokens import TokensToMap as TokensToMap
