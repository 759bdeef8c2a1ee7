"""Measures of language models: what a text costs, and how much of a draft is accepted."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_kd._core.messages import shape_of
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count, positive
from keras_kd._core.tensors import Tensor
from keras_kd.metrics._base import ClassifierMean, TeacherMetric


class _OfTokens(ClassifierMean):
    """A sum over the tokens that count of minus the log of their probability, over another sum."""

    def __init__(self, *, ignore_class: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.ignore_class = ignore_class

    def size(self, tokens: Tensor) -> Tensor:
        """What each token adds to the divisor."""
        return ops.ones_like(tokens, dtype=self.dtype)

    def of_tokens(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """For each position: minus the log of its token's probability, what it adds to the divisor,
        and its weight."""
        outputs = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        given = ops.convert_to_tensor(y_true)
        if len(given.shape) == len(outputs.shape) and given.shape[-1] == 1:
            given = ops.squeeze(given, axis=-1)
        if len(given.shape) != len(outputs.shape) - 1 or len(outputs.shape) < 2:
            raise ValueError(
                f"Metric '{self.name}' takes token ids (batch, ...) and one number for each token of "
                f"the vocabulary (batch, ..., vocabulary). Received shapes {shape_of(given)} and "
                f"{shape_of(outputs)}."
            )
        given = ops.cast(given, "int32")
        tokens = ops.clip(given, 0, outputs.shape[-1] - 1)
        own = ops.take_along_axis(outputs, ops.expand_dims(tokens, -1), axis=-1)[..., 0]
        if self.from_logits:
            nats = ops.logsumexp(outputs, axis=-1) - own
        else:
            nats = -ops.log(ops.maximum(own, 1e-30))
        weights = self._weights(nats, y_pred, sample_weight)
        if self.ignore_class is not None:
            weights = weights * ops.cast(given != self.ignore_class, self.dtype)
        nats = ops.where(weights != 0, nats, 0.0)  # whatever stands at padding, NaN as well
        return ops.cast(nats, self.dtype), self.size(tokens), weights

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None) -> None:
        nats, sizes, weights = self.of_tokens(y_true, y_pred, sample_weight)
        self.total.assign_add(ops.sum(nats * weights))
        self.count.assign_add(ops.sum(sizes * weights))

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "ignore_class": self.ignore_class}
        del config["multi_label"]
        return config


@serializable
class Perplexity(_OfTokens):
    """Among how many equally likely tokens a language model is as uncertain as this one.

    `perplexity = exp( Σ m · (-log p_y) / Σ m )`

    over all positions, `m` the mask times the weights: 1 for a model that knows each next token,
    and the size of the vocabulary for one that knows nothing. It depends on the tokenizer: models
    with different ones are compared by `BitsPerByte`.

    Shapes: `y_true` token ids `(batch, ...)`; `y_pred` `(batch, ..., vocabulary)`.

    Args:
        from_logits: Whether predictions are logits; else probabilities. Defaults to `True`.
        ignore_class: An id that counts nowhere, such as that of padding. Defaults to `None`.
        **kwargs: `name`, `dtype` as in `keras.metrics.Metric`.

    Raises:
        ValueError: If token ids and predictions do not fit each other.

    Example:

    >>> metric = keras_kd.metrics.Perplexity(ignore_class=0)
    >>> metric.update_state([[1, 2, 0]], [[[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [9.0, 0.0, 0.0]]])
    >>> round(float(metric.result()), 4)  # three tokens, equally likely
    3.0
    """

    def result(self) -> Any:
        return ops.exp(super().result())


@serializable
class BitsPerByte(_OfTokens):
    """What a text costs under a model, in bits for each byte of it.

    `bits_per_byte = Σ m · (-log₂ p_y) / Σ m · bytes(y)`

    over all positions, `m` the mask times the weights, `bytes(y)` the UTF-8 bytes that the token
    stands for. The text has its bytes whatever it was cut into, so models with different tokenizers
    can be compared on the same text. A token without bytes, such as the end of a text, costs its
    bits.

    Shapes: `y_true` token ids `(batch, ...)`; `y_pred` `(batch, ..., vocabulary)`.

    Args:
        token_bytes: The bytes of each token of the vocabulary, in the order of the ids:
            `keras_kd.metrics.token_bytes(tokenizer)`.
        from_logits: Whether predictions are logits; else probabilities. Defaults to `True`.
        ignore_class: An id that counts nowhere, such as that of padding. Defaults to `None`.
        **kwargs: `name`, `dtype` as in `keras.metrics.Metric`.

    Raises:
        ValueError: If `token_bytes` are not whole numbers from 0, or fewer than the classes that are
            predicted; if token ids and predictions do not fit each other.

    Example:

    >>> metric = keras_kd.metrics.BitsPerByte([0, 1, 3])
    >>> metric.update_state([[1, 2]], [[[0.0, 0.0], [0.0, 0.0]]])
    Traceback (most recent call last):
    ValueError: `token_bytes` has 3 numbers, and 2 tokens are predicted: one for each is expected.
    >>> metric.update_state([[1, 2]], [[[0.0, 0.0, 0.0]] * 2])
    >>> round(float(metric.result()), 4)  # 2 · log₂ 3 bits for 4 bytes
    0.7925
    """

    def __init__(self, token_bytes: Sequence[int], **kwargs: Any):
        super().__init__(**kwargs)
        sizes = np.asarray(token_bytes)
        if sizes.ndim != 1 or not len(sizes) or sizes.dtype.kind not in "iu" or sizes.min() < 0:
            raise ValueError(
                "`token_bytes` must be a list of whole numbers from 0, one for each token of the "
                "vocabulary, such as keras_kd.metrics.token_bytes(tokenizer). Received: "
                f"token_bytes={token_bytes!r}."
            )
        self.token_bytes = sizes.tolist()

    def size(self, tokens: Tensor) -> Tensor:
        return ops.take(ops.convert_to_tensor(self.token_bytes, dtype=self.dtype), tokens, axis=0)

    def of_tokens(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        predicted = shape_of(ops.convert_to_tensor(y_pred))[-1]
        if isinstance(predicted, int) and predicted != len(self.token_bytes):
            raise ValueError(
                f"`token_bytes` has {len(self.token_bytes)} numbers, and {predicted} tokens are "
                "predicted: one for each is expected."
            )
        return super().of_tokens(y_true, y_pred, sample_weight)

    def result(self) -> Any:
        return super().result() / math.log(2.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "token_bytes": self.token_bytes}


@serializable
class AcceptanceLength(TeacherMetric):
    """How many of the student's drafted tokens the teacher accepts at a time, on average.

    In speculative decoding the student drafts some tokens, the teacher looks at all of them in one
    run, and keeps those before the first that it rejects. It accepts a token with the probability
    `min(1, p / q)`, on average over the student's tokens `Σ_c min(p_c, q_c)`. With

    `α = mean[ Σ_c min(p_c, q_c) ]`, `length = α + α² + ... + α^drafted`

    as if each position were accepted independently of the others. The teacher adds one token of
    its own, so each run of it gives `1 + length` tokens.

    Shapes: `y_true`, `y_pred` `(batch, ..., vocabulary)`.

    Args:
        drafted: How many tokens are drafted at a time, at least 1. Defaults to `4`.
        temperature: At which both sample, above 0. Defaults to `1.0`.
        target: Address of the teacher's signal. Defaults to `None`: `"teacher:output"`.
        pred: Address of the student's signal. Defaults to `None`: the output that the metric is
            listed for.
        **kwargs: `from_logits`, `name`, `dtype` as in `Agreement`.

    Raises:
        ValueError: If `drafted` is not at least 1, `temperature` not above 0, or the two outputs
            differ in shape or are not those of all classes.

    Example:

    >>> metric = keras_kd.metrics.AcceptanceLength(drafted=2)
    >>> metric.update_state([[50.0, 0.0]], [[0.0, 0.0]])  # (1, 0) and (.5, .5) share a half
    >>> round(float(metric.result()), 4)  # .5 + .25
    0.75

    Reference: Leviathan, Kalman, Matias, "Fast Inference from Transformers via Speculative
    Decoding", ICML 2023, arXiv:2211.17192, section 3.1, equation 1 (less the teacher's own token).
    """

    def __init__(
        self,
        drafted: int = 4,
        *,
        temperature: float = 1.0,
        target: str | None = None,
        pred: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(target=target, pred=pred, **kwargs)
        self.drafted = count(drafted, "drafted")
        positive(temperature, "temperature")
        self.temperature = float(temperature)

    def values(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        if isinstance(y_true, tuple):
            raise ValueError(
                f"Metric '{self.name}' compares the probabilities of all tokens, and the store has "
                "some of them. Give the teacher, or a store of all its logits."
            )
        log_p, log_q = (
            ops.log_softmax(side / self.temperature, axis=-1) for side in self.both(y_true, y_pred)
        )
        return ops.sum(ops.exp(ops.minimum(log_p, log_q)), axis=-1)

    def result(self) -> Any:
        accepted = super().result()
        length = term = accepted
        for _ in range(self.drafted - 1):
            term = term * accepted
            length = length + term
        return length

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "drafted": self.drafted, "temperature": self.temperature}
