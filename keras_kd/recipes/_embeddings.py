"""Recipes on embeddings: one vector for each example, near its own and far from others'."""

from keras_kd import losses, projectors
from keras_kd._core.addresses import IDS
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Layers, Terms, labels, paired, recipe
from keras_kd.terms import Term


@recipe
def crd(
    *,
    pred: Layers,
    target: Layers,
    temperature: Number = 0.07,
    units: int = 128,
    negatives: int = 16384,
    weight: Number = 0.8,
    labels_weight: Number = 1.0,
) -> Terms:
    """Contrastive representation distillation: an embedding identifies its example among others.

    `loss = cross_entropy(labels) + 0.8 · contrast(embedding(pred), embedding(target))`

    Other examples are the rest of the batch and a queue of those gone by, of which a queue of
    16384 is a large sample that needs no numbering of the examples. The paper draws them from a
    memory of the whole data set: that is `crd_memory`.

    Args:
        pred: Address of the student's last feature map, or a list of layers.
        target: Address of the teacher's, or a list of as many.
        temperature: `τ`; a float or a schedule. Defaults to `0.07`.
        units: Size of the embeddings. Defaults to `128`.
        negatives: Length of the queue. Defaults to `16384`.
        weight: Weight of each pair. Defaults to `0.8`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.crd(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('contrast', 0.8)]

    Reference: Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020,
    arXiv:1910.10699, section 3; the queue is that of He et al., CVPR 2020, arXiv:1911.05722.
    """
    terms = [
        Term(
            losses.ContrastiveMatch(temperature),
            pred=s,
            target=t,
            projector=projectors.UnitEmbedding(units),
            target_projector=projectors.QueuedEmbedding(units, size=negatives),
            weight=weight,
            name="contrast",
        )
        for s, t in paired(pred, target)
    ]
    return [*labels(labels_weight), *terms]


@recipe
def crd_memory(
    *,
    examples: int,
    pred: Layers,
    target: Layers,
    temperature: float = 0.07,
    units: int = 128,
    negatives: int = 16384,
    momentum: float = 0.5,
    seed: int | None = None,
    weight: Number = 0.8,
    labels_weight: Number = 1.0,
) -> Terms:
    """Contrastive representation distillation with a memory, as its paper has it.

    `loss = cross_entropy(labels) + 0.8 · (nce(pred among targets) + nce(target among preds))`

    The memory is by the examples' numbers, which come with each batch: fit on
    `keras_kd.data.feed(data, join=keras_kd.data.Numbers(ids))`, or on
    `{"inputs": x, "signals": {"ids": np.arange(len(x))}}` in place of `x`. Data to validate on
    bring the number -1.

    Args:
        examples: Number of examples of the training data.
        pred: Address of the student's last feature map, or a list of layers.
        target: Address of the teacher's, or a list of as many.
        temperature: `τ`. Defaults to `0.07`.
        units: Size of the embeddings. Defaults to `128`.
        negatives: Number of others drawn for each example. Defaults to `16384`.
        momentum: Share of the former entry when the memory moves. Defaults to `0.5`.
        seed: Seed of the draws. Defaults to `None`, another one each time.
        weight: Weight of each pair. Defaults to `0.8`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.crd_memory(examples=1000, pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('contrast', 0.8)]

    Reference: Tian, Krishnan, Isola, "Contrastive Representation Distillation", ICLR 2020,
    arXiv:1910.10699, section 3, with the settings of its code.
    """
    terms = [
        Term(
            losses.NoiseContrastive(examples),
            pred=(s, t, IDS),
            target=t,
            projector=projectors.MemoryBank(
                examples, units, negatives=negatives, temperature=temperature,
                momentum=momentum, seed=seed,
            ),
            weight=weight,
            name="contrast",
        )
        for s, t in paired(pred, target)
    ]  # fmt: skip
    return [*labels(labels_weight), *terms]


@recipe
def srd(
    *,
    pred: Layers,
    target: Layers,
    weight: Number = 1.0,
    soft_weight: Number = 1.0,
    labels_weight: Number = 1.0,
    pred_logits: str = "student:output",
    target_logits: str = "teacher:output",
) -> Terms:
    """Projected features: a linear map between normalized, pooled features.

    `loss = cross_entropy(labels) + KL(teacher ‖ student) + 2 · log Σ |linear(pred) - target|⁴`

    Args:
        pred: Address of the student's last feature map, or a list of layers.
        target: Address of the teacher's, or a list of as many.
        weight: Weight of each pair. Defaults to `1.0`.
        soft_weight: Weight of the soft targets, at `T = 1`. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `1.0`.
        pred_logits: Address of the logits that learn. Defaults to `"student:output"`.
        target_logits: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> terms = keras_kd.recipes.srd(pred="student:a", target="teacher:b")
    >>> [(term.name, term.weight) for term in terms]
    [('labels', 1.0), ('soft_target', 1.0), ('features', 1.0)]

    Reference: Miles, Mikolajczyk, "Understanding the Role of the Projector in Knowledge
    Distillation", AAAI 2024, arXiv:2303.11098, section 3.
    """
    soft = Term(losses.SoftTarget(1.0), pred=pred_logits, target=target_logits, weight=soft_weight)
    terms = [
        Term(
            losses.LogPowerDistance(),
            pred=(s, t),
            target=t,
            projector=projectors.PooledDense(),
            target_projector=projectors.PooledNorm(),
            weight=weight,
            name="features",
        )
        for s, t in paired(pred, target)
    ]
    return [*labels(labels_weight, pred_logits), soft, *terms]
