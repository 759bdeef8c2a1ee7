"""Teachers: models that stand where a teacher stands.

Any `keras.Model` can be a teacher. These are made of other models: several that answer as one, one
that follows the student, one that is asked or understood in another way. A layer inside is named
by the inner model's name first: `"teacher:resnet50/conv4"`.
"""

from keras_kd._core.deprecated import moved as _moved
from keras_kd.teachers._ensembles import Ensemble as Ensemble
from keras_kd.teachers._ensembles import LogitEnsemble as LogitEnsemble
from keras_kd.teachers._ensembles import StackedEnsemble as StackedEnsemble
from keras_kd.teachers._momentum import Momentum as Momentum
from keras_kd.teachers._views import ClassMap as ClassMap
from keras_kd.teachers._views import FromBinaryProbabilities as FromBinaryProbabilities
from keras_kd.teachers._views import FromProbabilities as FromProbabilities
from keras_kd.teachers._views import SelectInput as SelectInput

_FORMER = {"OnInput": "SelectInput", "Stacked": "StackedEnsemble"}

__getattr__ = _moved(__name__, {old: f"keras_kd.teachers.{new}" for old, new in _FORMER.items()})
