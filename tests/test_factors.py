"""The factors of logits: what the fused losses read in place of a model's output."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd as kd
from keras_kd._core.factors import CappedFactors, Factors
from keras_kd.taps import Tap

WORDS, LENGTH = 11, 5


def tokens(count=6, seed=0):
    return np.random.default_rng(seed).integers(1, WORDS, (count, LENGTH)).astype("int32")


class Tied(layers.Embedding):
    """An embedding that is called in reverse for the logits, as those of keras-hub are."""

    def __init__(self, *args, tie_weights=True, cap=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.tie_weights, self.logit_soft_cap, self.reverse_dtype = tie_weights, cap, None

    def build(self, input_shape=None):
        super().build(input_shape)
        if not self.tie_weights:
            shape = self.output_dim, self.input_dim
            self.reverse_embeddings = self.add_weight(shape=shape, name="reverse_embeddings")

    def compute_output_spec(self, inputs, reverse=False):
        width = self.input_dim if reverse else self.output_dim
        shape = inputs.shape[:-1] if reverse else inputs.shape
        return keras.KerasTensor((*shape, width), self.compute_dtype)

    def call(self, inputs, reverse=False):
        if not reverse:
            return super().call(inputs)
        kernel = ops.transpose(self.embeddings) if self.tie_weights else self.reverse_embeddings
        logits = ops.matmul(inputs, kernel)
        cap = self.logit_soft_cap
        return logits if cap is None else cap * ops.tanh(logits / cap)


def dense(width=6, bias=True, mask=False):
    inputs = keras.Input((LENGTH,), dtype="int32")
    hidden = layers.Embedding(WORDS, width, mask_zero=mask)(inputs)
    hidden = layers.Dense(width, "tanh")(hidden)
    head = layers.Dense(WORDS, use_bias=bias, bias_initializer="normal", name="logits")
    return keras.Model(inputs, head(hidden))


def tied(width=6, embedding=Tied, **kwargs):
    inputs = keras.Input((LENGTH,), dtype="int32")
    embedding = embedding(WORDS, width, name="tokens", **kwargs)
    hidden = layers.Dense(width, "tanh")(embedding(inputs))
    return keras.Model(inputs, embedding(hidden, reverse=True))


def low_rank(width=6):
    model = dense(width)
    model.get_layer("logits").enable_lora(2)
    b = model.get_layer("logits").lora_kernel_b
    b.assign(np.random.default_rng(5).normal(size=b.shape))
    return model


def passed_on(width=6):
    model = dense(width)
    return keras.Model(model.input, layers.Activation("linear", dtype="float32")(model.output))


def within(width=6):
    model = dense(width)
    inputs = keras.Input((LENGTH,), dtype="int32")
    return keras.Model(inputs, model(inputs))


def int8(width=8):
    model = dense(width)
    model.quantize("int8")
    return model


STUDENTS = {
    "dense": dense,
    "no bias": lambda: dense(bias=False),
    "tied": tied,
    "untied": lambda: tied(tie_weights=False),
    "capped": lambda: tied(cap=0.05),
    "low rank": low_rank,
    "passed on": passed_on,
    "within": within,
    "sequential": lambda: keras.Sequential(
        [keras.Input((LENGTH,), dtype="int32"), layers.Embedding(WORDS, 6), layers.Dense(WORDS)]
    ),
}
TEACHERS = {**STUDENTS, "int8": int8}


@pytest.mark.parametrize("kind", TEACHERS)
def test_the_product_of_the_factors_is_the_output(kind):
    model, x = TEACHERS[kind](), tokens()
    _, signals = Tap("teacher", model, {"factors": "Term 'x'", "output": "it"})(x, training=False)
    factors = signals["teacher:factors"]
    assert isinstance(factors, CappedFactors if kind == "capped" else Factors)
    np.testing.assert_allclose(
        ops.convert_to_numpy(factors.logits(factors.hidden)),
        ops.convert_to_numpy(model(x)), rtol=1e-5, atol=1e-6,
    )  # fmt: skip


def trained(student, teacher, terms, x, loss=None, **kwargs):
    """The student's weights after two steps, and the logs."""
    distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
    distiller.compile(keras.optimizers.SGD(1.0), loss)
    history = distiller.fit(x, epochs=2, verbose=0, batch_size=len(x), shuffle=False, **kwargs)
    return [ops.convert_to_numpy(w) for w in student.weights], history.history


@pytest.mark.parametrize("kind", STUDENTS)
def test_a_student_learns_the_same_from_its_factors(kind):
    x = tokens()
    y = np.roll(x, -1, axis=1)
    weight = (np.arange(LENGTH) < np.array([[5], [3], [1], [5], [2], [4]])).astype("float32")
    found = []
    for fused in (False, True):
        keras.utils.set_random_seed(3)
        student = STUDENTS[kind]()
        teacher = int8() if kind == "dense" else tied(9, cap=0.2) if kind == "tied" else dense(7)
        for w in teacher.weights:
            if "float" in w.dtype:
                w.assign(w + 0.3)
        terms = kd.recipes.gkd(beta=0.3, labels_weight=0.5, fused=fused)
        loss = None
        if not fused:
            loss = keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, reduction="mean_with_sample_weight"
            )
        found.append(trained(student, teacher, terms, x, loss, y=y, sample_weight=weight))
    for plain, fused in zip(*(weights for weights, _ in found), strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-5)
    for name in ("loss", "labels", "jensen_shannon"):
        np.testing.assert_allclose(found[1][1][name], found[0][1][name], rtol=1e-5, atol=1e-7)


def test_padding_counts_in_no_mean():
    """Keras's mask stands with what enters the last layer; what is padded may be NaN."""
    x = tokens()
    x[:, 3:] = 0
    logs = []
    for fused in (False, True):
        keras.utils.set_random_seed(3)
        student, teacher = dense(mask=True), dense(7)
        logs.append(trained(student, teacher, kd.recipes.gkd(beta=0.0, fused=fused), x)[1]["loss"])
    np.testing.assert_allclose(logs[1], logs[0], rtol=1e-5)


def test_the_logits_are_made_only_where_something_reads_them():
    """Zeros stand where the last layer would have made them."""
    teacher, student, x = dense(7), dense(), tokens()
    fused, read = kd.recipes.gkd(fused=True), kd.Term(kd.losses.SoftTarget(1.0))
    for terms, metrics, made in (
        (fused, None, False),
        ([*fused, read], None, True),
        (fused, ["accuracy"], True),
        (fused, [kd.metrics.TeacherKL()], True),
    ):
        distiller = kd.Distiller(student=student, teacher=teacher, terms=terms)
        distiller.compile("sgd", metrics=metrics)
        _, signals = distiller._taps["student"](x, training=True)
        assert bool(np.any(ops.convert_to_numpy(signals["student:output"]))) == made
    assert np.any(ops.convert_to_numpy(distiller(x)))  # and to who calls the model


def test_what_has_no_factors():
    teacher = dense()
    x = keras.Input((LENGTH,), dtype="int32")
    hidden = layers.Embedding(WORDS, 4)(x)
    for student, why in (
        (
            keras.Model(x, layers.Dense(WORDS, "softmax")(hidden)),
            r"last layer '.*' has an activation",
        ),
        (keras.Model(x, layers.LayerNormalization()(hidden)), "it ends in a LayerNormalization"),
        (keras.Model(x, [hidden, hidden]), "it has several outputs"),
    ):
        with pytest.raises(
            ValueError, match=rf"(?s)reads 'student:factors'.*{why}.*'student:output'"
        ):
            kd.Distiller(student=student, teacher=teacher, terms=kd.recipes.gkd(fused=True))
    with pytest.raises(
        ValueError, match="`pred` must be a model's output, such as 'student:output'"
    ):
        kd.recipes.gkd(fused=True, pred="student:logits")


def test_files_go_on(tmp_path):
    x = tokens()
    distiller = kd.Distiller(
        student=dense(), teacher=dense(7), terms=kd.recipes.gkd(fused=True, labels_weight=0.5)
    )
    distiller.compile("adam")
    distiller.fit(x, x, verbose=0)
    distiller.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    assert repr(again.terms) == repr(distiller.terms)
    np.testing.assert_allclose(
        again.evaluate(x, x, verbose=0), distiller.evaluate(x, x, verbose=0), rtol=1e-5
    )
