"""The numbers of a report, and the sentences that follow from them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_kd.report._costs import Costs
from keras_kd.report._differences import Changed, Confusion, Group
from keras_kd.report._importance import Importance
from keras_kd.report._intervals import FEWEST_PAIRS, Paired
from keras_kd.report._similarity import Similarity
from keras_kd.report._verdict import p_value, verdict


@dataclass(frozen=True)
class ModelReport:
    """One model of a report.

    Args:
        name: Its name.
        scores: By key, one number for each run; `None` where a score has no meaning.
        wrong: Per run and example, 1 for an error and 0 for none; in a regression, the distance.
        reads: Whether its outputs are logits or probabilities, and how that is known.
        costs: Its size, operations and times; of the first run.
        seconds: Time that its predictions took.
        bins: For a reliability diagram, of the first run: per bin the number of predictions, their
            mean confidence and the share of right ones.
    """

    name: str
    scores: Mapping[str, Sequence[float | None]]
    wrong: np.ndarray
    reads: str
    costs: Costs
    seconds: float
    bins: tuple[np.ndarray, np.ndarray, np.ndarray] | None

    def score(self, key: str) -> float | None:
        """The mean over the runs."""
        values = [value for value in self.scores[key] if value is not None]
        return float(np.mean(values)) if values else None


@dataclass(frozen=True)
class Results:
    """The numbers of a report, without anything that draws them; the fields are those of `Report`."""

    task: str
    counts_errors: bool
    examples: int
    models: Mapping[str, ModelReport]
    teacher: str | None
    baseline: str | None
    judged: str
    change: Paired | None
    p_value: float | None
    temperature: float
    batch_size: int
    classes: Sequence[Group]
    slices: Mapping[str, Sequence[Group]]
    changed: Changed | None
    confusions: Sequence[Confusion]
    pictures: Mapping[int, np.ndarray]
    histories: Mapping[str, Mapping[str, Sequence[float]]]
    importance: Importance | None
    similarity: Similarity | None

    @property
    def verdict(self) -> str:
        """Whether the judged model is better, in one sentence."""
        return verdict(
            judged=self.judged,
            baseline=self.baseline,
            teacher=self.teacher,
            change=self.change,
            errors={name: float(m.wrong.mean()) for name, m in self.models.items()},
            parameters={name: m.costs.parameters for name, m in self.models.items()},
            examples=self.examples,
            runs=self._runs,
            counts_errors=self.counts_errors,
        )

    @property
    def _runs(self) -> int:
        """The number of paired runs; 0 when the examples are the pairs."""
        if self.baseline is None:
            return 0
        before, after = (len(self.models[name].wrong) for name in (self.baseline, self.judged))
        return before if before == after > 1 else 0

    def details(self) -> list[str]:
        """The sentences below the verdict."""
        lines = []
        if self.changed is not None:
            lines.append(
                f"{len(self.changed.won):,} examples went from wrong to right, "
                f"{len(self.changed.lost):,} from right to wrong"
                + (
                    f" (McNemar's exact test: p = {p_value(self.p_value)})."
                    if self.p_value is not None
                    else " (in the first runs)."
                )
            )
        if self.change is not None:
            over = "runs" if self._runs else "examples"
            how = "bootstrap-t" if self.p_value is None else "the dual of McNemar's test"
            lines.append(
                f"An interval over {over} needs at least {FEWEST_PAIRS}, and differences that are not all the same."
                if self.change.too_few
                else f"The interval is over {over} ({how})."
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """All numbers, as dicts, lists, strings and floats that `json.dumps` takes."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        del fields["pictures"]
        models = {
            name: {
                "scores": dict(m.scores),
                "errors" if self.counts_errors else "error": list(
                    m.wrong.sum(axis=1) if self.counts_errors else m.wrong.mean(axis=1)
                ),
                "reads": m.reads,
                "costs": m.costs,
                "seconds": m.seconds,
            }
            for name, m in self.models.items()
        }
        changed = self.changed and {"lost": self.changed.lost, "won": self.changed.won}
        return _to_json_types(
            {"verdict": self.verdict, **fields, "models": models, "changed": changed}
        )


def _to_json_types(value: Any) -> Any:
    """`value` in types that JSON has; NaN and infinity become `None`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _to_json_types(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _to_json_types(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _to_json_types(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_to_json_types(inner) for inner in value]
    if isinstance(value, np.generic):
        return _to_json_types(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
