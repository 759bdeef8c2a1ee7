"""The names of tfmot 0.8.1 and their parameters, as `inspect.signature` gives them there.

The table was read off tensorflow-model-optimization 0.8.1 with tf-keras 2.21. It leaves out the
rewriting rules (`graph_transformations`, `*_transforms`) and the classes that only they use.
"""

import enum
import inspect
import json
import pathlib

import pytest

from keras_kd.compat import tfmot

TABLE = json.loads((pathlib.Path(__file__).parent / "tfmot_0_8_1.json").read_text())
ABSENT = {
    "QuantizeWrapper", "QuantizeWrapperV2", "fix_input_output_range", "remove_input_range",
    "FixedQuantizer", "ClusteringAlgorithm", "ClusteringSummaries", "QuantizeLayoutTransform",
    "QuantizeRegistry",
}  # fmt: skip


def thing(path):
    found = tfmot
    for name in path.split(".")[1:]:
        found = getattr(found, name)
    return found


def described(value):
    """A default value so that two libraries' can be compared."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, (int, float, str, tuple, bool, type(None))):
        return repr(value)
    return type(value).__name__


def parameters(made):
    function = made.__init__ if inspect.isclass(made) else made
    found = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    empty = inspect.Parameter.empty
    return [[p.name, p.kind.name, None if p.default is empty else described(p.default)]
            for p in found]  # fmt: skip


def test_the_table_is_whole():
    assert len(TABLE) == 42


@pytest.mark.parametrize("path", TABLE)
def test_every_name_is_there(path):
    found = thing(path)
    assert found.__doc__, path


@pytest.mark.parametrize("path", [p for p in TABLE if p.rsplit(".")[-1] not in ABSENT])
def test_every_signature_is_the_same(path):
    if TABLE[path] is None:  # an abstract class, or an enumeration: `object`'s own `__init__`
        pytest.skip("has no constructor of its own there")
    assert parameters(thing(path)) == TABLE[path]


@pytest.mark.parametrize("path", [p for p in TABLE if p.rsplit(".")[-1] in ABSENT])
def test_what_has_no_counterpart_says_so_by_name(path):
    name = path.rsplit(".", 1)[-1]
    with pytest.raises(NotImplementedError, match=f"tfmot's {name} has no counterpart.*keras"):
        thing(path)(object())
    with pytest.raises(NotImplementedError, match=f"tfmot's {name}"):
        type("Own", (thing(path),), {})
