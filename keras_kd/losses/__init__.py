"""Losses: each compares a target with what the learner says, and knows nothing else."""

from keras_kd._core.deprecated import moved as _moved
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
from keras_kd.losses._features import FactorMatch as FactorMatch
from keras_kd.losses._features import FeatureMatch as FeatureMatch
from keras_kd.losses._features import MarginReLUMatch as MarginReLUMatch
from keras_kd.losses._features import VariationalMatch as VariationalMatch
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
from keras_kd.losses._soft_targets import BinarySoftTarget as BinarySoftTarget
from keras_kd.losses._soft_targets import SoftTarget as SoftTarget
from keras_kd.losses._soft_targets import StandardizedSoftTarget as StandardizedSoftTarget
from keras_kd.losses._sparse import SparseSoftTarget as SparseSoftTarget
from keras_kd.losses._transformers import AttentionScoreMatch as AttentionScoreMatch
from keras_kd.losses._transformers import HiddenStateMatch as HiddenStateMatch
from keras_kd.losses._transformers import RelationMatch as RelationMatch

_FORMER = {
    "ProbabilityMatch": "NeighborDistribution",
    "PooledPower": "LogPowerDistance",
    "SelectivityMatch": "MaximumMeanDiscrepancy",
}

__getattr__ = _moved(__name__, {old: f"keras_kd.losses.{new}" for old, new in _FORMER.items()})
