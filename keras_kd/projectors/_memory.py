"""A memory of the whole data set: what contrastive losses draw their negatives from."""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._core.geometry import unit
from keras_kd._core.registry import serializable
from keras_kd._core.scalars import count
from keras_kd._core.shapes import pair
from keras_kd._core.tensors import Tensor
from keras_kd.projectors._embeddings import UnitEmbedding


@serializable
class MemoryBank(keras.layers.Layer):
    """Scores of an example's two embeddings against remembered ones: its own, and random others'.

    A learner's signal and its target are each given a `UnitEmbedding`. Two banks remember what
    either embedding of every example of the training data was when it was last seen. In each step
    `negatives` other examples are drawn for each example, and each embedding is scored against the
    *other* bank, so that both directions are compared:

    `score = e · m / T - log Z`, `Z = N · mean(exp(e · m / T))`

    over the first training batch, after which `Z` of either direction is constant. The scores are
    what `keras_kd.losses.NoiseContrastive` takes. After scoring, the examples' own entries move:

    `m = unit(momentum · m + (1 - momentum) · e)`

    in training only. Banks, `Z` and the state of the draws are saved with the distiller.

    Given the learner's signal, the target and the examples' numbers, `pred=("student:a",
    "teacher:b", "ids")`; the numbers come with the batch. A number outside `0 ... N - 1`, such as
    -1, is of an example that the bank does not hold, of a validation set for one: its own entry is
    taken to be its other embedding, and nothing is kept of it. In inference the draws repeat.

    Others are drawn evenly from the whole bank, with replacement. (The published code can leave
    out those of the same class.) Under `tf.distribute` each replica keeps a bank of its own.

    Shapes: two signals `(batch, ..., a)`, `(batch, ..., b)` and numbers `(batch,)` -> a pair of
    scores `(batch, 1 + negatives)`, the learner's against the target's bank, then the target's
    against the learner's; the own entry's in the first column; float32 under any policy.

    Args:
        examples: `N`, the number of examples of the training data.
        units: Size of the embeddings. Defaults to `128`.
        negatives: Number of others that are drawn for each example. Defaults to `16384`.
        temperature: `T`, above 0. Defaults to `0.07`.
        momentum: Share of the former entry, from 0 up to 1. Defaults to `0.5`.
        seed: Seed of the draws. Defaults to `None`, another one each time.
        **kwargs: As in `keras.layers.Layer`.

    Raises:
        ValueError: If `examples` is below 2, `negatives` below 1, `temperature` not above 0 or
            `momentum` not from 0 up to 1.

    Example:

    >>> bank = keras_kd.projectors.MemoryBank(100, units=8, negatives=20)
    >>> signals = np.ones((2, 4, 4, 3)), np.ones((2, 5)), np.array([0, 99])
    >>> scores, back = bank(signals)
    >>> scores.shape == (2, 21) and back.shape == (2, 21)
    True

    Reference: Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020,
    arXiv:1910.10699, section 3 and the appendix on the memory buffer.
    """

    def __init__(
        self,
        examples: int,
        units: int = 128,
        *,
        negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        for argument, value, least in (("examples", examples, 2), ("negatives", negatives, 1)):
            count(value, argument, least)
        if not 0 < temperature < float("inf"):
            raise ValueError(
                f"`temperature` must be above 0, and finite. Received: temperature={temperature!r}."
            )
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be from 0 up to 1. Received: momentum={momentum!r}.")
        self.examples, self.units, self.negatives = examples, units, negatives
        self.temperature, self.momentum, self.seed = temperature, momentum, seed
        self.embeddings = [
            UnitEmbedding(units, name="learner"),
            UnitEmbedding(units, name="target"),
        ]
        self.draws = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        shapes = pair("MemoryBank", input_shape[:2])
        for embedding, shape in zip(self.embeddings, shapes, strict=True):
            embedding.build(shape)
        about_one = math.sqrt(3.0 / self.units)  # the length of a row, on average
        start = keras.initializers.RandomUniform(-about_one, about_one)
        # One row more than there are examples, for those that the bank does not hold. Each replica
        # keeps its own: to merge them amid a step costs TensorFlow's tape what it has recorded.
        self.banks = [
            self.add_weight(
                name=f"{name}_bank",
                shape=(self.examples + 1, self.units),
                initializer=start,
                trainable=False,
                autocast=False,
            )
            for name in ("learner", "target")
        ]
        self.log_z = self.add_weight(
            name="log_z", shape=(2,), initializer="zeros", trainable=False, autocast=False
        )
        self.started = self.add_weight(
            name="started", shape=(), initializer="zeros", trainable=False, autocast=False
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> tuple:
        *signals, ids = inputs
        ids = ops.cast(ids, "int32")
        held = ops.logical_and(ids >= 0, ids < self.examples)
        rows = ops.where(held, ids, self.examples)
        others = self._others(rows, training)
        learner, target = (e(x) for e, x in zip(self.embeddings, signals, strict=True))
        scores = [
            self._scores(one, ops.stop_gradient(other), bank, rows, held, others)
            for one, other, bank in zip(
                (learner, target), (target, learner), reversed(self.banks), strict=True
            )
        ]
        now = ops.stop_gradient(ops.stack([self._log_mean(s) for s in scores]))
        started, fixed = map(ops.convert_to_tensor, (self.started, self.log_z))
        log_z = ops.where(started > 0, fixed, now + math.log(self.examples))
        if training:
            self.log_z.assign(log_z)
            self.started.assign(ops.ones(()))
            for bank, embedding in zip(self.banks, (learner, target), strict=True):
                self._remember(bank, rows, ops.stop_gradient(embedding))
        return tuple(score - log_z[i] for i, score in enumerate(scores))

    def _others(self, rows: Tensor, training: bool | None) -> Tensor:
        """Other examples' rows, `(batch, negatives)`: so many places further on, around the bank."""
        steps = keras.random.randint(
            (ops.shape(rows)[0], self.negatives), 1, self.examples,
            seed=self.draws if training else 0,
        )  # fmt: skip
        return (ops.expand_dims(rows, -1) + ops.cast(steps, "int32")) % self.examples

    def _scores(
        self, one: Tensor, other: Tensor, bank: Any, rows: Tensor, held: Any, others: Any
    ) -> Tensor:
        """`(batch, 1 + negatives)`. All products, then those needed: the bank's drawn rows
        themselves would be `units` times as large."""
        bank = ops.copy(ops.convert_to_tensor(bank))  # for it moves before the gradient is taken
        own = ops.where(ops.expand_dims(held, -1), ops.take(bank, rows, axis=0), other)
        all_of_them = ops.matmul(one, ops.transpose(bank))
        drawn = ops.take_along_axis(all_of_them, others, axis=-1)
        own = ops.sum(one * own, axis=-1, keepdims=True)
        return ops.concatenate([own, drawn], axis=-1) / self.temperature

    def _log_mean(self, scores: Tensor) -> Tensor:
        count = ops.cast(ops.shape(scores)[0] * scores.shape[1], scores.dtype)
        return ops.logsumexp(scores) - ops.log(count)

    def _remember(self, bank: Any, rows: Tensor, embedding: Any) -> None:
        bank_now = ops.convert_to_tensor(bank)
        former = ops.take(bank_now, rows, axis=0)
        new = unit(self.momentum * former + (1.0 - self.momentum) * embedding)
        bank.assign(ops.scatter_update(bank_now, ops.expand_dims(rows, -1), new))

    def get_config(self) -> dict[str, Any]:
        own = ("examples", "units", "negatives", "temperature", "momentum", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}
