import importlib
import json

import keras
import numpy as np
import pytest

from keras_kd.report import _rows, bootstrap, compare, mcnemar, paired
from tests.metrics import oracles
from tests.report.answering import examples, logits, says

N, CLASSES = 400, 7
Y = np.random.default_rng(9).choice(CLASSES, N, p=[0.3, 0.3, 0.15, 0.1, 0.1, 0.04, 0.01])
TOLD = {name: logits(Y, CLASSES, skill, i) for i, (name, skill) in enumerate(
    [("teacher", 3.0), ("student alone", 1.2), ("distilled", 2.2)])}  # fmt: skip
DATA = (examples(N), Y)


def report(told=None, data=DATA, **kwargs):
    models = {name: says(rows) for name, rows in (told or TOLD).items()}
    return compare(models, data, latency=False, **kwargs)


@pytest.fixture(scope="module")
def whole():
    return report(slices={"half": np.arange(N) % 2})


def softmax(name):
    return oracles.softmax(TOLD[name])


@pytest.mark.parametrize("name", TOLD)
def test_scores_are_those_of_scikit_learn(whole, name):
    sk = pytest.importorskip("sklearn.metrics")
    p = softmax(name)
    said = p.argmax(1)
    wanted = {
        "accuracy": sk.accuracy_score(Y, said),
        "top_5": sk.top_k_accuracy_score(Y, p, k=5),
        "precision": sk.precision_score(Y, said, average="macro", zero_division=0),
        "recall": sk.recall_score(Y, said, average="macro", zero_division=0),
        "f1": sk.f1_score(Y, said, average="macro", zero_division=0),
        "roc_auc": sk.roc_auc_score(Y, p, multi_class="ovr", average="macro"),
        "log_loss": sk.log_loss(Y, p),
        "brier": sk.brier_score_loss(Y, p),
        "ece": oracles.ece(Y, TOLD[name], np.ones(N), bins=15),
    }
    scores = whole.models[name].scores
    for key, value in wanted.items():
        assert scores[key] == [pytest.approx(value, abs=1e-6)], key
    assert whole.models[name].wrong.sum() == (said != Y).sum()


def test_what_is_like_the_teacher(whole):
    scores = whole.models["distilled"].scores
    ones = np.ones(N)
    teacher, student = TOLD["teacher"], TOLD["distilled"]
    assert scores["agreement"] == [pytest.approx(oracles.agreement(teacher, student, ones))]
    assert scores["kl"] == [pytest.approx(oracles.kl(teacher, student, ones), abs=1e-6)]
    assert "agreement" not in whole.models["teacher"].scores
    softer = report(temperature=3.0).models["distilled"].scores
    assert softer["kl"] == [pytest.approx(oracles.kl(teacher, student, ones, 3.0), abs=1e-6)]


def test_equal_mass_bins(whole):
    p = softmax("distilled")[: N // 15 * 15]
    data = (examples(N)[: len(p)], Y[: len(p)])
    wanted = oracles.equal_mass(p.max(1), (p.argmax(1) == data[1]).astype(float), 15)
    found = report({"distilled": TOLD["distilled"]}, data).models["distilled"]
    assert found.scores["ece_equal_mass"] == [pytest.approx(wanted, abs=1e-6)]


def test_where_they_differ(whole):
    before, after = (TOLD[n].argmax(1) for n in ("student alone", "distilled"))
    assert whole.changed.won.tolist() == np.flatnonzero((before != Y) & (after == Y)).tolist()
    assert whole.changed.lost.tolist() == np.flatnonzero((before == Y) & (after != Y)).tolist()
    assert [g.name for g in whole.classes] == list("0123456")
    for group in whole.classes:
        which = int(group.name) == Y
        assert group.examples == which.sum()
        assert group.by_model["distilled"] == pytest.approx((after == Y)[which].mean())
        shift = (after == Y)[which].mean() - (before == Y)[which].mean()
        assert group.change.mean == pytest.approx(shift)
    half = whole.slices["half"][1]
    assert half.examples == 200 and half.name == "1"
    assert half.by_model["teacher"] == pytest.approx((TOLD["teacher"].argmax(1) == Y)[1::2].mean())
    first = whole.confusions[0]
    truth, answer = int(first.truth), int(first.answer)
    assert first.before == ((truth == Y) & (before == answer)).sum()
    assert first.after == ((truth == Y) & (after == answer)).sum()


def test_the_verdict_of_two_models(whole):
    stats = pytest.importorskip("scipy.stats")
    wrong = {n: (rows.argmax(1) != Y).sum() for n, rows in TOLD.items()}
    fewer = wrong["student alone"] - wrong["distilled"]
    gain = 100 * fewer / (wrong["student alone"] - wrong["teacher"])
    assert whole.verdict.startswith(
        f"distilled makes {fewer} fewer errors than student alone on 400 examples (95 % interval "
    )
    assert whole.verdict.endswith(f"); {gain:.0f} % of the teacher's gain at 100 % of its size.")
    lost, won = len(whole.changed.lost), len(whole.changed.won)
    assert whole.p_value == pytest.approx(stats.binomtest(lost, lost + won).pvalue)


def test_models_that_differ_by_chance():
    told = {"a": TOLD["distilled"], "b": logits(Y, CLASSES, 2.2, 77)}
    found = report(told)
    assert found.change.low <= 0 <= found.change.high
    assert found.verdict.startswith("b and a: no difference that this test set can show (")


def runs_of(seeds):
    return {
        name: [says(logits(Y, CLASSES, skill, 10 * i + seed)) for seed in seeds]
        for i, (name, skill) in enumerate([("alone", 1.0), ("distilled", 2.0)])
    }


def test_several_runs_are_compared_over_runs():
    found = compare(runs_of(range(5)), DATA, latency=False, slices={"half": np.arange(N) % 2})
    wrong = [found.models[name].wrong for name in ("alone", "distilled")]
    errors = [w.mean(axis=1) for w in wrong]
    assert found.change == paired(*errors) and found.change.direction == "less"
    assert found.change.pairs == 5 and found.p_value is None
    assert len(found.models["alone"].scores["accuracy"]) == 5
    assert "the mean of 5 runs (95 % interval" in found.verdict
    assert "±" in str(found) and "over runs (bootstrap-t)." in str(found)
    for which, group in enumerate(found.slices["half"]):
        right = [1 - w[:, which::2].mean(axis=1) for w in wrong]
        assert group.change.mean == pytest.approx(paired(*right).mean)
        assert group.change.low == pytest.approx(paired(*right).low)
        assert group.change.pairs == 5 and group.change.direction == "more"


def test_runs_are_paired_in_the_order_given():
    """Each seed shifts both ways alike: paired so, the difference is sure, else it is not."""
    hard = [0.2, 0.9, 1.5, 2.4, 3.2, 0.6]
    models = {
        name: [says(logits(Y, CLASSES, skill + more, seed)) for seed, skill in enumerate(hard)]
        for name, more in (("alone", 0.0), ("distilled", 0.2))
    }
    found = compare(models, DATA, latency=False)
    before, after = (found.models[name].wrong.mean(axis=1) for name in models)
    assert paired(before, after[::-1]).direction == "unclear"
    assert found.change == paired(before, after) and found.change.direction == "less"


def test_few_runs_or_unequally_many():
    models = runs_of(range(3))
    found = compare(models, DATA, latency=False)
    assert ": 3 runs are too few to say which is better (" in found.verdict
    assert all(group.change.too_few for group in found.classes)
    assert "An interval over runs needs at least 5, and differences that are not all" in str(found)
    of_two = compare({name: runs[:2] for name, runs in models.items()}, DATA, latency=False)
    assert ": 2 runs are too few to say which is better (" in of_two.verdict
    found = compare({**models, "alone": models["alone"][:2]}, DATA, latency=False)
    sides = [found.models[name].wrong.mean(axis=0) for name in models]
    assert found.change == bootstrap(*sides) and found.change.pairs == N
    assert "over examples (bootstrap-t)." in str(found) and "runs" not in found.verdict


def test_the_tables_show_what_was_found():
    """Teacher, baseline and judged, in this order, whatever the order they came in."""
    found = report({name: TOLD[name] for name in ("distilled", "teacher", "student alone")},
                   judged="distilled", slices={"half": np.arange(N) % 2})  # fmt: skip
    for of, table in (
        (found.classes, _rows.tables(found)[2]),
        (found.slices["half"], _rows.tables(found)[3]),
    ):
        names = ["teacher", "student alone", "distilled"]
        assert table.headings[1:] == ["examples", *names, "change", "95 % interval"]
        for group, row in zip(of, table.rows, strict=True):
            shares = [f"{100 * group.by_model[name]:.1f} %" for name in names]
            ends = (group.change.mean, group.change.low, group.change.high)
            mean, low, high = (f"{100 * end:+.1f}" for end in ends)
            assert row == [group.name, str(group.examples), *shares, mean, f"{low} to {high}"]
    for one, row in zip(found.confusions, _rows.confusions(found).rows, strict=True):
        assert row[0] == f"{one.truth} taken for {one.answer}"
        before, after, change = map(int, row[1:])
        assert (before, after) == (one.before, one.after) and change == after - before
        assert row[3][0] == ("+" if after > before else "-")


@pytest.mark.parametrize("won, lost", [(4, 0), (6, 0), (0, 6), (9, 2), (10, 2)])
def test_verdict_and_p_never_contradict(won, lost):
    right, wrong = (9 * np.eye(CLASSES)[(Y + away) % CLASSES] for away in (0, 1))
    n = np.arange(N)
    before = np.where((n < won)[:, None], wrong, right)
    after = np.where(((n >= won) & (n < won + lost))[:, None], wrong, right)
    found = report({"before": before, "after": after})
    claimed = (
        f"after makes {abs(won - lost)} {'fewer' if won > lost else 'more'} errors than before"
    )
    assert found.verdict.startswith(claimed) == (found.p_value < 0.05)
    assert found.p_value == mcnemar(lost, won)
    assert f"{won} examples went from wrong to right, {lost} from right to wrong" in str(found)
    assert "over examples (the dual of McNemar's test)." in str(found)
    # A class's share of right answers goes up where its errors go down.
    for group in found.classes:
        of_class = n[int(group.name) == Y]
        gained = (of_class < won).sum() - ((of_class >= won) & (of_class < won + lost)).sum()
        assert group.change.mean == pytest.approx(gained / len(of_class))
        assert group.change.low < group.change.mean < group.change.high


def test_probabilities_are_seen_by_the_head():
    model = says(TOLD["distilled"], "softmax")
    found = compare({"s": model}, DATA, latency=False).models["s"]
    assert found.scores["log_loss"] == [
        pytest.approx(oracles.nll(Y, TOLD["distilled"], np.ones(N)), abs=1e-6)
    ]
    assert found.reads == "probabilities, by the softmax at the end"


def test_probabilities_of_unknown_origin_are_asked_about():
    told = {"s": oracles.softmax(TOLD["distilled"])}
    with pytest.raises(ValueError, match=r"look like probabilities, .* Give what they are"):
        report(told)
    found = report(told, from_logits={"s": False}).models["s"]
    wanted = oracles.nll(Y, TOLD["distilled"], np.ones(N))
    assert found.scores["log_loss"] == [pytest.approx(wanted, abs=1e-6)]


@pytest.mark.parametrize("activation", [(), ("sigmoid",)])
def test_one_logit(activation):
    sk = pytest.importorskip("sklearn.metrics")
    y = Y % 2
    z = logits(y, 2, 1.0, 3)[:, 1:] - 0.5
    p = 1 / (1 + np.exp(-z[:, 0].astype("float64")))
    told = {"teacher": says(-z), "s": says(z, *activation)}
    found = compare(told, (examples(N), y[:, None]), latency=False).models["s"].scores
    wanted = {
        "accuracy": sk.accuracy_score(y, p > 0.5),
        "f1": sk.f1_score(y, p > 0.5, average="macro"),
        "roc_auc": sk.roc_auc_score(y, p),
        "log_loss": sk.log_loss(y, p),
        "brier": sk.brier_score_loss(y, p),
    }
    for key, value in wanted.items():
        assert found[key] == [pytest.approx(value, abs=1e-6)], key
    assert found["top_5"] == [None] and found["agreement"] == [0.0]


def test_several_labels():
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(4)
    y = (rng.random((N, 5)) < [0.5, 0.3, 0.2, 0.1, 0.05]).astype(int)
    z = (rng.normal(size=y.shape) + 2 * y - 1).astype("float32")
    p = 1 / (1 + np.exp(-z.astype("float64")))
    found = report({"s": z}, (examples(N), y), slices={"odd": np.arange(N) % 2})
    wanted = {
        "accuracy": sk.accuracy_score(y, p > 0.5),
        "precision": sk.precision_score(y, p > 0.5, average="macro", zero_division=0),
        "recall": sk.recall_score(y, p > 0.5, average="macro"),
        "f1": sk.f1_score(y, p > 0.5, average="macro"),
        "roc_auc": sk.roc_auc_score(y, p, average="macro"),
        "log_loss": np.mean([sk.log_loss(y[:, c], p[:, c]) for c in range(5)]),
    }
    for key, value in wanted.items():
        assert found.models["s"].scores[key] == [pytest.approx(value, abs=1e-6)], key
    assert found.task == "multi_label" and not found.classes and len(found.slices["odd"]) == 2


def test_numbers():
    sk = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(5)
    y = rng.normal(size=(N, 2))
    told = {"teacher": y + 0.1, "alone": y + rng.normal(0, 1, y.shape), "distilled": y + 0.3}
    found = report(told, (examples(N), y))
    scores = found.models["alone"].scores
    said = told["alone"].astype("float32")
    assert scores["mae"] == [pytest.approx(sk.mean_absolute_error(y, said), abs=1e-6)]
    assert scores["rmse"] == [pytest.approx(sk.root_mean_squared_error(y, said), abs=1e-6)]
    assert scores["r2"] == [pytest.approx(sk.r2_score(y, said), abs=1e-6)]
    assert found.models["distilled"].scores["distance"] == [pytest.approx(0.2, abs=1e-6)]
    assert "smaller mean absolute error than alone on 400 examples" in found.verdict
    assert found.p_value is None and "<table>" in found._repr_html_()


def test_one_output_of_several():
    inputs = keras.Input((1,), dtype="int32")
    model = keras.Model(
        inputs, {"a": says(TOLD["distilled"])(inputs), "b": says(Y[:, None])(inputs)}
    )
    data = (examples(N), {"a": Y, "b": Y})
    found = compare({"s": model}, data, output="a", latency=False)
    wanted = (TOLD["distilled"].argmax(1) == Y).mean()
    assert found.models["s"].scores["accuracy"] == [pytest.approx(wanted)]
    with pytest.raises(ValueError, match=r"scores one output, and .* has 'a', 'b'"):
        compare({"s": model}, data, latency=False)


def cut(size=150):
    return [(DATA[0][i : i + size], Y[i : i + size]) for i in range(0, N, size)]


class Batched(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return cut()[index]


def stream(kind):
    if kind == "tf.data":
        tf = pytest.importorskip("tensorflow")
        return tf.data.Dataset.from_tensor_slices(DATA).batch(150)
    return {"list": cut, "generator": lambda: (b for b in cut()), "pydataset": Batched}[kind]()


@pytest.mark.parametrize("kind", ["list", "generator", "pydataset", "tf.data"])
def test_batches_are_read_once_and_give_the_same(whole, kind):
    if kind == "tf.data" and keras.config.backend() != "tensorflow":
        pytest.skip("one backend is enough")
    found = report(data=stream(kind))
    for name in TOLD:
        assert found.models[name].scores["log_loss"] == [
            pytest.approx(whole.models[name].scores["log_loss"][0], abs=1e-6)
        ]
    assert found.verdict == whole.verdict


def test_one_hot_labels_and_names(whole):
    names = list("abcdefg")
    found = report(data=(examples(N), np.eye(CLASSES)[Y]), class_names=names)
    assert found.verdict == whole.verdict
    assert [g.name for g in found.classes] == names


def test_as_dict(whole):
    said = json.loads(json.dumps(whole.to_dict()))
    assert said["verdict"] == whole.verdict
    accuracy = said["models"]["distilled"]["scores"]["accuracy"][0]
    assert accuracy == whole.models["distilled"].score("accuracy")
    assert said["models"]["distilled"]["costs"]["parameters"] == N * CLASSES
    assert said["change"]["pairs"] == N and said["changed"]["won"] == whole.changed.won.tolist()


def test_as_text(whole):
    text = str(whole)
    assert " ".join(text.split()).startswith(whole.verdict)
    lines = {" ".join(line.split()) for line in text.splitlines()}
    right = [f"{100 * (rows.argmax(1) == Y).mean():.1f} %" for rows in TOLD.values()]
    assert f"accuracy {' '.join(right)}" in lines
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    "change, words",
    [
        (
            {"data": (examples(5), Y)},
            "of equal length with at least one example. Received arrays of",
        ),
        ({"data": (examples(N), Y + 1)}, "labels must be from 0 to 6. Received labels from 1 to 7"),
        ({"data": (examples(N), Y, np.ones(N))}, "holds sample weights"),
        ({"data": (examples(N), None)}, "a report needs labels"),
        ({"data": []}, "gave no batch"),
        ({"teacher": "techer"}, "names the model 'techer', .* Did you mean 'teacher'"),
        ({"judged": "distilled", "baseline": "distilled"}, "are the same model"),
        ({"slices": {"s": np.arange(3)}}, "one value for each of the 400 examples"),
        ({"slices": {"s": np.arange(N)}}, "400 different values"),
        ({"class_names": ["a"]}, "must name 7 classes. Received: 1"),
        ({"importance": "hidden"}, "names a model and a layer"),
        ({"importance": "distilled:hidden"}, "No layer 'hidden' in"),
        ({"similarity": ("distilled", "x")}, "`similarity` names the model 'x'"),
        ({"task": "ranking"}, "`task` must be one of"),
        ({"examples": 0}, "`examples` must be a whole number of at least 1. Received: examples=0"),
        ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1"),
    ],
)
def test_bad_input(change, words):
    with pytest.raises(ValueError, match=words):
        report(**change)


def test_how_many_examples_and_how_many_at_once(monkeypatch):
    seen = []
    where = "keras_kd.report._compare.costs_without_running"
    costs = importlib.import_module("keras_kd.report._compare").costs_without_running
    monkeypatch.setattr(where, lambda model, x: seen.append(len(x)) or costs(model, x))
    found = report(examples=30, batch_size=90)
    assert set(seen) == {30} and found.batch_size == 90
    assert report(examples=np.int64(30), batch_size=np.int64(90)).batch_size == 90


def test_answers_that_do_not_fit():
    told = {**TOLD, "distilled": TOLD["distilled"][:, :3]}
    with pytest.raises(ValueError, match=r"outputs of one width. Received: 'teacher' 7"):
        report(told)
    told = {**TOLD, "distilled": np.where(examples(N) == 3, np.nan, TOLD["distilled"])}
    with pytest.raises(ValueError, match=r"outputs of 'distilled' are NaN .* for 1 examples"):
        report(told)
    with pytest.raises(
        ValueError, match="one number, and the labels are whole numbers from 0 to 6"
    ):
        report({"s": TOLD["teacher"][:, :1]})
    with pytest.raises(TypeError, match="`models` must be a dict of models by name"):
        compare(says(TOLD["teacher"]), DATA)
    with pytest.raises(
        TypeError, match=r"must be a keras.Model, a teacher, a function, an array or a list of them"
    ):
        compare({"s": "model.keras"}, DATA)
    steps = keras.Sequential([keras.Input((3,), dtype="int32"), keras.layers.Embedding(5, 4)])
    with pytest.raises(ValueError, match=r"have the shape \('examples', 3, 4\)"):
        compare({"s": steps}, (np.zeros((6, 3), "int32"), np.ones((6, 3), "int32")))
