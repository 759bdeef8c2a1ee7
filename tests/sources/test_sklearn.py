"""Estimators as teachers: columns in the student's order, whatever the estimator gives."""

import importlib

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import sources, stores

pytest.importorskip("sklearn")
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import Perceptron
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier


@pytest.fixture(scope="module")
def digits():
    part = kd.data.load("digits")["train"]
    return kd.data.Part(part.x.reshape(len(part), -1), part.y, part.ids)


@pytest.fixture(scope="module")
def forest(digits):
    return RandomForestClassifier(10, random_state=0).fit(digits.x, digits.y)


def test_logits_of_a_forest(forest, digits):
    logits = sources.SklearnTeacher(forest, floor=1e-3)(digits.x[:50].reshape(50, 8, 8))
    expected = np.log(np.maximum(forest.predict_proba(digits.x[:50]), 1e-3))
    np.testing.assert_allclose(logits, expected, atol=1e-6)


def test_a_forest_teaches_from_a_store(forest, digits, tmp_path):
    teacher = sources.SklearnTeacher(forest, name="forest")
    stores.write(teacher, digits, tmp_path / "a")
    keras.utils.set_random_seed(1)
    student = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    distiller = kd.Distiller(student=student, terms=kd.recipes.hinton(temperature=2.0, alpha=1.0))
    distiller.compile(keras.optimizers.Adam(0.01), metrics=[kd.metrics.Agreement()])
    data = stores.read(tmp_path / "a", digits, teacher=teacher, shuffle=True)
    history = distiller.fit(data, epochs=4, verbose=0).history["agreement"]
    assert history[-1] > 0.8
    other = sources.SklearnTeacher(
        RandomForestClassifier(10, random_state=1).fit(digits.x, digits.y)
    )
    with pytest.raises(stores.StoreError, match="its weights are others"):
        stores.read(tmp_path / "a", digits, teacher=other)


def labelled(names, digits, kind=DecisionTreeClassifier, **kwargs):
    """A classifier of the digits 0 to 3 under other names."""
    few = digits.y < len(names)
    return kind(**kwargs).fit(digits.x[few], np.array(names)[digits.y[few]])


def test_columns_in_the_order_of_the_student(digits):
    settings = {"n_estimators": 5, "max_depth": 2, "random_state": 0}  # sure of nothing
    tree = labelled(["zero", "one", "two"], digits, RandomForestClassifier, **settings)
    assert tree.classes_.tolist() == ["one", "two", "zero"]
    p = tree.predict_proba(digits.x)
    aligned = np.exp(sources.SklearnTeacher(tree, classes=["zero", "one", "two"])(digits.x))
    np.testing.assert_allclose(aligned, np.maximum(p[:, [2, 0, 1]], 1e-7), atol=1e-6)
    names = ["zero", "ten", "one", "two"]  # one that it never met
    more = np.exp(sources.SklearnTeacher(tree, classes=names, floor=1e-5)(digits.x))
    np.testing.assert_allclose(more[:, 1], 1e-5, rtol=1e-3)
    two = np.exp(sources.SklearnTeacher(tree, classes=["one", "two"])(digits.x))
    np.testing.assert_allclose(two.sum(axis=1), 1.0, atol=1e-4)
    both = p[:, 0] + p[:, 1] > 0
    np.testing.assert_allclose(
        two[both, 0], (p[:, 0] / (p[:, 0] + p[:, 1]).clip(1e-9))[both].clip(1e-7), atol=1e-5
    )


def test_scores_where_there_are_no_probabilities(digits):
    svm = labelled([0, 1, 2], digits, LinearSVC)
    np.testing.assert_allclose(
        sources.SklearnTeacher(svm)(digits.x), svm.decision_function(digits.x), rtol=1e-5
    )
    binary = labelled([0, 1], digits, Perceptron)
    logits = sources.SklearnTeacher(binary)(digits.x)
    assert not logits[:, 0].any()
    np.testing.assert_allclose(logits[:, 1], binary.decision_function(digits.x), rtol=1e-5)


def test_a_regressor_gives_values(digits):
    trees = RandomForestRegressor(3, random_state=0).fit(digits.x, digits.y / 10.0)
    teacher = sources.SklearnTeacher(trees)
    assert teacher.kind == "values"
    np.testing.assert_allclose(teacher(digits.x)[:, 0], trees.predict(digits.x), rtol=1e-6)


@pytest.mark.parametrize(
    "package, name", [("lightgbm", "LGBMClassifier"), ("xgboost", "XGBClassifier")]
)
def test_boosted_trees(package, name, digits):
    kind = getattr(pytest.importorskip(package), name)
    settings = {"verbose": -1} if package == "lightgbm" else {}
    trees = kind(n_estimators=3, **settings).fit(digits.x[:300], digits.y[:300])
    logits = sources.SklearnTeacher(trees)(digits.x[:20])
    np.testing.assert_allclose(np.exp(logits), trees.predict_proba(digits.x[:20]), atol=1e-5)


def test_what_cannot_teach(digits):
    few = digits.x[:30], digits.y[:30]
    two = np.stack([digits.y[:30], digits.y[:30]], axis=1)
    several = MultiOutputClassifier(DecisionTreeClassifier()).fit(few[0], two)
    cases = [
        (DecisionTreeClassifier(), {}, ValueError, "has no `classes_`: fit it first"),
        (several, {}, ValueError, "predicts 2 targets: give one of one"),
        (
            labelled([3, 5, 7], digits),
            {},
            ValueError,
            "would be read as the labels 0 to 2. Give the",
        ),
        (labelled([3, 5, 7], digits), {"classes": [1, 2]}, ValueError, "`classes` must name each"),
        (labelled([3, 5], digits), {"classes": [3, 3]}, ValueError, "`classes` must name each"),
        (object(), {}, TypeError, "`estimator` must be fitted and have one of 'predict_proba'"),
        (DecisionTreeClassifier, {}, TypeError, "`estimator` must be fitted"),
    ]
    if not hasattr(NearestCentroid, "predict_proba"):
        cases.append(
            (labelled([0, 1], digits, NearestCentroid), {}, TypeError, "gives labels alone")
        )
    for estimator, kwargs, error, words in cases:
        with pytest.raises(error) as caught:
            sources.SklearnTeacher(estimator, **kwargs)
        assert words in str(caught.value)


def test_the_package_is_not_needed_to_import():
    assert importlib.import_module("keras_kd.sources").SklearnTeacher is sources.SklearnTeacher
