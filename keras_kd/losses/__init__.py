"""Losses: each compares a target with the learner's signal, and depends on nothing else.

Names:
    AlphaBetaDivergence
        Alpha-beta divergence: how much a large error counts, and how much what the student is sure
        of.
    AngleRelation
        Difference of the angles between all triples of a batch's examples.
    AttentionMap
        Mean squared difference of two attention maps: where in the picture the layers are active.
    AttentionScoreMatch
        Mean squared difference of attention scores, before their softmax.
    BinarySoftTarget
        Kullback-Leibler divergence between sigmoid heads, summed over the logits.
    BoundaryMatch
        Pushes the student's neurons to the teacher's side of their thresholds, with a margin.
    CappedFactors
        The factors of logits with a soft cap, `cap · tanh((hidden · kernel + bias) / cap)`.
    ClassifierReuse
        Mean squared difference of the last features, so that the target's classifier can follow.
    ConfidenceWeighted
        One loss to each of several teachers' logits, weighted by how right each teacher is.
    ConfidenceWeightedFeatures
        One loss to each of several teachers' features, weighted by how right each teacher is.
    ContrastiveMatch
        Cross-entropy of finding one's own teacher's embedding among the others'.
    CorrelationCongruence
        Squared difference of the correlations between a batch's examples, under a Gaussian kernel.
    CorrelationTarget
        Correlation of the student's probabilities with the teacher's, by example and by class.
    CurriculumTarget
        Soft targets at a temperature that comes with the prediction.
    DecoupledSoftTarget
        Soft targets in two parts: how sure of the right class, and what the others look like.
    DirectionMatch
        Cosine distance of two feature vectors, and a share of their smooth L1 distance.
    DistanceRelation
        Difference of the distances between the examples of a batch, in units of their mean.
    Diversity
        Minus the mean distance from the softened probabilities of others: keeps them apart.
    FactorMatch
        Mean absolute difference of two factors, each brought to length 1.
    Factors
        The factors of logits, `hidden · kernel + bias`.
    FeatureMatch
        Mean squared difference of two feature tensors.
    FlowMatch
        Mean squared difference of two flows: how the channels of one layer go with another's.
    Fused
        A loss of logits that are made of their factors, a few rows at a time.
    FutureReverseKL
        What a token that the student drew does to the rest of its text.
    HardTarget
        Cross-entropy to the class that the teacher finds likeliest.
    HiddenStateMatch
        Mean squared difference of two sequences of hidden states, over the positions that count.
    HierarchicalContext
        Squared difference of two feature maps at several sizes, from the whole to its outline.
    JacobianMatch
        Squared difference of the outputs' derivatives along a direction of the input.
    JensenShannon
        Generalized Jensen-Shannon divergence: forward and reverse divergence, and all between.
    LabelledTarget
        Cross-entropy to the labels and soft targets at once.
    LabelTarget
        Cross-entropy to the labels, as a loss of this package.
    LogitMatch
        Mean squared difference of the logits.
    LogPowerDistance
        Logarithm of the fourth powers of the differences between two normalized embeddings.
    Loss
        Compares the learner's signal with a target, one value per example or position.
    LowVarianceReverseKL
        The reverse KL estimated from one token that the student drew, never below 0.
    MarginReLUMatch
        Squared difference of features before their ReLU, without what a ReLU would remove.
    MaskedGeneration
        Sum of squared differences between a generated map and the target's.
    MaximumMeanDiscrepancy
        Distance between the patterns over the picture that the channels respond to.
    NeighborDistribution
        Divergence between the odds, in both networks, that one example leads to another.
    NoiseContrastive
        Noise-contrastive loss: the score of the true pair against the scores of random pairs.
    NormalizedTarget
        Cross-entropies of the right class and of the others, each normalized by itself.
    RegressionMatch
        Squared error to the labels, counted only until the student is better than its teacher.
    RelationMatch
        Divergence between the relations that the positions of a sequence have to one another.
    ReverseKL
        Kullback-Leibler divergence from the student's distribution to the teacher's.
    SampledReverseKL
        The reverse KL estimated from one token that the student drew.
    SampledSoftTarget
        Cross-entropy to classes drawn from the teacher's distribution.
    SimilarityMatrix
        Squared difference of the similarities between the examples of a batch.
    SkewKL
        Divergence from the teacher's distribution to the student's, the teacher mixed into the
        latter.
    SkewReverseKL
        Divergence from the student's distribution to the teacher's, the student mixed into the
        latter.
    SoftTarget
        Kullback-Leibler divergence from the teacher's softened probabilities to the student's.
    SpanTarget
        Divergence from a teacher with another tokenizer, span by span.
    SparseJensenShannon
        Generalized Jensen-Shannon divergence to the k largest logits; the rest is one bucket.
    SparseReverseKL
        Reverse divergence to the teacher's k largest logits; the other classes are one bucket.
    SparseSoftTarget
        Soft target from the teacher's k largest logits; the other classes are one bucket.
    StandardizedSoftTarget
        Soft target between logits that were brought to mean 0 and deviation 1, row by row.
    SumOf
        One loss, summed over several pairs of signals.
    TotalVariation
        Half the sum of the absolute differences of two distributions.
    TransformedTeacher
        Soft target between the softened teacher and the student as it is.
    UniversalLogit
        Sum of the absolute differences of two distributions, each sorted downwards.
    VariationalMatch
        Negative log-likelihood of the teacher's features under a Gaussian that the student gives.
    VirtualTarget
        Soft target without a teacher: one made up from the labels, nearly always right.
    WeightedSoftTarget
        Soft cross-entropy that counts less where the student already does better than the teacher.
"""

from keras_kd._core.deprecated import moved as _moved
from keras_kd._core.factors import CappedFactors as CappedFactors
from keras_kd._core.factors import Factors as Factors
from keras_kd.losses._alpha_beta import AlphaBetaDivergence as AlphaBetaDivergence
from keras_kd.losses._attention import AttentionMap as AttentionMap
from keras_kd.losses._attention import FlowMatch as FlowMatch
from keras_kd.losses._attention import HierarchicalContext as HierarchicalContext
from keras_kd.losses._base import Loss as Loss
from keras_kd.losses._composed import ConfidenceWeighted as ConfidenceWeighted
from keras_kd.losses._composed import ConfidenceWeightedFeatures as ConfidenceWeightedFeatures
from keras_kd.losses._composed import CurriculumTarget as CurriculumTarget
from keras_kd.losses._composed import LabelledTarget as LabelledTarget
from keras_kd.losses._composed import MaskedGeneration as MaskedGeneration
from keras_kd.losses._composed import SumOf as SumOf
from keras_kd.losses._contrastive import ContrastiveMatch as ContrastiveMatch
from keras_kd.losses._contrastive import LogPowerDistance as LogPowerDistance
from keras_kd.losses._contrastive import NoiseContrastive as NoiseContrastive
from keras_kd.losses._correlation import CorrelationTarget as CorrelationTarget
from keras_kd.losses._decoupled import DecoupledSoftTarget as DecoupledSoftTarget
from keras_kd.losses._decoupled import NormalizedTarget as NormalizedTarget
from keras_kd.losses._decoupled import WeightedSoftTarget as WeightedSoftTarget
from keras_kd.losses._divergences import JensenShannon as JensenShannon
from keras_kd.losses._divergences import ReverseKL as ReverseKL
from keras_kd.losses._divergences import SkewKL as SkewKL
from keras_kd.losses._divergences import SkewReverseKL as SkewReverseKL
from keras_kd.losses._features import BoundaryMatch as BoundaryMatch
from keras_kd.losses._features import ClassifierReuse as ClassifierReuse
from keras_kd.losses._features import DirectionMatch as DirectionMatch
from keras_kd.losses._features import FactorMatch as FactorMatch
from keras_kd.losses._features import FeatureMatch as FeatureMatch
from keras_kd.losses._features import MarginReLUMatch as MarginReLUMatch
from keras_kd.losses._features import VariationalMatch as VariationalMatch
from keras_kd.losses._fused import Fused as Fused
from keras_kd.losses._fused import LabelTarget as LabelTarget
from keras_kd.losses._jacobian import JacobianMatch as JacobianMatch
from keras_kd.losses._kernels import CorrelationCongruence as CorrelationCongruence
from keras_kd.losses._kernels import MaximumMeanDiscrepancy as MaximumMeanDiscrepancy
from keras_kd.losses._kernels import NeighborDistribution as NeighborDistribution
from keras_kd.losses._outputs import Diversity as Diversity
from keras_kd.losses._outputs import HardTarget as HardTarget
from keras_kd.losses._outputs import LogitMatch as LogitMatch
from keras_kd.losses._outputs import RegressionMatch as RegressionMatch
from keras_kd.losses._outputs import VirtualTarget as VirtualTarget
from keras_kd.losses._relations import AngleRelation as AngleRelation
from keras_kd.losses._relations import DistanceRelation as DistanceRelation
from keras_kd.losses._relations import SimilarityMatrix as SimilarityMatrix
from keras_kd.losses._sampled import SampledSoftTarget as SampledSoftTarget
from keras_kd.losses._sampled_tokens import FutureReverseKL as FutureReverseKL
from keras_kd.losses._sampled_tokens import LowVarianceReverseKL as LowVarianceReverseKL
from keras_kd.losses._sampled_tokens import SampledReverseKL as SampledReverseKL
from keras_kd.losses._soft_targets import BinarySoftTarget as BinarySoftTarget
from keras_kd.losses._soft_targets import SoftTarget as SoftTarget
from keras_kd.losses._soft_targets import StandardizedSoftTarget as StandardizedSoftTarget
from keras_kd.losses._spans import SpanTarget as SpanTarget
from keras_kd.losses._sparse import SparseJensenShannon as SparseJensenShannon
from keras_kd.losses._sparse import SparseReverseKL as SparseReverseKL
from keras_kd.losses._sparse import SparseSoftTarget as SparseSoftTarget
from keras_kd.losses._total_variation import TotalVariation as TotalVariation
from keras_kd.losses._transformed import TransformedTeacher as TransformedTeacher
from keras_kd.losses._transformers import AttentionScoreMatch as AttentionScoreMatch
from keras_kd.losses._transformers import HiddenStateMatch as HiddenStateMatch
from keras_kd.losses._transformers import RelationMatch as RelationMatch
from keras_kd.losses._universal import UniversalLogit as UniversalLogit

_FORMER = {
    "ProbabilityMatch": "NeighborDistribution",
    "PooledPower": "LogPowerDistance",
    "SelectivityMatch": "MaximumMeanDiscrepancy",
}

__getattr__ = _moved(__name__, {old: f"keras_kd.losses.{new}" for old, new in _FORMER.items()})

__all__ = [
    "AlphaBetaDivergence", "AngleRelation", "AttentionMap", "AttentionScoreMatch",
    "BinarySoftTarget", "BoundaryMatch", "CappedFactors", "ClassifierReuse",
    "ConfidenceWeighted", "ConfidenceWeightedFeatures", "ContrastiveMatch",
    "CorrelationCongruence", "CorrelationTarget", "CurriculumTarget", "DecoupledSoftTarget",
    "DirectionMatch", "DistanceRelation", "Diversity", "FactorMatch", "Factors",
    "FeatureMatch", "FlowMatch", "Fused", "FutureReverseKL", "HardTarget",
    "HiddenStateMatch", "HierarchicalContext", "JacobianMatch", "JensenShannon",
    "LabelTarget", "LabelledTarget", "LogPowerDistance", "LogitMatch", "Loss",
    "LowVarianceReverseKL", "MarginReLUMatch", "MaskedGeneration", "MaximumMeanDiscrepancy",
    "NeighborDistribution", "NoiseContrastive", "NormalizedTarget", "RegressionMatch",
    "RelationMatch", "ReverseKL", "SampledReverseKL", "SampledSoftTarget",
    "SimilarityMatrix", "SkewKL", "SkewReverseKL", "SoftTarget", "SpanTarget",
    "SparseJensenShannon", "SparseReverseKL", "SparseSoftTarget", "StandardizedSoftTarget",
    "SumOf", "TotalVariation", "TransformedTeacher", "UniversalLogit", "VariationalMatch",
    "VirtualTarget", "WeightedSoftTarget",
]  # fmt: skip
