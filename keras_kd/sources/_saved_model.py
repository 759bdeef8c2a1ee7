"""SavedModels of TensorFlow as teachers."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.messages import listing
from keras_kd._core.optional import require_tensorflow
from keras_kd._core.output_kinds import FLOOR
from keras_kd.sources._files import Arrays, FileTeacher, by_name, check_shape, choose


class SavedModelTeacher(FileTeacher):
    """A SavedModel of TensorFlow as a teacher, on any backend.

    Its signature's outputs are signals by their names.

    Args:
        path: The folder.
        signature: Which of its signatures. Defaults to `"serving_default"`.
        name: What stores and messages call it. Defaults to the folder's name.
        kind: What it gives: see `keras_kd.sources.FunctionTeacher`. Defaults to `"logits"`.
        floor: The probability that 0 counts as. Defaults to `1e-7`.
        output: Which of several outputs is the output. Defaults to `None`: the only one, or the
            one called `"logits"`.

    Raises:
        ValueError: If the folder holds no SavedModel, or none with that signature.
    """

    def __init__(
        self,
        path: Any,
        *,
        signature: str = "serving_default",
        name: str | None = None,
        kind: str = "logits",
        floor: float = FLOOR,
        output: str | None = None,
    ):
        self._tf = require_tensorflow("SavedModelTeacher runs a SavedModel")
        super().__init__(path, name, kind=kind, floor=floor)
        try:
            self._model = self._tf.saved_model.load(str(self.path))
        except Exception as error:  # of whatever kind it makes of another folder
            raise ValueError(f"'{self.path}' holds no SavedModel: {error}") from error
        signatures = dict(self._model.signatures)
        if signature not in signatures:
            raise ValueError(
                f"The SavedModel '{self.path}' has no signature '{signature}'. "
                + (
                    f"Expected one of {listing(signatures)}."
                    if signatures
                    else "It has none: write it with model.export(path)."
                )
            )
        self._run, self.signature = signatures[signature], signature
        self._inputs = self._run.structured_input_signature[1]
        names = {each: np.empty(0) for each in self._run.structured_outputs}
        self.output = choose(names, output, f"The SavedModel '{self.path}'")

    def run(self, x: Any, paths: Sequence[str]) -> Arrays:
        whose, given = f"The SavedModel '{self.path}'", x
        if isinstance(x, Mapping) and len(x) == 1 and len(self._inputs) == 1:
            given = keras.tree.flatten(x)[0]
        inputs = by_name(given, list(self._inputs), whose)
        for name, array in inputs.items():
            check_shape(array, self._inputs[name].shape.as_list(), name, whose)
        tensors = {n: self._tf.cast(a, self._inputs[n].dtype) if a.dtype.kind not in "OSU"
                   else self._tf.constant(a) for n, a in inputs.items()}  # fmt: skip
        found = {name: tensor.numpy() for name, tensor in self._run(**tensors).items()}
        return {OUTPUT: found[self.output], **found}

    def shapes(self) -> list[Sequence[Any]]:
        return [each.shape.as_list() for each in self._inputs.values()]

    def settings(self) -> dict[str, Any]:
        return {"signature": self.signature, "output": self.output}
