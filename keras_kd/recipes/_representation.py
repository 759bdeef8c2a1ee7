"""Recipes for what a student learns before its task: features, without labels."""

import keras

from keras_kd import losses, projectors
from keras_kd._core.addresses import parse
from keras_kd._core.scalars import Number, finite
from keras_kd.recipes._building_blocks import (
    Layers,
    Terms,
    copied,
    labels,
    listed,
    paired,
    recipe,
    shaped,
)
from keras_kd.terms import Term


@recipe
def representation(
    *,
    pred: Layers,
    target: Layers,
    target_projector: keras.layers.Layer | None = None,
    alpha: Number = 0.9,
    beta: Number = 0.1,
    pooled: float = 1.0,
    spatial: float = 1.0,
    weight: float = 1.0,
    labels_weight: Number = 0.0,
) -> Terms:
    """Representation: a backbone learns its teachers' features, without labels.

    `loss = Σ over targets of weight · (pooled · m(p(mean pred), z(mean target))`
    `                                + spatial · m(q(pred), z(target)))`

    with `m = alpha · (1 - cos) + beta · smooth L1`, a trained linear head with BatchNorm for each,
    `p` and `q`, and `z` the standardization of each channel over the data. Means are over the
    positions. For pretraining on unlabeled images: compile with `loss=None`, fit
    without `y`, and train the student on its task afterwards.

    Several teachers have a head each: give their layers as a list, or add the lists of several
    calls, which may have other settings.

    Args:
        pred: Address of the student's last feature map, or a list with one for each target.
        target: Address of the teacher's last feature map, or a list of addresses, of several
            teachers too.
        target_projector: Layer without weights for what the teachers' layers see, such as
            `keras_kd.projectors.TokensToMap(class_tokens=5)` when they are a vision transformer's.
            Defaults to `None`.
        alpha: Weight of the cosine distance; a float or a schedule. Defaults to `0.9`.
        beta: Weight of the smooth L1 distance; a float or a schedule. Defaults to `0.1`.
        pooled: Share of the means over the positions; 0 leaves them out. Defaults to `1.0`.
        spatial: Share of the positions; 0 leaves them out, which targets that are vectors, such as
            a class token, need. Defaults to `1.0`.
        weight: Weight of each target. Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If there are several `pred` and not as many targets, or neither means nor
            positions.

    Example:

    >>> targets = ["big:features", "old:features"]
    >>> terms = keras_kd.recipes.representation(pred="student:features", target=targets)
    >>> [term.name for term in terms]
    ['big_pooled', 'big_spatial', 'old_pooled', 'old_spatial']

    Reference: Ranzinger et al., "AM-RADIO: Agglomerative Vision Foundation Model - Reduce All
    Domains Into One", CVPR 2024, arXiv:2312.06709, section 3; targets standardized as in Shang et
    al., "Theia: Distilling Diverse Vision Foundation Models for Robot Learning", CoRL 2024,
    arXiv:2407.20179, section 3.
    """
    shares = {"pooled": finite(pooled, "pooled"), "spatial": finite(spatial, "spatial")}
    if not any(shares.values()):
        raise ValueError(
            "`representation` compares means over the positions, positions, or both. "
            f"Received: pooled={pooled!r}, spatial={spatial!r}."
        )
    targets = listed(target)
    preds = listed(pred) * len(targets) if len(listed(pred)) == 1 else listed(pred)
    several = len({parse(t).role for t in targets}) > 1
    terms: list[Term] = []
    for s, t in paired(preds, targets):
        before = f"{parse(t).role}_" if several else ""
        heads: dict[str, tuple[keras.layers.Layer, list[keras.layers.Layer]]] = {
            "pooled": (projectors.PooledDense(), [projectors.Pool()]),
            "spatial": (
                projectors.NormalizedRegressor(target_projector=copied(target_projector)), []
            ),
        }  # fmt: skip
        for name, (head, pooling) in heads.items():
            if shares[name] == 0:
                continue
            first = [] if target_projector is None else [copied(target_projector)]
            standard = [*first, *pooling, projectors.Standardize()]
            terms.append(
                shaped(
                    losses.DirectionMatch(alpha, beta), s, t, head, weight * shares[name],
                    before + name, target_projector=keras.Sequential(standard),
                )
            )  # fmt: skip
    return [*labels(labels_weight), *terms]
