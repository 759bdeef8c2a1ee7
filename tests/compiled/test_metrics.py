"""A metric on probabilities is told of where the student gives logits."""

import re
import warnings

import keras
import numpy as np
import pytest
from keras import layers, metrics

import keras_kd
from tests.models import cross_entropy, mlp

LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)


def binary(width=1, name="s"):
    return keras.Sequential([keras.Input((8,)), layers.Dense(width, name="yes")], name=name)


def distiller(width=1):
    terms = [keras_kd.Labels(), keras_kd.Term(keras_kd.losses.BinarySoftTarget())]
    student, teacher = binary(width), binary(width, "t")
    return keras_kd.Distiller(student=student, teacher=teacher, terms=terms)


@pytest.mark.parametrize(
    "metric, shown, remedy",
    [
        ("accuracy", "'accuracy'", "keras.metrics.BinaryAccuracy('accuracy', threshold=0.0)"),
        ("binary_accuracy", "'binary_accuracy'", "BinaryAccuracy(threshold=0.0)"),
        (metrics.binary_accuracy, "binary_accuracy", "BinaryAccuracy(threshold=0.0)"),
        (metrics.BinaryAccuracy(), "'binary_accuracy'", "BinaryAccuracy(threshold=0.0)"),
        (metrics.AUC(name="auc"), "'auc'", "Write keras.metrics.AUC(from_logits=True)."),
        ("AUC", "'AUC'", "Write keras.metrics.AUC(from_logits=True)."),
        (metrics.Precision(name="p"), "'p'", "Precision(thresholds=0.0): a logit of 0 is"),
        (metrics.Recall(name="r"), "'r'", "or top_k=1 among classes"),
        (metrics.TruePositives(name="tp"), "'tp'", "TruePositives(thresholds=0.0)"),
        (metrics.BinaryIoU(name="iou"), "'iou'", "BinaryIoU(threshold=0.0)"),
        ("bce", "'bce'", "BinaryCrossentropy(from_logits=True)"),
        (metrics.PrecisionAtRecall(0.5, name="at"), "'at'", "a subclass of keras.metrics."),
        (metrics.F1Score(threshold=0.5, name="f1"), "'f1'", "It has no argument for logits"),
        (keras_kd.metrics.BrierScore(from_logits=False, name="b"), "'b'", "Give it from_logits=True."),
    ],
)  # fmt: skip
def test_metrics_on_probabilities(metric, shown, remedy):
    whole = f"Metric {shown} reads probabilities, and 'student:output' gives logits"
    with pytest.warns(UserWarning, match=re.escape(whole)) as told:
        distiller().compile("sgd", LOGITS, metrics=[metric])
    assert any(whole in str(w.message) and remedy in str(w.message) for w in told)
    with pytest.warns(UserWarning, match=re.escape(whole)):
        distiller().compile("sgd", LOGITS, weighted_metrics=[metric])


@pytest.mark.parametrize(
    "metric",
    [
        metrics.BinaryAccuracy(threshold=0.0), metrics.AUC(from_logits=True), "mse", "hinge",
        metrics.Precision(thresholds=0.0), metrics.Recall(top_k=1), metrics.F1Score(),
        metrics.BinaryCrossentropy(from_logits=True), keras_kd.metrics.BrierScore(), metrics.MeanIoU(2),
    ],
)  # fmt: skip
def test_metrics_that_read_logits_or_neither(metric):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        distiller().compile("sgd", LOGITS, metrics=[metric])


def test_the_remedy_gives_what_probabilities_give():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(200, 1)).astype("float32") * 3
    y, p = (logits + rng.normal(size=(200, 1)) * 3 > 0).astype("float32"), 1 / (1 + np.exp(-logits))
    for kind, option in [
        (metrics.BinaryAccuracy, {"threshold": 0.0}), (metrics.Precision, {"thresholds": 0.0}),
        (metrics.BinaryIoU, {"threshold": 0.0}), (metrics.AUC, {"from_logits": True}),
    ]:  # fmt: skip
        on_logits, on_probabilities = kind(**option), kind()
        on_logits.update_state(y, logits)
        on_probabilities.update_state(y, p)
        assert float(on_logits.result()) == pytest.approx(
            float(on_probabilities.result()), abs=1e-3
        )


def test_accuracy_among_classes_is_fine_and_regressors_are_left_alone():
    x = keras.Input((8,))
    number = keras_kd.Distiller(
        student=keras.Model(x, layers.Dense(1)(x)), terms=[keras_kd.Labels()]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        keras_kd.Distiller(student=mlp("s"), teacher=mlp("t")).compile(
            "sgd", cross_entropy(), metrics=["accuracy", "acc", metrics.SparseCategoricalAccuracy()]
        )
        number.compile("sgd", "mse", metrics=[metrics.BinaryAccuracy()])


def test_one_output_of_several_and_one_student_of_several():
    x = keras.Input((8,))
    outputs = {"yes": layers.Dense(1, name="yes")(x), "size": layers.Dense(1, name="size")(x)}
    model = keras_kd.Distiller(student=keras.Model(x, outputs), terms=[keras_kd.Labels()])
    with pytest.warns(UserWarning, match="'student:output/yes' gives logits"):
        model.compile("sgd", {"yes": LOGITS, "size": "mse"}, metrics={"yes": ["AUC"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.compile("sgd", {"yes": LOGITS, "size": "mse"}, metrics={"size": ["AUC"]})
    terms = [
        *(keras_kd.Labels(pred=f"{role}:output") for role in "ab"),
        keras_kd.Term(keras_kd.losses.BinarySoftTarget(), pred="a:output", target="b:output"),
    ]
    two = keras_kd.Distiller(student={"a": binary(name="a"), "b": binary(name="b")}, terms=terms)
    with pytest.warns(UserWarning, match="'b:output' gives logits"):
        two.compile("sgd", LOGITS, metrics={"b": [metrics.AUC()]})
