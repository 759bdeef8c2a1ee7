"""Stores of outputs that were computed elsewhere."""

import csv
import json
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd as kd
from keras_kd import stores
from tests.gradients import gradient
from tests.stores.conftest import files

IDS = ["a", "b", "c"]
CLASSES = ["cat", "dog", "fox"]
ODDS = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]])
TOPS = [{"cat": -0.5, "dog": -2.0}, {"fox": -0.25}, {"dog": -0.125, "cat": -4.0}]


def write_csv(path, names, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return path


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_parquet(path, columns):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table(columns), path)
    return path


def wide(path, odds=ODDS, names=CLASSES, ids=IDS):
    """One column for each class, the last one first."""
    order = list(range(len(names)))[::-1]
    columns = {"id": list(ids), **{names[c]: odds[:, c].tolist() for c in order}}
    if path.suffix == ".parquet":
        return write_parquet(path, columns)
    if path.suffix == ".csv":
        return write_csv(path, list(columns), zip(*columns.values(), strict=True))
    rows = zip(columns["id"], odds.tolist(), strict=True)
    by_name = [{"id": i, "output": {names[c]: row[c] for c in order}} for i, row in rows]
    return write_lines(path, by_name)


def outputs(folder, ids=IDS):
    return stores.Store(folder)(np.array(ids), np.zeros(len(ids), int))["teacher:output"]


def refused(answers, ids, path, match, error=stores.StoreError, **settings):
    """The answers are refused, and nothing is left behind."""
    settings = {"kind": "probabilities", **settings}
    with pytest.raises(error, match=match):
        stores.from_answers(answers, ids, path / "store", **settings)
    assert not (path / "store").exists()


# From end to end.


@pytest.fixture(scope="module")
def forest(digits):
    ensemble = pytest.importorskip("sklearn.ensemble")
    part = digits["train"].take(np.arange(400))
    made = ensemble.RandomForestClassifier(12, random_state=0)
    made.fit(part.x.reshape(len(part), -1), part.y)
    return part, made.predict_proba(part.x.reshape(len(part), -1))


def student():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )


def trained(folder, part):
    made = kd.Distiller(
        student=student(), terms=[kd.Labels(0.1), kd.Term(kd.losses.SoftTarget(2.0))]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(keras.optimizers.Adam(0.01), loss)
    history = made.fit(stores.read(folder, part, batch_size=50, shuffle=True), epochs=2, verbose=0)
    return history.history["loss"], made.student.get_weights()


@pytest.mark.parametrize("form", [".parquet", ".csv", ".jsonl", ".npz", "array"])
@pytest.mark.parametrize("with_data", [True, False], ids=["data", "ids"])
def test_a_forests_answers_train_the_student_that_the_forest_trains(
    tmp_path, forest, form, with_data
):
    part, odds = forest
    names = [f"digit {c}" for c in range(10)]
    shuffled = np.random.default_rng(1).permutation(len(part))
    ids = [str(i) for i in part.ids[shuffled]]
    path = tmp_path / f"forest{form}"
    if form == "array":
        given, ids, names = odds[shuffled], part.ids[shuffled], 10
    elif form == ".npz":
        np.savez(path, id=ids, output=odds[shuffled])
        given, ids, names = path, "id", None
    else:
        given, ids = wide(path, odds[shuffled], names, ids), "id"
    data = part if with_data else None
    stores.from_answers(
        given, ids, tmp_path / "store", kind="probabilities", data=data, classes=names
    )
    by_input = {x.tobytes(): row for x, row in zip(part.x, odds, strict=True)}
    function = kd.sources.FunctionTeacher(
        lambda x: np.stack([by_input[row.tobytes()] for row in x]),
        name="forest", kind="probabilities",
    )  # fmt: skip
    stores.write(function, part, tmp_path / "written")
    for ids in (part.ids, part.ids[::-3]):
        np.testing.assert_array_equal(
            outputs(tmp_path / "store", ids), outputs(tmp_path / "written", ids)
        )
    losses, weights = trained(tmp_path / "store", part)
    expected, others = trained(tmp_path / "written", part)
    assert losses == expected
    assert losses[1] < losses[0]
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


# What is stored.


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("logits", [[1.0, -2.0]], [[1.0, -2.0]]),
        ("probabilities", [[0.25, 0.75]], np.log([[0.25, 0.75]])),
        ("probabilities", [[0.0, 1.0]], np.log([[1e-7, 1.0]])),
        ("log_probabilities", np.log([[0.25, 0.75]]), np.log([[0.25, 0.75]])),
        ("log_probabilities", [[-np.inf, 0.0]], np.log([[1e-7, 1.0]])),
        ("binary_probabilities", [[0.25, 0.5]], [[-np.log(3.0), 0.0]]),
        ("values", [3.5], [[3.5]]),
        ("logits", [[[1.0, 2.0], [3.0, 4.0]]], [[[1.0, 2.0], [3.0, 4.0]]]),
        ("logits", np.array([[1, 2]]), [[1.0, 2.0]]),
    ],
)
def test_logits_are_made_of_each_kind(tmp_path, kind, given, expected):
    manifest = stores.from_answers(given, ["a"], tmp_path, kind=kind, dtype="float32")
    np.testing.assert_allclose(outputs(tmp_path, ["a"]), expected, rtol=1e-6)
    assert manifest.values == {"output": "values" if kind == "values" else "logits"}


def test_zeros_count_as_the_floor(tmp_path):
    stores.from_answers(ODDS, IDS, tmp_path, kind="probabilities", floor=1e-3, dtype="float32")
    expected = np.log([1e-3, 1.0, 1e-3])
    np.testing.assert_allclose(outputs(tmp_path)[1], expected, rtol=1e-6)


def npy(path):
    np.save(path / "o.npy", ODDS)
    return path / "o.npy", IDS


def npz(path):
    np.savez(path / "o.npz", name=IDS, anything=ODDS)
    return path / "o.npz", "name"


def lists(path):
    rows = [{"key": i, "output": row} for i, row in zip(IDS, ODDS.tolist(), strict=True)]
    return write_lines(path / "o.jsonl", rows), "key"


def parquet_lists(path):
    return write_parquet(path / "o.parquet", {"id": IDS, "output": ODDS.tolist()}), "id"


def parquet_halves(path):
    columns = {"id": IDS, **dict(zip(CLASSES, ODDS.T.astype("float16"), strict=True))}
    return write_parquet(path / "o.parquet", columns), "id"


def no_ids_in_it(path):
    return write_csv(path / "o.csv", CLASSES, ODDS.tolist()), IDS


def in_memory(path):
    return {"id": IDS, **dict(zip(CLASSES, ODDS.T.tolist(), strict=True))}, "id"


def dicts(path):
    return [dict(zip(CLASSES, row, strict=True)) for row in ODDS], IDS


FORMS = [npy, npz, lists, parquet_lists, parquet_halves, no_ids_in_it, in_memory, dicts]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_answers(tmp_path, form):
    given, ids = form(tmp_path)
    stores.from_answers(given, ids, tmp_path / "store", kind="probabilities")
    expected = np.log(np.maximum(ODDS, 1e-7))
    np.testing.assert_allclose(outputs(tmp_path / "store"), expected, rtol=1e-3)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_columns_come_into_the_order_of_the_classes(tmp_path, suffix):
    path = wide(tmp_path / f"o{suffix}")
    expected = np.log(np.maximum(ODDS, 1e-7))
    for name, classes, order in (
        ("given", CLASSES, [0, 1, 2]),
        ("other", ["dog", "cat", "fox"], [1, 0, 2]),
        ("files", None, [2, 1, 0]),
    ):
        stores.from_answers(path, "id", tmp_path / name, kind="probabilities", classes=classes)
        np.testing.assert_allclose(outputs(tmp_path / name), expected[:, order], rtol=1e-3)


def test_numbers_as_ids_are_those_of_the_data(tmp_path):
    columns = {"id": np.array([7, 8, 9]), **dict(zip(CLASSES, ODDS.T, strict=True))}
    path = write_parquet(tmp_path / "o.parquet", columns)
    part = kd.data.Part(np.eye(3, dtype="float32"), None, np.array([9, 7, 8]))
    stores.from_answers(path, "id", tmp_path / "store", kind="probabilities", data=part)
    np.testing.assert_allclose(outputs(tmp_path / "store", ["8"])[0, 1], 0.0)
    text = write_csv(tmp_path / "o.csv", ["id", *CLASSES], [["007", *ODDS[0]]])
    stores.from_answers(text, "id", tmp_path / "text", kind="probabilities")
    assert outputs(tmp_path / "text", ["007"]).shape == (1, 3)


def test_the_file_names_the_teacher(tmp_path):
    made = stores.from_answers(
        wide(tmp_path / "forest.csv"), "id", tmp_path / "a", kind="probabilities"
    )
    assert made.teacher["name"] == "forest"
    part = kd.data.Part(np.eye(3, dtype="float32"), None, np.array(IDS))
    stores.read(tmp_path / "a", part, teacher="forest")
    made = stores.from_answers(ODDS, IDS, tmp_path / "b", kind="probabilities", name="2026")
    assert made.teacher["name"] == "2026"


# With the examples, or with their ids alone.


def forms_of(part):
    def one_by_one():
        for i, x in zip(part.ids, part.x, strict=True):
            yield {"id": i, "x": x}

    return {"part": part, "batches": kd.data.Batches(part, batch_size=7), "function": one_by_one}


def random_answers(part):
    return np.random.default_rng(0).normal(size=(len(part), 10)).astype("float32")


def test_with_data_other_examples_under_the_ids_are_noticed(tmp_path, part):
    logits = random_answers(part)
    written = {}
    for name, data in forms_of(part).items():
        stores.from_answers(logits, part.ids, tmp_path / name, kind="logits", data=data)
        written[name] = files(tmp_path / name)
    assert written["batches"] == written["function"] == written["part"]
    other = kd.data.Part(part.x[::-1], part.y, part.ids)
    with pytest.raises(stores.StoreError, match="was written for other data"):
        stores.read(tmp_path / "part", other)
    stores.from_answers(logits, part.ids, tmp_path / "ids", kind="logits")
    batch, _ = stores.read(tmp_path / "ids", other, batch_size=50)[1]
    np.testing.assert_allclose(batch["signals"]["teacher:output"], logits[50:100], rtol=1e-3)
    by_id = dict(zip(part.ids.tolist(), logits, strict=True))

    def same(x):
        where = [
            int(np.flatnonzero((part.x == row).all(axis=(1, 2, 3)))[0]) for row in np.asarray(x)
        ]
        return np.stack([by_id[part.ids[place]] for place in where])

    assert stores.verify(tmp_path / "ids", part, same, sample=20).examples == 20
    with pytest.raises(stores.StoreError, match="is not what the teacher predicts"):
        stores.verify(tmp_path / "ids", other, same, sample=20)
    with pytest.raises(stores.StoreError, match=r"has no outputs for the example 'new'"):
        stores.read(tmp_path / "ids", kd.data.Part(part.x[:1], None, np.array(["new"])))


def test_older_versions_are_told_of_stores_they_cannot_read(tmp_path, part):
    stores.from_answers(ODDS, IDS, tmp_path / "ids", kind="probabilities")
    stores.from_answers(random_answers(part), part.ids, tmp_path / "data", kind="logits", data=part)
    formats = {
        name: json.loads((tmp_path / name / "manifest.json").read_text())["format"]
        for name in ("ids", "data")
    }
    assert formats == {"ids": 3, "data": 2}
    merged = stores.merge([tmp_path / "ids"], tmp_path / "merged")
    assert merged.content["format"] == 3
    assert files(tmp_path / "merged") == files(tmp_path / "ids")


def test_several_shards_and_going_on(tmp_path, part, monkeypatch):
    logits = random_answers(part)
    monkeypatch.setattr("keras_kd.stores._writer._SHARD_BYTES", 2000)
    monkeypatch.setattr("keras_kd.stores._from_answers._BATCH", 20)
    for name, data in (("data", part), ("ids", None)):
        whole, torn = tmp_path / f"{name} whole", tmp_path / f"{name} torn"
        for folder in (whole, torn):
            made = stores.from_answers(logits, part.ids, folder, kind="logits", data=data)
        assert len(made.shards) == 2
        for path in torn.glob("*"):  # as when it is ended in the middle
            if path.name in ("shard-00001", "examples.json") or path.name.startswith("index"):
                for file in [path] if path.is_file() else [*path.iterdir()]:
                    file.unlink()
                if path.exists():
                    path.rmdir()
        manifest = json.loads((torn / "manifest.json").read_text())
        begun = {key: manifest[key] for key in ("format", "settings", "probe")}
        from keras_kd.stores._manifest import replace, sealed

        replace(torn / "manifest.json", sealed({**begun, "complete": False}))
        with pytest.raises(stores.StoreError, match="is not finished"):
            stores.Store(torn)
        stores.from_answers(logits, part.ids, torn, kind="logits", data=data)
        assert files(torn) == files(whole)
        with pytest.raises(stores.StoreError, match=r"written otherwise: teacher\.fingerprint"):
            stores.from_answers(logits + 1, part.ids, whole, kind="logits", data=data)
        with pytest.raises(stores.StoreError, match=r"was (begun with the examples|written for)"):
            reverse = slice(None, None, -1)
            other = None if data is None else part.take(np.arange(len(part))[reverse])
            stores.from_answers(
                logits[reverse], part.ids[reverse], whole, kind="logits", data=other
            )


# The largest.


def closed_form(tops, s):
    """The divergence with the known classes and the rest in one bucket, of each row."""
    found = []
    for top, row in zip(tops, s, strict=True):
        q_all = np.exp(row) / np.exp(row).sum()
        which = [CLASSES.index(c) for c in top]
        p, q = np.exp(list(top.values())), q_all[which]
        value = (p * np.log(p / q)).sum()
        if len(top) < len(CLASSES):
            value += (1 - p.sum()) * np.log((1 - p.sum()) / (1 - q.sum()))
        found.append(value)
    return np.array(found)


def long_rows():
    rows = [(i, c, p) for i, top in zip(IDS, TOPS, strict=True) for c, p in top.items()]
    return rows[3:] + rows[:3]


def top_dicts(path):
    return TOPS, IDS


def top_lines(path):
    rows = [{"id": i, "top": top} for i, top in zip(IDS, TOPS, strict=True)]
    return write_lines(path / "t.jsonl", rows), "id"


def top_pairs(path):
    rows = [
        {"id": i, "top": list(map(list, top.items()))} for i, top in zip(IDS, TOPS, strict=True)
    ]
    return write_lines(path / "t.jsonl", rows), "id"


def two_lists(path):
    columns = {"id": IDS, "classes": [list(t) for t in TOPS],
               "log_probabilities": [list(t.values()) for t in TOPS]}  # fmt: skip
    return write_parquet(path / "t.parquet", columns), "id"


def long_csv(path):
    return write_csv(path / "t.csv", ["id", "class", "log_probability"], long_rows()), "id"


def long_parquet(path):
    columns = zip(*long_rows(), strict=True)
    names = ["id", "class", "log_probability"]
    return write_parquet(
        path / "t.parquet", dict(zip(names, map(list, columns), strict=True))
    ), "id"


def rectangles(path):
    numbers = [[CLASSES.index(c) for c in t] + [-1] * (2 - len(t)) for t in TOPS]
    values = [[*t.values(), 0.0][:2] for t in TOPS]
    return {"classes": np.array(numbers), "log_probabilities": np.array(values)}, IDS


TOP_FORMS = [top_dicts, top_lines, top_pairs, two_lists, long_csv, long_parquet, rectangles]


@pytest.mark.parametrize("form", TOP_FORMS)
def test_the_largest_are_the_target_of_the_sparse_loss(tmp_path, form):
    """Also of rows that list fewer."""
    given, ids = form(tmp_path)
    classes = 3 if form is rectangles else CLASSES
    stores.from_answers(
        given, ids, tmp_path / "store", kind="top_k", classes=classes, dtype="float32"
    )
    target = outputs(tmp_path / "store")
    assert target.values.shape == (3, 2)
    s = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
    loss = kd.losses.SparseSoftTarget(reduction=None)
    np.testing.assert_allclose(
        ops.convert_to_numpy(loss(target, s)), closed_form(TOPS, s), rtol=1e-5
    )
    slope = gradient(lambda z: ops.sum(loss(target, z)), s)
    for place in np.ndindex(s.shape):
        up, down = s.astype("float64"), s.astype("float64")
        up[place] += 1e-5
        down[place] -= 1e-5
        difference = (closed_form(TOPS, up) - closed_form(TOPS, down)).sum() / 2e-5
        np.testing.assert_allclose(slope[place], difference, rtol=1e-3, atol=1e-5)


def test_with_all_classes_listed_the_last_is_the_rest(tmp_path):
    tops = [dict(zip(CLASSES, np.log([0.5, 0.3, 0.2]).tolist(), strict=True)), TOPS[0]]
    stores.from_answers(tops, ["a", "b"], tmp_path, kind="top_k", classes=CLASSES, dtype="float32")
    target = outputs(tmp_path, ["a", "b"])
    assert target.classes.tolist() == [[0, 1], [0, 1]]
    s = np.array([[1.0, 0.5, -1.0], [0.2, 0.1, 0.7]], "float32")
    loss = kd.losses.SparseSoftTarget(reduction=None)(target, s)
    np.testing.assert_allclose(ops.convert_to_numpy(loss), closed_form(tops, s), rtol=1e-5)


def test_numbers_as_classes_of_a_large_vocabulary(tmp_path):
    rng = np.random.default_rng(0)
    classes = np.stack([rng.permutation(100_000)[:5] for _ in range(12)]).reshape(4, 3, 5)
    values = np.log(rng.dirichlet(np.ones(6), 12)[:, :5]).reshape(4, 3, 5)
    given = {"classes": classes, "log_probabilities": values}
    ids = np.arange(4)
    stores.from_answers(given, ids, tmp_path / "a", kind="top_k", classes=100_000, dtype="float32")
    target = outputs(tmp_path / "a", ids)
    order = np.argsort(-values, axis=-1)
    np.testing.assert_array_equal(target.classes, np.take_along_axis(classes, order, -1))
    np.testing.assert_allclose(target.values, np.take_along_axis(values, order, -1), rtol=1e-6)
    assert target.log_sum_exp.shape == (4, 3)
    rows = [  # as text and with positions, as from a server
        {
            "id": i,
            "top": [
                {str(c): v for c, v in zip(*both, strict=True)} for both in zip(cs, vs, strict=True)
            ],
        }
        for i, (cs, vs) in enumerate(zip(classes.tolist(), values.tolist(), strict=True))
    ]
    path = write_lines(tmp_path / "t.jsonl", rows)
    stores.from_answers(path, "id", tmp_path / "b", kind="top_k", classes=100_000, dtype="float32")
    for one, other in zip(outputs(tmp_path / "b", ids), target, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_probability_of_zero_in_the_list_is_known(tmp_path):
    tops = [{"cat": 0.0, "dog": -np.inf}]
    stores.from_answers(tops, ["a"], tmp_path, kind="top_k", classes=CLASSES)
    s = np.array([[1.0, 0.5, -1.0]], "float32")
    loss = float(kd.losses.SparseSoftTarget()(outputs(tmp_path, ["a"]), s))
    assert loss == pytest.approx(-np.log(np.exp(1.0) / np.exp(s).sum()), rel=1e-5)


# What is refused; nothing is half-written.


def test_what_does_not_sum_to_one(tmp_path):
    off = ODDS.copy()
    off[1:, 0] += 0.1
    match = (
        r"'o.csv' does not sum to 1: .* received 1.1 in the example 'b', line 3 \(and of 1 more\)"
    )
    refused(wide(tmp_path / "o.csv", off), "id", tmp_path, match)
    refused(off, IDS, tmp_path, "`answers` does not sum to 1: .* in the example 'b', row 1")
    match = "does not sum to 1: .* in the example 'a', row 0"
    refused(np.log(ODDS / 2 + 0.1), IDS, tmp_path, match, kind="log_probabilities")
    refused(-ODDS, IDS, tmp_path, "is no probability: expected from 0 to 1, received -0.7")
    refused(
        ODDS, IDS, tmp_path, "is no log-probability: expected at most 0", kind="log_probabilities"
    )
    many = np.repeat(ODDS, 4, axis=0)
    refused(many, range(12), tmp_path, "gives no logits: .* kind='probabilities'", kind="logits")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number(tmp_path, bad):
    off = ODDS.copy()
    off[2, 1] = bad
    match = r"holds NaN, infinite or missing values: the example 'c', row 2\."
    for kind in ("logits", "probabilities", "values"):
        refused(off, IDS, tmp_path, match, kind=kind)
    five = np.full((5, 2), bad)
    match = (
        "values: the example '0', row 0; the example '1', row 1; the example '2', row 2; and 2 more"
    )
    refused(five, np.arange(5), tmp_path, match)


def test_cells_and_fields_that_are_missing_or_no_numbers(tmp_path):
    rows = [["a", 0.5, 0.5], ["b", "", 1.0]]
    path = write_csv(tmp_path / "o.csv", ["id", "x", "y"], rows)
    refused(path, "id", tmp_path, "missing values: the example 'b', line 3")
    path = write_csv(tmp_path / "o.csv", ["id", "x", "y"], [*rows[:1], ["b", "cat", 1.0]])
    refused(path, "id", tmp_path, "has 'cat' under 'x' in line 3: a number is expected")
    path = write_csv(tmp_path / "o.csv", ["id", "x", "y"], [*rows[:1], ["b", 1.0]])
    refused(path, "id", tmp_path, "Line 3 of 'o.csv' has 2 cells, and its first line names 3")
    path = write_csv(tmp_path / "o.csv", ["id", "x", "x"], rows)
    refused(path, "id", tmp_path, "has two columns 'x'")
    columns = {"id": IDS, "x": [0.5, None, 0.5], "y": [0.5, 0.5, 0.5]}
    path = write_parquet(tmp_path / "o.parquet", columns)
    refused(path, "id", tmp_path, "missing values: the example 'b', row 1")
    path = write_lines(tmp_path / "o.jsonl", [{"id": 1, "output": [1.0]}, {"id": 2}])
    refused(path, "id", tmp_path, "Line 2 of 'o.jsonl' has no 'output', as the first line has")
    path = write_lines(tmp_path / "o.jsonl", [{"id": 1, "output": [0.5, None]}])
    refused(path, "id", tmp_path, "missing values: the example '1', line 1")
    rows = [{"id": 1, "output": [0.5, 0.5]}, {"id": 2, "output": [1.0]}]
    path = write_lines(tmp_path / "o.jsonl", rows)
    refused(path, "id", tmp_path, r"shape \(1,\) for the example '2', line 2, and of \(2,\)")
    path = write_lines(tmp_path / "o.jsonl", [{"id": 1, "output": ["cat"]}])
    refused(path, "id", tmp_path, "has no list of numbers as the output of the example '1'")
    path = write_lines(
        tmp_path / "o.jsonl", [{"id": 1, "output": {"x": 0.5}}, {"id": 2, "output": {}}]
    )
    refused(path, "id", tmp_path, "has other classes in line 2 than in line 1")
    (tmp_path / "o.jsonl").write_text('{"id": 1, "output": [1.0]}\n\n{"id": 2, \n')
    refused(tmp_path / "o.jsonl", "id", tmp_path, "Line 3 of 'o.jsonl' is no JSON object")


def test_files_that_cannot_be_read(tmp_path):
    refused(tmp_path / "o.csv", "id", tmp_path, "There is no file", FileNotFoundError)
    refused(tmp_path / "o.xlsx", "id", tmp_path, "one of the kinds '.csv', '.parquet'", ValueError)
    for name in ("o.parquet", "o.npz", "o.npy"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        refused(tmp_path / name, IDS, tmp_path, f"'{name}' cannot be read")
    np.save(tmp_path / "o.npy", np.array([{"a": 1}]))
    refused(tmp_path / "o.npy", IDS, tmp_path, "'o.npy' cannot be read: .*allow_pickle")
    (tmp_path / "o.csv").write_text("id,x\n")
    refused(tmp_path / "o.csv", "id", tmp_path, "'o.csv' has no rows of answers")
    refused(0.5, IDS, tmp_path, "must be an array", TypeError)
    refused({"id": IDS, "x": [1.0]}, "id", tmp_path, "different lengths: 'id' has 3, 'x' has 1")


def test_pyarrow_is_asked_for_where_it_is_used(tmp_path, monkeypatch):
    path = wide(tmp_path / "o.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    match = "'o.parquet' is read with pyarrow, which is not installed. Run: pip install pyarrow"
    refused(path, "id", tmp_path, match, ModuleNotFoundError)


def test_ids(tmp_path):
    refused(ODDS, IDS[:2], tmp_path, "has 3 rows for 2 ids")
    match = r"more than one answer for an id: the example 'a', row 2\. An id must"
    refused(ODDS, ["a", "b", "a"], tmp_path, match)
    refused(wide(tmp_path / "o.csv"), "ids", tmp_path, "has no column 'ids' .* Did you mean 'id'?")
    refused(ODDS, [0.5, 1.5, 2.5], tmp_path, "`ids` cannot be the ids: Ids are text")
    refused(ODDS, "id", tmp_path, "`answers` has no column 'id'")
    columns = {"id": [0.5, 1.5, 2.5], **dict(zip(CLASSES, ODDS.T, strict=True))}
    refused(columns, "id", tmp_path, "The column 'id' of `answers` cannot be the ids")


def test_ids_of_the_examples(tmp_path, part):
    logits = random_answers(part)
    for data in forms_of(part).values():
        match = "no answer for 2 of 200 examples of `data`: 'digits/01157', 'digits/01158'"
        refused(logits[2:], part.ids[2:], tmp_path, match, kind="logits", data=data)
    few = part.take(np.arange(193))
    for data in forms_of(few).values():
        match = (
            "answers for 7 ids that are not among `data`: 'digits/01350', .*, 'digits/01354', ...."
        )
        refused(logits, part.ids, tmp_path, match, kind="logits", data=data)


def test_classes(tmp_path):
    path = wide(tmp_path / "o.csv")
    match = "not those of `classes`: 'cow' are missing; 'fox' are not among them"
    refused(path, "id", tmp_path, match, classes=["cat", "dog", "cow"])
    match = "not those of `classes`: 'fox', 'dog' are not among them"
    refused(path, "id", tmp_path, match, classes=["cat"])
    refused(path, "id", tmp_path, "3 numbers for each output, and `classes` has 4", classes=4)
    refused(
        ODDS, IDS, tmp_path, "3 numbers for each output, and `classes` has 2", classes=["a", "b"]
    )
    match = "'cat' comes twice"
    refused(path, "id", tmp_path, match, ValueError, classes=["cat", "dog", "cat"])
    for classes in ("cat", 0, 1.5, True):
        refused(path, "id", tmp_path, "names or how many", ValueError, classes=classes)
    path = wide(tmp_path / "o.parquet", names=["0", "1", "2"])
    match = "are called '2', '1', '0', and would be read as the classes 0 to 2"
    refused(path, "id", tmp_path, match)
    stores.from_answers(path, "id", tmp_path / "ok", kind="probabilities", classes=[0, 1, 2])


def test_arguments(tmp_path):
    refused(ODDS, IDS, tmp_path, "`kind` must be one of 'logits'", ValueError, kind="softmax")
    refused(ODDS, IDS, tmp_path, "`floor` is the probability", ValueError, floor=0.0)
    refused(ODDS, IDS, tmp_path, "`dtype` must be one of", ValueError, dtype="int8")
    refused(
        ODDS * 1e5,
        IDS,
        tmp_path,
        "is beyond what float16 holds: the example 'a', row 0; the example 'b'",
        kind="logits",
    )
    refused(TOPS, IDS, tmp_path, "`classes` must be given", ValueError, kind="top_k")
    refused(TOPS, IDS, tmp_path, "two classes or more", ValueError, kind="top_k", classes=1)


def test_the_largest_that_make_no_sense(tmp_path):
    def wrong(tops, match, ids=IDS, classes=CLASSES):
        refused(tops, ids, tmp_path, match, kind="top_k", classes=classes)

    wrong([TOPS[0], {}, {}], r"lists no class: the example 'b', row 1; the example 'c', row 2\.")
    wrong([TOPS[0], {"cat": float("nan")}, TOPS[2]], "holds NaN or missing values: the example 'b'")
    wrong([TOPS[0], {"cat": None}, TOPS[2]], "holds NaN or missing values: the example 'b'")
    wrong([{"cat": 0.9}, *TOPS[1:]], "log-probabilities are at most 0: the example 'a'")
    wrong([{"cat": -0.1, "dog": -0.1}, *TOPS[1:]], "with a sum above 1: the example 'a', row 0")
    full = dict.fromkeys(CLASSES, -2.0)
    wrong([*TOPS[:2], full], "lists all classes with a sum below 1: the example 'c'")
    wrong(
        [{"cow": -0.1}, *TOPS[1:]],
        "the class 'cow', which is none of `classes`: the example 'a', row 0",
    )
    wrong(
        [{3: -0.1}, *TOPS[1:]],
        "the class '3' .*, which is none of numbers from 0 to 2: the example 'a'",
        classes=3,
    )
    numbers = {"classes": np.array([[0], [5], [1]]), "log_probabilities": np.zeros((3, 1))}
    wrong(
        numbers, "the class '5', which is none of numbers from 0 to 2: the example 'b'", classes=3
    )
    wrong(
        {**numbers, "log_probabilities": np.zeros((3, 2))},
        r"of one shape, .* \(3, 1\) and \(3, 2\)",
    )
    wrong(ODDS, "kind='top_k' takes classes with their log-probabilities")
    wrong(
        {"top": [[["cat", -1.0], ["cat", -2.0]]]}, "lists a class twice: the example 'a'", ids=["a"]
    )
    wrong({"top": ["cat"]}, "has no classes with log-probabilities in row 0", ids=["a"])
    wrong(
        {"top": [[TOPS[0]], [TOPS[0], TOPS[1]]]},
        "has 2 positions in row 1, and 1 in row 0",
        ids=["a", "b"],
    )
    lists = {"classes": [["cat"]], "log_probabilities": [[-1.0, -2.0]]}
    wrong(lists, "has 1 classes and 2 log-probabilities in row 0", ids=["a"])
    rows = [["a", "cat", -0.1], ["b", "dog", "x"]]
    path = write_csv(tmp_path / "t.csv", ["id", "class", "log_probability"], rows)
    wrong(path, "has 'x' under 'log_probability' in line 3: a number is expected", ids="id")
    columns = {"id": ["a"], "class": ["cat"], "log_probability": ["x"]}
    wrong(columns, "a log-probability that is no number: .*'x'", ids="id")
    rows = [["a", "cat", -0.1], ["b", "dog", -0.1], ["b", "dog", -3.0]]
    path = write_csv(tmp_path / "t.csv", ["id", "class", "log_probability"], rows)
    wrong(path, "lists a class twice: the example 'b', line 3", ids="id")
