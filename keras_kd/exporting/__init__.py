"""From a student to a file for a device, and the proof that the file answers like the student."""

from keras_kd.exporting._class_names import class_names as class_names
from keras_kd.exporting._export import export as export
from keras_kd.exporting._proof import Answer as Answer
from keras_kd.exporting._proof import ExportError as ExportError
from keras_kd.exporting._proof import Micro as Micro
from keras_kd.exporting._proof import Proof as Proof
from keras_kd.exporting._verify import verify as verify
