"""Recipes: papers as functions that return a list of terms.

Each has the settings of its paper, given by name. `pred=` and `target=` are addresses: of what
learns and of what it learns from. Recipes on logits have them by default, `"student:output"` and
`"teacher:output"`; recipes on layers take one address each or lists of as many, and
`keras_kd.procedures.hint_layers(student, teacher)` suggests them:
`attention_transfer(**hint_layers(student, teacher))`. Lists add up to longer lists: with
`labels_weight=0` a recipe leaves the labels to another,
`[*dkd(), *attention_transfer(..., labels_weight=0)]`.

Names:
    ab
        Activation boundaries: the student's neurons fire where the teacher's do.
    abkd
        ABKD: a divergence whose weight on large errors and on sure classes is chosen apart.
    attention_transfer
        Attention transfer: the student's layers are active where the teacher's are.
    binary
        Soft targets for yes-no labels: one logit, or one for each of several labels.
    ca_mkd
        Confidence-aware multi-teacher distillation: each teacher counts as far as it is right.
    cc
        Correlation congruence: the correlations between the examples are the teacher's.
    crd
        Contrastive representation distillation: an embedding identifies its example among others.
    crd_memory
        Contrastive representation distillation with a memory, as its paper has it.
    ctkd
        Curriculum temperature: soft targets at a temperature that learns to make the task harder.
    deit
        Data-efficient image transformers (DeiT): the teacher's likeliest class is a second label.
    dist
        Distillation from a stronger teacher: the student correlates with the teacher.
    dkd
        Decoupled distillation: the right class and the other classes have a weight each.
    draft
        A draft model for speculative decoding: as many of its tokens accepted as can be.
    fitnets
        FitNets: a layer of the student regresses a layer of the teacher (a hint).
    fsp
        Flow of solution procedure: how one layer leads to the next, as in the teacher.
    ft
        Factor transfer: the teacher's map in fewer channels, translated by the student.
    gkd
        Generalized distillation of sequences: a divergence between forward and reverse KL.
    gold
        A teacher with another tokenizer: a divergence over the spans of text that both sides have.
    hinton
        Knowledge distillation: soft targets beside the labels.
    logit_standardization
        Logit standardization: soft targets between logits of mean 0 and deviation 1.
    mean_teacher
        Mean teacher: the student agrees with the average of its own past.
    mgd
        Masked generative distillation: the teacher's map from half of the student's positions.
    minillm
        MiniLLM: the reverse KL of whole texts that the student wrote.
    minilm
        MiniLM: the last layer's relations between queries, between keys and between values.
    mutual
        Deep mutual learning: students that teach each other, all at once.
    nkd
        Normalized distillation: soft targets with the other classes normalized among themselves.
    nst
        Neuron selectivity transfer: the channels select the same patterns as the teacher's.
    ofd
        Overhaul of feature distillation: features from before the ReLU, by a partial distance.
    opd
        On-policy distillation: the reverse KL at each token that the student wrote.
    own_teacher
        Be your own teacher: the shallow layers of a network learn from its output.
    pkt
        Probabilistic knowledge transfer: an example's likely neighbors are the teacher's.
    regression
        Regression: the student's numbers come near the labels and near the teacher's.
    representation
        Representation: a backbone learns its teachers' features, without labels.
    review_kd
        Knowledge review: the student's layers learn from shallower ones of the teacher, too.
    rkd
        Relational distillation: distances and angles between the examples are the teacher's.
    simkd
        SimKD: the student learns the teacher's last features, and reuses its classifier.
    sobolev
        Sobolev training: the outputs, and their derivatives along directions of the input.
    sp
        Similarity-preserving distillation: examples alike for the teacher are so for the student.
    srd
        Projected features: a linear map between normalized, pooled features.
    tf_kd
        Teacher-free distillation: soft targets of a virtual teacher that is nearly always right.
    tinybert
        TinyBERT: hidden states and attention scores of a transformer, layer by layer.
    ttm
        TTM: the teacher is softened, and the student is not.
    vid
        Variational information distillation: a Gaussian likelihood of the teacher's features.
    wsld
        Weighted soft labels: soft targets count less where the student is the better one.
    wttm
        Weighted TTM: examples count the more, the softer the teacher is on them.
"""

from keras_kd._core.deprecated import moved as _moved
from keras_kd.recipes._binary import binary as binary
from keras_kd.recipes._building_blocks import Terms as Terms
from keras_kd.recipes._drafts import draft as draft
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
from keras_kd.recipes._logits import abkd as abkd
from keras_kd.recipes._logits import ctkd as ctkd
from keras_kd.recipes._logits import deit as deit
from keras_kd.recipes._logits import dist as dist
from keras_kd.recipes._logits import gkd as gkd
from keras_kd.recipes._logits import hinton as hinton
from keras_kd.recipes._logits import logit_standardization as logit_standardization
from keras_kd.recipes._logits import sobolev as sobolev
from keras_kd.recipes._logits import ttm as ttm
from keras_kd.recipes._logits import wttm as wttm
from keras_kd.recipes._on_policy import minillm as minillm
from keras_kd.recipes._on_policy import opd as opd
from keras_kd.recipes._reconstruction import ft as ft
from keras_kd.recipes._reconstruction import mgd as mgd
from keras_kd.recipes._reconstruction import simkd as simkd
from keras_kd.recipes._regression import regression as regression
from keras_kd.recipes._relations import cc as cc
from keras_kd.recipes._relations import pkt as pkt
from keras_kd.recipes._relations import rkd as rkd
from keras_kd.recipes._relations import sp as sp
from keras_kd.recipes._representation import representation as representation
from keras_kd.recipes._several_models import ca_mkd as ca_mkd
from keras_kd.recipes._several_models import mean_teacher as mean_teacher
from keras_kd.recipes._several_models import mutual as mutual
from keras_kd.recipes._several_models import own_teacher as own_teacher
from keras_kd.recipes._transformers import minilm as minilm
from keras_kd.recipes._transformers import tinybert as tinybert
from keras_kd.recipes._two_tokenizers import gold as gold
from keras_kd.recipes._with_labels import dkd as dkd
from keras_kd.recipes._with_labels import nkd as nkd
from keras_kd.recipes._with_labels import tf_kd as tf_kd
from keras_kd.recipes._with_labels import wsld as wsld

_MOVED = ("assistant", "born_again", "hint_layers", "reused_classifier")

__getattr__ = _moved(__name__, {name: f"keras_kd.procedures.{name}" for name in _MOVED})

__all__ = [
    "ab", "abkd", "attention_transfer", "binary", "ca_mkd", "cc", "crd", "crd_memory",
    "ctkd", "deit", "dist", "dkd", "draft", "fitnets", "fsp", "ft", "gkd", "gold", "hinton",
    "logit_standardization", "mean_teacher", "mgd", "minillm", "minilm", "mutual", "nkd",
    "nst", "ofd", "opd", "own_teacher", "pkt", "regression", "representation", "review_kd",
    "rkd", "simkd", "sobolev", "sp", "srd", "tf_kd", "tinybert", "ttm", "vid", "wsld",
    "wttm",
]  # fmt: skip
