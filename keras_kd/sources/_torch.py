"""Torch modules as teachers, on any backend."""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._core.addresses import OUTPUT
from keras_kd._core.external import ExternalTeacher
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.optional import require
from keras_kd._core.output_kinds import FLOOR
from keras_kd.sources._outputs import output_of

FORMATS = ("channels_first", "channels_last")


class TorchTeacher(ExternalTeacher):
    """A torch module as a teacher, whatever backend the student trains on.

    The module runs in evaluation mode and without gradients, on the device where its weights are.
    Its inner modules are signals by their names: with `"teacher:layer3"` among the addresses, what
    `module.layer3` returns is kept.

    Args:
        module: The `torch.nn.Module`, or a TorchScript or exported program (`.pt`, `.pt2`) by its
            path. Only programs are read from files, never pickles.
        name: What stores and messages call it. Defaults to the module's class, or the file's name.
        kind: What it gives: see `keras_kd.sources.FunctionTeacher`. Defaults to `"logits"`.
        floor: The probability that 0 counts as. Defaults to `1e-7`.
        data_format: How the module has its images: `"channels_first"` or `"channels_last"`. Inputs
            come as Keras has them, channels last; where the module has them first, inputs of four
            axes are transposed, and signals of four axes are transposed back. Defaults to
            `"channels_first"`.
        output: Which of several outputs is the output: a key, or a place. Defaults to `None`: the
            only one, or the one called `"logits"`.

    Raises:
        ModuleNotFoundError: If torch is not installed.
        TypeError: If `module` is no module and no path.
        ValueError: When it predicts, if it has no inner module of that name or several outputs.

    Example:

    >>> import torch  # doctest: +SKIP
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))  # doctest: +SKIP
    >>> teacher = keras_kd.sources.TorchTeacher(module, name="linear")  # doctest: +SKIP
    >>> teacher(np.zeros((5, 8, 8, 1), "float32")).shape  # doctest: +SKIP
    (5, 10)
    """

    def __init__(
        self,
        module: Any,
        *,
        name: str | None = None,
        kind: str = "logits",
        floor: float = FLOOR,
        data_format: str = "channels_first",
        output: str | int | None = None,
    ):
        self.torch = require("torch", extra="torch", purpose="TorchTeacher runs a module")
        if isinstance(module, (str, Path)):
            name, module = name or Path(module).stem, _from_file(self.torch, Path(module))
        own = isinstance(module, keras.layers.Layer)  # on torch these are modules too
        if own or not isinstance(module, self.torch.nn.Module):
            raise TypeError(
                "`module` must be a torch.nn.Module, or the path of a TorchScript (.pt) or exported "
                f"program (.pt2). Received: {type(module).__name__}."
            )
        if data_format not in FORMATS:
            raise ValueError(
                f"`data_format` must be one of {listing(FORMATS)}. Received: {data_format!r}."
            )
        super().__init__(name or type(module).__name__, kind=kind, floor=floor)
        self.module, self.data_format, self.output = module, data_format, output
        first = next(iter((*module.parameters(), *module.buffers())), None)
        self.device = first.device if first is not None else self.torch.device("cpu")

    def run(self, x: Any, paths: Sequence[str]) -> Any:
        found: dict[str, Any] = {}
        was_training = getattr(self.module, "training", False)
        inputs = keras.tree.map_structure(self._tensor, x)
        with ExitStack() as stack:
            stack.enter_context(self.torch.no_grad())
            for path in paths:
                if path != OUTPUT:
                    stack.callback(self._record_outputs(path, found).remove)
            _set_training(self.module, False)
            stack.callback(_set_training, self.module, was_training)
            given = self._run(inputs)
        if OUTPUT in paths:
            found[OUTPUT] = output_of(given, self.output, self.name, "output")
        return {path: self._array(signal, path) for path, signal in found.items()}

    def _run(self, inputs: Any) -> Any:
        if isinstance(inputs, Mapping):
            return self.module(**inputs)
        return self.module(*inputs) if isinstance(inputs, (list, tuple)) else self.module(inputs)

    def _record_outputs(self, path: str, found: dict[str, Any]) -> Any:
        """A hook that keeps what the inner module `path` returns."""
        modules = {name: module for name, module in self.module.named_modules() if name}
        inner = modules.get(path) or modules.get(path.replace("/", "."))
        if inner is None:
            raise ValueError(
                f"The teacher '{self.name}' has no inner module '{path}'. Expected 'output' or one "
                f"of {listing(modules)}." + did_you_mean(path, modules)
            )

        def keep(module: Any, inputs: Any, result: Any) -> None:
            if path in found:
                raise ValueError(
                    f"The module '{path}' of the teacher '{self.name}' runs more than once for a "
                    "batch: name the module around it, or one that runs once."
                )
            found[path] = result[0] if isinstance(result, (list, tuple)) else result

        return inner.register_forward_hook(keep)

    def _tensor(self, leaf: Any) -> Any:
        array = np.asarray(leaf)
        if array.ndim == 4 and self.data_format == "channels_first":
            array = array.transpose(0, 3, 1, 2)
        return self.torch.as_tensor(np.ascontiguousarray(array), device=self.device)

    def _array(self, signal: Any, path: str) -> np.ndarray:
        if not isinstance(signal, self.torch.Tensor):
            raise ValueError(
                f"'{path}' of the teacher '{self.name}' is no tensor but "
                f"{type(signal).__name__}: name a module that returns one."
            )
        if signal.is_floating_point():
            signal = signal.float()  # NumPy has no bfloat16
        array = signal.cpu().numpy()
        if array.ndim == 4 and self._has_channels(path) and self.data_format == "channels_first":
            array = np.ascontiguousarray(array.transpose(0, 2, 3, 1))
        return array

    def _has_channels(self, path: str) -> bool:
        """Whether a signal of four axes is a map of features."""
        return True

    def weights_hash(self) -> str:
        digest = hashlib.sha256()
        for name, tensor in sorted(self.module.state_dict().items()):
            if not isinstance(tensor, self.torch.Tensor):
                continue
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(flat.view(self.torch.uint8).numpy().tobytes() if flat.numel() else b"")
        return digest.hexdigest()[:32]

    def settings(self) -> dict[str, Any]:
        layers = [type(module).__name__ for module in self.module.modules()]
        return {"data_format": self.data_format, "output": self.output, "layers": layers}


def _set_training(module: Any, training: bool) -> None:
    with suppress(NotImplementedError):  # an exported program has one mode alone
        module.train(training)


def _from_file(torch: Any, path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"There is no file '{path}'.")
    try:
        if path.suffix == ".pt2":
            return torch.export.load(str(path)).module()
        return torch.jit.load(str(path), map_location="cpu")
    except Exception as error:  # of whatever kind torch makes of a file that is none
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"'{path}' could not be read as a TorchScript or exported program: {reason} A file of "
            "weights alone, or a pickled module, has no program, or runs code when it is opened: "
            "make the module in Python, load its weights there, and give the module."
        ) from error
