"""How much a channel counts: which of a model's channels a smaller one keeps."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._core.last_activation import last_activation
from keras_kd._core.scalars import count
from keras_kd._core.texts import predict
from keras_kd._with_logits import with_logits
from keras_kd.compression._graph import Graph
from keras_kd.compression._slices import per_channel
from keras_kd.compression._still import still

_LEAST = 8


class Importance:
    """How much the channels that layers make count."""

    def of(self, graph: Graph, layers: list[keras.Layer]) -> list[np.ndarray]:
        """A number for each channel of each of the layers; the larger, the more it counts.

        Where layers make a channel together, their numbers are added.
        """
        raise NotImplementedError


class L1Norm(Importance):
    """The L1 norm of the weights that make a channel: the largest count most.

    `importance_c = Σ_i |w_ic| / mean_c(Σ_i |w_ic|)`

    It looks at no example.

    Example:

    >>> teacher = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2), keras.layers.Dense(1)])
    >>> teacher.layers[0].set_weights([np.array([[1.0, -2.0]]), np.zeros(2)])
    >>> student = keras_kd.compression.shrink(
    ...     teacher, 0.5, copy_weights=True, importance=keras_kd.compression.L1Norm()
    ... )
    >>> student.layers[1].get_weights()[0].tolist()
    [[-2.0]]

    Reference: Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets", ICLR
    2017, arXiv:1608.08710, section 3.
    """

    def of(self, graph: Graph, layers: list[keras.Layer]) -> list[np.ndarray]:
        sums = [per_channel(layer, [np.abs(w) for w in layer.get_weights()]) for layer in layers]
        return [one / max(float(one.mean()), 1e-12) for one in sums]


class Taylor(Importance):
    """How much the loss would change without a channel, to the first order, on some examples.

    `importance_c = mean over batches of Σ_i (∂loss/∂w_ic · w_ic)²`

    over the weights `w_ic` that make channel `c`: large weights behind which nothing follows count
    for nothing. The loss is the cross-entropy, in inference (no dropout, `BatchNormalization` by
    its moving statistics). Without labels each example gets one drawn from the model's own
    probabilities: the numbers then say how much the model's answers change, whether they are right
    or not.

    Args:
        images: Array of the model's inputs, `(examples, ...)`; some hundred are enough.
        labels: Array of the numbers of their classes. Defaults to `None`: drawn from the model's
            own answers.
        loss: The `keras.losses.Loss` for labels of another kind; needs `labels`. Defaults to
            `None`: the cross-entropy.
        batch_size: Number of examples in a batch. Defaults to `32`.
        seed: Seed of the labels that are drawn. Defaults to `0`.

    Raises:
        ValueError: If there are fewer than 8 examples, or not as many labels; when it is used, if
            no labels can be drawn, for the model has not one output of two classes or more.

    Example:

    >>> layers = keras.layers
    >>> teacher = keras.Sequential([keras.Input((1,)), layers.Dense(2), layers.Dense(2)])
    >>> teacher.set_weights([np.array([[1.0, 9.0]]), np.zeros(2), np.array([[1.0, -1.0],
    ...     [0.0, 0.0]]), np.zeros(2)])  # nothing follows on the second channel
    >>> x = np.linspace(-1.0, 1.0, 64)[:, None]
    >>> student = keras_kd.compression.shrink(
    ...     teacher, 0.5, copy_weights=True, importance=keras_kd.compression.Taylor(x)
    ... )
    >>> student.layers[1].get_weights()[0].tolist()
    [[1.0]]

    Reference: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance Estimation for Neural Network
    Pruning", CVPR 2019, arXiv:1906.10771, section 3.1.
    """

    def __init__(
        self,
        images: Any,
        labels: Any = None,
        *,
        loss: keras.losses.Loss | None = None,
        batch_size: int = 32,
        seed: int = 0,
    ):
        self.images = keras.tree.map_structure(np.asarray, images)
        self.labels = None if labels is None else np.asarray(labels)
        self.loss, self.seed = loss, count(seed, "seed", least=0)
        self.batch_size = count(batch_size, "batch_size")
        rows = {len(x) if x.ndim else 0 for x in keras.tree.flatten(self.images)}
        if len(rows) != 1 or min(rows) < _LEAST:
            raise ValueError(
                f"Taylor() needs {_LEAST} examples or more, as many for each input; some hundred "
                f"are better. Received: {sorted(rows)}."
            )
        if self.labels is not None and len(self.labels) != min(rows):
            raise ValueError(
                f"Taylor() needs a label for each of the {min(rows)} examples. Received: "
                f"{len(self.labels)} labels."
            )
        if loss is not None and labels is None:
            raise ValueError(
                "Taylor(loss=...) needs `labels`: those that the model draws are numbers of "
                "classes, for the cross-entropy."
            )

    def of(self, graph: Graph, layers: list[keras.Layer]) -> list[np.ndarray]:
        model, copies = still(graph)
        asked = {id(copies[id(layer)]) for layer in layers}
        for copy in model.layers:
            copy.trainable = id(copy) in asked
        if self.loss is None and last_activation(model):
            model = with_logits(model)
        loss = self.loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        # At a rate of 0 nothing moves, and Adagrad adds up the squares of the gradients.
        adagrad = keras.optimizers.Adagrad(0.0, initial_accumulator_value=0.0)
        labels = self._drawn(model) if self.labels is None else self.labels
        model.compile(adagrad, loss)
        model.fit(
            self.images, labels, batch_size=self.batch_size, shuffle=False, verbose=0
        )  # fmt: skip
        weights = model.trainable_variables
        squares = dict(zip(map(id, weights), adagrad.variables[-len(weights) :], strict=True))
        found = []
        for layer in layers:
            products = [
                np.square(ops.convert_to_numpy(w)) * ops.convert_to_numpy(squares[id(w)])
                if id(w) in squares
                else np.zeros(w.shape)
                for w in copies[id(layer)].weights
            ]
            found.append(per_channel(layer, products))
        return found

    def _drawn(self, model: keras.Model) -> np.ndarray:
        """A class for each example, by the model's own probabilities."""
        if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2 or not (
            (model.outputs[0].shape[-1] or 0) > 1
        ):  # fmt: skip
            raise ValueError(
                f"Taylor() draws labels from the answers of a model with one output of two classes "
                f"or more. '{model.name}' has {[tuple(x.shape) for x in model.outputs]}. Give "
                "`labels` and `loss`."
            )
        answers = predict(model, self.images, batch_size=self.batch_size, verbose=0)
        answers = np.asarray(answers, "float64")
        answers = np.exp(answers - answers.max(-1, keepdims=True))
        share = np.cumsum(answers / answers.sum(-1, keepdims=True), -1)
        drawn = np.random.default_rng(self.seed).random((len(share), 1))
        return np.minimum((share < drawn).sum(-1), share.shape[-1] - 1).astype("int32")
