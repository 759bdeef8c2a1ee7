"""Laws of the error, fitted to a few runs: what is likely of their constants, and what follows.

A law is of the logarithm of `g`, where `1 / error = 1 / chance + 1 / g`: where the error is small,
`g` is the error; a student that has learned nothing has the error of guessing, `chance`, and `g` goes
on growing there, as a power law does. A point is the logarithms of size, examples and epochs, each
less that of the largest run, and 1 for a student that is distilled or 0 for one that is alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd._core.optional import require

_DRAWS = 4000
#: Degrees of freedom of the distribution that constants are drawn from, and how much wider it is
#: than the one that was fitted: tails that are weighed down, and none that are missed.
_FREEDOM, _WIDER = 5, 1.3


@dataclass(frozen=True)
class Form:
    """What a law looks like, and what its constants are likely to be before a run was made.

    Args:
        name: What it is called.
        formula: The same as a formula.
        means: Of each constant. The last two: the logarithms of how far a pair of runs, and the
            distance of its two, lie from the law.
        deviations: How far each may well be from there.
        value: From constants `(draws, n)` and points `(m, 4)` to `log g`, `(draws, m)`.
        powers: From constants to the exponents of size, examples and epochs, `(draws, 3)`.
    """

    name: str
    formula: str
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    value: Callable[[np.ndarray, np.ndarray], np.ndarray]
    powers: Callable[[np.ndarray], np.ndarray]


#: The first eight constants of every form: the level of the largest run alone, the exponents of
#: size, examples and epochs, and by how much distilling lowers that level, and its slopes.
_LEVEL, _POWERS, _GAIN, _GAIN_SLOPES = 0, slice(1, 4), 4, slice(5, 8)
_GAIN_MEANS, _GAIN_DEVIATIONS = (0.0, 0.0, 0.0, 0.0), (0.4, 0.12, 0.12, 0.12)
_SCATTER_MEANS, _SCATTER_DEVIATIONS = (np.log(0.08), np.log(0.06)), (0.7, 0.7)
#: The floor beside the teacher's error, and how much lower distilling makes it.
_FLOOR, _FLOOR_GAIN = 8, 9


def _less(c: np.ndarray, p: np.ndarray) -> np.ndarray:
    """By how much distilling lowers what is above the floor."""
    return (c[:, _GAIN, None] + c[:, _GAIN_SLOPES] @ p[:, :3].T) * p[:, 3]


def _product(c: np.ndarray, p: np.ndarray) -> np.ndarray:
    return c[:, _LEVEL, None] - c[:, _POWERS] @ p[:, :3].T - _less(c, p)


def _floor(c: np.ndarray, p: np.ndarray) -> np.ndarray:
    return c[:, _FLOOR, None] - c[:, _FLOOR_GAIN, None] * p[:, 3]


def _floored(c: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.logaddexp(_floor(c, p), _product(c, p))


def _summed(c: np.ndarray, p: np.ndarray) -> np.ndarray:
    shares = np.concatenate([c[:, 10:12], np.zeros((len(c), 1))], axis=1)
    shares = shares - np.logaddexp.reduce(shares, axis=1)[:, None]
    falls = shares[:, None, :] - np.exp(c[:, _POWERS])[:, None, :] * p[None, :, :3]
    above = np.exp(c[:, 12, None]) * np.logaddexp.reduce(falls, axis=2)
    return np.logaddexp(_floor(c, p), c[:, _LEVEL, None] + above - _less(c, p))


def forms(teacher: float, alone: float) -> tuple[Form, ...]:
    """The forms that are compared.

    Floors are expected a little below the teacher's error. A teacher that is worse than a student
    alone says nothing of floors: they lie anywhere below.

    Args:
        teacher: The `log g` of the teacher.
        alone: That of the best run alone.
    """
    floor, floors = (teacher - 0.3, 0.05), (0.5, 0.15)
    if alone < teacher:
        floor, floors = (alone - 1.0, alone - teacher - 0.7), (1.2, 0.7)
    return (
        Form(
            "product above a floor", "g = F + K S^-a N^-b E^-c",
            (-1.5, 0.5, 0.6, 0.7, *_GAIN_MEANS, *floor, *_SCATTER_MEANS),
            (2.0, 0.35, 0.35, 0.4, *_GAIN_DEVIATIONS, *floors, *_SCATTER_DEVIATIONS), _floored,
            lambda c: c[:, _POWERS],
        ),
        Form(
            "sum above a floor", "g = F + (A S^-a + B N^-b + C E^-c)^q",
            (-1.5, -0.5, -0.4, -0.2, *_GAIN_MEANS, *floor, 0.0, 0.0, 0.5, *_SCATTER_MEANS),
            (2.0, 0.6, 0.6, 0.6, *_GAIN_DEVIATIONS, *floors, 1.2, 1.2, 0.6, *_SCATTER_DEVIATIONS),
            _summed, lambda c: np.exp(c[:, _POWERS] + c[:, 12, None]),
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What runs came to.

    Args:
        points: `(m, 3)`: size, examples and epochs.
        y: `log g`, `(m, 2)`: alone, distilled; NaN for a run that there is not.
        variance: What of the scatter of each pair is the sampling of its validation data, `(m,)`.
    """

    points: np.ndarray
    y: np.ndarray
    variance: np.ndarray

    def take(self, places: np.ndarray) -> "Seen":
        return Seen(self.points[places], self.y[places], self.variance[places])


@dataclass(frozen=True)
class Law:
    """A form with constants, as likely as the runs make them.

    Args:
        form: What it looks like.
        constants: Draws, `(draws, n)`, all equally likely.
    """

    form: Form
    constants: np.ndarray

    def draws(self, point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`log g` of a new pair of runs, alone and distilled, `(draws, 2)`: constants and
        scatter."""
        value = self.form.value(self.constants, _both(point[None]))
        scatter = np.exp(self.constants[:, -2:]) * rng.normal(size=value.shape)
        return value + scatter[:, :1] + scatter[:, 1:] * np.array([0.5, -0.5])

    def powers(self) -> np.ndarray:
        """Draws of the exponents, `(draws, 3)`."""
        return self.form.powers(self.constants)

    def held(self, seen: Seen) -> float:
        """The logarithm of how likely these runs are by this law."""
        log = _likelihood(self.form, self.constants, seen)
        return float(np.logaddexp.reduce(log) - np.log(len(log)))


def _both(points: np.ndarray) -> np.ndarray:
    """Each point alone, then each distilled."""
    twice = np.concatenate([points, points])
    return np.column_stack([twice, np.repeat([0.0, 1.0], len(points))])


def _likelihood(form: Form, c: np.ndarray, seen: Seen) -> np.ndarray:
    """The logarithm of how likely the runs are, `(draws,)`. Of a pair, the mean and the distance
    are looked at, each with a scatter of its own: they share examples, seed and validation data."""
    value = form.value(c, _both(seen.points)).reshape(len(c), 2, -1)
    alone, distilled = seen.y[:, 0] - value[:, 0], seen.y[:, 1] - value[:, 1]
    mean, apart = np.exp(2 * c[:, -2, None]), np.exp(2 * c[:, -1, None])
    both = np.isfinite(seen.y).all(axis=1)
    single = np.where(np.isfinite(seen.y[:, 0]), alone, distilled)
    log = np.where(
        both,
        _normal((alone + distilled) / 2, mean + seen.variance)
        + _normal(alone - distilled, apart + seen.variance / 2),
        _normal(single, mean + apart / 4 + seen.variance),
    )
    return log.sum(axis=1)


def _normal(miss: np.ndarray, variance: np.ndarray) -> np.ndarray:
    return -0.5 * (miss**2 / variance + np.log(2 * np.pi * variance))


def fit(form: Form, seen: Seen, seed: int) -> Law:
    """What the runs say of the constants.

    The most likely constants by `scipy.optimize.minimize`; then draws about them from a t
    distribution, each weighed by how likely it is.

    Args:
        form: Of the law.
        seen: The runs.
        seed: Of the draws.
    """
    require("scipy", extra="tune", purpose="keras_kd.auto.forecast fits its law")
    from scipy import optimize, stats

    means, deviations = np.array(form.means), np.array(form.deviations)

    def log(z: np.ndarray) -> np.ndarray:
        """The log posterior of standardized constants, `(draws, n)`."""
        return _likelihood(form, means + deviations * z, seen) - 0.5 * (z**2).sum(axis=1)

    begin = np.zeros(len(means))
    begin[_LEVEL] = (np.nanmin(seen.y) - means[_LEVEL]) / deviations[_LEVEL]
    step = 1e-5 * np.eye(len(means))

    def slope(z: np.ndarray) -> np.ndarray:
        """All differences in one call, which is what takes time."""
        return -(log(z + step) - log(z - step)) / 2e-5

    found: Any = optimize.minimize(
        lambda z: -float(log(z[None])[0]), begin, jac=slope, method="BFGS"
    )
    wide = _WIDER**2 * (found.hess_inv + found.hess_inv.T) / 2
    rng = np.random.default_rng(seed)
    source: Any = stats.multivariate_t(found.x, wide, df=_FREEDOM, allow_singular=True)
    z = source.rvs(size=_DRAWS, random_state=rng)
    weight = log(z) - source.logpdf(z)
    weight = np.exp(weight - weight.max())
    kept = rng.choice(_DRAWS, size=_DRAWS, p=weight / weight.sum())
    return Law(form, means + deviations * z[kept])


def left_out(form: Form, seen: Seen, seed: int) -> float:
    """How likely each pair was by the law of the others: the mean of the logarithms."""
    places = np.arange(len(seen.y))
    return float(
        np.mean(
            [
                fit(form, seen.take(places[places != one]), seed).held(seen.take(places[[one]]))
                for one in places
            ]
        )
    )
