"""Threads that take turns, where they need the same variables.

While Keras trains on JAX, a model's variables are empty: their values are with the step, which writes
over them. Two trainings that share a teacher would each find it emptied by the other.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import Any

_changed = threading.Condition()
_users: dict[int, int] = {}  # by `id(variable)`, the thread that has it


@contextlib.contextmanager
def in_turn(variables: Iterable[Any]) -> Iterator[None]:
    """Waits until no other thread has any of `variables`, and has them while the context lasts."""
    variables = list(variables)  # kept, so that no other gets the number of one of them
    me = threading.get_ident()
    with _changed:
        _changed.wait_for(lambda: all(_users.get(id(v), me) == me for v in variables))
        mine = [id(v) for v in variables if id(v) not in _users]  # not those of a fit around this
        _users.update(dict.fromkeys(mine, me))
    try:
        yield
    finally:
        with _changed:
            for number in mine:
                del _users[number]
            _changed.notify_all()
