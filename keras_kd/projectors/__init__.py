"""Projectors: layers that own every weight which is neither student nor teacher.

Any `keras.layers.Layer` can stand as a projector; these are the ones that papers use.
"""

from keras.layers import Dense as Dense

from keras_kd.projectors._heads import AuxiliaryHead as AuxiliaryHead
from keras_kd.projectors._maps import Conv1x1 as Conv1x1
from keras_kd.projectors._maps import Resize as Resize
