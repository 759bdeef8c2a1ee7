"""What `tfmot.clustering` does here, and clusters under quantization."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd
from keras_kd.compat import tfmot
from tests.compat.pictures import compiled, distinct, small
from tests.project import needs_keras

clustering = tfmot.clustering.keras
INITS = list(clustering.CentroidInitialization)


@pytest.mark.parametrize("init", INITS)
def test_values_are_shared_from_the_start_and_stay_so(init):
    model, x, y = small()
    clustered = compiled(clustering.cluster_weights(model, 4, init), keras.optimizers.Adam(0.01))
    assert max(distinct(clustering.strip_clustering(clustered))) <= 4
    before = clustering.strip_clustering(clustered).get_weights()[0]
    history = clustered.fit(x, y, batch_size=16, epochs=4, verbose=0).history
    plain = clustering.strip_clustering(clustered)
    assert max(distinct(plain)) <= 4 and (plain.get_weights()[0] != before).any()
    assert history["loss"][-1] < history["loss"][0]


def test_it_begins_from_the_models_weights():
    """As near to them as 32 values are."""
    model = small()[0]
    clustered = clustering.cluster_weights(model, 32)
    apart = clustering.strip_clustering(clustered).get_weights()[0] - model.get_weights()[0]
    assert np.abs(apart).max() < 0.1 * np.abs(model.get_weights()[0]).max()


def test_the_model_stays_as_it_was():
    model, x, y = small()
    before = model.get_weights()
    compiled(clustering.cluster_weights(model, 4)).fit(x, y, verbose=0)
    for w, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(w, was)


def test_a_file_keeps_its_clusters(tmp_path):
    model, x, y = small()
    clustered = compiled(clustering.cluster_weights(model, 4))
    clustered.fit(x, y, verbose=0)
    clustered.save(tmp_path / "clustered.keras")
    with clustering.cluster_scope():
        loaded = keras.saving.load_model(tmp_path / "clustered.keras")
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), clustered.predict(x, verbose=0), rtol=1e-6
    )
    was = clustering.strip_clustering(loaded).get_weights()[0]
    loaded.fit(x, y, epochs=2, verbose=0)
    now = clustering.strip_clustering(loaded).get_weights()[0]
    assert (now != was).any() and len(np.unique(now)) == 4
    groups = {tuple(np.unique(now[was == value])) for value in np.unique(was)}
    assert all(len(group) == 1 for group in groups)


def test_zeros_of_a_pruned_model():
    """Kept where `preserve_sparsity` asks for it, as in tfmot."""
    model, x, y = small()
    w = model.get_weights()
    w[0] = np.where(np.abs(w[0]) < np.median(np.abs(w[0])), 0.0, w[0])
    model.set_weights(w)
    kept = compiled(clustering.cluster_weights(model, 5, preserve_sparsity=True))
    kept.fit(x, y, verbose=0)
    now = clustering.strip_clustering(kept).get_weights()[0]
    assert ((now == 0) == (w[0] == 0)).all() and len(np.unique(now)) == 5
    lost = compiled(clustering.cluster_weights(model, 5))
    lost.fit(x, y, verbose=0)
    assert (clustering.strip_clustering(lost).get_weights()[0] == 0).mean() < 0.1


def test_each_channel_for_itself():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    clustered = clustering.cluster_weights(model, 5, cluster_per_channel=True)
    kernel = clustering.strip_clustering(clustered).get_weights()[0]
    assert [len(np.unique(kernel[..., c])) for c in range(4)] == [5] * 4
    assert len(np.unique(kernel)) == 20


def test_single_layers():
    """As in the guide: a clone_function wraps the dense layers, with their weights."""
    model, x, y = small()

    def only_logits(layer):
        return clustering.cluster_weights(layer, 3) if layer.name == "logits" else layer

    clustered = compiled(keras.models.clone_model(model, clone_function=only_logits))
    clustered.fit(x, y, verbose=0)
    names = [layer.name for layer in clustered.layers]
    assert names == ["hidden", "cluster_logits"]
    hidden, logits = distinct(clustering.strip_clustering(clustered))
    assert logits == 3 and hidden > 3


def test_layers_of_ones_own():
    @keras.saving.register_keras_serializable("compat")
    class Table(layers.Layer, clustering.ClusterableLayer):
        def build(self, shape):
            self.table = self.add_weight(name="table", shape=(shape[-1], 8))

        def call(self, x):
            return ops.matmul(x, self.table)

        def get_clusterable_weights(self):
            return [("table", self.table)]

    model = keras.Sequential([keras.Input((6,)), Table()])
    plain = clustering.strip_clustering(clustering.cluster_weights(model, 4))
    assert distinct(plain) == [4]


def test_under_a_distiller():
    model, x, y = small()
    student = clustering.cluster_weights(model, 4)
    distiller = compiled(keras_kd.Distiller(student=student, teacher=model))
    distiller.fit(x, y, epochs=2, verbose=0)
    assert max(distinct(clustering.strip_clustering(student))) == 4


def test_embeddings_and_recurrent_layers():
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(20, 8),
            layers.GRU(6),
            layers.Dense(2),
        ]
    )
    clustered = clustering.cluster_weights(model, 4)
    clustered.compile("adam", "mse")
    clustered.fit(np.ones((8, 5), "int32"), np.ones((8, 2)), verbose=0)
    plain = clustering.strip_clustering(clustered)
    embedding, gru = plain.layers[0], plain.layers[1].cell
    for weight in (embedding.embeddings, gru.kernel, gru.recurrent_kernel):
        assert len(np.unique(ops.convert_to_numpy(weight))) == 4


@needs_keras("3.9")
def test_clusters_and_zeros_under_quantization():
    """The guides of cluster- and sparsity-preserving quantization: prune, cluster, quantize."""
    model, x, y = small()
    w = model.get_weights()
    w[0] = np.where(np.abs(w[0]) < np.median(np.abs(w[0])), 0.0, w[0])
    model.set_weights(w)
    clustered = compiled(clustering.cluster_weights(model, 8, preserve_sparsity=True))
    clustered.fit(x, y, verbose=0)
    stripped = clustering.strip_clustering(clustered)
    annotated = tfmot.quantization.keras.quantize_annotate_model(stripped)
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme
    pcqat = compiled(tfmot.quantization.keras.quantize_apply(annotated, scheme()))
    pcqat.fit(x, y, epochs=2, verbose=0)
    pcqat = tfmot.experimental.combine.strip_clustering_cqat(pcqat)
    aware = pcqat.get_layer("quant_hidden")
    kernel = ops.convert_to_numpy(aware.grids[0].remaining(aware.kernel))
    assert len(np.unique(kernel)) <= 8
    assert (kernel[w[0] == 0] == 0).all()


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda m: clustering.cluster_weights(m, 1), "`number_of_clusters` must be a whole"),
        (lambda m: clustering.cluster_weights(m, 4, "LOUD"), "LOUD"),
        (lambda m: clustering.cluster_weights("model", 4), "`to_cluster` must be a layer"),
        (lambda m: clustering.strip_clustering(3), "takes a keras.Model"),
        (
            lambda m: clustering.cluster_weights(
                keras.Sequential([keras.Input((3,)), layers.ReLU()]), 4
            ),
            "Nothing to cluster",
        ),
    ],
)
def test_bad_input(make, says):
    with pytest.raises(ValueError, match=says):
        make(small()[0])
