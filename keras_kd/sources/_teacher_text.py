"""Texts that the teacher writes once, for students to learn as they would learn any text."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.files import check_folder, named, remove_leftovers, replacing
from keras_kd._core.scalars import count
from keras_kd._core.symbolic import input_of
from keras_kd.sources._writing import (
    IDS,
    Tokens,
    Writing,
    Written,
    as_tokens,
    batch_of,
    drawn,
    listed,
)
from keras_kd.stores import StoreError, fingerprint

_MANIFEST = "teacher_text.json"
_PER_FILE = 256  # texts; what a killed run writes again at most


class TeacherText(keras.utils.PyDataset):
    """Batches of texts that the teacher wrote: sequence-level distillation.

    The teacher continues each prompt once, into files. The student then learns the teacher's text by
    the labels alone, with no teacher in memory; with one, by any terms. Texts are written in parts of
    256: what was interrupted goes on where it was, and what is there is read and not written again.

    The batches are `(inputs, next tokens, weights)`, `max_length - 1` positions each. The weights are
    1 where the teacher wrote the next token, up to and with the one that ends the text, and 0 in
    the prompt and behind.

    Args:
        teacher: A `keras.Model` with the `generate` of KerasHub's causal models and the sampler
            that it was compiled with (`"greedy"` writes its likeliest text, nearly); with
            `generate=` any model. `None`: the texts are all there.
        prompts: List of texts, for a teacher with a KerasHub preprocessor; or list of token numbers
            for each; or a dict of the arrays `"token_ids"` and `"padding_mask"`.
        path: Folder of the texts; made when it is not there.
        max_length: Number of tokens of a text, its prompt among them.
        batch_size: Number of texts in a batch. Defaults to `8`.
        generate: Function `(teacher, {"token_ids", "padding_mask"}) -> {"token_ids",
            "padding_mask"}`, NumPy arrays of the shape `(texts, max_length)`, that continues the
            prompts. Defaults to `None`: the teacher's own.
        stop_token_ids: Numbers of the tokens that end a text; `None`: there are none. Defaults to
            `"auto"`: those of the teacher's tokenizer.
        shuffle: Whether each epoch has an order of its own. Defaults to `True`.
        seed: Seed of these orders and of the sampler. Defaults to `0`.
        verbose: 1 shows a bar while it writes, 0 nothing. Defaults to `1`.

    Raises:
        TypeError: If prompts are of another kind, or the teacher cannot write.
        ValueError: If a prompt is empty or too long, or a number out of range.
        keras_kd.stores.StoreError: If the folder holds texts of another teacher, other prompts or
            other settings, or is not complete and there is no teacher.

    Example:

    >>> layers = keras.layers
    >>> teacher = keras.Sequential([keras.Input((None,), dtype="int32"), layers.Embedding(9, 4),
    ...     layers.Dense(9)])
    >>> def sevens(model, prompts):
    ...     tokens, mask = prompts["token_ids"], prompts["padding_mask"]
    ...     return {"token_ids": np.where(mask, tokens, 7), "padding_mask": np.ones_like(mask)}
    >>> source = keras_kd.sources.TeacherText(
    ...     teacher, [[1, 2], [3]], "sevens", max_length=4, generate=sevens, stop_token_ids=None,
    ...     shuffle=False, verbose=0,
    ... )
    >>> x, y, weight = source[0]
    >>> x.tolist(), y.tolist(), weight.tolist()
    ([[1, 2, 7], [3, 7, 7]], [[2, 7, 7], [7, 7, 7]], [[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])

    Reference: Kim, Rush, "Sequence-Level Knowledge Distillation", EMNLP 2016, arXiv:1606.07947,
    section 3.2.
    """

    def __init__(
        self,
        teacher: keras.Model | None,
        prompts: Any,
        path: Any,
        *,
        max_length: int,
        batch_size: int = 8,
        generate: Callable[[Any, Tokens], Mapping[str, Any]] | None = None,
        stop_token_ids: Sequence[int] | str | None = "auto",
        shuffle: bool = True,
        seed: int = 0,
        verbose: int = 1,
    ):
        super().__init__()
        self.max_length = count(max_length, "max_length", least=2)
        self.batch_size = count(batch_size, "batch_size")
        self.seed, self.shuffle = count(seed, "seed", least=0), shuffle
        self.path, self.epoch = named(path), 0
        texts = listed(prompts, "prompts")
        asked = {
            "prompts": _digest(texts), "texts": len(texts), "max_length": self.max_length,
            "seed": self.seed,
        }  # fmt: skip
        if teacher is None:
            self._read(asked, ())
            return
        writing = Writing(teacher, self.max_length, generate, stop_token_ids)
        tokens = as_tokens(texts, teacher, self.max_length, "prompts")
        asked |= {
            "teacher": fingerprint(teacher), "stop_token_ids": writing.stop,
            "sampler": writing.sampler(), "as_dict": isinstance(input_of(teacher), dict),
        }  # fmt: skip
        self._write(writing, tokens, asked, verbose)
        self._read(asked, asked)

    def __len__(self) -> int:
        return -(-len(self._written.tokens) // self.batch_size)

    def __getitem__(self, index: int) -> tuple:
        texts = len(self._written.tokens)
        some = np.arange(index * self.batch_size, min((index + 1) * self.batch_size, texts))
        if self.shuffle:
            some = drawn(texts, texts, self.epoch, self.seed)[some]
        return batch_of(Written(*(x[some] for x in self._written)), self._as_dict)

    def on_epoch_end(self) -> None:
        self.epoch += 1

    # Files.

    def _parts(self, texts: int) -> Iterator[tuple[Path, slice]]:
        for number, start in enumerate(range(0, texts, _PER_FILE)):
            yield self.path / f"part-{number:05}.npz", slice(start, min(start + _PER_FILE, texts))

    def _write(self, writing: Writing, prompts: Tokens, asked: dict, verbose: int) -> None:
        """Writes what is not there yet."""
        check_folder(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        manifest = self.path / _MANIFEST
        if manifest.exists():
            _check_same(self._manifest(), asked, asked, self.path)
        else:
            with replacing(manifest) as temporary:
                temporary.write_text(json.dumps(asked, indent=1), encoding="utf-8")
        parts = list(self._parts(len(prompts[IDS])))
        bar = keras.utils.Progbar(len(prompts[IDS]), unit_name="text") if verbose else None
        for number, (path, rows) in enumerate(parts):
            remove_leftovers(path)
            if not path.exists():
                self._write_part(writing, prompts, path, rows, number)
            if bar is not None:
                bar.update(rows.stop)

    def _write_part(
        self, writing: Writing, prompts: Tokens, path: Path, rows: slice, number: int
    ) -> None:
        found = []
        for start in range(rows.start, rows.stop, self.batch_size):
            some = np.arange(start, start + self.batch_size) % len(prompts[IDS])  # one shape
            written = writing({k: x[some] for k, x in prompts.items()}, (self.seed, start))
            kept = min(self.batch_size, rows.stop - start)
            found.append(Written(*(x[:kept] for x in written)))
        tokens, mask, prompt = (np.concatenate(x) for x in zip(*found, strict=True))
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, tokens=tokens, mask=mask, prompt=prompt)

    def _manifest(self) -> dict[str, Any]:
        try:
            return json.loads((self.path / _MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"'{self.path}' holds no teacher's text: {error}") from error

    def _read(self, asked: dict[str, Any], known: Any) -> None:
        manifest = self._manifest()
        _check_same(manifest, asked, known or asked, self.path)
        found = []
        for path, rows in self._parts(manifest["texts"]):
            if not path.exists():
                raise StoreError(
                    f"'{self.path}' is not complete: texts {rows.start} to {rows.stop - 1} are "
                    "missing. Give the teacher, and it goes on."
                )
            with np.load(path) as file:
                found.append(Written(file["tokens"], file["mask"], file["prompt"]))
        self._written = Written(*(np.concatenate(x) for x in zip(*found, strict=True)))
        self._as_dict = manifest["as_dict"]


def _check_same(there: dict, asked: dict, names: Any, path: Path) -> None:
    given = json.loads(json.dumps(asked))
    others = [name for name in names if there.get(name) != given[name]]
    if others:
        shown = "; ".join(f"{n} was {there.get(n)!r}, is {given[n]!r}" for n in others)
        raise StoreError(
            f"'{path}' holds texts of another kind: {shown}. Give another `path`, or remove that "
            "folder."
        )


def _digest(texts: list[Any]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        if isinstance(text, str):
            text = text.encode()
        elif not isinstance(text, bytes):
            text = np.asarray(text, "int64").tobytes()
        digest.update(len(text).to_bytes(8, "big") + text)
    return digest.hexdigest()[:32]
