"""Weights that share values: which they share, how they move, what a file weighs."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd
from keras_kd.compression import (
    Clustering,
    assign_clusters,
    compressed_bytes,
    density_centroids,
    distant_centroids,
    linear_centroids,
    random_centroids,
    share_values,
)

STARTS = [linear_centroids, density_centroids, random_centroids, distant_centroids]
KERNEL = np.random.default_rng(0).normal(size=(12, 10))


def values(w):
    return len(np.unique(ops.convert_to_numpy(w)))


def network():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu", name="hidden"),
            keras.layers.Dense(3, name="logits"),
        ]
    )


def arrays():
    x = np.random.default_rng(1).normal(size=(64, 6, 6, 1)).astype("float32")
    return x, np.arange(64) % 3


def compiled(model, optimizer="adam"):
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def k_means_is_at_rest(kernel, members):
    """No weight is nearer to another cluster's mean."""
    flat, m = kernel.ravel(), members.ravel()
    means = np.array([flat[m == c].mean() for c in np.unique(m)])
    nearest = np.unique(m)[np.abs(flat[:, None] - means).argmin(1)]
    return (nearest == m).all()


@pytest.mark.parametrize("start", STARTS)
def test_every_start_ends_at_rest_with_as_many_clusters(start):
    members = assign_clusters(KERNEL, 5, start=start)
    assert members.min() == 1 and len(np.unique(members)) <= 5
    assert k_means_is_at_rest(KERNEL, members)


@pytest.mark.parametrize("start", STARTS)
def test_fewer_values_than_clusters_stay_as_they_are(start):
    kernel = np.array([1.0, 1.0, 2.0])
    shared = share_values(kernel.astype("float32"), assign_clusters(kernel, 8, start=start))
    np.testing.assert_allclose(ops.convert_to_numpy(shared), kernel)


def test_density_has_as_many_weights_about_each():
    weights = np.sort(np.random.default_rng(0).exponential(size=1000))
    first = density_centroids(weights, 4)
    middles = (first[1:] + first[:-1]) / 2
    sizes = np.diff([0, *np.searchsorted(weights, middles), 1000])
    assert (first[1:] > first[:-1]).all() and sizes.max() < 2 * sizes.min()


def test_zeros_stay_and_are_one_of_the_values():
    kernel = np.where(np.abs(KERNEL) < 0.5, 0.0, KERNEL)
    members = assign_clusters(kernel, 4)
    assert ((members == 0) == (kernel == 0)).all() and len(np.unique(members)) == 4
    shared = ops.convert_to_numpy(share_values(kernel.astype("float32"), members))
    assert ((shared == 0) == (kernel == 0)).all()
    moved = ops.convert_to_numpy(share_values(kernel.astype("float32") + 1, members))  # by a step
    assert (moved[kernel == 0] == 0).all() and (moved[kernel != 0] != 0).all()
    assert assign_clusters(kernel, 4, keep_zeros=False).min() == 1


def test_each_channel_has_clusters_of_its_own():
    members = assign_clusters(KERNEL, 3, per_channel=True)
    shared = ops.convert_to_numpy(share_values(KERNEL.astype("float32"), members))
    assert [len(np.unique(column)) for column in shared.T] == [3] * 10
    assert len(np.unique(shared)) == 30


def test_a_value_moves_by_the_mean_of_its_members_gradients():
    """By hand, one step of gradient descent on a linear model."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False)])
    model.set_weights([np.array([[0.9], [1.1], [-1.0], [-1.2]])])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x, y = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[1.0]])
    start = np.array([1.0, 1.0, -1.1, -1.1])
    gradient = 2 * (x[0] @ start - 1.0) * x[0]
    moved = start - 0.1 * gradient
    want = [moved[:2].mean()] * 2 + [moved[2:].mean()] * 2
    model.fit(x, y, verbose=0, callbacks=[Clustering(2)])
    np.testing.assert_allclose(model.get_weights()[0][:, 0], want, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", keras.optimizers.SGD(0.1, use_ema=True)])
def test_values_stay_shared_and_are_trained(optimizer):
    if not isinstance(optimizer, str):
        optimizer = type(optimizer).from_config(optimizer.get_config())
    model = compiled(network(), optimizer)
    history = model.fit(
        *arrays(), batch_size=16, epochs=4, verbose=0, callbacks=[Clustering(4)]
    ).history  # fmt: skip
    assert [values(model.get_layer(n).kernel) for n in ("conv", "hidden", "logits")] == [4, 4, 4]
    assert history["loss"][-1] < history["loss"][0]


def test_a_second_fit_goes_on_with_the_same_clusters():
    model, clustering = compiled(network()), Clustering(4)
    model.fit(*arrays(), verbose=0, callbacks=[clustering])
    first = [m for _, m in clustering._members]
    model.fit(*arrays(), verbose=0, callbacks=[clustering])
    assert all((a == b).all() for a, (_, b) in zip(first, clustering._members, strict=True))
    assert values(model.get_layer("hidden").kernel) == 4


def test_under_a_distiller_it_clusters_the_student():
    student, teacher = network(), network()
    distiller = keras_kd.Distiller(student=student, teacher=teacher)
    compiled(distiller).fit(*arrays(), verbose=0, callbacks=[Clustering(4, layers=["hidden"])])
    assert values(student.get_layer("hidden").kernel) == 4
    assert values(student.get_layer("conv").kernel) > 4
    assert values(teacher.get_layer("hidden").kernel) > 4


def test_zeros_of_a_pruned_student_stay():
    model = compiled(network())
    model.fit(*arrays(), epochs=4, verbose=0, callbacks=[keras_kd.compression.Pruning(0.5, end=4)])
    before = keras_kd.compression.sparsity(model)
    model.fit(*arrays(), verbose=0, callbacks=[Clustering(4)])
    assert keras_kd.compression.sparsity(model) == before > 0.4


def test_a_file_gets_smaller_by_it():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
    whole = compressed_bytes(model)
    model.compile("adam", "mse")
    model.fit(np.ones((8, 64)), np.ones((8, 64)), verbose=0, callbacks=[Clustering(16)])
    assert whole > 4 * compressed_bytes(model)


def test_a_clustered_model_is_a_plain_one(tmp_path):
    model = compiled(network())
    model.fit(*arrays(), verbose=0, callbacks=[Clustering(4)])
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert values(loaded.get_layer("hidden").kernel) == 4


def test_bad_input():
    for clusters in (1, 0, 2.5, True, "16", float("inf")):
        with pytest.raises(ValueError, match="`clusters` must be a whole number of at least 2"):
            Clustering(clusters)
    with pytest.raises(ValueError, match="`start` must be a function"):
        Clustering(4, start="linear")
    model = compiled(network())
    with pytest.raises(ValueError, match=r"No layer 'hiden' with a kernel.*Did you mean 'hidden'"):
        model.fit(*arrays(), verbose=0, callbacks=[Clustering(4, layers=["hiden"])])
    bare = keras.Sequential([keras.Input((3,)), keras.layers.Activation("relu")])
    bare.compile("sgd", "mse")
    with pytest.raises(ValueError, match="Nothing to cluster"):
        bare.fit(np.ones((4, 3)), np.ones((4, 3)), verbose=0, callbacks=[Clustering(4)])
    if keras.config.backend() == "torch":
        return  # Keras itself refuses more than one
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution=1"):
        model.fit(*arrays(), verbose=0, callbacks=[Clustering(4)])
