"""A table's outputs for all classes, once they are known to make sense."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from keras_kd._core.messages import listing
from keras_kd._core.output_kinds import logits_of
from keras_kd.stores._answer_tables import OUTPUT, Table, first_rows, number
from keras_kd.stores._codecs import StoreError

Names = Callable[[int], str]
#: Names of the student's classes in the order of its outputs, how many there are, or neither.
Classes: TypeAlias = list[str] | int | None


def dense(table: Table, kind: str, classes: Classes, floor: float, name: Names) -> np.ndarray:
    """The outputs as float32 logits (or values), `(examples, ..., classes)`.

    Args:
        table: Without the ids.
        kind: What they are.
        classes: The student's.
        floor: The probability that 0 counts as.
        name: How errors call a row.
    """
    outputs, names = _outputs(table, name)
    outputs = _aligned(outputs, names, classes, table.where)
    strange = np.isnan(outputs) | np.isposinf(outputs)
    if kind != "log_probabilities":
        strange |= np.isneginf(outputs)
    if strange.any():
        places = np.flatnonzero(strange.reshape(len(strange), -1).any(axis=1))
        raise StoreError(
            f"{table.where} holds NaN, infinite or missing values: {first_rows(places, name)}."
        )
    try:
        return logits_of(outputs, kind, whose=table.where, floor=floor, row=name)
    except ValueError as error:
        raise StoreError(str(error)) from None


def check_range(outputs: np.ndarray, dtype: str, where: str, name: Names) -> None:
    """Raises when numbers are larger than `dtype` holds."""
    beyond = np.abs(outputs) > np.finfo(dtype).max
    if beyond.any():
        places = np.flatnonzero(beyond.reshape(len(beyond), -1).any(axis=1))
        raise StoreError(
            f"{where} is beyond what {dtype} holds: {first_rows(places, name)}. Write with "
            "dtype='float32'."
        )


def _outputs(table: Table, name: Names) -> tuple[np.ndarray, list[str] | None]:
    """Numbers `(examples, ..., classes)`, and the names of the classes, if the columns have them."""
    columns = table.columns
    only = next(iter(columns)) if len(columns) == 1 else None
    column = columns.get(OUTPUT, columns[only] if only else None)
    if column is None or not (OUTPUT in columns or _holds_outputs(column)):
        numbers = [_numbers(column, f"'{c}'", table) for c, column in columns.items()]
        return np.stack(numbers, axis=1), list(columns)
    if isinstance(column[0], Mapping):
        return _by_name(column, table)
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiub":
        return column if column.dtype.kind == "f" else column.astype("float64"), None
    return _rows(column, table, name), None


def _holds_outputs(column: Any) -> bool:
    """Whether each row holds a whole output."""
    return np.ndim(column[0]) > 0 or isinstance(column[0], Mapping)


def _by_name(column: Sequence[Mapping], table: Table) -> tuple[np.ndarray, list[str]]:
    names = list(column[0])
    for place, row in enumerate(column):
        if not isinstance(row, Mapping) or set(row) != set(names):
            raise StoreError(
                f"{table.where} has other classes in {table.row(place)} than in {table.row(0)}: "
                f"{listing(map(str, row))} in place of {listing(map(str, names))}. If only the "
                "largest are listed: kind='top_k'."
            )
    numbers = [_numbers([row[c] for row in column], f"'{c}'", table) for c in names]
    return np.stack(numbers, axis=1), [str(c) for c in names]


def _numbers(column: Any, what: str, table: Table) -> np.ndarray:
    """A column as numbers; empty cells are NaN."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiub":
        return column
    cells = enumerate(column)
    return np.array([number(c, table.where, f"{what} in {table.row(p)}") for p, c in cells])


def _rows(column: Sequence[Any], table: Table, name: Names) -> np.ndarray:
    """Lists of one shape, stacked."""
    shape, found = None, []
    for place, row in enumerate(column):
        try:
            numbers = np.asarray(row, "float64")
        except (ValueError, TypeError):
            raise StoreError(
                f"{table.where} has no list of numbers as the output of {name(place)}."
            ) from None
        shape = numbers.shape if shape is None else shape
        if numbers.shape != shape:
            raise StoreError(
                f"{table.where} has an output of shape {numbers.shape} for {name(place)}, and of "
                f"{shape} for {name(0)}. One number for each class is expected."
            )
        found.append(numbers)
    return np.stack(found)


def _aligned(
    outputs: np.ndarray, names: list[str] | None, classes: Classes, where: str
) -> np.ndarray:
    """The outputs in the order of `classes`."""
    wanted = classes if isinstance(classes, list) else None
    expected = classes if wanted is None else len(wanted)
    if wanted is not None and names is not None:
        if set(wanted) != set(names):
            missing = [c for c in wanted if c not in set(names)]
            others = [c for c in names if c not in set(wanted)]
            raise StoreError(
                f"The classes of {where} are not those of `classes`: "
                + "; ".join(
                    f"{listing(some)} {what}"
                    for some, what in ((missing, "are missing"), (others, "are not among them"))
                    if some
                )
                + ". Name each class once, as the columns do, in the order of the student's outputs."
            )
        places = {c: place for place, c in enumerate(names)}
        return outputs[..., [places[c] for c in wanted]]
    if expected is not None and outputs.ndim > 1 and outputs.shape[-1] != expected:
        raise StoreError(
            f"{where} has {outputs.shape[-1]} numbers for each output, and `classes` has "
            f"{expected}."
        )
    numbered = names is not None and all(c.isdecimal() for c in names)
    if numbered and names != [str(c) for c in range(len(names or []))]:
        raise StoreError(
            f"The columns of {where} are called {listing(names or [])}, and would be read as the "
            f"classes 0 to {len(names or []) - 1}. Give the order of the student's outputs: "
            "classes=[...]."
        )
    return outputs
