"""Planted faults, each found by name; and remedies that mend them."""

import keras
import numpy as np
import pytest

import keras_kd as kd
from tests.auto import patients
from tests.auto.patients import in_part, on_colors, on_digits, on_table, student

IMAGENET = (
    -np.array([0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
    (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225],
)


def forest(train, **settings):
    ensemble = pytest.importorskip("sklearn.ensemble")
    model = ensemble.ExtraTreesClassifier(60, random_state=0, **settings)
    x, y = train
    return kd.sources.SklearnTeacher(model.fit(x.reshape(len(x), -1), y))


def noisy(y, share, classes, seed=0):
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(y)) < share
    return np.where(wrong, (y + rng.integers(1, classes, len(y))) % classes, y)


def memorised(tmp_path):
    case = on_digits()
    x, y = case["train"]
    case["train"] = x[:600], noisy(y[:600], 0.2, 10)
    return {**case, "teacher": forest(case["train"])}


def memorised_numbers(tmp_path):
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4)).astype("float32")
    y = (x[:, 0] + rng.normal(0, 1, 300)).astype("float32")
    model = ensemble.ExtraTreesRegressor(30, random_state=0).fit(x[:200], y[:200])
    teacher = kd.sources.SklearnTeacher(model)
    # A linear model is the better one here too; what is looked for is told beside it.
    return {"teacher": teacher, "train": (x[:200], y[:200]), "validation": (x[200:], y[200:])}


def wants_255(tmp_path):
    kernel, bias = patients.of_digits()
    case = on_digits()
    case["teacher"] = patients.linear(kernel, bias, (8, 8, 1), keras.layers.Rescaling(1 / 255))
    return case


def standardized(tmp_path):
    case = on_table()
    x, y = case["train"]
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    kernel, bias = patients.fitted((x - mean) / deviation, y, 3)
    return {**case, "teacher": patients.linear(kernel, bias, (6,))}


def permuted(tmp_path):
    kernel, bias = patients.of_digits()
    order = [3, 1, 2, 0, 4, 5, 6, 9, 8, 7]
    return on_digits(teacher=patients.linear(kernel[:, order], bias[order], (8, 8, 1)))


def disguised(tmp_path):
    model = patients.teacher()

    def soft(x):
        z = model.predict(np.asarray(x), verbose=0, batch_size=2000)
        return np.exp(z - z.max(axis=1, keepdims=True)) / np.exp(
            z - z.max(axis=1, keepdims=True)
        ).sum(axis=1, keepdims=True)

    return on_digits(teacher=soft)


def ends_in_softmax(tmp_path):
    inner = patients.teacher()
    return on_digits(teacher=keras.Sequential([*inner.layers, keras.layers.Softmax()]))


def below_linear(tmp_path):
    rng = np.random.default_rng(0)
    kernel, bias = patients.of_digits()
    spoiled = kernel + rng.normal(0, 1.2, kernel.shape).astype("float32") * np.abs(kernel).max()
    return on_digits(teacher=patients.linear(spoiled * 0.2, bias * 0.2, (8, 8, 1)))


def not_finite(tmp_path):
    kernel, bias = patients.of_digits()
    kernel = kernel.copy()
    kernel[20] = np.nan
    return on_digits(teacher=patients.linear(kernel, bias, (8, 8, 1)))


def wrong_labels(tmp_path):
    case = on_digits()
    for part, seed in (("train", 0), ("validation", 1)):
        x, y = case[part]
        case[part] = x, noisy(y, 0.2, 10, seed)
    return case


def few(tmp_path):
    case = on_digits()
    x, y = case["train"]
    return {**case, "train": (x[:80], y[:80])}


def other_images(tmp_path):
    case = on_digits()
    part = in_part(case["train"])
    kd.stores.write(case["teacher"], part, tmp_path / "answers")
    return {**case, "train": kd.data.Part(part.x[::-1], part.y[::-1], part.ids),
            "store": tmp_path / "answers"}  # fmt: skip


def other_views(tmp_path):
    case = on_digits()
    part = in_part(case["train"])
    kd.stores.write(case["teacher"], part, tmp_path / "answers")
    augment = kd.data.Augment(kd.data.Crop(1), seed=0)
    return {**case, "train": part, "store": tmp_path / "answers", "augment": augment}


def missing_examples(tmp_path):
    case = on_digits()
    part = in_part(case["train"])
    kd.stores.write(case["teacher"], part.take(np.arange(500)), tmp_path / "answers")
    return {**case, "train": part, "store": tmp_path / "answers"}


def other_teacher(tmp_path):
    case = on_digits()
    part = in_part(case["train"])
    kd.stores.write(patients.teacher(0.5), part, tmp_path / "answers")
    return {**case, "train": part, "store": tmp_path / "answers"}


def lagging_teacher(tmp_path):
    kernel, bias = patients.fitted(*standard(patients.digits().x_train), 10)
    model = patients.linear(
        kernel,
        bias,
        (8, 8, 1),
        keras.layers.Rescaling(255.0, 100.0),
        keras.layers.BatchNormalization(),
    )
    return on_digits(teacher=model)


def standard(x):
    return (x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2)), patients.digits().y_train


def lagging_student(tmp_path):
    return on_digits(student=student(before=[keras.layers.BatchNormalization()]), epochs=2)


def frozen(tmp_path):
    model = student()
    model.trainable = False
    return on_digits(student=model)


def dead(tmp_path):
    model = student()
    kernel, bias, *head = model.get_weights()
    model.set_weights([kernel, bias - 100.0, *head])
    model.layers[-2].trainable = False
    return on_digits(student=model)


def one_unit(tmp_path):
    return on_digits(student=student(1))


def softmax_student(tmp_path):
    return on_digits(
        student=keras.Sequential(
            [keras.Input((8, 8, 1)), *student(32).layers, keras.layers.Softmax()]
        )
    )


def in_order_of_classes(tmp_path):
    case = on_digits()
    x, y = case["train"]
    order = np.argsort(y, kind="stable")
    return {**case, "train": (x[order], y[order])}


def unshuffled_batches(tmp_path):
    case = in_order_of_classes(tmp_path)
    return {**case, "batches": kd.data.feed(in_part(case["train"]), batch_size=32)}


def leaked(tmp_path):
    case = on_digits()
    (x, y), (held, y_held) = case["train"], case["validation"]
    return {
        **case,
        "validation": (np.concatenate([held, x[:200]]), np.concatenate([y_held, y[:200]])),
    }


def huge_teacher(tmp_path):
    kernel, bias = patients.of_digits()
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(64),
         keras.layers.Dense(1500), keras.layers.Dense(64), keras.layers.Dense(10)]
    )  # fmt: skip
    wide = np.eye(64, 1500, dtype="float32")
    model.set_weights(
        [np.eye(64), np.zeros(64), wide, np.zeros(1500), wide.T, np.zeros(64), kernel, bias]
    )
    return on_digits(teacher=model, student=student(12))


FAULTS = [
    ("memorised", "warning", memorised),
    ("memorised", "warning", memorised_numbers),
    ("input_scale", "error", wants_255),
    ("input_scale", "error", lambda _: on_colors(given=(0, 255))),
    ("input_scale", "error", lambda _: on_colors((-1, 1), given=(0, 1))),
    ("input_scale", "error", lambda _: on_colors(IMAGENET)),
    ("input_scale", "error", lambda _: on_colors((0, 1), flip=True)),
    ("input_scale", "error", standardized),
    ("class_order", "error", permuted),
    ("logits", "error", disguised),
    ("logits", "error", ends_in_softmax),
    ("worth_it", "error", below_linear),
    ("outputs", "error", not_finite),
    ("calibration", "warning", lambda _: on_digits(teacher=patients.teacher(8.0))),
    ("calibration", "warning", lambda _: on_digits(teacher=patients.teacher(0.15))),
    ("noisy_labels", "warning", wrong_labels),
    ("enough_examples", "warning", few),
    ("store", "error", other_images),
    ("store", "error", other_views),
    ("store", "error", missing_examples),
    ("store", "error", other_teacher),
    ("teacher_averages", "error", lagging_teacher),
    ("student_averages", "warning", lagging_student),
    ("student_learns", "error", frozen),
    ("student_learns", "error", dead),
    ("student_learns", "error", one_unit),
    ("student_logits", "error", softmax_student),
    ("learning_rate", "error", lambda _: on_digits(student=student(), learning_rate=30.0)),
    ("learning_rate", "warning", lambda _: on_digits(student=student(), learning_rate=1e-7)),
    ("data_order", "warning", in_order_of_classes),
    ("data_order", "warning", unshuffled_batches),
    ("leak", "warning", leaked),
    ("gap", "warning", huge_teacher),
]


@pytest.mark.parametrize("name, severity, plant", FAULTS,
                         ids=[f"{n}-{i}" for i, (n, *_) in enumerate(FAULTS)])  # fmt: skip
def test_a_planted_fault_is_found(name, severity, plant, tmp_path):
    found = kd.auto.examine(**plant(tmp_path))
    assert found[name].severity == severity, str(found)
    assert found[name] in found.problems
    assert f"{severity}: {name}:" in str(found)
