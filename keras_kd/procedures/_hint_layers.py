"""Which layers of two networks to pair."""

import keras

from keras_kd._core.keras_private import calls_of, layers_of
from keras_kd._core.shapes import grid_of
from keras_kd.taps import layer_paths

Size = tuple[int | None, ...]
#: Whose output is what came in, with a margin or without one.
_PADDING = (keras.layers.ZeroPadding2D, keras.layers.Cropping2D)


def hint_layers(
    student: keras.Model,
    teacher: keras.Model,
    *,
    max_pairs: int | None = None,
    student_role: str = "student",
    teacher_role: str = "teacher",
) -> dict[str, list[str]]:
    """Layers of two networks that go together, as the `pred` and `target` of a feature recipe.

    `keras_kd.recipes.attention_transfer(**keras_kd.procedures.hint_layers(student, teacher))`

    For networks of images: for each height and width that both have, the last layer of that
    size in each; shallow first. The tokens of a vision transformer are a map too, whose places
    they are; `keras_kd.projectors.TokensToMap` brings them to its shape. Layers that only pad or
    crop are passed over. When the networks share no size, the last layers of each size are paired
    by their relative depth. For other networks: the last layer of each run of layers with outputs
    of one shape, by relative depth as well. The networks' output layers are left out.

    Args:
        student: A built `keras.Model`, Functional or Sequential.
        teacher: Another.
        max_pairs: Number of pairs to keep, the deepest. Defaults to `None`, all.
        student_role: The student's role. Defaults to `"student"`.
        teacher_role: The teacher's role. Defaults to `"teacher"`.

    Returns:
        A dict of two lists of addresses, `"pred"` and `"target"`.

    Raises:
        ValueError: If the shapes of a network's layers are not known, as in subclassed models.

    Example:

    >>> def network(filters):
    ...     layers = [keras.layers.Conv2D(filters, 3, 2, "same", name=f"c{i}") for i in range(2)]
    ...     head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    ...     return keras.Sequential([keras.Input((16, 16, 3)), *layers, *head])
    >>> keras_kd.procedures.hint_layers(network(4), network(8))
    {'pred': ['student:c0', 'student:c1'], 'target': ['teacher:c0', 'teacher:c1']}
    """
    stages = {role: _stages(model) for role, model in (("s", student), ("t", teacher))}
    ours, theirs = stages["s"], stages["t"]
    shared = [size for size in ours if size in theirs]
    if shared:
        pairs = [(ours[size], theirs[size]) for size in shared]
    else:
        pairs = _by_depth(list(ours.values()), list(theirs.values()))
    pairs = pairs[-max_pairs:] if max_pairs else pairs
    return {
        "pred": [f"{student_role}:{s}" for s, _ in pairs],
        "target": [f"{teacher_role}:{t}" for _, t in pairs],
    }


def _stages(model: keras.Model) -> dict[Size, str]:
    """The last layer of each size, shallow first: of maps when there are any."""
    shapes: dict[str, Size] = {}
    # A Sequential from a file was built anew for each layer it got, and its layers keep the nodes.
    rows = [m for m in layers_of(model) if isinstance(m, keras.Sequential)]
    in_a_row = {id(layer) for row in rows for layer in row.layers}
    for path, layer in layer_paths(model).items():
        nodes = [] if isinstance(layer, keras.Model) else calls_of(layer)
        if len(nodes) == 1 or (nodes and id(layer) in in_a_row):
            output = nodes[-1].output_tensors[0]
            if keras.backend.is_keras_tensor(output):
                shapes[path] = tuple(output.shape)
    if not shapes:
        raise ValueError(
            f"The shapes of the layers of '{model.name}' are not known, so they cannot be paired. "
            "Name `pred` and `target` yourself."
        )
    if any(len(x.shape) == 4 for x in model.inputs):
        same = [p for p, layer in layer_paths(model).items() if isinstance(layer, _PADDING)]
        return _maps({path: shape for path, shape in shapes.items() if path not in same})
    *inner, _ = [
        item for item in shapes.items() if len(item[1]) < 4
    ]  # the last one gives the outputs
    runs: dict[Size, str] = {}
    for number, (path, shape) in enumerate(inner):
        if runs and shapes[list(runs.values())[-1]] == shape:
            runs.popitem()
        runs[(number,)] = path
    return runs


def _maps(shapes: dict[str, Size]) -> dict[Size, str]:
    axes = (2, 3) if keras.config.image_data_format() == "channels_first" else (1, 2)
    sizes = {p: tuple(s[axis] for axis in axes) for p, s in shapes.items() if len(s) == 4}
    grids = [size for size in sizes.values() if None not in size]
    for path, shape in shapes.items():
        if len(shape) == 3 and shape[1] is not None:
            sizes[path] = grid_of(shape[1], grids) or ()
    maps: dict[Size, str] = {}
    for path in shapes:
        size = sizes.get(path, ())
        if size and size != (1, 1):
            maps.pop(size, None)
            maps[size] = path
    return maps


def _by_depth(ours: list[str], theirs: list[str]) -> list[tuple[str, str]]:
    """As many pairs as the shorter list has layers, at equal shares of both."""
    count = min(len(ours), len(theirs))

    def spread(paths: list[str]) -> list[str]:
        return [paths[-(-(i + 1) * len(paths) // count) - 1] for i in range(count)]

    return list(zip(spread(ours), spread(theirs), strict=True))
