"""Recipes for texts that the student wrote itself, as `keras_kd.sources.OnPolicy` feeds them."""

from typing import Literal

from keras_kd import losses
from keras_kd._core.addresses import LABELS
from keras_kd._core.scalars import Number
from keras_kd.recipes._building_blocks import Terms, labels, recipe
from keras_kd.terms import Term

_SAMPLED = {"k1": losses.SampledReverseKL, "k3": losses.LowVarianceReverseKL}


@recipe
def opd(
    *,
    estimator: Literal["full", "k1", "k3"] = "full",
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """On-policy distillation: the reverse KL at each token that the student wrote.

    `loss = KL(student ‖ teacher)` at each position (`"full"`), or an estimate of it from the token
    that was drawn there: `"k1"`, a policy gradient with the teacher's log-probabilities as reward,
    and `"k3"`, never below 0. `"full"` has no noise and costs a pass over the vocabulary; the others
    need the teacher's log-probability of one token. The gradient of `"k3"` is, over many draws, that
    of the forward KL.

    Args:
        estimator: `"full"`, `"k1"` or `"k3"`. Defaults to `"full"`.
        weight: Weight of the teacher. Defaults to `1.0`.
        labels_weight: Weight of the labels of texts of others; 0 leaves them out. With `"full"`
            alone: the others read the student's own tokens in their place. Defaults to `0.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If `estimator` is none of these, or `labels_weight` goes with `"k1"` or `"k3"`.

    Example:

    >>> [term.name for term in keras_kd.recipes.opd(estimator="k1")]
    ['sampled_reverse_kl']

    Reference: Lu, "On-Policy Distillation", Thinking Machines Lab, 2025; the estimators: Schulman,
    "Approximating KL Divergence", 2020.
    """
    if estimator == "full":
        soft = Term(losses.ReverseKL(), pred=pred, target=target, weight=weight)
        return [*labels(labels_weight, pred), soft]
    if estimator not in _SAMPLED:
        raise ValueError(
            f"`estimator` must be 'full', 'k1' or 'k3'. Received: estimator={estimator!r}."
        )
    _check_no_labels(labels_weight, f"estimator='{estimator}'")
    loss = _SAMPLED[estimator]()
    return [Term(loss, pred=pred, target=(target, LABELS), weight=weight)]


@recipe
def minillm(
    *,
    weight: Number = 1.0,
    labels_weight: Number = 0.0,
    pred: str = "student:output",
    target: str = "teacher:output",
) -> Terms:
    """MiniLLM: the reverse KL of whole texts that the student wrote.

    `loss = weight · (KL(student ‖ teacher) + future)`

    The first part is exact at each position; the second is a policy gradient of what the token does
    to the rest of its text, its mean log-ratio of teacher and student. Without the paper's mixture
    of teacher and student in sampling, and without its loss on a corpus.

    Args:
        weight: Weight of both parts. Defaults to `1.0`.
        labels_weight: 0: the student's own tokens stand where labels do. Defaults to `0.0`.
        pred: Address of the logits that learn. Defaults to `"student:output"`.
        target: Address of the logits to learn from. Defaults to `"teacher:output"`.

    Returns:
        A list of terms.

    Raises:
        ValueError: If `labels_weight` is not 0.

    Example:

    >>> [(term.name, term.weight) for term in keras_kd.recipes.minillm()]
    [('reverse_kl', 1.0), ('future_reverse_kl', 1.0)]

    Reference: Gu, Dong, Wei, Huang, "MiniLLM: Knowledge Distillation of Large Language Models", ICLR
    2024, arXiv:2306.08543, section 2.2.
    """
    _check_no_labels(labels_weight, "minillm")
    now = Term(losses.ReverseKL(), pred=pred, target=target, weight=weight)
    future = losses.FutureReverseKL()
    return [now, Term(future, pred=pred, target=(target, LABELS), weight=weight)]


def _check_no_labels(labels_weight: Number, who: str) -> None:
    if not isinstance(labels_weight, (int, float)) or labels_weight != 0:
        raise ValueError(
            f"{who} reads the tokens that the student drew where labels stand, so there are no "
            f"labels: leave out `labels_weight`, or take another recipe. Received: {labels_weight!r}."
        )
