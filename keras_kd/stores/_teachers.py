"""Who can fill a store: Keras models, teachers of other frameworks, functions."""

from typing import Any, TypeAlias

import keras

from keras_kd._core.external import ExternalTeacher
from keras_kd._core.function_teacher import Teacher
from keras_kd._examples._batches import Batch
from keras_kd.stores._external_outputs import ExternalOutputs
from keras_kd.stores._fingerprint import fingerprint, weights_hash
from keras_kd.stores._teacher_outputs import TeacherOutputs

Outputs: TypeAlias = TeacherOutputs | ExternalOutputs


def outputs_of(teacher: Teacher, *settings: Any) -> Outputs:
    """The teacher's signals as codecs want them; `settings` as of `TeacherOutputs`."""
    kind: Any = TeacherOutputs if isinstance(teacher, keras.Model) else ExternalOutputs
    return kind(teacher, *settings)


def inputs_for(teacher: Teacher, batch: Batch) -> Any:
    """What a teacher is run on: the inputs, or the ids."""
    by_id = isinstance(teacher, ExternalTeacher) and teacher.by_id
    return batch.ids if by_id else batch.x


def fingerprint_of(teacher: Teacher) -> str:
    return fingerprint(teacher) if isinstance(teacher, keras.Model) else teacher.fingerprint()


def weights_of(teacher: Teacher) -> str | None:
    """A hash of the weights alone; `None` where they cannot be seen."""
    return weights_hash(teacher) if isinstance(teacher, keras.Model) else teacher.weights_hash()
