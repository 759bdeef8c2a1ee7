"""Data: image sets by name, as arrays in [0, 1], with an id for every example that stays its own."""

from keras_kd.data._load import load as load
from keras_kd.data._sets import Dataset as Dataset
from keras_kd.data._sets import Info as Info
from keras_kd.data._sets import NotAvailable as NotAvailable
from keras_kd.data._sets import Part as Part
