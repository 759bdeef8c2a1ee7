"""Rows without a label count in no metric of the labels."""

import keras
import numpy as np
import pytest
from keras import metrics

import keras_kd
from tests.models import CLASSES, cross_entropy, mlp, set_weights

N = 40


def labelled(known=15):
    x = np.random.default_rng(0).normal(size=(N, 8)).astype("float32")
    y = (np.arange(N) % CLASSES).astype("int32")
    return x, np.where(np.arange(N) < known, y, -1).astype("int32"), y


def distiller(**kwargs):
    student, teacher = set_weights(mlp("s"), 1), set_weights(mlp("t", 9), 2)
    model = keras_kd.Distiller(student=student, teacher=teacher)
    model.compile(keras.optimizers.SGD(0.0), cross_entropy(ignore_class=-1), **kwargs)
    return model


def test_accuracy_is_that_of_the_labelled_rows():
    x, some, y = labelled()
    named = ["accuracy", metrics.sparse_categorical_accuracy, "acc", keras_kd.metrics.Agreement(),
             metrics.SparseCategoricalAccuracy("own"), metrics.SparseTopKCategoricalAccuracy(2, "top")]  # fmt: skip
    model = distiller(metrics=named)
    student, teacher = (m.predict(x, verbose=0) for m in (model.student, model.teacher))
    right, agree = student.argmax(axis=1) == y, student.argmax(axis=1) == teacher.argmax(axis=1)
    top = (np.argsort(student, axis=1)[:, 1:] == y[:, None]).any(axis=1)
    logs = model.evaluate(x, some, batch_size=16, verbose=0, return_dict=True)
    for name in ("accuracy", "acc", "sparse_categorical_accuracy", "own"):
        assert logs[name] == pytest.approx(right[:15].mean(), abs=1e-6), name
    assert logs["top"] == pytest.approx(top[:15].mean(), abs=1e-6)
    assert logs["agreement"] == pytest.approx(agree.mean(), abs=1e-6)  # needs no label: all rows
    trained = model.fit(x, some, batch_size=16, shuffle=False, verbose=0).history
    assert trained["accuracy"][0] == pytest.approx(right[:15].mean(), abs=1e-6)
    full = model.evaluate(x, y, verbose=0, return_dict=True)
    assert full["accuracy"] == pytest.approx(right.mean(), abs=1e-6)


def test_weights_go_on_top():
    x, some, y = labelled()
    weights = np.linspace(0.1, 2, N).astype("float32")
    model = distiller(
        metrics=["accuracy"], weighted_metrics=[metrics.SparseCategoricalAccuracy("w")]
    )
    right = model.student.predict(x, verbose=0).argmax(axis=1) == y
    logs = model.evaluate(x, some, sample_weight=weights, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(right[:15].mean(), abs=1e-6)
    assert logs["w"] == pytest.approx(np.average(right[:15], weights=weights[:15]), abs=1e-5)


def test_positions_of_a_sequence():
    x = keras.Input((5, 8))
    student = keras.Model(x, keras.layers.Dense(CLASSES)(x))
    model = keras_kd.Distiller(student=student, terms=[keras_kd.Labels()])
    model.compile("sgd", cross_entropy(ignore_class=-1), metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 5, 8)).astype("float32"), rng.integers(0, CLASSES, (4, 5))
    known = rng.random((4, 5)) < 0.5
    right = student.predict(x, verbose=0).argmax(axis=-1) == y
    logs = model.evaluate(x, np.where(known, y, -1).astype("int32"), verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(right[known].mean(), abs=1e-6)


@pytest.mark.parametrize("as_list", [False, True])
def test_the_one_output_that_leaves_rows_out(as_list):
    x = keras.Input((8,))
    kind, size = (keras.layers.Dense(CLASSES, name=name)(x) for name in ("kind", "size"))
    student = keras.Model(x, [kind, size] if as_list else {"kind": kind, "size": size})
    model = keras_kd.Distiller(student=student, terms=[keras_kd.Labels()])
    judged = {"kind": ["accuracy"], "size": ["accuracy"]}
    model.compile(
        "sgd", {"kind": cross_entropy(ignore_class=-1), "size": cross_entropy()}, metrics=judged
    )
    x, some, y = labelled()
    logs = model.evaluate(x, {"kind": some, "size": y}, verbose=0, return_dict=True)
    said = student.predict(x, verbose=0)
    kind, size = said if as_list else (said["kind"], said["size"])
    kind, size = (a.argmax(axis=1) == y for a in (kind, size))
    assert logs["kind_accuracy"] == pytest.approx(kind[:15].mean(), abs=1e-6)
    assert logs["size_accuracy"] == pytest.approx(size.mean(), abs=1e-6)


def test_each_student_of_two():
    terms = [keras_kd.Labels(pred=f"{role}:output") for role in "ab"]
    model = keras_kd.Distiller(student={"a": mlp("a"), "b": mlp("b")}, terms=terms)
    model.compile("sgd", cross_entropy(ignore_class=-1), metrics=["accuracy"])
    x, some, y = labelled()
    logs = model.evaluate(x, some, verbose=0, return_dict=True)
    for role, student in model.students.items():
        right = student.predict(x, verbose=0).argmax(axis=1) == y
        named = [logs[name] for name in logs if name.startswith(f"{role}_")]
        assert named == pytest.approx([right[:15].mean()], abs=1e-6)


def test_a_metric_that_takes_no_weights_is_told_of():
    class Own(metrics.Metric):
        def update_state(self, y_true, y_pred):
            pass

        def result(self):
            return 0.0

    with pytest.warns(
        UserWarning, match="takes no `sample_weight`, so it cannot leave out the rows"
    ):
        distiller(metrics=[Own(name="own")])


def test_it_comes_back_from_a_file(tmp_path):
    x, some, _ = labelled()
    model = distiller(metrics=["accuracy", metrics.SparseCategoricalAccuracy("own")])
    model.fit(x, some, verbose=0)
    model.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    expected = model.evaluate(x, some, verbose=0, return_dict=True)
    assert again.evaluate(x, some, verbose=0, return_dict=True) == pytest.approx(expected, abs=1e-6)
