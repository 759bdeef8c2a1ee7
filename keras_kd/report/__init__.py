"""Report: models compared on one test set, as numbers, tables, pictures and one sentence.

Names:
    bootstrap
        The paired difference `after - before` over the examples of one test set.
    Changed
        Examples that exactly one of two models predicts rightly.
    check_class_order
        Raises when a model predicts in another class order than the labels, or by chance.
    cka
        Linear centered kernel alignment of two sets of features of the same examples.
    class_order
        Finds whether outputs for labeled examples are in the order of the labels.
    ClassOrder
        Whether a model's outputs are in the order of the labels.
    compare
        What distillation was worth: every model on one test set, and the verdict in one sentence.
    compare_language
        Causal language models on the same texts: bits, perplexity, and closeness to the teacher.
    Confusion
        One class predicted as another, and how often: the mean over each model's runs.
    Costs
        The costs of a model.
    draw_pairs
        A picture of paired errors, with a few examples beside it.
    Example
        One image with two predictions of it.
    examples_to_check
        Which examples to check a teacher's class order on: equally many of each class, if there
        are.
    Group
        Some of the examples, and how often each model is right on them.
    Importance
        How much the predictions of a model depend on each channel of a layer.
    importance
        How much the predictions of a model depend on each channel of an intermediate layer.
    LanguageReport
        What `keras_kd.report.compare_language` found; `print` shows it as a table.
    LanguageScores
        One language model of a report.
    mcnemar
        McNemar's exact test: how likely such a split would be if both models erred alike.
    ModelReport
        One model of a report.
    Paired
        What changed from one model to another, over pairs of runs or of predictions.
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
        The rows as a `rich` table; `examples` is the size of the test set.
    Work
        The operations and the memory for one example, from the shapes of a model's layers.
    work
        The work for one example such as those of the batch `x` (an array, or a structure of them).
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
from keras_kd.report._language import LanguageReport as LanguageReport
from keras_kd.report._language import LanguageScores as LanguageScores
from keras_kd.report._language import compare_language as compare_language
from keras_kd.report._mcnemar import mcnemar as mcnemar
from keras_kd.report._plots_pairs import Example as Example
from keras_kd.report._plots_pairs import draw_pairs as draw_pairs
from keras_kd.report._report import Report as Report
from keras_kd.report._results import ModelReport as ModelReport
from keras_kd.report._similarity import Similarity as Similarity
from keras_kd.report._similarity import cka as cka
from keras_kd.report._similarity import similarity as similarity
from keras_kd.report._tables import Row as Row
from keras_kd.report._tables import table as table

__all__ = [
    "Changed", "ClassOrder", "Confusion", "Costs", "Example", "Group", "Importance",
    "LanguageReport", "LanguageScores", "ModelReport", "Paired", "Report", "Row",
    "Similarity", "Spread", "Work", "bootstrap", "check_class_order", "cka", "class_order",
    "compare", "compare_language", "draw_pairs", "examples_to_check", "importance",
    "mcnemar", "paired", "proportion", "similarity", "table", "work",
]  # fmt: skip
