"""Docstrings as the reference shows them: formulas set as such, examples as code."""

import pathlib
import re
import runpy

import griffe

ROOT = pathlib.Path(__file__).parents[2]
REPOSITORY = "https://github.com/keras-kd/keras-kd/blob/main/"
_formulas = runpy.run_path(str(pathlib.Path(__file__).with_name("formulas.py")))
formula, is_formula = _formulas["formula"], _formulas["is_formula"]


class AsShown(griffe.Extension):
    """Changes what the reference reads, not the source."""

    def on_object(self, *, obj, **_):
        if obj.docstring:
            parts = re.split(r"(\n[ \t]*\n)", obj.docstring.value)
            obj.docstring.value = "".join([*map(shown, parts), source_of(obj)])


def source_of(obj):
    """A link to the lines of a class or function; a method is found from its class."""
    if obj.parent.is_class or not (obj.is_class or obj.is_function):
        return ""
    path = pathlib.Path(obj.filepath).relative_to(ROOT).as_posix()
    lines = f"#L{obj.lineno}-L{obj.endlineno}"
    return f"\n\n[{path}]({REPOSITORY}{path}{lines}){{ .kd-source }}"


def shown(paragraph):
    """A paragraph of a docstring as Markdown."""
    if is_formula(paragraph):
        return formula(paragraph)
    if paragraph.lstrip().startswith(">>>"):
        indent = paragraph[: len(paragraph) - len(paragraph.lstrip())].lstrip("\n")
        return f"{indent}```pycon\n{paragraph.rstrip()}\n{indent}```"
    return re.sub(r"^( *)(Examples?|Reference):", r"\1**\2:**", paragraph)
