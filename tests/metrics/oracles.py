"""Each metric as a formula in numpy and float64, with loops where they are plainer."""

import numpy as np


def softmax(z):
    z = np.asarray(z, "float64")
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def agreement(t, s, w, **_):
    return np.average(t.argmax(-1) == s.argmax(-1), weights=w)


def top_2_agreement(t, s, w, **_):
    among = [t[i].argmax() in np.argsort(-s[i])[:2] for i in range(len(t))]
    return np.average(among, weights=w)


def kl(t, s, w, temperature=1.0):
    p, q = softmax(t / temperature), softmax(s / temperature)
    return np.average((p * np.log(p / q)).sum(-1), weights=w)


def nll(y, s, w, **_):
    p = softmax(s)
    return np.average([-np.log(p[i, y[i]]) for i in range(len(y))], weights=w)


def brier(y, s, w, **_):
    p = softmax(s)
    each = [sum((p[i, c] - (c == y[i])) ** 2 for c in range(p.shape[1])) for i in range(len(y))]
    return np.average(each, weights=w)


def ece(y, s, w, bins=5):
    p = softmax(s)
    confidence, right = p.max(-1), p.argmax(-1) == y
    total = 0.0
    for m in range(bins):
        inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
        if w[inside].sum():
            gap = np.average(right[inside], weights=w[inside]) - np.average(
                confidence[inside], weights=w[inside]
            )
            total += w[inside].sum() / w.sum() * abs(gap)
    return total


def equal_mass(confidence, right, bins):
    """On sorted answers; the number of answers is a multiple of the number of bins."""
    order = np.argsort(confidence)
    parts = np.split((right - confidence)[order], bins)
    return np.mean([abs(part.mean()) for part in parts])
