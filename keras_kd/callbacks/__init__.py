"""Callbacks: what a person wants to see, keep or change while `fit` runs."""

from keras_kd._checks._moving_averages import LaggingAverages as LaggingAverages
from keras_kd.callbacks._best_student import Best as Best
from keras_kd.callbacks._best_student import BestStudent as BestStudent
from keras_kd.callbacks._best_student import load_best as load_best
from keras_kd.callbacks._best_student import read_best as read_best
from keras_kd.callbacks._checkpoint import Checkpoint as Checkpoint
from keras_kd.callbacks._plateau import Plateau as Plateau
from keras_kd.callbacks._progress import Progress as Progress
from keras_kd.callbacks._schedules import Schedules as Schedules
