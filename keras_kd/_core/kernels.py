"""The weights that make a layer large, and when they are there to be read."""

import keras

L = keras.layers
_KERNELS: tuple[tuple[tuple[type, ...], tuple[str, ...]], ...] = (
    ((L.DepthwiseConv1D, L.DepthwiseConv2D), ()),  # few weights, and each of them matters
    ((L.SeparableConv1D, L.SeparableConv2D), ("pointwise_kernel",)),
    ((L.Dense, L.EinsumDense), ("kernel",)),
    ((L.Conv1D, L.Conv2D, L.Conv3D), ("kernel",)),
    ((L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose), ("kernel",)),
    ((L.LSTMCell, L.GRUCell, L.SimpleRNNCell), ("kernel", "recurrent_kernel")),
)


def kernel_names(layer: keras.Layer) -> tuple[str, ...]:
    """The attributes in which a built layer of this class has its kernels."""
    return next((names for classes, names in _KERNELS if isinstance(layer, classes)), ())


def kernels_in(layer: keras.Layer) -> list[keras.Variable]:
    """The kernels that a built layer made itself, not those of the layers inside it."""
    return [getattr(layer, name) for name in kernel_names(layer)]


def sync(model: keras.Model) -> None:
    """Brings the variables up to date: between steps JAX keeps them elsewhere."""
    if keras.config.backend() == "jax":
        model.jax_state_sync()


def check_one_step(model: keras.Model, who: str) -> None:
    """An error where a callback would come too late to the weights."""
    if model.steps_per_execution != 1:
        raise ValueError(
            f"{who} comes back to the weights after each step. Compile with "
            f"steps_per_execution=1. Received: {model.steps_per_execution}."
        )
