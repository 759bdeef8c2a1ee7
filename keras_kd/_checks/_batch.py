"""What a batch brings: the models' input, and signals beside it; and inputs that do not fit."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from keras_kd._core.addresses import INPUTS, RESERVED
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.symbolic import input_of
from keras_kd.taps import Signals, Tap

_BESIDE = "{'inputs': x, 'signals': {'teacher:output': outputs}}"


def split(inputs: Any) -> tuple[Any, Signals]:
    """The models' input, and the signals that came with it."""
    if not isinstance(inputs, Mapping):
        return inputs, {}
    if set(inputs) != {"inputs", "signals"}:
        _check_no_signals(inputs)
        return inputs, {}
    signals = inputs["signals"]
    if not isinstance(signals, Mapping):
        raise ValueError(
            f"Signals come by address: feed {_BESIDE} in place of x. Received for 'signals': "
            f"{'several tensors' if keras.tree.is_nested(signals) else 'one tensor'}."
        )
    return inputs["inputs"], dict(signals)


def _check_no_signals(inputs: Mapping[str, Any]) -> None:
    """Proves that a dict of inputs was not meant to hold signals."""
    addresses = [key for key in inputs if isinstance(key, str) and ":" in key]
    if addresses or ("inputs" in inputs and any(_all_addresses(v) for v in inputs.values())):
        raise ValueError(
            f"The batch holds signals in another form than {_BESIDE}. Received a dict with the "
            f"keys {listing(map(str, inputs))}."
            + ("" if addresses else did_you_mean(_other(inputs), ["signals"]))
        )


def _all_addresses(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(":" in str(key) for key in value)


def _other(inputs: Mapping[str, Any]) -> str:
    return next((key for key in inputs if key != "inputs"), "")


def check_some(x: Any, what: str) -> None:
    """Proves that arrays hold at least one example."""
    for leaf in keras.tree.flatten(x):
        shape = getattr(leaf, "shape", None)
        if shape is not None and len(shape) > 0 and shape[0] == 0:
            raise ValueError(
                f"{what} holds no examples: an array of shape {tuple(shape)}. {LEAVE_OUT}"
            )
    if isinstance(x, list) and not x:
        raise ValueError(f"{what} holds no examples: an empty list. {LEAVE_OUT}")


def check_signal_arrays(x: Any) -> None:
    """Proves that signals given as arrays have a row for each example."""
    if not isinstance(x, Mapping) or set(x) != {"inputs", "signals"}:
        return
    inputs = next(iter(keras.tree.flatten(x["inputs"])), None)
    rows = next(iter(getattr(inputs, "shape", ())), None)
    for address, signal in x["signals"].items() if isinstance(x["signals"], Mapping) else ():
        if isinstance(signal, (list, tuple)) and signal and not hasattr(signal[0], "shape"):
            raise ValueError(
                f"The signal '{address}' is a {type(signal).__name__} of Python numbers. Give an "
                f"array: np.asarray(...), with a row for each of the {rows} examples."
            )
        for leaf in keras.tree.flatten(signal):
            shape = tuple(getattr(leaf, "shape", ()))
            if rows is not None and shape and shape[0] != rows:
                raise ValueError(
                    f"The signal '{address}' has {shape[0]} rows, and the inputs have {rows}: every "
                    f"example has one. Received a signal of shape {shape}."
                )


#: What to do about batches of no examples.
LEAVE_OUT = "Give at least one example, and leave out batches without any."


def no_batches() -> ValueError:
    """The error of data that gave no batch."""
    return ValueError(
        "The data gave no batch: they are empty, or spent. A generator gives its batches once; for "
        "several epochs give arrays, a keras.utils.PyDataset, a tf.data.Dataset, or a generator "
        "without an end and `steps_per_epoch`."
    )


def check_read(given: Signals, needed: Iterable[str], models: Mapping[str, keras.Model]) -> None:
    """Raises when the address of a signal that came is a needed one, misspelled; warns of signals
    that nothing reads."""
    needed = dict.fromkeys(needed)
    unread = [a for a in given if a not in needed and a not in RESERVED]
    for address in unread:
        missing = [a for a in needed if a not in given]
        nearest = "" if _names_a_layer(address, models) else did_you_mean(address, missing)
        if nearest:
            raise ValueError(
                f"The batch brings the signal '{address}', which no term and no metric reads."
                + nearest
            )
    if unread:
        terms_read = [a for a in needed if not a.endswith(f":{INPUTS}")]
        warnings.warn(
            f"The batch brings {listing(unread)}, which no term and no metric reads: they read "
            f"{listing(terms_read)}. Leave it out, or name it in a term.",
            stacklevel=2,
        )


def _names_a_layer(address: str, models: Mapping[str, keras.Model]) -> bool:
    role, _, path = address.partition(":")
    if role not in models:
        return False
    try:
        Tap(role, models[role], {path: "a batch"})
    except ValueError:
        return False
    return True


def absent(reader: str, address: str, came: Any, roles: Any) -> ValueError:
    """The error of a signal that is missing."""
    others = [a for a in came if a != "labels" and a.partition(":")[0] not in roles]
    brought = f" The batch brought {listing(others)}, which is no such address." if others else ""
    return ValueError(
        f"{reader} needs '{address}', which no model here gives and which did not come with the "
        "batch. Pass `teacher=` to the Distiller, or feed "
        f"{{'inputs': x, 'signals': {{'{address}': ...}}}} in place of x." + brought
    )


def no_spans(reader: str, address: str) -> ValueError:
    """The error of a batch of one tokenizer where there are two."""
    return ValueError(
        f"{reader} has tokens of its own, and this batch brings no {address}: the teacher must not be "
        "given the student's token ids. Feed keras_kd.sources.TwoTokenizers(texts, "
        "student_tokenizer, teacher_tokenizer, max_length=...), to fit and to evaluate."
    )


def cannot_run(role: str, model: keras.Model, inputs: Any, why: str, learns: bool) -> ValueError:
    """The error of a model that fails on the input that all models are given."""
    shapes = keras.tree.map_structure(_shape, inputs)
    whose = "the student's input" if not learns else "its input"
    text = f"{role.capitalize()} '{model.name}' could not run on {whose} {shapes}: {why}"
    wants = input_of(model)
    if learns or wants is None or fits(inputs, wants):
        return ValueError(text)
    text += "" if text.endswith(".") else "."
    text += f" It takes {keras.tree.map_structure(_shape, wants)}."
    return ValueError(f"{text} {_other_input(role, inputs, wants)}")


def _other_input(role: str, inputs: Any, wants: Any) -> str:
    """What to write for a model that takes another input than the student."""
    on_input = f"{role}=keras_kd.teachers.SelectInput({role}"
    if isinstance(inputs, (Mapping, list, tuple)) and not keras.tree.is_nested(wants):
        parts = dict(inputs) if isinstance(inputs, Mapping) else dict(enumerate(inputs))
        fitting = [key for key, part in parts.items() if fits(part, wants)]
        if fitting:
            return f"To show it one of the student's inputs: {on_input}, {fitting[0]!r})."
        return (
            f"Feed its input beside the student's and show it that one: {on_input}, 'its_key'); "
            "the student then is a model that takes the others."
        )
    sizes = [_shape(x) for x in (inputs, wants)] if not keras.tree.is_nested(wants) else []
    made = ""
    if sizes and len(sizes[0]) == len(sizes[1]) == 4 and None not in sizes[1][1:3]:
        made = (
            f" Images of another size: {role}=keras.Sequential([keras.Input({sizes[0][1:]}), "
            f"keras.layers.Resizing{sizes[1][1:3]}, {role}])."
        )
    return (
        "Where each has an input of its own, feed a dict of both, such as {'a': x, 'b': z}, and "
        f"give student=keras_kd.teachers.SelectInput(student, 'a') and {on_input}, 'b').{made}"
    )


def fits(inputs: Any, wants: Any) -> bool:
    """Whether a model that takes `wants` can take `inputs`, as far as shapes show it."""
    if keras.tree.is_nested(inputs) or keras.tree.is_nested(wants):
        given, taken = keras.tree.flatten(inputs), keras.tree.flatten(wants)
        return len(given) == len(taken) and all(map(fits, given, taken))
    one, other = _shape(inputs), _shape(wants)
    return len(one) == len(other) and all(
        a is None or b is None or a == b for a, b in zip(one[1:], other[1:], strict=True)
    )


def _shape(x: Any) -> tuple[int | None, ...]:
    shape = tuple(x.shape)
    return (None, *shape[1:]) if shape else shape


def check_batched(x: Any, expected: Any) -> None:
    """Proves that a batch has an axis of examples: a data set may not have been batched."""
    if expected is None or keras.tree.is_nested(x) or keras.tree.is_nested(expected):
        return
    one, shape = tuple(expected.shape[1:]), getattr(x, "shape", None)
    if not one or one == (1,) or None in one or shape is None or tuple(shape) != one:
        return
    raise ValueError(
        f"The input is of shape {one}, which is that of one example and not of a batch, "
        f"{(None, *one)}. Batch the data set first: data.batch(32)."
    )


def check_weights_have_labels(y: Any, sample_weight: Any, where: str) -> None:
    """Raises when weights come without labels: Keras drops such weights without a warning."""
    if y is None and sample_weight is not None:
        raise ValueError(
            f"{where} was given `sample_weight` without `y`, and Keras leaves weights out of batches "
            "that have no labels. Give labels beside it; where no term reads any, any array of as "
            "many rows will do: y=np.zeros(len(sample_weight))."
        )


def check_classes_have_labels(x: Any, y: Any, class_weight: Any) -> None:
    """Raises when weights of classes come without labels."""
    arrays = all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x))  # else y may be in x
    if arrays and y is None and class_weight is not None:
        raise ValueError(
            "`class_weight` was given to fit() without `y`, which holds the class of each example. "
            "Give the labels: fit(x, y, class_weight=...)."
        )
