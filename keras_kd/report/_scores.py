"""Scores of predictions, in float64, by scikit-learn's definitions."""

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def binary_log_probabilities(logit: np.ndarray) -> np.ndarray:
    """Log-probabilities of no and yes, `(..., 2)`, for one logit `(...)`."""
    return np.stack([-np.logaddexp(0, logit), -np.logaddexp(0, -logit)], axis=-1)


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """The logarithm; a probability of 0 counts as the smallest step of a double."""
    return np.log(np.maximum(probabilities, np.finfo("float64").eps))


def in_top_k(log_p: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Where the true class is among the `k` most likely.

    Of equally likely classes the first counts as more likely, as `argmax` has it: with `k=1` this is the accuracy.
    """
    true_log_p, classes = np.take_along_axis(log_p, y[:, None], axis=1), np.arange(log_p.shape[1])
    ranked_before = (log_p > true_log_p) | ((log_p == true_log_p) & (classes < y[:, None]))
    return ranked_before.sum(axis=1) < k


def log_odds(log_p: np.ndarray) -> np.ndarray:
    """`log(p / (1 - p))` of every class: they order predictions also where `p` would round to 1."""
    is_largest = log_p.argmax(axis=-1)[..., None] == np.arange(log_p.shape[-1])
    others_log_p = np.where(is_largest, -np.inf, log_p)
    largest_other = others_log_p.max(axis=-1, keepdims=True)
    others = largest_other + np.log(
        np.exp(others_log_p - largest_other).sum(axis=-1, keepdims=True)
    )
    # Only the largest may be so near 1 that its complement must be the sum of the others.
    with np.errstate(divide="ignore"):
        complement = np.log1p(-np.exp(np.where(is_largest, -1.0, log_p)))
    return log_p - np.where(is_largest, others, complement)


def macro_precision_recall_f1(confusion: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1, the means over the classes that occur in labels or predictions.

    `confusion[i, j]` counts examples of class `i` predicted as `j`. What would divide by 0 is 0.
    """
    right = np.diag(confusion).astype("float64")
    predicted, true = confusion.sum(axis=0), confusion.sum(axis=1)
    present = predicted + true > 0
    precision, recall = _divide(right, predicted), _divide(right, true)
    f1 = _divide(2 * right, predicted + true)
    means = (float(values[present].mean()) for values in (precision, recall, f1))
    return next(means), next(means), next(means)


def _divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Chance that a positive example scores above a negative one, ties counting half.

    `None` when there are no positives, or nothing else.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return None
    _, rank, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[rank]
    return float(
        (ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    )


def mean_auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """The mean over the columns that have positives and negatives."""
    columns = [roc_auc(scores[:, c], positive[:, c]) for c in range(scores.shape[1])]
    defined = [value for value in columns if value is not None]
    return float(np.mean(defined)) if defined else None


def reliability(
    confidence: np.ndarray, right: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per bin of equal width: the number of predictions, their mean confidence, the share of right ones."""
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    total = [np.bincount(bin_of, weights, bins) for weights in (confidence, right)]
    with np.errstate(invalid="ignore"):
        return count, total[0] / count, total[1] / count


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """The expected calibration error, over bins of equal width."""
    count, mean_confidence, accuracy = reliability(confidence, right, bins)
    filled = count > 0
    return float(
        (count[filled] * np.abs(accuracy - mean_confidence)[filled]).sum() / len(confidence)
    )


def equal_mass_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """The same over bins of equally many predictions, sorted by confidence; sizes differ by at most 1.

    Where a bin ends among predictions of equal confidence, each counts as the mean of all of them.
    """
    _, group, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    mean_gap = np.bincount(group, right - confidence) / counts
    gaps = np.array_split(np.repeat(mean_gap, counts), bins)
    return float(sum(abs(gap.sum()) for gap in gaps) / len(confidence))


def kl_divergence(log_p: np.ndarray, log_q: np.ndarray, temperature: float) -> float:
    """Mean KL divergence from `p` to `q`, both at this temperature."""
    p, q = log_softmax(log_p / temperature), log_softmax(log_q / temperature)
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())
