"""A store of outputs that were computed elsewhere."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._core.external import ExternalTeacher
from keras_kd._core.largest import Largest
from keras_kd._core.messages import listing
from keras_kd._core.output_kinds import FLOOR, KINDS, check_kind
from keras_kd._core.scalars import count
from keras_kd._examples._batches import batches_of
from keras_kd._examples._ids import as_bytes
from keras_kd._examples._part import Part
from keras_kd.stores._answer_lists import by_example, largest
from keras_kd.stores._answer_outputs import Classes, Names, check_range, dense
from keras_kd.stores._answer_tables import first_rows, namer, table_of, take_ids
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._manifest import Manifest
from keras_kd.stores._writer import write

_TOP_K = "top_k"
_DTYPES = ("float16", "float32")
#: How many examples of `data` are looked up at once.
_BATCH = 128


def from_answers(
    answers: Any,
    ids: Any,
    path: str | os.PathLike[str],
    *,
    kind: str,
    data: Any = None,
    classes: Sequence[Any] | int | None = None,
    dtype: str = "float16",
    floor: float = FLOOR,
    name: str | None = None,
) -> Manifest:
    """Writes a store of outputs that were computed elsewhere: an array, or a file of them.

    Everything is checked before the first byte is written. A store of answers is read like any
    other, `keras_kd.stores.read(path, data)`, for the examples in any order, or some of them.

    A file holds columns: those of a `.csv` or `.parquet` file, the names in each line of a
    `.jsonl` file, the arrays of an `.npz` file (an `.npy` file is one array). One holds the ids;
    the others, by `kind`:

    | kind | columns beside the ids |
    |---|---|
    | any but `"top_k"` | one for each class, with its name; or `output`: a list of numbers, or of a `.jsonl` file a dict by class |
    | `"top_k"` | `top`: a dict from classes to log-probabilities, or pairs of these |
    | | `classes` and `log_probabilities`: two lists |
    | | `class` and `log_probability`: a row for each class that an example lists |

    In a `.jsonl` file: `{"id": "7", "output": [0.9, 0.1]}`, `{"id": "7", "top": {"cat": -0.1}}`.

    Args:
        answers: Outputs, `(examples, ..., classes)`; or the path of a file; or columns in memory, a
            dict of them as in a file. Of `"top_k"` also a list with a dict for each example.
        ids: The ids of the examples, in the order of the answers; or the name of the column that
            holds them.
        path: The folder of the store. It is made when it is not there.
        kind: What the answers are: `"logits"`, `"probabilities"`, `"log_probabilities"`,
            `"binary_probabilities"` (each of its own, as after a sigmoid), `"values"` (of a
            regression), of all but the last of which logits are made; or `"top_k"`, the
            log-probabilities of some classes of each example: what they leave of 1 is shared by
            the others, as `keras_kd.losses.SparseSoftTarget` takes it.
        data: The examples with ids, as `keras_kd.data.feed` takes them: each must have an answer
            and each answer an example, and what the examples look like is kept, so that `read`
            notices other data under the same ids. Data that are no `Part` are gone through twice.
            Defaults to `None`: the store knows ids alone.
        classes: The student's classes in the order of its outputs, as the answers call them, or
            how many there are. Columns are put into this order. Needed by `"top_k"`. Defaults to
            `None`: the order in which the answers have them.
        dtype: `"float16"` or `"float32"`, as of `keras_kd.stores.write`. Defaults to `"float16"`.
        floor: The probability that 0 counts as. Defaults to `1e-7`.
        name: The teacher's name in the store. Defaults to the file's name, or
            `"answers"`.

    Returns:
        The `Manifest` of the store.

    Raises:
        StoreError: If answers and ids differ in number, or an id comes twice; if an answer is
            missing, not a number, or cannot be of this kind (the message names the first rows); if
            the classes are not those of `classes`; if `data` and answers are not of the same ids.

    Example:

    >>> import tempfile
    >>> part = keras_kd.data.load("digits")["test"].take(np.arange(2))
    >>> odds = [[0.91] + [0.01] * 9, [0.01] * 9 + [0.91]]
    >>> folder = tempfile.mkdtemp()
    >>> store = keras_kd.stores.from_answers(odds, part.ids, folder, kind="probabilities", data=part)
    >>> signals = keras_kd.stores.Store(folder)(part.ids[1:], views=np.array([0]))
    >>> [round(float(np.exp(logit)), 2) for logit in signals["teacher:output"][0, -2:]]
    [0.01, 0.91]
    """
    known = _checked(classes, kind)
    _check_arguments(kind, dtype, floor)
    table = table_of(answers, ids)
    found, table = take_ids(table, ids)
    outputs: Any
    if kind == _TOP_K:
        listed, found, first = by_example(table, found)
        of_row = namer(table, found, first)
        _check_ids(found, table.where, of_row)
        outputs = largest(listed, len(found), known, table.where, of_row)  # type: ignore[arg-type]
    else:
        of_row = namer(table, found)
        _check_ids(found, table.where, of_row)
        outputs = dense(table, kind, known, floor, of_row)
        check_range(outputs, dtype, table.where, of_row)
    if data is not None:
        _check_examples(found, data, table.where)
    stem = Path(answers).stem if isinstance(answers, (str, os.PathLike)) else "answers"
    teacher = _Answers(name or stem, found, outputs, kind, _count(known))
    examples = Part({}, None, found) if data is None else data
    manifest = write(teacher, examples, path, dtype=dtype, batch_size=_BATCH)
    assert manifest is not None
    return manifest


class _Answers(ExternalTeacher):
    """Outputs that are there already, found by id."""

    by_id = True

    def __init__(
        self, name: str, ids: np.ndarray, outputs: Any, kind: str, num_classes: int | None
    ):
        super().__init__(name, kind="values" if kind == "values" else "logits")
        order = np.argsort(ids, kind="stable")
        self._ids, self._order = ids[order], order
        self._outputs, self.num_classes = outputs, num_classes

    def run(self, x: Any, paths: Sequence[str]) -> Any:
        wanted = as_bytes(x)
        place = np.searchsorted(self._ids, wanted).clip(max=len(self._ids) - 1)
        assert (self._ids[place] == wanted).all(), "checked before"
        which = self._order[place]
        if isinstance(self._outputs, Largest):
            return Largest(*(part[which] for part in self._outputs))
        return self._outputs[which]

    def weights_hash(self) -> str:
        """Of ids and outputs, whatever their order."""
        digest = hashlib.sha256(b"\n".join(self._ids.tolist()))
        parts = self._outputs if isinstance(self._outputs, Largest) else [self._outputs]
        for part in parts:
            digest.update(np.ascontiguousarray(part[self._order]).tobytes())
        return digest.hexdigest()[:32]


def _check_arguments(kind: str, dtype: str, floor: float) -> None:
    if kind not in (*KINDS, _TOP_K):
        raise ValueError(
            f"`kind` must be one of {listing((*KINDS, _TOP_K))}. Received: kind={kind!r}."
        )
    check_kind("logits", floor)
    if dtype not in _DTYPES:
        raise ValueError(f"`dtype` must be one of {listing(_DTYPES)}. Received: dtype={dtype!r}.")


def _checked(classes: Any, kind: str) -> Classes:
    """The names as texts, or how many there are."""
    if classes is None and kind == _TOP_K:
        raise ValueError(
            "`classes` must be given with kind='top_k': the student's classes in the order of its "
            "outputs, as the answers call them, or how many there are where they are numbers."
        )
    if classes is None:
        return None
    known: Classes
    try:
        known = count(classes, "classes") if np.ndim(classes) == 0 else list(map(str, classes))
    except (TypeError, ValueError):
        raise ValueError(
            f"`classes` must be names or how many there are. Received: classes={classes!r}."
        ) from None
    if isinstance(known, list) and len(set(known)) < len(known):
        twice = next(name for name in known if known.count(name) > 1)
        raise ValueError(f"`classes` must name each class once. '{twice}' comes twice.")
    if kind == _TOP_K and _count(known) == 1:
        raise ValueError("kind='top_k' needs two classes or more. Received: 1 class.")
    return known


def _count(classes: Classes) -> int | None:
    return classes if classes is None or isinstance(classes, int) else len(classes)


def _check_ids(ids: np.ndarray, where: str, name: Names) -> None:
    order = np.argsort(ids, kind="stable")
    again = order[1:][ids[order][1:] == ids[order][:-1]]
    if len(again):
        raise StoreError(
            f"{where} has more than one answer for an id: {first_rows(np.sort(again), name)}. An id "
            "must be an example's own."
        )


def _check_examples(ids: np.ndarray, data: Any, where: str) -> None:
    """Raises when answers and examples are not of the same ids."""
    if isinstance(data, Part):
        theirs = as_bytes(data.ids)
    else:
        theirs = np.concatenate([batch.ids for batch in batches_of(data, _BATCH)] or [ids[:0]])
    missing, others = ~np.isin(theirs, ids), ~np.isin(ids, theirs)
    if missing.any():
        raise StoreError(
            f"{where} has no answer for {int(missing.sum()):,} of {len(theirs):,} examples of "
            f"`data`: {_shown(theirs[missing])}. Answers are needed for all that are stored."
        )
    if others.any():
        raise StoreError(
            f"{where} has answers for {int(others.sum()):,} ids that are not among `data`: "
            f"{_shown(ids[others])}. Leave them out; or leave out `data`: then the store knows ids "
            "alone."
        )


def _shown(ids: np.ndarray) -> str:
    return listing([bytes(i).decode("utf-8", "backslashreplace") for i in ids[:6]], 5)
