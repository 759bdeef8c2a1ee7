"""Metrics: how like its teacher a model is, and how much its confidence can be trusted."""

from keras_kd.metrics._base import TeacherMetric as TeacherMetric
from keras_kd.metrics._calibration import CalibrationError as CalibrationError
from keras_kd.metrics._calibration import EqualMassCalibrationError as EqualMassCalibrationError
from keras_kd.metrics._likelihood import BrierScore as BrierScore
from keras_kd.metrics._likelihood import NegativeLogLikelihood as NegativeLogLikelihood
from keras_kd.metrics._teacher import Agreement as Agreement
from keras_kd.metrics._teacher import TeacherKL as TeacherKL
from keras_kd.metrics._teacher import TopKAgreement as TopKAgreement
