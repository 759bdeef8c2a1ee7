"""The lines of Python that train the winner again, without a search."""

from typing import Any

from keras_kd.auto._finish import AWARE_RATE, BITS, Finished
from keras_kd.auto._space import without_hint
from keras_kd.auto._training import Trainer

_HEAD = "import keras\nimport keras_kd as kd\n\n# `train`{teacher} as given to compress()\n"


def code_of(finished: Finished, trainer: Trainer, candidate: Any, format: str) -> str:
    """A program on `train`, the `keras_kd.data.Part` of the training examples, and `teacher`."""
    values = finished.values
    lines = trainer.code(candidate, values, finished.epochs)
    student = "student"
    if finished.aware:
        rate = AWARE_RATE * values["learning_rate"]
        slower = {**without_hint(values), "learning_rate": rate}
        lines += [
            f"aware = kd.compression.quantize_aware(student, weight_bits={BITS[format]})",
            *trainer.fit_code("aware", slower, finished.aware),
            "student = kd.compression.plain(aware)",
        ]
    needs = any("teacher" in line.replace("teacher=", "") for line in lines)
    calibration = ", calibration=train.x[:1000]" if format == "int8" else ""
    lines.append(f'kd.export({student}, "student.tflite", quantization="{format}"{calibration})')
    head = _HEAD.format(teacher=", and `teacher` with logits," if needs else ",")
    return head + "\n".join(lines) + "\n"
