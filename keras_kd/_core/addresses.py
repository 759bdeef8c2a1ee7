"""Addresses: `"role:path"` names one tensor of one participant."""

from typing import NamedTuple

from keras_kd._core.deprecated import warn

#: The ground truth of the batch, in any form that `fit` was given.
LABELS = "labels"
#: The examples' numbers, which come with the batch beside any other signal.
IDS = "ids"
#: Which positions of the batch's sequences count, `(batch, positions)`: 1, and 0 at padding.
MASK = "mask"
#: How the tokens of student and teacher stand for the same text, where each has a tokenizer of its
#: own: a pair of arrays, see `keras_kd.losses.SpanTarget`.
SPANS = "spans"
#: Addresses that name no model.
RESERVED = (LABELS, IDS, MASK, SPANS)
#: The path of what a model takes in place of the batch's inputs, where it comes with the batch.
INPUTS = "inputs"
#: The path that names what a model returns.
OUTPUT = "output"
#: The path that names the derivative of what a model returns along a random direction of its
#: input: a Jacobian-vector product.
JVP = "jvp"
#: The path that names the factors of the logits that a model returns: what enters its last layer,
#: and that layer's weights.
FACTORS = "factors"
#: The former name of that path.
_FORMER_JVP = "slope"
#: Paths that always mean the model; a layer of such a name is `./output`.
OWN = (OUTPUT, JVP, FACTORS, _FORMER_JVP)


class Address(NamedTuple):
    role: str
    path: str

    def __str__(self) -> str:
        return f"{self.role}:{self.path}"


def parse(address: str) -> Address:
    """`"teacher:backbone/conv4"` -> `Address("teacher", "backbone/conv4")`."""
    if not isinstance(address, str):
        raise TypeError(
            "An address is a string such as 'student:output' or 'teacher:block3'. "
            f"Received: {address!r} of type {type(address).__name__}."
        )
    role, colon, path = address.partition(":")
    if not (role and colon and path) or address != address.strip():
        raise ValueError(
            "An address names a role and a path, such as 'student:output' or 'teacher:block3' "
            "(or is 'labels' or 'spans', as a target, 'ids', for a projector, or 'mask', for "
            "either). "
            f"Received: {address!r}."
        )
    return Address(role, path)


def current(address: str) -> str:
    """`address`, or what replaces it when it is a former one."""
    role, path = parse(address)
    first, *rest = path.split("/")
    if first != _FORMER_JVP:
        return address
    new = f"{role}:{'/'.join([JVP, *rest])}"
    warn(f"The address '{address}'", f"'{new}'", stacklevel=4)
    return new


def as_tuple(side: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """One address or several, always as a tuple."""
    return (side,) if isinstance(side, str) else tuple(side)
