"""The notebooks of tutorials/ as pages: prose, code, what it printed and the pictures it drew.

A notebook becomes Markdown before MkDocs reads it, so that it looks, searches and links like every
other page. Nothing is run.
"""

import base64
import json
import pathlib
import re

TUTORIALS = pathlib.Path(__file__).parents[2] / "tutorials"
REPOSITORY = "keras-kd/keras-kd"
INSTALL = f'!pip install "keras-kd[tutorials] @ git+https://github.com/{REPOSITORY}"'
TIME = re.compile(r"\*\*Time:\*\* (.*?) on a laptop's CPU\. ?")


def on_files(files, config):
    from mkdocs.structure.files import File

    for path, content in pages():
        files.append(File.generated(config, path, content=content))
    return files


def on_config(config):
    """Lists the pages, by number, where the navigation says `Tutorials: tutorials/index.md`."""
    names = sorted(path.stem for path in TUTORIALS.glob("[0-9]*.ipynb"))
    pages = ["tutorials/index.md", *(f"tutorials/{name}.md" for name in names)]
    for entry in config.nav:
        if "Tutorials" in entry:
            entry["Tutorials"] = pages
    return config


def pages():
    """Every page and picture, with its path."""
    rows = []
    for path in sorted(TUTORIALS.glob("[0-9]*.ipynb")):
        name = path.stem
        page, pictures = rendered(json.loads(path.read_text(encoding="utf-8")), name)
        yield f"tutorials/{name}.md", page
        for number, picture in enumerate(pictures, 1):
            yield f"tutorials/{name}/{number}.png", picture
        rows.append(row(name, page))
    yield "tutorials/index.md", overview(rows)


def rendered(notebook, name):
    """The page of a notebook, and its pictures in order."""
    parts, pictures = [], []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(linked(source))
        else:
            parts += [fenced(source, "python"), *shown(cell["outputs"], name, pictures)]
    head, _, rest = parts[0].partition("\n")
    minutes = TIME.search(rest)
    assert head.startswith("# ") and minutes, f"{name} has no title or says no time"
    rest = TIME.sub("", rest)
    parts[0] = f"{head}\n\n{badges(name, minutes[1])}\n{rest}"
    return "\n\n".join(parts) + "\n", pictures


def badges(name, minutes):
    colab = (
        f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/tutorials/{name}.ipynb"
    )
    source = f"https://github.com/{REPOSITORY}/blob/main/tutorials/{name}.py"
    return (
        f"[Open in Colab]({colab}){{ .md-button .kd-small }} "
        f"[Script]({source}){{ .md-button .kd-small }} "
        f'<span class="kd-time">{minutes} on a laptop\'s CPU</span>\n\n'
        f"<small>In Colab, run this in a cell of its own first: <code>{INSTALL}</code></small>\n"
    )


def shown(outputs, name, pictures):
    """What a cell printed and drew, in order; prints that follow one another are one block."""
    parts, text = [], ""
    for output in outputs:
        data = output.get("data", {})
        drawn = ["".join(data["image/png"])] if "image/png" in data else _within(data)
        if not drawn:
            text += "".join(data.get("text/plain", output.get("text")))
            continue
        parts += printed(text)
        text = ""
        for picture in drawn:
            pictures.append(base64.b64decode(picture))
            parts.append(f"![Picture {len(pictures)} of this tutorial]({name}/{len(pictures)}.png)")
    return parts + printed(text)


def _within(data):
    """The pictures inside of what an object shows of itself."""
    shown_as = "".join(data.get("text/html", ""))
    return re.findall(r'src="data:image/png;base64,([^"]+)"', shown_as)


def printed(text):
    """Text without the codes of a terminal's colours; no block where there is none."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).strip("\n").rstrip()
    return [fenced(plain, "text")] if plain else []


def fenced(text, language):
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text) or [""]))
    return f"{fence}{language}\n{text}\n{fence}"


def linked(markdown):
    """Links to other notebooks lead to their pages."""
    return re.sub(r"\]\((\d\d_\w+)\.ipynb", r"](\1.md", markdown)


def row(name, page):
    title = re.search(r"^# (.*)$", page, flags=re.MULTILINE)[1]
    minutes = re.search(r"kd-time\">(.*?) on", page)[1]
    first = re.search(r"</small>\n\s*(.*?)\n\n", page, flags=re.DOTALL)[1].replace("\n", " ")
    minutes = minutes.replace(" ", "&nbsp;")
    return f"| [{title}]({name}.md) | {first} | {minutes} |"


def overview(rows):
    return (
        "# Tutorials\n\nEach is a notebook with its results. The times are those of a laptop's CPU; "
        "`KERAS_KD_QUICK=1` makes a script run in less than a minute.\n\n"
        "| tutorial | what it shows | time |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )
