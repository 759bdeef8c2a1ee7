"""What the pages of the documentation show runs, and the names they use are there.

The Python blocks of a page run in order, in one namespace, in a folder of their own. A comment
`<!-- setup ... -->` holds code that runs and is not shown; `<!-- only: jax -->` before a block
names the backend that it is for, `<!-- needs: sklearn -->` the module that it takes, and
`<!-- keras: 3.9 -->` the oldest Keras.
"""

import importlib.util
import pathlib
import re
import runpy
import textwrap
from typing import NamedTuple

import keras
import numpy as np
import pytest

import keras_kd as kd
from tests.project import needs_keras

DOCS = pathlib.Path(__file__).parents[1] / "docs"
PAGES = sorted([*DOCS.glob("guides/*.md"), *DOCS.glob("coming_from/*.md"), *DOCS.glob("*.md")])
PAGES.remove(DOCS / "errors.md")
PROSE = [*PAGES, DOCS / "errors.md"]

_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<key>only|needs|keras): (?P<value>[\w.]+) -->\n+)?"
    r"^(?P<indent> *)```python[^\n]*\n(?P<shown>.*?)^(?P=indent)```$"
    r"|^<!-- setup\n(?P<hidden>.*?)^-->$",
    flags=re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    line: int
    code: str
    shown: bool
    condition: tuple[str, str] | None

    def runs(self):
        """Whether this is the backend, and the module here, that the block is for."""
        key, value = self.condition or ("", "")
        if key == "only":
            return value == keras.config.backend()
        if key == "keras":
            have, least = (tuple(map(int, v.split(".")[:2])) for v in (keras.__version__, value))
            return have >= least
        return key != "needs" or importlib.util.find_spec(value) is not None


def blocks(page):
    text, found = page.read_text(encoding="utf-8"), []
    for match in _BLOCK.finditer(text):
        shown = match["hidden"] is None
        group = "shown" if shown else "hidden"
        line = text.count("\n", 0, match.start(group))
        condition = (match["key"], match["value"]) if match["key"] else None
        found.append(Block(line, textwrap.dedent(match[group]), shown, condition))
    return found


def name_of(page):
    return page.relative_to(DOCS).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = keras.utils.is_interactive_logging_enabled()
    keras.utils.disable_interactive_logging()
    names = {"__name__": "page"}
    try:
        for block in filter(Block.runs, blocks(page)):
            code = "\n" * block.line + block.code  # an error names the line of the page
            exec(compile(code, name_of(page), "exec"), names)
    finally:
        if shown:
            keras.utils.enable_interactive_logging()
        if keras.config.backend() == "jax":
            keras.distribution.set_distribution(None)
    if page.parent.name == "guides":
        saved = [*tmp_path.glob("*.keras"), *tmp_path.glob("*.tflite")]
        assert saved, "a guide goes from the first line to a saved file"
        for file in tmp_path.glob("*.keras"):
            assert keras.saving.load_model(file).count_params() > 0
    left_out = [f"line {b.line}: {b.condition}" for b in blocks(page) if not b.runs()]
    print("\n".join(["not for this machine:", *left_out]) if left_out else "all blocks ran")


def test_there_is_code_on_every_guide():
    guides = [page for page in PAGES if page.parent != DOCS]
    assert len(guides) >= 17
    without = [p for p in [*guides, DOCS / "faq.md"] if not any(b.shown for b in blocks(p))]
    assert without == []


def public(name):
    """What `keras_kd.losses.SoftTarget` is; an error where there is no such name."""
    assert name.startswith("keras_kd"), name
    found = kd
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found


def test_every_name_of_the_package_exists():
    for page in PROSE:
        text = page.read_text(encoding="utf-8")
        for name in set(
            re.findall(r"(?<!-)\b(?:kd|keras_kd)((?:\.[A-Za-z_][A-Za-z_0-9]*)+)", text)
        ):
            if not name.endswith((".md", ".py")):
                public(f"keras_kd{name}")


@pytest.fixture(scope="module")
def choose_table():
    return runpy.run_path(str(DOCS / "choose_table.py"))


def test_the_table_of_recipes_is_the_one_that_its_script_makes(choose_table):
    page = (DOCS / "choose.md").read_text(encoding="utf-8")
    assert choose_table["with_table"](page) == page, "run: python docs/choose_table.py"


def test_the_table_has_every_recipe_and_every_number(choose_table):
    table, results = choose_table["table"](), choose_table["measured"]()
    names = re.findall(r"^\| \[`(\w+)`\]", table, flags=re.MULTILINE)
    public_recipes = {n for n in dir(kd.recipes) if n[0] != "_" and n != "Terms"}
    assert sorted(names) == sorted({*public_recipes, "assistant", "born_again"})
    for rows in results.values():
        assert set(rows) <= {*names, "student alone"}
        assert len(rows) == 38
    assert results["fashion_mnist"]["hinton"]["gain"] == "+5.48"
    needs = dict(re.findall(r"^\| \[`(\w+)`\]\S* \| [^|]* \| ([^|]*) \|", table, re.MULTILINE))
    assert needs["hinton"] == "(labels)" and needs["dkd"] == "labels"
    assert needs["rkd"] == "(labels), layers, relational"
    assert needs["tf_kd"] == "labels, no teacher" and needs["gkd"].strip() == ""


def test_the_chart_ends_at_lines_that_are_right():
    chart = (DOCS / "choose.md").read_text(encoding="utf-8").split("```mermaid")[1].split("```")[0]
    ends = set(re.findall(r"kd\.[\w.]+", chart))
    assert len(ends) > 12
    for end in ends:
        public(f"keras_{end}")


@needs_keras("3.15")
def test_what_is_said_of_keras_own_distillation():
    page = (DOCS / "coming_from" / "keras_distillation.md").read_text(encoding="utf-8")
    assert "`kd.losses.SoftTarget(temperature=3.0)`: the same number" in page
    assert "gets neither the softmax nor the T²" in page
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(0, 3, (2, 16, 10)).astype("float32")
    ours = float(kd.losses.SoftTarget(temperature=3.0)(teacher, student))
    theirs = keras.distillation.LogitsDistillation(3.0, loss=keras.losses.KLDivergence())
    by_name = keras.distillation.LogitsDistillation(3.0)
    tensors = map(keras.ops.convert_to_tensor, (teacher, student))
    teacher, student = tensors
    assert float(theirs.compute_loss(teacher, student)) == pytest.approx(ours, rel=1e-4)
    assert abs(float(by_name.compute_loss(teacher, student)) - ours) > 0.1 * ours


def test_what_is_said_of_alpha():
    page = (DOCS / "coming_from" / "keras_io.md").read_text(encoding="utf-8")
    assert "`terms=kd.recipes.hinton(temperature=3.0, alpha=0.9)`" in page
    terms = kd.recipes.hinton(temperature=3.0, alpha=0.9)
    assert [(type(t).__name__, round(t.weight, 6)) for t in terms] == [
        ("Labels", 0.1),
        ("Term", 0.9),
    ]
