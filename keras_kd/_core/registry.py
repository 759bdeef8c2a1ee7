"""Registration: how a class comes back from a `.keras` file."""

import keras

#: Decorates every public class, so that `keras.saving` finds it as `keras_kd>ClassName`.
serializable = keras.saving.register_keras_serializable(package="keras_kd")
