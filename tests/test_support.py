"""The page of what runs where: its tables are those of the measurement, and that is what runs."""

import json
import runpy

import keras
import pytest

from tests.project import older_than
from tests.test_docs import DOCS

SCRIPT = runpy.run_path(str(DOCS / "support_table.py"))
CELLS = json.loads(SCRIPT["CELLS"].read_text("utf-8"))


def test_the_page_has_the_tables_of_the_measurement():
    page = SCRIPT["PAGE"].read_text("utf-8")
    assert page == SCRIPT["with_tables"](page), "run: python docs/support_table.py"


def test_nothing_is_missing_from_the_measurement():
    for backend in SCRIPT["BACKENDS"]:
        assert list(CELLS[backend]) == list(SCRIPT["LAYERS"])


@pytest.mark.skipif(older_than("3.9"), reason="rounds by what Keras 3.9 brought")
@pytest.mark.parametrize("name", SCRIPT["LAYERS"])
def test_layers_do_what_the_page_says(name):
    found = SCRIPT["of_layer"](name, files=False)
    said = CELLS[keras.config.backend()][name]
    assert found == {column: said[column] for column in found}
