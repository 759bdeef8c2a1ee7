"""Losses: each compares a target with what the learner says, and knows nothing else."""

from keras_kd.losses._base import Loss as Loss
from keras_kd.losses._features import FeatureMatch as FeatureMatch
from keras_kd.losses._soft_targets import BinarySoftTarget as BinarySoftTarget
from keras_kd.losses._soft_targets import SoftTarget as SoftTarget
