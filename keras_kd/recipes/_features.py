"""Recipes on layers, pair by pair: what the student's layers see and what the teacher's see."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import keras

from keras_kd import losses, projectors
from keras_kd._core.addresses import parse
from keras_kd._core.numbers import Number
from keras_kd.recipes._lists import Layers, Terms, labels, listed, paired
from keras_kd.schedules import LinearWarmup
from keras_kd.taps import layer_paths
from keras_kd.terms import Term


def _shaped(
    loss: losses.Loss,
    pred: str,
    target: str,
    projector: keras.layers.Layer,
    weight: Number,
    name: str,
    **kwargs: Any,
) -> Term:
    """A term whose projector reads the target's shape."""
    return Term(
        loss, pred=(pred, target), target=target, projector=projector, weight=weight, name=name,
        **kwargs,
    )  # fmt: skip


def _each(
    pred: Layers, target: Layers, loss: Callable[[], losses.Loss], weight: Number, name: str
) -> Terms:
    """One term for each pair, without projectors."""
    return [
        Term(loss(), pred=s, target=t, weight=weight, name=name) for s, t in paired(pred, target)
    ]


def fitnets(
    *,
    pred: Layers,
    target: Layers,
    projector: keras.layers.Layer | None = None,
    weight: Number = 100.0,
    labels_weight: Number = 1.0,
) -> Terms:
    """A hint: a student's layer learns to see what a teacher's layer sees.

    `loss = cross_entropy(labels) + weight · mean (projector(pred) - target)²`

    Args:
        pred: Address of the student's layer, such as `"student:block3"`, or a list of them.
        target: Address of the teacher's layer, such as `"teacher:conv4"`, or a list of as many.
        projector: Regressor from the student's shape to the teacher's, such as
            `keras_kd.projectors.Conv1x1(256)`, for one pair. Defaults to `None`, a
            `keras_kd.projectors.Regressor` for each pair, which finds the shapes itself.
        weight: Weight of the hint. Defaults to `100.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If `pred` and `target` differ in number, or one projector is given for several
            pairs.

    Example:

    >>> terms = keras_kd.recipes.fitnets(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('hint', 100.0)]

    Reference: Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, arXiv:1412.6550,
    section 2.2; hint and labels trained together, as in Tian et al., ICLR 2020, arXiv:1910.10699.
    """
    pairs = paired(pred, target)
    if projector is None:
        hints = [
            _shaped(losses.FeatureMatch(), s, t, projectors.Regressor(), weight, "hint")
            for s, t in pairs
        ]
    elif len(pairs) == 1:
        s, t = pairs[0]
        loss = losses.FeatureMatch()
        hints = [Term(loss, pred=s, target=t, projector=projector, weight=weight, name="hint")]
    else:
        raise ValueError(
            f"One projector cannot serve {len(pairs)} pairs. Leave `projector` out, or write a "
            "Term for each pair."
        )
    return [*labels(labels_weight), *hints]


def attention_transfer(
    *, pred: Layers, target: Layers, weight: Number = 1000.0, labels_weight: Number = 1.0
) -> Terms:
    """The student's layers are active where the teacher's are.

    `loss = cross_entropy(labels) + 1000 · Σ over pairs of mean (map(pred) - map(target))²`

    Needs no projectors: maps have no channels, and the larger is pooled to the smaller.

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        weight: Weight of each pair. Defaults to `1000.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.attention_transfer(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('attention', 1000.0)]

    Reference: Zagoruyko, Komodakis, "Paying More Attention to Attention", ICLR 2017,
    arXiv:1612.03928, section 3.1; the weight is that of Tian et al., ICLR 2020.
    """
    terms = _each(pred, target, losses.AttentionMap, weight, "attention")
    return [*labels(labels_weight), *terms]


def nst(
    *, pred: Layers, target: Layers, weight: Number = 50.0, labels_weight: Number = 1.0
) -> Terms:
    """The student's channels select the same patterns as the teacher's.

    `loss = cross_entropy(labels) + 50 · Σ over pairs of mmd²(pred, target)`

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        weight: Weight of each pair. Defaults to `50.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.nst(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('selectivity', 50.0)]

    Reference: Huang, Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity
    Transfer", 2017, arXiv:1707.01219, section 4; the weight is that of Tian et al., ICLR 2020.
    """
    terms = _each(pred, target, losses.SelectivityMatch, weight, "selectivity")
    return [*labels(labels_weight), *terms]


def fsp(
    *, pred: Layers, target: Layers, weight: Number = 50.0, labels_weight: Number = 1.0
) -> Terms:
    """How one layer leads to the next: the flow between each layer listed and the one after it.

    `loss = cross_entropy(labels) + 50 · Σ over flows of mean (G(pred) - G(target))²`

    Student and teacher must have the same number of channels at each pair of layers.

    Args:
        pred: Addresses of two or more of the student's layers, shallow first.
        target: Addresses of as many of the teacher's.
        weight: Weight of each flow. Defaults to `50.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If there are fewer than two pairs.

    Example:

    >>> pred, target = ["student:a", "student:b"], ["teacher:a", "teacher:b"]
    >>> terms = keras_kd.recipes.fsp(pred=pred, target=target)
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('flow', 50.0)]

    Reference: Yim et al., "A Gift from Knowledge Distillation", CVPR 2017, section 3; the weight
    is that of Tian et al., ICLR 2020.
    """
    pairs = paired(pred, target)
    if len(pairs) < 2:
        raise ValueError(
            "A flow runs between two layers: list at least two, shallow first. "
            f"Received: pred={pred!r}."
        )
    flows = [
        Term(losses.FlowMatch(), pred=(s, s2), target=(t, t2), weight=weight, name="flow")
        for (s, t), (s2, t2) in pairwise(pairs)
    ]
    return [*labels(labels_weight), *flows]


def ft(
    *,
    pred: Layers,
    target: Layers,
    rate: float = 0.5,
    weight: Number = 200.0,
    labels_weight: Number = 1.0,
) -> Terms:
    """Factors: the teacher's map in fewer channels, and the student's translation of its own.

    `loss = cross_entropy(labels) + 200 · mean |unit(translated pred) - unit(paraphrased target)|`

    The paraphraser learns alongside, by restoring the teacher's map; that cost is added too.

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        rate: Number of factors for each of the teacher's channels. Defaults to `0.5`.
        weight: Weight of each pair. Defaults to `200.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.ft(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('factors', 200.0)]

    Reference: Kim, Park, Kwak, "Paraphrasing Complex Network: Network Compression via Factor
    Transfer", NeurIPS 2018, arXiv:1802.04977; the weight is that of Tian et al., ICLR 2020.
    """
    terms = [
        _shaped(
            losses.FactorMatch(), s, t, projectors.Translator(rate), weight, "factors",
            target_projector=projectors.Paraphraser(rate),
        )
        for s, t in paired(pred, target)
    ]  # fmt: skip
    return [*labels(labels_weight), *terms]


def vid(
    *, pred: Layers, target: Layers, weight: Number = 1.0, labels_weight: Number = 1.0
) -> Terms:
    """The student's layers tell as much as they can of the teacher's, and how well they can.

    `loss = cross_entropy(labels) + Σ over pairs of ½ mean [(μ(pred) - target)² / σ² + log σ²]`

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        weight: Weight of each pair. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.vid(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('information', 1.0)]

    Reference: Ahn et al., "Variational Information Distillation for Knowledge Transfer", CVPR
    2019, arXiv:1904.05835, section 2.
    """
    terms = [
        _shaped(
            losses.VariationalMatch(), s, t, projectors.VariationalRegressor(), weight,
            "information",
        )
        for s, t in paired(pred, target)
    ]  # fmt: skip
    return [*labels(labels_weight), *terms]


def ab(
    *, pred: Layers, target: Layers, weight: float = 0.003, labels_weight: Number = 1.0
) -> Terms:
    """The student's neurons fire where the teacher's do.

    `loss = cross_entropy(labels) + 0.003 · Σ over pairs of 2^-(pairs after it) · boundary`

    For layers before their activation, shallow first. The paper trains the student this way
    first, without labels (`labels_weight=0`), and on the labels afterwards.

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        weight: Weight of the last pair; each earlier one has half the next one's. Defaults to
            `0.003`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> pred, target = ["student:a", "student:b"], ["teacher:a", "teacher:b"]
    >>> terms = keras_kd.recipes.ab(pred=pred, target=target)
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('boundary', 0.0015), ('boundary', 0.003)]

    Reference: Heo et al., "Knowledge Transfer via Distillation of Activation Boundaries Formed by
    Hidden Neurons", AAAI 2019, arXiv:1811.03233; the weights are those of Tian et al., ICLR 2020.
    """
    pairs = paired(pred, target)
    terms = [
        _shaped(
            losses.BoundaryMatch(), s, t, projectors.NormalizedRegressor(),
            weight / 2 ** (len(pairs) - 1 - i), "boundary",
        )
        for i, (s, t) in enumerate(pairs)
    ]  # fmt: skip
    return [*labels(labels_weight), *terms]


def ofd(
    teacher: keras.Model,
    *,
    pred: Layers,
    target: Layers,
    weight: float = 0.001,
    labels_weight: Number = 1.0,
) -> Terms:
    """Features from before the ReLU, cut off at a margin below 0, by a partial distance.

    `loss = cross_entropy(labels) + 0.001 · Σ over pairs of 2^-(pairs after it) · partial`

    The margins are the means of the teacher's negative responses, told by the statistics of its
    BatchNorm layers, which are the targets; shallow first.

    Args:
        teacher: The teacher that `target` names layers of.
        pred: Address of the student's layer (before an activation), or a list of them.
        target: Address of a BatchNormalization layer of the teacher, or a list of as many.
        weight: Weight of the last pair; each earlier one has half the next one's. Defaults to
            `0.001`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If a target is not a BatchNormalization of `teacher`.

    Example:

    >>> layers = [keras.Input((4, 4, 2)), keras.layers.BatchNormalization(name="norm")]
    >>> teacher = keras.Sequential(layers)
    >>> terms = keras_kd.recipes.ofd(teacher, pred="student:a", target="teacher:norm")
    >>> round(terms[1].loss.margins[0], 4)  # the mean of a standard Gaussian below 0
    -0.7979

    Reference: Heo et al., "A Comprehensive Overhaul of Feature Distillation", ICCV 2019,
    arXiv:1904.01866, section 3.
    """
    layers, pairs = layer_paths(teacher), paired(pred, target)
    terms = []
    for i, (s, t) in enumerate(pairs):
        layer = layers.get(parse(t).path)
        if not isinstance(layer, keras.layers.BatchNormalization):
            raise ValueError(
                f"The target of `ofd` is a BatchNormalization layer of '{teacher.name}', for its "
                f"statistics give the margins. Received: {t!r}, which is {layer!r}."
            )
        count = tuple(layer.moving_mean.shape)
        shift = layer.beta.numpy() if layer.center else [0.0] * count[0]
        spread = layer.gamma.numpy() if layer.scale else [1.0] * count[0]
        margins = losses.MarginReLUMatch.below_zero(
            [float(x) for x in shift], [float(x) for x in spread]
        )
        terms.append(
            _shaped(
                losses.MarginReLUMatch(margins), s, t, projectors.NormalizedRegressor(),
                weight / 2 ** (len(pairs) - 1 - i), "overhaul",
            )
        )  # fmt: skip
    return [*labels(labels_weight), *terms]


def review_kd(
    *,
    pred: Layers,
    target: Layers,
    width: int | None = None,
    warmup: int = 0,
    weight: float = 5.0,
    labels_weight: Number = 1.0,
) -> Terms:
    """Deep layers of the student review the shallow ones, and learn from shallow ones of the teacher.

    `loss = cross_entropy(labels) + 5 · Σ over pairs of hierarchical_context(fused pred, target)`

    Args:
        pred: Addresses of the student's layers, shallow first.
        target: Addresses of as many of the teacher's.
        width: Number of channels of the fusion. Defaults to `None`, as many as the student's
            deepest layer has, and at most 512.
        warmup: Training steps in which the weight rises from 0 along a line. Defaults to `0`,
            none; the paper takes 20 epochs, `20 * len(dataset)`.
        weight: Weight of the review. Defaults to `5.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> pred, target = ["student:a", "student:b"], ["teacher:a", "teacher:b"]
    >>> terms = keras_kd.recipes.review_kd(pred=pred, target=target)
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('review', 5.0)]

    Reference: Chen et al., "Distilling Knowledge via Knowledge Review", CVPR 2021,
    arXiv:2104.09044, section 3.
    """
    paired(pred, target)
    review = Term(
        losses.SumOf(losses.HierarchicalContext()),
        pred=(*listed(pred), *listed(target)),
        target=tuple(listed(target)),
        projector=projectors.Fusion(width),
        weight=LinearWarmup(weight, steps=warmup) if warmup else weight,
        name="review",
    )
    return [*labels(labels_weight), review]


def mgd(
    *,
    pred: Layers,
    target: Layers,
    rate: float = 0.5,
    weight: Number = 7e-5,
    labels_weight: Number = 1.0,
) -> Terms:
    """From half of its positions the student makes the teacher's whole map.

    `loss = cross_entropy(labels) + 7e-5 · Σ over elements of (generated - target)²`

    Args:
        pred: Address of the student's layer, or a list of them.
        target: Address of the teacher's layer, or a list of as many.
        rate: Share of the positions that is hidden. Defaults to `0.5`.
        weight: Weight of each pair. Defaults to `7e-5`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.mgd(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('generation', 7e-05)]

    Reference: Yang et al., "Masked Generative Distillation", ECCV 2022, arXiv:2205.01529,
    section 3.
    """
    terms = [
        _shaped(
            losses.MaskedGeneration(), s, t, projectors.MaskedGenerator(rate), weight, "generation"
        )
        for s, t in paired(pred, target)
    ]
    return [*labels(labels_weight), *terms]


def simkd(
    *, pred: str, target: str, factor: int = 2, weight: Number = 1.0, labels_weight: Number = 0.0
) -> Terms:
    """The student learns the teacher's last features, and borrows its classifier.

    `loss = mean (projector(pred) - target)²`

    What was trained is put together by `reused_classifier`: the student up to `pred`, the
    projector, and the teacher from `target` on. The student's own head is not trained.

    Args:
        pred: Address of the student's last feature map.
        target: Address of the teacher's last feature map, before its pooling.
        factor: By how much the projector divides the teacher's channels inside. Defaults to `2`.
        weight: Weight of the features. Defaults to `1.0`.
        labels_weight: Weight of the labels on the student's own head. Defaults to `0.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.simkd(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('features', 1.0)]

    Reference: Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022,
    arXiv:2203.14001, section 3.
    """
    projector = projectors.Bottleneck(factor)
    features = _shaped(losses.FeatureMatch(), pred, target, projector, weight, "features")
    return [*labels(labels_weight), features]


def tinybert(
    *,
    pred: Sequence[str],
    target: Sequence[str],
    pred_scores: Sequence[str] = (),
    target_scores: Sequence[str] = (),
    labels_weight: Number = 0.0,
) -> Terms:
    """A small transformer follows a large one, layer by layer: hidden states and attention scores.

    `loss = Σ mean (linear(pred) - target)² + Σ mean (pred_scores - target_scores)²`

    Layer `i` of the student learns from layer `i · k` of a teacher `k` times as deep. The answers
    are learnt afterwards, or at once by adding `hinton()`.

    Args:
        pred: Addresses of the student's hidden states, `(batch, positions, features)`.
        target: Addresses of as many of the teacher's.
        pred_scores: Addresses of the student's attention scores before their softmax, `(batch,
            heads, queries, keys)`. Defaults to none.
        target_scores: Addresses of as many of the teacher's; as many heads. Defaults to none.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.tinybert(pred=["student:a"], target=["teacher:b"])
    >>> [(term.name, term.weight) for term in terms]
    [('hidden', 1.0)]

    Reference: Jiao et al., "TinyBERT: Distilling BERT for Natural Language Understanding",
    Findings of EMNLP 2020, arXiv:1909.10351, section 3.1.
    """
    hidden = [
        _shaped(losses.HiddenStateMatch(), s, t, projectors.LinearRegressor(), 1.0, "hidden")
        for s, t in paired(pred, target)
    ]
    scores: Terms = []
    if pred_scores or target_scores:
        scores = _each(pred_scores, target_scores, losses.AttentionScoreMatch, 1.0, "scores")
    return [*labels(labels_weight), *hidden, *scores]


def minilm(
    *,
    pred: tuple[str, str, str],
    target: tuple[str, str, str],
    heads: int = 12,
    labels_weight: Number = 0.0,
) -> Terms:
    """The last layer's relations: who attends to whom, and which values are alike.

    `loss = KL(softmax(Q Kᵀ / √d)) + KL(softmax(V Vᵀ / √d))`, teacher against student

    Args:
        pred: Addresses of the student's queries, keys and values in its last layer, `(batch,
            positions, heads, width)` or `(batch, positions, features)`; of a Keras
            `MultiHeadAttention` these are its layers `query`, `key` and `value`.
        target: Addresses of the teacher's.
        heads: Number of heads that both are divided into. Defaults to `12`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.

    Returns:
        A list of terms.

    Example:

    >>> pred = "student:last/query", "student:last/key", "student:last/value"
    >>> target = "teacher:last/query", "teacher:last/key", "teacher:last/value"
    >>> terms = keras_kd.recipes.minilm(pred=pred, target=target)
    >>> [(term.name, term.weight) for term in terms]
    [('attention', 1.0), ('values', 1.0)]

    Reference: Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic
    Compression of Pre-Trained Transformers", NeurIPS 2020, arXiv:2002.10957, section 3.
    """
    (q, k, v), (tq, tk, tv) = pred, target
    relations = [("attention", (q, k), (tq, tk)), ("values", (v, v), (tv, tv))]
    terms = [
        Term(
            losses.RelationMatch(),
            pred=s,
            target=t,
            projector=projectors.Heads(heads),
            target_projector=projectors.Heads(heads),
            name=name,
        )
        for name, s, t in relations
    ]
    return [*labels(labels_weight), *terms]
