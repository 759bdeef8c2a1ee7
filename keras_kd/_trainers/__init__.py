"""The step on the backend in use, and on no other."""

import keras

match keras.config.backend():
    case "tensorflow":
        from keras_kd._trainers._tensorflow import TensorFlowStep as BackendStep
    case "jax":
        from keras_kd._trainers._jax import JAXStep as BackendStep
    case "torch":
        from keras_kd._trainers._torch import TorchStep as BackendStep
    case other:
        raise ImportError(
            f"keras_kd trains on the Keras backends tensorflow, jax and torch. Received: {other!r}. "
            "Set KERAS_BACKEND to one of them before importing keras."
        )

__all__ = ["BackendStep"]
