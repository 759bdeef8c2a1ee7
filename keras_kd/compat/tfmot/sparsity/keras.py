"""Pruning, as in `tfmot.sparsity.keras`."""

from keras_kd.compat.tfmot._pruned_layer import PrunableLayer as PrunableLayer
from keras_kd.compat.tfmot._pruned_layer import PruneLowMagnitude as PruneLowMagnitude
from keras_kd.compat.tfmot._pruning import PruneForLatencyOnXNNPack as PruneForLatencyOnXNNPack
from keras_kd.compat.tfmot._pruning import PruningPolicy as PruningPolicy
from keras_kd.compat.tfmot._pruning import prune_low_magnitude as prune_low_magnitude
from keras_kd.compat.tfmot._pruning import prune_scope as prune_scope
from keras_kd.compat.tfmot._pruning import strip_pruning as strip_pruning
from keras_kd.compat.tfmot._pruning_callbacks import PruningSummaries as PruningSummaries
from keras_kd.compat.tfmot._pruning_callbacks import UpdatePruningStep as UpdatePruningStep
from keras_kd.compat.tfmot._schedules import ConstantSparsity as ConstantSparsity
from keras_kd.compat.tfmot._schedules import PolynomialDecay as PolynomialDecay
from keras_kd.compat.tfmot._schedules import PruningSchedule as PruningSchedule
