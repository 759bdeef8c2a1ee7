"""Arrays, functions and teachers of other frameworks beside models."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd._core.largest import Largest
from keras_kd.report import _rows, compare
from keras_kd.report._verdict import verdict
from tests.metrics import oracles
from tests.report.answering import examples, logits, says

N, CLASSES = 300, 4
Y = np.random.default_rng(5).choice(CLASSES, N)
DATA = (examples(N), Y)
TEACHER, ALONE, DISTILLED = (logits(Y, CLASSES, s, i) for i, s in enumerate((3.0, 1.0, 2.0)))


def table(outputs):
    return lambda x: outputs[x[:, 0]]


def external(outputs, kind="logits"):
    return kd.sources.FunctionTeacher(table(outputs), name="elsewhere", kind=kind)


def report(teacher, data=DATA, **kwargs):
    models = {"teacher": teacher, "student alone": says(ALONE), "distilled": says(DISTILLED)}
    return compare(models, data, **{"latency": False, **kwargs})


@pytest.fixture(scope="module")
def of_models():
    return report(says(TEACHER))


def cells(table, row):
    return next(cells[1:] for cells in table.rows if cells[0] == row)


FORMS = {
    "array": (TEACHER, "logits, by their values"),
    "tensor": (lambda: keras.ops.convert_to_tensor(TEACHER), "logits, by their values"),
    "odds": (oracles.softmax(TEACHER), "probabilities, as every row sums to 1"),
    "function": (table(TEACHER), "logits, by their values"),
    "function of odds": (
        table(oracles.softmax(TEACHER)),
        "probabilities, as every row sums to 1",
    ),
    "external": (external(TEACHER), "logits, as the teacher gives them"),
    "external odds": (
        external(oracles.softmax(TEACHER), "probabilities"),
        "logits, as the teacher gives them",
    ),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("streamed", [False, True], ids=["arrays", "batches"])
def test_scores_are_those_of_the_model_that_says_the_same(of_models, form, streamed):
    teacher, reads = FORMS[form]
    data = [(DATA[0][i : i + 70], Y[i : i + 70]) for i in range(0, N, 70)] if streamed else DATA
    found = report(teacher() if form == "tensor" else teacher, data)
    for name, model in of_models.models.items():
        for key, values in model.scores.items():
            assert found.models[name].scores[key] == pytest.approx(values, abs=1e-5), (name, key)
        np.testing.assert_array_equal(found.models[name].wrong, model.wrong)
    assert found.models["teacher"].reads == reads
    assert found.change == of_models.change
    assert found.verdict == of_models.verdict.replace(" at 100 % of its size", "")


def test_an_array_has_outputs_only(tmp_path):
    found = report(TEACHER, latency=True, memory=False)
    spent = found.models["teacher"].costs
    empty = (spent.parameters, spent.file_bytes, spent.flops, spent.memory, spent.latency)
    assert empty == (None,) * 5 and spent.throughput is None
    costs = _rows.costs(found)
    assert cells(costs, "weights") == ["–", "1,200", "1,200"]
    for row in ("file", "one example (ms)", "per second, 128 at once"):
        shown = cells(costs, row)
        assert shown[0] == "–" and "–" not in shown[1:]
    assert found.to_dict()["models"]["teacher"]["costs"]["parameters"] is None
    pytest.importorskip("matplotlib")
    sizes, times = found.figures()["accuracy against costs"].axes
    for axes in (sizes, times):
        assert axes.get_legend_handles_labels()[1] == ["student alone", "distilled"]
    drawn = found.figures()["reliability"].axes
    assert [axes.get_title().split("\n")[0] for axes in drawn[:3]] == list(found.models)
    found.save(tmp_path / "report.html")


def test_a_function_has_time_too():
    pytest.importorskip("matplotlib")
    found = report(external(TEACHER), latency=True)
    spent = found.models["teacher"].costs
    assert spent.latency.calls >= 7 and spent.throughput.median > 0
    assert spent.parameters is None
    assert found.models["teacher"].seconds > 0
    sizes, times = found.figures()["accuracy against costs"].axes
    assert sizes.get_legend_handles_labels()[1] == ["student alone", "distilled"]
    assert times.get_legend_handles_labels()[1] == list(found.models)


def test_arrays_alone_have_no_costs_to_draw():
    pytest.importorskip("matplotlib")
    found = compare({"a": ALONE, "b": DISTILLED}, DATA)
    assert list(found.figures()) == ["reliability"]
    assert found.verdict.startswith("b makes ")
    assert [row[0] for row in _rows.costs(found).rows] == []


def test_several_runs_as_arrays(of_models):
    runs = [logits(Y, CLASSES, 2.0, seed) for seed in range(5)]
    found = compare(
        {"alone": [says(rows) for rows in runs], "distilled": runs}, DATA, latency=False
    )
    alone, distilled = found.models.values()
    np.testing.assert_array_equal(alone.wrong, distilled.wrong)


def test_numbers_of_a_regression():
    y = np.random.default_rng(0).normal(size=(N, 1))
    models = {"near": y + 0.1, "far": external(y + 0.5, "values")}
    found = compare(models, (DATA[0], y), latency=False)
    assert found.models["near"].scores["mae"] == [pytest.approx(0.1)]
    assert found.models["far"].scores["mae"] == [pytest.approx(0.5, abs=1e-6)]


def test_a_forest_beside_its_student():
    ensemble = pytest.importorskip("sklearn.ensemble")
    data = kd.data.load("digits")
    forest = ensemble.RandomForestClassifier(20, random_state=0)
    forest.fit(data.x_train.reshape(-1, 64), data.y_train)
    student = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    models = {"teacher": kd.sources.SklearnTeacher(forest), "student": student}
    found = compare(models, data.test, latency=False)
    right = forest.score(data.x_test.reshape(-1, 64), data.y_test)
    assert found.models["teacher"].scores["accuracy"] == [pytest.approx(right)]


def test_told_what_they_are():
    odds = 1 / (1 + np.exp(-TEACHER[:, :1]))
    y = (Y == 0).astype(int)
    one = {"one": odds}
    match = r"The outputs of 'one' look like probabilities, .* from_logits=\{'one': False\}"
    with pytest.raises(ValueError, match=match):
        compare(one, (DATA[0], y), latency=False)
    found = compare(one, (DATA[0], y), latency=False, from_logits={"one": False})
    assert found.models["one"].scores["accuracy"] == [
        pytest.approx(((odds[:, 0] > 0.5) == y).mean())
    ]
    told = report(external(oracles.softmax(TEACHER), "probabilities"), from_logits=True)
    assert told.models["teacher"].reads == "logits, as the teacher gives them"


@pytest.mark.parametrize("streamed", [False, True], ids=["arrays", "batches"])
def test_another_length_names_both(streamed):
    data = [DATA] if streamed else DATA
    match = "'teacher' has 299 outputs, and the test set 300 examples: one for each"
    with pytest.raises(ValueError, match=match):
        report(TEACHER[:-1], data)
    with pytest.raises(ValueError, match=r"have the shape \('examples',\)"):
        report(TEACHER[:, 0], data)


def test_what_has_no_layers():
    for teacher in (TEACHER, external(TEACHER)):
        match = "`importance` looks at the layers of a model, and 'teacher' is no keras.Model"
        with pytest.raises(ValueError, match=match):
            report(teacher, importance="teacher:table")
        match = "`similarity` looks at the layers of a model, and 'teacher' is no"
        with pytest.raises(ValueError, match=match):
            report(teacher, similarity=("distilled", "teacher"))
    found = report(TEACHER, importance="distilled:table", similarity=("student alone", "distilled"))
    decided = TEACHER[:256].argmax(axis=1) == DISTILLED[:256].argmax(axis=1)
    assert found.importance.agreement == pytest.approx(decided.mean())


def test_what_takes_no_part():
    for wrong in ("teacher.keras", keras.layers.Dense(3), keras.Model, 3):
        with pytest.raises(
            TypeError, match=r"`models\['teacher'\]` must be a keras.Model, a teacher"
        ):
            report(wrong)
    top = Largest(np.zeros((N, 2)), np.zeros((N, 2)), np.zeros(N))
    teacher = kd.sources.FunctionTeacher(lambda x: Largest(*(p[x[:, 0]] for p in top)), name="few")
    with pytest.raises(ValueError, match="'few' gives its 2 largest logits alone"):
        report(teacher)


def test_the_verdict_where_sizes_are_unknown(of_models):
    told = {
        "judged": "distilled", "baseline": "student alone", "teacher": "teacher",
        "change": of_models.change, "errors": {"teacher": 0.0, "student alone": 0.5, "distilled": 0.3},
        "examples": N, "runs": 0, "counts_errors": True,
    }  # fmt: skip
    sizes = {"teacher": 10, "student alone": 5, "distilled": 5}
    assert verdict(**told, parameters=sizes).endswith("of the teacher's gain at 50 % of its size.")
    for unknown in ("teacher", "distilled"):
        said = verdict(**told, parameters={**sizes, unknown: None})
        assert said.endswith("of the teacher's gain.")
        said = verdict(**{**told, "baseline": "teacher"}, parameters={**sizes, unknown: None})
        assert said.endswith(").")
