"""What may be changed after a distiller was made, and when that counts.

TensorFlow and JAX trace a step once, and torch reads everything anew each time. So that a change
does the same on all of them:

- models and terms, and what a term reads, are read when the distiller is made: changed later, they
  are refused;
- `trainable` is read in `compile`, as Keras has it: changed later, it needs another `compile`;
- constants (a term's weight, what its loss, schedules and projectors were constructed with) are
  read in each step: where one has changed, the step is traced anew.
"""

import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import keras
from keras.optimizers.schedules import LearningRateSchedule

from keras_kd._core.keras_private import layers_of

if TYPE_CHECKING:  # the other half is a keras.Model with the distiller's attributes
    from keras import Model as Base
else:
    Base = object

#: What a distiller is made of, by the names of its attributes.
_MADE_OF = ("student", "students", "teacher", "teachers", "terms", "on_bad_teacher")
#: What a term is made of.
_OF_A_TERM = ("name", "loss", "pred", "target", "projector", "target_projector")
_SCALARS = (bool, int, float, str, type(None))


class Changes(Base):
    """Finds what changed since it was made, compiled and traced."""

    _snapshot: "_Snapshot | None" = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _MADE_OF and self._snapshot is not None:
            raise AttributeError(_refused(f"distiller.{name}", self._snapshot.name))
        super().__setattr__(name, value)

    def _seal(self) -> None:
        """From now on, what the distiller is made of stays."""
        self._snapshot = _Snapshot(self)

    def _check_unchanged(self) -> None:
        """Raises when what the distiller was made of is another by now."""
        assert self._snapshot is not None
        self._snapshot.check(self)

    def _note_trainable(self) -> None:
        """Takes down which layers train, as `compile` finds them."""
        assert self._snapshot is not None
        self._snapshot.trainable = [
            (of, layer, layer.trainable, learns) for of, layer, learns in _layers(self)
        ]

    def _check_trainable(self) -> None:
        """Raises when `trainable` was set on a layer since `compile`."""
        assert self._snapshot is not None
        for of, layer, trainable, learns in self._snapshot.trainable:
            if layer.trainable != trainable:
                now = f"Layer '{layer.name}' of {of} has trainable={layer.trainable}, and"
                if not learns:
                    raise ValueError(f"{now} a teacher is frozen. Set it back to False.")
                raise ValueError(
                    f"{now} had trainable={trainable} when compile() was called, which is where "
                    "Keras takes it from. Call compile() again."
                )

    def make_train_function(self, force: bool = False) -> None:
        super().make_train_function(force=self._renewed("train", self.train_function) or force)

    def make_test_function(self, force: bool = False) -> None:
        super().make_test_function(force=self._renewed("test", self.test_function) or force)

    def _renewed(self, kind: str, function: Any) -> bool:
        """Whether a constant is another than when the function of this kind was made."""
        assert self._snapshot is not None
        now = [_read(getattr(self, "loss", None)), *map(_read, self.terms)]
        before = self._snapshot.constants.get(kind)
        self._snapshot.constants[kind] = now
        if function is None or before == now:
            return False
        self._sync_state()  # in the midst of a training, the state may be with the old one
        return True


class _Snapshot:
    """What a distiller was made of. No part of its state, for Keras to track or to save."""

    def __init__(self, distiller: Any):
        self.name = distiller.name
        self.parts = _parts(distiller)
        self.trainable: list[tuple[str, keras.layers.Layer, bool, bool]] = []
        self.constants: dict[str, Any] = {}

    def check(self, distiller: Any) -> None:
        now = _parts(distiller)
        for what in dict.fromkeys([*self.parts, *now]):
            if what not in now or what not in self.parts or now[what] != self.parts[what]:
                raise ValueError(_refused(what, self.name))


def _refused(what: str, name: str) -> str:
    return (
        f"`{what}` was changed after the distiller '{name}' was made, which is when models and "
        "terms are read. Make another of the parts you want: keras_kd.Distiller(student=..., "
        "teacher=..., terms=[...]), and compile it. A term's `weight` and the numbers of its loss "
        "may be set at any time."
    )


class _Same:
    """Equal to itself alone, whatever it holds."""

    def __init__(self, thing: Any):
        self.thing = thing

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Same) and self.thing is other.thing

    __hash__ = None  # type: ignore[assignment]


def _parts(distiller: Any) -> dict[str, Any]:
    """Models and terms by what one writes for them."""
    parts: dict[str, Any] = {"distiller.terms": list(map(_Same, distiller.terms))}
    for kind, models in (("students", distiller.students), ("teachers", distiller.teachers)):
        parts[f"distiller.{kind}"] = {role: _Same(model) for role, model in models.items()}
    for place, term in enumerate(distiller.terms):
        for name in _OF_A_TERM:
            value = getattr(term, name, None)
            same = value if isinstance(value, (str, tuple)) else _Same(value)
            parts[f"distiller.terms[{place}].{name}"] = same
    return parts


def _layers(distiller: Any) -> Iterator[tuple[str, keras.layers.Layer, bool]]:
    """Every layer, with whose it is and whether that learns."""
    for kind, models in (("student", distiller.students), ("teacher", distiller.teachers)):
        for role, model in models.items():
            of = f"distiller.{kind}" if len(models) == 1 else f"distiller.{kind}s['{role}']"
            yield from ((of, layer, kind == "student") for layer in layers_of(model))
    for name, term in zip(distiller.term_names, distiller.terms, strict=True):
        for projector in term.projectors():
            of = f"the projector '{projector.name}' of Term '{name}'"
            yield from ((of, layer, True) for layer in layers_of(projector))


def _read(thing: Any) -> Any:
    """The constants in `thing` that a step reads, to be compared with those of another time."""
    if isinstance(thing, _SCALARS):
        return thing
    if isinstance(thing, (list, tuple)):
        return [_read(one) for one in thing]
    if isinstance(thing, Mapping):
        return {key: _read(one) for key, one in thing.items()}
    held = [_Same(thing)]
    if isinstance(thing, (keras.losses.Loss, LearningRateSchedule, keras.layers.Layer)):
        values = vars(thing)
        held += [_read(values[name]) for name in _arguments(type(thing)) if name in values]  # type: ignore[arg-type]
    return held


@functools.cache
def _arguments(kind: Any) -> tuple[str, ...]:
    """What the constructors of a class and those above it take, by the attributes that keep it:
    other attributes a loss may move by itself, such as a count of its calls."""
    names = [
        name
        for one in kind.__mro__
        if "__init__" in vars(one)
        for name in inspect.signature(one.__init__).parameters  # type: ignore[misc]
    ]
    return tuple(dict.fromkeys(kept for name in names for kept in (name, f"_{name}")))
