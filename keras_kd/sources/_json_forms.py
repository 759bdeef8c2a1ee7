"""What is sent to a server, and where the outputs stand in its response."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.messages import listing
from keras_kd._core.output_kinds import numbers
from keras_kd.sources._files import choose

Rows = dict[str, list[Any]]


class Form:
    """Examples as the body of a request, and the response as one entry for each example."""

    #: Examples that one request can hold; `None` for any number.
    most: int | None = None
    num_classes: int | None = None

    def body(self, x: Any) -> dict[str, Any]:
        raise NotImplementedError

    def read(self, response: Any, count: int) -> Rows:
        """Of each output, by name, `count` entries.

        Raises:
            ValueError: If the response does not fit that many examples; the text goes on after "The
                server ... ".
        """
        raise NotImplementedError

    def signals(self, rows: Rows, paths: Sequence[str], whose: str) -> dict[str, Any]:
        """The entries of all examples as arrays, `"output"` among them."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        return {}


class JSONForm(Form):
    """Plain JSON.

    Args:
        output: Which of several outputs is the output.
    """

    #: Where the inputs and the outputs stand.
    sent: str
    returned: str

    def __init__(self, output: str | None):
        self.output = output

    def read(self, response: Any, count: int) -> Rows:
        if not isinstance(response, Mapping) or self.returned not in response:
            other = next((f for f in JSON_FORMS.values() if f.returned in _keys(response)), None)
            advice = f" Such responses are read with form={other.sent!r}." if other else ""
            raise ValueError(f"responds without {self.returned!r}: {_short(response)}.{advice}")
        outputs = self._by_name(response[self.returned])
        for name, rows in outputs.items():
            if not isinstance(rows, list) or len(rows) != count:
                came = f"{len(rows)} of them" if isinstance(rows, list) else _short(rows)
                what = f" under {name!r}" if name else ""
                raise ValueError(
                    f"was sent {count} examples and responds with {came}{what}: a list with one "
                    "entry for each example is expected, in their order."
                )
        return outputs

    def _by_name(self, outputs: Any) -> Rows:
        """Lists by output; the name of an only one is empty."""
        if isinstance(outputs, Mapping):
            return dict(outputs)
        if isinstance(outputs, list) and outputs and isinstance(outputs[0], Mapping):
            names = set(outputs[0])
            if any(not isinstance(row, Mapping) or set(row) != names for row in outputs):
                raise ValueError(
                    f"gives some examples other outputs than the first, which has {listing(names)}."
                )
            return {name: [row[name] for row in outputs] for name in outputs[0]}
        return {"": outputs}

    def signals(self, rows: Rows, paths: Sequence[str], whose: str) -> dict[str, Any]:
        if set(rows) == {""} and self.output is None:
            rows, output = {OUTPUT: rows[""]}, OUTPUT
        else:
            output = choose(dict.fromkeys(rows, np.empty(0)), self.output, whose)
        wanted = {output, *paths} & set(rows)
        found: dict[str, Any] = {
            name: _array(rows[name], f"'{name}' of {whose}") if name in wanted else rows[name]
            for name in rows
        }
        return {OUTPUT: found[output], **found}

    def settings(self) -> dict[str, Any]:
        return {"output": self.output}


class Instances(JSONForm):
    """One entry for each example: `{"instances": [...]}` and `{"predictions": [...]}`."""

    sent, returned = "instances", "predictions"

    def body(self, x: Any) -> dict[str, Any]:
        if isinstance(x, Mapping):
            lists = {name: _list(array) for name, array in x.items()}
            rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
            return {self.sent: rows}
        return {self.sent: _list(x)}


class Inputs(JSONForm):
    """One entry for each input: `{"inputs": ...}` and `{"outputs": ...}`."""

    sent, returned = "inputs", "outputs"

    def body(self, x: Any) -> dict[str, Any]:
        if isinstance(x, Mapping):
            return {self.sent: {name: _list(array) for name, array in x.items()}}
        return {self.sent: _list(x)}


JSON_FORMS: dict[str, type[JSONForm]] = {"instances": Instances, "inputs": Inputs}


def _list(x: Any) -> list[Any]:
    """An array as JSON has it; texts as texts."""
    if not hasattr(x, "dtype"):
        raise ValueError(
            "A server takes an array, or a dict of arrays by the names of its inputs. Received: "
            f"{type(x).__name__}."
        )
    array = np.asarray(x)
    if array.dtype.kind in "OSU":
        return keras.tree.map_structure(text, array.tolist())
    if array.dtype.kind not in "biuf":  # such as bfloat16
        array = array.astype("float32")
    return array.tolist()


def text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _array(rows: list[Any], whose: str) -> np.ndarray:
    """Always of one type: JSON writes 1.0 as 1 or 1.0."""
    return numbers(rows, whose).astype("float32")


def _keys(response: Any) -> Sequence[str]:
    return list(response) if isinstance(response, Mapping) else []


def _short(response: Any) -> str:
    """The beginning of what came."""
    text = repr(response)
    return text[:200] + " ..." if len(text) > 200 else text
