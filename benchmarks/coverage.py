"""How often the report's intervals hold the truth, and how often it claims a difference.

    KERAS_BACKEND=jax python benchmarks/coverage.py

Over runs: `--repeats` sets of differences of 3 to 30 runs are drawn, from normal and skewed
distributions and from counts, each with a known mean; how often Student's interval holds it, how
often `keras_kd.report.paired` calls the runs too few to say, and how often its interval holds the
mean where there is one. Over
examples: two models that are right or wrong, differ on a share of the examples, and are equally
good, or nearly; how often the percentile bootstrap and `keras_kd.report.bootstrap` claim a
difference, and how often that claim stands beside McNemar's exact p >= 0.05. Takes five minutes.
"""

import argparse
import functools
from collections.abc import Callable

import numpy as np

from keras_kd.report import bootstrap, mcnemar, paired

RUNS = (3, 5, 6, 7, 8, 10, 20)
Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
#: How differences between runs may be spread, and their mean.
SPREADS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, size: rng.normal(1.0, 1.0, size), 1.0),
    "exponential": (lambda rng, size: rng.exponential(1.0, size), 1.0),
    "lognormal, σ = 0.5": (lambda rng, size: rng.lognormal(0.0, 0.5, size), np.exp(0.125)),
    "lognormal, σ = 1": (lambda rng, size: rng.lognormal(0.0, 1.0, size), np.exp(0.5)),
    "counts, normal, σ = 5": (lambda rng, size: np.round(rng.normal(-3.0, 5.0, size)), -3.0),
    "counts, Poisson 5 less 3": (lambda rng, size: rng.poisson(3, size) - rng.poisson(5, size), -2.0),
    "counts, geometric, mean 5": (lambda rng, size: rng.geometric(0.2, size), 5.0),
}  # fmt: skip
#: Student's t at 0.975, by degrees of freedom.
T = {2: 4.3027, 4: 2.7764, 5: 2.5706, 6: 2.4469, 7: 2.3646, 9: 2.2622, 19: 2.0930}


def over_runs(
    spread: str, runs: int, repeats: int, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """How often Student's interval holds the mean, how often we say none, how often ours holds it."""
    draw, mean = SPREADS[spread]
    differences = draw(np.random.default_rng(seed), (repeats, runs)).astype("float64")
    half = T[runs - 1] * differences.std(axis=1, ddof=1) / runs**0.5
    students = np.abs(differences.mean(axis=1) - mean) <= half + 1e-9
    found = [paired(np.zeros(runs), row, resamples=resamples) for row in differences]
    held = [c.low - 1e-9 <= mean <= c.high + 1e-9 for c in found if not c.too_few]
    silent = 1 - len(held) / repeats
    return float(students.mean()), silent, float(np.mean(held)) if held else np.nan


def over_examples(
    examples: int, differ: float, lost: float, repeats: int, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """By method: how often it claims, how often beside p >= 0.05, how often it holds the truth.

    The models differ on a share `differ` of the examples; a share `lost` of these the second loses.
    """
    rng = np.random.default_rng(seed)
    chances = (differ * lost, differ * (1 - lost), 1 - differ)
    truth = chances[0] - chances[1]
    counts = [tuple(map(int, row[:2])) for row in rng.multinomial(examples, chances, repeats)]
    found = {}
    for name, interval in (("percentile", _percentile), ("ours", _ours)):
        rows = []
        for one in counts:
            low, high = interval(*one, examples)
            claims = low > 0 or high < 0
            held = low - 1e-9 <= truth <= high + 1e-9
            rows.append((claims, claims and mcnemar(*one) >= 0.05, held))
        found[name] = tuple(np.mean(rows, axis=0))
    return found


@functools.cache
def _percentile(lost: int, won: int, examples: int) -> tuple[float, float]:
    shares = np.array([lost, won, examples - lost - won]) / examples
    means = np.random.default_rng(0).multinomial(examples, shares, 10_000) @ (1, -1, 0) / examples
    low, high = np.percentile(means, (2.5, 97.5))
    return low, high


@functools.cache
def _ours(lost: int, won: int, examples: int) -> tuple[float, float]:
    after = np.repeat((1, 0, 0), (lost, won, examples - lost - won))
    before = np.repeat((0, 1, 0), (lost, won, examples - lost - won))
    change = bootstrap(before, after)
    return change.low, change.high


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=4000)
    repeats = parser.parse_args().repeats

    print("| differences | runs | Student's t holds, % | too few to say, % | `paired` holds, % |")
    print("|---|---:|---:|---:|---:|")
    for spread in SPREADS:
        for runs in RUNS:
            shares = (
                "" if np.isnan(share) else f"{100 * share:.1f}"
                for share in over_runs(spread, runs, repeats)
            )
            print(f"| {spread} | {runs} | {' | '.join(shares)} |", flush=True)

    print(
        "\n| examples | differ, % | of these lost, % | claims, % | beside p >= 0.05, % | holds, % |"
    )
    print("|---:|---:|---:|---:|---:|---:|")
    for examples in (100, 1000):
        for differ in (0.02, 0.05, 0.1, 0.2):
            for lost in (0.5, 0.6, 0.7):
                found = over_examples(examples, differ, lost, repeats)
                cells = (
                    " to ".join(f"{100 * found[name][i]:.1f}" for name in ("percentile", "ours"))
                    for i in range(3)
                )
                print(
                    f"| {examples:,} | {100 * differ:.0f} | {100 * lost:.0f} | "
                    f"{' | '.join(cells)} |",
                    flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
