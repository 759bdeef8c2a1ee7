"""Data: sets by name with an id for every example that stays its own, and seeded views of them."""

from keras_kd._core.deprecated import moved as _moved
from keras_kd._examples._batches import Batches as Batches
from keras_kd._examples._batches import tf_data as tf_data
from keras_kd._examples._part import Part as Part
from keras_kd.data._balance import Balanced as Balanced
from keras_kd.data._balance import class_weights as class_weights
from keras_kd.data._dataset import Dataset as Dataset
from keras_kd.data._dataset import Info as Info
from keras_kd.data._dataset import NotAvailable as NotAvailable
from keras_kd.data._example_numbers import Numbers as Numbers
from keras_kd.data._load import load as load
from keras_kd.data._mixes import CutMix as CutMix
from keras_kd.data._mixes import MixUp as MixUp
from keras_kd.data._pipelines import feed as feed
from keras_kd.data._text import Text as Text
from keras_kd.data._transforms import Color as Color
from keras_kd.data._transforms import Crop as Crop
from keras_kd.data._transforms import CutOut as CutOut
from keras_kd.data._transforms import Flip as Flip
from keras_kd.data._transforms import Transform as Transform
from keras_kd.data._transforms import Translate as Translate
from keras_kd.data._views import Augment as Augment

__getattr__ = _moved(__name__, {"Colour": "keras_kd.data.Color"})
