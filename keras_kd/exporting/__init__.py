"""From a student to a file for a device, and the proof that the file answers like the student.

Names:
    Answer
        One output: how the file's answers compare with the student's, over all examples.
    card
        What a file that `export` wrote says of itself and of its student.
    class_names
        The names of the classes in a file that `export` wrote with `class_names`.
    export
        A student written as a file for a device, proven to answer as the student does.
    ExportError
        A student that could not be converted, or whose file does not answer as it does, or is
        damaged.
    Micro
        How the file does in the interpreter for microcontrollers.
    page
        A page that runs a student in a browser: one file, `.html` instead of `.tflite`.
    Preprocessing
        How pixels become what the student takes: `(pixel - mean) / std`, of pixels from 0 to 255.
    Proof
        What a file is, and how it was found to answer.
    Tensor
        An input or an output of a file.
    verify
        The proof of a file that is already there: it is run, and compared with its student.
"""

from keras_kd.exporting._export import export as export
from keras_kd.exporting._page import page as page
from keras_kd.exporting._preprocessing import Preprocessing as Preprocessing
from keras_kd.exporting._proof import Answer as Answer
from keras_kd.exporting._proof import ExportError as ExportError
from keras_kd.exporting._proof import Micro as Micro
from keras_kd.exporting._proof import Proof as Proof
from keras_kd.exporting._read_metadata import card as card
from keras_kd.exporting._read_metadata import class_names as class_names
from keras_kd.exporting._tensors import Tensor as Tensor
from keras_kd.exporting._verify import verify as verify

__all__ = [
    "Answer", "ExportError", "Micro", "Preprocessing", "Proof", "Tensor", "card",
    "class_names", "export", "page", "verify",
]  # fmt: skip
