"""The teacher's answers, asked for once: a store of the examples as they are, and one of views."""

import errno
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd import sources, stores
from keras_kd._core.heads import before_head
from keras_kd._training_choices import changes_for, known_after
from keras_kd.auto._data import Data, kind_of
from keras_kd.auto._task import Classes, Task
from keras_kd.auto._teacher import Teacher
from keras_kd.data import Augment, feed

#: How many views of each image are stored.
VIEWS = 4


@dataclass(frozen=True)
class Answers:
    """Where students get examples and the teacher's answers from.

    Args:
        data: The examples.
        folders: A store's folder by its number of views, and whether it holds the hint too; empty
            when there was no room.
        augment: How images are changed; `None` for no views.
        teacher: The teacher, which is run in each step when nothing is stored.
        hint: The path of what enters the teacher's last layer, where that is stored, and how many
            numbers it has.
    """

    data: Data
    folders: dict[tuple[int, bool], Path]
    augment: Augment | None
    teacher: Teacher
    hint: tuple[str, int] | None = None

    @property
    def views(self) -> tuple[int, ...]:
        """The numbers of views to choose from."""
        return (1, VIEWS) if self.augment is not None else (1,)

    def batches(self, views: int, batch_size: int, seed: int, hint: bool = False) -> Any:
        order: dict[str, Any] = {"batch_size": batch_size, "shuffle": True, "seed": seed}
        if (views, hint) in self.folders:
            return stores.read(self.folders[views, hint], self.data.train, **order)
        if not self.teacher.is_keras:
            return sources.live(self.teacher.model, self.data.train, **order)
        return self.plain(views, batch_size, seed)

    def plain(self, views: int, batch_size: int, seed: int) -> Any:
        """The same examples in the same order and views, without answers."""
        changed: dict[str, Any] = {}
        if views > 1:
            changed = {"augment": self.augment, "views": views}
        return feed(self.data.train, batch_size=batch_size, shuffle=True, seed=seed, **changed)

    @property
    def live(self) -> keras.Model | None:
        """The teacher that a distiller runs itself."""
        return self.teacher.model if self.teacher.is_keras and not self.folders else None

    def code(self, views: int, batch_size: int, seed: int, hint: bool = False) -> str:
        """The batches, as they are written in Python."""
        order = f"batch_size={batch_size}, shuffle=True, seed={seed}"
        if (views, hint) in self.folders:
            return f'kd.stores.read("{self.folders[views, hint].as_posix()}", train, {order})'
        if not self.teacher.is_keras:
            return f"kd.sources.live(teacher, train, {order})"
        return self.plain_code(views, batch_size, seed)

    def plain_code(self, views: int, batch_size: int, seed: int) -> str:
        """The same of `plain`."""
        order = f"batch_size={batch_size}, shuffle=True, seed={seed}"
        changed = "" if views == 1 else f", augment={_code(self.augment)}, views={views}"
        return f"kd.data.feed(train, {order}{changed})"


def _code(augment: Augment | None) -> str:
    assert augment is not None
    steps = ", ".join(f"kd.data.{step!r}" for step in augment.steps)
    return f"kd.data.Augment({steps}, seed={augment.seed})"


def ask(
    teacher: Teacher, task: Task, data: Data, folder: Path, seconds: float, seed: int
) -> tuple[Answers, list[str]]:
    """The answers to all training examples, stored once; and what there is to say of it.

    Args:
        teacher: The teacher.
        task: What is learned.
        data: The examples.
        folder: Where stores are written.
        seconds: How long the teacher takes for all training examples, about, and may take.
        seed: Of the views.
    """
    augment, notes = None, []
    if kind_of(data.train.x) == "images" and isinstance(task, Classes):
        offered = changes_for(data.train.x.shape[1:])
        _, _, _, suit = known_after(teacher.predict, data.validation, offered.values())
        steps = [step for step, good in zip(offered.values(), suit, strict=True) if good]
        augment = Augment(*steps, seed=seed) if steps else None
    small = data.train.take(np.arange(min(len(data.train), 512)))
    began = time.perf_counter()
    teacher.predict(small.x)
    whole = (time.perf_counter() - began) * len(data.train) / len(small)
    if augment is not None and VIEWS * whole > seconds:
        notes.append(
            f"No views of the images: the teacher would take {VIEWS * whole:.0f} s for them."
        )
        augment = None
    hint = before_head(teacher.model) if teacher.is_keras else None
    numbers = (1, VIEWS) if augment is not None else (1,)
    if hint is not None and 2 * sum(numbers) * whole > seconds:
        hint = None  # a second store would take too long
    folders: dict[tuple[int, bool], Path] = {}
    try:
        for views in numbers:
            changed: dict[str, Any] = {} if views == 1 else {"augment": augment, "views": views}
            for hinted in (False,) if hint is None else (False, True):
                path = folder / f"answers{'_views' * (views > 1)}{'_hint' * hinted}"
                addresses = ("output", hint[0]) if hint and hinted else ("output",)
                stores.write(
                    teacher.model, data.train, path, name=teacher.name, addresses=addresses,
                    **changed,
                )  # fmt: skip
                folders[views, hinted] = path
    except (stores.StoreError, OSError) as error:
        if not _no_room(error):
            raise
        folders, hint = {}, None
        notes.append(f"The answers could not be stored, so the teacher runs in each step: {error}")
    return Answers(data, folders, augment, teacher, hint), notes


def _no_room(error: Exception) -> bool:
    """Whether the disk is too small, as `stores.write` estimates it or as it turns out."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOSPC
    return "would take" in str(error)
