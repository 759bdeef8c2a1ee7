"""TensorFlow Lite's metadata inside a LiteRT file: a flatbuffer of its own among the model's buffers.

Where Android's and other libraries look for what a model takes and gives. The numbers of the
fields are those of `metadata_schema.fbs`, whose tables are written here as far as they are used.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_kd.exporting._litert_operators import litert_model
from keras_kd.exporting._metadata import CARD, Metadata
from keras_kd.exporting._preprocessing import Preprocessing
from keras_kd.exporting._tensors import Tensor

#: The archive's file of class names, as it is called everywhere.
LABELS = "labels.txt"
#: By which interpreters know the buffer, and the flatbuffer in it.
_ENTRY, _IDENTIFIER = b"TFLITE_METADATA", b"M001"
_PARSER = "1.0.0"
_NORMALIZATION, _IMAGE = 1, 2  # places in their unions
_COLORS = {"RGB": 1, "GRAY": 2}
_AXIS_LABELS, _DESCRIPTIONS = 2, 1  # kinds of associated files
_DATA_ALIGNMENT = 16


def write_litert_metadata(path: Path, metadata: Metadata) -> None:
    """Puts the metadata into the file at `path`; the network in it stays as it is."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = litert_model(path)
    kept = [entry for entry in model.metadata or [] if entry.name != _ENTRY]
    entry, buffer = schema.MetadataT(), schema.BufferT()
    entry.name, entry.buffer, buffer.data = _ENTRY, len(model.buffers), _flatbuffer(metadata)
    model.metadata = [*kept, entry]
    model.buffers = [_Aligned(one) for one in (*model.buffers, buffer)]
    builder = flatbuffers.Builder(path.stat().st_size + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())


class _Aligned:
    """A buffer as the interpreters want it: the schema's own code forgets that its data must begin
    at a multiple of 16 bytes."""

    def __init__(self, buffer: Any):
        self._buffer = buffer

    def Pack(self, builder: Any) -> int:
        data = None if self._buffer.data is None else bytes(self._buffer.data)
        place = 0
        if data is not None:
            builder.StartVector(1, len(data), _DATA_ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            place = builder.EndVector()
        builder.StartObject(3)
        builder.PrependUOffsetTRelativeSlot(0, place, 0)
        builder.PrependUint64Slot(1, self._buffer.offset, 0)  # of data behind the model
        builder.PrependUint64Slot(2, self._buffer.size, 0)
        return builder.EndObject()


def _flatbuffer(metadata: Metadata) -> bytes:
    """The metadata, as `metadata_schema.fbs` lays it out."""
    import flatbuffers

    b = flatbuffers.Builder(4096)
    told = metadata.preprocessing
    takes = [_tensor(b, tensor, told, ()) for tensor in metadata.inputs]
    gives = [_tensor(b, tensor, None, metadata.classes) for tensor in metadata.outputs]
    graph = _table(b, 10, {2: _tables(b, takes), 3: _tables(b, gives)})
    card = _file(b, CARD, "The card of the student, as JSON.", _DESCRIPTIONS)
    offsets = {
        0: b.CreateString(metadata.name),
        1: _text(b, metadata.text("description")),
        2: _text(b, metadata.text("version")),
        3: _tables(b, [graph]),
        4: _text(b, metadata.text("author")),
        5: _text(b, metadata.text("license")),
        6: _tables(b, [card]),
        7: b.CreateString(_PARSER),
    }
    b.Finish(_table(b, 8, offsets), _IDENTIFIER)
    return bytes(b.Output())


def _tensor(b: Any, tensor: Tensor, told: Preprocessing | None, classes: Sequence[str]) -> int:
    """A `TensorMetadata`: of an input with `told`, of an output with the classes that it has."""
    offsets = {0: b.CreateString(tensor.name), 1: _text(b, _described(tensor, told))}
    if told is not None and tensor.layout:
        color = _COLORS.get(told.color_order or "", 0)
        image = _table(b, 2, {}, {0: color})
        offsets[3] = _table(b, 3, {1: image}, {0: _IMAGE})
    if told is not None and told.mean and (tensor.layout or len(told.mean) == 1):
        options = _table(b, 2, {0: _floats(b, told.mean), 1: _floats(b, told.std)})
        offsets[4] = _tables(b, [_table(b, 2, {1: options}, {0: _NORMALIZATION})])
    stats = {0: _floats(b, [tensor.high]), 1: _floats(b, [tensor.low])}
    offsets[5] = _table(b, 2, stats)
    if classes and tensor.shape[-1] == len(classes):
        offsets[6] = _tables(b, [_file(b, LABELS, "Names of the classes.", _AXIS_LABELS)])
    return _table(b, 7, offsets)


def _described(tensor: Tensor, told: Preprocessing | None) -> str:
    said = [told.text] if told is not None and told.text else []
    if told is not None and told.color_order and tensor.layout:
        said.append(told.color_order)
    if tensor.ending:
        said.append(f"probabilities ({tensor.ending})")
    if tensor.scale is not None:
        said.append(f"{tensor.scale:.9g} * ({tensor.dtype} - {tensor.zero_point})")
    return "; ".join(said)


def _file(b: Any, name: str, description: str, kind: int) -> int:
    offsets = {0: b.CreateString(name), 1: b.CreateString(description)}
    return _table(b, 5, offsets, {2: kind})


def _text(b: Any, text: str) -> int:
    """A text; nothing at all where there is none."""
    return b.CreateString(text) if text else 0


def _table(
    b: Any, fields: int, offsets: Mapping[int, int], numbers: Mapping[int, int] | None = None
) -> int:
    """A table: what is elsewhere in the buffer, and bytes, each by the number of its field."""
    b.StartObject(fields)
    for field, offset in offsets.items():
        b.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, number in (numbers or {}).items():
        b.PrependUint8Slot(field, number, 0)
    return b.EndObject()


def _tables(b: Any, tables: Sequence[int]) -> int:
    b.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        b.PrependUOffsetTRelative(table)
    return b.EndVector()


def _floats(b: Any, values: Sequence[float]) -> int:
    b.StartVector(4, len(values), 4)
    for value in reversed(values):
        b.PrependFloat32(value)
    return b.EndVector()
