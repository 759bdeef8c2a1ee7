"""Similarity of the layers of two models, by linear CKA."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd._core.messages import did_you_mean, listing
from keras_kd.taps import layer_paths, recording


def cka(a: np.ndarray, b: np.ndarray) -> float:
    """Linear centered kernel alignment of two sets of features of the same examples.

    With centered `A` and `B`, one row per example:

    `cka = ||Bᵀ A||² / (||Aᵀ A|| · ||Bᵀ B||)`, in Frobenius norms

    From 0 to 1, and 1 when one is the other rotated and scaled. `nan` when one of them is the same
    for all examples. With many features and few examples it is above 0 also for noise.

    Args:
        a: Features, `(examples, ...)`; flattened.
        b: The same of another layer, with the same examples.

    Returns:
        The similarity.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> a = rng.normal(size=(100, 3))
    >>> round(keras_kd.report.cka(a, 5 * a[:, ::-1] + 1), 4)  # permuted, scaled and moved
    1.0

    Reference: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML
    2019, arXiv:1905.00414, section 3, formula 4.
    """
    return _alignment(_gram(a), _gram(b))


def _gram(features: np.ndarray) -> np.ndarray:
    """Inner products of centered rows, `(examples, examples)`."""
    rows = np.reshape(features, (len(features), -1)).astype("float32")
    rows = rows - rows.mean(axis=0)
    return (rows @ rows.T).astype("float64")


def _alignment(k: np.ndarray, m: np.ndarray) -> float:
    norms = float(np.linalg.norm(k) * np.linalg.norm(m))
    return float((k * m).sum() / norms) if norms > 0 else float("nan")


@dataclass(frozen=True)
class Similarity:
    """Linear CKA between layers of two models.

    Args:
        names: Names of the two models.
        layers: Paths of the layers of each.
        values: The similarities, `(layers of the first, layers of the second)`.
        examples: Number of examples.
    """

    names: tuple[str, str]
    layers: tuple[tuple[str, ...], tuple[str, ...]]
    values: np.ndarray
    examples: int


def similarity(
    first: keras.Model,
    second: keras.Model,
    x: Any,
    *,
    layers: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Similarity:
    """Linear CKA between layers of two models that saw the same inputs, such as student and teacher.

    Args:
        first: A model.
        second: Another; it takes the same input.
        x: A batch of inputs; some hundreds of examples serve.
        layers: Paths of the layers of each model. Defaults to `None`: those that own a matrix and
            give one tensor once in a pass, at most 16 of each model, evenly chosen.

    Returns:
        A `Similarity`.

    Raises:
        ValueError: If a path names no such layer.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="a")])
    >>> x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    >>> round(float(keras_kd.report.similarity(model, model, x).values[0, 0]), 4)
    1.0

    Reference: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML
    2019, arXiv:1905.00414.
    """
    paths_wanted = layers or (None, None)
    grams = [_grams(m, x, paths) for m, paths in zip((first, second), paths_wanted, strict=True)]
    values = np.array([[_alignment(k, m) for m in grams[1].values()] for k in grams[0].values()])
    examples = len(keras.tree.flatten(x)[0])
    return Similarity(
        (first.name, second.name), (tuple(grams[0]), tuple(grams[1])), values, examples
    )


def _grams(model: keras.Model, x: Any, paths_wanted: Sequence[str] | None) -> dict[str, np.ndarray]:
    paths = layer_paths(model)
    unknown = [path for path in paths_wanted or () if path not in paths]
    if unknown:
        raise ValueError(
            f"No layer '{unknown[0]}' in '{model.name}'. Expected one of its {len(paths)} layers: "
            f"{listing(paths)}." + did_you_mean(unknown[0], paths)
        )
    paths_chosen = list(paths_wanted or _layers_with_a_matrix(paths))
    with recording(paths[path] for path in paths_chosen) as recorded:
        model(x, training=False)
    calls = {path: recorded[id(paths[path])] for path in paths_chosen}
    single_outputs = {
        p: c[0] for p, c in calls.items() if len(c) == 1 and not keras.tree.is_nested(c[0])
    }
    if paths_wanted and (missing := [p for p in paths_wanted if p not in single_outputs]):
        raise ValueError(
            f"Layer '{missing[0]}' of '{model.name}' must give one tensor, once in a pass. It ran "
            f"{len(calls[missing[0]])} times."
        )
    if not single_outputs:
        raise ValueError(
            f"'{model.name}' has no layer that owns a matrix and gives one tensor once in a pass. "
            f"Name layers: {listing(paths)}."
        )
    paths_kept = list(single_outputs)
    if not paths_wanted and len(paths_kept) > 16:
        paths_kept = [
            paths_kept[i] for i in np.linspace(0, len(paths_kept) - 1, 16).round().astype(int)
        ]
    return {path: _gram(keras.ops.convert_to_numpy(single_outputs[path])) for path in paths_kept}


def _layers_with_a_matrix(paths: dict[str, keras.layers.Layer]) -> list[str]:
    """The outermost layers that are no models and own a matrix."""
    paths_chosen: list[str] = []
    for path, layer in paths.items():
        is_inner = any(path.startswith(outer + "/") for outer in paths_chosen)
        has_matrix = any(len(w.shape) > 1 for w in layer.weights)
        if has_matrix and not is_inner and not isinstance(layer, keras.Model):
            paths_chosen.append(path)
    return paths_chosen
