"""TensorFlow Lite's metadata in a LiteRT file, read by other hands than those that wrote them."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest

from keras_kd import exporting
from keras_kd.exporting._litert_metadata import write_litert_metadata
from keras_kd.exporting._metadata import Metadata, check_card
from keras_kd.exporting._preprocessing import Preprocessing
from keras_kd.stores import fingerprint
from tests.exporting.conftest import answers, converts

CARD = {"author": "Ä. Person", "license": "CC0", "version": "2", "description": "Digits.",
        "data": ["digits"], "accuracy": {"mean": 0.9, "interval": [0.88, 0.92]}}  # fmt: skip


class Table:
    """A table of a flatbuffer, by the numbers of its fields."""

    def __init__(self, content, place):
        from flatbuffers.table import Table

        self.table = Table(content, place)

    @classmethod
    def root(cls, content):
        return cls(content, int.from_bytes(content[:4], "little"))

    def place(self, field):
        offset = self.table.Offset(4 + 2 * field)
        return offset and offset + self.table.Pos

    def text(self, field):
        place = self.place(field)
        return self.table.String(place).decode() if place else None

    def child(self, field):
        return Table(self.table.Bytes, self.table.Indirect(self.place(field)))

    def children(self, field):
        if not (place := self.place(field)):
            return []
        start, length = self.table.Vector(place - self.table.Pos), self.length(place)
        return [Table(self.table.Bytes, self.table.Indirect(start + 4 * i)) for i in range(length)]

    def length(self, place):
        return self.table.VectorLen(place - self.table.Pos)

    def byte(self, field):
        place = self.place(field)
        return self.table.Bytes[place] if place else 0

    def floats(self, field):
        place = self.place(field)
        start, length = self.table.Vector(place - self.table.Pos), self.length(place)
        return np.frombuffer(self.table.Bytes, "<f4", length, start).tolist()

    def data(self, field):
        place = self.place(field)
        start, length = self.table.Vector(place - self.table.Pos), self.length(place)
        return bytes(self.table.Bytes[start : start + length]), start


def metadata_in(path):
    """The flatbuffer of metadata in a LiteRT file: model.metadata, then model.buffers."""
    model = Table.root(bytearray(path.read_bytes()))
    (entry,) = [e for e in model.children(6) if e.text(0) == "TFLITE_METADATA"]
    place = entry.place(1)
    index = int.from_bytes(entry.table.Bytes[place : place + 4], "little")
    for buffer in model.children(4):  # as the interpreters need them
        assert not buffer.place(0) or buffer.data(0)[1] % 16 == 0
    return model.children(4)[index].data(0)[0]


@pytest.fixture(scope="module")
def told(made, student, digits):
    def make(folder):
        folder.mkdir()
        exporting.export(
            student, folder / "s.tflite", softmax=True, class_names=[*"0123456789"], card=CARD,
            preprocessing="float images in [-1, 1]", examples=2 * digits.x_test - 1,
        )  # fmt: skip

    return made("told", make) / "s.tflite"


@converts
def test_the_card_lies_beside_the_file(told):
    beside = json.loads(told.with_name("s.json").read_text(encoding="utf-8"))
    assert beside == exporting.card(told) and beside["card"] == CARD
    assert beside["inputs"][0]["name"] == "image" and beside["fingerprint"]


@converts
def test_the_metadata_are_laid_out_as_the_schema_says(told):
    content = metadata_in(told)
    assert content[4:8] == b"M001"
    root = Table.root(bytearray(content))
    texts = [root.text(field) for field in (0, 1, 2, 4, 5, 7)]
    assert texts == ["cnn", "Digits.", "2", "Ä. Person", "CC0", "1.0.0"]
    assert [file.text(0) for file in root.children(6)] == ["student.json"]
    (graph,) = root.children(3)
    (image,), (output,) = graph.children(2), graph.children(3)
    assert (image.text(0), image.text(1)) == ("image", "float images in [-1, 1]; GRAY")
    content = image.child(3)
    assert content.byte(0) == 2 and content.child(1).byte(0) == 2  # an image, of grays
    (unit,) = image.children(4)
    assert unit.byte(0) == 1  # a normalization
    assert (unit.child(1).floats(0), unit.child(1).floats(1)) == ([127.5], [127.5])
    assert (image.child(5).floats(0), image.child(5).floats(1)) == ([1.0], [-1.0])
    assert (output.text(0), output.text(1)) == ("output", "probabilities (softmax)")
    (labels,) = output.children(6)
    assert (labels.text(0), labels.byte(2)) == ("labels.txt", 2)  # labels along an axis


def published_schema():
    """The code that others generated from the schema, where a package with it is installed."""
    for package, inside in (
        ("tflite_support", "metadata_schema_py_generated.py"),
        ("mediapipe", "tasks/metadata/metadata_schema_py_generated.py"),
    ):
        found = importlib.util.find_spec(package)
        for folder in (found.submodule_search_locations or []) if found else []:
            if (file := pathlib.Path(folder, inside)).exists():
                spec = importlib.util.spec_from_file_location("published_schema", file)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    return pytest.skip("neither tflite-support nor mediapipe is installed")


@converts
def test_the_published_reader_reads_them(told):
    schema = published_schema()
    root = schema.ModelMetadata.GetRootAs(metadata_in(told), 0)
    assert (root.Name(), root.Author(), root.License()) == (b"cnn", "Ä. Person".encode(), b"CC0")
    graph = root.SubgraphMetadata(0)
    image, output = graph.InputTensorMetadata(0), graph.OutputTensorMetadata(0)
    assert image.Content().ContentPropertiesType() == schema.ContentProperties.ImageProperties
    assert image.ProcessUnits(0).OptionsType() == schema.ProcessUnitOptions.NormalizationOptions
    options = schema.NormalizationOptions()
    options.Init(image.ProcessUnits(0).Options().Bytes, image.ProcessUnits(0).Options().Pos)
    assert (options.Mean(0), options.Std(0)) == (127.5, 127.5)
    assert (image.Stats().Min(0), image.Stats().Max(0)) == (-1.0, 1.0)
    labels = output.AssociatedFiles(0)
    assert (labels.Name(), labels.Type()) == (
        b"labels.txt", schema.AssociatedFileType.TENSOR_AXIS_LABELS,
    )  # fmt: skip


@converts
def test_the_card_is_in_the_file_and_in_its_proof(told, student):
    card = exporting.card(told)
    assert card["card"] == CARD
    assert (card["name"], card["fingerprint"]) == ("cnn", fingerprint(student))
    assert card["inputs"][0]["name"] == "image" and card["outputs"][0]["ending"] == "softmax"
    x = np.zeros((4, 8, 8, 1), "float32") - 1
    found = exporting.verify(told, student, x)
    assert found.card == CARD and found.agreement == 1.0


@converts
def test_the_network_stays_as_it_is(exported, digits, tmp_path):
    """Written a second time, over the first."""
    path, x = tmp_path / "s.tflite", digits.x_test[:1]
    path.write_bytes(exported.path.read_bytes())
    before = answers(path, image=x)["output"]
    (image,), (output,) = exported.inputs, exported.outputs
    write_litert_metadata(
        path, Metadata("other", "", "float32", (image,), (output,), (), Preprocessing(), {})
    )
    np.testing.assert_array_equal(answers(path, image=x)["output"], before)
    assert Table.root(bytearray(metadata_in(path))).text(0) == "other"


def test_cards_that_will_not_do():
    assert check_card(None) == {} and check_card({"seeds": (1, 2)}) == {"seeds": [1, 2]}
    for card, message in (
        ("A. Person", r"`card` must be a dict of what is to be said of the student"),
        ({1: "one"}, r"`card` must be a dict"),
        ({"author": ["A", "B"]}, r"'author' must be a text\. Received: \['A', 'B'\]"),
        ({"model": object()}, r"something that JSON cannot hold"),
        ({"accuracy": float("nan")}, r"something that JSON cannot hold"),
    ):
        with pytest.raises(ValueError, match=message):
            check_card(card)
