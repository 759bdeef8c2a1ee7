"""Where the layers of a transformer lie: its blocks, and the attention in each."""

import math
from typing import NamedTuple

import keras

from keras_kd._core.attention import SCORES, heads_and_widths, is_attention, projections
from keras_kd._core.layer_paths import lasting_path
from keras_kd.taps import layer_paths


class Block(NamedTuple):
    """One layer of a transformer, by addresses."""

    hidden: str  #: What it returns.
    scores: str  #: The scores of its self-attention.
    projections: tuple[str, str, str]  #: That attention's queries, keys and values.
    heads: int | None  #: Number of its queries' heads, where that shows.
    features: int | None  #: What divides the features of its queries and of its values, likewise.


def blocks(model: keras.Model, role: str) -> list[Block]:
    """The layers of a transformer, the first one first.

    Raises:
        ValueError: If `model` has no layers that hold an attention each.
    """
    layers = layer_paths(model)
    found: dict[str, Block] = {}
    for path, layer in layers.items():
        block, _, name = path.rpartition("/")
        if not is_attention(layer) or block in found or "cross" in name:
            continue
        if isinstance(layers.get(block), (type(None), keras.Model)):
            continue  # attention among all other layers: no layer returns what a block would
        place = f"{role}:{lasting_path(path, model)}"
        parts = projections(layer)
        shapes = heads_and_widths(layer)
        found[block] = Block(
            f"{role}:{lasting_path(block, model)}",
            f"{place}/{SCORES}",
            (
                f"{place}/{parts.get('query', 'query')}",
                f"{place}/{parts.get('key', 'key')}",
                f"{place}/{parts.get('value', 'value')}",
            ),
            shapes["query"][0] if "query" in shapes else None,
            math.gcd(*map(math.prod, shapes.values())) or None,
        )
    if not found:
        raise ValueError(
            f"In the {role} '{model.name}' no layer holds an attention, as those of a transformer "
            "from keras-hub do. Name its layers: pred=[...] and target=[...]."
        )
    return list(found.values())


def layer_pairs(student: list[Block], teacher: list[Block]) -> list[tuple[Block, Block]]:
    """Each of the student's layers with the teacher's that it learns from, evenly spread; the last
    with the last."""
    few, many = len(student), len(teacher)
    if few > many:
        raise ValueError(
            f"The student has {few} transformer layers and the teacher {many}: each of the "
            "student's learns from one of its own. Name them: pred=[...] and target=[...]."
        )
    return [(block, teacher[(i + 1) * many // few - 1]) for i, block in enumerate(student)]
