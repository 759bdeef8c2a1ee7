"""What commands say: progress and errors to the standard error, results to the standard output."""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any


class BadInput(Exception):
    """An option that will not do, or data that cannot be had: exit code 2."""


@contextlib.contextmanager
def bad_input() -> Iterator[None]:
    """What goes wrong here, before any work, is for the user to mend: files and folders too."""
    try:
        yield
    except (OSError, TypeError) as error:
        raise BadInput(str(error)) from error


def tell(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def give(options: argparse.Namespace, result: Mapping[str, Any] | list, *lines: str) -> None:
    """The result: as JSON for programs, else as lines for people."""
    if options.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        print(*lines, sep="\n")
