"""The metrics of one `compile` that read signals, kept apart from those that read labels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_kd._core.addresses import OUTPUT, parse
from keras_kd._core.keras_private import outputs_of
from keras_kd._core.messages import listing
from keras_kd.metrics import TeacherMetric


@dataclass(frozen=True, eq=False)
class Bound:
    """A metric, and the signals that it reads here."""

    metric: TeacherMetric
    name: str  # in the logs
    target: str
    pred: str
    weighted: bool

    @property
    def described(self) -> str:
        return f"Metric '{self.metric.name}'"


class SignalMetrics(keras.metrics.Metric):
    """Stands for all of them, as one metric whose result is a dict."""

    def __init__(self) -> None:
        super().__init__(name="signal_metrics")
        self.bound: list[Bound] = []
        self.given: dict[str, Any] = {}

    def use(self, bound: list[Bound], given: dict[str, Any]) -> None:
        """Takes the metrics over, and notes what `compile` was given, for saving."""
        self.bound = bound
        self.given = given

    def addresses(self) -> list[str]:
        """Every address that is read."""
        return list(dict.fromkeys(a for one in self.bound for a in (one.target, one.pred)))

    def present(self, signals: Mapping[str, Any]) -> list[Bound]:
        """Those metrics whose signals are there."""
        return [one for one in self.bound if one.target in signals and one.pred in signals]

    @property
    def variables(self) -> list[keras.Variable]:
        return [v for one in self.bound for v in one.metric.variables]

    def update_state(self, signals: Mapping[str, Any], sample_weight: Any = None) -> None:
        for one in self.present(signals):
            weight = sample_weight if one.weighted else None
            if isinstance(weight, Mapping):  # weights by output
                weight = weight.get(parse(one.pred).path.rpartition("/")[2])
            one.metric.update_state(signals[one.target], signals[one.pred], sample_weight=weight)

    def result(self) -> dict[str, Any]:
        return {one.name: one.metric.result() for one in self.bound}

    def reset_state(self) -> None:
        for one in self.bound:
            one.metric.reset_state()


#: From the keys that a metric is listed under to the address of the output they mean.
OutputAt = Callable[[tuple[Any, ...]], str]


def parted(given: Mapping[str, Any], output_at: OutputAt) -> tuple[list[Bound], list[Any]]:
    """The metrics that read signals; and what `compile` was given, by argument, without them."""
    bound: list[Bound] = []

    def rest(metrics: Any, keys: tuple[Any, ...], weighted: bool) -> Any:
        if isinstance(metrics, Mapping):
            return {key: rest(inner, (*keys, key), weighted) for key, inner in metrics.items()}
        if isinstance(metrics, (list, tuple)):
            nested = any(isinstance(inner, (list, tuple, Mapping)) for inner in metrics)
            within = [
                rest(inner, (*keys, i) if nested else keys, weighted)
                for i, inner in enumerate(metrics)
            ]
            return within if nested else [m for m in within if m is not None]
        if not isinstance(metrics, TeacherMetric):
            return metrics
        pred = metrics.pred or output_at(keys)
        target = metrics.target or f"teacher:{parse(output_at(keys)).path}"
        name = _free("_".join([*map(str, keys), metrics.name]), bound)
        bound.append(Bound(metrics, name, target, pred, weighted))
        return None

    return bound, [rest(m, (), name == "weighted_metrics") for name, m in given.items()]


def _free(name: str, taken: Iterable[Bound]) -> str:
    """`name`; or for the second of a name, `name_2`."""
    names = {one.name for one in taken}
    count, free = 1, name
    while free in names:
        count += 1
        free = f"{name}_{count}"
    return free


def path_of(model: keras.Model, keys: Sequence[Any]) -> str:
    """The path of the output that `compile` knows by `keys`: a name, or a place in a list."""
    outputs = outputs_of(model)
    names = list(getattr(model, "output_names", None) or ())
    if not keys:
        if isinstance(outputs, (Mapping, list, tuple)) and len(names) > 1:
            raise ValueError(
                f"'{model.name}' has the outputs {listing(names)}. List a metric on the teacher's "
                f"signal under one of them: metrics={{{names[0]!r}: [...]}}."
            )
        return OUTPUT
    first, *deeper = keys
    if isinstance(outputs, Mapping) and isinstance(first, int) and first < len(names):
        first = names[first]
    elif isinstance(outputs, (list, tuple)) and first in names:
        first = names.index(first)
    return "/".join(map(str, (OUTPUT, first, *deeper)))
