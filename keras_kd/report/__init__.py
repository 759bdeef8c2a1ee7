"""Report: what models did, as numbers, as a table and as a picture."""

from keras_kd.report._compare import Paired as Paired
from keras_kd.report._compare import paired as paired
from keras_kd.report._plots import Example as Example
from keras_kd.report._plots import draw_pairs as draw_pairs
from keras_kd.report._tables import Row as Row
from keras_kd.report._tables import table as table
