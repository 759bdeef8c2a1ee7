"""Every recipe: its published weights, two steps of training, a file and back."""

import functools
import inspect
import operator
import types

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import recipes, teachers
from tests.models import cross_entropy, equal, values
from tests.recipes.networks import (
    CLASSES,
    convolutional,
    images,
    texts,
    tokens,
    transformer,
    writer,
)

ONE = {"pred": "student:b", "target": "teacher:b"}
TWO = {"pred": ["student:a", "student:b"], "target": ["teacher:a", "teacher:b"]}
CROSS = {"pred": "student:a", "target": "teacher:b"}  # 8×8 from 4×4
PARTS = ("query", "key", "value")


#: A tokenizer of nine letters.
LETTERS = types.SimpleNamespace(
    id_to_token="abcdefghi".__getitem__, vocabulary_size=lambda: len("abcdefghi")
)


def networks():
    return {"student": convolutional("s"), "teacher": convolutional("t", 6, 8)}


def sharp():
    """A sure teacher: at a high temperature a soft target hardly depends on it."""
    made = networks()
    kernel = made["teacher"].get_layer("logits").kernel
    kernel.assign(kernel * 100.0)
    return made


def twins():
    return {"student": convolutional("s"), "teacher": convolutional("t")}


def transformers():
    return {"student": transformer("s"), "teacher": transformer("t", width=6)}


def writers():
    return {"student": writer("s"), "teacher": writer("t", 6)}


def pair_of_students():
    return {"student": {"a": convolutional("x"), "b": convolutional("y", 6, 8)}}


def with_momentum():
    student = convolutional("s")
    return {"student": student, "teacher": teachers.Momentum(student, decay=0.9)}


def two_teachers():
    return {
        "student": convolutional("s"),
        "teacher": {"big": convolutional("t", 6, 8), "old": convolutional("u", 3, 6)},
    }


def alone():
    return {"student": convolutional("s")}


#: The functions that give terms.
ALL = {
    name: thing
    for name, thing in vars(recipes).items()
    if inspect.isfunction(thing) and name[0] != "_"
}

# name: the models, the terms, and the weights that LOSSES are published with.
RECIPES = {
    "binary": (networks, lambda m: recipes.binary(), [0.1, 0.9]),
    "hinton": (networks, lambda m: recipes.hinton(), [0.1, 0.9]),
    "regression": (networks, lambda m: recipes.regression(alpha=0.75), [0.25, 0.75]),
    "logit_standardization": (networks, lambda m: recipes.logit_standardization(), [0.1, 9]),
    "ttm": (networks, lambda m: recipes.ttm(), [1, 45]),
    "wttm": (networks, lambda m: recipes.wttm(), [1, 4]),
    "abkd": (networks, lambda m: recipes.abkd(), [1]),
    "dkd": (networks, lambda m: recipes.dkd(), [1, 1]),
    "dist": (networks, lambda m: recipes.dist(), [1, 2]),
    "nkd": (networks, lambda m: recipes.nkd(), [1, 1]),
    "wsld": (networks, lambda m: recipes.wsld(), [1, 2.25]),
    "deit": (networks, lambda m: recipes.deit(), [0.5, 0.5]),
    "tf_kd": (alone, lambda m: recipes.tf_kd(), [0.9, 0.1]),
    "ctkd": (sharp, lambda m: recipes.ctkd(steps=1), [0.1, 0.9]),
    "gkd": (networks, lambda m: recipes.gkd(), [1]),
    "draft": (networks, lambda m: recipes.draft(), [1, 1]),
    "opd": (writers, lambda m: recipes.opd(), [1]),
    "opd by one token": (writers, lambda m: recipes.opd(estimator="k1"), [1]),
    "opd by one token, above 0": (writers, lambda m: recipes.opd(estimator="k3"), [1]),
    "gold": (writers, lambda m: recipes.gold(LETTERS, LETTERS), [1]),
    "minillm": (writers, lambda m: recipes.minillm(), [1, 1]),
    "fitnets": (networks, lambda m: recipes.fitnets(**TWO), [1, 100, 100]),
    "fitnets of another size": (networks, lambda m: recipes.fitnets(**CROSS), [1, 100]),
    "attention_transfer": (networks, lambda m: recipes.attention_transfer(**TWO), [1, 1e3, 1e3]),
    "nst": (networks, lambda m: recipes.nst(**ONE), [1, 50]),
    "fsp": (networks, lambda m: recipes.fsp(**TWO), [1, 50]),
    "fsp of equal channels": (twins, lambda m: recipes.fsp(**TWO), [1, 50]),
    "sobolev": (networks, lambda m: recipes.sobolev(), [1, 1, 1]),
    "ft": (networks, lambda m: recipes.ft(**ONE), [1, 200]),
    "vid": (networks, lambda m: recipes.vid(**TWO), [1, 1, 1]),
    "ab": (
        networks,
        lambda m: recipes.ab(pred=["student:norm_a", "student:norm_b"],
                             target=["teacher:norm_a", "teacher:norm_b"]),
        [1, 0.0015, 0.003],
    ),
    "ofd": (
        networks,
        lambda m: recipes.ofd(teacher=m["teacher"], pred=["student:norm_a", "student:norm_b"],
                              target=["teacher:norm_a", "teacher:norm_b"]),
        [1, 0.0005, 0.001],
    ),
    "representation": (networks, lambda m: recipes.representation(**ONE), [1, 1]),
    "representation of another size": (
        networks, lambda m: recipes.representation(**CROSS, spatial=0.5), [1, 0.5],
    ),
    "representation from two teachers": (
        two_teachers,
        lambda m: recipes.representation(pred="student:b", target=["big:b", "old:a"]),
        [1, 1, 1, 1],
    ),
    "review_kd": (networks, lambda m: recipes.review_kd(**TWO), [1, 5]),
    "mgd": (networks, lambda m: recipes.mgd(**ONE), [1, 7e-5]),
    "simkd": (networks, lambda m: recipes.simkd(**ONE), [1]),
    "sp": (networks, lambda m: recipes.sp(**ONE), [1, 3000]),
    "rkd": (networks, lambda m: recipes.rkd(**ONE), [1, 25, 50]),
    "pkt": (networks, lambda m: recipes.pkt(**ONE), [1, 30000]),
    "cc": (networks, lambda m: recipes.cc(**ONE), [1, 0.02]),
    "crd": (networks, lambda m: recipes.crd(**ONE, negatives=32), [1, 0.8]),
    "crd_memory": (
        networks, lambda m: recipes.crd_memory(examples=16, **ONE, negatives=12, seed=1), [1, 0.8],
    ),
    "srd": (networks, lambda m: recipes.srd(**ONE), [1, 1, 1]),
    "mutual": (pair_of_students, lambda m: recipes.mutual("a", "b"), [1, 1, 1, 1]),
    "own_teacher": (
        alone,
        lambda m: recipes.own_teacher(units=CLASSES, pred="student:a", deepest="student:b"),
        [1, 1, 0.03],
    ),
    "mean_teacher": (with_momentum, lambda m: recipes.mean_teacher(), [1, 100]),
    "ca_mkd": (two_teachers, lambda m: recipes.ca_mkd("big", "old"), [1, 1]),
    "tinybert": (
        transformers,
        lambda m: recipes.tinybert(pred=["student:hidden"], target=["teacher:hidden"],
                                   pred_scores=["student:scores"],
                                   target_scores=["teacher:scores"]),
        [1, 1],
    ),
    "minilm": (
        transformers,
        lambda m: recipes.minilm(pred=tuple(f"student:{p}" for p in PARTS),
                                 target=tuple(f"teacher:{p}" for p in PARTS), heads=4),
        [1, 1],
    ),
}  # fmt: skip


def spans_of_texts():
    """The same, each token as long on both sides; the teacher sees ids of its own."""
    x, y = texts()
    spans = np.stack([y, *[np.zeros_like(y) + np.arange(y.shape[1])] * 2], axis=-1).astype("int32")
    signals = {"teacher:inputs": x, "spans": (spans, spans[..., :2])}
    return {"inputs": x, "signals": signals}, y


def data_for(name):
    if RECIPES[name][0] is transformers:
        return tokens()
    if name == "gold":
        return spans_of_texts()
    if RECIPES[name][0] is writers:
        return texts()
    x, y = images()
    if name == "crd_memory":
        x = {"inputs": x, "signals": {"ids": np.arange(16, dtype="int32")}}
    return x, y


def projectors_of(distiller):
    for term in distiller.terms:
        for side in ("projector", "target_projector"):
            layer = getattr(term, side, None)
            if layer is not None:
                yield f"{term.name}.{side}", layer


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_trains_and_comes_back_from_a_file(name, tmp_path):
    make, terms_of, _ = RECIPES[name]
    made = make()
    distiller = keras_kd.Distiller(**made, terms=terms_of(made))
    labels = any(isinstance(term, keras_kd.Labels) for term in distiller.terms)
    distiller.compile(keras.optimizers.SGD(0.01), cross_entropy() if labels else None)
    x, y = data_for(name)
    still = [v for t in distiller.teachers.values() if not isinstance(t, teachers.Momentum)
             for v in t.variables]  # fmt: skip
    before = {"teachers": values(still), "students": _of_students(distiller)}
    kernels = [(n, v, values([v])) for n, layer in projectors_of(distiller)
               for v in layer.trainable_variables if "bias" not in v.path]  # fmt: skip
    logs = distiller.fit(x, y, batch_size=8, shuffle=False, verbose=0).history
    assert all(np.isfinite(value[0]) for value in logs.values()), logs
    assert equal(before["teachers"], values(still))
    moved = [
        not equal([a], [b])
        for a, b in zip(before["students"], _of_students(distiller), strict=True)
    ]
    assert any(moved)
    for where, variable, was in kernels:
        assert not equal(was, values([variable])), f"{where}: {variable.path} did not move"

    distiller.save(tmp_path / "d.keras")
    again = keras.saving.load_model(tmp_path / "d.keras")
    assert [t.name for t in again.terms] == [t.name for t in distiller.terms]
    expected, said = evaluated(distiller, x, y), evaluated(again, x, y)
    assert said.keys() == expected.keys()
    for key, value in expected.items():
        assert said[key] == pytest.approx(value, rel=1e-4, abs=1e-6), key


def evaluated(distiller, x, y):
    distiller.run_eagerly = keras.config.backend() != "jax"  # one batch: compiling would cost more
    return distiller.evaluate(x, y, verbose=0, return_dict=True)


def _of_students(distiller):
    return values(v for m in distiller.students.values() for v in m.trainable_variables)


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_has_its_published_weights(name):
    make, terms_of, weights = RECIPES[name]
    found = [term.weight for term in terms_of(make())]
    assert found == pytest.approx(weights)


def test_every_recipe_is_in_the_table():
    """Those that give terms; the others make models, or layers' names."""
    assert set(ALL) == {name.split()[0] for name in RECIPES}


#: Settings that several recipes have, in the order in which each of them has them.
ORDER = (
    "temperature", "alpha", "beta", "gamma", "units", "negatives", "warmup", "weight",
    "soft_weight", "labels_weight", "pred", "target",
)  # fmt: skip
#: Recipes that take the two models, and find the layers in them, where no layers are named.
BY_MODELS = ("minilm", "tinybert")
#: Of what has one default wherever it has one.
DEFAULTS = {"pred": "student:output", "target": "teacher:output", "warmup": 0, "soft_weight": 1.0}


@pytest.mark.parametrize("name", ALL)
def test_recipes_have_the_same_settings_in_the_same_order(name):
    parameters = dict(inspect.signature(ALL[name]).parameters)
    if name in BY_MODELS:
        assert list(parameters)[:4] == ["student", "teacher", "pred", "target"]
        assert all(parameters.pop(key).default is None for key in list(parameters)[:4])
    if name == "gold":
        assert list(parameters)[:2] == ["student_tokenizer", "teacher_tokenizer"]
        parameters = {n: p for n, p in parameters.items() if not n.endswith("tokenizer")}
    allowed = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL)
    assert all(p.kind in allowed for p in parameters.values()), "settings are given by name"
    required = [n for n, p in parameters.items() if p.default is p.empty]
    assert list(parameters)[: len(required)] == required, "what is needed comes first"
    free = [n for n in parameters if n not in required]
    shared = [n for n in ORDER if n in free]
    assert [n for n in free if n in shared] == shared
    for key, value in DEFAULTS.items():
        if key in free and name != "own_teacher":  # whose target is the student's own output
            assert parameters[key].default == value, key
    assert "student" not in parameters and ("teacher" not in parameters or name == "ofd")
    assert "labels_weight" in parameters
    assert {"weight", "alpha"} & parameters.keys() or name == "rkd"  # whose parts have names


def settled(name, **more):
    """A recipe's terms, as the table makes them, with more settings."""
    make, terms_of, _ = RECIPES[name]
    made = make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, name, functools.partial(ALL[name], **more))
        return terms_of(made)


@pytest.mark.parametrize("name", [n for n in ALL if n != "minillm"])  # which has none
def test_labels_can_be_left_out_of_every_recipe(name):
    assert not any(isinstance(t, keras_kd.Labels) for t in settled(name, labels_weight=0))
    weights = [
        t.weight for t in settled(name, labels_weight=0.25) if isinstance(t, keras_kd.Labels)
    ]
    assert set(weights) == {0.25}


@pytest.mark.parametrize(
    "name", [n for n in ALL if "weight" in inspect.signature(ALL[n]).parameters]
)
def test_weight_is_a_factor_of_what_the_recipe_adds(name):
    def added(weight):
        terms = settled(name, weight=weight, labels_weight=0)
        return [t.weight for t in terms if t.name != "soft_target" or name not in SOFT_APART]

    assert added(4.0) == pytest.approx([4.0 * w for w in added(1.0)])
    assert added(1.0) and all(added(1.0))


SOFT_APART = ("draft", "sobolev", "srd")  # which have `soft_weight`


def test_recipes_of_the_students_own_tokens_have_no_labels():
    for recipe in (recipes.minillm, lambda **s: recipes.opd(estimator="k1", **s)):
        with pytest.raises(ValueError, match="leave out `labels_weight`"):
            recipe(labels_weight=0.5)
    with pytest.raises(ValueError, match="must be 'full', 'k1' or 'k3'"):
        recipes.opd(estimator="k2")


def test_students_share_the_weight_among_the_others():
    terms = recipes.mutual("a", "b", "c", weight=3.0, labels_weight=0)
    assert [t.weight for t in terms] == [1.5] * 6  # two others each


def test_settings_without_a_name_are_refused_with_their_names():
    with pytest.raises(
        TypeError, match=r"by name: temperature, beta, .*\.dist\(temperature=4\.0\)"
    ):
        recipes.dist(4.0)


def test_old_names_lead_to_the_new_ones():
    with pytest.warns(FutureWarning, match="Write pred="):
        terms = recipes.hinton(student="student:logits")
    assert [t.pred for t in terms] == ["student:logits"] * 2
    with pytest.warns(FutureWarning, match=r"Write keras_kd\.procedures\.hint_layers"):
        assert recipes.hint_layers is keras_kd.procedures.hint_layers
    with pytest.raises(AttributeError, match="no attribute 'hint_layer'"):
        _ = recipes.hint_layer


SETTINGS = {
    "binary": {"temperature": 4.0},
    "hinton": {"temperature": 4.0},
    "logit_standardization": {"temperature": 2.0},
    "ttm": {"temperature": 10.0, "weighted": False},
    "wttm": {"temperature": 5.0, "weighted": True},
    "abkd": {"alpha": 0.2, "beta": 0.7, "temperature": 1.0},
    "dkd": {"alpha": 1.0, "beta": 8.0, "temperature": 4.0},
    "dist": {"beta": 1.0, "gamma": 1.0, "temperature": 4.0},
    "nkd": {"gamma": 1.5, "temperature": 1.0},
    "wsld": {"alpha": 1.0, "temperature": 4.0},
    "tf_kd": {"correct": 0.99, "temperature": 20.0},
    "gkd": {"beta": 0.0},
    "draft": {"temperature": 1.0},
    "ab": {"margin": 1.0},
    "review_kd": {"loss.levels": (4, 2, 1)},
    "ca_mkd": {"loss.temperature": 4.0},
    "crd_memory": {"examples": 16},
    "tinybert": {"masked_below": -100.0},
    "cc": {"gamma": 0.4, "order": 2},
    "crd": {"temperature": 0.07},
    "srd": {"power": 4.0},
    "mutual": {"temperature": 1.0},
}


@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_recipe_has_its_published_settings(name):
    make, terms_of, _ = RECIPES[name]
    loss = terms_of(make())[-1].loss
    found = {key: operator.attrgetter(key)(loss) for key in SETTINGS[name]}
    assert found == SETTINGS[name]


def test_the_defaults_of_what_the_tests_make_smaller():
    memory = recipes.crd_memory(examples=50000, **ONE)[1]
    assert memory.loss.examples == memory.projector.examples == 50000
    bank = {key: getattr(memory.projector, key) for key in
            ("units", "negatives", "temperature", "momentum")}  # fmt: skip
    assert bank == {"units": 128, "negatives": 16384, "temperature": 0.07, "momentum": 0.5}
    contrast = recipes.crd(**ONE)[1]
    assert contrast.target_projector.size == 16384 and contrast.projector.units == 128
    assert (
        recipes.minilm(pred=parts_of("student"), target=parts_of("teacher"))[0].projector.heads
        == 12
    )
    early = recipes.own_teacher(units=CLASSES, pred="student:a")[1].loss
    assert (early.alpha, early.temperature) == (0.3, 3.0)
    temperature = recipes.ctkd(steps=10)[1].projector
    assert (temperature.lowest, temperature.span) == (1.0, 20.0)
    assert recipes.simkd(**ONE)[0].projector.factor == 2
    assert recipes.vid(**ONE)[1].projector.initial_variance == 5.0
    assert recipes.ft(**ONE)[1].projector.rate == recipes.mgd(**ONE)[1].projector.rate == 0.5


def parts_of(role):
    return tuple(f"{role}:{part}" for part in PARTS)


@pytest.mark.parametrize(
    "recipe", [recipes.dkd, lambda warmup: recipes.review_kd(**TWO, warmup=warmup)]
)
def test_a_warmup_rises_along_a_line(recipe):
    term = recipe(warmup=200)[1]
    full = recipe(warmup=0)[1].weight
    found = [float(term.weight(step)) for step in (0, 50, 200, 999)]
    assert found == pytest.approx([0, full / 4, full, full])


NAMES_LAYERS = [
    name
    for name, recipe in ALL.items()
    if all(
        inspect.signature(recipe).parameters.get(n, recipe) is not recipe
        and inspect.signature(recipe).parameters[n].default is inspect.Parameter.empty
        for n in ("pred", "target")
    )
    and name not in ("tinybert", "minilm")  # whose layers have no size
]


@pytest.mark.parametrize("name", NAMES_LAYERS)
def test_without_layers_a_recipe_says_how_to_find_them(name):
    """And what it says does it: the call in its error is one that can be made."""
    recipe = getattr(recipes, name)
    first = {"crd_memory": {"examples": 16}, "ofd": {"teacher": convolutional("t")}}.get(name, {})
    for given in ({}, {"pred": "student:a"}, {"target": "teacher:a"}):
        with pytest.raises(TypeError) as error:
            recipe(**first, **given)
    said = str(error.value)
    assert said.startswith(
        f"The recipe '{name}' compares layers, and needs their addresses, `pred` "
    )
    call = said.rsplit(": ", 1)[1].replace(", and keras_kd", "; keras_kd").removesuffix(".")
    names = {
        "keras_kd": keras_kd, "examples": 16, "student": convolutional("s"),
        "teacher": convolutional("t"),
    }  # fmt: skip
    *before, call = call.split("; ")
    exec("".join(before), names)
    if name == "ofd":  # it asks for other layers than those that have the last word
        with pytest.raises(ValueError, match="is a BatchNormalization layer of 't'"):
            eval(call, names)
    else:
        assert [t.name for t in eval(call, names)] == [
            t.name for t in recipe(**first, **used(name))
        ]


def used(name):
    return ONE if name in ("simkd",) else TWO


def test_labels_can_be_left_to_another_recipe():
    terms = [*recipes.dkd(), *recipes.attention_transfer(**TWO, labels_weight=0)]
    assert [t.name for t in terms] == ["labels", "decoupled_soft_target", "attention", "attention"]


@pytest.mark.parametrize(
    "wrong, message",
    [
        (lambda: recipes.vid(pred=["student:a"], target=["teacher:a", "teacher:b"]), "in pairs"),
        (lambda: recipes.fsp(**ONE), "two layers"),
        (lambda: recipes.mutual("a"), "two or more students"),
        (lambda: recipes.mutual("a", "a"), "two or more students"),
        (lambda: recipes.ca_mkd("a"), "two or more teachers"),
        (lambda: recipes.deit(alpha=1.5), "between 0 and 1"),
        (lambda: recipes.ctkd(steps=0), "`steps` must be a number above 0"),
        (
            lambda: recipes.ofd(teacher=convolutional("t"), **ONE),
            "is a BatchNormalization layer of 't'",
        ),
        (
            lambda: recipes.fitnets(**TWO, projector=keras_kd.projectors.Conv1x1(3)),
            "cannot serve 2 pairs",
        ),
    ],
)
def test_what_a_recipe_cannot_be_given(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def regressors():
    return {
        role: keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(2, kernel_initializer="zeros", bias_initializer=bias),
            ]
        )
        for role, bias in (("student", keras.initializers.Constant(4.0)), ("teacher", "ones"))
    }


@pytest.mark.parametrize(
    "delta, imitation",
    [(None, 9.0), (2.0, 2.0 * (3.0 - 1.0))],  # (4 - 1)²; delta (error - delta / 2)
)
def test_regression_is_the_square_or_huber_of_the_difference(delta, imitation):
    model = keras_kd.Distiller(**regressors(), terms=recipes.regression(alpha=0.25, delta=delta))
    model.compile("sgd", "mse")
    x, y = np.ones((8, 4), "float32"), np.full((8, 2), 2.0, "float32")
    logs = model.evaluate(x, y, return_dict=True, verbose=0)
    assert logs["imitation"] == pytest.approx(imitation, abs=1e-5)
    assert logs["loss"] == pytest.approx(0.75 * 4.0 + 0.25 * imitation, abs=1e-5)
    alone = keras_kd.Distiller(**regressors(), terms=recipes.regression(alpha=1.0, delta=delta))
    alone.compile(keras.optimizers.SGD(0.1))
    alone.fit(x, epochs=40, verbose=0)
    np.testing.assert_allclose(alone.student.predict(x, verbose=0), 1.0, atol=0.05)


@pytest.mark.parametrize("delta", [0, -1.0, "1", True])
def test_regression_has_a_delta_above_0(delta):
    with pytest.raises(ValueError, match="`delta` must be a number above 0, or None"):
        recipes.regression(delta=delta)
