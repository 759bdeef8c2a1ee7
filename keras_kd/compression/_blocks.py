"""Blocks of a model that repeat, and how to leave some out.

Where a single tensor carries all that goes on, a model can be cut. What lies between two such
places is a piece; a row of pieces that comes several times in sequence, with the same layers and
shapes and ending as it began, is a block that repeats.
"""

import itertools
import json
from typing import NamedTuple

import keras

from keras_kd.compression._graph import Graph, Step, tensors

_PRIVATE = ("name", "seed", "trainable", "rate")  # the last: how often a Dropout drops


class Piece(NamedTuple):
    start: keras.KerasTensor
    end: keras.KerasTensor
    steps: list[Step]
    signature: str


def shortened(graph: Graph, depth: float) -> Graph:
    """The graph with `depth` of each run of repeated blocks, spread over the run."""
    runs = _runs(_pieces(graph))
    dropped: list[Step] = []
    now: dict[int, keras.KerasTensor] = {}
    for blocks in runs:
        keep = max(1, int(depth * len(blocks) + 0.5))
        kept = {round(i * (len(blocks) - 1) / max(1, keep - 1)) for i in range(keep)}
        for i, block in enumerate(blocks):
            if i not in kept:
                dropped += [step for piece in block for step in piece.steps]
                now[id(block[-1].end)] = block[0].start
    if dropped:
        return graph.without(dropped, now)
    longest = max(map(len, runs), default=1)
    found = (
        f"the most that equal blocks follow one another is {longest} times, too few to drop one"
        if runs
        else "no block of layers comes twice in a row with the same settings and shapes"
    )
    raise ValueError(
        f"depth={depth} drops nothing from '{graph.model.name}': {found}. Pass a smaller depth, or "
        "build the student by hand."
    )


def carriers(graph: Graph) -> list[tuple[int, keras.KerasTensor]]:
    """The tensors that carry everything, each with the number of steps that come before it."""
    last_use: dict[int, int] = {}
    for place, step in enumerate(graph.steps):
        last_use.update({id(x): place for x in step.inputs})
    last_use.update({id(x): len(graph.steps) for x in tensors(graph.outputs)})
    live = {id(x): x for x in tensors(graph.inputs)}
    found = [(0, x) for x in live.values() if len(live) == 1]
    for place, step in enumerate(graph.steps):
        live.update({id(x): x for x in step.outputs})
        live = {key: x for key, x in live.items() if last_use.get(key, -1) > place}
        found += [(place + 1, x) for x in live.values() if len(live) == 1]
    return found


def _pieces(graph: Graph) -> list[Piece]:
    """The model, cut wherever one tensor carries everything."""
    pieces: list[Piece] = []
    for (first, start), (last, end) in itertools.pairwise(carriers(graph)):
        steps = graph.steps[first:last]
        pieces.append(Piece(start, end, steps, _signature(start, end, steps)))
    return pieces


def _runs(pieces: list[Piece]) -> list[list[list[Piece]]]:
    """The runs of repeated blocks: in each, the blocks; in each block, its pieces."""
    runs, place = [], 0
    while place < len(pieces):
        best: list[list[Piece]] = []
        for size in range(1, (len(pieces) - place) // 2 + 1):
            blocks = _repeats(pieces, place, size)
            if len(blocks) * size > len(best) * len(best[0] if best else []):
                best = blocks
        if best:
            runs.append(best)
            place += len(best) * len(best[0])
        else:
            place += 1
    return runs


def _repeats(pieces: list[Piece], place: int, size: int) -> list[list[Piece]]:
    """The blocks of `size` pieces from `place` on that are equal; none if there is only one."""
    first = pieces[place : place + size]
    weighs = any(getattr(step.operation, "weights", ()) for piece in first for step in piece.steps)
    if first[0].start.shape != first[-1].end.shape or not weighs:
        return []
    blocks = [first]
    for at in range(place + size, len(pieces) - size + 1, size):
        block = pieces[at : at + size]
        if [p.signature for p in block] != [p.signature for p in first]:
            break
        blocks.append(block)
    return blocks if len(blocks) > 1 else []


def _signature(start: keras.KerasTensor, end: keras.KerasTensor, steps: list[Step]) -> str:
    """Everything about the piece but its names and its weights."""
    places = {id(start): 0}
    described: list[object] = [start.shape, end.shape]
    for step in steps:
        wires = [places.get(id(x), -1) for x in step.inputs]
        places.update({id(x): len(places) + i for i, x in enumerate(step.outputs)})
        described += [type(step.operation).__name__, wires, _settings(step.operation)]
    return json.dumps(described, default=str)


def _settings(operation: keras.Operation) -> dict[str, object]:
    if not isinstance(operation, keras.Layer):
        return {}
    config = operation.get_config()
    return {k: v for k, v in config.items() if k not in _PRIVATE and not k.endswith("initializer")}
