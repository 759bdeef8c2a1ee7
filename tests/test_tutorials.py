"""The notebooks say what their scripts say. That the scripts run is seen by running them."""

import ast
import importlib.util
import pathlib

import pytest

TUTORIALS = pathlib.Path(__file__).parents[1] / "tutorials"
SCRIPTS = sorted(TUTORIALS.glob("[0-9][0-9]_*.py"))


@pytest.fixture(scope="module")
def maker():
    pytest.importorskip("jupytext", reason="the notebooks are read with jupytext")
    spec = importlib.util.spec_from_file_location("make_tutorials", TUTORIALS / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_notebook_is_its_script_and_was_run(maker, script):
    assert maker.differences(script) == []


def test_a_difference_is_seen(maker, tmp_path):
    script = tmp_path / "00_walk.py"
    script.write_text("# %% [markdown]\n# # A walk\n\n# %%\nprint(1)\n")
    assert maker.differences(script) == ["00_walk.ipynb is missing"]
    made = maker.notebook(script)
    made.cells[1].execution_count = 1
    maker.nbformat.write(made, tmp_path / "00_walk.ipynb")
    assert maker.differences(script) == []
    script.write_text(script.read_text().replace("print(1)", "print(2)"))
    assert maker.differences(script) == ["00_walk.ipynb, cell 00-02"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_walk_has_its_parts(script):
    text = script.read_text()
    assert text.startswith("# %% [markdown]\n# # ")
    assert "**Time:**" in text and "**At the end you have:**" in text
    last = text.rpartition("# %%\n")[2]
    assert any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(last)))
