"""Recipes: papers as functions that return a list of terms.

Each has the settings of its paper. Those on answers name them by `student=` and `teacher=`; those
on layers name them by `pred=` and `target=`, one address each or lists of as many, and
`hint_layers(student, teacher)` suggests them:
`attention_transfer(**hint_layers(student, teacher))`. Lists add up to longer lists: with
`labels_weight=0` a recipe leaves the labels to another,
`[*dkd(), *attention_transfer(..., labels_weight=0)]`.
"""

from keras_kd.recipes._binary import binary as binary
from keras_kd.recipes._embeddings import crd as crd
from keras_kd.recipes._embeddings import crd_memory as crd_memory
from keras_kd.recipes._embeddings import srd as srd
from keras_kd.recipes._generations import assistant as assistant
from keras_kd.recipes._generations import born_again as born_again
from keras_kd.recipes._hints import hint_layers as hint_layers
from keras_kd.recipes._hints import reused_classifier as reused_classifier
from keras_kd.recipes._labelled import dkd as dkd
from keras_kd.recipes._labelled import nkd as nkd
from keras_kd.recipes._labelled import tf_kd as tf_kd
from keras_kd.recipes._labelled import wsld as wsld
from keras_kd.recipes._logits import ctkd as ctkd
from keras_kd.recipes._logits import deit as deit
from keras_kd.recipes._logits import dist as dist
from keras_kd.recipes._logits import gkd as gkd
from keras_kd.recipes._logits import hinton as hinton
from keras_kd.recipes._logits import logit_standardization as logit_standardization
from keras_kd.recipes._logits import sobolev as sobolev
from keras_kd.recipes._made import ft as ft
from keras_kd.recipes._made import mgd as mgd
from keras_kd.recipes._made import simkd as simkd
from keras_kd.recipes._maps import attention_transfer as attention_transfer
from keras_kd.recipes._maps import fsp as fsp
from keras_kd.recipes._maps import nst as nst
from keras_kd.recipes._maps import review_kd as review_kd
from keras_kd.recipes._numbers import regression as regression
from keras_kd.recipes._regressed import ab as ab
from keras_kd.recipes._regressed import fitnets as fitnets
from keras_kd.recipes._regressed import ofd as ofd
from keras_kd.recipes._regressed import vid as vid
from keras_kd.recipes._relations import cc as cc
from keras_kd.recipes._relations import pkt as pkt
from keras_kd.recipes._relations import rkd as rkd
from keras_kd.recipes._relations import sp as sp
from keras_kd.recipes._students import ca_mkd as ca_mkd
from keras_kd.recipes._students import mean_teacher as mean_teacher
from keras_kd.recipes._students import mutual as mutual
from keras_kd.recipes._students import own_teacher as own_teacher
from keras_kd.recipes._transformers import minilm as minilm
from keras_kd.recipes._transformers import tinybert as tinybert
