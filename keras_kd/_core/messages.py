"""How the package words its errors: what is wrong, what was expected, what to do."""

import difflib
import importlib.metadata
import re
from collections.abc import Iterable
from typing import Any


def snake_case(name: str) -> str:
    """`SoftTarget` -> `soft_target`, `ReverseKL` -> `reverse_kl`."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name).lower()


def listing(names: Iterable[str], most: int = 8) -> str:
    """The names in quotes, the first `most` of them."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown}, ..." if len(names) > most else shown


def did_you_mean(wrong: str, known: Iterable[str], prefix: str = "", *, alike: float = 0.5) -> str:
    """` Did you mean 'x'?` for the nearest known name, or nothing.

    Among very many names one is always somewhat `alike`, and no help.
    """
    known = list(known)
    nearest = difflib.get_close_matches(wrong, known, n=1, cutoff=alike)
    if not nearest:  # the last part alone: 'conv4' is meant for 'backbone/conv4'
        tails = {name.rsplit("/", 1)[-1]: name for name in known}
        tail = difflib.get_close_matches(
            wrong.rsplit("/", 1)[-1], list(tails), n=1, cutoff=max(alike, 0.6)
        )
        nearest = [tails[t] for t in tail]
    return f" Did you mean '{prefix}{nearest[0]}'?" if nearest else ""


def see(anchor: str) -> str:
    """` See ...`: the section `anchor` of the documentation's page of errors; nothing where the
    package was installed without the address of its documentation."""
    try:
        urls = importlib.metadata.metadata("keras-kd").get_all("Project-URL") or []
    except importlib.metadata.PackageNotFoundError:
        return ""
    sites = {label: url for label, _, url in (line.partition(", ") for line in urls)}
    site = sites.get("Documentation", "").rstrip("/")
    return f" See {site}/errors.html#{anchor}" if site else ""


_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(
    r"Exception encountered when calling [^\n]*\n\n(.*?)\n\nArguments received by.*", re.S
)
#: A size that is not known, as backends print it within a shape.
_SYMBOL = re.compile(r"<tf\.Tensor '[^']*' shape=\(\)[^<>]*>|\bdynamic_dimension\b")


def text_of(error: BaseException | str) -> str:
    """The message of an error of Keras or a backend, without its frame, colors and symbols."""
    message = error.args[0] if isinstance(error, KeyError) and error.args else error  # no `repr`
    text = _ANSI.sub("", str(message))
    while inner := _FRAME.fullmatch(text.strip()):
        text = inner[1]
    return _SYMBOL.sub("None", text).strip()


def shape_of(tensor: Any) -> tuple[int | None, ...]:
    """The shape to show: the batch is always `None`, for no message depends on it."""
    shape = tuple(tensor.shape)
    return (None, *shape[1:]) if shape else shape
