"""What is inside a LiteRT file: its operators, and the types of the numbers they work on."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_kd.exporting._proof import ExportError, reading

_INTEGERS = {"INT2", "INT4", "INT8", "UINT8", "INT16"}
_FLOATS = {"FLOAT16", "FLOAT32", "FLOAT64", "BFLOAT16"}
_BETWEEN = {"QUANTIZE", "DEQUANTIZE"}


class Operator(NamedTuple):
    """One operator of a LiteRT file, and the types of what it reads and writes.

    Args:
        name: Its name in the format.
        activations: Types of the numbers that depend on the input.
        constants: Types of the numbers that are stored.
    """

    name: str
    activations: frozenset[str]
    constants: frozenset[str]


def operators_in(path: Path) -> list[Operator]:
    """Every operator of the file, those inside of loops too."""
    with reading(path):
        return list(_operators(litert_model(path)))


def litert_model(path: Path) -> Any:
    """What is in a LiteRT file, as an object of its schema."""
    from ai_edge_litert import schema_py_generated as schema

    with reading(path):
        content = path.read_bytes()
        if content[4:8] != b"TFL3":
            raise ExportError(f"The file '{path.name}' cannot be run: it is no LiteRT file.")
        return schema.ModelT.InitFromPackedBuf(content, 0)


def order_in(path: Path) -> tuple[list[str], list[str]]:
    """The inputs and the outputs, by their names in the signature, in the file's own order."""
    model = litert_model(path)
    with reading(path):
        graph, signature = model.subgraphs[0], model.signatureDefs[0]
        names = {m.tensorIndex: m.name.decode() for m in (*signature.inputs, *signature.outputs)}
        return [names[i] for i in graph.inputs], [names[i] for i in graph.outputs]


def _operators(model: Any) -> Iterator[Operator]:
    from ai_edge_litert import schema_py_generated as schema

    names = _names(schema.BuiltinOperator)
    types = _names(schema.TensorType)

    def stored(tensor: Any) -> bool:
        return model.buffers[tensor.buffer].data is not None

    for graph in model.subgraphs:
        for operator in graph.operators or []:
            code = model.operatorCodes[operator.opcodeIndex]
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            touched = (*operator.inputs, *operator.outputs)
            tensors = [graph.tensors[i] for i in touched if i >= 0]
            yield Operator(
                code.customCode.decode() if code.customCode else names[number],
                frozenset(types[t.type] for t in tensors if not stored(t)),
                frozenset(types[t.type] for t in tensors if stored(t)),
            )


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def integer_share(operators: Sequence[Operator]) -> float:
    """Share of the operators without a floating-point number, those between the two aside."""
    working = [o for o in operators if o.name not in _BETWEEN]
    integer = [o for o in working if not (o.activations | o.constants) & _FLOATS]
    return len(integer) / max(len(working), 1)


def quantization_in(operators: Sequence[Operator]) -> str:
    """How numbers are stored and computed with, as far as their types tell."""
    stored = frozenset[str]().union(*(o.constants for o in operators))
    computed = frozenset[str]().union(*(o.activations for o in operators))
    if "INT4" in stored:
        return "int4"
    if "INT16" in computed:
        return "int16x8"
    if computed & _INTEGERS:
        return "int8"
    if "INT8" in stored:
        return "dynamic"
    return "float16" if "FLOAT16" in stored else "float32"
