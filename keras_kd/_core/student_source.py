"""Sources whose batches depend on what the student is at that step."""

from typing import Any

import keras


class StudentSource(keras.utils.PyDataset):
    """Batches that are made right before their step; `fit` of a Distiller lets it see the student."""

    def fit_callback(self, distiller: Any, steps_per_epoch: int | None) -> keras.callbacks.Callback:
        """What `fit` needs besides the batches, to go before the other callbacks."""
        raise NotImplementedError(f"{type(self).__name__} must define fit_callback().")
