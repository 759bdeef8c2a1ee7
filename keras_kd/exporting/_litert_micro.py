"""LiteRT for microcontrollers: run by their interpreter, and written as an array for C."""

import re
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from keras_kd.exporting._compare import compared
from keras_kd.exporting._format import Package
from keras_kd.exporting._job import Job
from keras_kd.exporting._labels import Decision
from keras_kd.exporting._litert import LiteRT
from keras_kd.exporting._litert_interpreter import decoded
from keras_kd.exporting._litert_operators import litert_model
from keras_kd.exporting._metadata import Metadata
from keras_kd.exporting._prepare import plain_embeddings, why_not_micro
from keras_kd.exporting._proof import ExportError, Micro, reading
from keras_kd.exporting._running import run_alone
from keras_kd.exporting._signature import Arrays, count
from keras_kd.exporting._standalone_runner import quantized

#: Enough to compare; the interpreter is slow on a large machine.
_MAX_EXAMPLES = 200


class LiteRTMicro(LiteRT):
    """A `.tflite` file without what tflite-micro lacks."""

    quantizations: ClassVar = {
        name: LiteRT.quantizations[name] for name in ("float32", "int8", "int16x8")
    }
    requires = (
        *LiteRT.requires,
        Package("tflite_micro", "micro", "runs files for microcontrollers"),
    )
    unrolls = True

    def check_student(self, student: keras.Model) -> None:
        if why := why_not_micro(student):
            raise ValueError(f"The student '{student.name}' cannot go to a microcontroller: {why}.")

    def convert(self, job: Job, student: keras.Model) -> None:
        plain_embeddings(student)
        super().convert(job, student)

    def write_metadata(self, path: Path, metadata: Metadata) -> None:
        """Not here: in flash, every byte of the file is paid for."""

    def micro_proof(
        self,
        path: Path,
        inputs: Arrays,
        wanted: Arrays,
        decisions: dict[str, Decision],
        tolerance: float,
        timeout: float | None,
    ) -> Micro:
        """How the file does in tflite-micro, on the first examples."""
        few = {name: x[:_MAX_EXAMPLES] for name, x in inputs.items()}
        model = litert_model(path)
        with reading(path):
            graph, signature = model.subgraphs[0], model.signatureDefs[0]
            names = {
                m.tensorIndex: m.name.decode() for m in (*signature.inputs, *signature.outputs)
            }
            taken, given = (
                [(names[index], graph.tensors[index]) for index in indices]
                for indices in (graph.inputs, graph.outputs)
            )
            encoded = {f"{i:03}": _encoded(few[name], t) for i, (name, t) in enumerate(taken)}
            what = "Running the file in tflite-micro"
            came, printed = run_alone("micro", path, encoded, what, timeout)
            found = {name: _decoded(came[f"{i:03}"], t) for i, (name, t) in enumerate(given)}
        result = compared(
            {name: x[:_MAX_EXAMPLES] for name, x in wanted.items()}, found, decisions, tolerance
        )
        return Micro(
            agreement=min(answer.agreement for answer in result.answers),
            max_difference=max(answer.max_difference for answer in result.answers),
            examples=count(few),
            arena_bytes=_arena(printed),
            flash_bytes=path.stat().st_size,
        )


def _code(tensor: Any) -> tuple[float, int] | None:
    """Scale and zero point of a tensor of integers that stand for floats."""
    found = tensor.quantization
    if found is None or found.scale is None or not len(found.scale):
        return None
    return float(found.scale[0]), int(found.zeroPoint[0])


def _encoded(x: np.ndarray, tensor: Any) -> np.ndarray:
    code = _code(tensor)
    if code is None or x.dtype.kind != "f":
        return x
    from ai_edge_litert import schema_py_generated as schema

    kind = np.int16 if tensor.type == schema.TensorType.INT16 else np.int8
    return quantized(x, *code, kind)


def _decoded(x: np.ndarray, tensor: Any) -> np.ndarray:
    code = _code(tensor)
    return x if code is None else decoded(x, code)


def _arena(printed: str) -> int:
    """The bytes that tflite-micro printed as allocated."""
    found = re.search(r"Arena allocation total (\d+) bytes", printed)
    if found is None:
        raise ExportError(f"tflite-micro did not say what it allocated. It said:\n{printed[-500:]}")
    return int(found[1])


def c_header(path: Path, content: bytes, digest: str) -> str:
    """The file as an array for C and C++, aligned as tflite-micro needs it."""
    name = re.sub(r"\W", "_", path.stem)
    name = f"_{name}" if name[:1].isdigit() else name
    rows = [content[start : start + 16] for start in range(0, len(content), 16)]
    numbers = ",\n".join("    " + ", ".join(f"0x{byte:02x}" for byte in row) for row in rows)
    guard = f"{name.upper()}_H_"
    return (
        f"// The file {path.name}, {len(content)} bytes, sha256 {digest}.\n"
        f"#ifndef {guard}\n#define {guard}\n\n"
        "#ifdef __cplusplus\n#define KERAS_KD_ALIGNED alignas(16)\n"
        "#else\n#define KERAS_KD_ALIGNED _Alignas(16)\n#endif\n\n"
        f"KERAS_KD_ALIGNED static const unsigned char {name}[] = {{\n{numbers}\n}};\n"
        f"static const unsigned int {name}_len = {len(content)};\n\n"
        "#undef KERAS_KD_ALIGNED\n"
        f"#endif  // {guard}\n"
    )
