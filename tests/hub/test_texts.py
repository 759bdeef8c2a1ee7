"""Raw texts given to `fit` and its like: the student's own preprocessor reads them."""

import keras
import numpy as np
import pytest

pytest.importorskip("keras_hub")

import keras_hub

import keras_kd
from tests.hub.models import VOCABULARY, model

LETTERS = "abcdefghijklmnopqrstuvwxyz "
TEXTS = ["a cat sat", "dogs run far away", "", "the end", "once more", "it rains"] * 3


def causal_preprocessor(letters=LETTERS):
    tokens = ["<|endoftext|>", *letters.replace(" ", "Ġ"), "th"]
    tokenizer = keras_hub.models.GPT2Tokenizer(
        vocabulary={token: i for i, token in enumerate(tokens)}, merges=["t h"]
    )
    return keras_hub.models.GPT2CausalLMPreprocessor(tokenizer, sequence_length=10)


def classifier_preprocessor():
    words = sorted({word for text in TEXTS for word in text.split()})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    return keras_hub.models.BertTextClassifierPreprocessor(
        keras_hub.models.BertTokenizer(vocabulary=tokens), sequence_length=8
    )


def distiller(preprocessor, name="GPT2", **settings):
    keras.utils.set_random_seed(0)
    student = model(name, width=8, layers=1, preprocessor=preprocessor)
    for weight in student.trainable_variables:  # far from giving all tokens the same probability
        weight.assign(4.0 * weight)
    made = keras_kd.Distiller(student=student, teacher=model(name), **settings)
    made.compile(keras.optimizers.Adam(0.01), "auto")
    return made


def test_texts_are_what_the_preprocessor_makes_of_them():
    learner = distiller(causal_preprocessor())
    x, y, weights = learner.student.preprocessor(TEXTS)
    x, y, weights = keras.tree.map_structure(np.asarray, (x, y, weights))
    expected = learner.evaluate(x, y, sample_weight=weights, verbose=0)
    assert learner.evaluate(TEXTS, verbose=0) == pytest.approx(expected, rel=1e-3)
    assert learner.evaluate(np.array(TEXTS), verbose=0, batch_size=4) == pytest.approx(
        expected, rel=1e-3
    )
    history = learner.fit(
        TEXTS, epochs=3, batch_size=6, validation_data=(TEXTS,), verbose=0
    ).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] < expected[learner.metrics_names.index("loss")]
    assert learner.predict(TEXTS, verbose=0).shape == (18, 10, VOCABULARY)
    split = learner.fit(TEXTS, validation_split=0.5, verbose=0).history
    assert "val_loss" in split


def test_a_dataset_of_texts():
    tf = pytest.importorskip("tensorflow")
    learner = distiller(causal_preprocessor())
    data = tf.data.Dataset.from_tensor_slices(TEXTS).batch(6)
    expected = learner.evaluate(TEXTS, batch_size=6, verbose=0)
    assert learner.evaluate(data, verbose=0) == pytest.approx(expected, rel=1e-3)
    history = learner.fit(data, validation_data=data, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()


def test_texts_with_labels():
    learner = distiller(classifier_preprocessor(), "Bert")
    y = np.arange(18) % 3
    history = learner.fit(TEXTS, y, epochs=2, validation_data=(TEXTS, y), verbose=0).history
    assert np.isfinite(history["val_loss"]).all()
    weights = np.zeros(18, "float32")
    weights[:6] = 1
    by_weight = learner.evaluate(TEXTS, y, sample_weight=weights, verbose=0, return_dict=True)
    x = keras.tree.map_structure(np.asarray, learner.student.preprocessor(TEXTS))
    expected = learner.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert by_weight == pytest.approx(expected, rel=1e-3)


def test_weights_of_texts_count_beside_the_padding():
    learner = distiller(causal_preprocessor())
    weights = np.r_[np.ones(2), np.zeros(16)].astype("float32")
    by_weight = learner.evaluate(TEXTS, sample_weight=weights, verbose=0, return_dict=True)
    alone = learner.evaluate(TEXTS[:2], verbose=0, return_dict=True)
    assert by_weight["labels"] == pytest.approx(alone["labels"], rel=1e-4)
    every = learner.evaluate(TEXTS, verbose=0, return_dict=True)
    assert every["labels"] != pytest.approx(alone["labels"], rel=2e-3)  # the weights move it
    with pytest.raises(ValueError, match=r"makes the labels, the next tokens.*fit\(texts\)"):
        learner.fit(TEXTS, np.zeros(18), verbose=0)


def test_texts_for_a_student_that_cannot_read():
    learner = distiller(None)
    with pytest.raises(
        ValueError, match=r"holds texts, and the student 'gpt2.*has no preprocessor"
    ):
        learner.fit(TEXTS, verbose=0)
    with pytest.raises(ValueError, match=r"Write \[text\], as in fit"):
        distiller(causal_preprocessor()).fit("a text", verbose=0)


def test_tokenizers_that_differ():
    student = model("GPT2", width=8, preprocessor=causal_preprocessor())
    same = model("GPT2", preprocessor=causal_preprocessor())
    other = model("GPT2", preprocessor=causal_preprocessor(LETTERS[::-1]))
    keras_kd.Distiller(student=student, teacher=same)
    with pytest.raises(ValueError, match=r"tokenizers that differ.*recipes.gold\(student.prep"):
        keras_kd.Distiller(student=student, teacher=other)
    other.preprocessor = None
    keras_kd.Distiller(student=student, teacher=other)


def test_auto_is_the_cross_entropy_that_fits():
    learner = distiller(causal_preprocessor())
    assert learner._given_loss[0].get_config()["from_logits"] is True
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    plain = keras_kd.Distiller(student=student, terms=[keras_kd.Labels()])
    plain.compile("adam", "auto")
    assert plain._given_loss[0].get_config()["from_logits"] is False
    without = keras_kd.Distiller(
        student=model("GPT2", width=8), teacher=model("GPT2"), terms=keras_kd.recipes.gkd()
    )
    without.compile("adam", "auto")
    assert without._given_loss[0] is None


def test_one_batch_of_texts():
    learner, other = (distiller(causal_preprocessor(), "Llama") for _ in "ab")  # without dropout
    other.student.set_weights(learner.student.get_weights())
    other.teacher.set_weights(learner.teacher.get_weights())
    x, y, weights = keras.tree.map_structure(np.asarray, learner.student.preprocessor(TEXTS))
    for texts in (TEXTS, np.array(TEXTS)):
        np.testing.assert_allclose(
            learner.predict_on_batch(texts), learner.predict_on_batch(x), rtol=1e-5
        )
        said = learner.test_on_batch(texts, return_dict=True)
        assert said == pytest.approx(other.test_on_batch(x, y, weights, return_dict=True), rel=1e-4)
    half = np.arange(18) / 9  # weights of texts are factors of their tokens'
    for _ in "123":
        said = learner.train_on_batch(TEXTS, sample_weight=half, return_dict=True)
        expected = other.train_on_batch(x, y, weights * half[:, None], return_dict=True)
        assert said == pytest.approx(expected, rel=1e-4)
    assert said["loss"] != pytest.approx(learner.test_on_batch(TEXTS, return_dict=True)["loss"])
    classifier = distiller(classifier_preprocessor(), "Bert")
    classifier.train_on_batch(TEXTS, np.zeros(18, "int32"))
    learner.student.preprocessor = None
    for method in (learner.train_on_batch, learner.test_on_batch, learner.predict_on_batch):
        with pytest.raises(ValueError, match=r"holds texts, and the student .*no preprocessor"):
            method(TEXTS)
    with pytest.raises(ValueError, match=r"Write \[text\]"):
        distiller(causal_preprocessor()).train_on_batch("a text")


def test_auto_is_what_the_student_was_compiled_with():
    learner = distiller(causal_preprocessor())
    learner.compile("auto", "auto", weighted_metrics="auto")
    rate = learner.student.optimizer.learning_rate
    assert float(learner.optimizer.learning_rate) == pytest.approx(2e-5)
    assert learner.optimizer is not learner.student.optimizer and float(rate) == pytest.approx(2e-5)
    before = learner.student.get_weights()
    logs = learner.evaluate(TEXTS, verbose=0, return_dict=True)
    x, y, weights = keras.tree.map_structure(np.asarray, learner.student.preprocessor(TEXTS))
    right = learner.predict(x, verbose=0).argmax(-1) == y
    expected = (right * weights).sum() / weights.sum()
    assert logs["sparse_categorical_accuracy"] == pytest.approx(expected, rel=1e-5)
    learner.fit(TEXTS, verbose=0)
    moved = max(
        np.abs(a - b).max() for a, b in zip(before, learner.student.get_weights(), strict=True)
    )
    assert 0 < moved < 1e-4
    # Under `metrics` a causal model has none: it is those weighted ones.
    learner.compile("auto", "auto", metrics="auto")
    assert "sparse_categorical_accuracy" in learner.evaluate(TEXTS, verbose=0, return_dict=True)
    classifier = distiller(classifier_preprocessor(), "Bert")
    classifier.compile("auto", "auto", metrics="auto", weighted_metrics="auto")
    assert float(classifier.optimizer.learning_rate) == pytest.approx(5e-5)
    logs = classifier.evaluate(TEXTS, np.zeros(18), verbose=0, return_dict=True)
    assert 0 <= logs["sparse_categorical_accuracy"] <= 1


def test_compare_reads_texts():
    models = {"teacher": model("GPT2", preprocessor=causal_preprocessor()),
              "s": model("GPT2", width=8, layers=1, preprocessor=causal_preprocessor())}  # fmt: skip
    report = keras_kd.report.compare(models, TEXTS, latency=True)
    x, y, weights = keras.tree.map_structure(np.asarray, models["s"].preprocessor(TEXTS))
    expected = keras_kd.report.compare_language(models, (x, y, weights), latency=False)
    for key in ("perplexity", "accuracy", "agreement", "teacher_kl"):
        wanted = pytest.approx(getattr(expected.models["s"], key), rel=1e-5)
        assert getattr(report.models["s"], key) == wanted
    assert report.tokens == expected.tokens == weights.sum()
    again = keras_kd.report.compare(models, (x, y, weights), latency=False)
    assert str(again) == str(expected)


def with_vocabulary(size, width=8):
    backbone = keras_hub.models.LlamaBackbone(
        vocabulary_size=size, num_layers=1, num_query_heads=2, num_key_value_heads=2,
        hidden_dim=width, intermediate_dim=8,
    )  # fmt: skip
    return keras_hub.models.LlamaCausalLM(backbone=backbone)


def test_padding_of_a_vocabulary_is_left_out(caplog):
    student, teacher = with_vocabulary(60), with_vocabulary(64, 16)
    learner = keras_kd.Distiller(student=student, teacher=teacher, terms=keras_kd.recipes.gkd())
    notes = [record.getMessage() for record in caplog.records if record.name == "keras_kd"]
    assert len(notes) == 1 and "compares the first 60 tokens: the 4 beyond" in notes[0]
    learner.compile("adam")
    draw = np.random.default_rng(0).integers(0, 60, (2, 5)).astype("int32")
    x = {"token_ids": draw, "padding_mask": np.ones_like(draw)}
    got = learner.evaluate(x, verbose=0, return_dict=True)["loss"]
    pred, target = (keras.ops.convert_to_numpy(m(x)) for m in (student, teacher))
    loss = keras_kd.recipes.gkd()[0].loss
    assert got == pytest.approx(float(loss(target[..., :60], pred)), rel=1e-5)
    with pytest.raises(ValueError, match="different numbers of classes"):
        keras_kd.Distiller(
            student=student, teacher=with_vocabulary(80), terms=keras_kd.recipes.gkd()
        )


def test_weights_in_bfloat16_are_warned_of():
    keras.config.set_dtype_policy("bfloat16")
    student = with_vocabulary(60)
    learner = keras_kd.Distiller(student=student, terms=[keras_kd.Labels()])
    with pytest.warns(UserWarning, match="weights in bfloat16.*dtype='mixed_bfloat16'"):
        learner.compile("adam", "auto")


def test_a_preprocessor_leaves_token_ids_alone():
    learner = distiller(causal_preprocessor())
    x, y, weights = keras.tree.map_structure(np.asarray, learner.student.preprocessor(TEXTS))
    models = {"teacher": learner.teacher, "student": learner.student}
    with_it = keras_kd.report.compare_language(models, (x, y, weights), latency=False)
    learner.student.preprocessor = None
    without = keras_kd.report.compare_language(models, (x, y, weights), latency=False)
    assert with_it.models["student"] == without.models["student"]


def test_a_classifier_of_texts_in_a_report(tmp_path):
    learner = distiller(classifier_preprocessor(), "Bert")
    student, y = learner.student, np.arange(18) % 3
    x = keras.tree.map_structure(np.asarray, student.preprocessor(TEXTS))
    found = keras_kd.report.compare({"student": student}, (x, y), latency=True)
    logits = keras.ops.convert_to_numpy(student(x))
    expected = (logits.argmax(1) == y).mean()
    assert found.models["student"].scores["accuracy"] == [pytest.approx(expected)]
    part = keras_kd.data.Part(x, y, np.arange(18))
    keras_kd.stores.write(student, part, tmp_path / "store")
    checked = keras_kd.stores.verify(tmp_path / "store", part, student)
    assert checked.examples == 18 and checked.largest["output"] < 1e-2
    held = keras_kd.stores.Store(tmp_path / "store")(part.ids, np.zeros(18, int))
    np.testing.assert_allclose(held["teacher:output"], logits, rtol=2e-3, atol=2e-3)
