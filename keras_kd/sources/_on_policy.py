"""Texts that the student writes while it is trained, for its teacher to mark."""

import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.scalars import Number, at, count, finite
from keras_kd._core.student_source import StudentSource
from keras_kd._core.symbolic import input_of
from keras_kd.distiller import Distiller
from keras_kd.sources._writing import (
    IDS,
    MASK,
    Tokens,
    Writing,
    Written,
    as_tokens,
    batch_of,
    drawn,
    listed,
    preprocessor_of,
)
from keras_kd.terms import Labels

#: Label of what is not scored, where no loss on labels names its own.
UNSCORED = -1
_WAIT = 0.1  # seconds between two looks at whether training has ended
_SAME = 0.9  # share of one token in what was written, from which on writing is degenerate


class OnPolicy(StudentSource):
    """Batches of texts that the student writes itself, with the weights it has at that step.

    A student that has seen only the texts of others meets, when it writes, beginnings that it was
    never shown. Here it continues prompts by its own sampling, and the teacher's distribution at
    each token that it wrote is what it learns. With `data`, a share of the batches comes from
    there: with `λ` the share at a step,

    `batch = texts of the student with probability λ, texts of data otherwise`

    Only what the student wrote is scored, up to and with the token that ends a text: neither the
    prompt nor what follows. Text of its own gives it no labels: a `Labels` term skips it, for which
    its loss must have an `ignore_class`.

    The batches are `(inputs, next tokens, weights)`, `max_length - 1` positions each. The student
    writes in the thread that trains, right before the step, so that the weights are those of that
    step on every backend. The logs have `"on_policy_share"`, the share of batches that were
    written; of these `"written_tokens"`, the mean number of tokens of a text,
    `"tokens_per_second"`, and `"ended"`, the share of texts that came to an end.

    Args:
        prompts: List of texts, for a student with a KerasHub preprocessor; or list of token numbers
            for each; or a dict of the arrays `"token_ids"` and `"padding_mask"`.
        max_length: Number of tokens of a text, its prompt among them.
        share: Share of the batches that the student writes, in `[0, 1]`; a float or a schedule.
            Defaults to `1.0`.
        data: Texts of the other batches, in the same forms, cut off at `max_length`; needed where
            the share is below 1. Defaults to `None`.
        batch_size: Number of texts in a batch. Defaults to `8`.
        refresh: Number of steps after which the student writes again: it writes that many batches
            at once, which is faster, the last of them with weights that are `refresh - 1` steps
            old. Defaults to `1`.
        generate: Function `(student, {"token_ids", "padding_mask"}) -> {"token_ids",
            "padding_mask"}`, NumPy arrays of the shape `(texts, max_length)`, that continues the
            prompts. Defaults to `None`: the student's own, of KerasHub, with the sampler that it was
            compiled with (`student.compile(sampler="random")` samples from its whole distribution).
        stop_token_ids: Numbers of the tokens that end a text; `None`: there are none. Defaults to
            `"auto"`: those of the student's tokenizer.
        role: The role of the student that writes. Defaults to `"student"`.
        seed: Seed of the choice of prompts and data, and of the sampler. Defaults to `0`.

    Raises:
        TypeError: If prompts or data are of another kind; in `fit`, if the student cannot write.
        ValueError: If a text is empty, a prompt too long, a number out of range, or `data` is
            missing; in `fit`, without `steps_per_epoch`, with `steps_per_execution` above 1 or
            several replicas of `MirroredStrategy`, or if the loss on labels has no `ignore_class`.

    Example:

    >>> layers = keras.layers
    >>> student = keras.Sequential([keras.Input((None,), dtype="int32"), layers.Embedding(9, 4),
    ...     layers.Dense(9)])
    >>> teacher = keras.models.clone_model(student)
    >>> def greedy(model, prompts):
    ...     tokens, mask = prompts["token_ids"], prompts["padding_mask"]
    ...     for place in range(1, tokens.shape[1]):
    ...         best = keras.ops.convert_to_numpy(model(tokens))[:, place - 1].argmax(axis=-1)
    ...         tokens[:, place] = np.where(mask[:, place], tokens[:, place], best)
    ...     return {"token_ids": tokens, "padding_mask": np.ones_like(mask)}
    >>> source = keras_kd.sources.OnPolicy(
    ...     [[1, 2], [3]], max_length=6, batch_size=2, generate=greedy, stop_token_ids=None
    ... )
    >>> distiller = keras_kd.Distiller(
    ...     student=student, teacher=teacher, terms=keras_kd.recipes.gkd(beta=1.0)
    ... )
    >>> distiller.compile("adam")
    >>> history = distiller.fit(source, steps_per_epoch=2, verbose=0)
    >>> history.history["written_tokens"]
    [4.5]

    Reference: Agarwal et al., "On-Policy Distillation of Language Models: Learning from
    Self-Generated Mistakes", ICLR 2024, arXiv:2306.13649, section 3 and algorithm 1.
    """

    def __init__(
        self,
        prompts: Any,
        *,
        max_length: int,
        share: Number = 1.0,
        data: Any = None,
        batch_size: int = 8,
        refresh: int = 1,
        generate: Callable[[Any, Tokens], Mapping[str, Any]] | None = None,
        stop_token_ids: Sequence[int] | str | None = "auto",
        role: str = "student",
        seed: int = 0,
    ):
        super().__init__()
        self.max_length = count(max_length, "max_length", least=2)
        self.batch_size = count(batch_size, "batch_size")
        self.refresh = count(refresh, "refresh")
        self.seed = count(seed, "seed", least=0)
        self.share = finite(share, "share")
        if isinstance(self.share, (int, float)):
            if not 0 <= self.share <= 1:
                raise ValueError(f"`share` must be from 0 to 1. Received: share={share!r}.")
            if self.share < 1 and data is None:
                raise ValueError(
                    f"`share` is {share}, and there is no `data` for the other batches. Give "
                    "`data`, or share=1."
                )
        self.role, self.generate, self.stop_token_ids = role, generate, stop_token_ids
        self.prompts, self.data = (
            listed(prompts, "prompts"),
            data if data is None else listed(data, "data"),
        )
        self._writer: _Writer | None = None
        self.last_batch: tuple | None = None

    @property
    def num_batches(self) -> None:
        """There is no end: `fit` needs `steps_per_epoch`."""
        return None

    def __getitem__(self, index: int) -> tuple:
        if self._writer is None:
            raise ValueError(
                "OnPolicy needs the student: give it to `fit` of the Distiller, "
                "`distiller.fit(source, steps_per_epoch=200)`."
            )
        return self._writer.batch()

    def fit_callback(
        self, distiller: Distiller, steps_per_epoch: int | None
    ) -> keras.callbacks.Callback:
        """What has the student write before each step of `fit`."""
        if steps_per_epoch is None:
            raise ValueError(
                "The student can write on and on: OnPolicy has no end. Say how many steps an epoch "
                "has, `distiller.fit(source, steps_per_epoch=200)`."
            )
        self._writer = _Writer(self, distiller)
        return self._writer


class _Writer(keras.callbacks.Callback):
    """Writes a batch before each step. Whoever reads batches ahead waits for it."""

    def __init__(self, source: OnPolicy, distiller: Distiller):
        super().__init__()
        students = distiller.students
        if source.role not in students:
            raise ValueError(
                f"No student has the role '{source.role}', which OnPolicy has write. Its roles are "
                f"{', '.join(students)}: give role=."
            )
        self.source, self.distiller = source, distiller
        strategy = getattr(distiller, "distribute_strategy", None)  # on TensorFlow
        if strategy is not None and strategy.num_replicas_in_sync > 1:
            raise ValueError(
                "OnPolicy writes with one replica of the student. Received: a distiller of "
                f"{strategy.num_replicas_in_sync} replicas. Make student and teacher outside of the "
                "strategy, or let the teacher write once: keras_kd.sources.TeacherText."
            )
        student = students[source.role]
        self.writing = Writing(student, source.max_length, source.generate, source.stop_token_ids)
        self.prompts = as_tokens(source.prompts, student, source.max_length, "prompts")
        self.as_dict = isinstance(input_of(student), dict)
        self.ignored = _ignored(distiller)
        self.ready: queue.Queue[tuple] = queue.Queue()
        self.training = self.read_before = False
        self.kept: list[tuple] = []
        self._warned = False

    # The reader's side, in whatever thread.

    def batch(self) -> tuple:
        """The batch of the step that is due; before and after training one of the same shape."""
        while self.training:
            try:
                return self.ready.get(timeout=_WAIT if self._elsewhere() else 0)
            except queue.Empty:
                if not self._elsewhere():  # on torch `fit` reads a batch before it begins the step
                    self.read_before = True
                    return self._now()
        rows = np.arange(self.source.batch_size) % len(self.prompts[IDS])
        tokens, mask = self.prompts[IDS][rows], self.prompts[MASK][rows]
        return self._batch(Written(tokens, mask, mask))

    # The trainer's side.

    def on_train_begin(self, logs: Any = None) -> None:
        if (self.distiller.steps_per_execution or 1) > 1:
            raise ValueError(
                "OnPolicy writes before each step, which needs steps_per_execution=1. Received: "
                f"steps_per_execution={self.distiller.steps_per_execution}."
            )
        self.training, self.thread = True, threading.get_ident()

    def on_train_end(self, logs: Any = None) -> None:
        self.training = False
        self.source._writer = None  # nobody writes now: batches would be empty ones

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.batches = self.written = self.texts = self.tokens = self.ended = 0
        self.seconds = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if not self.read_before:
            self.ready.put(self._now())
        self.read_before = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None or not self.batches:
            return
        logs["on_policy_share"] = self.written / self.batches
        if self.texts:
            logs["written_tokens"] = self.tokens / self.texts
            logs["tokens_per_second"] = self.tokens / max(self.seconds, 1e-9)
            logs["ended"] = self.ended / self.texts

    # Batches.

    def _elsewhere(self) -> bool:
        return threading.get_ident() != self.thread

    def _now(self) -> tuple:
        """The batch of the step that is due."""
        self.distiller._sync_state()  # on JAX the weights are elsewhere while `fit` goes on
        self.source.last_batch = self.next_batch(int(self.distiller._step))
        return self.source.last_batch

    def next_batch(self, step: int) -> tuple:
        source = self.source
        share = float(keras.ops.convert_to_numpy(at(source.share, step)))
        self.batches += 1
        if np.random.default_rng((source.seed, 0, step)).random() >= share:
            return self._from_data(step)
        if not self.kept:
            self.kept = list(self._write(step))
        self.written += 1
        return self.kept.pop(0)

    def _write(self, step: int) -> Iterator[tuple]:
        source = self.source
        rows = drawn(len(self.prompts[IDS]), source.batch_size * source.refresh, step, source.seed)
        start = time.perf_counter()
        written = self.writing(
            {name: x[rows] for name, x in self.prompts.items()}, (source.seed, step)
        )
        self.seconds += time.perf_counter() - start
        own = written.mask & ~written.prompt
        self.texts += len(rows)
        self.tokens += int(own.sum())
        self.ended += int(self.writing.ended(written).sum())
        self._look_at(written.tokens[own])
        for part in range(source.refresh):
            some = slice(part * source.batch_size, (part + 1) * source.batch_size)
            yield self._batch(Written(*(x[some] for x in written)))

    def _batch(self, written: Written) -> tuple:
        """What the student wrote, without labels where a term would learn them."""
        x, y, weight = batch_of(written, self.as_dict)
        if self.ignored is not None:
            return x, np.full_like(y, self.ignored), weight
        return x, np.where(weight > 0, y, UNSCORED), weight

    def _from_data(self, step: int) -> tuple:
        source = self.source
        if source.data is None:
            raise ValueError(
                f"`share` is below 1 at step {step}, and there is no `data` for the other batches. "
                "Give `data`."
            )
        rows = drawn(len(source.data), source.batch_size, step, source.seed + 1)
        some = [source.data[row] for row in rows]
        length = source.max_length
        if isinstance(some[0], (str, bytes)):
            student = self.distiller.students[source.role]
            made = preprocessor_of(student, "data")(some, sequence_length=length - 1)
            x, y, weight = keras.tree.map_structure(keras.ops.convert_to_numpy, made)
            return (x if self.as_dict else x[IDS]), y, weight.astype("float32")
        tokens = np.zeros((len(some), length), "int32")
        mask = np.zeros((len(some), length), bool)
        for row, text in enumerate(some):
            tokens[row, : len(text)] = text[:length]
            mask[row, : len(text)] = True
        return batch_of(Written(tokens, mask, np.zeros_like(mask)), self.as_dict)

    def _look_at(self, tokens: np.ndarray) -> None:
        """A warning, once, where there is nothing to learn from what was written."""
        if self._warned:
            return
        found = ""
        if not len(tokens):
            found = "not one token: each text ended at once"
        elif len(tokens) > 8:
            token, times = max(zip(*np.unique(tokens, return_counts=True), strict=True),
                               key=lambda pair: pair[1])  # fmt: skip
            if times > _SAME * len(tokens):
                found = f"token {token} in {times / len(tokens):.0%} of the places"
        if found:
            self._warned = True
            warnings.warn(
                f"The student wrote {found}. Train it on texts of others first (share=0, or a "
                "schedule that rises from 0), or sample at a higher temperature.",
                stacklevel=2,
            )


def _ignored(distiller: Distiller) -> int | None:
    """The label that the loss on labels leaves out; `None` where no term reads them as labels."""
    if not any(isinstance(term, Labels) for term in distiller.terms):
        return None
    found = getattr(getattr(distiller, "loss", None), "ignore_class", None)
    if found is None:
        raise ValueError(
            "The student's own text has no labels, and the loss given to `compile` has no "
            "`ignore_class` to leave it out by. Write keras.losses.SparseCategoricalCrossentropy("
            "from_logits=True, ignore_class=-1), or take terms without `Labels` "
            "(labels_weight=0)."
        )
    return int(found)
