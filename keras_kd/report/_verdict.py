"""The verdict: one sentence in plain words."""

from keras_kd.report._intervals import FEWEST, Paired


def verdict(
    *,
    judged: str,
    baseline: str | None,
    teacher: str | None,
    change: Paired | None,
    errors: dict[str, float],
    parameters: dict[str, int | None],
    examples: int,
    runs: int,
    counts_errors: bool,
) -> str:
    """Whether the judged model is better, by how much, and at what size.

    Args:
        judged: Name of the model that is judged.
        baseline: Name of the one that it is compared with, if any.
        teacher: Name of the teacher, if any.
        change: From the baseline to the judged model, per example (an error counts 1).
        errors: Mean error per example, by name.
        parameters: Number of weights, by name; `None` where it is not known.
        examples: Number of examples.
        runs: Number of runs of both, when `change` is over them; 0 when it is over the examples.
        counts_errors: Whether answers are right or wrong; else near or far.
    """
    say = _Errors(examples) if counts_errors else _Distances(examples)
    if change is None or baseline is None:
        return f"{judged} {say.alone(errors[judged])}."
    over = f", the mean of {runs} runs" if runs else ""
    if change.too_few and change.mean:
        pairs = f"{runs} runs" if runs else f"{examples:,} examples"
        why = "too few" if change.pairs < FEWEST else "too much alike"
        return (
            f"{judged} and {baseline}: {pairs} are {why} to say which is better "
            f"({say.much(change.mean)} {say.on()}{over})."
        )
    if change.direction == "unclear":
        within = f" over {runs} runs" if runs else ""
        if change.too_few:
            return f"{judged} and {baseline}: no difference on {examples:,} examples{within}."
        return (
            f"{judged} and {baseline}: no difference that this test set can show{within} "
            f"({say.much(change.mean)} {say.on()}, 95 % interval from {say.much(change.low)} to "
            f"{say.much(change.high)})."
        )
    ends = sorted((abs(change.low), abs(change.high)))
    sentence = (
        f"{judged} {say.verb(change.mean)} than {baseline} {say.on()}{over} (95 % interval "
        f"{say.number(ends[0])} to {say.number(ends[1])})"
    )
    return sentence + _at_what_size(judged, baseline, teacher, change, errors, parameters) + "."


def _at_what_size(
    judged: str,
    baseline: str,
    teacher: str | None,
    change: Paired,
    errors: dict[str, float],
    parameters: dict[str, int | None],
) -> str:
    """`; 93 % of the teacher's gain at 9 % of its size`."""
    if teacher is None:
        return ""
    small, large = parameters[judged], parameters[teacher]
    size = f"at {_percent(small / large)} of its size" if small is not None and large else ""
    if teacher == baseline:
        return f", {size}" if size else ""
    gain = errors[baseline] - errors[teacher]
    if change.mean >= 0 or gain <= 0:
        return ""
    return f"; {_percent(-change.mean / gain)} of the teacher's gain {size}".rstrip()


def p_value(p: float) -> str:
    """Two digits, or as many as keep it on its side of 0.05."""
    return next(
        text
        for text in (f"{p:.{digits}g}" for digits in range(2, 18))
        if (float(text) < 0.05) == (p < 0.05)
    )


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.1f} %" if percent < 1 else f"{percent:.0f} %"


class _Errors:
    """Speaks of right and wrong."""

    def __init__(self, examples: int):
        self.examples = examples

    def number(self, per_example: float) -> str:
        count = per_example * self.examples
        if 0 < abs(count) < 0.05:  # not 0: the interval that ends here leaves 0 out, or just not
            return f"{count:.1g}"
        return f"{count:,.0f}" if abs(count - round(count)) < 0.05 else f"{count:,.1f}"

    def much(self, per_example: float) -> str:
        return f"{self.number(abs(per_example))} {'fewer' if per_example <= 0 else 'more'} errors"

    def verb(self, per_example: float) -> str:
        return f"makes {self.much(per_example)}"

    def alone(self, per_example: float) -> str:
        return f"makes {self.number(per_example)} errors {self.on()}, {100 * per_example:.1f} %"

    def on(self) -> str:
        return f"on {self.examples:,} examples"


class _Distances(_Errors):
    """Speaks of near and far."""

    def number(self, per_example: float) -> str:
        return f"{per_example:.4g}"

    def much(self, per_example: float) -> str:
        which = "smaller" if per_example <= 0 else "larger"
        return f"{self.number(abs(per_example))} {which} mean absolute error"

    def verb(self, per_example: float) -> str:
        return f"has a {self.much(per_example)}"

    def alone(self, per_example: float) -> str:
        return f"has a mean absolute error of {self.number(per_example)} {self.on()}"
