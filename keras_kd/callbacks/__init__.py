"""Callbacks: what a person wants to see, keep or change while `fit` runs.

Names:
    Best
        What a file that `BestStudent` wrote records about the student it holds.
    BestStudent
        Keeps the best student in a file, without teacher and distiller, and gives it back at the
        end.
    Checkpoint
        Writes down after each epoch all that training needs to go on, and restores it.
    LaggingAverages
        Warns once when the validation is bad only because running averages lag behind.
    load_best
        Gives a student the weights of a file that `BestStudent` wrote.
    Plateau
        Lowers the weight of a term, or drops the term, when the student stops getting better.
    Progress
        Shows each epoch as a row: the loss and what it is made of, what moves, and how good it is.
    read_best
        How good the student is that `BestStudent` left in a file.
    Schedules
        Puts the temperatures and weights that move into the logs of each epoch.
"""

from keras_kd._checks._moving_averages import LaggingAverages as LaggingAverages
from keras_kd.callbacks._best_student import Best as Best
from keras_kd.callbacks._best_student import BestStudent as BestStudent
from keras_kd.callbacks._best_student import load_best as load_best
from keras_kd.callbacks._best_student import read_best as read_best
from keras_kd.callbacks._checkpoint import Checkpoint as Checkpoint
from keras_kd.callbacks._plateau import Plateau as Plateau
from keras_kd.callbacks._progress import Progress as Progress
from keras_kd.callbacks._schedules import Schedules as Schedules

__all__ = [
    "Best", "BestStudent", "Checkpoint", "LaggingAverages", "Plateau", "Progress",
    "Schedules", "load_best", "read_best",
]  # fmt: skip
