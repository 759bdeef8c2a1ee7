"""Metrics that the Distiller feeds with the teacher's signals."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import metrics as M
from tests.models import cross_entropy, data, mlp, set_weights, two_headed

X, Y = data()


def make(metrics, student=None, teacher="t", loss=True, **kwargs):
    distiller = keras_kd.Distiller(
        student=student or set_weights(mlp("s"), 1),
        teacher=set_weights(mlp("t", 12), 2) if teacher == "t" else teacher,
        **kwargs,
    )
    distiller.compile("sgd", cross_entropy() if loss else None, metrics=metrics)
    return distiller


def said(model, x=X):
    return model.predict(x, verbose=0)


def same(a, b):
    return float((said(a).argmax(1) == said(b).argmax(1)).mean())


def test_the_logs_show_what_the_teacher_was_asked_for():
    distiller = make(["accuracy", M.Agreement(), M.TeacherKL(2.0), M.NegativeLogLikelihood()])
    history = distiller.fit(X, Y, epochs=2, validation_data=(X, Y), verbose=0).history
    wanted = {"accuracy", "agreement", "teacher_kl", "negative_log_likelihood"}
    assert wanted | {f"val_{name}" for name in wanted} <= set(history)
    assert history["val_agreement"][-1] == pytest.approx(
        same(distiller.student, distiller.teacher), abs=1e-6
    )
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    metric = M.TeacherKL(2.0)
    metric.update_state(said(distiller.teacher), said(distiller.student))
    assert logs["teacher_kl"] == pytest.approx(float(metric.result()), abs=1e-5)
    assert logs["negative_log_likelihood"] == pytest.approx(logs["labels"], abs=1e-5)


def test_a_teacher_that_no_term_asks_for_is_asked_by_a_metric():
    distiller = make([M.Agreement()], terms=[keras_kd.Labels()])
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert logs["agreement"] == pytest.approx(same(distiller.student, distiller.teacher), abs=1e-6)


def test_without_labels():
    distiller = make([M.Agreement()], terms=keras_kd.recipes.hinton(alpha=1), loss=False)
    history = distiller.fit(X, epochs=1, verbose=0).history
    assert set(history) == {"loss", "soft_target", "agreement"}


def test_stored_signals():
    teacher = set_weights(mlp("t", 12), 2)
    x = {"inputs": X, "signals": {"teacher:output": said(teacher)}}
    distiller = make([M.Agreement()], teacher=None)
    logs = distiller.evaluate(x, Y, verbose=0, return_dict=True)
    assert logs["agreement"] == pytest.approx(same(distiller.student, teacher), abs=1e-6)
    alone = make([M.Agreement()], teacher=None, terms=[keras_kd.Labels()])
    with pytest.warns(UserWarning, match="teacher:output"):
        assert "agreement" not in alone.evaluate(X, Y, verbose=0, return_dict=True)


def test_signals_by_address():
    """The teacher's hidden layer against the student's: no logits, but of one shape."""
    metric = M.Agreement(target="teacher:hidden", pred="student:hidden", name="hidden")
    student = set_weights(mlp("s", 12), 1)
    distiller = make([metric], student=student)
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    hidden = [
        said(keras.Model(m.inputs, m.get_layer("hidden").output)).argmax(1)
        for m in (student, distiller.teacher)
    ]
    assert logs["hidden"] == pytest.approx(float((hidden[0] == hidden[1]).mean()), abs=1e-6)


def test_several_students_and_teachers():
    a, b = set_weights(mlp("a"), 1), set_weights(mlp("b"), 5)
    big, old = set_weights(mlp("t", 12), 2), set_weights(mlp("o", 3), 3)
    distiller = keras_kd.Distiller(
        student={"a": a, "b": b},
        teacher={"big": big, "old": old},
        terms=[keras_kd.Labels(pred="a:output"), keras_kd.Labels(pred="b:output")],
    )
    metrics = [M.Agreement(target="big:output"), M.Agreement(target="old:output", name="old")]
    distiller.compile("sgd", cross_entropy(), metrics=metrics)
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    for role, student in (("a", a), ("b", b)):
        assert logs[f"{role}_agreement"] == pytest.approx(same(student, big), abs=1e-6)
        assert logs[f"{role}_old"] == pytest.approx(same(student, old), abs=1e-6)


def test_one_output_of_several():
    student, teacher = set_weights(two_headed("s"), 1), set_weights(two_headed("t"), 2)
    x = {"a": X, "b": X}
    y = {"kind": Y, "size": X[:, :1]}
    term = keras_kd.Term(
        keras_kd.losses.SoftTarget(), pred="student:output/kind", target="teacher:output/kind"
    )
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=[term])
    distiller.compile("sgd", metrics={"kind": ["accuracy", M.Agreement()], "size": ["mse"]})
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    kinds = [m.predict(x, verbose=0)["kind"].argmax(1) for m in (student, teacher)]
    assert logs["kind_agreement"] == pytest.approx(float((kinds[0] == kinds[1]).mean()), abs=1e-6)
    assert {"kind_accuracy", "size_mse"} <= set(logs)
    with pytest.raises(ValueError, match=r"has the outputs 'kind', 'size'. List a metric"):
        distiller.compile("sgd", metrics=[M.Agreement()])


def test_weighted_metrics_are_weighted_and_others_not():
    distiller = make(None)
    distiller.compile(
        "sgd", cross_entropy(), metrics=[M.Agreement()], weighted_metrics=[M.Agreement(name="w")]
    )
    weight = np.arange(len(X)) % 3
    logs = distiller.evaluate(X, Y, sample_weight=weight, verbose=0, return_dict=True)
    equal = said(distiller.student).argmax(1) == said(distiller.teacher).argmax(1)
    assert logs["agreement"] == pytest.approx(equal.mean(), abs=1e-6)
    assert logs["w"] == pytest.approx(np.average(equal, weights=weight), abs=1e-6)


def test_two_of_one_name():
    logs = make([M.TeacherKL(1.0), M.TeacherKL(4.0)]).evaluate(X, Y, verbose=0, return_dict=True)
    assert logs["teacher_kl"] > logs["teacher_kl_2"] > 0


def test_saved_with_the_distiller(tmp_path):
    distiller = make(["accuracy", M.Agreement()])
    before = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    distiller.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    after = again.evaluate(X, Y, verbose=0, return_dict=True)
    assert after == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize(
    "metric, words",
    [
        (M.Agreement(target="techer:output"), "Metric 'agreement' names the role 'techer'"),
        (M.Agreement(target="teacher:hiden"), "No layer 'hiden' in teacher .* Metric 'agreement'"),
    ],
)
def test_unknown_addresses(metric, words):
    with pytest.raises(ValueError, match=words):
        make([metric])


def test_a_metric_of_ones_own():
    class Distance(M.TeacherMetric):
        def values(self, y_true, y_pred):
            return keras.ops.max(keras.ops.abs(y_true - y_pred), axis=-1)

    distiller = make([Distance(name="distance")])
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    apart = np.abs(said(distiller.student) - said(distiller.teacher)).max(1).mean()
    assert logs["distance"] == pytest.approx(float(apart), abs=1e-5)
