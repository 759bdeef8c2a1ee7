"""A table's largest log-probabilities, as the target that `SparseSoftTarget` takes.

Rows may list fewer classes than others. They are filled up with their first class, of which the
loss knows that it counts once, at a log-probability whose exponential is 0.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_kd._core.largest import Largest
from keras_kd._core.messages import listing
from keras_kd._core.probabilities import ROUNDING
from keras_kd.stores._answer_outputs import Names
from keras_kd.stores._answer_tables import LISTS, LONG, OUTPUT, TOP, Table, first_rows
from keras_kd.stores._codecs import StoreError

#: A log-probability whose exponential is 0, and which float16 holds.
NOTHING = -1e4


class Listed(NamedTuple):
    """What is listed, one entry after the other: its row, its class, its log-probability.

    A row is a position of an example, where examples have several.
    """

    rows: np.ndarray
    classes: Any
    values: np.ndarray
    positions: int | None = None


def by_example(table: Table, ids: np.ndarray) -> tuple[Listed, np.ndarray, np.ndarray]:
    """What a table lists; the examples' ids; and, of each, the first row of the table."""
    columns = table.columns
    if set(LONG) <= set(columns):
        ids, first, rows = np.unique(ids, return_index=True, return_inverse=True)
        order = np.argsort(first)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        values = _values(columns[LONG[1]], table)
        return Listed(place[rows], columns[LONG[0]], values), ids[order], first[order]
    every = np.arange(len(ids))
    if set(LISTS) <= set(columns):
        classes, values = (columns[name] for name in LISTS)
        if all(isinstance(c, np.ndarray) and c.dtype.kind in "fiu" for c in (classes, values)):
            return _rectangular(classes, values, table), ids, every
        pairs = zip(classes, values, strict=True)
        lists = [_zipped(c, v, table.row(place), table) for place, (c, v) in enumerate(pairs)]
        return _flat(lists, table), ids, every
    column = columns.get(TOP, columns.get(OUTPUT))
    if column is None or (isinstance(column, np.ndarray) and column.dtype.kind in "fiu"):
        raise StoreError(
            f"kind='top_k' takes classes with their log-probabilities, and {table.where} has the "
            f"columns {listing(columns)}. Expected '{TOP}' (a dict or pairs for each example), "
            f"{listing(LISTS)} (lists), or {listing(LONG)} (a row for each)."
        )
    return _flat(column, table), ids, every


def largest(
    listed: Listed, examples: int, classes: list[str] | int, where: str, name: Names
) -> Largest:
    """The entries, the largest first, in rows of one length.

    With as many entries as classes nothing is left to the rest: the smallest entry is left to it,
    and the rest then is this one class.

    Args:
        listed: What is listed.
        examples: How many examples there are.
        classes: The student's classes as they are called here, or how many there are.
        where: What errors call the table.
        name: How errors call an example.
    """
    many = classes if isinstance(classes, int) else len(classes)
    positions = listed.positions or 1
    rows, values = listed.rows, listed.values

    def refuse(wrong: np.ndarray, what: str) -> None:
        """Raises when there are wrong rows."""
        if len(wrong):
            named = first_rows(np.unique(wrong // positions).tolist(), name)
            raise StoreError(f"{where} {what}: {named}.")

    count = np.bincount(rows, minlength=examples * positions)
    refuse(np.flatnonzero(count == 0), "lists no class")
    refuse(rows[np.isnan(values)], "holds NaN or missing values")
    refuse(rows[values > ROUNDING], "lists numbers above 0, and log-probabilities are at most 0")
    numbers = _numbers(listed, classes, where, lambda entry: name(int(rows[entry]) // positions))
    order = np.lexsort((numbers, -values, rows))
    rows, values, numbers = rows[order], values[order], numbers[order]
    pairs = np.sort(rows * many + numbers)
    refuse(pairs[1:][pairs[1:] == pairs[:-1]] // many, "lists a class twice")
    sums = np.bincount(rows, np.exp(values), minlength=len(count))
    refuse(np.flatnonzero(sums > 1 + ROUNDING), "lists probabilities with a sum above 1")
    whole = (count == many) & (sums < 1 - ROUNDING)
    refuse(np.flatnonzero(whole), "lists all classes with a sum below 1")
    k = min(int(count.max()), many - 1)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    keep = place < k
    found = np.full((len(count), k), NOTHING)
    found[rows[keep], place[keep]] = np.maximum(values[keep], NOTHING)
    of_class = np.repeat(numbers[place == 0][:, np.newaxis], k, axis=1)
    of_class[rows[keep], place[keep]] = numbers[keep]
    shape = (examples,) if listed.positions is None else (examples, positions)
    return Largest(
        found.astype("float32").reshape(*shape, k),
        of_class.astype("int32").reshape(*shape, k),
        np.zeros(shape, "float32"),
    )


def _numbers(
    listed: Listed, classes: list[str] | int, where: str, name_of: Callable[[int], str]
) -> np.ndarray:
    """The classes' numbers."""
    given = listed.classes
    if isinstance(classes, int) and isinstance(given, np.ndarray) and given.dtype.kind in "iu":
        numbers = given.astype("int64")
        wrong = (numbers < 0) | (numbers >= classes)
    else:
        known = map(str, range(classes)) if isinstance(classes, int) else classes
        places = {c: place for place, c in enumerate(known)}
        numbers = np.array([places.get(str(c), -1) for c in given], "int64")
        wrong = numbers < 0
    if wrong.any():
        place = int(wrong.argmax())
        expected = f"numbers from 0 to {classes - 1}" if isinstance(classes, int) else "`classes`"
        others = f" (and {int(wrong.sum()) - 1:,} more)" if wrong.sum() > 1 else ""
        raise StoreError(
            f"{where} lists the class '{given[place]}'{others}, which is none of {expected}: "
            f"{name_of(place)}. Give the student's classes as they are called here, in "
            "the order of its outputs: classes=[...]; of numbers, how many there are."
        )
    return numbers


def _values(column: Any, table: Table) -> np.ndarray:
    try:
        return np.array([np.nan if v is None or v == "" else float(v) for v in column], "float64")
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"{table.where} has a log-probability that is no number: {error}."
        ) from None


def _rectangular(classes: np.ndarray, values: np.ndarray, table: Table) -> Listed:
    """Of two arrays `(examples, ..., k)`; a class of -1 is no entry."""
    if classes.shape != values.shape or classes.ndim not in (2, 3):
        raise StoreError(
            f"{table.where} must have classes and log-probabilities of one shape, (examples, k) or "
            f"(examples, positions, k). Received: {classes.shape} and {values.shape}."
        )
    there = classes.ravel() != -1
    rows = np.repeat(np.arange(classes[..., 0].size), classes.shape[-1])[there]
    whole = classes.ravel()[there].astype("int64")
    positions = classes.shape[1] if classes.ndim == 3 else None
    return Listed(rows, whole, values.ravel()[there].astype("float64"), positions)


def _zipped(classes: Any, values: Any, row: str, table: Table) -> list[Any]:
    """Two lists as a list of pairs, or one of these for each position."""
    if np.shape(classes)[:1] != np.shape(values)[:1]:
        raise StoreError(
            f"{table.where} has {len(classes)} classes and {len(values)} log-probabilities in {row}."
        )
    if len(classes) and isinstance(classes[0], (list, tuple, np.ndarray)):
        return [_zipped(c, v, row, table) for c, v in zip(classes, values, strict=True)]
    return list(zip(classes, values, strict=True))


def _flat(column: Sequence[Any], table: Table) -> Listed:
    """Of a dict, or pairs, for each example; or a list of these, one for each position."""
    several = [_positions(top) for top in column]
    lengths = [None if each is None else len(each) for each in several]
    for place, length in enumerate(lengths):
        if length != lengths[0]:
            raise StoreError(
                f"{table.where} has {length or 1} positions in {table.row(place)}, and "
                f"{lengths[0] or 1} in {table.row(0)}: as many in each are expected."
            )
    tops = column if lengths[0] is None else itertools.chain.from_iterable(several)  # type: ignore[arg-type]
    counts, classes, values = [], [], []
    for place, top in enumerate(tops):
        try:
            entries = list(_entries(top))
            values += [np.nan if value is None else float(value) for _, value in entries]
        except (ValueError, TypeError):
            row = table.row(place // (lengths[0] or 1))
            raise StoreError(
                f"{table.where} has no classes with log-probabilities in {row}: expected a dict "
                "such as {'cat': -0.1}, or pairs such as [['cat', -0.1]]."
            ) from None
        classes += [label for label, _ in entries]
        counts.append(len(entries))
    return Listed(np.repeat(np.arange(len(counts)), counts), classes, np.array(values), lengths[0])


def _entries(top: Any) -> Iterator[tuple[Any, Any]]:
    return iter(top.items() if isinstance(top, Mapping) else [(c, value) for c, value in top])


def _positions(top: Any) -> Sequence[Any] | None:
    """The positions of an example; `None` when it is but one."""
    if isinstance(top, Mapping) or not isinstance(top, (list, tuple)) or not top:
        return None
    first = top[0]
    lists = isinstance(first, (list, tuple)) and bool(first) and isinstance(first[0], (list, tuple))
    return top if isinstance(first, Mapping) or lists else None
