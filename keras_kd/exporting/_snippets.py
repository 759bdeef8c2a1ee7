"""Lines of Python, Kotlin, Swift and C++ that load a file and give the answer to an example."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from keras_kd.exporting._proof import Proof
from keras_kd.exporting._tensors import Tensor

#: How other languages call the types of numbers; in Kotlin, what reads one out of a buffer.
_KOTLIN = {"float32": "getFloat", "int8": "get", "int16": "getShort", "int32": "getInt"}
_SWIFT = {"float32": "Float32", "int8": "Int8", "int16": "Int16", "int32": "Int32"}
_C = {"float32": "float", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t"}
#: Operators whose names are not those of the format in another case.
_MICRO = {"UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM"}
#: Bytes of an arena where none was measured.
_ARENA = 64 * 1024


class Example(NamedTuple):
    """One example: the file's name, the files of its inputs, what the file decides, and in which
    order it takes its inputs and gives its outputs."""

    file: str
    files: dict[str, str]
    answer: str
    takes: list[str]
    gives: list[str]


def snippets(proof: Proof, example: Example) -> Iterator[str]:
    """A section for each language."""
    yield _section("Python", "python", _PYTHON[proof.format](proof, example))
    if proof.format == "litert":
        yield _section("Kotlin (com.google.ai.edge.litert)", "kotlin", _kotlin(proof, example))
        yield _section("Swift (TensorFlowLiteSwift)", "swift", _swift(proof, example))
        yield _section("C++ (tflite-micro)", "cpp", _micro(proof, example))


def _section(title: str, language: str, lines: list[str]) -> str:
    return "\n".join([f"## {title}", "", f"```{language}", *lines, "```"])


def by_classes(proof: Proof) -> bool:
    """Whether the first output decides between classes, once for an example."""
    return proof.answers[0].decision == "classes" and len(proof.outputs[0].shape) == 2


def _size(tensor: Tensor) -> int:
    """How many numbers one example has."""
    size = 1
    for length in tensor.shape[1:]:
        size *= length or 1
    return size


def _quoted(names: tuple[str, ...]) -> str:
    """As Python, Kotlin and Swift write a list of texts, without its brackets."""
    return json.dumps(list(names), ensure_ascii=False)[1:-1]


def _shown(proof: Proof, example: Example, values: str, best: str, language: str) -> list[str]:
    """The lines that print the answer: a name, a number of a class, or numbers."""
    say, mark = ("print", "#") if language == "python" else ("println", "//")
    say = "print" if language == "swift" else say
    if not by_classes(proof):
        return [f"{say}({values})  {mark} {example.answer}"]
    if not proof.classes:
        return [f"{say}({best})  {mark} {example.answer}"]
    names = _quoted(proof.classes)
    listed = {"python": f"names = [{names}]", "kotlin": f"val names = listOf({names})"}
    return [
        listed.get(language, f"let names = [{names}]"),
        f"{say}(names[{best}])  {mark} {example.answer}",
    ]


# Python.


def _python(proof: Proof, example: Example, module: str, load: str, call: str) -> list[str]:
    inputs = [
        f'{t.name} = np.fromfile("{example.files[t.name]}", "{t.dtype}")'
        f".reshape({[1, *(length or 1 for length in t.shape[1:])]})"
        for t in proof.inputs
    ]
    shown = _shown(proof, example, "output", "output[0].argmax()", "python")
    return ["import numpy as np", module, load, *inputs, call, *shown]


def _python_litert(proof: Proof, example: Example) -> list[str]:
    given = ", ".join(f"{t.name}={t.name}" for t in proof.inputs)
    return _python(
        proof,
        example,
        "from ai_edge_litert.interpreter import Interpreter",
        f'run = Interpreter("{example.file}").get_signature_runner()',
        f'output = run({given})["{proof.outputs[0].name}"]',
    )


def _python_onnx(proof: Proof, example: Example) -> list[str]:
    given = ", ".join(f'"{t.name}": {t.name}' for t in proof.inputs)
    return _python(
        proof,
        example,
        "import onnxruntime",
        f'session = onnxruntime.InferenceSession("{example.file}")',
        f'(output,) = session.run(["{proof.outputs[0].name}"], {{{given}}})',
    )


def _python_saved_model(proof: Proof, example: Example) -> list[str]:
    given = ", ".join(f"{t.name}=tf.constant({t.name})" for t in proof.inputs)
    return _python(
        proof,
        example,
        "import tensorflow as tf",
        f'run = tf.saved_model.load("{example.file}").signatures["serving_default"]',
        f'output = run({given})["{proof.outputs[0].name}"].numpy()',
    )


_PYTHON = {
    "litert": _python_litert,
    "onnx": _python_onnx,
    "tf_saved_model": _python_saved_model,
}


# Others. In an app the files are its assets; here they lie in the folder that it runs in.


def _kotlin(proof: Proof, example: Example) -> list[str]:
    first = proof.outputs[0]
    inputs = ", ".join(
        f'"{name}" to ByteBuffer.wrap(File("{file}").readBytes()).order(ByteOrder.nativeOrder())'
        for name, file in example.files.items()
    )
    size = np.dtype(first.dtype).itemsize * _size(first)
    return [
        f'val model = Interpreter(File("{example.file}"))',
        f"val inputs = mapOf<String, Any>({inputs})",
        f"val bytes = ByteBuffer.allocateDirect({size}).order(ByteOrder.nativeOrder())",
        f'model.runSignature(inputs, mapOf<String, Any>("{first.name}" to bytes))',
        "bytes.rewind()",
        f"val output = List({_size(first)}) {{ bytes.{_KOTLIN.get(first.dtype, 'getInt')}() }}",
        *_shown(proof, example, "output", "output.indices.maxByOrNull { output[it] }!!", "kotlin"),
    ]


def _swift(proof: Proof, example: Example) -> list[str]:
    first = proof.outputs[0]
    inputs = ", ".join(
        f'"{name}": Data(contentsOf: URL(fileURLWithPath: "{file}"))'
        for name, file in example.files.items()
    )
    return [
        f'let interpreter = try Interpreter(modelPath: "{example.file}")',
        'let run = try interpreter.signatureRunner(with: "serving_default")',
        f"try run.invoke(with: [{inputs}])",
        f'let output = try run.output(named: "{first.name}").data.withUnsafeBytes '
        f"{{ Array($0.bindMemory(to: {_SWIFT.get(first.dtype, 'Int32')}.self)) }}",
        *_shown(
            proof, example, "output", "output.indices.max { output[$0] < output[$1] }!", "swift"
        ),
    ]


def _micro(proof: Proof, example: Example) -> list[str]:
    """`best` is the number of the class: names would be strings in flash."""
    first = proof.outputs[0]
    adds = " ".join(f"ops.Add{_micro_name(name)}();" for name in proof.operators)
    arena, known = _ARENA, '  // a guess: export(target="micro") measures it'
    if proof.micro is not None:
        arena, known = proof.micro.arena_bytes, ""
    array = example.file.removesuffix(".tflite").replace(".", "_").replace("-", "_")
    inputs = " ".join(
        f"std::memcpy(run.input({place})->data.raw, {name}, run.input({place})->bytes);"
        for place, name in enumerate(example.takes)
    )
    kind, place = _C.get(first.dtype, "int32_t"), example.gives.index(first.name)
    last = f"const {kind} answer = output[0];  // {example.answer}"
    if by_classes(proof):
        last = f"long best = std::max_element(output, output + {_size(first)}) - output;"
        last += f"  // {example.answer}"
    return [
        f"static tflite::MicroMutableOpResolver<{len(proof.operators)}> ops; {adds}",
        f"alignas(16) static uint8_t arena[{arena}];{known}",
        f"static tflite::MicroInterpreter run(tflite::GetModel({array}), ops, arena, sizeof(arena));",
        f"run.AllocateTensors();  // {array} is the array that c_header=True writes",
        f"{inputs}  // the bytes of {', '.join(example.files[name] for name in example.takes)}",
        "run.Invoke();",
        f"const {kind}* output = tflite::GetTensorData<{kind}>(run.output({place}));",
        last,
    ]


def _micro_name(operator: str) -> str:
    parts = operator.split("_")
    return _MICRO.get(operator) or "".join(p if p[0].isdigit() else p.capitalize() for p in parts)
