"""The site, as far as it can be checked without MkDocs: `mkdocs build --strict` checks the rest."""

import collections
import importlib
import pathlib
import re
import sys

import pytest

import keras_kd as kd
from tests.test_house import public

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def hook():
    """Imports a file of docs/hooks as MkDocs does, with its folder on the path."""
    sys.path.insert(0, str(DOCS / "hooks"))
    yield importlib.import_module
    sys.path.remove(str(DOCS / "hooks"))


@pytest.fixture(scope="module")
def pages(hook):
    """Every page by its path under docs/, made ones included."""
    pages = {
        path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
        for path in DOCS.rglob("*.md")
    }
    pages |= {path: text for path, text in hook("tutorials").pages() if path.endswith(".md")}
    results = hook("results")
    pages |= {f"results/{name}": text for name, text in results.pages(results.sections()).items()}
    return pages | {"reference/cli.md": hook("command_line").page()}


def referenced():
    """The names that the reference shows, with the page of each."""
    for path in sorted((DOCS / "reference").glob("*.md")):
        for name in re.findall(r"^::: ([\w.]+)$", path.read_text("utf-8"), re.MULTILINE):
            yield name, path.name


def found(name):
    thing = kd
    for part in name.split(".")[1:]:
        thing = getattr(thing, part)
    return thing


@pytest.mark.filterwarnings("error::FutureWarning")  # an old name, which goes with a later version
def test_every_public_name_has_one_place_in_the_reference():
    places = collections.defaultdict(list)
    for name, page in referenced():
        places[found(name)].append(page)
    ours = {thing: name for name, thing in public() if name.split(".")[1] in kd.__all__}
    ours = {thing: name for thing, name in ours.items() if "._core." not in thing.__module__}
    missing = sorted(name for thing, name in ours.items() if thing not in places)
    assert not missing, f"write '::: NAME' on a page of docs/reference for: {missing}"
    twice = {ours.get(thing, thing): where for thing, where in places.items() if len(where) > 1}
    assert not twice, twice


def test_every_name_stands_on_the_page_of_its_module():
    for name, page in referenced():
        module = name.split(".")[1] if name.count(".") > 1 else "kd"
        assert page == f"{module}.md", name


def test_the_navigation_names_every_page_once(pages):
    listed = re.findall(r"([\w/]+\.md)", CONFIG.split("\nnav:\n")[1])
    assert len(listed) == len(set(listed))
    tutorials = {path for path in pages if path.startswith("tutorials/0") or "tutorials/1" in path}
    assert set(listed) == set(pages) - tutorials


def test_links_between_pages_lead_somewhere(pages):
    wrong = []
    for path, text in pages.items():
        text = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
        for link in LINK.findall(re.sub(r"`[^`\n]*`", "code", text)):
            if re.match(r"\w+:", link):
                continue
            target, _, anchor = link.partition("#")
            there = _joined(path, target) if target else path
            if there not in pages:
                wrong.append(f"{path}: {link}, no such page")
            elif anchor and anchor not in _anchors(pages[there]):
                wrong.append(f"{path}: {link}, no such heading")
    assert not wrong, "\n".join(wrong)


def _joined(page, link):
    parts = page.split("/")[:-1]
    for part in link.split("/"):
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def _anchors(text):
    names = set(re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE))
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        given = re.search(r"\{ *#([\w-]+) *\}$", heading)
        plain = re.sub(r"[^\w\s-]", "", heading).strip().lower()
        names.add(given[1] if given else re.sub(r"[\s-]+", "-", plain))
    return names


def test_no_page_asks_another_host_for_what_it_shows(pages):
    shown = re.compile(r"(?:!\[[^\]]*\]\(|src=\"|@import )https?:[^)\"]*")
    assert not {path: shown.findall(text) for path, text in pages.items() if shown.search(text)}
    style = (DOCS / "assets" / "site.css").read_text(encoding="utf-8")
    assert "http" not in style and "font: false" in CONFIG


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("`loss = Σ_c p_c · log q_c`", "loss = Σ<sub><i>c</i></sub> <i>p</i><sub><i>c</i></sub>"),
        ("`loss = cross_entropy(labels) - alpha`", "cross entropy(labels) − <i>α</i>"),
        ("`x = 2^-(pairs after it) · 1e-7`:", "2<sup>−(pairs after it)</sup> · 1<i>e</i>-7"),
        ("`a = Σ_{n=0}^{order} y_true_k`", "<sup>order</sup> <i>y</i><sub>true, <i>k</i></sub>"),
    ],
)
def test_formulas_are_set(hook, source, shown):
    formulas = hook("formulas")
    assert formulas.is_formula(source)
    assert shown in formulas.formula(source)


@pytest.mark.parametrize("prose", ["`axis=-1`", "Where `p = 1`, `q` is.", "`[*dkd(), *rkd()]`."])
def test_prose_is_left_alone(hook, prose):
    assert not hook("formulas").is_formula(prose)


def test_a_flow_chart_becomes_lists(hook):
    chart = 'flowchart TD\n A{"Why?"}\n A -->|so| B["kd.Term(x)"]\n A -->|or| C["<i>"]\n'
    made = hook("flowchart").drawn(chart)
    assert made.startswith('<div class="kd-chart"><b>Why?</b><ul><li><i>so</i> <code>kd.Term(x)')
    assert "<code>&lt;i&gt;</code>" in made
    with pytest.raises(AssertionError, match="two lines lead to C"):
        hook("flowchart").drawn(chart + ' B -->|too| C["again"]\n')
    with pytest.raises(AssertionError, match="is no line of the form"):
        hook("flowchart").drawn("flowchart TD\n A --- B\n")


def test_plots_show_every_row(hook):
    plots, shown = hook("plots"), hook("results").PLOTS
    names = {name for of_section in shown.values() for name, _ in of_section}
    assert names <= set(vars(plots))
    colors = plots.COLORS["light"][2:]
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    section = text.split("## Every recipe on real images")[1].split("\n## ")[0]
    rows = re.findall(r"^\| \w+ \| [\d.]+ \| [+-]", section, re.MULTILINE)
    assert sum(len(axes.patches) for axes in plots.gains(colors).axes) == len(rows) > 60
    dots = plots.cifar(colors).axes[0].lines
    assert sum(len(line.get_xdata()) for line in dots[::2]) == len(plots.rows("cifar.csv"))
    assert "<text" not in plots.drawn("reviews", "dark")  # letters are drawn: no font is needed
