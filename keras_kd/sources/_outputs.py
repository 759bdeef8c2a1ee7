"""One output among what a model returns."""

from collections.abc import Mapping
from typing import Any

from keras_kd._core.messages import listing

#: What a classifier's output is called where it has a name.
LOGITS = "logits"


def output_of(given: Any, chosen: str | int | None, name: str, argument: str) -> Any:
    """The one that is `chosen`; the only one; or the one called `"logits"`.

    Args:
        given: A tensor, several by place or by name.
        chosen: A key or a place.
        name: The teacher's.
        argument: The argument that chooses.
    """
    if isinstance(given, Mapping):
        several = dict(given)
    elif isinstance(given, (list, tuple)):
        several = dict(enumerate(given))
    elif hasattr(given, LOGITS) and chosen is None:  # a record of named outputs
        return getattr(given, LOGITS)
    elif chosen is None:
        return given
    else:
        several = vars(given) if hasattr(given, "__dict__") else {}
    if chosen is None and len(several) == 1:
        return next(iter(several.values()))
    key = LOGITS if chosen is None and LOGITS in several else chosen
    if key is None or key not in several:
        raise ValueError(
            f"The teacher '{name}' gives several outputs: {listing(map(str, several))}. Choose one: "
            f"{argument}={next(iter(several), 0)!r}."
            + (f" Received: {argument}={chosen!r}." if chosen is not None else "")
        )
    return several[key]
