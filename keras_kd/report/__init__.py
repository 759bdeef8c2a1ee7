"""Report: what models did, as numbers, as tables, as pictures, and in one sentence.

Names:
    bootstrap
        The paired difference `after - before` over the examples of one test set.
    Changed
        Examples that one of two models answers rightly.
    check_class_order
        Raises when a model answers in another class order than the labels, or by chance.
    cka
        Linear centred kernel alignment of two sets of features of the same examples.
    class_order
        Finds whether answers to labelled examples are in the order of the labels.
    ClassOrder
        How a model's outputs and the labels go together.
    compare
        What distillation was worth: every model on one test set, and the verdict in one sentence.
    Confusion
        One way to err, and how often, in each model's mean over its runs.
    Costs
        What a model costs.
    draw_pairs
        A picture of paired errors, with a few examples beside it.
    Example
        One image with the two answers to it.
    examples_to_check
        Which examples to check a teacher's order of classes on: of each class as many, where there
        are.
    Group
        Some of the examples, and how each model fares on them.
    Importance
        How much the answers of a model depend on each channel of a layer.
    importance
        Which channels of an intermediate layer the answers depend on.
    mcnemar
        McNemar's exact test: how likely such a split would be if both models erred alike.
    ModelReport
        One model of a report.
    Paired
        What changed from one way to the other, over pairs of runs or of answers.
    paired
        The paired difference `after - before` of numbers, such as errors by seed, with its
        interval.
    proportion
        The 95 % interval of a share, by Wilson.
    Report
        What `keras_kd.report.compare` found.
    Row
        One row of the table.
    Similarity
        Linear CKA between layers of two models.
    similarity
        Linear CKA between layers of two models that saw the same inputs, such as student and
        teacher.
    Spread
        A median and its quartiles, over calls.
    table
        The rows as a `rich` table; `examples` is how many the test set has.
    Work
        What one example asks of a model, by its layers' shapes.
    work
        The work for one example like those of the batch `x` (an array, or a structure of them).
"""

from keras_kd.report._class_order import ClassOrder as ClassOrder
from keras_kd.report._class_order import check_class_order as check_class_order
from keras_kd.report._class_order import class_order as class_order
from keras_kd.report._class_order import examples_to_check as examples_to_check
from keras_kd.report._compare import compare as compare
from keras_kd.report._costs import Costs as Costs
from keras_kd.report._costs import Spread as Spread
from keras_kd.report._differences import Changed as Changed
from keras_kd.report._differences import Confusion as Confusion
from keras_kd.report._differences import Group as Group
from keras_kd.report._flops import Work as Work
from keras_kd.report._flops import work as work
from keras_kd.report._importance import Importance as Importance
from keras_kd.report._importance import importance as importance
from keras_kd.report._intervals import Paired as Paired
from keras_kd.report._intervals import bootstrap as bootstrap
from keras_kd.report._intervals import paired as paired
from keras_kd.report._intervals import proportion as proportion
from keras_kd.report._plots_pairs import Example as Example
from keras_kd.report._plots_pairs import draw_pairs as draw_pairs
from keras_kd.report._report import Report as Report
from keras_kd.report._results import ModelReport as ModelReport
from keras_kd.report._similarity import Similarity as Similarity
from keras_kd.report._similarity import cka as cka
from keras_kd.report._similarity import similarity as similarity
from keras_kd.report._tables import Row as Row
from keras_kd.report._tables import table as table
from keras_kd.report._won_and_lost import mcnemar as mcnemar

__all__ = [
    "Changed", "ClassOrder", "Confusion", "Costs", "Example", "Group", "Importance",
    "ModelReport", "Paired", "Report", "Row", "Similarity", "Spread", "Work", "bootstrap",
    "check_class_order", "cka", "class_order", "compare", "draw_pairs", "examples_to_check",
    "importance", "mcnemar", "paired", "proportion", "similarity", "table", "work",
]  # fmt: skip
