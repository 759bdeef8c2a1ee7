"""Report: what models did, as numbers, as tables, as pictures, and in one sentence."""

from keras_kd.report._class_order import ClassOrder as ClassOrder
from keras_kd.report._class_order import check_class_order as check_class_order
from keras_kd.report._class_order import class_order as class_order
from keras_kd.report._compare import compare as compare
from keras_kd.report._costs import Costs as Costs
from keras_kd.report._costs import Spread as Spread
from keras_kd.report._flops import Work as Work
from keras_kd.report._flops import work as work
from keras_kd.report._importance import Importance as Importance
from keras_kd.report._importance import importance as importance
from keras_kd.report._intervals import Paired as Paired
from keras_kd.report._intervals import bootstrap as bootstrap
from keras_kd.report._intervals import mcnemar as mcnemar
from keras_kd.report._intervals import paired as paired
from keras_kd.report._plots_pairs import Example as Example
from keras_kd.report._plots_pairs import draw_pairs as draw_pairs
from keras_kd.report._report import ModelReport as ModelReport
from keras_kd.report._report import Report as Report
from keras_kd.report._similarity import Similarity as Similarity
from keras_kd.report._similarity import cka as cka
from keras_kd.report._similarity import similarity as similarity
from keras_kd.report._tables import Row as Row
from keras_kd.report._tables import table as table
from keras_kd.report._where import Changed as Changed
from keras_kd.report._where import Confusion as Confusion
from keras_kd.report._where import Group as Group
