"""Formulas of docstrings as HTML.

A formula of the source is a line of its own in backticks, `loss = Σ_c p_c · log(p_c / q_c)`.
"""

import html
import re

PARAGRAPH = re.compile(r"(?:^ *`[^`\n]+`[,:.]?\n?)+", flags=re.MULTILINE)
ATOM = re.compile(r"(?P<word>[^\W\d_]{2,})|(?P<letter>[^\W\d_]['´]?)|(?P<other>.)", flags=re.DOTALL)
NAME = re.compile(r"[^\W\d_]+'?")
GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "lam": "λ"}
LOWERED = re.compile(r"(?P<mark>[_^])(?P<low>\{[^}]*\}|[-−]?\([^)]*\)|\w+)")


def is_formula(paragraph):
    signs = " = " in paragraph or re.search("[·√Σ]", paragraph)
    return bool(signs and PARAGRAPH.fullmatch(paragraph))


def formula(paragraph):
    lines = [re.sub(r"^ *`|`[,:.]?$", "", line) for line in paragraph.splitlines()]
    return f'<p class="kd-formula">{"<br>".join(map(line_of, lines))}</p>'


def line_of(text):
    """A line of a formula as HTML: letters in italics, `_` and `^` as sub- and superscripts."""
    indent = len(text) - len(text.lstrip())
    text = re.sub(r"(?<!\w)-", "−", text)  # but 1e-7 keeps its sign
    made, at = ["&emsp;" * (indent // 2)], indent
    while at < len(text):
        name = NAME.match(text, at)
        lowered = LOWERED.match(text, name.end()) if name else None
        if lowered and lowered["mark"] == "_" and len(name[0].strip("'")) > 1 < len(lowered["low"]):
            made.append(f"{name[0]} ")  # cross_entropy is two words, and no index
            at = name.end() + 1
            continue
        lowered = LOWERED.match(text, at) if text[at] in "_^" else None
        if lowered:
            inner = lowered["low"]
            inner = (inner[1:-1] if inner[0] == "{" else inner).replace("_", ", ")
            tag = "sub" if lowered["mark"] == "_" else "sup"
            made.append(f"<{tag}>{atoms(inner)}</{tag}>")
            at = lowered.end()
        else:
            atom = ATOM.match(text, at)
            made.append(atoms(atom[0]))
            at = atom.end()
    return "".join(made)


def atoms(text):
    return "".join(map(atom_of, ATOM.finditer(text)))


def atom_of(found):
    text = GREEK.get(found[0], found[0])
    if (found["letter"] or found[0] in GREEK) and text != "Σ":
        return f"<i>{html.escape(text.replace(chr(39), chr(0x2032)))}</i>"
    return html.escape(text)
