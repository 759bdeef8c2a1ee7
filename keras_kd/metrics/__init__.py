"""Metrics: how like its teacher a model is, and how much its confidence can be trusted.

Names:
    AcceptanceLength
        How many of the student's drafted tokens the teacher accepts at a time, on average.
    Agreement
        Share of examples for which student and teacher predict the same class.
    BitsPerByte
        What a text costs under a model, in bits for each byte of it.
    BrierScore
        Mean squared distance of the probabilities from what is true.
    CalibrationError
        Expected calibration error over bins of equal width.
    EqualMassCalibrationError
        Expected calibration error over bins that hold equally many predictions.
    NegativeLogLikelihood
        Mean of minus the log of the probability given to what is true, in nats; the log loss.
    Perplexity
        Among how many equally likely tokens a language model is as uncertain as this one.
    TeacherKL
        Mean Kullback-Leibler divergence from the teacher's probabilities to the student's, in
        nats.
    TeacherMetric
        A metric that compares with a teacher's outputs instead of with labels.
    token_bytes
        The UTF-8 bytes of each token of a vocabulary, for `keras_kd.metrics.BitsPerByte`.
    TopKAgreement
        Share of examples whose first class, for the teacher, is among the student's first `k`.
"""

from keras_kd.metrics._base import TeacherMetric as TeacherMetric
from keras_kd.metrics._calibration import CalibrationError as CalibrationError
from keras_kd.metrics._calibration import EqualMassCalibrationError as EqualMassCalibrationError
from keras_kd.metrics._language import AcceptanceLength as AcceptanceLength
from keras_kd.metrics._language import BitsPerByte as BitsPerByte
from keras_kd.metrics._language import Perplexity as Perplexity
from keras_kd.metrics._likelihood import BrierScore as BrierScore
from keras_kd.metrics._likelihood import NegativeLogLikelihood as NegativeLogLikelihood
from keras_kd.metrics._teacher import Agreement as Agreement
from keras_kd.metrics._teacher import TeacherKL as TeacherKL
from keras_kd.metrics._teacher import TopKAgreement as TopKAgreement
from keras_kd.metrics._token_bytes import token_bytes as token_bytes

__all__ = [
    "AcceptanceLength", "Agreement", "BitsPerByte", "BrierScore", "CalibrationError",
    "EqualMassCalibrationError", "NegativeLogLikelihood", "Perplexity", "TeacherKL",
    "TeacherMetric", "TopKAgreement", "token_bytes",
]  # fmt: skip
