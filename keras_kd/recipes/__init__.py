"""Recipes: papers as functions that return a list of terms.

Each has the settings of its paper, given by name. `pred=` and `target=` are addresses: of what
learns and of what it learns from. Recipes on logits have them by default, `"student:output"` and
`"teacher:output"`; recipes on layers take one address each or lists of as many, and
`keras_kd.procedures.hint_layers(student, teacher)` suggests them:
`attention_transfer(**hint_layers(student, teacher))`. Lists add up to longer lists: with
`labels_weight=0` a recipe leaves the labels to another,
`[*dkd(), *attention_transfer(..., labels_weight=0)]`.
"""

from keras_kd._core.deprecated import moved as _moved
from keras_kd.recipes._binary import binary as binary
from keras_kd.recipes._building_blocks import Terms as Terms
from keras_kd.recipes._embeddings import crd as crd
from keras_kd.recipes._embeddings import crd_memory as crd_memory
from keras_kd.recipes._embeddings import srd as srd
from keras_kd.recipes._feature_maps import attention_transfer as attention_transfer
from keras_kd.recipes._feature_maps import fsp as fsp
from keras_kd.recipes._feature_maps import nst as nst
from keras_kd.recipes._feature_maps import review_kd as review_kd
from keras_kd.recipes._feature_regression import ab as ab
from keras_kd.recipes._feature_regression import fitnets as fitnets
from keras_kd.recipes._feature_regression import ofd as ofd
from keras_kd.recipes._feature_regression import vid as vid
from keras_kd.recipes._logits import ctkd as ctkd
from keras_kd.recipes._logits import deit as deit
from keras_kd.recipes._logits import dist as dist
from keras_kd.recipes._logits import gkd as gkd
from keras_kd.recipes._logits import hinton as hinton
from keras_kd.recipes._logits import logit_standardization as logit_standardization
from keras_kd.recipes._logits import sobolev as sobolev
from keras_kd.recipes._reconstruction import ft as ft
from keras_kd.recipes._reconstruction import mgd as mgd
from keras_kd.recipes._reconstruction import simkd as simkd
from keras_kd.recipes._regression import regression as regression
from keras_kd.recipes._relations import cc as cc
from keras_kd.recipes._relations import pkt as pkt
from keras_kd.recipes._relations import rkd as rkd
from keras_kd.recipes._relations import sp as sp
from keras_kd.recipes._several_models import ca_mkd as ca_mkd
from keras_kd.recipes._several_models import mean_teacher as mean_teacher
from keras_kd.recipes._several_models import mutual as mutual
from keras_kd.recipes._several_models import own_teacher as own_teacher
from keras_kd.recipes._transformers import minilm as minilm
from keras_kd.recipes._transformers import tinybert as tinybert
from keras_kd.recipes._with_labels import dkd as dkd
from keras_kd.recipes._with_labels import nkd as nkd
from keras_kd.recipes._with_labels import tf_kd as tf_kd
from keras_kd.recipes._with_labels import wsld as wsld

_MOVED = ("assistant", "born_again", "hint_layers", "reused_classifier")

__getattr__ = _moved(__name__, {name: f"keras_kd.procedures.{name}" for name in _MOVED})
