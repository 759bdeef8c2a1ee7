"""The losses in float64 numpy, from their formulas, one example after another."""

import itertools
import math

import numpy as np


def log_softmax(x):
    x = np.asarray(x, dtype="float64")
    x = x - x.max()
    return x - np.log(np.exp(x).sum())


def softmax(x):
    return np.exp(log_softmax(x))


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def per_row(row):
    """An oracle of rows of logits, from one row's formula; further axes are positions."""

    def oracle(t, s, **constants):
        values = [row(a, b, **constants) for a, b in zip(_rows(t), _rows(s), strict=True)]
        return np.reshape(values, np.shape(s)[:-1])

    return oracle


def with_labels(row):
    """The same, for a target that is (teacher, labels)."""

    def oracle(target, s, **constants):
        t, labels = target
        rows = zip(_rows(t), np.ravel(labels).astype(int), _rows(s), strict=True)
        return np.reshape([row(a, y, b, **constants) for a, y, b in rows], np.shape(s)[:-1])

    return oracle


def product(factors):
    """The logits that factors stand for."""
    hidden, kernel, bias, *cap = (np.asarray(x, "float64") for x in factors)
    logits = hidden @ kernel + bias
    return cap[0] * np.tanh(logits / cap[0]) if cap else logits


def of_factors(oracle):
    """An oracle of logits, of their factors."""

    def values(target, pred, loss):
        constants = {n: v for n, v in vars(loss).items() if n in ("alpha", "beta", "temperature")}
        labelled = isinstance(target[0], tuple)
        target = (product(target[0]), target[1]) if labelled else product(target)
        return oracle(target, product(pred), **constants)

    return values


def per_example(one):
    """An oracle of whole examples, channels last."""

    def oracle(t, s, **constants):
        return np.array([one(a, b, **constants) for a, b in zip(t, s, strict=True)])

    return oracle


def _rows(x):
    return np.reshape(np.asarray(x, "float64"), (-1, np.shape(x)[-1]))


# Logits


def soft_target(t, s, temperature):
    return temperature**2 * kl(softmax(t / temperature), softmax(s / temperature))


def binary_soft_target(t, s, temperature):
    total = 0.0
    for a, b in zip(t, s, strict=True):
        p, q = (1 / (1 + math.exp(-x / temperature)) for x in (a, b))
        total += kl([p, 1 - p], [q, 1 - q])
    return temperature**2 * total


def standardized(t, s, temperature):
    t, s = ((x - x.mean()) / (1e-7 + x.std(ddof=1)) for x in (t, s))
    return soft_target(t, s, temperature)


def decoupled(t, y, s, alpha, beta, temperature):
    p, q = softmax(t / temperature), softmax(s / temperature)
    right = kl([p[y], 1 - p[y]], [q[y], 1 - q[y]])
    t, s = np.delete(t, y), np.delete(s, y)
    others = kl(softmax(t / temperature), softmax(s / temperature))
    return temperature**2 * (alpha * right + beta * others)


def normalized(t, y, s, gamma, temperature):
    right = -softmax(t)[y] * log_softmax(s)[y]
    t, s = np.delete(t, y), np.delete(s, y)
    others = -(softmax(t / temperature) * log_softmax(s / temperature)).sum()
    return right + gamma * temperature**2 * others


def importance(t, y, s):
    return 1 - math.exp(-max(log_softmax(s)[y] / (log_softmax(t)[y] - 1e-7), 0.0))


def weighted(t, y, s, alpha, temperature, weight=None):
    weight = importance(t, y, s) if weight is None else weight
    soft = -(softmax(t / temperature) * log_softmax(s / temperature)).sum()
    return alpha * temperature**2 * weight * soft


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / (np.linalg.norm(a) * np.linalg.norm(b) + 1e-8)


def correlation(t, s, beta, gamma, temperature):
    p, q = (np.array([softmax(row / temperature) for row in _rows(x)]) for x in (t, s))
    inter = np.array([1 - pearson(a, b) for a, b in zip(p, q, strict=True)])
    intra = 1 - np.mean([pearson(a, b) for a, b in zip(p.T, q.T, strict=True)])
    return temperature**2 * np.reshape(beta * inter + gamma * intra, np.shape(s)[:-1])


def hard(t, s):
    return -log_softmax(s)[int(np.argmax(t))]


def label(labels, s):
    rows = zip(np.ravel(labels).astype(int), _rows(s), strict=True)
    return np.reshape([-log_softmax(row)[y] for y, row in rows], np.shape(s)[:-1])


def mean_square(t, s):
    return np.mean((s - t) ** 2)


def regression(target, s, margin):
    t, y = target
    error, bound = ((s - y) ** 2).sum(-1), ((t - y) ** 2).sum(-1)
    return np.where(error + margin > bound, error, 0.0)


def virtual(labels, s, correct, temperature):
    values = []
    for y, row in zip(np.ravel(labels).astype(int), _rows(s), strict=True):
        p = np.full(len(row), (1 - correct) / (len(row) - 1))
        p[y] = correct
        values.append(soft_target(np.log(p), row, temperature))
    return np.array(values)


def diversity(others, s, temperature):
    values = []
    for i, row in enumerate(s):
        q = softmax(row / temperature)
        values.append(-np.mean([np.linalg.norm(q - softmax(t[i] / temperature)) for t in others]))
    return np.array(values)


# Sequences


def labelled(t, y, s, alpha, temperature):
    return -(1 - alpha) * log_softmax(s)[y] + alpha * soft_target(t, s, temperature)


def reverse_kl(t, s, temperature):
    return kl(softmax(s / temperature), softmax(t / temperature))


def jensen_shannon(t, s, beta, temperature):
    p, q = softmax(t / temperature), softmax(s / temperature)
    if beta in (0, 1):
        return kl(q, p) if beta else kl(p, q)
    m = beta * p + (1 - beta) * q
    return beta * kl(p, m) + (1 - beta) * kl(q, m)


def skew_kl(t, s, lam, temperature):
    p, q = softmax(t / temperature), softmax(s / temperature)
    return kl(p, lam * p + (1 - lam) * q)


def skew_reverse_kl(t, s, lam, temperature):
    p, q = softmax(t / temperature), softmax(s / temperature)
    return kl(q, (1 - lam) * p + lam * q)


def transformed(t, s, temperature, weighted=False):
    p = softmax(t)
    powers = p ** (1 / temperature)
    found = kl(powers / powers.sum(), softmax(s))
    return powers.sum() * found if weighted else found


def alpha_beta(t, s, alpha, beta, temperature):
    p, q = softmax(t / temperature), softmax(s / temperature)
    if alpha and beta:
        both = alpha + beta
        terms = alpha / both * p**both + beta / both * q**both - p**alpha * q**beta
        return terms.sum() / (alpha * beta)
    if alpha:
        a, b = p**alpha, q**alpha
        return (a * np.log(a / b) - a + b).sum() / alpha**2
    if beta:
        return alpha_beta(s, t, beta, 0.0, temperature)
    return 0.5 * ((np.log(p) - np.log(q)) ** 2).sum()


def buckets(target, s, temperature):
    """Both sides' probabilities of the known classes, and of the rest as one."""
    largest, classes, log_sum_exp = target
    rows = zip(
        _rows(largest), _rows(classes).astype(int), np.ravel(log_sum_exp), _rows(s), strict=True
    )
    for v, c, total, row in rows:
        known = v > -1e4  # what fills a row up is not
        v, c = v[known], c[known]
        p, q = np.exp(v / temperature - total), softmax(row / temperature)
        p_all, q_all = p, q[c]
        if len(c) < len(row):  # the rest in one bucket
            p_all, q_all = np.append(p, 1 - p.sum()), np.append(q[c], 1 - q[c].sum())
        yield p_all, q_all


def sparse(target, s, temperature):
    values = [temperature**2 * kl(p, q) for p, q in buckets(target, s, temperature)]
    return np.reshape(values, np.shape(s)[:-1])


def sparse_reverse(target, s, temperature):
    values = [kl(q, p) for p, q in buckets(target, s, temperature)]
    return np.reshape(values, np.shape(s)[:-1])


def sparse_jensen_shannon(target, s, beta, temperature):
    rows = buckets(target, s, temperature)
    values = [jensen_shannon(np.log(p), np.log(q), beta, 1.0) for p, q in rows]
    return np.reshape(values, np.shape(s)[:-1])


def universal(t, s, temperature):
    p, q = (sorted(softmax(x / temperature), reverse=True) for x in (t, s))
    return sum(abs(a - b) for a, b in itertools.zip_longest(p, q, fillvalue=0.0))


def spans(
    target, s, student_groups, teacher_groups, beta=0.5, temperature=1.0,
    matched_weight=None, unmatched_weight=None,
):  # fmt: skip
    """Of each span the value, at the student's position where it begins; 0 elsewhere."""
    t, (mine, theirs) = target
    share = np.mean(np.array(teacher_groups) >= 0)
    a = share if matched_weight is None else matched_weight
    b = 1 - share if unmatched_weight is None else unmatched_weight
    values = np.zeros(s.shape[:2])

    def events(logits, tokens, begin, groups):
        """Probabilities of the groups, then of the span; and of the tokens of no group, sorted."""
        written = [i for i, row in enumerate(tokens) if int(row[1]) == begin]
        of_span = np.prod([softmax(logits[i] / temperature)[int(tokens[i][0])] for i in written])
        p = softmax(logits[written[0]] / temperature)
        first = int(tokens[written[0]][0])
        p[first] = max(p[first] - of_span, 1e-7 * p[first])
        whole = np.r_[groups, [-1] * (len(p) - len(groups))]
        summed = [p[whole == group].sum() for group in range(max(groups) + 1)]
        return np.array([*summed, of_span]), sorted(p[whole == -1], reverse=True)

    for example, place in np.ndindex(*s.shape[:2]):
        if int(mine[example][place][1]) != place:
            continue
        q, rest_q = events(s[example], mine[example], place, student_groups)
        p, rest_p = events(t[example], theirs[example], place, teacher_groups)
        m = beta * p + (1 - beta) * q
        if beta in (0, 1):
            one, other = (q, p) if beta else (p, q)
            value = kl(one, other) - one.sum() + other.sum()
        else:
            value = beta * kl(p, m) + (1 - beta) * kl(q, m)
        gap = sum(abs(x - y) for x, y in itertools.zip_longest(rest_p, rest_q, fillvalue=0.0))
        values[example, place] = a * value + b * gap
    return values


def at_tokens(target, s):
    """Log-probabilities of the tokens, the teacher's and the student's; 0 where there is none."""
    teacher, tokens = target
    found = np.zeros((2, *np.shape(tokens)))
    for place in np.ndindex(*np.shape(tokens)):
        token = int(tokens[place])
        if token >= 0:
            found[(0, *place)] = log_softmax(teacher[place])[token]
            found[(1, *place)] = log_softmax(s[place])[token]
    return found


def sampled_reverse(target, s):
    log_p, log_q = at_tokens(target, s)
    return log_q - log_p


def low_variance_reverse(target, s):
    log_p, log_q = at_tokens(target, s)
    return np.vectorize(tangent)(log_p - log_q)


def tangent(log_r):
    ratio = math.exp(log_r) if log_r <= 10 else math.exp(10) * (1 + log_r - 10)
    return ratio - 1 - log_r


def future_reverse(target, s):
    log_p, log_q = at_tokens(target, s)
    drawn = np.asarray(target[1]) >= 0
    values = np.zeros(log_p.shape)
    for row, place in np.ndindex(*log_p.shape):
        later = [
            log_p[row, i] - log_q[row, i] for i in range(place + 1, log_p.shape[1]) if drawn[row, i]
        ]
        if drawn[row, place] and later:
            values[row, place] = -sum(later) / len(later)
    return values


def sampled(target, s, temperature):
    values = []
    for w, c, row in zip(*map(_rows, (*target, s)), strict=True):
        q = softmax(row / temperature)
        values.append(-(temperature**2) * sum(w[i] * np.log(q[int(c[i])]) for i in range(len(w))))
    return np.reshape(values, np.shape(s)[:-1])


def total_variation(t, s, temperature):
    p, q = softmax(t / temperature), softmax(s / temperature)
    return 1 - sum(min(a, b) for a, b in zip(p, q, strict=True))


# Features


def length_one(x):
    size = np.linalg.norm(x)
    return x / size if size else x


def pool(x, size):
    """Adaptive average pooling of one map (height, width, channels)."""
    height, width, channels = x.shape
    out = np.zeros((*size, channels))
    for i, j in itertools.product(*map(range, size)):
        rows = slice(i * height // size[0], math.ceil((i + 1) * height / size[0]))
        columns = slice(j * width // size[1], math.ceil((j + 1) * width / size[1]))
        out[i, j] = x[rows, columns].mean((0, 1))
    return out


def smaller(a, b):
    if a.ndim < 3:
        return a, b
    size = min(a.shape[0], b.shape[0]), min(a.shape[1], b.shape[1])
    return pool(a, size), pool(b, size)


def attention_map(t, s):
    t, s = (length_one((x**2).mean(-1).ravel()) for x in smaller(t, s))
    return mean_square(t, s)


def direction(t, s, alpha, beta):
    cosine = (t * s).sum() / (np.linalg.norm(t) * np.linalg.norm(s))
    gaps = [d**2 / 2 if abs(d) < 1 else abs(d) - 0.5 for d in s - t]
    return alpha * (1 - cosine) + beta * sum(gaps) / len(gaps)


def factor(t, s):
    return np.abs(length_one(s.ravel()) - length_one(t.ravel())).mean()


def variational(t, pred):
    mean, variance = pred
    return 0.5 * ((mean - t) ** 2 / variance + np.log(variance + 0 * t)).mean(-1)


def boundary(t, s, margin):
    total = 0.0
    for a, b in zip(t.ravel(), s.ravel(), strict=True):
        if a <= 0 and b > -margin:
            total += (b + margin) ** 2
        if a > 0 and b <= margin:
            total += (b - margin) ** 2
    return total


def margin_relu(t, s, margins):
    total = 0.0
    for index in np.ndindex(t.shape):
        m = margins[index[-1]] if np.ndim(margins) else margins
        a, b = max(t[index], m), s[index]
        total += (b - a) ** 2 if b > a or a > 0 else 0.0
    return total


def hierarchical(t, s, levels):
    total, share, shares = mean_square(t, s), 1.0, 1.0
    for level in levels:
        if level >= max(t.shape[:2]):
            continue
        share /= 2
        size = min(level, t.shape[0]), min(level, t.shape[1])
        total += share * mean_square(pool(t, size), pool(s, size))
        shares += share
    return total / shares


def flow(target, pred):
    def gram(top, bottom):
        top, bottom = smaller(top, bottom)
        pairs = itertools.product(range(top.shape[-1]), range(bottom.shape[-1]))
        return np.array([(top[..., i] * bottom[..., j]).mean() for i, j in pairs])

    both = zip(*target, *pred, strict=True)
    return np.array([mean_square(gram(a, b), gram(c, d)) for a, b, c, d in both])


def _flat(x):
    return np.reshape(np.asarray(x, "float64"), (len(x), -1))


def similarity(t, s):
    t, s = (np.array([length_one(row) for row in _flat(x) @ _flat(x).T]) for x in (t, s))
    return ((s - t) ** 2).mean(-1)


def huber(x):
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def distance(t, s):
    def distances(x):
        x, n = _flat(x), len(x)
        d = np.zeros((n, n))
        for i, j in itertools.permutations(range(n), 2):
            d[i, j] = max(np.linalg.norm(x[i] - x[j]), 1e-6)
        return d / d[d > 0].mean() if n > 1 else d

    return np.vectorize(huber)(distances(s) - distances(t)).mean(-1)


def angle(t, s):
    def cosine(x, i, j, k):
        return length_one(x[j] - x[i]) @ length_one(x[k] - x[i])

    t, s, n = _flat(t), _flat(s), len(t)
    values = np.zeros(n)
    for i, j, k in itertools.product(range(n), repeat=3):
        values[i] += huber(cosine(s, i, j, k) - cosine(t, i, j, k)) / n**2
    return values


def probability(t, s):
    def neighbours(x):
        x = _flat(x)
        x = x / (np.linalg.norm(x, axis=1, keepdims=True) + 1e-7)
        k = (x @ x.T + 1) / 2
        return k / k.sum(1, keepdims=True)

    p, q = neighbours(t), neighbours(s)
    return (p * np.log((p + 1e-7) / (q + 1e-7))).mean(-1)


def selectivity(t, s):
    t, s = smaller(t, s)
    t, s = ([length_one(c) for c in x.reshape(-1, x.shape[-1]).T] for x in (t, s))

    def mean(a, b):
        return np.mean([(x @ y) ** 2 for x, y in itertools.product(a, b)])

    return mean(t, t) + mean(s, s) - 2 * mean(s, t)


def congruence(t, s, gamma, order):
    def kernel(x):
        x = np.array([length_one(row) for row in _flat(x)])
        terms = [(2 * gamma) ** n / math.factorial(n) * (x @ x.T) ** n for n in range(order + 1)]
        return math.exp(-2 * gamma) * sum(terms)

    return ((kernel(s) - kernel(t)) ** 2).mean(-1)


def contrastive(t, s, temperature):
    t, s = (np.array([length_one(row) for row in x]) for x in (t, s))
    return np.array([-log_softmax(t @ row / temperature)[i] for i, row in enumerate(s)])


def noise_contrastive(_, s, examples):
    values, c = [], (s.shape[1] - 1) / examples
    for row in np.exp(s):
        values.append(
            -math.log(row[0] / (row[0] + c)) - sum(math.log(c / (x + c)) for x in row[1:])
        )
    return np.array(values)


def log_power_distance(t, s, power):
    total = (np.maximum(np.abs(s - t), 1e-12) ** power).sum()
    return np.full(len(s), 2 * math.log(max(total, 1e-30)))


# Transformers


def attention_score(t, s, masked_below):
    t, s = (np.where(x <= masked_below, 0.0, x) for x in (t, s))
    return mean_square(t, s)


def relation(target, pred):
    (a, b, *valid), (c, d) = target, pred
    batch, heads, queries, _ = a.shape
    values = np.zeros((batch, queries))
    for n, h, i in np.ndindex(batch, heads, queries):
        keep = valid[0][n] > 0 if valid else np.full(b.shape[2], True)
        rows = [
            softmax((y[n, h] @ x[n, h, i] / math.sqrt(x.shape[-1]))[keep])
            for x, y in ((a, b), (c, d))
        ]
        values[n, i] += kl(*rows) / heads
    return values


def sum_of_squares(t, s):
    return ((s - t) ** 2).sum()


# Made of others: each oracle names the loss inside that the table gives


def sum_of_mean_squares(target, pred, loss):
    pairs = list(zip(target, pred, strict=True))
    return sum(np.array([mean_square(a, b) for a, b in zip(t, s, strict=True)]) for t, s in pairs)


def _confidence(answers, labels):
    """One row of weights for each example."""
    for i, y in enumerate(np.ravel(labels).astype(int)):
        costs = np.array([-log_softmax(z[i])[y] for z in answers])
        yield (1 - softmax(costs)) / (len(answers) - 1)


def confidence(target, s, loss):
    *answers, labels = target
    values = []
    for i, weights in enumerate(_confidence(answers, labels)):
        each = [soft_target(z[i], s[i], loss.temperature) for z in answers]
        values.append((weights * each).sum())
    return np.array(values)


def confidence_features(target, s, loss):
    *both, labels = target
    features, answers = both[: len(both) // 2], both[len(both) // 2 :]
    values = []
    for i, weights in enumerate(_confidence(answers, labels)):
        each = [mean_square(f[i], s[i]) for f in features]
        values.append((weights * each).sum() / len(features))
    return np.array(values)


def curriculum(t, pred):
    s, temperature = pred
    return np.array([soft_target(a, b, temperature[0]) for a, b in zip(t, s, strict=True)])
