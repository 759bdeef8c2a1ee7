"""Names that have no counterpart: they are there to say so."""

from typing import Any


def absent(name: str, instead: str) -> Any:
    """A class of that name, which tells what to use instead as soon as it is used."""

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"tfmot's {name} has no counterpart in Keras 3. {instead}")

    refused = {
        "__doc__": f"Not here. {instead}",
        "__new__": refuse,
        "__init_subclass__": classmethod(refuse),
    }
    return type(name.rsplit(".", 1)[-1], (), refused)
