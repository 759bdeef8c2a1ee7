"""Recipes on layers through a map to the teacher's shape, which is learned with the student."""

import keras

from keras_kd import losses, projectors
from keras_kd._core.addresses import parse
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Layers, Terms, copied, labels, paired, recipe, shaped
from keras_kd.taps import layer_paths
from keras_kd.terms import Term


@recipe
def fitnets(
    *,
    pred: Layers,
    target: Layers,
    projector: keras.layers.Layer | None = None,
    target_projector: keras.layers.Layer | None = None,
    weight: Number = 100.0,
    labels_weight: Number = 1.0,
) -> Terms:
    """FitNets: a layer of the student regresses a layer of the teacher (a hint).

    `loss = cross_entropy(labels) + weight · mean (projector(pred) - target)²`

    Args:
        pred: Address of the student's layer, such as `"student:block3"`, or a list of them.
        target: Address of the teacher's layer, such as `"teacher:conv4"`, or a list of as many.
        projector: Regressor from the student's shape to the teacher's, such as
            `keras_kd.projectors.Conv1x1(256)`, for one pair. Defaults to `None`, a
            `keras_kd.projectors.Regressor` for each pair, which finds the shapes itself.
        target_projector: Layer without weights for what the teacher's layers see, such as
            `keras_kd.projectors.TokensToMap()` when they are a vision transformer's. Defaults to
            `None`.
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
            shaped(
                losses.FeatureMatch(), s, t,
                projectors.Regressor(target_projector=copied(target_projector)), weight, "hint",
                target_projector=target_projector,
            )
            for s, t in pairs
        ]  # fmt: skip
    elif len(pairs) == 1:
        s, t = pairs[0]
        loss = losses.FeatureMatch()
        hints = [
            Term(
                loss, pred=s, target=t, projector=projector, target_projector=target_projector,
                weight=weight, name="hint",
            )
        ]  # fmt: skip
    else:
        raise ValueError(
            f"One projector cannot serve {len(pairs)} pairs. Leave `projector` out, or write a "
            "Term for each pair."
        )
    return [*labels(labels_weight), *hints]


@recipe
def vid(
    *, pred: Layers, target: Layers, weight: Number = 1.0, labels_weight: Number = 1.0
) -> Terms:
    """Variational information distillation: a Gaussian likelihood of the teacher's features.

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
        shaped(
            losses.VariationalMatch(), s, t, projectors.VariationalRegressor(), weight,
            "information",
        )
        for s, t in paired(pred, target)
    ]  # fmt: skip
    return [*labels(labels_weight), *terms]


@recipe
def ab(
    *, pred: Layers, target: Layers, weight: float = 0.003, labels_weight: Number = 1.0
) -> Terms:
    """Activation boundaries: the student's neurons fire where the teacher's do.

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
        shaped(
            losses.BoundaryMatch(), s, t, projectors.NormalizedRegressor(),
            weight / 2 ** (len(pairs) - 1 - i), "boundary",
        )
        for i, (s, t) in enumerate(pairs)
    ]  # fmt: skip
    return [*labels(labels_weight), *terms]


@recipe
def ofd(
    *,
    teacher: keras.Model,
    pred: Layers,
    target: Layers,
    weight: float = 0.001,
    labels_weight: Number = 1.0,
) -> Terms:
    """Overhaul of feature distillation: features from before the ReLU, by a partial distance.

    `loss = cross_entropy(labels) + 0.001 · Σ over pairs of 2^-(pairs after it) · partial`

    The margins are the means of the teacher's negative responses, computed from the statistics of
    its BatchNorm layers, which are the targets; shallow first.

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
    >>> terms = keras_kd.recipes.ofd(teacher=teacher, pred="student:a", target="teacher:norm")
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
            shaped(
                losses.MarginReLUMatch(margins), s, t, projectors.NormalizedRegressor(),
                weight / 2 ** (len(pairs) - 1 - i), "overhaul",
            )
        )  # fmt: skip
    return [*labels(labels_weight), *terms]
