"""`help(keras_kd.losses)` and its like are pages that one can read."""

import pathlib

import pytest

from tests import help_pages


@pytest.mark.parametrize("module", list(help_pages.modules()), ids=lambda module: module.__name__)
def test_a_package_lists_its_names(module):
    """Made anew by `python -m tests.help_pages`."""
    source, wanted = pathlib.Path(module.__file__).read_text("utf-8"), help_pages.written(module)
    assert source.split() == wanted.split()
    assert set(module.__all__) == set(help_pages.names_of(module)) <= set(dir(module))


def test_each_line_says_something():
    for module in help_pages.modules():
        for name in help_pages.names_of(module):
            line = help_pages.line_of(module, name)
            assert len(line) > 15 and line.endswith("."), f"{module.__name__}.{name}: {line}"
