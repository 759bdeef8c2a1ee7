"""Language models side by side: what a text costs under each, and how like the teacher each is."""

import math
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from keras_kd import metrics
from keras_kd._core.plain_text import plain_text
from keras_kd._core.scalars import count
from keras_kd._core.texts import predict_on_batch
from keras_kd._core.vocabularies import padded_alike
from keras_kd.report._intervals import Paired, studentized_interval
from keras_kd.report._models import choose_roles
from keras_kd.report._verdict import verdict

_CALLS = 7


@dataclass(frozen=True)
class LanguageScores:
    """One language model of a report.

    Args:
        parameters: Number of weights.
        bits_per_token: Mean of minus the base-2 logarithm of each next token's probability.
        bits_per_byte: The same for each byte of the text; `None` without `token_bytes`.
        perplexity: Two to the power of the bits per token.
        accuracy: Share of positions whose next token is the likeliest.
        agreement: Share of positions where it predicts the teacher's likeliest token; `None`
            without a teacher, as the two below.
        teacher_kl: Mean divergence from the teacher's distribution, in nats.
        acceptance_length: How many of `drafted` tokens the teacher accepts.
        milliseconds: Time for one text; `None` without `latency`.
    """

    parameters: int
    bits_per_token: float
    bits_per_byte: float | None
    perplexity: float
    accuracy: float
    agreement: float | None
    teacher_kl: float | None
    acceptance_length: float | None
    milliseconds: float | None


@dataclass(frozen=True)
class LanguageReport:
    """What `keras_kd.report.compare_language` found; `print` shows it as a table.

    Args:
        models: The scores of each model by name.
        teacher: Name of the teacher, or `None`.
        tokens: How many tokens counted.
        texts: How many texts.
        baseline: Name of the model that the judged one is compared with, or `None`.
        judged: Name of the model that the verdict is about.
        change: From the baseline to the judged model, in bits per byte (per token without
            `token_bytes`), with its 95 % interval over the texts; `None` without a baseline.
    """

    models: dict[str, LanguageScores]
    teacher: str | None
    tokens: int
    texts: int
    baseline: str | None
    judged: str
    change: Paired | None

    @property
    def verdict(self) -> str:
        """Whether the judged model is better than the baseline, and by how much, in one sentence."""
        by_byte = all(s.bits_per_byte is not None for s in self.models.values())
        bits = {
            name: s.bits_per_byte if by_byte and s.bits_per_byte is not None else s.bits_per_token
            for name, s in self.models.items()
        }
        return verdict(
            judged=self.judged, baseline=self.baseline, teacher=self.teacher, change=self.change,
            errors=bits, parameters={name: s.parameters for name, s in self.models.items()},
            examples=self.texts, runs=0, counts_errors=False,
            bits_per="byte" if by_byte else "token",
        )  # fmt: skip

    def __str__(self) -> str:
        return plain_text(self._show, width=120)

    def _show(self, console: Console) -> None:
        drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{self.tokens:,} tokens")
        drawn.add_column("", no_wrap=True)
        names = ("weights", "bits/token", "bits/byte", "perplexity", "next token", "as teacher",
                 "KL", "accepted", "ms")  # fmt: skip
        for heading in names:
            drawn.add_column(heading, justify="right", no_wrap=True)
        for name, s in self.models.items():
            drawn.add_row(
                name, f"{s.parameters:,}", _shown(s.bits_per_token, 3), _shown(s.bits_per_byte, 3),
                _shown(s.perplexity, 2), _percent(s.accuracy), _percent(s.agreement),
                _shown(s.teacher_kl, 3), _shown(s.acceptance_length, 2), _shown(s.milliseconds, 2),
            )  # fmt: skip
        console.print(self.verdict)
        console.print(drawn)


def compare_language(
    models: Mapping[str, keras.Model],
    data: Any,
    *,
    teacher: str | None = None,
    baseline: str | None = None,
    judged: str | None = None,
    token_bytes: Sequence[int] | None = None,
    drafted: int = 4,
    batch_size: int = 8,
    latency: bool = True,
) -> LanguageReport:
    """Causal language models on the same texts: bits, perplexity, and closeness to the teacher.

    Each model predicts each next token of each text, as in training; nothing is generated. Only
    positions that the weights, or else the input `"padding_mask"`, leave count. The logits of one
    batch at a time are in memory.

    Args:
        models: By name, models from token ids (or KerasHub's `"token_ids"` and `"padding_mask"`)
            to logits `(batch, positions, vocabulary)`, of one tokenizer. Of other tokenizers make
            a report each, and compare the bits per byte.
        data: `(x, y)` or `(x, y, weights)`, as for `fit`: `y` is the next token at each position.
            Arrays, or batches of them.
        teacher: Name of the teacher. Defaults to `"teacher"` when there is one of that name.
        baseline: Name of the model that the verdict compares with. Defaults to the last that is
            neither the teacher nor `judged`, and to the teacher if there is none.
        judged: Name of the model that the verdict is about. Defaults to the last that is not the
            teacher.
        token_bytes: The bytes of each token, `keras_kd.metrics.token_bytes(tokenizer)`. Defaults
            to `None`: no bits per byte.
        drafted: Tokens drafted at a time, for the acceptance length. Defaults to `4`.
        batch_size: Texts at once, where `data` are arrays. Defaults to `8`.
        latency: Whether to measure the time of one text, all of its positions at once. Defaults to
            `True`.

    Returns:
        A `LanguageReport`, whose `verdict` says in one sentence whether the judged model needs fewer
        bits than the baseline. Its interval is over the texts (batches of which a row is a text): that
        of a ratio, `Σ bits / Σ bytes`, by its first-order expansion and the bootstrap-t of `keras_kd.report.paired`.

    Raises:
        ValueError: If a name, the data or a model's outputs are not of that form.

    Example:

    >>> x = np.array([[1, 2, 3, 1]])
    >>> uniform = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(
    ...     4, 4, embeddings_initializer="zeros")])
    >>> report = keras_kd.report.compare_language(
    ...     {"uniform": uniform}, (x, np.roll(x, -1)), token_bytes=[0, 1, 1, 2], latency=False
    ... )
    >>> report.verdict
    'uniform needs 1.600 bits per byte on 1 text.'
    >>> round(report.models["uniform"].perplexity, 3)
    4.0
    """
    batch_size = count(batch_size, "batch_size")
    teacher, baseline, judged = choose_roles(list(models), teacher, baseline, judged)
    costs = metrics.Perplexity() if token_bytes is None else metrics.BitsPerByte(token_bytes)
    sums: dict[str, list[np.ndarray]] = {name: [] for name in models}
    measures = {name: _measures(drafted, name != teacher) for name in models}
    first, tokens = None, 0.0
    for x, y, weight in _batches(data, batch_size):
        first = x if first is None else first
        weight = _positions(x, y, weight)
        tokens += float(weight.sum())
        order = [teacher, *(n for n in models if n != teacher)] if teacher else list(models)
        target = None
        for name in order:
            logits = _logits(models[name], name, x, y)
            target = logits if name == teacher else target
            sums[name].append(_by_text(costs, y, logits, weight))
            for key, metric in measures[name].items():
                if key not in _WITH_TEACHER:
                    metric.update_state(y, logits, sample_weight=weight)
                elif target is not None:
                    _check_width(name, logits, target)
                    metric.update_state(target, logits, sample_weight=weight)
    if first is None or tokens == 0:
        raise ValueError("`data` has no token that counts: no batch, or weights of 0 alone.")
    text = keras.tree.map_structure(lambda leaf: np.asarray(leaf)[:1], first)
    scores, by_text = {}, {name: np.concatenate(rows) for name, rows in sums.items()}
    for name, model in models.items():
        nats, sizes, counted = by_text[name].sum(axis=0)
        found = {key: float(metric.result()) for key, metric in measures[name].items()}
        if teacher is None:
            found = {key: value for key, value in found.items() if key not in _WITH_TEACHER}
        scores[name] = LanguageScores(
            parameters=model.count_params(),
            bits_per_token=float(nats / counted / math.log(2)),
            bits_per_byte=None if token_bytes is None else float(nats / sizes / math.log(2)),
            perplexity=float(np.exp(nats / counted)),
            accuracy=found["accuracy"],
            agreement=found.get("agreement"),
            teacher_kl=found.get("teacher_kl"),
            acceptance_length=found.get("acceptance_length"),
            milliseconds=_milliseconds(model, text) if latency else None,
        )
    change = None if baseline is None else _change(by_text[baseline], by_text[judged])
    texts = len(by_text[judged])
    return LanguageReport(scores, teacher, int(tokens), texts, baseline, judged, change)


def _by_text(costs: Any, y: Any, logits: Any, weight: np.ndarray) -> np.ndarray:
    """For each text that counts its nats, its bytes or tokens, and its tokens, `(texts, 3)`."""
    nats, sizes, weights = (
        np.asarray(keras.ops.convert_to_numpy(each), "float64")
        for each in costs.of_tokens(y, logits, sample_weight=weight)
    )
    rows = np.stack([(nats * weights).sum(1), (sizes * weights).sum(1), weights.sum(1)], axis=1)
    return rows[rows[:, 2] > 0]


def _change(before: np.ndarray, after: np.ndarray) -> Paired:
    """The difference of two ratios with one divisor, bits over bytes, with its interval over texts:
    that of a mean of as many numbers, by the first-order expansion of a ratio."""
    bits, sizes = (after[:, 0] - before[:, 0]) / math.log(2), before[:, 1]
    if not sizes.sum():
        return Paired(0.0, -math.inf, math.inf, len(bits))
    ratio = bits.sum() / sizes.sum()
    return studentized_interval(ratio + (bits - ratio * sizes) / sizes.mean())


_DATASET = keras.utils.PyDataset
_WITH_TEACHER = ("agreement", "teacher_kl", "acceptance_length")


def _measures(drafted: int, with_teacher: bool) -> dict[str, Any]:
    measures: dict[str, Any] = {"accuracy": keras.metrics.SparseCategoricalAccuracy()}
    if with_teacher:
        measures |= {
            "agreement": metrics.Agreement(),
            "teacher_kl": metrics.TeacherKL(),
            "acceptance_length": metrics.AcceptanceLength(drafted),
        }
    return measures


def _batches(data: Any, size: int) -> Iterator[tuple[Any, Any, Any]]:
    if isinstance(data, tuple):
        x, y, weight = (*data, None)[:3]
        for start in range(0, len(y), size):
            yield keras.tree.map_structure(
                lambda leaf, s=start: None if leaf is None else np.asarray(leaf)[s : s + size],
                (x, y, weight),
            )
        return
    if not isinstance(data, (Iterable, keras.utils.PyDataset)):
        raise ValueError(
            f"`data` must be (x, y), (x, y, weights) or batches of these. Received: {data!r}."
        )
    batches = map(data.__getitem__, range(len(data))) if isinstance(data, _DATASET) else data
    for batch in batches:
        x, y, weight = keras.tree.map_structure(_as_numpy, (*batch, None)[:3])
        yield x, y, weight


def _as_numpy(leaf: Any) -> Any:
    return (
        leaf if leaf is None or isinstance(leaf, np.ndarray) else keras.ops.convert_to_numpy(leaf)
    )


def _positions(x: Any, y: Any, weight: Any) -> np.ndarray:
    """The weight of each position."""
    shape = np.shape(y)
    if weight is None and isinstance(x, Mapping) and "padding_mask" in x:
        weight = x["padding_mask"]
    if weight is None:
        return np.ones(shape, "float32")
    weight = keras.ops.convert_to_numpy(weight).astype("float32")
    if weight.shape[:1] == shape[:1] and weight.ndim == 1:
        weight = weight[:, np.newaxis]
    if weight.ndim != len(shape) or any(
        w not in (1, n) for w, n in zip(weight.shape, shape, strict=True)
    ):
        raise ValueError(
            f"Weights of shape {weight.shape} are none for the positions of `y`, {shape}: one for each "
            "position or text is expected."
        )
    return np.broadcast_to(weight, shape)


def _logits(model: keras.Model, name: str, x: Any, y: Any) -> Any:
    logits = predict_on_batch(model, x)
    if np.ndim(logits) != 3 or np.shape(logits)[:2] != np.shape(y):
        raise ValueError(
            f"models[{name!r}] must give logits (batch, positions, vocabulary), and `y` the next token "
            f"of each position. Received outputs of shape {np.shape(logits)} for `y` of shape "
            f"{np.shape(y)}."
        )
    return logits


def _check_width(name: str, logits: Any, target: Any) -> None:
    mine, theirs = np.shape(logits)[-1], np.shape(target)[-1]
    if mine != theirs and not padded_alike(mine, theirs):
        raise ValueError(
            f"models[{name!r}] predicts {mine} tokens, and the teacher "
            f"{theirs}: one vocabulary is expected. Make a report each, and compare the "
            "bits per byte."
        )


def _milliseconds(model: keras.Model, text: Any) -> float:
    predict_on_batch(model, text)
    seconds = []
    for _ in range(_CALLS):
        start = time.perf_counter()
        predict_on_batch(model, text)
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)


def _shown(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
