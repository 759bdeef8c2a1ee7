"""The step on the backend in use, and on no other."""

from typing import Any

import keras

BackendStep: Any
match keras.config.backend():
    case "tensorflow":
        from keras_kd._trainers._tensorflow import TensorFlowStep

        BackendStep = TensorFlowStep
    case "jax":
        from keras_kd._trainers._jax import JAXStep

        BackendStep = JAXStep
    case "torch":
        from keras_kd._trainers._torch import TorchStep

        BackendStep = TorchStep
    case other:
        raise ImportError(
            f"keras_kd trains on the Keras backends tensorflow, jax and torch. Received: {other!r}. "
            "Set KERAS_BACKEND to one of them before importing keras."
        )

__all__ = ["BackendStep"]
