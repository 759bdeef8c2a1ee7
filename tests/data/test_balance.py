import keras
import numpy as np
import pytest

import keras_kd as kd
from keras_kd import stores
from tests.models import CLASSES, cross_entropy, mlp


def imbalanced():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [160, 32, 8]).astype("int32")
    x = rng.normal(size=(200, 8)).astype("float32")
    return kd.data.Part(x, y, np.arange(200))


def test_weights_make_classes_count_the_same():
    part = imbalanced()
    weights = kd.data.class_weights(part.y)
    sums = [weights[c] * (part.y == c).sum() for c in range(CLASSES)]
    np.testing.assert_allclose(sums, 200 / 3)
    distiller = kd.Distiller(student=mlp("s"), teacher=mlp("t"), terms=[kd.Labels()])
    distiller.compile(keras.optimizers.SGD(0.0), cross_entropy())
    weighted = distiller.fit(
        part.x, part.y, batch_size=200, class_weight=weights, verbose=0
    ).history["labels"][0]  # fmt: skip
    logits = keras.ops.convert_to_numpy(distiller.student(part.x))
    each = np.log(np.exp(logits).sum(1)) - logits[np.arange(200), part.y]
    expected = np.mean([each[part.y == c].mean() for c in range(CLASSES)])
    assert weighted == pytest.approx(expected, rel=1e-4)


def test_balanced_batches_meet_every_class_and_every_example():
    batches = kd.data.Balanced(imbalanced(), batch_size=50, seed=1)
    seen = []
    for _ in range(3):
        y = np.concatenate([batches[i]["y"] for i in range(len(batches))])
        ids = np.concatenate([batches[i]["id"] for i in range(len(batches))])
        seen.append(ids)
        assert sorted(np.bincount(y)) == [66, 67, 67]
        batches.on_epoch_end()
    assert (seen[0] != seen[1]).any()
    assert len(set(np.concatenate(seen).tolist())) == 200
    again = kd.data.Balanced(imbalanced(), batch_size=50, seed=1)
    np.testing.assert_array_equal(again[0]["id"], seen[0][:50])


def test_answers_are_joined_to_balanced_batches(tmp_path):
    part, teacher = imbalanced(), mlp("t")
    stores.write(teacher, part, tmp_path, dtype="float32")
    batch, _ = stores.read(tmp_path, kd.data.Balanced(part, batch_size=40))[1]
    live = keras.ops.convert_to_numpy(teacher(batch["inputs"]))
    np.testing.assert_allclose(batch["signals"]["teacher:output"], live, atol=1e-6)


def test_words_of_the_errors():
    with pytest.raises(ValueError, match=r"Class 1 has no example, so nothing can be made of it"):
        kd.data.class_weights([0, 0, 2])
    with pytest.raises(ValueError, match=r"There are 2 classes, and a label is 2"):
        kd.data.class_weights([0, 1, 2], classes=2)
    with pytest.raises(ValueError, match=r"`labels` must be class numbers, one for each example"):
        kd.data.class_weights([0.5, 1.0])
