"""The parts of a search, each alone: tasks, data, the teacher, students, files."""

import pathlib

import keras
import numpy as np
import pytest

from keras_kd import sources
from keras_kd.auto import Limits
from keras_kd.auto._candidates import candidates_of
from keras_kd.auto._data import data_of, part_of
from keras_kd.auto._files import Files, Fitting, chosen
from keras_kd.auto._task import task_of
from keras_kd.auto._teacher import check_outputs, measured, teacher_of
from keras_kd.data import Part, load

RNG = np.random.default_rng(0)


def blobs(count=300, classes=3, seed=0):
    """Points about three centers."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count).astype("int32")
    centers = np.array([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]], "float32")
    return (centers[y] + rng.normal(size=(count, 4))).astype("float32"), y


def perfect(x):
    """Logits that know the centers."""
    return 4 * np.asarray(x)[:, :3]


# Tasks.


@pytest.mark.parametrize(
    "y, outputs, name",
    [
        (np.array([0, 1, 2, 1]), 3, "classification"),
        (np.array([[0.0], [1.0], [2.0], [1.0]]), 3, "classification"),
        (np.eye(3)[[0, 1, 2, 1]], 3, "classification"),
        (np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0]]), 3, "multi_label"),
        (np.array([0, 1, 1, 0]), 1, "multi_label"),
        (np.array([0.3, 1.2, 5.0, 2.0]), 1, "regression"),
        (np.array([[0.3, 1.2], [5.0, 2.0]]), 2, "regression"),
    ],
)
def test_the_task_follows_from_labels_and_outputs(y, outputs, name):
    task, labels = task_of(y, np.zeros((len(y), outputs)))
    assert task.name == name and len(labels) == len(y)
    assert labels.shape == ((len(y),) if name == "classification" else (len(y), outputs))


@pytest.mark.parametrize(
    "y, outputs, told",
    [
        (np.array([0, 7]), np.zeros((2, 3)), "labels must be from 0 to 2.*from 0 to 7"),
        (np.zeros((2, 5)), np.zeros((2, 5, 10)), "classification, multi-label.*and regression"),
        (np.zeros((2, 5)), np.zeros((2, 3)), "do not go with the teacher's outputs"),
    ],
)
def test_other_tasks(y, outputs, told):
    with pytest.raises(ValueError, match=told):
        task_of(y, outputs)


def test_scores_are_those_of_the_definitions():
    classes, y = task_of(np.array([0, 1, 2]), np.zeros((3, 3)))
    judged = classes.judge(np.log([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8]]), y)
    assert judged.score == pytest.approx(2 / 3) and list(judged.wrong) == [0, 1, 0]
    assert judged.loss == pytest.approx(-np.log([0.7, 0.3, 0.8]).mean())
    labels, y = task_of(np.array([[1, 1], [0, 1]]), np.zeros((2, 2)))
    judged = labels.judge(np.array([[3.0, 1.0], [1.0, 2.0]]), y)
    assert list(judged.wrong) == [0, 1]
    assert judged.loss == pytest.approx(
        np.mean(
            [np.log1p(np.exp(-3)), np.log1p(np.exp(-1)), np.log1p(np.exp(1)), np.log1p(np.exp(-2))]
        )
    )
    numbers, y = task_of(np.array([0.5, 1.0, 3.0]), np.zeros((3, 1)))
    judged = numbers.judge(np.array([[0.5], [1.5], [3.0]]), y)
    assert judged.score == pytest.approx(1 - (0.25 / 3) / np.var([0.5, 1.0, 3.0]))
    assert list(judged.wrong) == [0, 0.5, 0]


def test_of_equal_scores_the_smaller_loss_is_the_better():
    task, y = task_of(np.array([0, 1]), np.zeros((2, 2)))
    sure, unsure = (task.judge(s * np.array([[1.0, 0.0], [0.0, 1.0]]), y) for s in (3, 1))
    assert sure.score == unsure.score and sure.objective > unsure.objective
    wrong = task.judge(np.array([[30.0, 0.0], [30.0, 0.0]]), y)
    assert unsure.objective > wrong.objective


# Data.


def test_validation_data_are_held_out_and_it_is_said():
    x, y = blobs(200)
    data = data_of((x, y), None, None)
    assert (len(data.train), len(data.validation), data.test) == (170, 30, None)
    assert not set(data.train.ids) & set(data.validation.ids)
    assert "30 of 200 training examples were held out" in data.notes[0]
    assert "No test data" in data.notes[1]
    again = data_of((x, y), None, None)
    assert list(again.validation.ids) == list(data.validation.ids)
    whole = load("digits", validation=0.2)
    data = data_of(whole, None, None)
    assert len(data.validation) == 231 and len(data.test) == 640 and data.notes == ()


@pytest.mark.parametrize(
    "train, error, told",
    [
        ((np.zeros((30, 2)), np.zeros(30)), ValueError, "too few to hold some out"),
        (np.zeros((30, 2)), TypeError, "a pair of arrays"),
        (Part(np.zeros((300, 2)), None, np.arange(300)), ValueError, "no labels"),
        (({"a": np.zeros((9, 2))}, np.zeros(9)), ValueError, "one input"),
    ],
)
def test_data_that_will_not_do(train, error, told):
    with pytest.raises(error, match=told):
        data_of(train, None, None)


# The teacher.


def told_of(function, count=300):
    x, y = blobs(count)
    data = data_of((x, y), blobs(200, seed=1), None)
    teacher = teacher_of(sources.FunctionTeacher(function, name="t"))
    task, _ = task_of(y, teacher.predict(x[:2]))
    return measured(teacher, task, data, teacher.predict(data.validation.x))


def test_a_teacher_is_measured():
    about, warnings = told_of(perfect)
    assert warnings == [] and about["score"] > 0.8
    assert about["confidence"] > 0.8 and 0 <= about["ece"] <= 1
    assert abs(about["linear_score"] - about["score"]) < 0.06  # the centers are linear


def test_a_teacher_below_a_linear_model_is_warned_about():
    about, warnings = told_of(lambda x: perfect(x)[:, [1, 2, 0]])
    assert "not worth learning from" in warnings[0]
    assert f"{about['linear_score']:.3f}" in warnings[0]


def test_a_teacher_that_knows_its_data_by_heart_is_warned_about():
    x, y = blobs(60)
    noisy = np.where(np.arange(60) % 3 == 0, (y + 1) % 3, y)
    data = data_of((x, noisy), (blobs(300, seed=1)), None)

    def nearest(rows):
        closest = ((np.asarray(rows)[:, None] - x[None]) ** 2).sum(-1).argmin(axis=1)
        return 9.0 * np.eye(3)[noisy[closest]]

    teacher = teacher_of(nearest)
    task, _ = task_of(noisy, teacher.predict(x[:2]))
    about, warnings = measured(teacher, task, data, teacher.predict(data.validation.x))
    assert about["train_score"] == 1.0
    assert any("by heart" in w or "not worth" in w for w in warnings)


def test_a_teacher_of_nan_is_an_error():
    outputs = np.ones((10, 3))
    outputs[4, 1] = np.nan
    with pytest.raises(ValueError, match=r"NaN or infinity for 1 of 10 .*position 4"):
        check_outputs(outputs, "t")


def test_what_is_no_teacher():
    with pytest.raises(TypeError, match=r"a teacher of keras_kd.sources or a function.*an array"):
        teacher_of(np.zeros(3))
    linear = pytest.importorskip("sklearn.linear_model")
    with pytest.raises(TypeError, match="SklearnTeacher"):
        teacher_of(linear.LogisticRegression())


def test_a_softmax_is_taken_off():
    x = RNG.normal(size=(5, 4)).astype("float32")
    for ending, inverse in (("softmax", np.log), ("sigmoid", lambda p: np.log(p / (1 - p)))):
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, ending)])
        logits = teacher_of(model).predict(x)
        expected = inverse(model.predict(x, verbose=0))
        if ending == "softmax":
            logits = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)


# Students.


def image_teacher():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


@pytest.fixture(scope="module")
def digits():
    return data_of(load("digits", validation=0.2), None, None)


def test_students_come_from_the_teacher_and_the_ladder(digits):
    teacher = teacher_of(image_teacher())
    task, _ = task_of(digits.train.y, np.zeros((2, 10)))
    few, left_out = candidates_of(None, teacher, task, digits.train.x, lambda n: n > 20_000)
    assert "small" not in {c.name for c in few}
    assert left_out["small"] == left_out["large"] == "a smaller one of its make is over the limits"
    found, _ = candidates_of(None, teacher, task, digits.train.x)
    names = {c.name: c for c in found}
    assert {"cut 0.5", "tiny", "small", "medium", "large", "cnn-small", "mlp-16"} <= set(names)
    between = [names[n].parameters for n in names if n.startswith("cnn ")]
    assert len(between) == 7
    assert (
        names["cnn-small"].parameters < min(between) < max(between) < names["cnn-medium"].parameters
    )
    sizes = [c.parameters for c in found]
    assert sizes == sorted(sizes, reverse=True)
    assert names["mlp-16"].parameters == 1210
    assert names["mlp-16"].flops(digits.train.x) == 2 * (64 * 16 + 160)
    assert names["tiny"].folded < names["tiny"].parameters
    cut = names["cut 0.5"].build()
    kept = {
        np.round(f, 4).tobytes()
        for f in np.moveaxis(teacher.model.layers[-3].get_weights()[0], -1, 0)
    }
    assert {
        np.round(f, 4).tobytes() for f in np.moveaxis(cut.layers[1].get_weights()[0], -1, 0)
    } <= kept


def test_students_that_are_given(digits):
    teacher = teacher_of(image_teacher())
    task, _ = task_of(digits.train.y, np.zeros((2, 10)))
    mine = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)], name="mine"
    )

    def dense(width):
        return keras.Sequential(
            [keras.Input((8, 8, 1)), keras.layers.Flatten(),
             keras.layers.Dense(int(16 * width), "relu"), keras.layers.Dense(10)]
        )  # fmt: skip

    found, _ = candidates_of([mine, "mlp-16", dense], teacher, task, digits.train.x)
    assert {c.name for c in found} == {"mine", "mlp-16", "dense 1", "dense 0.5", "dense 0.25"}
    built = next(c for c in found if c.name == "mine").build()
    assert built is not mine
    np.testing.assert_array_equal(built.get_weights()[0], mine.get_weights()[0])


@pytest.mark.parametrize(
    "students, error, told",
    [
        ([], ValueError, "`students` is empty"),
        ("tiny", TypeError, r"students=\[\.\.\.\]"),
        (["tinny"], ValueError, "Did you mean 'tiny'"),
        ([3], TypeError, r"`students\[0\]` must be a name"),
        ([lambda width: 3], TypeError, "no keras.Model"),
        (
            [lambda w: keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)])],
            ValueError,
            "one row of 10 numbers",
        ),
        (
            [lambda w: keras.Sequential([keras.Input((4,)), keras.layers.Dense(10)])],
            ValueError,
            r"takes inputs of shape \(4,\); the examples are \(8, 8, 1\)",
        ),
    ],
)  # fmt: skip
def test_students_that_will_not_do(digits, students, error, told):
    task, _ = task_of(digits.train.y, np.zeros((2, 10)))
    with pytest.raises(error, match=told):
        candidates_of(students, teacher_of(image_teacher()), task, digits.train.x)


# Files.


def candidates(digits, *names):
    task, _ = task_of(digits.train.y, np.zeros((2, 10)))
    return candidates_of(list(names), teacher_of(image_teacher()), task, digits.train.x)[0]


def fit(digits, names, device=None, formats=None, **limits):
    files = Files(Limits(**limits), digits, device, formats)
    written = []
    measured = files.measured
    files.measured = lambda c, f: (written.append((c.name, f)), measured(c, f))[1]
    found, dropped = chosen(files, candidates(digits, *names), False, lambda text: None)
    return found, dropped, written


def test_what_is_certain_is_not_measured(digits):
    found, dropped, written = fit(digits, ["medium", "mlp-16"], size="30 kB")
    assert [f.name for f in found] == ["mlp-16, float32"] and written == []
    assert "size" in dropped["medium"]
    found, dropped, written = fit(digits, ["mlp-64", "mlp-16"], parameters=2000)
    assert [f.name for f in found] == ["mlp-16, float32"]
    assert dropped == {"mlp-64": "parameters 4.81k"} and written == []
    _, dropped, _ = fit(digits, ["mlp-64", "mlp-16"], flops=5000)
    assert dropped == {"mlp-64": "flops 9.472k"}


def test_what_is_not_certain_is_written_and_measured(digits):
    pytest.importorskip("ai_edge_litert")
    found, _, written = fit(digits, ["mlp-16"], size="7 kB", formats=("float32", "float16"))
    assert written == [("mlp-16", "float32"), ("mlp-16", "float16")]
    assert [f.name for f in found] == ["mlp-16, float16"]
    assert found[0].measured and found[0].costs["size"] <= 7000 and found[0].costs["latency"] > 0


def test_a_latency_may_be_another_devices(digits):
    pytest.importorskip("ai_edge_litert")
    asked = []

    def device(path):
        asked.append(pathlib.Path(path).stat().st_size)
        return asked[-1] / 1000

    found, dropped, _ = fit(digits, ["mlp-64", "mlp-16"], device, ("float32",), latency="10 ms")
    assert [f.name for f in found] == ["mlp-16, float32"] and len(asked) == 2
    assert found[0].costs["latency"] == asked[1] / 1000
    assert dropped["mlp-64"] == f"float32: latency {asked[0] / 1000:.4g} ms"


def test_limits_that_nothing_keeps_name_the_nearest(digits):
    pytest.importorskip("ai_edge_litert")
    with pytest.raises(ValueError, match=r"No student keeps the limits \(size at most 1 kB\). The "
                       r"nearest is 'mlp-16' in int8: parameters 1.21k, .*size \d"):  # fmt: skip
        fit(digits, ["mlp-64", "mlp-16"], size="1 kB", formats=("float32", "int8"))


def test_formats_that_are_none(digits):
    with pytest.raises(ValueError, match=r"`formats` must be some of 'float32'.*'int9'"):
        Files(Limits(size=1), digits, None, ("int9",))
    with pytest.raises(ValueError, match="with a limit of `arena`"):
        Files(Limits(arena=1), digits, None, ("float16",))
    assert Files(Limits(arena=1), digits, None, None).formats == ("float32", "int8")


def test_only_some_are_searched_among(digits):
    found, dropped, _ = fit(digits, ["mlp-64", "mlp-16"], size="1 MB")
    assert len(found) == 2 and all(isinstance(f, Fitting) for f in found)
    task, _ = task_of(digits.train.y, np.zeros((2, 10)))
    every, _ = candidates_of(None, teacher_of(image_teacher()), task, digits.train.x)
    found, dropped = chosen(
        Files(Limits(size="100 MB"), digits, None, None), every, False, lambda text: None
    )
    assert len(found) == 4 and set(dropped.values()) == {"not tried: larger ones keep the limits"}


def test_a_part_of_arrays_has_ids():
    part = part_of((np.zeros((3, 2)), [0, 1, 1]), "train")
    assert list(part.ids) == ["train/0", "train/1", "train/2"]


def test_one_student_of_four_bits_is_enough(digits, monkeypatch):
    files = Files(Limits(size="30 kB"), digits, None, ("int8", "int4"))
    sizes = {"int8": 1.2, "int4": 0.7}
    monkeypatch.setattr(
        files, "measured", lambda c, f: {"size": c.folded * sizes[f], "latency": 0.1, "arena": None}
    )
    mine = [
        keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(units, "relu"),
                keras.layers.Dense(10),
            ],
            name=f"d{units}",
        )
        for units in (500, 450, 400, 300)
    ]
    task, _ = task_of(digits.train.y, np.zeros((2, 10)))
    offered, _ = candidates_of(mine, teacher_of(image_teacher()), task, digits.train.x)
    found, dropped = chosen(files, offered, True, lambda text: None)
    assert [f.name for f in found] == ["d500, int4", "d300, int8"]
    assert set(dropped) == {"d450", "d400"} and all(
        "int8: at least size" in w for w in dropped.values()
    )


def test_when_it_is_late_only_what_is_certain_is_taken(digits, monkeypatch):
    """Of students on the ladder: what is given is always measured."""
    files = Files(Limits(size="26 kB"), digits, None, ("float32", "int8"))
    monkeypatch.setattr(files, "measured", lambda c, f: {"size": 25e3, "latency": 1, "arena": None})
    task, _ = task_of(digits.train.y, np.zeros((2, 10)))
    every, _ = candidates_of(None, teacher_of(perfect), task, digits.train.x, files.over)
    found, dropped = chosen(files, every, False, lambda text: None, until=0.0)
    assert [f.measured for f in found] == [True, False]  # one is needed, and the other is certain
    assert "not tried: no time to measure it" in dropped.values()


# Hints.


def test_a_hint_pairs_what_enters_the_last_layers(tmp_path):
    """Stored beside the outputs; the student's features follow the teacher's for it."""
    from keras_kd.auto._answers import ask
    from keras_kd.auto._space import Space, code_of, terms_of, without_hint
    from keras_kd.auto._training import Trainer

    keras.utils.set_random_seed(0)
    teacher = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(
                6, "tanh", kernel_initializer=keras.initializers.RandomNormal(stddev=1)
            ),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
        ],
        name="teacher",
    )
    data = data_of(blobs(200), blobs(60, seed=1), None)
    task, _ = task_of(data.train.y, np.zeros((200, 3)))
    answers, _ = ask(teacher_of(teacher), task, data, tmp_path, 60.0, 0)
    assert answers.hint == ("layers/0", 6) and set(answers.folders) == {(1, False), (1, True)}
    (candidate,), _ = candidates_of(["table-tiny"], teacher_of(teacher), task, data.train.x)
    space = Space(task, [Fitting(candidate, "float32")], answers)
    (student,) = space.students
    drawn = {"student": student, "recipe": "hinton", "rate": 1.0, "views": 1, "hint": 100.0,
             "hinton_temperature": 2.0, "hinton_alpha": 0.5}  # fmt: skip
    values = space.values(drawn)
    assert [term.name for term in terms_of(values)] == ["labels", "soft_target", "hint"]
    assert "hint" not in space.values({**drawn, "hint": 0.0})
    trainer = Trainer(task, answers, 0)
    far = {}
    for name, these in (("hinted", values), ("plain", without_hint(values))):
        model = trainer.build(candidate)
        trainer.train(model, these, 30)
        features = keras.Model(model.input, model.layers[int(candidate.before_head[0][7:])].output)
        ours, theirs = features.predict(data.train.x), teacher.layers[0](data.train.x)
        _, left, *_ = np.linalg.lstsq(
            np.c_[ours, np.ones(len(ours))],
            np.asarray(keras.ops.convert_to_numpy(theirs)),
            rcond=None,
        )
        far[name] = left.sum()
    assert far["hinted"] < 0.9 * far["plain"]
    names = {"kd": __import__("keras_kd"), "keras": keras}
    assert eval(code_of(values), names)[-1].weight == 100.0
    assert 'answers_hint"' in trainer.code(candidate, values, 2)[-5]


def test_no_hint_where_there_is_no_row_of_features():
    from keras_kd._core.heads import before_head

    layers = keras.layers
    for model in (
        keras.Sequential([keras.Input((4,)), layers.Dense(3)]),
        keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(3, 8)]),
        keras.Sequential([keras.Input((4, 5)), layers.Dense(6), layers.Dense(3)]),
    ):
        assert before_head(model) is None
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(6), layers.Dense(3)])
    assert before_head(keras.Sequential([keras.Input((4,)), inner])) is None
    assert before_head(inner) == ("layers/0", 6)


# The end of a search.


@pytest.mark.parametrize(
    "more, alone_wins", [(0, False), (2, False), (12, True)], ids=["equal", "by chance", "clearly"]
)
def test_the_control_wins_by_more_than_a_standard_error(tmp_path, monkeypatch, more, alone_wins):
    """Of 100 examples the distilled one misses 10, the control 10 others but for `more`."""
    from types import SimpleNamespace

    from keras_kd.auto import _finish

    task, y = task_of(np.zeros(100, int), np.zeros((100, 2)))
    missed = {"distilled": range(10), "alone": range(10 + more, 20)}

    def outputs(path, x):
        right = ~np.isin(np.arange(100), list(missed[path.stem]))
        return np.where(right, 1.0, -1.0)[:, None] * [1.0, -1.0]

    monkeypatch.setattr(_finish, "outputs_of", outputs)
    held = SimpleNamespace(x=np.zeros((100, 1)), y=y)
    answers = SimpleNamespace(data=SimpleNamespace(validation=held))
    trials = SimpleNamespace(trainer=SimpleNamespace(task=task, answers=answers), folder=tmp_path)
    files = SimpleNamespace(limits=Limits(size=100))
    finish = _finish.Finish(trials, files, None, None, print)
    found = {}
    for name, values in (("distilled", {"recipe": "hinton"}), ("alone", {"recipe": "labels"})):
        for end in ("keras", "tflite"):
            (tmp_path / f"{name}.{end}").write_text(name)
        (tmp_path / f"{name}.tflite.json").write_text(f'{{"path": "{name}.tflite"}}')
        (tmp_path / f"{name}.json").write_text("{}")  # what a search keeps for itself
        found[name] = _finish.Finished(
            None, values, 3, None, tmp_path / f"{name}.tflite", True, {"size": 9.0},
            1 - len(missed[name]) / 100, 0.0,
        )  # fmt: skip
    best = finish.best(found["distilled"], found["alone"])
    assert best.values["recipe"] == ("labels" if alone_wins else "hinton")
    name = "alone" if alone_wins else "distilled"
    assert best.path.name == "student.tflite" and best.path.read_text() == name
    assert (tmp_path / "student.keras").read_text() == name
    assert (tmp_path / "student.tflite.json").read_text() == '{"path": "student.tflite"}'
    assert not (tmp_path / "student.json").exists()
    assert bool(finish.notes) == (more == 2)


def test_the_size_is_that_of_a_trained_file(tmp_path):
    """A file stores equal weights once, so one of biases of zeros is smaller than it will be."""
    pytest.importorskip("ai_edge_litert")
    from keras_kd.auto._candidates import Candidate

    def build():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 8, 1))
        h = inputs
        for _ in range(6):
            h = keras.layers.Conv2D(24, 3, padding="same", use_bias=False)(h)
            h = keras.layers.ReLU()(keras.layers.BatchNormalization()(h))
        h = keras.layers.GlobalAveragePooling2D()(h)
        return keras.Model(inputs, keras.layers.Dense(4)(h))

    rng = np.random.default_rng(0)
    x = rng.random((80, 8, 8, 1)).astype("float32")
    y = rng.integers(0, 4, 80)
    files = Files(
        Limits(size="1 MB"), data_of((x[:60], y[:60]), (x[60:], y[60:]), None), None, None
    )
    told = files.measured(Candidate("c", "given", build, "", 0, 0, 0), "float32")["size"]
    student = build()
    student.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    student.fit(x, y, epochs=1, verbose=0)
    trained = files.write(student, tmp_path / "s.tflite", "float32", proven=False)["size"]
    fresh = files.write(build(), tmp_path / "f.tflite", "float32", proven=False)["size"]
    assert fresh < trained - 200  # else this shows nothing
    assert abs(told - trained) < 0.3 * (trained - fresh)


def test_a_latency_above_the_limit_is_measured_again(tmp_path, monkeypatch):
    """Another program may have been in the way, of students that come into question too."""
    from types import SimpleNamespace

    from keras_kd.auto import _files
    from keras_kd.auto._candidates import Candidate

    took = iter([9.0, 8.5, 5.2, 3.0])
    asked = []
    monkeypatch.setattr(
        Files, "write", lambda *args, **kwargs: {"size": 1.0, "latency": next(took), "arena": None}
    )

    def verify(path, student, examples, target):
        asked.append(len(examples))
        return SimpleNamespace(milliseconds=next(took))

    monkeypatch.setattr(_files, "verify", verify)
    data = data_of(blobs(60), blobs(40, seed=1), None)
    files = Files(Limits(latency=6.0), data, None, None)

    def build():
        return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])

    candidate = Candidate("c", "given", build, "", 0, 0, 0)
    assert files.measured(candidate, "float32")["latency"] == 5.2 and len(asked) == 2
    took = iter([90.0])  # fifteen times the limit is no other program
    assert files.measured(candidate, "float32")["latency"] == 90.0 and len(asked) == 2
    files = Files(Limits(latency=6.0), data, lambda path: 7.0, None)  # of another device
    took = iter([7.0])
    assert files.measured(candidate, "float32")["latency"] == 7.0 and len(asked) == 2


@pytest.mark.parametrize("name, rest", [("distilled", 12.0 + 2 * 3.0), ("alone", 0.0)])
def test_rounding_leaves_the_control_its_time(tmp_path, monkeypatch, name, rest):
    """Of a file that loses by rounding: what is left for training with it in mind."""
    from types import SimpleNamespace

    from keras_kd.auto import _finish

    asked = []

    def aware(self, values, student, format, epochs, score, path, left):
        asked.append(left)

    monkeypatch.setattr(_finish.Finish, "_aware", aware)
    monkeypatch.setattr(_finish.Finish, "score", lambda self, path: 0.5)
    monkeypatch.setattr(_finish, "write_student", lambda path, student: None)
    fitting = SimpleNamespace(name="s, int8", format="int8", costs={})
    trials = SimpleNamespace(
        folder=tmp_path, space=SimpleNamespace(students={"s": fitting}),
        seconds=lambda student, epochs: 2.0 * epochs,
    )  # fmt: skip
    files = SimpleNamespace(
        seconds=3.0, write=lambda *args: {"size": 1.0}, measured_again=lambda *args: args[2]
    )
    finish = _finish.Finish(trials, files, None, None, lambda text: None)
    judged = SimpleNamespace(score=0.9)
    finish._written(name, None, {"student": "s"}, 6, None, judged)
    assert asked == [rest]
