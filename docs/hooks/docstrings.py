"""Docstrings as the reference shows them: formulas set as such, examples as code."""

import re

import griffe
from formulas import formula, is_formula


class AsShown(griffe.Extension):
    """Changes what the reference reads, not the source."""

    def on_object(self, *, obj, **_):
        if obj.docstring:
            parts = re.split(r"(\n[ \t]*\n)", obj.docstring.value)
            obj.docstring.value = "".join(map(shown, parts))


def shown(paragraph):
    """A paragraph of a docstring as Markdown."""
    if is_formula(paragraph):
        return formula(paragraph)
    if paragraph.lstrip().startswith(">>>"):
        indent = paragraph[: len(paragraph) - len(paragraph.lstrip())].lstrip("\n")
        return f"{indent}```pycon\n{paragraph.rstrip()}\n{indent}```"
    return re.sub(r"^( *)(Examples?|Reference):", r"\1**\2:**", paragraph)
