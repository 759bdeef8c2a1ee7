"""What is printed, as plain text: in a notebook as well, and whatever stands in brackets stays."""

import io
from collections.abc import Callable

from rich.console import Console


def plain_text(show: Callable[[Console], None], width: int = 100) -> str:
    """What `show` prints to the console that it is given."""
    text = io.StringIO()
    show(
        Console(
            file=text, width=width, color_system=None, highlight=False, markup=False,
            force_jupyter=False,
        )
    )  # fmt: skip
    return text.getvalue().rstrip()
