"""Recipes for small language models that draft for a large one."""

from keras_kd import losses
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Terms, labels, recipe
from keras_kd.terms import Term


@recipe
def draft(
    *,
    temperature: Number = 1.0,
    weight: Number = 1.0,
    soft_weight: Number = 1.0,
    labels_weight: Number = 0.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """A draft model for speculative decoding: as many of its tokens accepted as can be.

    `loss = weight · TV(teacher, student) + soft_weight · T² · KL(teacher ‖ student)`

    A drafted token is accepted with the probability `1 - TV` on average, so the total variation is
    the very thing that is measured (`keras_kd.metrics.AcceptanceLength`). By itself it has almost
    no gradient while teacher and student have little in common; the forward divergence has one
    there, and bounds it: `TV ≤ √(KL / 2)`. Both are taken at the temperature that the two will
    sample with. Sequences that the student wrote serve best.

    Args:
        temperature: `T`; a float or a schedule. Defaults to `1.0`.
        weight: Weight of the total variation. Defaults to `1.0`.
        soft_weight: Weight of the forward divergence, a float or a schedule; 0 leaves it out.
            Defaults to `1.0`.
        labels_weight: Weight of the labels; 0 leaves them out. Defaults to `0.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.draft()]
    [('total_variation', 1.0), ('soft_target', 1.0)]

    Reference: Zhou et al., "DistillSpec: Improving Speculative Decoding via Knowledge
    Distillation", ICLR 2024, arXiv:2310.08461, section 4, which compares these divergences.
    """
    shared = Term(losses.TotalVariation(temperature), pred=pred, target=target, weight=weight)
    terms: Terms = [*labels(labels_weight, pred), shared]
    if soft_weight != 0:
        soft = losses.SoftTarget(temperature)
        terms.append(Term(soft, pred=pred, target=target, weight=soft_weight))
    return terms
