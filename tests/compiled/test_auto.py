"""`"auto"` in `compile`: the optimizer and the metrics that the student itself was compiled with."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from tests.models import cross_entropy, data, mlp, set_weights

X, Y = data()


def student(name="s", **given):
    made = set_weights(mlp(name), 1)
    if given:
        made.compile(**given)
    return made


def test_optimizer_and_metrics_are_new_ones_like_the_students_own():
    given = keras.optimizers.SGD(0.25, momentum=0.5)
    second = keras.metrics.SparseTopKCategoricalAccuracy(2, name="second")
    own = student(optimizer=given, metrics=["accuracy"], weighted_metrics=[second])
    distiller = kd.Distiller(student=own, teacher=student("t"))
    distiller.compile("auto", "auto", metrics="auto", weighted_metrics="auto")
    assert distiller.optimizer is not given
    assert distiller.optimizer.get_config() == given.get_config()
    logs = distiller.fit(X, Y, verbose=0).history
    assert {"accuracy", "second", "labels"} <= set(logs)
    assert int(own.optimizer.iterations) == 0
    asked = kd.Distiller(student=own, teacher=student("t"))
    asked.compile(keras.optimizers.SGD(0.25, momentum=0.5), cross_entropy(), metrics=["accuracy"])
    distiller.compile("auto", "auto", metrics="auto")
    values = [d.evaluate(X, Y, verbose=0, return_dict=True)["accuracy"] for d in (distiller, asked)]
    assert values[0] == values[1]


def test_metrics_of_the_other_argument_serve_where_there_are_no_others():
    own = student(optimizer="adam", loss="mse", weighted_metrics=["accuracy"])
    distiller = kd.Distiller(student=own, teacher=student("t"))
    distiller.compile("auto", "auto", metrics="auto")
    weights = np.where(Y == 0, 0.0, 1.0)
    logs = distiller.evaluate(X, Y, sample_weight=weights, verbose=0, return_dict=True)
    right = own.predict(X, verbose=0).argmax(-1) == Y
    assert logs["accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    distiller.compile("auto", "auto", weighted_metrics="auto")
    logs = distiller.evaluate(X, Y, sample_weight=weights, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(right[Y != 0].mean(), abs=1e-6)


def test_saved_and_loaded(tmp_path):
    own = student(optimizer=keras.optimizers.SGD(0.25), metrics=["accuracy"])
    distiller = kd.Distiller(student=own, teacher=student("t"))
    distiller.compile("auto", cross_entropy(), metrics="auto")
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "d.keras")
    loaded = keras.saving.load_model(tmp_path / "d.keras")
    assert float(loaded.optimizer.learning_rate) == 0.25
    assert "accuracy" in loaded.evaluate(X, Y, verbose=0, return_dict=True)


def test_several_students():
    both = {name: student(name, optimizer="sgd", metrics=["accuracy"]) for name in "ab"}
    distiller = kd.Distiller(student=both, terms=kd.recipes.mutual("a", "b"))
    distiller.compile("auto", cross_entropy(), metrics="auto")
    assert type(distiller.optimizer).__name__ == "SGD"
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert {"a_accuracy", "b_accuracy"} <= set(logs)
    both["b"].compile(keras.optimizers.SGD(0.5))
    with pytest.raises(ValueError, match=r"those of 'a', 'b' differ\. Give one for all"):
        distiller.compile("auto", cross_entropy())


@pytest.mark.parametrize(
    ("given", "asked", "words"),
    [({}, {"optimizer": "auto"}, "and 's' was not compiled.*optimizer='adam'"),
     ({}, {"metrics": "auto"}, r"and 's' was not compiled.*metrics=\['accuracy'\]"),
     ({"optimizer": "sgd"}, {"weighted_metrics": "auto"}, "'s' has no metrics")],
)  # fmt: skip
def test_a_student_without(given, asked, words):
    distiller = kd.Distiller(student=student(**given), teacher=student("t"))
    with pytest.raises(ValueError, match=words):
        distiller.compile(loss=cross_entropy(), **asked)
