"""The table of all losses: how each is made, what it is fed, and the oracle that it must equal."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_kd import losses
from keras_kd.testing import LossCase
from keras_kd.testing._case import EXAMPLES as BATCH
from keras_kd.testing._case import Contract

from . import oracles

LABELS = np.array([0, 4, 2, 2])


@dataclass(frozen=True)
class Case:
    """One row of the table; but for the loss and its oracle as in `keras_kd.testing.LossCase`."""

    loss: type[losses.Loss]
    make: Callable[[Callable[..., np.ndarray]], tuple[Any, Any]]
    oracle: Callable[..., np.ndarray]
    constants: dict[str, Any] = field(default_factory=dict)
    scheduled: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    identity: Callable[[Any], Any] | None = lambda target: target
    least: float = 0.0
    note: str = ""

    def __str__(self):
        return self.loss.__name__ + (f"-{self.note}" if self.note else "")

    def build(self, **kwargs):
        return self.loss(**{**self.constants, **kwargs})


@functools.cache
def _contract(name):
    case = next(c for c in CASES if str(c) == name)
    held = HELD.get(case.loss)
    inputs = LossCase(
        case.make, case.constants, case.scheduled, case.shape, case.identity, case.least, held
    )
    return Contract(case.loss, case.oracle, inputs)


def contract_of(case: Case) -> Contract:
    """What the checks are given; its program is compiled once."""
    return _contract(str(case))


def held_weight(target, pred):
    """WeightedSoftTarget's own weight is held still for the gradient."""
    (teacher, labels), rows = target, range(BATCH)
    weights = [oracles.importance(teacher[i], int(labels[i]), pred[i]) for i in rows]
    constants = next(c.constants for c in CASES if c.loss is losses.WeightedSoftTarget)

    def values(target, pred):
        given = [
            oracles.weighted(teacher[i], int(labels[i]), pred[i], weight=weights[i], **constants)
            for i in rows
        ]
        return np.array(given)

    return values


def logits(draw):
    return draw(BATCH, 6), draw(BATCH, 6)


def sequences(draw):
    return draw(BATCH, 3, 5), draw(BATCH, 3, 5)


def labelled(draw):
    return (draw(BATCH, 6), LABELS), draw(BATCH, 6)


def labelled_positions(draw):
    classes = np.arange(BATCH * 3).reshape(BATCH, 3) % 5
    return (draw(BATCH, 3, 5), classes), draw(BATCH, 3, 5)


def drawn_tokens(draw):
    """Texts whose first token is given, and the last of every other one behind its end."""
    (teacher, tokens), pred = labelled_positions(draw)
    tokens[:, 0] = -1
    tokens[::2, -1] = -1
    return (teacher, tokens), pred


def spanned(draw):
    """Three tokens of the student, each as long as one or two of the teacher's five."""
    mine, theirs = np.zeros((BATCH, 3, 3), "int32"), np.zeros((BATCH, 5, 2), "int32")
    mine[..., 0] = np.arange(BATCH * 3).reshape(BATCH, 3) % 7
    theirs[..., 0] = np.arange(BATCH * 5).reshape(BATCH, 5) % 4
    mine[..., 1], mine[..., 2] = [0, 1, 2], [0, 2, 3]
    theirs[..., 1] = [0, 0, 1, 2, 2]
    return (draw(BATCH, 5, 5), (mine, theirs)), draw(BATCH, 3, 7)


def with_score(values):
    """What a loss changes by when its value is held still, as the factor of a score."""

    def held(target, pred):
        value, before = values(target, pred), oracles.at_tokens(target, pred)[1]
        return lambda target, s: value * (1 + oracles.at_tokens(target, s)[1] - before)

    return held


def maps(draw):
    return draw(BATCH, 4, 4, 3), draw(BATCH, 4, 4, 3)


def uneven_maps(draw):
    """Different channels and sizes, one of which is no multiple of the other."""
    return draw(BATCH, 4, 3, 2), draw(BATCH, 6, 5, 3)


def embeddings(draw):
    return draw(BATCH, 3, 2), draw(BATCH, 5)


def same_embeddings(draw):
    return draw(BATCH, 5), draw(BATCH, 5)


def flows(draw):
    return (
        (draw(BATCH, 4, 4, 3), draw(BATCH, 2, 2, 2)),
        (draw(BATCH, 4, 4, 3), draw(BATCH, 4, 4, 2)),
    )


def predictions(draw):
    return draw(BATCH, 2, 2, 3), (draw(BATCH, 2, 2, 3), np.abs(draw(3)) + 0.5)


def regressions(draw):
    return (draw(BATCH, 3), draw(BATCH, 3)), draw(BATCH, 3)


def largest_of(teacher, k, temperature):
    classes = np.argsort(-teacher, axis=-1)[..., :k]
    values = np.take_along_axis(teacher, classes, axis=-1)
    scaled = teacher.astype("float64") / temperature
    top = scaled.max(-1)
    total = top + np.log(np.exp(scaled - top[..., None]).sum(-1))
    return values, classes, total.astype(teacher.dtype)


def sparse(k, temperature):
    def make(draw):
        return largest_of(draw(BATCH, 3, 7), k, temperature), draw(BATCH, 3, 7)

    return make


def filled(draw):
    """Of some rows fewer are known: filled up with their first class."""
    values, classes, log_sum_exp = largest_of(draw(BATCH, 3, 7), 3, 2.0)
    values[:, 1, 1:], classes[:, 1, 1:] = -1e4, classes[:, 1, :1]
    values[:, 2, 2:], classes[:, 2, 2:] = -1e4, classes[:, 2, :1]
    return (values, classes, log_sum_exp), draw(BATCH, 3, 7)


def drawn(draw):
    """Some classes come twice, and what fills a row up has weight 0."""
    weights = np.abs(draw(BATCH, 3, 4))
    weights[:, 1, 2:] = 0.0
    classes = np.array([[0, 0, 3, 6], [5, 1, 0, 0], [2, 2, 2, 2]])
    return (weights, np.broadcast_to(classes, (BATCH, 3, 4)).copy()), draw(BATCH, 3, 7)


def queued(draw):
    return draw(BATCH + 3, 5), draw(BATCH, 5)


def scores(draw):
    """Some looked at, some masked."""
    t, s = draw(BATCH, 2, 3, 3), draw(BATCH, 2, 3, 3)
    t[..., -1], s[..., -1] = -1e4, -1e5
    return t, s


def relations(draw):
    return (
        (draw(BATCH, 2, 3, 4), draw(BATCH, 2, 3, 4)),
        (draw(BATCH, 2, 3, 5), draw(BATCH, 2, 3, 5)),
    )


def masked_relations(draw):
    target, pred = relations(draw)
    return (*target, np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 1]])), pred


def factors(draw):
    """Of three classes, as few as there are features."""
    target = losses.Factors(draw(BATCH, 2, 3), draw(3, 3), draw(3))
    return target, losses.Factors(draw(BATCH, 2, 3), draw(3, 3), draw(3))


def labelled_factors(draw):
    target = losses.Factors(draw(BATCH, 2), draw(2, 3), draw(3))
    return (target, LABELS % 3), losses.Factors(draw(BATCH, 2), draw(2, 3), draw(3))


def first(target):
    return target[0]


T, EX = ("temperature",), oracles.per_example

CASES = [
    Case(losses.SoftTarget, logits, oracles.per_row(oracles.soft_target), {"temperature": 4.0}, T),
    Case(
        losses.SoftTarget, sequences, oracles.per_row(oracles.soft_target), {"temperature": 1.0},
        T, shape=(3,), note="positions",
    ),
    Case(
        losses.BinarySoftTarget, logits, oracles.per_row(oracles.binary_soft_target),
        {"temperature": 3.0}, T,
    ),
    Case(
        losses.StandardizedSoftTarget, logits, oracles.per_row(oracles.standardized),
        {"temperature": 2.0}, T,
    ),
    Case(
        losses.DecoupledSoftTarget, labelled, oracles.with_labels(oracles.decoupled),
        {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}, ("alpha", "beta", "temperature"),
        identity=first,
    ),
    Case(
        losses.DecoupledSoftTarget, labelled_positions, oracles.with_labels(oracles.decoupled),
        {"alpha": 2.0, "beta": 0.5, "temperature": 1.0}, shape=(3,), identity=first,
        note="positions",
    ),
    Case(
        losses.NormalizedTarget, labelled, oracles.with_labels(oracles.normalized),
        {"gamma": 1.5, "temperature": 2.0}, ("gamma", "temperature"), identity=None,
    ),
    Case(
        losses.WeightedSoftTarget, labelled, oracles.with_labels(oracles.weighted),
        {"alpha": 2.25, "temperature": 4.0}, ("alpha", "temperature"), identity=None,
    ),
    Case(
        losses.CorrelationTarget, logits, oracles.correlation,
        {"beta": 1.0, "gamma": 2.0, "temperature": 4.0}, ("beta", "gamma", "temperature"),
    ),
    Case(
        losses.CorrelationTarget, sequences, oracles.correlation,
        {"beta": 1.0, "gamma": 1.0, "temperature": 1.0}, shape=(3,), note="positions",
    ),
    Case(losses.HardTarget, logits, oracles.per_row(oracles.hard), identity=None),
    Case(losses.LogitMatch, logits, oracles.per_row(oracles.mean_square)),
    Case(
        losses.RegressionMatch, regressions, oracles.regression, {"margin": 0.5}, ("margin",),
        identity=lambda target: target[1],
    ),
    Case(
        losses.VirtualTarget, lambda draw: (LABELS, draw(BATCH, 6)), oracles.virtual,
        {"correct": 0.9, "temperature": 2.0}, ("correct", "temperature"), identity=None,
    ),
    Case(
        losses.Diversity, lambda draw: ((draw(BATCH, 6), draw(BATCH, 6)), draw(BATCH, 6)),
        oracles.diversity, {"temperature": 2.0}, T, identity=None,
    ),
    Case(
        losses.ReverseKL, sequences, oracles.per_row(oracles.reverse_kl), {"temperature": 2.0}, T,
        shape=(3,),
    ),
    *(
        Case(
            losses.JensenShannon, sequences, oracles.per_row(oracles.jensen_shannon),
            {"beta": beta, "temperature": 1.5}, T if beta in (0, 1) else ("beta", "temperature"),
            shape=(3,), note=str(beta),
        )
        for beta in (0.0, 0.1, 0.5, 1.0)
    ),
    *(
        Case(
            losses.TransformedTeacher, sequences, oracles.per_row(oracles.transformed),
            {"temperature": 2.0, "weighted": weighted}, T, shape=(3,),
            identity=lambda target: target / 2.0, note=f"weighted={weighted}",
        )
        for weighted in (False, True)
    ),
    *(
        Case(
            losses.AlphaBetaDivergence, sequences, oracles.per_row(oracles.alpha_beta),
            {"alpha": alpha, "beta": beta, "temperature": 1.5}, T, shape=(3,),
            note=f"{alpha},{beta}",
        )
        for alpha, beta in ((0.2, 0.7), (1.0, 0.0), (0.4, 0.0), (0.0, 1.0), (0.0, 0.6), (0.0, 0.0))
    ),
    Case(
        losses.SkewKL, sequences, oracles.per_row(oracles.skew_kl),
        {"lam": 0.1, "temperature": 1.5}, ("lam", "temperature"), shape=(3,),
    ),
    Case(
        losses.SkewReverseKL, sequences, oracles.per_row(oracles.skew_reverse_kl),
        {"lam": 0.1, "temperature": 1.5}, ("lam", "temperature"), shape=(3,),
    ),
    Case(
        losses.SparseSoftTarget, sparse(3, 2.0), oracles.sparse, {"temperature": 2.0},
        shape=(3,), identity=None,
    ),
    Case(
        losses.SparseSoftTarget, filled, oracles.sparse, {"temperature": 2.0}, shape=(3,),
        identity=None, note="filled",
    ),
    Case(
        losses.SparseSoftTarget, sparse(7, 1.0), oracles.sparse, {"temperature": 1.0}, T,
        shape=(3,), identity=None, note="all",
    ),
    Case(
        losses.TotalVariation, sequences, oracles.per_row(oracles.total_variation),
        {"temperature": 1.5}, T, shape=(3,),
    ),
    Case(
        losses.SampledSoftTarget, drawn, oracles.sampled, {"temperature": 2.0}, T, shape=(3,),
        identity=None,
    ),
    *(
        Case(loss, make, oracle, shape=(3,), identity=None, note=note)
        for loss, oracle in (
            (losses.SampledReverseKL, oracles.sampled_reverse),
            (losses.LowVarianceReverseKL, oracles.low_variance_reverse),
            (losses.FutureReverseKL, oracles.future_reverse),
        )
        for make, note in ((labelled_positions, ""), (drawn_tokens, "prompt and end"))
    ),
    Case(
        losses.FeatureMatch, maps, oracles.per_row(oracles.mean_square), shape=(4, 4),
    ),
    Case(losses.ClassifierReuse, logits, oracles.per_row(oracles.mean_square)),
    Case(
        losses.DirectionMatch, maps, oracles.per_row(oracles.direction),
        {"alpha": 0.9, "beta": 0.1}, ("alpha", "beta"), shape=(4, 4),
    ),
    Case(
        losses.DirectionMatch, logits, oracles.per_row(oracles.direction),
        {"alpha": 0.5, "beta": 2.0}, note="vectors",
    ),
    Case(losses.FactorMatch, maps, EX(oracles.factor)),
    Case(
        losses.VariationalMatch, predictions, oracles.variational, shape=(2, 2),
        identity=lambda target: (target, np.ones(3, "float32")), least=0.0,
    ),
    Case(losses.BoundaryMatch, maps, EX(oracles.boundary), {"margin": 1.0}, ("margin",), identity=None),
    Case(
        losses.MarginReLUMatch, maps, EX(oracles.margin_relu), {"margins": [-0.5, -0.3, -0.8]},
        identity=lambda target: np.maximum(target, np.array([-0.5, -0.3, -0.8], "float32")),
    ),
    Case(losses.MarginReLUMatch, maps, EX(oracles.margin_relu), {"margins": -0.2}, note="one"),
    Case(losses.AttentionMap, maps, EX(oracles.attention_map)),
    Case(losses.AttentionMap, uneven_maps, EX(oracles.attention_map), note="uneven"),
    Case(
        losses.AttentionMap, lambda draw: (draw(BATCH, 5, 2), draw(BATCH, 5, 3)),
        EX(oracles.attention_map), note="positions",
    ),
    Case(losses.HierarchicalContext, maps, EX(oracles.hierarchical), {"levels": (4, 2, 1)}),
    Case(
        losses.HierarchicalContext, lambda draw: (draw(BATCH, 7, 5, 2), draw(BATCH, 7, 5, 2)),
        EX(oracles.hierarchical), {"levels": (4, 2, 1)}, note="uneven",
    ),
    Case(losses.FlowMatch, flows, oracles.flow),
    Case(losses.SimilarityMatrix, embeddings, oracles.similarity),
    Case(losses.DistanceRelation, embeddings, oracles.distance),
    Case(losses.AngleRelation, embeddings, oracles.angle),
    Case(losses.NeighborDistribution, embeddings, oracles.probability),
    Case(losses.MaximumMeanDiscrepancy, uneven_maps, EX(oracles.selectivity)),
    Case(
        losses.CorrelationCongruence, embeddings, oracles.congruence, {"gamma": 0.4, "order": 2},
        ("gamma",),
    ),
    Case(losses.ContrastiveMatch, same_embeddings, oracles.contrastive, {"temperature": 0.5}, T, identity=None),
    Case(
        losses.ContrastiveMatch, queued, oracles.contrastive, {"temperature": 0.07}, T,
        identity=None, note="queue",
    ),
    Case(
        losses.NoiseContrastive, lambda draw: (LABELS, draw(BATCH, 6)), oracles.noise_contrastive,
        {"examples": 50}, identity=None,
    ),
    Case(
        losses.NoiseContrastive, lambda draw: (LABELS, (draw(BATCH, 6), draw(BATCH, 6))),
        lambda t, s, examples: sum(oracles.noise_contrastive(t, x, examples) for x in s),
        {"examples": 50}, identity=None, note="both",
    ),
    Case(losses.JacobianMatch, logits, EX(oracles.sum_of_squares)),
    Case(
        losses.LogPowerDistance, same_embeddings, oracles.log_power_distance, {"power": 4.0}, ("power",),
        least=2 * np.log(1e-30),
    ),
    Case(losses.HiddenStateMatch, sequences, oracles.per_row(oracles.mean_square), shape=(3,)),
    Case(losses.AttentionScoreMatch, scores, EX(oracles.attention_score), {"masked_below": -100.0}),
    Case(losses.RelationMatch, relations, oracles.relation, shape=(3,)),
    Case(
        losses.RelationMatch, masked_relations, oracles.relation, shape=(3,),
        identity=lambda target: target[:2], note="masked",
    ),
    Case(
        losses.LabelledTarget, labelled, oracles.with_labels(oracles.labelled),
        {"alpha": 0.3, "temperature": 3.0}, ("alpha", "temperature"), identity=None,
    ),
    *(
        Case(
            losses.SparseReverseKL, make, oracles.sparse_reverse, {"temperature": temperature},
            shape=(3,), identity=None, note=note,
        )
        for make, temperature, note in (
            (sparse(3, 2.0), 2.0, ""), (sparse(7, 1.0), 1.0, "all")
        )
    ),
    *(
        Case(
            losses.SparseJensenShannon, make, oracles.sparse_jensen_shannon,
            {"beta": beta, "temperature": 2.0}, ("beta",) if beta == 0.3 else (), shape=(3,),
            identity=None, note=note,
        )
        for make, beta, note in (
            (sparse(3, 2.0), 0.3, ""), (filled, 0.5, "filled"), (sparse(3, 2.0), 0.0, "forward"),
            (sparse(3, 2.0), 1.0, "reverse"),
        )
    ),
    Case(
        losses.UniversalLogit, sequences, oracles.per_row(oracles.universal),
        {"temperature": 2.0}, T, shape=(3,),
    ),
    *(
        Case(
            losses.UniversalLogit,
            lambda draw, sizes=sizes: (draw(BATCH, sizes[0]), draw(BATCH, sizes[1])),
            oracles.per_row(oracles.universal), {"temperature": 1.0}, T, identity=None, note=note,
        )
        for sizes, note in (((7, 5), "fewer"), ((5, 7), "more"))
    ),
    *(
        Case(
            losses.SpanTarget, spanned, oracles.spans,
            {"student_groups": mine, "teacher_groups": theirs, "beta": beta, "temperature": 1.5,
             "matched_weight": a, "unmatched_weight": b},
            T, shape=(3,), identity=None, note=note,
        )
        for mine, theirs, beta, a, b, note in (
            ([0, 1, 2, -1, 3, -1, -1], [3, 0, 1, -1, 2], 0.5, None, None, ""),
            ([0, 1, 2, 1, 3, 0, -1], [3, 0, 1, 2, 2], 0.0, 1.0, 0.5, "forward"),
            ([0, 1, 2, 1, 3, 0, -1], [3, 0, 1, 2, -1], 1.0, 0.7, 2.0, "reverse"),
        )
    ),
    Case(losses.LabelTarget, lambda draw: (LABELS, draw(BATCH, 6)), oracles.label, identity=None),
    Case(
        losses.Fused, factors, oracles.of_factors(oracles.per_row(oracles.jensen_shannon)),
        {"loss": losses.JensenShannon(0.3, 1.5)}, shape=(2,),
    ),
    Case(
        losses.Fused, labelled_factors, oracles.of_factors(oracles.with_labels(oracles.decoupled)),
        {"loss": losses.DecoupledSoftTarget(1.5, 2.0, 3.0)}, identity=first, note="labelled",
    ),
    Case(losses.MaskedGeneration, maps, EX(oracles.sum_of_squares)),
    Case(
        losses.SumOf, lambda draw: ((draw(BATCH, 3), draw(BATCH, 5)), (draw(BATCH, 3), draw(BATCH, 5))),
        oracles.sum_of_mean_squares, {"loss": losses.FeatureMatch()},
    ),
    Case(
        losses.ConfidenceWeighted,
        lambda draw: ((draw(BATCH, 6), draw(BATCH, 6), LABELS), draw(BATCH, 6)),
        oracles.confidence, {"loss": losses.SoftTarget(2.0)}, identity=None,
    ),
    Case(
        losses.ConfidenceWeightedFeatures,
        lambda draw: (
            (draw(BATCH, 2, 2, 3), draw(BATCH, 2, 2, 3), draw(BATCH, 6), draw(BATCH, 6), LABELS),
            draw(BATCH, 2, 2, 3),
        ),
        oracles.confidence_features, {"loss": losses.FeatureMatch()}, identity=None,
    ),
    Case(
        losses.CurriculumTarget,
        lambda draw: (draw(BATCH, 6), (draw(BATCH, 6), np.abs(draw(1)) + 1.0)),
        oracles.curriculum, identity=lambda target: (target, np.full(1, 2.0, "float32")),
    ),
]  # fmt: skip

#: Losses that hold a factor still: what changes with the prediction.
HELD = {
    losses.WeightedSoftTarget: held_weight,
    losses.SampledReverseKL: with_score(oracles.sampled_reverse),
    losses.FutureReverseKL: with_score(oracles.future_reverse),
}
