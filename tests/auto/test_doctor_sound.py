"""Sound set-ups: no false alarm, on any of them."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from tests.auto import patients
from tests.auto.patients import in_part, on_colors, on_digits, on_table, on_texts, student


def estimator(tmp_path):
    ensemble = pytest.importorskip("sklearn.ensemble")
    case = on_digits()
    x, y = case["train"]
    model = ensemble.RandomForestClassifier(100, min_samples_leaf=4, random_state=0)
    teacher = kd.sources.SklearnTeacher(model.fit(x.reshape(len(x), -1), y))
    return {**case, "teacher": teacher}


def cross_fitted(tmp_path):
    """What would be memorised, out of fold."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    case = on_digits()
    part = in_part(case["train"])

    def fit(forest, part):
        return kd.sources.SklearnTeacher(forest.fit(part.x.reshape(len(part), -1), part.y))

    def build():
        return ensemble.ExtraTreesClassifier(60, random_state=0)

    kd.stores.cross_fit(build, fit, part, tmp_path / "answers", folds=3)
    return {**case, "teacher": fit(build(), part), "train": part, "store": tmp_path / "answers"}


def stored(tmp_path):
    case = on_digits(student=student())
    part = in_part(case["train"])
    kd.stores.write(case["teacher"], part, tmp_path / "answers")
    return {**case, "train": part, "store": tmp_path / "answers"}


def stored_views(tmp_path):
    case = on_digits()
    part, augment = in_part(case["train"]), kd.data.Augment(kd.data.Crop(1), seed=0)
    kd.stores.write(case["teacher"], part, tmp_path / "answers", augment=augment, views=2)
    return {**case, "train": part, "store": tmp_path / "answers", "augment": augment}


def convolutions(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(8, 3, strides=2, padding="same"),
         keras.layers.BatchNormalization(momentum=0.9), keras.layers.ReLU(), keras.layers.Flatten(),
         keras.layers.Dense(10)]
    )  # fmt: skip
    return on_digits(student=model)


def shuffled_batches(tmp_path):
    case = on_digits()
    x, y = case["train"]
    order = np.argsort(y, kind="stable")
    part = in_part((x[order], y[order]))
    return {**case, "train": part, "batches": kd.data.feed(part, batch_size=32, shuffle=True)}


def with_averages(tmp_path):
    """A teacher whose running averages are those of the data."""
    x = patients.digits().x_train
    kernel, bias = patients.fitted((x - x.mean()) / x.std(), patients.digits().y_train, 10)
    model = patients.linear(kernel, bias, (8, 8, 1), keras.layers.BatchNormalization())
    gamma, beta, *_ = model.layers[0].get_weights()
    averages = [np.array([x.mean()]), np.array([x.var()])]
    model.layers[0].set_weights([gamma, beta, *averages])
    return on_digits(teacher=model)


def converted(tmp_path):
    """What would be a wrong scale, with the remedy."""
    case = on_colors((-1, 1))
    return {**case, "teacher": kd.teachers.ConvertInput(case["teacher"], (0, 1), (-1, 1))}


def in_bytes(tmp_path):
    (x, y), (held, y_held) = patients.colors(), patients.colors(300, seed=1)
    kernel, bias = patients.fitted(255 * x, y, 4)
    return {
        "teacher": patients.linear(kernel, bias, (5, 5, 3)),
        "train": ((255 * x).astype("uint8"), y), "validation": ((255 * held).astype("uint8"), y_held),
    }  # fmt: skip


def of_imagenet(tmp_path):
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    (x, y), (held, y_held) = patients.colors(), patients.colors(300, seed=1)
    x, held = ((part - mean) / deviation for part in (x, held))
    kernel, bias = patients.fitted(x, y, 4)
    return {"teacher": patients.linear(kernel, bias, (5, 5, 3)),
            "train": (x.astype("float32"), y), "validation": (held.astype("float32"), y_held)}  # fmt: skip


def declared_probabilities(tmp_path):
    model = patients.teacher()

    def soft(x):
        z = model.predict(np.asarray(x), verbose=0, batch_size=2000)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    return on_digits(teacher=kd.sources.FunctionTeacher(soft, name="soft", kind="probabilities"))


def one_hot(tmp_path):
    case = on_digits()
    return {**case, "train": (case["train"][0], np.eye(10)[case["train"][1]]),
            "validation": (case["validation"][0], np.eye(10)[case["validation"][1]])}  # fmt: skip


def standardized_table(tmp_path):
    case = on_table()
    (x, y), (held, y_held) = case["train"], case["validation"]
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x, held = (x - mean) / deviation, (held - mean) / deviation
    kernel, bias = patients.fitted(x, y, 3)
    return {"teacher": patients.linear(kernel, bias, (6,)), "train": (x, y),
            "validation": (held, y_held), "student": student(8, (6,), 3)}  # fmt: skip


def text_student(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((12,), dtype="int32"), keras.layers.Embedding(50, 8),
         keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2)]
    )  # fmt: skip
    return on_texts(student=model)


def function_of_numbers(tmp_path):
    return {"teacher": patients.curve, "train": patients.numbers(),
            "validation": patients.numbers(200, seed=1), "student": student(32, (5,), 1)}  # fmt: skip


def several_labels(tmp_path):
    return {"teacher": patients.odds, "train": patients.labels(),
            "validation": patients.labels(300, seed=1), "student": student(32, (6,), 3)}  # fmt: skip


def held_out_by_itself(tmp_path):
    x, y = patients.digits().test  # which the teacher was not trained on
    return {"teacher": patients.teacher(), "train": (x, y)}


def dropout(tmp_path):
    return on_digits(student=student(32, after=[keras.layers.Dropout(0.2)]))


def other_seed(tmp_path):
    return on_digits(student=student(seed=3), seed=5, learning_rate=3e-3, batch_size=64, epochs=20)


SOUND = [
    lambda _: on_digits(),
    lambda _: on_digits(student=student()),
    lambda _: {"teacher": patients.teacher(), "train": patients.digits(),
               "batches": kd.data.feed(patients.digits()["train"], shuffle=True)},
    lambda _: on_digits(student=student(), learning_rate=0.01),
    lambda _: on_colors(),
    lambda _: on_table(),
    lambda _: on_texts(),
    estimator, cross_fitted, stored, stored_views, convolutions, shuffled_batches, with_averages,
    converted, in_bytes, of_imagenet, declared_probabilities, one_hot, standardized_table,
    text_student, function_of_numbers, several_labels, held_out_by_itself, dropout, other_seed,
]  # fmt: skip


@pytest.mark.parametrize("case", SOUND, ids=[f"{c.__name__}-{i}" for i, c in enumerate(SOUND)])
def test_a_sound_set_up_gives_no_alarm(case, tmp_path):
    found = kd.auto.examine(**case(tmp_path))
    assert not found.problems, str(found)
    assert len(found.findings) >= 6 and str(found).startswith("Nothing speaks against distilling")
