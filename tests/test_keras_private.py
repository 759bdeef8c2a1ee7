"""What `keras_kd/_core/keras_private.py` uses of Keras, tried on the Keras that is installed.

A test that fails here after Keras was upgraded tells in its docstring what would take the place of
the name that went. Change that one function; nothing else in the package knows the name.
"""

import ast
import contextlib
import functools
import inspect
import pathlib
import re
import textwrap

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_kd
from keras_kd._core import keras_private

ROOT = pathlib.Path(keras_kd.__file__).parent
HOME = ROOT / "_core" / "keras_private.py"


@keras.saving.register_keras_serializable("keras_private")
class Branch(keras.Model):
    """A subclassed model with a layer in a list and one inside a wrapper."""

    def __init__(self):
        super().__init__()
        self.inner = [layers.Dense(2, name="listed")]
        self.wrapped = layers.TimeDistributed(layers.Dense(2, name="wrapped"), name="wrapper")

    def call(self, x):
        return self.inner[0](self.wrapped(x))


class Plain(layers.Layer):
    def call(self, x):
        return x


def functional():
    x = keras.Input((4,), name="x")
    shared = layers.Dense(4, name="shared")
    y = shared(shared(x))
    return keras.Model(x, {"a": layers.Dense(2, name="head")(y), "b": [y]})


def compiled(**settings):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.compile("sgd", **settings)
    return model


# What there is, and what to do when it goes.


def test_layers_of():
    """`_flatten_layers` gone: walk `layer.layers` of models and, for other layers, the attributes
    that are layers, lists or dicts of them (`vars(layer)`), each layer once."""
    names = [layer.name for layer in keras_private.layers_of(Branch())]
    assert {"listed", "wrapper", "wrapped"} <= set(names)
    model = Branch()
    inside = keras_private.layers_of(model, include_self=False)
    assert model not in inside and keras_private.layers_of(model)[0] is model
    direct = keras_private.layers_of(model, include_self=False, recursive=False)
    assert "wrapped" in {layer.name for layer in inside}
    assert "wrapped" not in {layer.name for layer in direct}


def test_takes_training():
    """`_call_has_training_arg` gone: `"training" in inspect.signature(layer.call).parameters`."""
    assert keras_private.takes_training(layers.Dropout(0.5))
    assert not keras_private.takes_training(Plain())


def test_computing_with():
    """`_kernel`, `_embeddings` gone: give each `Grid*` layer a `call` of its own that computes with
    the rounded weight, as `keras.layers` does with its own."""
    weights = {
        "kernel": [layers.Dense(2), layers.EinsumDense("ab,bc->ac", 2), layers.LSTMCell(2)],
        "embeddings": [layers.Embedding(3, 2)],
    }
    for name, made in weights.items():
        for layer in made:
            layer.build(*[] if name == "embeddings" else [(None, 3)])
            variable = getattr(layer, name)
            other = ops.zeros(variable.shape)
            with keras_private.computing_with([(layer, name, other)]):
                assert getattr(layer, name) is other
            assert getattr(layer, name) is variable
            assert len(layer.weights) in (1, 2, 3)


@pytest.mark.skipif(not hasattr(keras, "RematScope"), reason="Keras has no RematScope yet")
def test_is_rematerialized():
    """Without `_remat_mode`: hold `rematerialized_call` of every layer in `_core/layer_calls.py`."""
    with keras.RematScope(mode="full"):
        scoped = layers.Dense(2)
    assert keras_private.is_rematerialized(scoped)
    assert not keras_private.is_rematerialized(layers.Dense(2))


def test_attention():
    """`_compute_attention` gone: stand in for whatever takes queries, keys and mask in its place, in
    `_core/attention.py`."""
    for kind in (layers.MultiHeadAttention(2, 4), layers.GroupQueryAttention(4, 2, 1)):
        method = getattr(kind, keras_private.ATTENTION)
        names = list(inspect.signature(method).parameters)
        assert names[:4] == ["query", "key", "value", "attention_mask"]


def test_own_variables():
    """`_trainable_variables` gone: `layer.variables` less those of the layers inside it."""
    wrapper = layers.TimeDistributed(layers.BatchNormalization())
    wrapper.build((None, 2, 3))
    assert keras_private.own_variables(wrapper) == []
    names = [v.name for v in keras_private.own_variables(wrapper.layer)]
    assert sorted(names) == ["beta", "gamma", "moving_mean", "moving_variance"]


def test_input_shape_argument():
    """`_input_shape_arg` gone: nothing; a wrapped layer's `input_shape` is then to be given to the
    wrapper, `prune_low_magnitude(layer, input_shape=...)`."""
    with pytest.warns(UserWarning, match="input_shape"):
        layer = layers.Dense(2, input_shape=(3,))
    assert tuple(keras_private.input_shape_argument(layer)) == (3,)
    assert keras_private.input_shape_argument(layers.Dense(2)) is None


def test_outputs_of():
    """`_outputs_struct` gone: `keras.tree.pack_sequence_as(model.output, model.outputs)`, and
    `None` where `model.output` raises."""
    outputs = keras_private.outputs_of(functional())
    assert sorted(outputs) == ["a", "b"] and isinstance(outputs["b"], list)
    assert keras.backend.is_keras_tensor(outputs["a"])
    assert keras_private.outputs_of(Branch()) is None


def test_is_wired():
    """`_nodes_by_depth` gone: `isinstance(model, keras.src.models.Functional)`."""
    assert keras_private.is_wired(functional())
    assert not keras_private.is_wired(Branch())


def test_run_wires():
    """`_run_through_graph` gone: `keras.models.clone_model(model, call_function=...)`, which takes
    the same walk; or go along `model.operations` by `calls_of` and `origin`."""
    ran = []

    def call(operation, *args, **kwargs):
        ran.append(operation.name)
        return operation(*args, **kwargs)

    model, x = functional(), ops.ones((2, 4))
    said = keras_private.run_wires(model, x, call)
    assert ran == ["shared", "shared", "head"]
    np.testing.assert_allclose(
        ops.convert_to_numpy(said["a"]), model.predict(x, verbose=0)["a"], rtol=1e-5, atol=1e-6
    )


def test_origin_and_calls_of():
    """`_keras_history` or `_inbound_nodes` gone: note operation, inputs and outputs of each call
    in one `run_wires`."""
    model = functional()
    operation, call, place = keras_private.origin(model.outputs[1])
    assert (operation.name, call, place) == ("shared", 1, 0)
    first, second = keras_private.calls_of(operation)[:2]
    assert first.input_tensors[0] is model.inputs[0]
    assert second.input_tensors[0] is first.output_tensors[0]
    assert second.output_tensors[0] is model.outputs[1]


def test_constants_of_losses():
    """Without `_fn_kwargs`: `get_config`, once Keras writes `delta` and `axis` into it (then
    `whole_config` goes as well)."""
    assert keras_private.constants_of(keras.losses.Huber(2.0)) == {"delta": 2.0}
    assert keras_private.constants_of(keras_kd.losses.SoftTarget(2.0)) == {}


def test_masks():
    """`get_keras_mask` gone: `tensor._keras_mask`, where older Keras keeps it; or the mask that
    `model.compute_mask(x)` tells."""
    ids = np.array([[3, 1, 0], [2, 0, 0]])
    embedded = layers.Embedding(5, 2, mask_zero=True)(ids)
    mask = keras_private.mask_of(embedded)
    np.testing.assert_array_equal(ops.convert_to_numpy(mask), ids != 0)
    bare = ops.zeros((2, 3))
    assert keras_private.mask_of(bare) is None
    keras_private.set_mask(bare, mask)
    assert keras_private.mask_of(bare) is mask


def test_compiled_loss_and_metrics():
    """`_compile_loss` and `_compile_metrics` gone: `keras.src.trainers.compile_utils` has their
    classes, `CompileLoss` and `CompileMetrics`; make them in `Distiller.compile`."""
    model = compiled(loss="mse", loss_weights=0.5, metrics=["mae"])
    loss = keras_private.compiled_loss(model)(ops.zeros((4, 2)), ops.full((4, 2), 2.0))
    assert float(loss) == pytest.approx(2.0)
    metric = keras_private.compiled_metrics(model)
    assert metric in model.metrics and not metric.built
    metric.update_state(ops.zeros((4, 2)), ops.full((4, 2), 2.0))
    assert float(metric.result()["mae"]) == pytest.approx(2.0) and metric.built
    assert keras_private.compiled_loss(compiled()) is None
    assert keras_private.compiled_metrics(compiled(loss="mse")) is None
    again = type(keras_private.compiled_loss(model))("mse", loss_weights=2.0)
    assert float(again(ops.zeros((4, 2)), ops.full((4, 2), 2.0))) == pytest.approx(8.0)


def test_single_loss():
    """`_flat_losses` gone: resolve what `compile` was given with `keras.losses.get`, a function in
    a class of its own, and take the weight from `loss_weights`."""
    y, z = ops.zeros((4, 2)), ops.full((4, 2), 2.0)
    for loss, weight in (("mse", None), (keras.losses.mean_squared_error, 0.5)):
        whole = keras_private.compiled_loss(compiled(loss=loss, loss_weights=weight))
        found, factor = keras_private.single_loss(whole, y, z)
        assert float(found(y, z)) == pytest.approx(4.0) and factor == weight


def test_accumulated():
    """`_accumulated_gradients` and `_iterations` gone: look for the variables of the optimizer that
    have `gradient_accumulator` in their paths, and count the micro batches in the distiller."""
    variable = keras.Variable([1.0, 1.0])
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    optimizer.build([variable])
    for number in range(4):
        done, (total,) = keras_private.accumulated(optimizer, [variable])
        assert int(done) == number % 3
        assert float(total[0]) == 2.0 * (number % 3)
        optimizer.apply([ops.full((2,), 2.0)], [variable])


def test_loss_tracker():
    """`_loss_tracker` gone: the metric named `loss` among `model.metrics`."""
    model = compiled(loss="mse")
    tracker = keras_private.loss_tracker(model)
    assert tracker.name == "loss" and model.metrics[0] is tracker
    other = keras.metrics.Mean(name="loss")
    keras_private.track_loss(model, other)
    assert [metric for metric in model.metrics if metric.name == "loss"] == [other]


def test_unframed():
    """Should Keras frame errors in another way, read `keras.src.utils.traceback_utils`: what makes
    `inject_argument_info_in_traceback` raise an error as it is?"""

    class Fails(layers.Layer):
        def __init__(self, plainly):
            super().__init__()
            self.plainly = plainly

        def call(self, x):
            with keras_private.unframed() if self.plainly else contextlib.nullcontext():
                raise ValueError("not this input")

    with pytest.raises(ValueError, match=r"^not this input$"):
        Fails(True)(ops.ones((1, 2)))
    with pytest.raises(ValueError, match=r"Arguments received by Fails.call"):
        Fails(False)(ops.ones((1, 2)))


def test_added_loss():
    """`_aggregate_additional_loss` gone: `ops.sum`, divided on TensorFlow by
    `tf.distribute.get_strategy().num_replicas_in_sync`."""
    assert float(keras_private.added_loss(compiled(), ops.ones((2, 3)))) == pytest.approx(6.0)


@pytest.mark.skipif(keras.config.backend() != "jax", reason="jax alone empties variables")
def test_what_keeps_the_state_of_jax():
    """`_get_jax_state` or `_jax_state` gone: keep `[v.value for v in ...]` of the four lists of
    variables in `fit`, and assign them when it raises."""

    class Kept(keras_private.KeepsJaxState, keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

        def train_step(self, state, data):
            raise RuntimeError("the first step")

    model, x = Kept(), np.ones((4, 3), "float32")
    model(x)
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(RuntimeError, match="the first step"):
        model.fit(x, np.ones((4, 2)), verbose=0)
    model.jax_state_sync()
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_every_name_is_tried_here():
    defined = {
        name
        for name, thing in vars(keras_private).items()
        if getattr(thing, "__module__", None) == keras_private.__name__
    }
    tried = set(re.findall(r"keras_private\.(\w+)", pathlib.Path(__file__).read_text()))
    assert defined <= tried, defined - tried


# No other module knows such a name.


def private(name):
    return re.fullmatch(r"_[A-Za-z]\w*", name) is not None


ELSEWHERE = {"_replace", "_asdict", "_fields", "_exit"}  # of NamedTuple, documented; of os
BY_NAME = {"getattr", "hasattr", "setattr", "delattr"}


def ours(trees):
    """The private names that the package defines: by `def`, `class`, or setting on `self`."""
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.attr


def used(tree):
    """The private names that a module asks for, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) in BY_NAME:
            name = node.args[1]
            if isinstance(name, ast.Constant):
                yield name.value, node.lineno


def test_no_other_module_asks_for_a_private_name_that_is_not_ours():
    trees = {path: ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))}
    del trees[HOME]
    known = ELSEWHERE | set(ours(trees.values()))
    wrong = [
        f"{path.relative_to(ROOT)}:{line} uses {name}; give it a function in {HOME.name}"
        for path, tree in trees.items()
        for name, line in used(tree)
        if private(name) and name not in known
    ]
    wrong += [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {node.module}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("keras.src")
    ]
    assert not wrong, "\n".join(wrong)


def our_classes():
    import importlib
    import pkgutil

    for info in pkgutil.walk_packages(keras_kd.__path__, "keras_kd."):
        if info.name.rsplit(".", 1)[-1] in ("__main__", "_tensorflow", "_jax", "_torch"):
            continue
        module = importlib.import_module(info.name)
        for thing in vars(module).values():
            if inspect.isclass(thing) and thing.__module__ == info.name:
                yield thing


@functools.cache
def names_set_in(cls):
    """The private names that a class defines, or sets on `self`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    names = set(vars(cls))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {node.attr} if ast.unparse(node.value) == "self" else set()
    return set(filter(private, names))


def test_no_class_of_ours_takes_a_private_name_that_keras_has():
    """Else Keras would call ours, or each would overwrite what the other keeps there."""
    wrong = []
    for cls in {c for c in our_classes() if any("keras.src" in b.__module__ for b in c.__mro__)}:
        theirs = {}
        for base in cls.__mro__:
            if base.__module__.startswith("keras.src"):
                theirs.update(dict.fromkeys(names_set_in(base), base.__name__))
        for name in names_set_in(cls) & set(theirs):
            wrong.append(f"{cls.__module__}.{cls.__name__}.{name} is {theirs[name]}'s")
    assert not wrong, "\n".join(sorted(wrong))
