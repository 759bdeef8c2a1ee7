"""Metrics: how like its teacher a model is, and how much its confidence can be trusted.

Names:
    Agreement
        Share of examples for which student and teacher predict the same class.
    BrierScore
        Mean squared distance of the probabilities from what is true.
    CalibrationError
        Expected calibration error over bins of equal width.
    EqualMassCalibrationError
        Expected calibration error over bins that hold equally many predictions.
    NegativeLogLikelihood
        Mean of minus the log of the probability given to what is true, in nats; the log loss.
    TeacherKL
        Mean Kullback-Leibler divergence from the teacher's probabilities to the student's, in
        nats.
    TeacherMetric
        A metric that compares with a teacher's outputs instead of with labels.
    TopKAgreement
        Share of examples whose first class, for the teacher, is among the student's first `k`.
"""

from keras_kd.metrics._base import TeacherMetric as TeacherMetric
from keras_kd.metrics._calibration import CalibrationError as CalibrationError
from keras_kd.metrics._calibration import EqualMassCalibrationError as EqualMassCalibrationError
from keras_kd.metrics._likelihood import BrierScore as BrierScore
from keras_kd.metrics._likelihood import NegativeLogLikelihood as NegativeLogLikelihood
from keras_kd.metrics._teacher import Agreement as Agreement
from keras_kd.metrics._teacher import TeacherKL as TeacherKL
from keras_kd.metrics._teacher import TopKAgreement as TopKAgreement

__all__ = [
    "Agreement", "BrierScore", "CalibrationError", "EqualMassCalibrationError",
    "NegativeLogLikelihood", "TeacherKL", "TeacherMetric", "TopKAgreement",
]  # fmt: skip
