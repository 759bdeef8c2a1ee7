"""How many bits the weights of each layer have, as a user states it."""

from collections.abc import Iterable, Mapping
from typing import Any

from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.scalars import count
from keras_kd.compression._graph import Graph, Step

#: Bits of a layer's weights; `None` leaves the layer in float.
Bits = int | None


def bits_of_steps(
    graph: Graph, rounded: Iterable[Step], bits: Mapping[str, Bits] | None, default: int
) -> dict[int, Bits]:
    """The bits of each step by its `id`: those of the longest key that names it, or `default`.

    `rounded` are the steps with weights to round; a number has to name one of them.
    """
    if bits is None:
        bits = {}
    if not isinstance(bits, Mapping):
        raise TypeError(
            "`bits` must be a dict from a layer's name, path or prefix to its bits, such as "
            f"{{'block3': 4, 'head': None}}. Received: {bits!r}."
        )
    rounding = {id(step) for step in rounded}
    found: dict[int, Bits] = {id(step): default for step in graph.steps}
    by_key = {key: _check(key, value) for key, value in bits.items()}
    for key in sorted(by_key, key=len):  # the more precise after the less precise
        named = _named(graph, key)
        if by_key[key] is not None and not any(id(step) in rounding for step in named):
            raise ValueError(
                f"No weights to round in '{key}', named in `bits`: {_kinds(named)}. Expected one "
                f"of {listing(s.path for s in graph.steps if id(s) in rounding)}; None leaves a "
                "layer in float."
            )
        found.update({id(step): by_key[key] for step in named})
    return found


def _check(key: Any, value: Any) -> Bits:
    if not isinstance(key, str):
        raise TypeError(f"A key of `bits` must be a layer's name or path. Received: {key!r}.")
    return None if value is None else count(value, f"bits['{key}']", least=2, most=8)


def _named(graph: Graph, key: str) -> list[Step]:
    """The steps of that path or name, or within it; where there is none, those whose path begins
    so: `block3` for `block3_conv`, and not for `block30`."""
    steps = graph.steps
    exact = [s for s in steps if key in (s.path, s.name) or s.path.startswith(f"{key}/")]
    if exact:
        return exact
    begun = [s for s in steps if s.path.startswith(key) and not s.path[len(key)].isalnum()]
    if begun:
        return begun
    known = dict.fromkeys(part for s in steps for part in _parents(s.path))
    raise ValueError(
        f"No layer '{key}' in student '{graph.model.name}', named in `bits`. Expected a name, path "
        f"or prefix of its layers: {listing(known)}.{did_you_mean(key, known)}"
    )


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _kinds(steps: list[Step]) -> str:
    return listing(dict.fromkeys(type(step.operation).__name__ for step in steps))
