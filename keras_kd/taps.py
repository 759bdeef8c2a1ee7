"""Taps: one forward pass of a model, and the outputs of its layers on the way.

A layer's output is recorded by wrapping its `call` while the pass lasts.

Two signals are no layer's. `"role:jvp"` is the derivative of the model's output along a random
direction of its input (a Jacobian-vector product); it takes a pass of its own. `"role:factors"` are
the factors of the logits that the model returns, `keras_kd.losses.Factors`.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
from keras import ops

from keras_kd._core.addresses import FACTORS, OUTPUT
from keras_kd._core.attention import SCORES, is_attention, score_recording
from keras_kd._core.directions import random_direction
from keras_kd._core.heads import factoring, head_of
from keras_kd._core.layer_calls import around_calls, plainly, rematerializing
from keras_kd._core.layer_paths import Place, no_place, place_of
from keras_kd._core.layer_paths import layer_paths as layer_paths
from keras_kd._core.messages import did_you_mean, listing
from keras_kd._core.positions import hand_on, mask_makers, noting_masks
from keras_kd._core.tensors import Tensor

Signals = dict[str, Tensor]


class Tap:
    """A model whose one pass gives signals: its output, and the layers that are read.

    Args:
        role: The model's role, the first half of its signals' addresses.
        model: The model.
        paths: For each path, what reads it (for the error, when there is no such layer).
        whole: Whether the output has to be there when its factors are read.
    """

    def __init__(self, role: str, model: keras.Model, paths: dict[str, str], whole: bool = True):
        self.role, self.model = role, model
        layers = layer_paths(model) if set(paths) - {OUTPUT} else {}
        found = {
            path: self._find(path, layers, reader)
            for path, reader in paths.items()
            if path != FACTORS
        }
        self._jvps = {path: place for path, place in found.items() if place.jvp}
        self._found = {path: place for path, place in found.items() if not place.jvp}
        self._head = head_of(model, role, paths[FACTORS]) if FACTORS in paths else None
        self._whole = whole or any(place.layer is self._head for place in self._found.values())
        self._mask_makers = mask_makers(model)

    def _find(self, path: str, layers: dict[str, keras.Layer], reader: str) -> Place:
        if place := place_of(path, self.model, layers):
            return place
        raise no_place(path, self.role, self.model, layers, reader)

    def __call__(self, x: Tensor, training: bool) -> tuple[Any, Signals]:
        """One pass: what the model returns, and the signals by address."""
        places = [place for place in self._found.values() if place.layer is not None]
        tapped = [place.layer for place in places if not place.scores]
        attending = [place.layer for place in places if place.scores]
        heads = [] if self._head is None else [self._head]
        if (places or heads) and not self.model.built:
            self.model(x, training=False)  # building may run layers to learn their shapes
        held = [*tapped, *attending, *heads, *self._mask_makers]
        outer = rematerializing(self.model, held) if held else []
        with (
            around_calls(outer, plainly),
            noting_masks(self._mask_makers) as masks,
            recording(tapped) as returned,
            score_recording(attending) as scores,
            factoring(self._head, self._whole) as factors,
        ):
            output = self.model(x, training=training)
        signals = {f"{self.role}:{OUTPUT}": output}
        for path, place in self._found.items():
            recorded = scores if place.scores else returned
            found = output if place.layer is None else self._called(path, place, recorded)
            signals[f"{self.role}:{path}"] = self._pick(path, found, place)
        if self._head is not None:
            place = Place(self._head)
            signals[f"{self.role}:{FACTORS}"] = self._called(
                self._head.name, place, {id(self._head): factors}
            )
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
            f"{self.role}:{path}": self._pick(path, change, place)
            for path, place in self._jvps.items()
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

    def _called(self, path: str, place: Place, recorded: dict[int, list[Any]]) -> Any:
        """What was recorded of the call that `path` names."""
        calls = recorded[id(place.layer)]
        if place.call is None and len(calls) == 1:
            return calls[0]
        if place.call is not None and place.call < len(calls):
            return calls[place.call]
        layer = path.removesuffix(f"/{SCORES}") if place.scores else path
        layer = layer.removesuffix("".join(f"/{key}" for key in place.keys))
        named = layer.removesuffix(f"#{place.call}")
        if not calls:
            does = "shows no attention scores" if place.scores else "does not run"
            raise ValueError(
                f"Layer '{named}' of {self.role} '{self.model.name}' {does} in a pass, so "
                f"'{self.role}:{path}' is no signal. Name another layer."
            )
        several = [
            f"{self.role}:{path.replace(layer, f'{named}#{i}', 1)}" for i in range(len(calls))
        ]
        raise ValueError(
            f"Layer '{named}' of {self.role} '{self.model.name}' runs {len(calls)} times in one "
            f"pass, so '{self.role}:{path}' is not one signal. Name a layer that runs exactly once, "
            f"or one of its calls: {listing(several)}."
        )

    def _pick(self, path: str, output: Any, place: Place) -> Any:
        """The part of a nested output that the path's keys lead to."""
        for key in place.keys:
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
                    + self._meant(path, place)
                )
            output = choices[key]
        return output

    def _meant(self, path: str, place: Place) -> str:
        """The nearest address within the layer that a path leads to."""
        if place.layer is None:
            return ""
        head = path.removesuffix("".join(f"/{key}" for key in place.keys))
        inside = {f"{head}/{inner}": layer for inner, layer in layer_paths(place.layer).items()}
        scores = [f"{path}/{SCORES}" for path, layer in inside.items() if is_attention(layer)]
        return did_you_mean(path, [*inside, *scores], f"{self.role}:")


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
