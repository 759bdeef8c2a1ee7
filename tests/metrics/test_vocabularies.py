"""Vocabularies that differ by rows of padding alone: metrics look at the tokens that both have."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import metrics as M
from keras_kd.losses import SoftTarget, SparseSoftTarget
from tests.models import set_weights

LENGTH = 5
RNG = np.random.default_rng(0)
FEW, MANY = (RNG.normal(0.0, 2.0, (6, LENGTH, size)).astype("float32") for size in (60, 64))
MANY[..., 61] += 9.0  # a row of padding that the teacher would choose
METRICS = (M.Agreement, M.TopKAgreement, M.TeacherKL, M.AcceptanceLength)


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("padded", ["teacher", "student"])
def test_padding_is_left_out(kind, padded, caplog):
    teacher, student = (MANY, FEW) if padded == "teacher" else (FEW, MANY)
    metric, alone = kind(), kind()
    for _ in "12":
        metric.update_state(teacher, student)
    alone.update_state(teacher[..., :60], student[..., :60])
    assert float(metric.result()) == pytest.approx(float(alone.result()), rel=1e-6)
    notes = [record.getMessage() for record in caplog.records if record.name == "keras_kd"]
    assert len(notes) == 1
    assert f"Metric '{metric.name}' compares the first 60 tokens: the 4 beyond" in notes[0]


def test_other_vocabularies_are_refused_and_masks_kept():
    with pytest.raises(ValueError, match=r"outputs that differ in shape.*5, 64\).*5, 30\)"):
        M.Agreement().update_state(MANY, FEW[..., :30])
    with pytest.raises(ValueError, match="outputs that differ in shape"):
        M.TeacherKL(from_logits=False).update_state(MANY, FEW)
    valid = np.arange(LENGTH) < 3
    metric, alone = M.TeacherKL(), M.TeacherKL()
    metric.update_state(FEW, MANY, sample_weight=np.tile(valid, (6, 1)))
    alone.update_state(FEW[:, :3], MANY[:, :3, :60])
    assert float(metric.result()) == pytest.approx(float(alone.result()), rel=1e-6)


def tagger(name, size, seed):
    ids = keras.Input((LENGTH,), dtype="int32")
    x = keras.layers.Embedding(size, 4, mask_zero=True)(ids)
    return set_weights(keras.Model(ids, keras.layers.Dense(size)(x), name=name), seed)


def test_in_a_distiller_as_the_loss():
    student, teacher = tagger("s", 60, 1), tagger("t", 64, 2)
    distiller = keras_kd.Distiller(
        student=student, teacher=teacher, terms=[keras_kd.Term(SoftTarget(1.0))]
    )
    distiller.compile("sgd", metrics=[M.TeacherKL(), M.Agreement()])
    x = RNG.integers(0, 60, (7, LENGTH))
    logs = distiller.evaluate(x, batch_size=3, verbose=0, return_dict=True)
    assert logs["teacher_kl"] == pytest.approx(logs["soft_target"], rel=1e-5)
    said = [m.predict(x, verbose=0)[x > 0][:, :60].argmax(-1) for m in (student, teacher)]
    assert logs["agreement"] == pytest.approx((said[0] == said[1]).mean(), rel=1e-6)


def test_the_largest_logits_are_no_vocabulary():
    """As many of them as make a padded vocabulary: their classes are those of the whole one."""
    order = np.argsort(-MANY)[..., :60].astype("int32")
    largest = (np.take_along_axis(MANY, order, -1), order, np.log(np.exp(MANY).sum(-1)))
    student = tagger("s", 64, 1)
    distiller = keras_kd.Distiller(student=student, terms=[keras_kd.Term(SparseSoftTarget(1.0))])
    distiller.compile("sgd", metrics=[M.TeacherKL()])
    x = RNG.integers(1, 64, (6, LENGTH))
    logs = distiller.evaluate(
        {"inputs": x, "signals": {"teacher:output": largest}}, verbose=0, return_dict=True
    )
    expected = float(SparseSoftTarget(1.0)(largest, student.predict(x, verbose=0)))
    assert logs["sparse_soft_target"] == pytest.approx(expected, rel=1e-5)
    assert logs["teacher_kl"] == pytest.approx(expected, rel=1e-5)
