"""Texts that students and teachers write: which weights wrote them, and what of them is scored."""

import json

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd as kd
from keras_kd.sources import OnPolicy, TeacherText
from keras_kd.stores import StoreError

VOCABULARY, LENGTH, END = 11, 8, 3
PROMPTS = [[1, 2], [4], [5, 6, 7], [8], [9, 1], [2, 2, 2], [10]]
IGNORING = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)


def language_model(seed, name="student"):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((None,), dtype="int32")
    h = layers.Embedding(VOCABULARY, 8)(inputs)
    return keras.Model(inputs, layers.Dense(VOCABULARY)(layers.GRU(8, return_sequences=True)(h)),
                       name=name)  # fmt: skip


def greedy(model, prompts, end=END):
    """The likeliest token after the likeliest, until one that ends the text."""
    tokens, given = prompts["token_ids"], prompts["padding_mask"]
    mask = given.copy()
    for place in range(1, tokens.shape[1]):
        logits = ops.convert_to_numpy(model(tokens))[:, place - 1]  # one shape, compiled once
        goes_on = mask[:, place - 1] & ~((tokens[:, place - 1] == end) & ~given[:, place - 1])
        own = goes_on & ~given[:, place]
        tokens[:, place] = np.where(own, logits.argmax(axis=-1), tokens[:, place])
        mask[:, place] |= own
    return {"token_ids": tokens, "padding_mask": mask}


class Same(keras.callbacks.Callback):
    """Whether the batch of each step is what the student writes with the weights of that step."""

    def __init__(self, source, write=greedy):
        super().__init__()
        self.source, self.write, self.found = source, write, []

    def on_train_batch_begin(self, batch, logs=None):
        self.model._sync_state()
        x, _y, weight = self.source.last_batch
        prompts = rows_of(x, weight)
        again = self.write(self.model.student, prompts)
        self.found.append(np.array_equal(again["token_ids"][:, :-1], x))


def rows_of(x, weight):
    """The prompts of a batch: what stands before the first place that is scored."""
    tokens = np.zeros((len(x), LENGTH), "int32")
    mask = np.zeros((len(x), LENGTH), bool)
    for row in range(len(x)):
        length = int(np.argmax(weight[row] > 0)) + 1
        tokens[row, :length], mask[row, :length] = x[row, :length], True
    return {"token_ids": tokens, "padding_mask": mask}


def distiller(terms=None, loss=None, rate=0.05):
    made = kd.Distiller(
        student=language_model(1), teacher=language_model(2, "teacher"),
        terms=terms or kd.recipes.gkd(beta=1.0),
    )  # fmt: skip
    made.compile(keras.optimizers.SGD(rate), loss)
    return made


def source(**options):
    given = {
        "max_length": LENGTH, "batch_size": 3, "generate": greedy, "stop_token_ids": [END],
        **options,
    }  # fmt: skip
    return OnPolicy(given.pop("prompts", PROMPTS), **given)


def test_each_batch_is_of_the_current_weights():
    mine = source()
    same = Same(mine)
    trained = distiller(rate=5.0)  # large steps: texts of the step before would be others
    first = None
    for _ in range(2):
        trained.fit(mine, steps_per_epoch=4, verbose=0, callbacks=[same])
        first = first or mine.last_batch
    assert same.found == [True] * 8
    assert not np.array_equal(first[0], mine.last_batch[0])
    old = source(refresh=2)
    same = Same(old)
    distiller(rate=5.0).fit(old, steps_per_epoch=4, verbose=0, callbacks=[same])
    assert same.found[::2] == [True] * 2 and not all(same.found[1::2])


def test_neither_prompt_nor_what_follows_the_end_is_scored():
    def write(model, prompts):
        tokens, mask = prompts["token_ids"], prompts["padding_mask"]
        lengths = mask.sum(axis=1)
        for row, length in enumerate(lengths):
            tokens[row, length : length + 2] = [7, END]
            tokens[row, length + 2 :] = 9  # what a sampler leaves behind the end
            mask[row, : length + 2] = True
        return {"token_ids": tokens, "padding_mask": mask}

    mine = source(generate=write, prompts=[[1, 2], [4]], batch_size=2)
    history = distiller().fit(mine, steps_per_epoch=1, verbose=0).history
    x, y, weight = mine.last_batch
    for row in range(2):
        length = 2 if x[row, 0] == 1 else 1
        scored = np.flatnonzero(weight[row])
        assert scored.tolist() == [length - 1, length]
        assert y[row][scored].tolist() == [7, END] and set(np.delete(y[row], scored)) == {-1}
    assert history["written_tokens"] == [2.0] and history["ended"] == [1.0]
    assert history["on_policy_share"] == [1.0] and history["tokens_per_second"][0] > 0


def test_what_is_not_scored_moves_nothing():
    losses = []
    for filler in (5, 9):

        def write(model, prompts, filler=filler):
            tokens, mask = prompts["token_ids"], prompts["padding_mask"]
            lengths = mask.sum(axis=1)
            for row, length in enumerate(lengths):
                tokens[row, length] = END
                tokens[row, length + 1 :] = filler
                mask[row, length] = True
            return {"token_ids": tokens, "padding_mask": mask}

        trained = distiller()
        history = trained.fit(source(generate=write), steps_per_epoch=1, verbose=0).history
        losses.append((history["loss"][0], trained.student.get_weights()))
    assert losses[0][0] == pytest.approx(losses[1][0], abs=1e-7)
    for one, other in zip(losses[0][1], losses[1][1], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_a_share_of_the_batches_is_of_data():
    data = [[1, 5, 5, 5, 5, 5, 5, 5, 5, 5], [1, 6, 6]]
    mine = source(data=data, share=kd.schedules.Linear(0.0, 1.0, 40), batch_size=2)
    kinds = []

    class Kind(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            x, _y, weight = mine.last_batch
            kinds.append(bool((weight[:, 0] == 1).all() and set(x[:, 0]) == {1}))

    trained = distiller(kd.recipes.gkd(labels_weight=0.5), IGNORING)
    history = trained.fit(mine, steps_per_epoch=20, epochs=3, verbose=0, callbacks=[Kind()]).history
    shares = history["on_policy_share"]
    assert shares[0] == pytest.approx(1 - np.mean(kinds[:20])) and shares[2] == 1.0
    assert 0 < shares[0] < 0.5 < shares[1] < 1 and not any(kinds[40:])
    again = source(data=data, share=kd.schedules.Linear(0.0, 1.0, 40), batch_size=2)
    repeated = distiller(kd.recipes.gkd(labels_weight=0.5), IGNORING)
    same = repeated.fit(again, steps_per_epoch=20, epochs=3, verbose=0).history
    assert same["on_policy_share"] == shares and same["loss"] == pytest.approx(history["loss"])


def test_own_text_has_no_labels():
    mine = source()
    with pytest.raises(ValueError, match=r"no `ignore_class`.*ignore_class=-1.*labels_weight=0"):
        distiller(
            kd.recipes.gkd(labels_weight=0.5),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ).fit(mine, steps_per_epoch=1, verbose=0)
    trained = distiller(kd.recipes.gkd(labels_weight=0.5), IGNORING)
    history = trained.fit(mine, steps_per_epoch=1, verbose=0).history
    assert history["labels"] == [0.0] and history["jensen_shannon"][0] > 0


def test_refresh_writes_several_batches_at_once():
    calls = []

    def write(model, prompts):
        calls.append(len(prompts["token_ids"]))
        return greedy(model, prompts)

    distiller().fit(source(generate=write, refresh=3), steps_per_epoch=6, verbose=0)
    assert calls == [9, 9]


def test_each_prompt_before_any_comes_again():
    firsts = []

    class First(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            firsts.extend(map(tuple, mine.last_batch[0][:, :1].tolist()))

    prompts = [[token] for token in range(1, 8)]
    mine = source(prompts=prompts)
    distiller().fit(mine, steps_per_epoch=7, verbose=0, callbacks=[First()])
    for turn in range(3):
        assert sorted(firsts[7 * turn : 7 * turn + 7]) == [(token,) for token in range(1, 8)]


def test_degenerate_writing_is_reported():
    def fives(model, prompts):
        tokens, mask = prompts["token_ids"], prompts["padding_mask"]
        return {"token_ids": np.where(mask, tokens, 5), "padding_mask": np.ones_like(mask)}

    with pytest.warns(UserWarning, match="token 5 in 100% of the places"):
        distiller().fit(source(generate=fives), steps_per_epoch=2, verbose=0)

    def nothing(model, prompts):
        return prompts

    with pytest.warns(UserWarning, match="not one token"):
        history = distiller().fit(
            source(generate=nothing, prompts=[[4, END]]), steps_per_epoch=1, verbose=0
        )
    assert history.history["ended"] == [0.0]  # that end is of the prompt


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"prompts": []}, ValueError, "`prompts` are empty"),
        ({"prompts": "a text"}, TypeError, "must be a list of texts"),
        ({"prompts": [[1], []]}, ValueError, "an empty text in row 1"),
        ({"prompts": ["a", "  "]}, ValueError, "an empty text in row 1"),
        ({"share": 0.5}, ValueError, "no `data` for the other batches"),
        ({"share": 1.5}, ValueError, "`share` must be from 0 to 1"),
        ({"max_length": 1}, ValueError, "`max_length` must be a whole number of at least 2"),
        ({"prompts": {"token_ids": [[1]]}}, ValueError, "must have 'token_ids' and 'padding_mask'"),
    ],
)
def test_bad_input_is_refused_at_once(options, error, message):
    with pytest.raises(error, match=message):
        source(**options)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"prompts": [[1], [1] * LENGTH]}, ValueError, "8 tokens or more in row 1.*max_length=8"),
        ({"prompts": ["a text"]}, TypeError, "'student' has no preprocessor"),
        ({"prompts": [[[1]]]}, TypeError, "lists of token numbers"),
        ({"generate": None}, TypeError, "'student' has no `generate`"),
        ({"stop_token_ids": "auto"}, ValueError, "or 'auto' for a model with a tokenizer"),
        ({"role": "small"}, ValueError, "No student has the role 'small'"),
        ({"generate": lambda m, p: None}, TypeError, "must return a dict"),
        (
            {"generate": lambda m, p: {k: v[:, :-1] for k, v in p.items()}},
            ValueError,
            r"of the shape it was given, \(3, 8\)",
        ),
    ],
)
def test_what_the_student_cannot_do_is_said_before_a_step(options, error, message):
    with pytest.raises(error, match=message):
        distiller().fit(source(**options), steps_per_epoch=1, verbose=0)


@pytest.mark.skipif(keras.config.backend() == "torch", reason="Keras refuses it itself")
def test_several_steps_in_one_call_are_refused():
    made = distiller()
    made.compile("sgd", steps_per_execution=2)
    with pytest.raises(ValueError, match="needs steps_per_execution=1"):
        made.fit(source(), steps_per_epoch=2, verbose=0)


def test_it_says_where_it_belongs():
    mine, made = source(), distiller()
    with pytest.raises(ValueError, match="give it to `fit` of the Distiller"):
        mine[0]
    made.fit(mine, steps_per_epoch=1, verbose=0)
    with pytest.raises(ValueError, match="give it to `fit` of the Distiller"):
        mine[0]  # after training nobody writes: no batch in which nothing is scored


def test_an_epoch_without_an_end_is_refused():
    with pytest.raises(ValueError, match="Say how many steps an epoch has"):
        distiller().fit(source(), verbose=0)


def test_replicas_are_refused():
    made = distiller()
    several = type("Strategy", (), {"num_replicas_in_sync": 2})
    with pytest.raises(ValueError, match=r"a distiller of 2 replicas.*TeacherText"):
        source().fit_callback(_With(made, several), 1)


class _With:
    """A distiller with another strategy."""

    def __init__(self, made, strategy):
        self.made, self.distribute_strategy = made, strategy

    def __getattr__(self, name):
        return getattr(self.made, name)


# What the teacher writes.


def written(path, **options):
    given = {
        "max_length": LENGTH, "generate": greedy, "stop_token_ids": [END], "verbose": 0,
        "batch_size": 4, **options,
    }  # fmt: skip
    teacher = given.pop("teacher", language_model(2, "teacher"))
    return TeacherText(teacher, given.pop("prompts", PROMPTS), path, **given)


def test_a_student_learns_what_the_teacher_wrote(tmp_path):
    mine = written(tmp_path / "texts", shuffle=False)
    teacher = language_model(2, "teacher")
    x, y, weight = mine[0]
    again = greedy(teacher, rows_of(x, weight))
    np.testing.assert_array_equal(again["token_ids"][:, :-1], x)
    np.testing.assert_array_equal(again["token_ids"][:, 1:], y)
    assert len(mine) == 2 and len(mine[1][0]) == 3
    student = kd.Distiller(student=language_model(1), terms=[kd.Labels()])
    student.compile(
        keras.optimizers.Adam(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    history = student.fit(mine, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


def test_it_is_written_once_and_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_kd.sources._teacher_text._PER_FILE", 4)
    calls = []

    def write(model, prompts):
        calls.append(len(prompts["token_ids"]))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return greedy(model, prompts)

    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, generate=write)
    assert [p.name for p in sorted(tmp_path.glob("*.npz"))] == ["part-00000.npz"]
    with pytest.raises(
        StoreError, match=r"not complete: texts 4 to 6 are missing. Give the teacher"
    ):
        written(tmp_path, teacher=None)
    first = (tmp_path / "part-00000.npz").read_bytes()
    mine = written(tmp_path, generate=write)
    assert len(calls) == 3 and (tmp_path / "part-00000.npz").read_bytes() == first
    written(tmp_path, generate=write)
    assert len(calls) == 3
    alone = written(tmp_path, teacher=None)
    for one, other in zip(mine[0], alone[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_each_epoch_has_an_order_of_its_own(tmp_path):
    mine = written(tmp_path, batch_size=7)
    first = mine[0][0]
    mine.on_epoch_end()
    second = mine[0][0]
    assert not np.array_equal(first, second)
    assert sorted(map(tuple, first.tolist())) == sorted(map(tuple, second.tolist()))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"prompts": PROMPTS[:-1]}, "texts was 7, is 6"),
        ({"max_length": 9}, "max_length was 8, is 9"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"teacher": language_model(3, "teacher")}, "teacher was "),
        ({"stop_token_ids": [4]}, r"stop_token_ids was \[3\], is \[4\]"),
    ],
)
def test_texts_of_another_kind_are_refused(tmp_path, options, message):
    written(tmp_path)
    with pytest.raises(StoreError, match=message + ".*Give another `path`"):
        written(tmp_path, **options)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(StoreError, match="holds no teacher's text"):
        written(tmp_path, teacher=None)
    (tmp_path / "teacher_text.json").write_text(json.dumps({"texts": 1})[:-1])
    with pytest.raises(StoreError, match="holds no teacher's text"):
        written(tmp_path)


# KerasHub's models.


def hub_model(seed, **options):
    hub = pytest.importorskip("keras_hub")
    keras.utils.set_random_seed(seed)
    backbone = hub.models.LlamaBackbone(
        vocabulary_size=VOCABULARY, num_layers=1, num_query_heads=2, hidden_dim=8,
        intermediate_dim=8, num_key_value_heads=2,
    )  # fmt: skip
    return hub.models.LlamaCausalLM(backbone=backbone, preprocessor=None, **options)


def test_the_last_batch_is_what_generate_writes():
    student = hub_model(1)
    student.compile(sampler="greedy")
    made = kd.Distiller(student=student, teacher=hub_model(2), terms=kd.recipes.gkd(beta=1.0))
    made.compile(keras.optimizers.SGD(5.0))
    mine = source(generate=None)

    class Hub(Same):
        def on_train_batch_begin(self, batch, logs=None):
            self.model._sync_state()
            x, _y, weight = mine.last_batch
            prompts = rows_of(x["token_ids"], weight)
            again = student.generate(prompts, stop_token_ids=[END])
            self.found.append(np.array_equal(again["token_ids"][:, :-1], x["token_ids"]))

    same = Hub(mine)
    made.fit(mine, steps_per_epoch=3, verbose=0, callbacks=[same])
    assert same.found == [True] * 3


def test_the_token_that_ends_texts_may_be_the_first_of_the_vocabulary(tmp_path):
    """Free places hold some token: it must not be taken for an end."""
    teacher = hub_model(2)
    teacher.compile(sampler="random")
    options = {"max_length": LENGTH, "shuffle": False, "verbose": 0}
    texts = {
        end: TeacherText(teacher, PROMPTS, tmp_path / str(end), stop_token_ids=[end], **options)[0]
        for end in (0, VOCABULARY - 1)
    }
    lengths = {end: weight.sum(axis=1) for end, (_, _, weight) in texts.items()}
    assert lengths[0].max() > 1 and lengths[VOCABULARY - 1].max() > 1
    _, tokens, weight = texts[0]
    for row in range(len(tokens)):  # no end but at the end
        assert 0 not in tokens[row][weight[row] > 0][:-1]


def test_a_sampler_draws_by_the_seed_and_the_step(tmp_path):
    teacher = hub_model(2)
    teacher.compile(sampler="random")
    texts = [
        TeacherText(teacher, PROMPTS, tmp_path / str(number), max_length=LENGTH, shuffle=False,
                    stop_token_ids=[END], seed=seed, verbose=0)[0][0]["token_ids"]
        for number, seed in enumerate((0, 0, 1))
    ]  # fmt: skip
    np.testing.assert_array_equal(texts[0], texts[1])
    assert not np.array_equal(texts[0], texts[2])
    teacher.compile(sampler="greedy")
    with pytest.raises(StoreError, match=r"sampler was .*RandomSampler"):
        TeacherText(teacher, PROMPTS, tmp_path / "0", max_length=LENGTH, stop_token_ids=[END])
