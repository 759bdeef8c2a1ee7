"""The verdict of a report, as one sentence."""

from typing import ClassVar

from keras_kd.report._intervals import FEWEST_PAIRS, Paired


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
    bits_per: str | None = None,
) -> str:
    """Whether the judged model is better than the baseline, by how much, and at what size.

    Args:
        judged: Name of the model that the sentence is about.
        baseline: Name of the model that it is compared with, if any.
        teacher: Name of the teacher, if any.
        change: From the baseline to the judged model, per example (an error counts 1).
        errors: Mean error per example, by name.
        parameters: Number of weights, by name; `None` where it is not known.
        examples: Number of examples.
        runs: Number of runs of both, when `change` is over them; 0 when it is over the examples.
        counts_errors: Whether predictions are right or wrong; otherwise they have a distance.
        bits_per: Of language models, whose examples are texts and whose errors are bits: of what.
    """
    words = _ErrorWords(examples) if counts_errors else _DistanceWords(examples)
    if bits_per is not None:
        words = _BitsWords(examples, bits_per)
    if change is None or baseline is None:
        return f"{judged} {words.single_model(errors[judged])}."
    of_runs = f", the mean of {runs} runs" if runs else ""
    if change.too_few and change.mean:
        pairs = f"{runs} runs" if runs else f"{examples:,} {words.things}"
        why = "too few" if change.pairs < FEWEST_PAIRS else "too much alike"
        return (
            f"{judged} and {baseline}: {pairs} are {why} to say which is better "
            f"({words.difference(change.mean)} {words.test_set()}{of_runs})."
        )
    if change.direction == "unclear":
        within = f" over {runs} runs" if runs else ""
        if change.too_few:
            return f"{judged} and {baseline}: no difference {words.test_set()}{within}."
        return (
            f"{judged} and {baseline}: no difference that this test set can show{within} "
            f"({words.difference(change.mean)} {words.test_set()}, 95 % interval from {words.difference(change.low)} to "
            f"{words.difference(change.high)})."
        )
    ends = sorted((abs(change.low), abs(change.high)))
    sentence = (
        f"{judged} {words.comparison(change.mean)} than {baseline} {words.test_set()}{of_runs} (95 % interval "
        f"{words.amount(ends[0])} to {words.amount(ends[1])})"
    )
    return sentence + _gain_and_size(judged, baseline, teacher, change, errors, parameters) + "."


def _gain_and_size(
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


class _ErrorWords:
    """The words for a task whose predictions are right or wrong."""

    things: ClassVar[str] = "examples"

    def __init__(self, examples: int):
        self.examples = examples

    def amount(self, per_example: float) -> str:
        count = per_example * self.examples
        if 0 < abs(count) < 0.05:  # not as 0: the verdict depends on which side of 0 an end is
            return f"{count:.1g}"
        return f"{count:,.0f}" if abs(count - round(count)) < 0.05 else f"{count:,.1f}"

    def difference(self, per_example: float) -> str:
        return f"{self.amount(abs(per_example))} {'fewer' if per_example <= 0 else 'more'} errors"

    def comparison(self, per_example: float) -> str:
        return f"makes {self.difference(per_example)}"

    def single_model(self, per_example: float) -> str:
        return (
            f"makes {self.amount(per_example)} errors {self.test_set()}, {100 * per_example:.1f} %"
        )

    def test_set(self) -> str:
        return f"on {self.examples:,} {self.things if self.examples != 1 else self.things[:-1]}"


class _DistanceWords(_ErrorWords):
    """The words for a regression, whose predictions have a distance."""

    def amount(self, per_example: float) -> str:
        return f"{per_example:.4g}"

    def difference(self, per_example: float) -> str:
        which = "smaller" if per_example <= 0 else "larger"
        return f"{self.amount(abs(per_example))} {which} mean absolute error"

    def comparison(self, per_example: float) -> str:
        return f"has a {self.difference(per_example)}"

    def single_model(self, per_example: float) -> str:
        return f"has a mean absolute error of {self.amount(per_example)} {self.test_set()}"


class _BitsWords(_ErrorWords):
    """The words for language models, which need bits for each token or byte of a text."""

    things: ClassVar[str] = "texts"

    def __init__(self, examples: int, bits_per: str):
        super().__init__(examples)
        self.unit = f"bits per {bits_per}"

    def amount(self, per_example: float) -> str:
        return f"{per_example:.3f}" if abs(per_example) >= 0.0005 else f"{per_example:.1g}"

    def difference(self, per_example: float) -> str:
        return (
            f"{self.amount(abs(per_example))} {'fewer' if per_example <= 0 else 'more'} {self.unit}"
        )

    def comparison(self, per_example: float) -> str:
        return f"needs {self.difference(per_example)}"

    def single_model(self, per_example: float) -> str:
        return f"needs {self.amount(per_example)} {self.unit} {self.test_set()}"
