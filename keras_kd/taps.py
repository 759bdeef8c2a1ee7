"""Taps: one forward pass of a model, and the outputs of its layers on the way.

A layer's output is recorded by wrapping its `call` while the pass lasts.

One signal is no layer's: `"role:jvp"`, the derivative of the model's output along a random
direction of its input (a Jacobian-vector product). It takes a pass of its own.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
from keras import ops

from keras_kd._core.addresses import JVP, OUTPUT, OWN
from keras_kd._core.directions import random_direction
from keras_kd._core.keras_private import layers_of
from keras_kd._core.layer_calls import around_calls, plainly, rematerializing
from keras_kd._core.messages import did_you_mean, listing, see
from keras_kd._core.positions import hand_on, mask_makers, noting_masks
from keras_kd._core.tensors import Tensor

Signals = dict[str, Tensor]


def layer_paths(layer: keras.Layer, prefix: str = "") -> dict[str, keras.Layer]:
    """Every layer inside `layer` by its path: names joined by `/`, outermost first.

    `output` and `jvp` are the model's own, so a path that would begin so is written `./output`.
    """
    inner = (
        layer.layers
        if isinstance(layer, keras.Model)
        else layers_of(layer, include_self=False, recursive=False)
    )
    paths: dict[str, keras.Layer] = {}
    for child in inner:
        if isinstance(child, keras.layers.InputLayer):
            continue  # never called, so there is nothing to record
        path = prefix + child.name
        if path in OWN:
            path = f"./{path}"
        if path not in paths:
            paths[path] = child
            paths.update(layer_paths(child, path + "/"))
    return paths


class Tap:
    """A model whose one pass gives signals: its output, and the layers that are read.

    Args:
        role: The model's role, the first half of its signals' addresses.
        model: The model.
        paths: For each path, what reads it (for the error, when there is no such layer).
    """

    def __init__(self, role: str, model: keras.Model, paths: dict[str, str]):
        self.role, self.model = role, model
        layers = layer_paths(model) if set(paths) - {OUTPUT} else {}
        found = {path: self._find(path, layers, reader) for path, reader in paths.items()}
        self._jvps = {path: keys for path, (_, keys) in found.items() if keys[:1] == [JVP]}
        self._found = {path: found[path] for path in found if path not in self._jvps}
        self._mask_makers = mask_makers(model)

    def _find(
        self, path: str, layers: dict[str, keras.Layer], reader: str
    ) -> tuple[keras.Layer | None, list[str]]:
        """The layer of `path` (none: the model's output), and the keys into what it returns."""
        parts = path.split("/")
        if parts[0] == OUTPUT:
            return None, parts[1:]
        if parts[0] == JVP:
            return None, parts
        for end in range(len(parts), 0, -1):
            if layer := layers.get("/".join(parts[:end])):
                return layer, parts[end:]
        raise ValueError(
            f"No layer '{path}' in {self.role} '{self.model.name}', named by {reader}. "
            f"Expected 'output' or one of its {len(layers)} layers: {listing(layers)}."
            + did_you_mean(path, [OUTPUT, *layers], prefix=f"{self.role}:")
            + see("no-layer")
        )

    def __call__(self, x: Tensor, training: bool) -> tuple[Any, Signals]:
        """One pass: what the model returns, and the signals by address."""
        tapped = [layer for layer, _ in self._found.values() if layer is not None]
        if tapped and not self.model.built:
            self.model(x, training=False)  # building may run layers to learn their shapes
        held = [*tapped, *self._mask_makers]
        outer = rematerializing(self.model, held) if held else []
        with (
            around_calls(outer, plainly),
            noting_masks(self._mask_makers) as masks,
            recording(tapped) as recorded,
        ):
            output = self.model(x, training=training)
        signals = {f"{self.role}:{OUTPUT}": output}
        for path, (layer, keys) in self._found.items():
            found = output if layer is None else self._once(path, recorded[id(layer)])
            signals[f"{self.role}:{path}"] = self._pick(path, found, keys)
        hand_on(masks, keras.tree.flatten(list(signals.values())))
        return output, signals

    def jvps(self, x: Tensor, step: Any, jvp: Callable[..., Any]) -> Signals:
        """The directional derivatives, by address; none when none is read.

        `jvp(function, x, direction)` is the derivative of `function` at `x` along `direction`.
        """
        if not self._jvps:
            return {}
        x = keras.tree.map_structure(ops.convert_to_tensor, x)
        change = jvp(self._inference, x, random_direction(step, x, self.model.name))
        return {
            f"{self.role}:{path}": self._pick(path, change, keys[1:])
            for path, keys in self._jvps.items()
        }

    def dry_run(self, x: Tensor) -> Signals:
        """The signals, for their shapes; a derivative has the shape of the output."""
        _, signals = self(x, training=False)
        return signals | self.jvps(x, 0, lambda function, x, direction: function(x))

    def dry_run_on_zeros(self, inputs: Any) -> Signals:
        """The signals for a batch of zeros in the shape of `inputs`; the model's state stays."""
        zeros = keras.tree.map_structure(lambda x: ops.zeros((1, *x.shape[1:]), x.dtype), inputs)
        if not self.model.built:
            return self.dry_run(zeros)
        with keras.StatelessScope([(v, v.value) for v in self.model.variables]):
            return self.dry_run(zeros)

    def _inference(self, x: Tensor) -> Tensor:
        """The model's output, in a pass in inference mode that leaves nothing behind."""
        now = [(variable, variable.value) for variable in self.model.variables]
        with keras.StatelessScope(now):
            return self.model(x, training=False)

    def _once(self, path: str, calls: list[Any]) -> Any:
        if len(calls) == 1:
            return calls[0]
        times = f"runs {len(calls)} times in one pass" if calls else "does not run in a pass"
        raise ValueError(
            f"Layer '{path}' of {self.role} '{self.model.name}' {times}, so "
            f"'{self.role}:{path}' is not one signal. Name a layer that runs exactly once."
        )

    def _pick(self, path: str, output: Any, keys: list[str]) -> Any:
        """The part of a nested output that `keys` lead to."""
        for key in keys:
            choices = (
                {str(k): v for k, v in output.items()}
                if isinstance(output, dict)
                else {str(i): v for i, v in enumerate(output)}
                if isinstance(output, (list, tuple))
                else {}
            )
            if key not in choices:
                raise ValueError(
                    f"'{self.role}:{path}' names '{key}', but what stands there "
                    + (f"has {listing(choices)}." if choices else "is one tensor.")
                )
            output = choices[key]
        return output


@contextlib.contextmanager
def recording(layers: Iterable[keras.layers.Layer]) -> Iterator[dict[int, list[Any]]]:
    """What each of `layers` returns while the context lasts, by `id(layer)`, call by call."""
    layers = list(layers)
    recorded: dict[int, list[Any]] = {id(layer): [] for layer in layers}

    def note(layer: Any, original: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        output = original(*args, **kwargs)
        recorded[id(layer)].append(output)
        return output

    with around_calls(layers, note):
        yield recorded
