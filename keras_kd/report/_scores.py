"""Numbers from answers, in float64, by scikit-learn's definitions."""

import numpy as np


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def two_classes(logit: np.ndarray) -> np.ndarray:
    """Log-probabilities of no and yes, `(..., 2)`, for one logit `(...)`."""
    return np.stack([-np.logaddexp(0, logit), -np.logaddexp(0, -logit)], axis=-1)


def log_of(probabilities: np.ndarray) -> np.ndarray:
    """The logarithm; a probability of 0 counts as the smallest step of a double."""
    return np.log(np.maximum(probabilities, np.finfo("float64").eps))


def in_top(log_p: np.ndarray, y: np.ndarray, k: int) -> np.ndarray:
    """Where the true class is among the `k` most likely.

    Of equal ones the first stands first, as `argmax` has it: with `k=1` this is the accuracy.
    """
    own, place = np.take_along_axis(log_p, y[:, None], axis=1), np.arange(log_p.shape[1])
    before = (log_p > own) | ((log_p == own) & (place < y[:, None]))
    return before.sum(axis=1) < k


def log_odds(log_p: np.ndarray) -> np.ndarray:
    """`log(p / (1 - p))` of every class: it orders answers also where `p` would round to 1."""
    first = log_p.argmax(axis=-1)[..., None] == np.arange(log_p.shape[-1])
    rest = np.where(first, -np.inf, log_p)
    second = rest.max(axis=-1, keepdims=True)
    others = second + np.log(np.exp(rest - second).sum(axis=-1, keepdims=True))
    # Only the first may be so near 1 that its complement has to be added up from the others.
    with np.errstate(divide="ignore"):
        complement = np.log1p(-np.exp(np.where(first, -1.0, log_p)))
    return log_p - np.where(first, others, complement)


def macro(confusion: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1, the means over the classes that occur in labels or answers.

    `confusion[i, j]` counts examples of class `i` answered `j`. What would divide by 0 is 0.
    """
    right = np.diag(confusion).astype("float64")
    answered, true = confusion.sum(axis=0), confusion.sum(axis=1)
    there = answered + true > 0
    precision, recall = _over(right, answered), _over(right, true)
    f1 = _over(2 * right, answered + true)
    means = (float(values[there].mean()) for values in (precision, recall, f1))
    return next(means), next(means), next(means)


def _over(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.zeros(len(a)), where=b > 0)


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """Chance that a positive example scores above a negative one, ties counting half.

    `None` when there are no positives, or nothing else.
    """
    yes = int(positive.sum())
    no = len(positive) - yes
    if not yes or not no:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def mean_auc(scores: np.ndarray, positive: np.ndarray) -> float | None:
    """The mean over the columns that have both kinds, each against the rest."""
    columns = [roc_auc(scores[:, c], positive[:, c]) for c in range(scores.shape[1])]
    there = [value for value in columns if value is not None]
    return float(np.mean(there)) if there else None


def reliability(
    confidence: np.ndarray, right: np.ndarray, bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per bin of equal width: how many answers, their mean confidence, their share of right."""
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    total = [np.bincount(place, weights, bins) for weights in (confidence, right)]
    with np.errstate(invalid="ignore"):
        return count, total[0] / count, total[1] / count


def calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Over bins of equal width."""
    count, mean_confidence, was = reliability(confidence, right, bins)
    there = count > 0
    return float((count[there] * np.abs(was - mean_confidence)[there]).sum() / len(confidence))


def equal_mass_error(confidence: np.ndarray, right: np.ndarray, bins: int = 15) -> float:
    """Over bins of equally many answers, sorted by confidence; the sizes differ by at most one.

    Where a bin's edge goes through answers of equal confidence, each counts as their mean does.
    """
    _, place, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    shared = np.bincount(place, right - confidence) / counts
    gaps = np.array_split(np.repeat(shared, counts), bins)
    return float(sum(abs(gap.sum()) for gap in gaps) / len(confidence))


def divergence(log_p: np.ndarray, log_q: np.ndarray, temperature: float) -> float:
    """Mean KL from `p` to `q`, both softened."""
    p, q = log_softmax(log_p / temperature), log_softmax(log_q / temperature)
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())
