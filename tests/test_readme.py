"""What the README says is so."""

import os
import pathlib
import re
import runpy

import keras
import pytest

import keras_kd as kd
from keras_kd.demo import _trial
from tests.project import PROJECT

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def namespace(tmp_path_factory):
    """The python blocks, run in order where they can write."""
    before, names = os.getcwd(), {}
    folder = tmp_path_factory.mktemp("readme")
    os.chdir(folder)
    try:
        keras.utils.set_random_seed(0)
        for number, block in enumerate(blocks("python")):
            exec(compile(block, f"README.md, python block {number + 1}", "exec"), names)
    finally:
        os.chdir(before)
    return {**names, "folder": folder}


def test_the_first_example_trains_a_student_and_saves_it(namespace):
    data = namespace["data"]
    assert (len(data.x_train), len(data.x_test)) == (1157, 640)
    student = keras.saving.load_model(namespace["folder"] / "student.keras")
    accuracy = (student.predict(data.x_test, verbose=0).argmax(axis=1) == data.y_test).mean()
    assert accuracy > 0.88


def test_the_terms_of_the_second_example_are_built(namespace):
    distiller = namespace["distiller"]
    assert distiller.term_names == ["labels", "soft_target", "feature_match"]
    assert len(distiller.terms[2].projector.weights) > 0


def test_every_backticked_name_of_the_package_exists():
    names = set(re.findall(r"(?<!-)\b(?:kd|keras_kd)((?:\.[A-Za-z_][A-Za-z_0-9]*)+)", README))
    assert {".Distiller", ".Term", ".recipes.hinton", ".losses.FeatureMatch"} <= names
    for name in names:
        found = kd
        for part in name[1:].split("."):
            found = getattr(found, part)


def test_the_commands_ask_for_extras_that_exist():
    asked = {e for extras in re.findall(r'"\.\[([a-z,]+)\]"', README) for e in extras.split(",")}
    assert asked == {"export", "report", "dev", "docs", "jax", "torch"}
    assert asked <= set(PROJECT["optional-dependencies"])
    assert PROJECT["scripts"] == {"keras-kd": "keras_kd.cli:main"}
    assert all(command.count("\n") == 1 for command in blocks("shell"))


def test_the_table_adds_up():
    rows = [
        line.split("|")[1:-1]
        for line in README.splitlines()
        if line.startswith(("| teacher", "| student "))
    ]
    rows = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    assert set(rows) == {"teacher", "student alone", "student distilled"}
    for errors, percent, _, weights, kilobytes, _ in rows.values():
        mean = float(errors.split(" ± ")[0])
        assert float(percent) == pytest.approx(mean / 6.4, abs=0.051)
        assert float(kilobytes) == pytest.approx(4e-3 * int(weights.replace(",", "")), abs=0.051)
    student = _trial._student(kd.data.load("digits"), 1)
    assert rows["student distilled"][3] == rows["student alone"][3] == f"{student.count_params():,}"
    fewer = float(re.search(r"Distillation helped: ([\d.]+) fewer errors", README)[1])
    means = [float(rows[f"student {who}"][0].split(" ± ")[0]) for who in ("alone", "distilled")]
    assert fewer == pytest.approx(means[0] - means[1], abs=0.1)


def test_the_picture_is_the_one_of_the_table():
    picture = runpy.run_path(str(ROOT / "docs" / "picture.py"))
    rows = [(name, errors, size) for name, errors, size in picture["rows"]()]
    assert [name for name, *_ in rows] == ["teacher", "student alone", "student distilled"]
    for on in picture["COLORS"]:
        drawn = (ROOT / "docs" / "assets" / f"demo-{on}.svg").read_text(encoding="utf-8")
        assert drawn == picture["picture"](on), "run: python docs/picture.py"
    alt = re.search(r'alt="([^"]*)"', README)[1]
    assert all(f"{number:g}" in alt for _, *numbers in rows for number in numbers)


def test_links_lead_to_pages_of_the_site_and_files_of_the_repository():
    links = re.findall(r"(?:\]\(|src=\"|srcset=\")([^)\"]+)", README)
    site = PROJECT["urls"]["Documentation"]
    pages = [link[len(site) :] for link in links if link.startswith(site) and link != site]
    assert len(pages) > 20
    for page in pages:
        made = page.startswith(("tutorials/", "results/"))  # by docs/hooks
        assert made or (ROOT / "docs" / page).with_suffix(".md").is_file(), page
    for link in links:
        assert link.startswith("https://") or (ROOT / link).exists(), link


def test_it_stays_short():
    assert README.count("\n") < 150
