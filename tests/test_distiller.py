"""The Distiller: what a step computes, what it moves, and what it leaves alone."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd
from tests import models
from tests.models import CLASSES, cross_entropy, data, equal, mlp, noisy, values

Term = keras_kd.Term
SoftTarget, FeatureMatch = keras_kd.losses.SoftTarget, keras_kd.losses.FeatureMatch


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def soft_target(t, s, temperature):
    p, q = softmax(t / temperature), softmax(s / temperature)
    return temperature**2 * (p * (np.log(p) - np.log(q))).sum(-1)


def compiled(distiller, **kwargs):
    kwargs.setdefault("loss", cross_entropy())
    kwargs.setdefault("optimizer", keras.optimizers.SGD(0.05))
    distiller.compile(**kwargs)
    return distiller


def test_the_loss_is_the_weighted_sum_and_evaluate_says_so():
    x, y = data()
    student, teacher = mlp("s"), mlp("t", units=9)
    terms = [keras_kd.Labels(weight=0.3), Term(SoftTarget(3.0), weight=2.5)]
    distiller = compiled(keras_kd.Distiller(student=student, teacher=teacher, terms=terms))
    logs = distiller.evaluate(x, y, batch_size=20, verbose=0, return_dict=True)
    s, t = student.predict(x, verbose=0), teacher.predict(x, verbose=0)
    labels = -np.log(softmax(s)[np.arange(len(y)), y]).mean()
    soft = soft_target(t, s, 3.0).mean()
    assert logs["labels"] == pytest.approx(labels, rel=1e-5)  # 48 = 20 + 20 + 8: weighted by size
    assert logs["soft_target"] == pytest.approx(soft, rel=1e-5)
    assert logs["loss"] == pytest.approx(0.3 * labels + 2.5 * soft, rel=1e-5)


def test_logs_of_an_epoch_are_means_weighted_by_batch_size():
    x, y = data()
    student, teacher = mlp("s"), mlp("t")
    distiller = compiled(
        keras_kd.Distiller(student=student, teacher=teacher), optimizer=keras.optimizers.SGD(0.0)
    )
    logs = distiller.fit(x, y, batch_size=20, verbose=0).history
    expected = soft_target(teacher.predict(x, verbose=0), student.predict(x, verbose=0), 4.0).mean()
    assert logs["soft_target"][0] == pytest.approx(expected, rel=1e-5)


def test_the_default_is_what_the_public_default_gets_wrong():
    """Keras's own LogitsDistillation gives 0.732 here; the closed form at T=3 is 2.141."""
    s, t = np.array([[1.0, 2.0, 3.0]]), np.array([[4.0, 2.0, 1.0]])
    exact = soft_target(t, s, 3.0).mean()
    assert float(SoftTarget(3.0)(t, s)) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    "make", [mlp, noisy, models.nested, lambda name: models.Subclassed(name=name)]
)
def test_every_kind_of_model_learns_its_teacher(make):
    x, _ = data(96)
    teacher = mlp("t")
    distiller = keras_kd.Distiller(
        student=make("s"), teacher=teacher, terms=keras_kd.recipes.hinton(temperature=1.0, alpha=1)
    )
    distiller.compile(keras.optimizers.Adam(0.02))
    losses = distiller.fit(x, epochs=12, verbose=0, batch_size=32).history["loss"]
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(
    "student, teacher, pred, target, units",
    [
        (mlp, mlp, "student:hidden", "teacher:hidden", None),
        (models.nested, models.nested, "student:backbone/deep", "teacher:stem", 6),
        (
            lambda name: models.Subclassed(name=name),
            lambda name: models.Subclassed(name=name),
            "student:inner/deep",
            "teacher:first",
            6,
        ),
    ],
)
def test_a_hint_reads_the_layers_it_names(student, teacher, pred, target, units):
    x, _ = data()
    student, teacher = student("s"), teacher("t")
    projector = keras_kd.projectors.Dense(units) if units else None
    term = Term(FeatureMatch(), pred=pred, target=target, projector=projector, name="hint")
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=[term])
    distiller.compile("sgd")
    logged = distiller.evaluate(x, verbose=0, return_dict=True)["hint"]

    def at(model, path):
        h = x
        layers = {"s": student, "t": teacher}[model.name]
        if isinstance(layers, keras.Sequential):
            return layers.get_layer("hidden")(h)
        if isinstance(layers, models.Subclassed):
            first = layers.first(h)
            return layers.inner(first) if path == "deep" else first
        stem = layers.get_layer("stem")(h)
        return layers.get_layer("backbone")(stem) if path == "deep" else stem

    p, t = at(student, pred.split("/")[-1]), at(teacher, target.split(":")[-1])
    p = projector(p) if units else p
    p, t = ops.convert_to_numpy(p), ops.convert_to_numpy(t)
    assert logged == pytest.approx(((p - t) ** 2).mean(), rel=1e-4)


def test_several_outputs_and_dict_inputs():
    x, y = data()
    inputs, labels = {"a": x, "b": x[:, ::-1]}, {"kind": y, "size": y.astype("float32")[:, None]}
    student, teacher = models.two_headed("s"), models.two_headed("t")
    terms = [
        keras_kd.Labels(),
        Term(SoftTarget(2.0), pred="student:output/kind", target="teacher:output/kind"),
        Term(FeatureMatch(), pred="student:output/size", target="teacher:output/size"),
    ]
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(
        "sgd", {"kind": cross_entropy(), "size": "mse"}, metrics={"kind": ["accuracy"]}
    )
    logs = distiller.evaluate(inputs, labels, batch_size=48, verbose=0, return_dict=True)
    s, t = student.predict(inputs, verbose=0), teacher.predict(inputs, verbose=0)
    assert logs["soft_target"] == pytest.approx(
        soft_target(t["kind"], s["kind"], 2.0).mean(), rel=1e-4
    )
    assert logs["feature_match"] == pytest.approx(((s["size"] - t["size"]) ** 2).mean(), rel=1e-4)
    assert logs["labels"] == pytest.approx(logs["kind_loss"] + logs["size_loss"], rel=1e-4)
    assert logs["kind_accuracy"] == pytest.approx((s["kind"].argmax(-1) == y).mean())


@pytest.mark.parametrize("kind", ["dict", "list"])
def test_weights_by_output_weigh_the_terms_on_that_output(kind):
    x, y = data()
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0, 2, 48).astype("float32") for _ in range(2)]

    def build(name):
        inputs = keras.Input((8,))
        said = [keras.layers.Dense(CLASSES, name=part)(inputs) for part in ("kind", "size")]
        outputs = said if kind == "list" else dict(zip(("kind", "size"), said, strict=True))
        return keras.Model(inputs, outputs, name=name)

    student, teacher = build("s"), build("t")
    keys = [0, 1] if kind == "list" else ["kind", "size"]
    paths = [f"output/{key}" for key in keys]
    terms = [keras_kd.Labels()] + [
        Term(FeatureMatch(), pred=f"student:{p}", target=f"teacher:{p}", name=n)
        for p, n in zip(paths, ("first", "second"), strict=True)
    ]
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=terms)
    given = [cross_entropy(), cross_entropy()], [y, y], weights
    if kind == "dict":
        given = [dict(zip(keys, each, strict=True)) for each in given]
    loss, labels, by_output = given
    distiller.compile("sgd", loss)
    logs = distiller.evaluate(x, labels, 48, 0, by_output, return_dict=True)
    s, t = student.predict(x, verbose=0), teacher.predict(x, verbose=0)
    for key, weight, name in zip(keys, weights, ("first", "second"), strict=True):
        expected = (weight * ((s[key] - t[key]) ** 2).mean(-1)).mean()
        assert logs[name] == pytest.approx(expected, rel=1e-4)


def test_outputs_as_a_list_are_addressed_by_number():
    x, _ = data()

    def build(name):
        inputs = keras.Input((8,))
        heads = [keras.layers.Dense(CLASSES)(inputs), keras.layers.Dense(2)(inputs)]
        return keras.Model(inputs, heads, name=name)

    student, teacher = build("s"), build("t")
    term = Term(FeatureMatch(), pred="student:output/1", target="teacher:output/1")
    distiller = keras_kd.Distiller(student=student, teacher=teacher, terms=[term])
    distiller.compile("sgd")
    s, t = student.predict(x, verbose=0)[1], teacher.predict(x, verbose=0)[1]
    assert distiller.evaluate(x, verbose=0)[0] == pytest.approx(((s - t) ** 2).mean(), rel=1e-4)


@keras.saving.register_keras_serializable(package="tests")
class Counter(keras.layers.Layer):
    """Passes its input on and counts its calls, by mode."""

    def build(self, shape):
        self.trained = self.add_weight(
            name="trained", shape=(), initializer="zeros", trainable=False
        )
        self.asked = self.add_weight(name="asked", shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        (self.trained if training else self.asked).assign_add(1.0)
        return x


def test_each_student_layer_runs_once_per_train_step():
    x, y = data(40)
    inputs = keras.Input((8,))
    counter = Counter(name="counter")
    student = keras.Model(
        inputs, keras.layers.Dense(CLASSES)(counter(keras.layers.Dense(6)(inputs)))
    )
    hint = Term(FeatureMatch(), pred="student:counter", target="teacher:hidden")
    terms = [*keras_kd.recipes.hinton(), hint]
    distiller = compiled(
        keras_kd.Distiller(student=student, teacher=mlp("t"), terms=terms), metrics=["accuracy"]
    )
    distiller.fit(x, y, batch_size=10, epochs=2, verbose=0)
    assert float(counter.trained.numpy()) == 8
    assert float(counter.asked.numpy()) == 0


def test_one_dropout_mask_serves_every_term():
    x, _ = data()
    inputs = keras.Input((8,))
    dropped = keras.layers.Dropout(0.5, name="drop")(inputs)
    same = keras.layers.Dense(8, use_bias=False, kernel_initializer="identity")
    student = keras.Model(inputs, same(dropped))
    student_scale = keras.Model(inputs, keras.layers.Dense(8)(inputs))
    terms = [
        Term(FeatureMatch(), pred="student:drop", target="student:output", name="same"),
        Term(FeatureMatch(), pred="student:output", target="teacher:output", name="other"),
    ]
    distiller = keras_kd.Distiller(student=student, teacher=student_scale, terms=terms)
    distiller.compile("sgd")
    outcome = distiller._objective(x, None, None, distiller._teacher_signals(x), training=True)
    assert float(outcome.values[0]) == 0.0
    dropped_out = ops.convert_to_numpy(outcome.outputs)
    assert 0.3 < (dropped_out == 0).mean() < 0.7


def test_teachers_stand_still_in_fit_and_evaluate():
    x, y = data()
    student, teacher = noisy("s"), noisy("t", seed=8)
    distiller = compiled(keras_kd.Distiller(student=student, teacher=teacher))
    before = values(teacher.variables)
    answers = teacher.predict(x, verbose=0)
    distiller.fit(x, y, epochs=2, verbose=0)
    distiller.evaluate(x, y, verbose=0)
    assert equal(before, values(teacher.variables))
    np.testing.assert_array_equal(answers, teacher.predict(x, verbose=0))


def test_the_student_trains_in_training_mode_in_every_epoch():
    x, y = data()
    student = noisy("s")
    distiller = compiled(keras_kd.Distiller(student=student, teacher=mlp("t")))
    mean = student.get_layer("norm").moving_mean
    seen = []
    for _ in range(3):
        distiller.fit(x, y, verbose=0, validation_data=(x, y))
        seen.append(np.array(mean.numpy()))
    assert not np.allclose(seen[0], seen[1]) and not np.allclose(seen[1], seen[2])


def test_evaluate_twice_gives_the_same_and_moves_nothing():
    x, y = data()
    distiller = compiled(keras_kd.Distiller(student=noisy("s"), teacher=noisy("t")))
    distiller.fit(x, y, verbose=0)
    before = values(distiller.variables)
    first = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert distiller.evaluate(x, y, verbose=0, return_dict=True) == first
    assert equal(before, values(distiller.variables))


def test_the_target_is_held_still():
    """Two students: the term that teaches `a` from `b` must not move `b`."""
    x, _ = data()
    a, b = mlp("a"), mlp("b")
    term = Term(SoftTarget(1.0), pred="a:output", target="b:output")
    distiller = keras_kd.Distiller(student={"a": a, "b": b}, terms=[term])
    distiller.compile(keras.optimizers.SGD(0.5))
    before_a, before_b = values(a.variables), values(b.variables)
    distiller.fit(x, verbose=0)
    assert equal(before_b, values(b.variables))
    assert not equal(before_a, values(a.variables))


def test_students_teach_each_other():
    x, y = data()
    terms = [
        keras_kd.Labels(pred="a:output", name="a_labels"),
        keras_kd.Labels(pred="b:output", name="b_labels"),
        Term(SoftTarget(1.0), pred="a:output", target="b:output"),
        Term(SoftTarget(1.0), pred="b:output", target="a:output"),
    ]
    a, b = mlp("a"), mlp("b")
    distiller = compiled(
        keras_kd.Distiller(student={"a": a, "b": b}, terms=terms), metrics=["accuracy"]
    )
    logs = distiller.evaluate(x, y, verbose=0, return_dict=True)
    pa, pb = a.predict(x, verbose=0), b.predict(x, verbose=0)
    assert logs["soft_target"] == pytest.approx(soft_target(pb, pa, 1.0).mean(), rel=1e-4)
    assert logs["soft_target_2"] == pytest.approx(soft_target(pa, pb, 1.0).mean(), rel=1e-4)
    assert logs["b_accuracy"] == pytest.approx((pb.argmax(-1) == y).mean())
    assert set(distiller.predict(x, verbose=0)) == {"a", "b"}
    with pytest.raises(ValueError, match="has 2 students"):
        _ = distiller.student


def test_several_teachers_each_with_its_own_term():
    x, _ = data()
    big, old = mlp("big", 12), mlp("old")
    terms = [
        Term(SoftTarget(1.0), target="big:output", name="from_big"),
        Term(SoftTarget(1.0), target="old:output", name="from_old"),
    ]
    student = mlp("s")
    distiller = keras_kd.Distiller(student=student, teacher={"big": big, "old": old}, terms=terms)
    distiller.compile("sgd")
    logs = distiller.evaluate(x, verbose=0, return_dict=True)
    s = student.predict(x, verbose=0)
    for name, teacher in (("from_big", big), ("from_old", old)):
        expected = soft_target(teacher.predict(x, verbose=0), s, 1.0).mean()
        assert logs[name] == pytest.approx(expected, rel=1e-4)


def test_answers_that_come_with_the_batch_equal_the_live_teacher():
    x, y = data()
    teacher = mlp("t")
    stored = {"inputs": x, "signals": {"teacher:output": teacher.predict(x, verbose=0)}}
    results = []
    for given_teacher, inputs in ((teacher, x), (None, stored)):
        student = models.set_weights(mlp("s"), 1)
        distiller = compiled(keras_kd.Distiller(student=student, teacher=given_teacher))
        history = distiller.fit(inputs, y, epochs=2, shuffle=False, verbose=0).history
        results.append([history["loss"], *values(student.variables)])
    for live, kept in zip(*results, strict=True):
        np.testing.assert_allclose(live, kept, rtol=1e-5, atol=1e-6)


def test_a_teacher_whose_answers_came_is_not_run():
    x, y = data(30)
    inputs = keras.Input((8,))
    counter = Counter(name="counter")
    teacher = keras.Model(inputs, keras.layers.Dense(CLASSES)(counter(inputs)))
    distiller = compiled(keras_kd.Distiller(student=mlp("s"), teacher=teacher), run_eagerly=True)
    stored = {"inputs": x, "signals": {"teacher:output": np.zeros((30, CLASSES), "float32")}}
    asked = float(counter.asked.numpy())
    distiller.fit(stored, y, verbose=0)
    assert float(counter.asked.numpy()) == asked


def test_predict_gives_the_students_answer():
    x, _ = data()
    student = mlp("s")
    distiller = keras_kd.Distiller(student=student, teacher=mlp("t"))
    np.testing.assert_allclose(
        distiller.predict(x, verbose=0), student.predict(x, verbose=0), rtol=1e-6
    )


def test_step_counts_training_steps_only():
    x, y = data(40)
    distiller = compiled(keras_kd.Distiller(student=mlp("s"), teacher=mlp("t")))
    distiller.fit(x, y, batch_size=10, epochs=2, verbose=0, validation_data=(x, y))
    assert int(distiller._step.numpy()) == 8


def test_a_shallow_layer_can_learn_from_the_output():
    x, y = data()
    head = keras_kd.projectors.AuxiliaryHead(CLASSES)
    own = Term(SoftTarget(3.0), pred="student:hidden", target="student:output", projector=head)
    distiller = compiled(keras_kd.Distiller(student=mlp("s"), terms=[keras_kd.Labels(), own]))
    before = values(head.variables)
    losses = distiller.fit(x, y, epochs=5, verbose=0).history["soft_target"]
    assert losses[-1] < losses[0] and not equal(before, values(head.variables))


def test_summary_lists_the_terms(capsys):
    terms = [*keras_kd.recipes.hinton(), keras_kd.Term(keras_kd.losses.LogitMatch(), weight=0.5)]
    distiller = keras_kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=terms)
    lines: list[str] = []
    distiller.summary(print_fn=lambda text, **_: lines.append(text))
    assert "Total params" in lines[0]
    assert lines[-1].splitlines()[1:] == [
        f" {name:11}  {term!r}" for name, term in zip(distiller.term_names, terms, strict=True)
    ]
    assert "logit_match  Term(LogitMatch(), pred='student:output'" in lines[-1]
    distiller.summary()
    assert lines[-1] in capsys.readouterr().out
