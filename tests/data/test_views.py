"""Views: the same pixels for the same id and view, however they are asked for."""

import json

import numpy as np
import pytest

import keras_kd as kd
from keras_kd._examples._ids import as_bytes
from keras_kd._examples._pool import Pool

pytest.importorskip("tensorflow")
d = kd.data
STEPS = {
    "Crop": d.Crop(1), "Flip": d.Flip(), "Translate": d.Translate(0.2, 0.2),
    "Color": d.Color(0.2, 0.3), "CutOut": d.CutOut(3),
}  # fmt: skip


@pytest.fixture(scope="module")
def part():
    return d.load("digits")["train"].take(np.arange(150))


def drawn(data):
    return np.concatenate([np.asarray(x) for x, _ in data])


@pytest.mark.parametrize("name", STEPS)
def test_each_step_draws_and_depends_on_id_view_and_seed(part, name):
    augment = d.Augment(STEPS[name], seed=1)
    x = augment(part.x, ids=part.ids, views=0)
    assert x.shape == part.x.shape
    assert x.dtype == part.x.dtype
    assert x.min() >= 0
    assert x.max() <= 1
    changed = (x != part.x).any(axis=(1, 2, 3)).mean()
    assert changed > 0.35
    for other in (
        augment(part.x, ids=part.ids, views=1),
        augment(part.x, ids=part.ids[::-1], views=0),
        d.Augment(STEPS[name], seed=2)(part.x, ids=part.ids, views=0),
    ):
        assert (other != x).any(axis=(1, 2, 3)).mean() > 0.3
    again = d.Augment.from_config(json.loads(json.dumps(augment.get_config())))
    assert again == augment
    np.testing.assert_array_equal(again(part.x, ids=part.ids, views=0), x)


def test_flip_flips_half(part):
    x = d.Augment(d.Flip())(part.x, ids=part.ids, views=0)
    flipped = (x == part.x[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (x == part.x).all(axis=(1, 2, 3))
    assert (flipped | kept).all()
    assert 0.35 < flipped.mean() < 0.65


def test_crop_moves_by_at_most_the_padding(part):
    x = d.Augment(d.Crop(1, "constant"))(part.x, ids=part.ids, views=0)
    padded = np.pad(part.x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = [padded[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    hits = np.array([(x == window).all(axis=(1, 2, 3)) for window in windows])
    assert hits.any(axis=0).all()
    assert (hits.sum(axis=1) > 0).all()


def test_cut_out_leaves_a_square(part):
    ones = np.ones((200, 8, 8, 1), "float32")
    x = d.Augment(d.CutOut(4))(ones, ids=np.arange(200), views=0)
    removed = (x == 0).sum(axis=(1, 2, 3))
    assert removed.min() >= 4
    assert removed.max() == 16


def test_the_same_in_every_batch_order_and_form(part):
    augment = d.Augment(*STEPS.values(), seed=5)
    views = {"augment": augment, "views": 2}
    whole = [augment(part.x, ids=part.ids, views=view) for view in range(2)]
    backwards = part.take(np.arange(150)[::-1])
    for data in (
        d.feed(part, batch_size=64, **views),
        d.feed(d.tf_data(part), batch_size=37, **views),
        d.feed(d.tf_data(part).batch(50), **views),
    ):
        for epoch in range(3):
            x = drawn(data[i] for i in range(len(data))) if hasattr(data, "epoch") else drawn(data)
            np.testing.assert_array_equal(x, whole[epoch % 2])
            if hasattr(data, "epoch"):
                data.on_epoch_end()
    np.testing.assert_array_equal(
        drawn(d.feed(d.tf_data(backwards), **views)), whole[0][::-1]
    )  # fmt: skip


def test_the_views_of_today_are_those_of_tomorrow():
    """Written down once: what is stored must still fit after an upgrade."""
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1) / 16
    seen = d.Augment(d.Crop(1), d.Flip(), seed=7)(x, ids=["a"], views=2)
    assert (16 * seen[0, ..., 0]).astype(int).tolist() == GOLDEN


GOLDEN = [[5, 4, 5, 6], [9, 8, 9, 10], [13, 12, 13, 14], [9, 8, 9, 10]]


def test_partners_see_the_same_view_of_their_own(part):
    """Steps first, then the mix; view 1 of a partner is what it would show by itself."""
    augment = d.Augment(d.Flip(), d.Crop(1), mix=d.MixUp(10, 1.0), seed=4)
    alone = d.Augment(*augment.steps, seed=4)
    view = np.full(150, 1)
    partners = Pool(part).partners(part.ids, view, 4)
    first = alone(part.x, ids=part.ids, views=1)
    second = alone(part.x[partners], ids=part.ids[partners], views=1)
    feed = d.feed(d.tf_data(part), augment=augment, views=2, among=part, batch_size=150)
    (x0, _), (x1, y1) = next(iter(feed)), next(iter(feed))
    share = np.where(part.y == part.y[partners], np.nan, y1.numpy()[np.arange(150), part.y])
    share = share[:, None, None, None]
    mixed = share * first + (1 - share) * second
    known = ~np.isnan(share[:, 0, 0, 0])
    np.testing.assert_allclose(x1.numpy()[known], mixed[known], atol=1e-5)
    assert (x0.numpy() != x1.numpy()).any()


def test_the_mixes_of_today_are_those_of_tomorrow():
    """Written down once, as for the steps."""
    part = d.Part(np.arange(3.0, dtype="float32").reshape(3, 1, 1, 1), np.arange(3), list("abc"))
    augment = d.Augment(mix=d.MixUp(3, 1.0), seed=7)
    x, y = d.feed(part, augment=augment)[0]
    np.testing.assert_allclose(x.ravel(), y @ np.arange(3), atol=1e-6)
    np.testing.assert_allclose(y, MIXED, atol=1e-4)


MIXED = [[0.4047, 0.5953, 0.0], [0.0, 0.5357, 0.4643], [0.9442, 0.0, 0.0558]]


@pytest.mark.parametrize("mix", [d.MixUp(10, 1.0), d.CutMix(10)])
def test_mixing(part, mix):
    x = np.random.default_rng(0).random(part.x.shape, "float32")
    part = d.Part(x, part.y, part.ids)
    augment = d.Augment(mix=mix, seed=3)
    pool = Pool(part)
    view = np.zeros(150, int)
    x, y = augment.mixed(part.x, part.y, ids=part.ids, views=view, pool=pool)
    partners = pool.partners(part.ids, view, 3)
    assert len(set(partners)) > 70
    for others in (pool.partners(part.ids, view + 1, 3), pool.partners(part.ids, view, 4)):
        assert (others != partners).mean() > 0.9
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
    other = part.x[partners]
    if isinstance(mix, d.CutMix):
        from_other = x == other
        assert (from_other | (x == part.x)).all()
        taken = from_other.mean(axis=(1, 2, 3))  # random numbers are never equal by chance
    else:
        with np.errstate(all="ignore"):  # an example may be its own partner
            taken = np.median((x - part.x) / (other - part.x), axis=(1, 2, 3))
    apart = part.y != part.y[partners]
    share = y[np.arange(150), part.y]
    assert 0.15 < taken[apart].std() < 0.4
    np.testing.assert_allclose((1 - share)[apart], taken[apart], atol=1e-4)
    # The same in any order, from a set in any order.
    order = np.random.default_rng(0).permutation(150)
    there = Pool(part.take(order))
    some = part.take(order[:20])
    x_some, y_some = augment.mixed(
        some.x, some.y, ids=some.ids, views=view[:20], pool=there
    )  # fmt: skip
    np.testing.assert_array_equal(x_some, x[order[:20]])
    np.testing.assert_array_equal(y_some, y[order[:20]])
    batch = d.feed(part, augment=augment, batch_size=50)[1]
    np.testing.assert_array_equal(batch[0], x[50:100])
    np.testing.assert_array_equal(batch[1], y[50:100])
    # The same in every form that data come in, and of some of them alone.
    half = part.take(np.arange(50, 100))
    steps = {"augment": augment, "batch_size": 32}
    for data in (
        d.feed(half, among=part, **steps),
        d.feed(d.Batches(half, batch_size=7), among=part, **steps),
        d.feed(d.tf_data(half), among=part, **steps),
        d.feed(d.tf_data(half).batch(20), among=part, **steps),
        d.feed(lambda: d.tf_data(half).as_numpy_iterator(), among=part, **steps),
    ):
        pairs = [data[i] for i in range(len(data))] if isinstance(data, d._pipelines.Feed) else data
        seen = [np.concatenate([np.asarray(b) for b in each]) for each in zip(*pairs, strict=True)]
        np.testing.assert_array_equal(seen[0], x[50:100])
        np.testing.assert_allclose(seen[1], y[50:100], atol=1e-6)
    assert d.Augment.from_config(augment.get_config()) == augment


def test_words_of_the_errors(part):
    with pytest.raises(TypeError, match=r"A step is one of 'Crop', 'Flip', 'Translate', 'Color'"):
        d.Augment(lambda image: image)
    with pytest.raises(TypeError, match=r"Give at least one step, such as keras_kd.data.Crop"):
        d.Augment()
    with pytest.raises(TypeError, match=r"A mix is one of 'MixUp', 'CutMix'"):
        d.Augment(mix=0.2)
    with pytest.raises(
        TypeError, match=r"MixUp mixes an example with any other .* among=part. Rec"
    ):
        d.feed(d.tf_data(part), augment=d.Augment(mix=d.MixUp(10)))
    with pytest.raises(TypeError, match=r"Received images of type uint8: divide them by 255 first"):
        whole = d.Part((255 * part.x).astype("uint8"), part.y, part.ids)
        d.feed(whole, augment=d.Augment(mix=d.MixUp(10)))[0]
    unlabelled = d.Part(part.x, None, part.ids)
    with pytest.raises(
        ValueError, match=r"Labels cannot be mixed with those of a set that has non"
    ):
        d.feed(part, augment=d.Augment(mix=d.MixUp(10)), among=unlabelled)[0]
    (x,) = d.feed(unlabelled, augment=d.Augment(mix=d.MixUp(10)))[0]
    assert x.shape == (128, 8, 8, 1)
    with pytest.raises(ValueError, match=r"Received: 150 inputs, 149 labels, 150 ids"):
        d.Part(part.x, part.y[1:], part.ids)
    with pytest.raises(ValueError, match=r"Without `augment` all views of an example are alike"):
        d.feed(part, views=2)
    with pytest.raises(ValueError, match=r"`shuffle` orders a keras_kd.data.Part"):
        d.feed(d.tf_data(part), shuffle=True)


@pytest.mark.parametrize(
    ("ids", "plain"),
    [
        (["a", "ü"], [b"a", "ü".encode()]),
        ([b"a", b"bc"], [b"a", b"bc"]),
        ([7, 12], [b"7", b"12"]),
        (np.array(["x", 3], object), [b"x", b"3"]),
    ],
)
def test_ids_in_every_form(ids, plain):
    assert as_bytes(ids).tolist() == plain


@pytest.mark.parametrize(
    "ids",
    [
        ["a", ""],
        [1.5],
        [[1]],
        np.array([None]),
        np.array([b"a\0", 1], object),
        np.array([b"a\0"], object),
    ],
)
def test_ids_that_are_none(ids):
    with pytest.raises(ValueError, match=r"[Ii]d"):
        as_bytes(ids)


def test_a_transform_keeps_its_name_in_files():
    """Stores name the views that they were written for."""
    config = d.Augment(d.Color(0.2, 0.3)).get_config()
    assert config["steps"][0]["step"] == "Colour"
    assert d.Augment.from_config(config) == d.Augment(d.Color(0.2, 0.3))
    with pytest.warns(FutureWarning, match=r"Write keras_kd\.data\.Color\."):
        assert d.Colour is d.Color
