"""Answers of teachers that did not see the example."""

import keras
import numpy as np
import pytest

from keras_kd import sources, stores
from keras_kd.data import Part
from keras_kd.stores._cross_fit import folds_of
from tests.stores.conftest import files

COUNT = 40


@pytest.fixture
def rows():
    """An axis of its own for each example: what is known of one says nothing of another."""
    y = np.arange(COUNT) % 4
    return Part(np.eye(COUNT, dtype="float32"), y, np.arange(COUNT) + 1000)


def build():
    return keras.Sequential([keras.Input((COUNT,)), keras.layers.Dense(4, use_bias=False)])


def by_heart(teacher, part):
    teacher.set_weights([part.x.T @ np.eye(4, dtype="float32")[part.y]])


def answers(folder, part):
    return stores.Store(folder)(part.ids, np.zeros(len(part), int))["teacher:output"]


def test_no_example_is_answered_by_a_teacher_that_saw_it(rows, tmp_path):
    manifest = stores.cross_fit(build, by_heart, rows, tmp_path / "a", folds=5)
    assert manifest.examples == COUNT
    assert (answers(tmp_path / "a", rows) == 0).all()
    knowing = build()
    by_heart(knowing, rows)
    assert (np.abs(knowing.predict(rows.x, verbose=0)).max(axis=1) == 1).all()


def test_each_answer_stands_at_its_example(rows, tmp_path):
    def mean(teacher, part):
        teacher.set_weights([np.tile(np.arange(COUNT, dtype="float32")[:, None], (1, 4))])

    stores.cross_fit(build, mean, rows, tmp_path / "a", folds=3, dtype="float32")
    assert (answers(tmp_path / "a", rows)[:, 0] == np.arange(COUNT)).all()
    batch, _ = stores.read(tmp_path / "a", rows, batch_size=8, shuffle=True)[0]
    signal = batch["signals"]["teacher:output"]
    assert (np.asarray(signal)[:, 0] == np.asarray(batch["inputs"]).argmax(axis=1)).all()


def train_a_little(teacher, part):
    teacher.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return teacher.fit(part.x, part.y, epochs=1, batch_size=16, verbose=0)


def test_it_goes_on_where_it_was_stopped_and_gives_the_same_bytes(rows, tmp_path):
    stores.cross_fit(build, train_a_little, rows, tmp_path / "whole", folds=3)
    seen = []

    def stopped(teacher, part):
        seen.append(sorted(part.ids.tolist()))
        if len(seen) == 2:
            raise KeyboardInterrupt
        return train_a_little(teacher, part)

    with pytest.raises(KeyboardInterrupt):
        stores.cross_fit(build, stopped, rows, tmp_path / "a", folds=3)
    stores.cross_fit(build, stopped, rows, tmp_path / "a", folds=3)
    assert len(seen) == 4 and seen[1] == seen[2]  # the first fold was not trained again
    assert files(tmp_path / "a") == files(tmp_path / "whole")
    stores.cross_fit(build, stopped, rows, tmp_path / "a", folds=3)
    assert len(seen) == 4


def test_a_store_that_was_stopped_while_it_was_written_is_finished(rows, tmp_path, monkeypatch):
    from keras_kd.stores import _cross_fit

    stores.cross_fit(build, by_heart, rows, tmp_path / "whole", folds=3)

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("keras_kd.stores._writer.finish", killed)
        with pytest.raises(KeyboardInterrupt):
            stores.cross_fit(build, by_heart, rows, tmp_path / "a", folds=3)
    assert (tmp_path / "a" / "manifest.json").exists()
    monkeypatch.setattr(_cross_fit, "_answers", killed)  # no teacher answers again
    stores.cross_fit(build, by_heart, rows, tmp_path / "a", folds=3)
    assert files(tmp_path / "a") == files(tmp_path / "whole")


def test_estimators_by_way_of_sources(tmp_path):
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    part = Part(rng.normal(size=(60, 3)), rng.integers(0, 2, 60), np.arange(60))

    def train(forest, part):
        return sources.SklearnTeacher(forest.fit(part.x, part.y), classes=[0, 1])

    stores.cross_fit(
        lambda: ensemble.ExtraTreesClassifier(5, random_state=0), train, part, tmp_path / "a"
    )
    whole = sources.SklearnTeacher(
        ensemble.ExtraTreesClassifier(5, random_state=0).fit(part.x, part.y)
    )
    assert (whole(part.x).argmax(axis=1) == part.y).all()
    right = answers(tmp_path / "a", part).argmax(axis=1) == part.y
    assert 0.25 < right.mean() < 0.75  # the labels are noise, of which an unseen one says nothing


def test_regression_keeps_values(tmp_path):
    linear = pytest.importorskip("sklearn.linear_model")
    x = np.arange(20.0)[:, None]
    part = Part(x, 3.0 * x[:, 0], np.arange(20))
    stores.cross_fit(
        linear.LinearRegression,
        lambda one, part: sources.SklearnTeacher(one.fit(part.x, part.y)),
        part, tmp_path / "a", dtype="float32",
    )  # fmt: skip
    found = answers(tmp_path / "a", part)
    np.testing.assert_allclose(found.reshape(-1), part.y, atol=1e-3)


@pytest.mark.parametrize("form", [np.asarray, lambda y: np.eye(3)[y], lambda y: y[:, None]])
def test_folds_hold_all_classes_and_are_of_one_size(form):
    y = np.repeat([0, 1, 2], [50, 10, 5])
    fold_of = folds_of(form(y), 5, 0)
    assert np.bincount(fold_of).tolist() == [13] * 5
    for label, each in ((0, 10), (1, 2), (2, 1)):
        assert np.bincount(fold_of[y == label], minlength=5).tolist() == [each] * 5
    assert (folds_of(form(y), 5, 1) != fold_of).any()


def test_numbers_are_split_at_random():
    fold_of = folds_of(np.linspace(0, 1, 21), 4, 0)
    assert np.bincount(fold_of).tolist() == [6, 5, 5, 5]
    assert fold_of[:8].tolist() != [0, 1, 2, 3, 0, 1, 2, 3]


def test_another_cross_fit_or_another_store_in_the_folder_is_refused(rows, tmp_path):
    stores.cross_fit(build, by_heart, rows, tmp_path / "a", folds=4)
    with pytest.raises(
        stores.StoreError, match="cross-fitted otherwise: folds is 4 there and 5 now"
    ):
        stores.cross_fit(build, by_heart, rows, tmp_path / "a", folds=5)
    other = Part(rows.x, (rows.y + 1) % 4, rows.ids)
    with pytest.raises(stores.StoreError, match="cross-fitted otherwise: data is"):
        stores.cross_fit(build, by_heart, other, tmp_path / "a", folds=4)
    stores.write(build(), rows, tmp_path / "b")
    with pytest.raises(stores.StoreError, match="not cross-fitted"):
        stores.cross_fit(build, by_heart, rows, tmp_path / "b")


def test_bad_input_is_told_before_a_teacher_is_trained(rows, tmp_path):
    def never(*args):
        raise AssertionError("trained")

    def refused(error, match, build=build, train=never, data=rows, **more):
        with pytest.raises(error, match=match):
            stores.cross_fit(build, train, data, tmp_path / "a", **more)
        assert not (tmp_path / "a" / "manifest.json").exists()

    refused(TypeError, "`build` must be a function", build=build())
    refused(TypeError, "`train` must be a function", train=None)
    refused(TypeError, "`data` must be a keras_kd.data.Part", data=(rows.x, rows.y))
    refused(ValueError, "no labels", data=Part(rows.x, None, rows.ids))
    refused(ValueError, "`folds` must be a whole number of at least 2", folds=1)
    refused(ValueError, "`folds` must be at most the number of examples, 40", folds=41)
    refused(ValueError, "`seed` must be a whole number", seed=-1)

    def soft():
        return keras.Sequential([keras.Input((COUNT,)), keras.layers.Dense(4, "softmax")])

    refused(stores.StoreError, "ends in a softmax", build=soft)


def test_teachers_that_cannot_teach_are_told(rows, tmp_path):
    def spoiled(teacher, part):
        teacher.set_weights([np.full((COUNT, 4), np.nan)])

    with pytest.raises(stores.StoreError, match="fold 1 gives NaN or infinity"):
        stores.cross_fit(build, spoiled, rows, tmp_path / "a")

    def narrow(teacher, part):
        width = 4 if 0 in part.ids - 1000 else 3
        return sources.FunctionTeacher(lambda x: -x[:, :width], name="narrow")

    with pytest.raises(stores.StoreError, match="Does it know all classes"):
        stores.cross_fit(build, narrow, rows, tmp_path / "b", folds=COUNT)
