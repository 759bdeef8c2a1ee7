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
    if not (obj.is_class or obj.is_function) or obj.parent.is_class:
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
    paragraph = re.sub(r"^( *)(Examples?|In a term|Reference|Shapes):", r"\1**\2:**", paragraph)
    return re.sub(r"`([\w.]+)(\([^`]*\))?`", linked, paragraph)


def linked(code):
    """A name of the package in backticks, with a link to its place in the reference."""
    name = code[1]
    there = NAMES.get(name) if name[0].isupper() or "." in name else None
    return f"[{code[0]}][{there}]" if there else code[0]


def names():
    """The names of the reference by what docstrings call them: `SoftTarget`, and in full."""
    full = {}
    for page in sorted((ROOT / "docs" / "reference").glob("*.md")):
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            full |= {name: name, name.rpartition(".")[2]: name}
    return full


NAMES = names()
