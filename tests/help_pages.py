"""What `help` shows of each public package: a table of its names, in its docstring.

`python -m tests.help_pages` writes the tables and `__all__` anew; tests/test_help.py compares.
"""

import importlib
import inspect
import pathlib
import re
import textwrap

import keras_kd

ROOMS = (
    "auto", "callbacks", "compression", "data", "exporting", "losses", "metrics", "procedures",
    "projectors", "recipes", "report", "sources", "stores", "students", "teachers", "testing",
)  # fmt: skip
#: Types that signatures name, and nothing to call.
NO_PAGE = {"Terms"}
LATER = (
    "auto", "callbacks", "compat", "data", "exporting", "report", "sources", "stores", "students", "testing",
    "export",
)  # fmt: skip


def names_of(module):
    """The public names of a package, as they stand in its file."""
    if module is keras_kd:
        source = pathlib.Path(importlib.import_module("keras_kd._public_names").__file__)
    else:
        source = pathlib.Path(module.__file__)
    names = set(re.findall(r"import (\w+) as \1\b", source.read_text(encoding="utf-8")))
    names |= set(LATER) if module is keras_kd else set()
    return sorted(names - NO_PAGE, key=lambda name: (name.lower(), name))


def line_of(module, name):
    """The first sentence of what a thing says of itself."""
    thing = getattr(module, name)
    home = getattr(thing, "__module__", None) or thing.__name__
    if not home.startswith("keras_kd"):
        return f"`{'.'.join(home.split('.')[:1])}.layers.{name}`."
    doc = inspect.cleandoc(thing.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=\.)\s", doc)[0]


def table(module):
    """Each name, and below it the first sentence of its docstring."""
    lines = ["Names:"]
    for name in names_of(module):
        lines.append(f"    {name}")
        lines += textwrap.wrap(line_of(module, name), 99, initial_indent=" " * 8,
                               subsequent_indent=" " * 8)  # fmt: skip
    return "\n".join(lines) + "\n"


def modules():
    yield keras_kd
    yield from (importlib.import_module(f"keras_kd.{room}") for room in ROOMS)


def _order(name):
    """As ruff sorts: names in capitals, classes, functions."""
    return not name.isupper(), not name[0].isupper(), name


def written(module):
    """The file of a package as it should be."""
    source = pathlib.Path(module.__file__).read_text(encoding="utf-8")
    doc, rest = re.match(r'"""(.*?)"""\n(.*)', source, re.S).groups()
    doc = doc.partition("\nNames:\n")[0].rstrip()
    rest = re.sub(r"\n__all__ = \[.*?\](  # fmt: skip)?\n", "", rest, flags=re.S).rstrip()
    names = ", ".join(f'"{name}"' for name in sorted(names_of(module), key=_order))
    listed = "\n".join(textwrap.wrap(names, 92, initial_indent="    ", subsequent_indent="    "))
    listed = f"__all__ = [\n{listed},\n]  # fmt: skip"
    return f'"""{doc}\n\n{table(module)}"""\n{rest}\n\n{listed}\n'


if __name__ == "__main__":
    for module in modules():
        pathlib.Path(module.__file__).write_text(written(module), encoding="utf-8")
