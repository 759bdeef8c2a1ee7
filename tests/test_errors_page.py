"""The page of errors: each text on it is one of the package, and each of the package is on it.

A text is read from the source, with `…` for what is filled in. A line of a ```text block of the
page is the beginning of texts, and may leave out with `…` what differs.
"""

import ast
import functools
import importlib.metadata
import pathlib
import re
from email.message import Message

import keras
import pytest

import keras_kd as kd

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
GUIDES = ROOT / "docs" / "guides"
ERRORS = {
    "ValueError", "TypeError", "AttributeError", "KeyError", "RuntimeError", "ImportError",
    "ModuleNotFoundError", "FileNotFoundError", "PermissionError", "StoreError", "ExportError",
    "NotAvailable", "BadInput", "ArgumentTypeError",
}  # fmt: skip
#: Fewer letters than these say nothing by themselves.
TELLING = 12
#: The section of what is true of every argument; its lines alone may be as short as "`…` must …".
GENERAL = "argument"
#: Met by whoever writes against private names, or by nobody: no remedy to look up.
NOT_ON_THE_PAGE = {
    "module … has no attribute ….…",
    "module 'keras_kd' has no attribute …",
    "codec …, expected one of …",
    "not an object",
    "output_names",
}


def text(node):
    """A string of the source with `…` for each hole, and for all that is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return text(node.left) + text(node.right)
    return "…"


def letters(said):
    return len(re.findall(r"[A-Za-z]", said))


def sources():
    for path in sorted((ROOT / "keras_kd").rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def raised():
    """The texts of all errors that the package makes, by where they stand."""
    found = {}
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args:
                name = ast.unparse(node.func).split(".")[-1]
                if name in ERRORS and letters(said := text(node.args[0])) >= TELLING:
                    found[f"{path}:{node.lineno}"] = re.sub("…+", "…", said.replace("\n", " "))
    return found


@functools.cache
def strings():
    """Every string of the source: what an error says may be put together elsewhere."""
    nodes = (node for _, tree in sources() for node in ast.walk(tree))
    kinds = (ast.Constant, ast.JoinedStr, ast.BinOp)
    said = (text(node) for node in nodes if isinstance(node, kinds))
    return frozenset(words for words in said if letters(words) >= TELLING)


def patterns():
    """The lines of the page's blocks, each with its section."""
    found, section = {}, ""
    for part in re.split(r"^(### .*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE):
        if part.startswith("### "):
            section = part
        for block in re.findall(r"^```text\n(.*?)^```$", part, flags=re.MULTILINE | re.DOTALL):
            found.update(dict.fromkeys(block.splitlines(), section))
    return found


def regex(pattern):
    return re.compile(".*".join(map(re.escape, pattern.split("…"))), re.DOTALL)


def uncovered(texts, lines):
    known = [regex(line) for line in lines]
    return [
        f"{where}: {said}"
        for where, said in texts.items()
        if said not in NOT_ON_THE_PAGE and not any(line.match(said) for line in known)
    ]


def test_every_error_of_the_package_is_on_the_page():
    texts = raised()
    assert len(texts) > 350
    missing = uncovered(texts, patterns())
    assert not missing, "\n".join([f"{len(missing)} not on docs/errors.md:", *missing])


def test_every_text_on_the_page_is_one_of_the_package():
    said = [*raised().values(), *strings()]
    invented = [p for p in patterns() if not any(map(regex(p).match, said))]
    assert not invented, "\n".join(["not in the source:", *invented])


@pytest.mark.parametrize("guide", sorted(GUIDES.glob("*.md")), ids=lambda guide: guide.stem)
def test_what_a_guide_quotes_is_said_so(guide):
    _, wrong = guide.read_text(encoding="utf-8").split("## What goes wrong")
    cells = re.findall(r"^\| `+ ?([^|]*?) ?`+ \|", wrong, flags=re.MULTILINE)
    said = [*raised().values(), *strings()]
    for cell in cells:
        found = regex(cell.replace("...", "…"))
        assert any(map(found.search, said)), cell


def test_every_section_has_an_anchor_of_its_own():
    heads = re.findall(r"^### .*$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = [re.search(r" \{ #([a-z-]+) \}$", head) for head in heads]
    assert all(anchors), [h for h, a in zip(heads, anchors, strict=True) if not a]
    names = [a[1] for a in anchors]
    assert len(set(names)) == len(names)
    assert set(patterns().values()) == set(heads), "each section quotes what it is about"


def test_no_line_is_so_short_that_it_would_stand_for_any_error():
    short = [p for p, head in patterns().items() if f"#{GENERAL} " not in head]
    assert [p for p in short if letters(p) < TELLING] == []


@pytest.mark.parametrize(
    "said",
    [
        "The moon is in the wrong quarter. Received: …",
        "Term '…' compares two moons. Give it one.",
        "The store '…' is on the moon.",
        "compile() was given a moon.",
        "'…' holds a moon, and none was expected.",
    ],
)
def test_a_new_error_is_missed(said):
    assert uncovered({"new.py:1": said}, patterns()) == [f"new.py:1: {said}"]
    assert uncovered({"new.py:1": said}, [*patterns(), said]) == []


def anchors_in_messages():
    calls = (node for _, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {call.args[0].value for call in calls if ast.unparse(call.func) == "see"}


def test_messages_link_to_sections_that_are_there():
    heads = set(re.findall(r"\{ #([a-z-]+) \}$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert {"shapes", "no-layer"} <= anchors_in_messages() <= heads


def metadata(url):
    given = Message()
    given["Project-URL"] = "Source, https://example.org/source"
    given["Project-URL"] = f"Documentation, {url}"
    return lambda name: given


@pytest.mark.parametrize("url", ["https://example.org/docs/", "https://example.org/docs"])
def test_a_message_links_to_the_documentation_where_its_address_is_known(url, monkeypatch):
    def wrong():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="a")])
        kd.Distiller(student=model, terms=[kd.Term(kd.losses.FeatureMatch(), pred="student:b")])

    monkeypatch.setattr(importlib.metadata, "metadata", metadata(url))
    with pytest.raises(ValueError, match=r" See https://example\.org/docs/errors\.html#no-layer$"):
        wrong()

    def not_installed(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", not_installed)
    with pytest.raises(ValueError, match="No layer 'b'") as error:
        wrong()
    assert "See" not in str(error.value)
