"""What the file may take, and how sizes and times are written."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keras_kd._core.messages import listing
from keras_kd._core.scalars import is_number

_BYTES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_COUNTS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
_SHARES = {"": 1.0, "%": 0.01}
#: How people write units beside how they are listed.
_ALIASES = {
    "µs": "us", "μs": "us", "sec": "s", "seconds": "s", "minutes": "min", "mins": "min", "m": "min",
    "hours": "h", "hour": "h", "bytes": "B",
}  # fmt: skip


def quantity(value: Any, argument: str, units: Mapping[str, float], plain: str) -> float:
    """`"300 kB"` as a number; a number counts in the unit `plain`."""
    if is_number(value) and 0 < value < float("inf"):
        return float(value) * units[plain]
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([^\s0-9]*)\s*", str(value))
    if isinstance(value, str) and match:
        number, unit = float(match[1]), match[2]
        by_case = {name.lower(): name for name in units}
        name = unit if unit in units else by_case.get(unit.lower())
        name = name or (_ALIASES.get(unit.lower()) if _ALIASES.get(unit.lower()) in units else None)
        if number > 0 and name is not None:
            return number * units[name]
    example = {"B": "'300 kB'", "ms": "'5 ms'", "s": "'30 min'", "": "30_000 or '30k'"}[plain]
    if units is _SHARES:
        example = "0.95 or '95 %'"
    known = listing([name for name in units if name], 10)
    raise ValueError(
        f"`{argument}` must be a number above 0, in {plain or 'plain numbers'}, or a text with one "
        f"of the units {known}, such as {example}. Received: {argument}={value!r}."
    )


def seconds(value: Any, argument: str = "budget") -> float:
    """`"30 min"` as seconds; a number is seconds."""
    return quantity(value, argument, _SECONDS, "s")


@dataclass(frozen=True)
class Limits:
    """What the file may take at most, and how good it has to be.

    Each is a number or a text with a unit. What is not given is not limited; at least one is.

    Args:
        size: Bytes of the file: a number, or a text such as `"300 kB"` (1,000 bytes), `"2 MB"`,
            `"64 KiB"` (1,024). Defaults to `None`.
        latency: Time of one example, the median: milliseconds, or a text such as `"5 ms"`,
            `"800 us"`. Measured in the file on this machine, or predicted by
            `compress(latency=)`. Defaults to `None`.
        parameters: Number of weights: `30_000` or `"30k"`. Defaults to `None`.
        flops: Floating point operations for one example, two for a multiplication with its
            addition: `2e6` or `"2M"`. Defaults to `None`.
        arena: Working memory on a microcontroller in bytes, as tflite-micro allocates it on this
            machine: `"64 kB"`. The file is then made for `target="micro"`. Defaults to `None`.
        accuracy: The least accuracy on the validation data, from 0 to 1 or such as `"95 %"`; of a
            regression, the least R². The smallest file that keeps it is taken. Defaults to `None`:
            the best accuracy within the other limits.

    Raises:
        ValueError: If nothing is limited, or one of them is no amount above 0 in a known unit.

    Example:

    >>> limits = keras_kd.auto.Limits(size="300 kB", latency="5 ms")
    >>> limits.size, limits.latency
    (300000.0, 5.0)
    >>> print(limits)
    size at most 300 kB, latency at most 5 ms
    """

    size: Any = None
    latency: Any = None
    parameters: Any = None
    flops: Any = None
    arena: Any = None
    accuracy: Any = None

    def __post_init__(self) -> None:
        kinds = {
            "size": (_BYTES, "B"), "latency": (_MILLISECONDS, "ms"), "parameters": (_COUNTS, ""),
            "flops": (_COUNTS, ""), "arena": (_BYTES, "B"), "accuracy": (_SHARES, ""),
        }  # fmt: skip
        given = {name: getattr(self, name) for name in kinds}
        if all(value is None for value in given.values()):
            raise ValueError(
                "Limits() limits nothing. Give one at least, such as size='300 kB', latency='5 ms' "
                "or accuracy=0.95."
            )
        for name, value in given.items():
            if value is not None:
                units, plain = kinds[name]
                object.__setattr__(self, name, quantity(value, name, units, plain))
        if self.accuracy is not None and self.accuracy > 1:
            raise ValueError(
                "`accuracy` must be at most 1 (or '100 %'). Received: "
                f"accuracy={given['accuracy']!r}."
            )

    def broken(self, costs: Mapping[str, float | None]) -> list[str]:
        """The limits that something with these costs does not keep, by name.

        Costs that are not known break nothing. `accuracy` is no cost.
        """
        return [
            name
            for name, limit in self.costs()
            if (cost := costs.get(name)) is not None and cost > limit
        ]

    def costs(self) -> Iterator[tuple[str, float]]:
        """Names and values of the limits of what a file takes."""
        for name in ("size", "latency", "parameters", "flops", "arena"):
            if (limit := getattr(self, name)) is not None:
                yield name, limit

    def __str__(self) -> str:
        parts = [f"{name} at most {amount(name, limit)}" for name, limit in self.costs()]
        if self.accuracy is not None:
            parts.append(f"accuracy at least {amount('accuracy', self.accuracy)}")
        return ", ".join(parts)


def amount(name: str, value: float) -> str:
    """A limit or a cost in its unit: `300 kB`, `0.52 ms`, `118k`."""
    if name == "accuracy":
        return f"{100 * value:.4g} %"
    if name == "latency":
        return f"{value:.4g} ms" if value >= 0.1 else f"{1e3 * value:.3g} us"
    unit = " B" if name in ("size", "arena") else ""
    for prefix, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= factor:
            space = " " if unit else ""
            return f"{value / factor:.4g}{space}{prefix}{unit.strip()}"
    return f"{value:.4g}{unit}"
