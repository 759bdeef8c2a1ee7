"""Outputs that were computed elsewhere, as they came: columns by name, from memory or a file."""

import csv
import json
import os
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.optional import require
from keras_kd._examples._ids import as_bytes, shown
from keras_kd.stores._codecs import StoreError

#: The column that holds a whole output, and the columns of the largest log-probabilities: one
#: list for each example in one column or in two, or a row for each class.
OUTPUT, TOP = "output", "top"
LISTS, LONG = ("classes", "log_probabilities"), ("class", "log_probability")


@dataclass(frozen=True)
class Table:
    """Columns by name, of equal length.

    Args:
        where: What errors call it.
        columns: Arrays or lists.
        lines: In which line of a file each row stands, where that helps to find it.
    """

    where: str
    columns: dict[str, Any]
    lines: Sequence[int] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            stated = ", ".join(f"'{name}' has {count:,}" for name, count in lengths.items())
            raise StoreError(f"{self.where} has columns of different lengths: {stated}.")
        if not lengths or not self.rows:
            raise StoreError(f"{self.where} has no rows of answers.")

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))

    def row(self, place: int) -> str:
        """How an error calls a row."""
        return f"row {place}" if self.lines is None else f"line {self.lines[place]}"

    def without(self, name: str) -> "Table":
        return Table(self.where, {n: c for n, c in self.columns.items() if n != name}, self.lines)


def table_of(answers: Any, ids: Any) -> Table:
    """The columns of a file, of a dict, or of what stands for one column; `ids` as of `take_ids`."""
    if isinstance(answers, (str, os.PathLike)):
        return _from_file(Path(answers), ids)
    if isinstance(answers, Mapping):
        return Table("`answers`", {str(name): column for name, column in answers.items()})
    if isinstance(answers, (list, tuple)) and answers and isinstance(answers[0], Mapping):
        return Table("`answers`", {OUTPUT: list(answers)})
    try:
        outputs = np.asarray(answers)
    except ValueError as error:  # rows of several lengths
        raise StoreError(f"`answers` is no array: {error}.") from error
    if outputs.ndim == 0:
        raise TypeError(
            "`answers` must be an array (examples, classes), a dict of columns, a list with a dict "
            f"for each example, or the path of a file. Received: {answers!r}."
        )
    return Table("`answers`", {OUTPUT: outputs})


def take_ids(table: Table, ids: Any) -> tuple[np.ndarray, Table]:
    """The ids of the rows, as bytes, and the other columns."""
    if isinstance(ids, str):
        _check_ids_column(table.columns, table.where, ids)
        return _ids(table.columns[ids], f"the column '{ids}' of {table.where}"), table.without(ids)
    given = _ids(ids, "`ids`")
    if len(given) != table.rows:
        raise StoreError(
            f"{table.where} has {table.rows:,} rows for {len(given):,} ids: one for each is expected."
        )
    return given, table


def _check_ids_column(names: Collection[str], where: str, ids: Any) -> None:
    if isinstance(ids, str) and (ids not in names or len(names) == 1):
        raise StoreError(
            f"{where} has no column '{ids}' for the ids. Expected one of {listing(names)}."
            f"{did_you_mean(ids, names)} Name the one that holds them, ids='...', or give the ids of "
            "its rows."
        )


def _ids(ids: Any, where: str) -> np.ndarray:
    try:
        return as_bytes(ids)
    except ValueError as error:
        raise StoreError(f"{where[0].upper()}{where[1:]} cannot be the ids: {error}") from None


def namer(table: Table, ids: np.ndarray, first: np.ndarray | None = None) -> Callable[[int], str]:
    """How errors call an example: by its id and its place, or the `first` of several."""

    def name(place: int) -> str:
        return f"the example {shown(ids[place])}, {table.row(place if first is None else first[place])}"

    return name


def first_rows(places: Iterable[int], name: Callable[[int], str], most: int = 3) -> str:
    """The first of some rows, and how many more there are."""
    places = list(places)
    more = f"; and {len(places) - most:,} more" if len(places) > most else ""
    return "; ".join(map(name, places[:most])) + more


def _from_file(path: Path, ids: Any) -> Table:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"`answers` must be a file of one of the kinds {listing(_READERS)}. Received: '{path}'."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file '{path}' with answers.")
    return reader(path, f"'{path.name}'", ids)


def _csv(path: Path, where: str, ids: Any) -> Table:
    """A line of names, then a row in each line: numbers, but for ids and classes."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        _check_names(names, where)
        _check_ids_column(names, where, ids)
        texts: dict[int, list[str]] = {
            place: [] for place, name in enumerate(names) if name in (ids, LONG[0])
        }
        others = [place for place in range(len(names)) if place not in texts]
        numbers, lines = array("d"), array("q")
        for row in reader:
            if not row:
                continue
            line = reader.line_num
            if len(row) != len(names):
                raise StoreError(
                    f"Line {line} of {where} has {len(row)} cells, and its first line names "
                    f"{len(names)} columns."
                )
            for place, column in texts.items():
                column.append(row[place])
            try:
                found = [float(row[place]) for place in others]
            except ValueError:
                found = [number(row[p], where, f"'{names[p]}' in line {line}") for p in others]
            numbers.extend(found)
            lines.append(line)
    table = np.array(numbers).reshape(len(lines), len(others)).T
    columns: dict[int, Any] = {**texts, **dict(zip(others, table, strict=True))}
    return Table(where, {name: columns[place] for place, name in enumerate(names)}, lines)


def number(cell: Any, where: str, place: str) -> float:
    """A cell as a number; an empty one is NaN."""
    try:
        return float(cell) if cell not in (None, "") else np.nan
    except (ValueError, TypeError):
        raise StoreError(
            f"{where} has {cell!r} under {place}: a number is expected. Every column but the ids' is "
            "a class."
        ) from None


def _check_names(names: list[str], where: str) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise StoreError(f"{where} has two columns '{twice}'. Each needs a name of its own.")


def _parquet(path: Path, where: str, ids: Any) -> Table:
    parquet = require("pyarrow.parquet", purpose=f"{where} is read")
    types = require("pyarrow.types", purpose=f"{where} is read")
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:  # pyarrow's own are of these
        raise StoreError(f"{where} cannot be read: {error}") from error
    _check_names(table.column_names, where)
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        plain = types.is_integer(column.type) or types.is_floating(column.type)
        columns[name] = column.to_numpy() if plain else column.to_pylist()
    return Table(where, columns)


def _json_lines(path: Path, where: str, ids: Any) -> Table:
    """An object in each line, all with the names of the first."""
    columns: dict[str, list[Any]] = {}
    lines = array("q")
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise TypeError("no object")
            except (ValueError, TypeError) as error:
                raise StoreError(f"Line {number} of {where} is no JSON object: {error}.") from None
            columns = columns or {name: [] for name in row}
            for name, column in columns.items():
                if name not in row:
                    raise StoreError(
                        f"Line {number} of {where} has no '{name}', as the first line has. It has "
                        f"{listing(row)}."
                    )
                column.append(row[name])
            lines.append(number)
    return Table(where, dict(columns), lines)


def _numpy(path: Path, where: str, ids: Any) -> Table:
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return Table(where, {OUTPUT: content})
        with content as archive:
            return Table(where, {name: archive[name] for name in archive.files})
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        raise StoreError(f"{where} cannot be read: {error}") from error


_READERS: dict[str, Callable[[Path, str, Any], Table]] = {
    ".csv": _csv, ".parquet": _parquet, ".jsonl": _json_lines, ".npy": _numpy, ".npz": _numpy,
}  # fmt: skip
