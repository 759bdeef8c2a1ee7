"""Teachers: models that wrap other models.

Any `keras.Model` can be a teacher. These are made of other models: several as one teacher, a moving
average of the student, one model with its inputs or outputs converted. A layer inside is named by
the inner model's name first: `"teacher:resnet50/conv4"`.

Names:
    ClassMap
        A model whose classes stand in another order, or are more than are wanted.
    ConvertInput
        A model that sees its inputs in the range that it was trained on, while the student sees
        others.
    Ensemble
        Several models as one teacher: the mean of their probabilities.
    FromBinaryProbabilities
        A model that ends in a sigmoid, its output converted to logits.
    FromFunction
        A function of NumPy arrays, or a teacher of another framework, as a model inside `fit`.
    FromProbabilities
        A model that ends in a softmax, its output converted to logits.
    LogitEnsemble
        Several models as one teacher: the mean of their logits.
    Momentum
        A copy of the student whose weights follow the student's slowly.
    SelectInput
        A model that sees one part of an input of several: a key of a dict, or a place in a list.
    StackedEnsemble
        Several models as one teacher: their outputs side by side, and one more model on top.
"""

from keras_kd._core.deprecated import moved as _moved
from keras_kd.teachers._convert_input import ConvertInput as ConvertInput
from keras_kd.teachers._ensembles import Ensemble as Ensemble
from keras_kd.teachers._ensembles import LogitEnsemble as LogitEnsemble
from keras_kd.teachers._ensembles import StackedEnsemble as StackedEnsemble
from keras_kd.teachers._functions import FromFunction as FromFunction
from keras_kd.teachers._momentum import Momentum as Momentum
from keras_kd.teachers._views import ClassMap as ClassMap
from keras_kd.teachers._views import FromBinaryProbabilities as FromBinaryProbabilities
from keras_kd.teachers._views import FromProbabilities as FromProbabilities
from keras_kd.teachers._views import SelectInput as SelectInput

_FORMER = {"OnInput": "SelectInput", "Stacked": "StackedEnsemble"}

__getattr__ = _moved(__name__, {old: f"keras_kd.teachers.{new}" for old, new in _FORMER.items()})

__all__ = [
    "ClassMap", "ConvertInput", "Ensemble", "FromBinaryProbabilities", "FromFunction",
    "FromProbabilities", "LogitEnsemble", "Momentum", "SelectInput", "StackedEnsemble",
]  # fmt: skip
