"""Labels by which no accuracy can be told, or a wrong one, are an error before any work."""

import numpy as np
import pytest

from keras_kd import exporting
from keras_kd.exporting import _export
from keras_kd.exporting._labels import check_labels
from tests.exporting.conftest import converts

TEN = {"o": np.zeros((6, 10))}
STEPS = {"o": np.zeros((6, 4, 10))}
SIDES = {"o": np.zeros((6, 1))}
IDS = np.array([0, 9, -1, 3, 4, 5])


@pytest.mark.parametrize(
    "ours, decision, labels",
    [
        (TEN, "classes", IDS), (TEN, "classes", IDS.astype("float32")), (TEN, "classes", list(IDS)),
        (TEN, "classes", IDS[:, None]), (TEN, "classes", np.eye(10)[:6]), (TEN, "classes", None),
        (STEPS, "classes", np.ones((6, 4), "uint8")), (STEPS, "classes", np.ones((6, 4, 1))),
        (SIDES, 0.5, np.array([0, 1, -1, 1, 0, 1])), (SIDES, 0.5, np.full((6, 1), True)),
        (SIDES, 0.5, np.full(6, 0.3)), (SIDES, "values", np.full((6, 3), 99.5)),
        ({**TEN, "p": np.zeros((6, 2))}, "classes", {"p": np.zeros(6)}),
        ({**TEN, "p": np.zeros((6, 2))}, "classes", [IDS, np.zeros(6)]),
    ],
    ids=[f"good{i}" for i in range(14)],
)  # fmt: skip
def test_labels_that_go_with_the_answers(ours, decision, labels):
    check_labels(labels, ours, dict.fromkeys(ours, decision))


@pytest.mark.parametrize(
    "ours, decision, labels, said",
    [
        (TEN, "classes", IDS + 1, r"whole numbers from 0 to 9, .* 10 classes.* from 0 to 10"),
        (TEN, "classes", IDS + 0.5, r"whole numbers from 0 to 9.* from -0.5 to 9.5, .* float64"),
        (TEN, "classes", np.where(IDS < 0, np.nan, IDS), r"whole numbers from 0 to 9"),
        (TEN, "classes", IDS[:5], r"as many as the examples, 6\. Received: the shape \(5,\)"),
        (TEN, "classes", np.eye(12)[:6], r"shape of the decisions, \(6,\), or one-hot rows, \(6, 10\)"),
        (TEN, "classes", 3 * np.eye(10)[:6], r"from 0 to 1; below 0"),
        (TEN, "classes", IDS.astype(str), r"must be numbers\. Received: the type <U"),
        (STEPS, "classes", np.ones((6, 5)), r"the decisions, \(6, 4\)"),
        (STEPS, "classes", np.ones((4, 6)), r"as many as the examples, 6"),
        (STEPS, "classes", np.ones(6), r"Received: the shape \(6,\)"),
        (SIDES, 0.5, np.arange(6), r"from 0 to 1; .* from 0 to 5"),
        (SIDES, 0.5, np.ones((6, 2)), r"the decisions, \(6, 1\)\. Received: the shape \(6, 2\)"),
        (SIDES, "values", np.ones(5), r"as many as the examples, 6"),
        (TEN, "classes", {"p": IDS}, r"`labels` names 'p', the outputs are 'o'"),
    ],
    ids=[f"bad{i}" for i in range(14)],
)  # fmt: skip
def test_labels_that_do_not(ours, decision, labels, said):
    with pytest.raises(ValueError, match=said):
        check_labels(labels, ours, dict.fromkeys(ours, decision))


@converts
def test_they_are_checked_before_any_work(student, exported, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(_export, "convert", lambda *a, **k: pytest.fail("work was done"))
    x, y = digits.x_test[:20], digits.y_test[:20] + 10
    for given in ((x, y), (x, y[:7])):
        with pytest.raises(ValueError, match=r"^`labels` of the output 'output' must be"):
            exporting.export(student, tmp_path / "a.tflite", examples=given[0], labels=given[1])
        with pytest.raises(ValueError, match=r"^`labels` of the output 'output' must be"):
            exporting.verify(exported.path, student, *given)
