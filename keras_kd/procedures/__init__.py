"""Procedures: what takes several trainings, or needs whole models and not just terms.

`hint_layers` pairs the layers of two networks for recipes on features, `assistant` and `born_again`
train chains of networks, `reused_classifier` joins what `keras_kd.recipes.simkd` trained.

Names:
    assistant
        Networks of falling size, each taught by the one before.
    born_again
        Generations of one network, each taught by the one before.
    hint_layers
        Layers of two networks that go together, as the `pred` and `target` of a feature recipe.
    reused_classifier
        What `simkd` trained, as one model: student, projector, and the teacher's classifier.
"""

from keras_kd.procedures._chains import assistant as assistant
from keras_kd.procedures._chains import born_again as born_again
from keras_kd.procedures._hint_layers import hint_layers as hint_layers
from keras_kd.procedures._reused_classifier import reused_classifier as reused_classifier

__all__ = [
    "assistant", "born_again", "hint_layers", "reused_classifier",
]  # fmt: skip
