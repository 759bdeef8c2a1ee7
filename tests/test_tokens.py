"""What counts of a sequence: one mask for all terms, and one number that they divide by."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd as kd
from tests.models import cross_entropy, set_weights

pytestmark = pytest.mark.filterwarnings("ignore:Layer:UserWarning")
VOCABULARY, WIDTH, HEADS, ROWS, LENGTH = 11, 8, 2, 6, 5
draw = np.random.default_rng(0)
VALID = np.arange(LENGTH) < np.array([[1], [5], [3], [4], [2], [5]])
IDS = np.where(VALID, draw.integers(1, VOCABULARY, VALID.shape), 0).astype("int32")
Y = draw.integers(0, VOCABULARY, VALID.shape)
WEIGHTS = draw.uniform(0.5, 2.0, VALID.shape).astype("float32")
QKV = ("query", "key", "value")


def language_model(seed, length=LENGTH, mask_zero=False, told=True, broken=False):
    """Reads the padding from an input, or by Keras's mask, which `h + a` drops."""
    tokens = keras.Input((length,), dtype="int32", name="token_ids")
    valid = keras.Input((length,), dtype="int32", name="padding_mask")
    h = layers.Embedding(VOCABULARY, WIDTH, mask_zero=mask_zero)(tokens)
    attention = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name="attention")
    seen = ops.cast(valid if told else ops.not_equal(tokens, 0), "bool")[:, None, :]
    h = h + attention(h, h, attention_mask=seen, use_causal_mask=True)
    h = layers.LayerNormalization(name="normed" if broken else "hidden")(h)
    if broken:
        h = BrokenAtPadding(name="hidden")(h, valid)
    logits = layers.Dense(VOCABULARY, name="logits")(h)
    inputs = {"token_ids": tokens, "padding_mask": valid} if told else tokens
    model = keras.Model(inputs, logits)
    set_weights(model, seed)
    return model


def terms():
    """A loss of Keras's own and one of this package on the outputs; hidden states; relations."""
    addresses = [tuple(f"{role}:attention/{n}" for n in QKV) for role in ("student", "teacher")]
    hidden = {"pred": "student:hidden", "target": "teacher:hidden"}
    return [
        kd.Labels(),
        kd.Term(kd.losses.SoftTarget(temperature=1.0)),
        kd.Term(kd.losses.ReverseKL()),
        kd.Term(keras.losses.MeanSquaredError(), name="squares"),
        kd.Term(kd.losses.HiddenStateMatch(), projector=Scaled(), name="hidden", **hidden),
        *kd.recipes.minilm(pred=addresses[0], target=addresses[1], heads=HEADS),
    ]


class Scaled(layers.Layer):
    """A projector that does not hand a mask on."""

    def call(self, x):
        return 2.0 * x


class BrokenAtPadding(layers.Layer):
    """NaN at padded places, in hidden states and, behind them, in logits."""

    def call(self, x, valid):
        return ops.where(ops.cast(valid, "bool")[..., None], x, float("nan"))


def distiller(student, teacher, terms=terms, **settings):
    made = kd.Distiller(student=student, teacher=teacher, terms=terms())
    made.compile(keras.optimizers.SGD(0.1), cross_entropy(), **settings)
    return made


def evaluated(made, *data, batch_size=4, **settings):
    return made.evaluate(*data, batch_size=batch_size, verbose=0, return_dict=True, **settings)


def log_softmax(logits):
    z = logits - logits.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def expected(student, teacher, x, counts):
    """In float64: each mean is over the positions that count, of the whole set."""
    s, t = (ops.convert_to_numpy(model(x)).astype("float64") for model in (student, teacher))
    q, p = log_softmax(s), log_softmax(t)
    values = {
        "labels": -np.take_along_axis(q, Y[..., None], -1)[..., 0],
        "soft_target": (np.exp(p) * (p - q)).sum(-1),
        "reverse_kl": (np.exp(q) * (q - p)).sum(-1),
        "squares": ((s - t) ** 2).mean(-1),
    }
    return {name: float((v * counts).sum() / counts.sum()) for name, v in values.items()}


def near(found, wanted, tolerance=2e-6):
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name


def as_input(tokens=IDS):
    return {"token_ids": tokens, "padding_mask": VALID.astype("int32")}


def as_signal(tokens=IDS):
    """The models read every position; the batch tells which of them count."""
    everything = {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}
    return {"inputs": everything, "signals": {"mask": VALID}}


@pytest.mark.parametrize("weights", [None, "positions", "only"])
@pytest.mark.parametrize("length", [LENGTH, None])
def test_every_term_divides_by_what_counts(weights, length):
    student, teacher = language_model(1, length), language_model(2, length)
    counts = VALID.astype("float64")
    given, x = None, as_input()
    if weights == "positions":
        given, counts = WEIGHTS, VALID * WEIGHTS
    if weights == "only":  # as KerasHub's preprocessors have it
        given, x = VALID.astype("float32"), {**x, "padding_mask": np.ones_like(IDS)}
    logs = evaluated(distiller(student, teacher), x, Y, sample_weight=given)
    near(logs, expected(student, teacher, x, counts))


def test_a_mask_that_the_batch_brings_counts_before_any_other():
    student, teacher = language_model(1), language_model(2)
    x = as_signal()
    logs = evaluated(distiller(student, teacher), x, Y)
    near(logs, expected(student, teacher, x["inputs"], VALID))


def test_a_mask_of_keras_that_an_operation_dropped_counts_still():
    student, teacher = (language_model(seed, None, True, False) for seed in (1, 2))
    logs = evaluated(distiller(student, teacher), IDS, Y)
    near(logs, expected(student, teacher, IDS, VALID))


def test_a_mask_of_the_teacher_alone_counts_too():
    student = language_model(1, None, False, False)
    teacher = language_model(2, None, True, False)
    logs = evaluated(distiller(student, teacher), IDS, Y)
    near(logs, expected(student, teacher, IDS, VALID))


@pytest.mark.parametrize("mask_zero", [False, True])
def test_other_ids_at_padding_move_no_term(mask_zero):
    """Neither those that Keras would take for padding, nor others."""
    student, teacher = (language_model(seed, mask_zero=mask_zero) for seed in (1, 2))
    made = distiller(student, teacher)
    zeros = evaluated(made, as_input(), Y)
    tokens = np.where(VALID, IDS, draw.integers(1, VOCABULARY, IDS.shape)).astype("int32")
    tokens[1, 2] = IDS[1, 2] = 0  # a token like any other
    others = evaluated(made, as_input(tokens), Y)
    zeros = evaluated(made, as_input(), Y)
    assert set(zeros) > {"attention", "values", "hidden"}
    near(others, zeros, 1e-6)


def test_a_step_divides_by_what_counts():
    student, teacher = language_model(1), language_model(2)
    made = distiller(student, teacher)
    bias = student.get_layer("logits").bias
    before = ops.convert_to_numpy(bias)
    x = as_input()
    s, t = (ops.convert_to_numpy(model(x)).astype("float64") for model in (student, teacher))
    made.terms[2].weight = 0.0
    made.train_on_batch(x, Y, sample_weight=WEIGHTS)
    q, p = np.exp(log_softmax(s)), np.exp(log_softmax(t))
    slope = (q - np.eye(VOCABULARY)[Y]) + (q - p) + 2 * (s - t) / VOCABULARY
    counts = (VALID * WEIGHTS)[..., None]
    step = 0.1 * (slope * counts).sum((0, 1)) / counts.sum()
    np.testing.assert_allclose(before - ops.convert_to_numpy(bias), step, rtol=1e-5, atol=1e-6)


def test_labels_without_a_class_are_counted_out_with_the_padding():
    student, teacher = language_model(1), language_model(2)
    y = np.where(Y < 4, -1, Y)
    made = kd.Distiller(student=student, teacher=teacher, terms=[kd.Labels()])
    made.compile("sgd", cross_entropy(ignore_class=-1))
    logs = evaluated(made, as_input(), y, sample_weight=WEIGHTS)
    counts = VALID * WEIGHTS * (y >= 0)
    near(logs, {"labels": expected(student, teacher, as_input(), counts)["labels"]})


@pytest.mark.parametrize(
    "loss",
    [
        "sparse_categorical_crossentropy",
        cross_entropy(reduction="mean_with_sample_weight"),
        [cross_entropy()],
    ],
)
def test_whatever_form_the_loss_has(loss):
    student, teacher = language_model(1), language_model(2)
    if isinstance(loss, str):
        out = layers.Softmax(name="out")(student.output)
        student = keras.Model(student.input, out)
    made = kd.Distiller(student=student, teacher=teacher, terms=[kd.Labels()])
    made.compile("sgd", loss, loss_weights=[3.0] if isinstance(loss, list) else None)
    found = evaluated(made, as_input(), Y, sample_weight=WEIGHTS)["labels"]
    bare = keras.Model(student.input, student.get_layer("logits").output)
    right = expected(bare, teacher, as_input(), VALID * WEIGHTS)["labels"]
    assert found == pytest.approx(right * (3.0 if isinstance(loss, list) else 1.0), rel=1e-5)


def test_weights_per_example_are_factors():
    student, teacher = language_model(1), language_model(2)
    per_example = WEIGHTS[:, 0]
    logs = evaluated(distiller(student, teacher), as_input(), Y, sample_weight=per_example)
    weighted = expected(student, teacher, as_input(), VALID * per_example[:, None])
    scale = (VALID * per_example[:, None]).sum() / VALID.sum()
    near(logs, {name: value * scale for name, value in weighted.items()})


@pytest.mark.parametrize("on_bad_teacher", ["raise", "skip"])
@pytest.mark.parametrize("stored", [False, True])
def test_what_a_teacher_says_at_padding_does_not_matter(on_bad_teacher, stored):
    sound, nan = language_model(2), language_model(2, broken=True)
    found = []
    for teacher in (sound, nan):
        student = language_model(1)
        reads = [term for term in terms() if term.name not in ("attention", "values")]
        x = as_input()
        if stored:
            reads = [term for term in reads if term.name != "hidden"]
            logits = teacher.predict(x, verbose=0)
            x, teacher = {"inputs": x, "signals": {"teacher:output": logits}}, None
        made = kd.Distiller(
            student=student, teacher=teacher, terms=reads, on_bad_teacher=on_bad_teacher
        )
        made.compile("sgd", cross_entropy(), metrics=[kd.metrics.TeacherKL()])
        logs = made.fit(x, Y, batch_size=3, shuffle=False, verbose=0).history
        assert logs.pop("skipped", [0.0]) == [0.0]
        found.append({name: value[0] for name, value in logs.items()})
        found[-1] |= {f"weight {i}": w for i, w in enumerate(student.get_weights())}
    assert np.isnan(nan.predict(as_input(), verbose=0)).any()
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_teacher_at_fault_where_it_counts_is_named_still():
    nan = language_model(2, broken=True)
    everything = {**as_input(), "padding_mask": VALID}
    x = {"inputs": everything, "signals": {"mask": np.ones_like(IDS)}}
    made = kd.Distiller(student=language_model(1), teacher=nan, terms=terms()[1:2])
    made.compile("sgd")
    with pytest.raises(ValueError, match="'teacher:output' in 1 of 1 batches"):
        made.fit(x, batch_size=6, verbose=0)


def test_nothing_to_count_adds_nothing():
    student, teacher = language_model(1), language_model(2)
    made = distiller(student, teacher)
    nothing = {"inputs": as_input(), "signals": {"mask": np.zeros_like(IDS)}}
    before = student.get_weights()
    logs = made.train_on_batch(nothing, Y, return_dict=True)
    assert all(float(value) == 0.0 for value in logs.values()), logs
    for old, new in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    # In an evaluation such a batch thins no mean out.
    mask = np.concatenate([VALID, np.zeros_like(VALID)])
    twice = {name: np.concatenate([part, part]) for name, part in as_input().items()}
    given = {"inputs": twice, "signals": {"mask": mask}}
    near(evaluated(made, given, np.concatenate([Y, Y]), batch_size=6),
         evaluated(made, as_input(), Y, batch_size=6))  # fmt: skip


class Pooled(layers.Layer):
    """A mean over the positions that count."""

    def call(self, both):
        hidden, mask = both
        mask = ops.cast(mask, hidden.dtype)[..., None]
        return ops.sum(hidden * mask, axis=1) / ops.sum(mask, axis=1)


@keras.saving.register_keras_serializable("tokens")
class FarApart(kd.losses.Loss):
    """Of one's own: it takes the mask as the last of its target."""

    same_shape = False

    def call(self, y_true, y_pred):
        teacher, mask = y_true
        gap = ops.sum(ops.abs(y_pred - teacher), axis=-1) * ops.cast(mask, y_pred.dtype)
        return ops.max(gap, axis=1)


@pytest.mark.parametrize("told", [True, False])
def test_losses_and_projectors_may_read_the_mask(told):
    hidden = "student:hidden", "teacher:hidden"

    def reading():
        return [
            kd.Term(
                kd.losses.FeatureMatch(), pred=(hidden[0], "mask"), target=hidden[1],
                projector=Pooled(), target_projector=layers.GlobalAveragePooling1D(), name="pooled",
            ),
            kd.Term(FarApart(), target=("teacher:output", "mask"), name="far"),
        ]  # fmt: skip

    student, teacher = (language_model(seed, None, not told, told) for seed in (1, 2))
    made = kd.Distiller(student=student, teacher=teacher, terms=reading())
    made.compile("sgd")
    x = as_input() if told else IDS
    logs = evaluated(made, x, batch_size=4)
    s, t = (ops.convert_to_numpy(model(x)).astype("float64") for model in (student, teacher))
    far = (np.abs(s - t).sum(-1) * VALID).max(axis=1).mean()
    assert logs["far"] == pytest.approx(far, rel=1e-5)
    wanted = []
    for model in (student, teacher):
        inside = keras.Model(model.input, model.get_layer("hidden").output)
        h = ops.convert_to_numpy(inside(x)).astype("float64")
        wanted.append((h * VALID[..., None]).sum(1) / VALID.sum(1, keepdims=True))
    assert logs["pooled"] != pytest.approx(0.0)
    again = kd.Term.from_config(made.terms[1].get_config())
    assert again.target == ("teacher:output", "mask")


def test_a_mask_that_is_read_and_is_not_there_is_named():
    term = kd.Term(FarApart(), target=("teacher:output", "mask"), name="far")
    students = (language_model(seed, None, False, False) for seed in (1, 2))
    made = kd.Distiller(student=next(students), teacher=next(students), terms=[term])
    made.compile("sgd")
    with pytest.raises(ValueError, match=r"Term 'far' reads the mask .* 'padding_mask'"):
        made.fit(IDS, verbose=0)


def test_a_mask_of_other_positions_is_named():
    made = distiller(language_model(1), language_model(2))
    x = {"inputs": as_input(), "signals": {"mask": VALID[:, 1:]}}
    with pytest.raises(ValueError, match=r"'mask' is of shape \(\w+, 4\).* 'student:output'"):
        made.fit(x, Y, verbose=0)


@pytest.mark.parametrize(
    "sides",
    [{"target": "mask"}, {"pred": ("student:output", "mask")}, {"pred": "mask"}],
)
def test_a_mask_alone_is_nothing_to_compare(sides):
    with pytest.raises(ValueError, match="'mask' stands beside a signal"):
        kd.Term(kd.losses.FeatureMatch(), **sides)


def test_losses_of_the_package_find_the_mask_by_themselves():
    with pytest.raises(ValueError, match="Leave the mask out"):
        kd.Term(kd.losses.SoftTarget(), target=("teacher:output", "mask"))


def test_weights_without_labels_are_refused_or_count():
    """Keras's `fit` drops such weights; its `train_on_batch` and `test_on_batch` do not."""
    student, teacher = language_model(1), language_model(2)
    made = kd.Distiller(student=student, teacher=teacher, terms=terms()[1:3])
    made.compile("sgd")
    with pytest.raises(ValueError, match="`sample_weight` without `y`"):
        made.fit(as_input(), sample_weight=WEIGHTS, verbose=0)
    found = made.test_on_batch(as_input(), sample_weight=WEIGHTS, return_dict=True)
    right = expected(student, teacher, as_input(), VALID * WEIGHTS)
    near(found, {name: right[name] for name in ("soft_target", "reverse_kl")})


def learned(student, teacher, batches, **options):
    """The weights after `fit` on these batches, with and without accumulation."""
    made = kd.Distiller(student=student, teacher=teacher, terms=terms())
    made.compile(keras.optimizers.SGD(0.1, **options), cross_entropy())
    x, size = as_input(), len(Y) // batches
    made.fit(x, Y, sample_weight=WEIGHTS, batch_size=size, epochs=2, shuffle=False, verbose=0)
    return made, student.get_weights()


def test_a_step_of_several_micro_batches_is_the_step_on_all_of_them():
    """Of two rows each, which hold 6, 7 and 7 positions with unequal weights."""
    _, at_once = learned(language_model(1), language_model(2), 1)
    made, in_three = learned(language_model(1), language_model(2), 3, gradient_accumulation_steps=3)
    for one, other in zip(at_once, in_three, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
    changed = [
        np.abs(w - v).max() for w, v in zip(at_once, language_model(1).get_weights(), strict=True)
    ]
    assert max(changed) > 1e-2
    counted = float((VALID * WEIGHTS).sum())
    assert float(made._positions.numpy()) == pytest.approx(counted, rel=1e-6)


def test_a_distiller_that_accumulates_goes_on_from_a_file(tmp_path):
    made, _ = learned(language_model(1), language_model(2), 2, gradient_accumulation_steps=4)
    made.save(tmp_path / "distiller.keras")
    again = keras.saving.load_model(tmp_path / "distiller.keras", custom_objects={"Scaled": Scaled})
    counted = float((VALID * WEIGHTS).sum())
    for one in (made, again):
        assert float(one._positions.numpy()) == pytest.approx(2 * counted, rel=1e-5)
        one.fit(as_input(), Y, sample_weight=WEIGHTS, batch_size=3, shuffle=False, verbose=0)
    for one, other in zip(made.student.get_weights(), again.student.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("told", [True, False], ids=["input", "keras"])
@pytest.mark.parametrize(
    "projector",
    [
        lambda: kd.projectors.LinearRegressor(), lambda: kd.projectors.Regressor(),
        lambda: layers.Dense(WIDTH), lambda: Scaled(), lambda: kd.projectors.MLP(WIDTH),
        lambda: keras.Sequential([layers.Dense(WIDTH), Scaled()]),
    ],
    ids=["linear", "normed", "dense", "own", "mlp", "sequential"],
)  # fmt: skip
def test_projectors_meet_masks_without_a_warning(projector, told):
    warnings.filterwarnings("error", message=".*does not support masking")
    made = projector()
    both = isinstance(made, (kd.projectors.LinearRegressor, kd.projectors.Regressor))
    pred = ("student:hidden", "teacher:hidden") if both else "student:hidden"
    hidden = kd.Term(kd.losses.FeatureMatch(), pred=pred, target="teacher:hidden", projector=made)
    student, teacher = (language_model(seed, None, not told, told) for seed in (1, 2))
    found = []
    for ids in (IDS, np.where(VALID, IDS, 7).astype("int32")):
        learner = kd.Distiller(student=student, teacher=teacher, terms=[hidden])
        learner.compile("sgd")
        x = {"token_ids": ids, "padding_mask": VALID} if told else IDS
        found.append(evaluated(learner, x)["loss"])
        learner.fit(x, epochs=0, verbose=0)
    assert found[0] > 0 and found[1] == pytest.approx(found[0], rel=1e-5)
    learner.fit(x, verbose=0)


def test_a_mask_is_left_where_a_layer_reads_it():
    pool = lambda: keras.Sequential([layers.GlobalAveragePooling1D()])  # noqa: E731
    hidden = {"pred": "student:hidden", "target": "teacher:hidden"}
    student, teacher = language_model(1), language_model(2)
    inside = [keras.Model(m.input, m.get_layer("hidden").output) for m in (student, teacher)]
    s, t = (ops.convert_to_numpy(m(as_input())) for m in inside)
    term = kd.Term(
        keras.losses.MeanSquaredError(), projector=pool(),
        target_projector=keras.layers.Lambda(lambda h: h[:, 0]), **hidden,
    )  # fmt: skip
    made = kd.Distiller(student=student, teacher=teacher, terms=[term])
    made.compile("sgd")
    mean = (s * VALID[..., None]).sum(1) / VALID.sum(1, keepdims=True)
    expected = np.square(mean - t[:, 0]).mean()
    assert evaluated(made, as_input(), batch_size=len(IDS))["loss"] == pytest.approx(
        expected, rel=1e-5
    )
