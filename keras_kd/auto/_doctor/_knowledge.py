"""Is there something to learn from the teacher? What it knows, how sure it is, of what examples."""

from itertools import pairwise

import numpy as np

from keras_kd._core.messages import listing
from keras_kd.auto._doctor._facts import Facts, percent, probabilities
from keras_kd.auto._doctor._findings import Finding
from keras_kd.auto._task import Numbers
from keras_kd.auto._teacher import is_below
from keras_kd.report import bootstrap, mcnemar

#: Answers that are the labels again: so little probability on anything else, and so much more of it
#: where the teacher did not see the example.
_NOTHING_LEFT, _MORE_HELD_OUT = 0.04, 0.08
#: Of a regression: R² on what was seen, and how much less it is elsewhere.
_PERFECT, _FALLS = 0.995, 0.10
_TEMPERATURES = np.exp(np.linspace(np.log(0.05), np.log(20.0), 80))
#: Logits that are so much too large, or too small, at a cost of so many nats. A forest is less sure
#: than it is right, and a good teacher: only what is nearly flat is told.
_SHARPER, _FLATTER, _NATS, _NATS_FLAT = 2.0, 0.25, 0.05, 0.1
_NOISE, _SIDES = 0.05, 2.0
_PER_CLASS, _RAREST, _HELD_OUT, _EXAMPLES = 15, 5, 50, 50


def worth_it(facts: Facts) -> Finding:
    """Whether the teacher is better than a linear model."""
    of = facts.task.score_name
    linear = facts.task.judge(facts.linear, facts.data.validation.y)
    told = (
        f"{of} {facts.judged.score:.3f} on the validation data, a linear model {linear.score:.3f}"
    )
    facts.numbers |= {"score": facts.judged.score, "linear_score": linear.score}
    if is_below(facts.judged, linear):
        return Finding(
            "worth_it",
            "error",
            f"The teacher is below a linear model of the inputs: {told}. Look at its training; until "
            "it is better, a student learns more from the labels alone.",
            "terms = [kd.Labels()]",
        )
    return Finding("worth_it", "fine", f"The teacher is not below a linear model: {told}.")


def memorised(facts: Facts) -> Finding:
    """Whether the teacher's answers on training examples are the labels again."""
    whose = "The teacher's answers" if facts.stored is None else "The stored answers"
    reference = (
        "A diagnosis and no rule: with clean labels, out-of-fold answers may cost more than they "
        "give, for each of their teachers saw less. Compare both. (Wolpert, Stacked Generalization, 1992.)"
    )
    remedy = 'kd.stores.cross_fit(build, fit, train, "answers", folds=5)  # fit(build(), part) trains one'
    if isinstance(facts.task, Numbers):
        inside = facts.task.judge(facts.inside(), facts.sample.y).score
        gap = inside - facts.judged.score
        told = (
            f"R² {inside:.3f} on training examples, {facts.judged.score:.3f} on validation examples"
        )
        bad = inside >= _PERFECT and gap > _FALLS
    else:
        y, held = facts.sample.y, facts.data.validation.y
        seen, unseen = _beside(facts, facts.inside(), y), _beside(facts, facts.outputs, held)
        inside, outside = _top(facts, facts.inside()), _top(facts, facts.outputs)
        told = (
            f"on training examples they differ from the labels by {seen:.3f} on average, on validation "
            f"examples by {unseen:.3f}; the top probability is {inside:.3f} and {outside:.3f}"
        )
        bad = seen < _NOTHING_LEFT and unseen - seen > _MORE_HELD_OUT
        facts.numbers |= {"top_inside": inside, "top_outside": outside}
    facts.numbers["memorised"] = bad
    if bad:
        return Finding(
            "memorised",
            "warning",
            f"{whose} on its training examples are the labels again: {told}. There is little in "
            "them that the labels do not say.",
            remedy,
            reference,
        )
    return Finding("memorised", "fine", f"{whose} are more than the labels: {told}.")


def _beside(facts: Facts, logits: np.ndarray, y: np.ndarray) -> float:
    """The mean probability that is not on the label."""
    p = probabilities(facts, logits)
    if facts.classes:
        return float(1 - p[np.arange(len(y)), y].mean())
    return float(np.abs(p - y).mean())


def _top(facts: Facts, logits: np.ndarray) -> float:
    p = probabilities(facts, logits)
    return float((p.max(axis=1) if facts.classes else np.maximum(p, 1 - p)).mean())


def calibration(facts: Facts) -> Finding | None:
    """Whether the teacher is as sure as it is right, and which temperature makes it so."""
    if isinstance(facts.task, Numbers):
        return None
    y = facts.data.validation.y
    losses = {float(t): _nll(facts, facts.outputs, y, float(t)) for t in _TEMPERATURES}
    best = min(losses, key=lambda t: losses[t].mean())
    plain = _nll(facts, facts.outputs, y, 1.0)
    change = bootstrap(list(plain), list(losses[best]))
    facts.numbers["temperature"] = best
    gain = float(plain.mean() - losses[best].mean())
    certain = not change.too_few and change.direction == "less"
    ece = facts.measured.get("ece")
    told = (
        f"the log-loss on the validation data is {plain.mean():.3f}, and {losses[best].mean():.3f} "
        f"with its logits divided by {best:.2g}"
        + (f"; the expected calibration error is {ece:.3f}" if ece is not None else "")
    )
    sharp, flat = best >= _SHARPER and gain > _NATS, best <= _FLATTER and gain > _NATS_FLAT
    if certain and (sharp or flat):
        sure = "surer than it is right" if best > 1 else "less sure than it is right"
        recipe = "hinton" if facts.classes else "binary"
        return Finding(
            "calibration",
            "warning",
            f"The teacher is {sure}: {told}. The temperature of the recipe counts from there.",
            f"terms = kd.recipes.{recipe}(temperature={temperature_for(best)})",
            "Guo et al., On Calibration of Modern Neural Networks, 2017, section 4.2, for the "
            "temperature of the smallest log-loss; that it is multiplied by the usual 4 is a start, "
            "and no theorem.",
        )
    return Finding("calibration", "fine", f"The teacher is about as sure as it is right: {told}.")


def temperature_for(calibrating: float) -> float:
    """The usual 4, of logits that are calibrated by this temperature."""
    return float(np.clip(round(4 * calibrating, 1), 1.0, 20.0))


def _nll(facts: Facts, logits: np.ndarray, y: np.ndarray, temperature: float) -> np.ndarray:
    p = probabilities(facts, logits, temperature)
    if facts.classes:
        return -np.log(np.maximum(p[np.arange(len(y)), y], 1e-12))
    right = np.where(y > 0.5, p, 1 - p)
    return -np.log(np.maximum(right, 1e-12)).mean(axis=1)


def noisy_labels(facts: Facts) -> Finding | None:
    """Whether labels are contradicted by the teacher, when it is sure, and by a linear model too."""
    if not facts.classes:
        return None
    y, p = facts.data.validation.y, probabilities(facts, facts.outputs)
    top, linear = p.argmax(axis=1), facts.linear.argmax(axis=1)
    # As sure as it is on average of examples with that label: "confident" for a teacher of any
    # temperature.
    usual = np.array([p[y == c, c].mean() if (y == c).any() else 1.0 for c in range(p.shape[1])])
    sure = (top != y) & (p[np.arange(len(y)), top] >= usual[top])
    with_teacher, with_label = (
        int((sure & (linear == top)).sum()),
        int((sure & (linear == y)).sum()),
    )
    share = with_teacher / len(y)
    facts.numbers["noise"] = share
    certain = mcnemar(with_label, with_teacher) < 1e-3
    told = (
        f"{int(sure.sum()):,} of {len(y):,} validation labels are contradicted by the teacher where it "
        f"is as sure as it usually is when right; a linear model agrees with the teacher on {with_teacher:,} of "
        f"them, with the label on {with_label:,}"
    )
    if share > _NOISE and with_teacher > _SIDES * with_label and certain:
        return Finding(
            "noisy_labels",
            "warning",
            f"Labels look wrong: {told}. Such labels teach the student errors that the teacher does "
            "not make: give the teacher a larger share, and look at these examples.",
            "terms = kd.recipes.hinton(alpha=1.0)",
            "Northcutt, Jiang, Chuang, Confident Learning, 2021, for the threshold of each class.",
        )
    return Finding("noisy_labels", "fine", f"No sign of wrong labels: {told}.")


def enough_examples(facts: Facts) -> Finding:
    """Whether there are examples to learn from, and to see a difference by."""
    train, held = len(facts.data.train), len(facts.data.validation)
    few, told = [], f"{train:,} to train on, {held:,} held out"
    if facts.classes:
        counts = np.bincount(facts.data.train.y, minlength=facts.task.outputs)
        told += (
            f", {train / len(counts):.0f} of each class on average, {counts.min()} of the rarest"
        )
        if train / len(counts) < _PER_CLASS:
            few.append(f"fewer than {_PER_CLASS} training examples of a class on average")
        elif counts.min() < _RAREST:
            rare = [str(label) for label in np.flatnonzero(counts < _RAREST)]
            few.append(f"fewer than {_RAREST} training examples of the class {listing(rare, 5)}")
    if train < _EXAMPLES:
        few.append(f"fewer than {_EXAMPLES} training examples")
    if held < _HELD_OUT:
        few.append(
            f"fewer than {_HELD_OUT} validation examples, by which nearly no difference can be seen"
        )
    if few:
        return Finding(
            "enough_examples",
            "warning",
            f"There are few examples: {told}; {' and '.join(few)}. The teacher needs no labels: let it "
            "predict examples without them, and views of those that there are.",
            "augment = kd.data.Augment(kd.data.Crop(2), seed=0)"
            "  # kd.data.feed(train, augment=augment, views=4), kd.stores.write(...) alike",
            "Beyer et al., Knowledge distillation: A good teacher is patient and consistent, 2022, for "
            "views that teacher and student share.",
        )
    return Finding("enough_examples", "fine", f"There are examples enough: {told}.")


def leak(facts: Facts) -> Finding:
    """Whether validation examples are among the training examples."""
    seen = {row.tobytes() for row in np.ascontiguousarray(facts.data.train.x)}
    rows = [row.tobytes() for row in np.ascontiguousarray(facts.data.validation.x)]
    shared = sum(row in seen for row in rows) / len(rows)
    twice = sum(a == b for a, b in pairwise(sorted(rows))) / len(rows)
    told = f"{percent(shared)} of the validation examples are among the training examples"
    if shared > 0.05 and shared > 3 * twice:
        return Finding(
            "leak",
            "warning",
            f"{told}, to the last bit ({percent(twice)} of them stand twice in the validation data "
            "itself). Figures of them are of what was learned by heart.",
            "train, validation = (whole.take(rows) for rows in np.array_split("
            "np.random.default_rng(0).permutation(len(whole)), [len(whole) * 4 // 5]))",
        )
    return Finding("leak", "fine", f"{told}.")
