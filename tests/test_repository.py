"""The files around the package agree with it: workflows, citation, templates."""

import json
import pathlib
import re

import pytest

import keras_kd as kd
from tests.project import PROJECT

ROOT = pathlib.Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
INSTALLING = [
    *WORKFLOWS,
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    ROOT / ".ci" / "run",
    ROOT / ".devcontainer" / "devcontainer.json",
]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (\S+)$", text, re.MULTILINE)[1] == kd.__version__


def test_no_package_of_others_lies_in_the_root():
    assert not [name_of(p) for p in ROOT.iterdir() if p.suffix in (".whl", ".gz", ".zip")]


@pytest.mark.parametrize("path", INSTALLING, ids=name_of)
def test_extras_that_are_asked_for_exist(path):
    text = path.read_text(encoding="utf-8")
    asked = re.findall(r"""["'](?:keras-kd|\.)\[([a-z, -]+)\]""", text)
    extras = {extra for group in asked for extra in re.split(r", ?", group)}
    assert extras <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=name_of)
def test_workflows_name_files_that_exist(path):
    text = path.read_text(encoding="utf-8")
    names = re.findall(r"(?<![\w/])(?:tests|\.ci|docs|keras_kd)/[\w./{},-]+", text)
    for name in names:
        head, braces, rest = re.fullmatch(r"([^{]*)(?:\{(.*)\}(.*))?", name).groups()
        for one in (braces or "").split(","):
            assert (ROOT / f"{head}{one}{rest or ''}").exists(), f"{head}{one}{rest or ''}"


def test_the_matrix_has_every_python_and_backend():
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    pythons = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c}
    matrix = text.split("matrix:")[1].split("env:")[0]
    assert set(re.findall(r"\"(3\.\d+)\"", matrix)) == pythons
    assert set(re.findall(r"\b(tensorflow|jax|torch)\b", matrix)) == {"tensorflow", "jax", "torch"}


def test_the_container_is_described_in_json():
    described = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert "pip install -e" in described["postCreateCommand"]
