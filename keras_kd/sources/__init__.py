"""Sources: what feeds `fit` beside data sets, such as teachers of other frameworks.

A teacher is whatever turns a batch into signals. Those of this package run outside the compiled
step, on NumPy arrays: `keras_kd.stores.write` runs them once, `live` runs them ahead of each step,
and `keras_kd.teachers.FromFunction` makes a model of one.

Names:
    FunctionTeacher
        Any function from a batch of inputs to what it predicts, as a teacher.
    HuggingFaceTeacher
        A model of the library transformers as a teacher, whatever backend the student trains on.
    LiteRTTeacher
        A LiteRT (TensorFlow Lite) file as a teacher (extra `export`).
    live
        Batches for `fit` with what a teacher of another framework predicts for them.
    ONNXTeacher
        An ONNX file as a teacher, run by onnxruntime (extra `onnx`).
    OnPolicy
        Batches of texts that the student writes itself, with the weights it has at that step.
    SavedModelTeacher
        A SavedModel of TensorFlow as a teacher, on any backend.
    ServerTeacher
        A model behind an HTTP server as a teacher.
    SklearnTeacher
        An estimator of scikit-learn, or one that is used like these: XGBoost, LightGBM, CatBoost.
    TeacherText
        Batches of texts that the teacher wrote: sequence-level distillation.
    TorchTeacher
        A torch module as a teacher, whatever backend the student trains on.
    TwoTokenizers
        Batches of texts for a student and a teacher with tokenizers of their own.
"""

from keras_kd._core.function_teacher import FunctionTeacher as FunctionTeacher
from keras_kd.sources._hugging_face import HuggingFaceTeacher as HuggingFaceTeacher
from keras_kd.sources._litert import LiteRTTeacher as LiteRTTeacher
from keras_kd.sources._live import live as live
from keras_kd.sources._on_policy import OnPolicy as OnPolicy
from keras_kd.sources._onnx import ONNXTeacher as ONNXTeacher
from keras_kd.sources._saved_model import SavedModelTeacher as SavedModelTeacher
from keras_kd.sources._server import ServerTeacher as ServerTeacher
from keras_kd.sources._sklearn import SklearnTeacher as SklearnTeacher
from keras_kd.sources._teacher_text import TeacherText as TeacherText
from keras_kd.sources._torch import TorchTeacher as TorchTeacher
from keras_kd.sources._two_tokenizers import TwoTokenizers as TwoTokenizers

__all__ = [
    "FunctionTeacher", "HuggingFaceTeacher", "LiteRTTeacher", "ONNXTeacher", "OnPolicy",
    "SavedModelTeacher", "ServerTeacher", "SklearnTeacher", "TeacherText", "TorchTeacher",
    "TwoTokenizers", "live",
]  # fmt: skip
