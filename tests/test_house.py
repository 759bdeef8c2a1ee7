"""The house rules: floors, public names, what importing does, docstrings that run."""

import ast
import doctest
import functools
import importlib
import inspect
import json
import os
import pathlib
import pkgutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_kd
from tests.project import older_than

ROOT = pathlib.Path(keras_kd.__file__).parent
FLOORS = {
    "_core": 0,
    "_examples": 1,
    "losses": 1, "metrics": 1, "projectors": 1, "data": 1, "schedules": 1,
    "students": 1,
    "recipes": 2, "terms": 2, "taps": 2, "teachers": 2, "_trainers": 2, "_participants": 2,
    "_checks": 2, "_compiled": 2, "_saving": 2, "_padding": 2, "_with_logits": 2, "_fit_methods": 2,
    "_dry_run": 2, "_preprocessing": 2, "_read_paths": 2, "_term_inputs": 2,
    "distiller": 3, "stores": 3, "testing": 3,
    "_training_choices": 3,
    "callbacks": 4, "compression": 4, "report": 4, "sources": 4,
    "compat": 5, "exporting": 5, "procedures": 5,
    "auto": 6,
    "_public_names": 7, "demo": 7, "cli": 7, "__main__": 7, "__init__": 7,
}  # fmt: skip
#: The private packages and modules at the top, each with the rooms that it is there for: what several
#: rooms need and no user. `_core` is there for all.
SHARED = {
    "_checks": {"_compiled", "_dry_run", "_fit_methods", "_trainers", "callbacks", "distiller", "terms"},
    "_compiled": {"_fit_methods", "_read_paths", "distiller"},
    "_core": set(FLOORS),
    "_dry_run": {"distiller"},
    "_examples": {"_preprocessing", "data", "report", "sources", "stores"},
    "_fit_methods": {"distiller"},
    "_padding": {"distiller", "sources", "stores"},
    "_participants": {"_checks", "_compiled", "distiller"},
    "_preprocessing": {"_fit_methods", "report"},
    "_public_names": {"__init__", "cli"},
    "_read_paths": {"distiller"},
    "_saving": {"distiller"},
    "_term_inputs": {"_checks", "terms"},
    "_trainers": {"_compiled", "distiller", "teachers", "testing"},
    "_training_choices": {"auto", "cli"},
    "_with_logits": {"_public_names", "_training_choices", "compression"},
}  # fmt: skip
BACKENDS = {"jax", "tensorflow", "torch"}
MAY_NAME_A_BACKEND = {"_trainers", "data", "stores", "sources", "exporting", "demo"}


def dotted(path):
    parts = ("keras_kd", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {dotted(path): path for path in sorted(ROOT.rglob("*.py"))}


def room_of(module):
    return (module.split(".")[1:2] or ["__init__"])[0]


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree):
    """The files of the package that a file imports, wherever in it, each with the name it takes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"write the whole name: {ast.unparse(node)}"
            if (node.module or "").split(".")[0] == "keras_kd":
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    yield (whole, "") if whole in FILES else (node.module, alias.name)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = (arg.value for arg in node.args if isinstance(arg, ast.Constant))
            yield from ((name, "") for name in names if name in FILES)


@functools.cache
def all_imports():
    return {module: list(imports_of(tree_of(path))) for module, path in FILES.items()}


def circles(graph):
    """The files that lead back to themselves, by way of whichever others."""

    def reached(file):
        seen, ahead = set(), [file]
        while ahead:
            new = graph[ahead.pop()] - seen
            seen |= new
            ahead += new
        return seen

    return sorted(file for file in graph if file in reached(file))


def is_private(module, other, name):
    """Whether `module` takes from another room what is private there: a file, or a name in one. A
    room whose own name is private shares its files, and not the private names in them."""
    if room_of(module) == room_of(other):
        return False
    files = other.split(".")[2:] if room_of(other)[0] != "_" else []
    return any(part[:1] == "_" for part in (*files, name))


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield path, parts[0]


def imported(path):
    """The dotted names of all that a file imports, of the package or not."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "keras_kd":
                yield from (f"keras_kd.{alias.name}" for alias in node.names)


def test_imports_go_down_only():
    wrong = []
    for path, room in modules():
        assert room in FLOORS, f"{path} stands on no floor: give {room!r} one"
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "keras_kd" and len(parts) > 1 and parts[1] in FLOORS:
                other = parts[1]
                if FLOORS[other] > FLOORS[room]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, wrong


def test_no_file_imports_itself_by_way_of_others():
    """Imports inside functions and under TYPE_CHECKING count too."""
    assert circles({"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": set()}) == ["b", "c"]
    lines = (
        "import keras_kd.taps",
        "if TYPE_CHECKING:\n    from keras_kd.terms import Term",
        "def late():\n    from keras_kd.data import _views",
        "importlib.import_module('keras_kd.report')",
    )
    assert [next(imports_of(ast.parse(line))) for line in lines] == [
        ("keras_kd.taps", ""),
        ("keras_kd.terms", "Term"),
        ("keras_kd.data._views", ""),
        ("keras_kd.report", ""),
    ]
    assert circles({m: {other for other, _ in found} for m, found in all_imports().items()}) == []


def test_what_is_private_to_a_room_stays_in_it():
    private, open_to_all = (
        ("keras_kd.stores._index", "keras_kd.data._views", "View"),
        ("keras_kd.stores._index", "keras_kd.data", "_views"),
        ("keras_kd.stores._index", "keras_kd.terms", "_weight"),
        ("keras_kd.stores._index", "keras_kd._core.shapes", "_sizes"),
    ), (
        ("keras_kd.stores._index", "keras_kd.data", "View"),
        ("keras_kd.stores._index", "keras_kd.stores._store", "_open"),
        ("keras_kd.distiller", "keras_kd._checks._batch", "cannot_run"),
    )  # fmt: skip
    assert [is_private(*one) for one in (*private, *open_to_all)] == [True] * 4 + [False] * 3
    wrong = [
        f"{module} imports {name or 'it'} from {other}"
        for module, found in all_imports().items()
        for other, name in found
        if is_private(module, other, name)
    ]
    assert wrong == []


def test_private_rooms_are_shared_by_those_named():
    assert set(SHARED) == {room for room in FLOORS if room[0] == "_" and room[1] != "_"}
    for shared, by in SHARED.items():
        users = {
            room_of(m)
            for m, found in all_imports().items()
            for o, _ in found
            if room_of(o) == shared
        }
        users -= {shared}
        assert users <= by and (shared == "_core" or users == by), (shared, users ^ by)


def test_the_numbers_of_a_report_know_nothing_that_draws():
    """Tables, page and pictures stand above: what holds the numbers leads to none of them."""
    drawing, ahead, seen = {"rich", "html", "matplotlib"}, {"keras_kd.report._results"}, set()
    while ahead:
        module = ahead.pop()
        seen.add(module)
        names = {name.split(".")[0] for name in imported(FILES[module])}
        assert not names & drawing, f"{module} draws"
        ahead |= {other for other, _ in all_imports()[module] if "report" in other} - seen
    assert len(seen) > 5


def test_every_floor_is_stood_on():
    there = {room for _, room in modules()}
    assert set(FLOORS) == there


def test_only_some_rooms_name_a_backend():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, room in modules()
        for name in imported(path)
        if name.split(".")[0] in BACKENDS and room not in MAY_NAME_A_BACKEND
    ]
    assert not wrong, wrong


def test_matplotlib_is_drawn_with_in_one_place():
    wrong = [
        str(path.relative_to(ROOT))
        for path, _ in modules()
        if any(name.split(".")[0] == "matplotlib" for name in imported(path))
        and not path.name.startswith("_plots")
    ]
    assert not wrong, wrong


def public():
    """Every public class and function of the package, by the path that users write."""
    for room in (keras_kd, *(m for _, m in inspect.getmembers(keras_kd, inspect.ismodule))):
        if not room.__name__.startswith("keras_kd") or room.__name__.split(".")[-1][0] == "_":
            continue
        if room.__name__ in ("keras_kd.distiller", "keras_kd.terms", "keras_kd.taps"):
            continue  # rooms, whose public things stand at the front door
        for name, thing in vars(room).items():
            ours = getattr(thing, "__module__", "").startswith("keras_kd")
            if name[0] != "_" and ours and (inspect.isclass(thing) or inspect.isfunction(thing)):
                yield f"{room.__name__}.{name}", thing


def test_the_front_door():
    """About fifteen names, and no name that is not meant."""
    names = {name for name in dir(keras_kd) if name[0] != "_"}
    expected = {
        "Distiller",
        "Labels",
        "Term",
        "data",
        "losses",
        "procedures",
        "projectors",
        "recipes",
    }
    assert expected <= names
    later = {
        "ClassMap", "ConvertInput", "Ensemble", "FromProbabilities", "LogitEnsemble", "Momentum", "SelectInput",
        "StackedEnsemble", "auto", "callbacks", "compat", "compression", "metrics", "report", "schedules", "sources", "stores", "students", "teachers", "testing",
        "with_logits",
    }  # fmt: skip
    modules = {"distiller", "terms", "taps"}  # rooms that importing opens
    means = {"TYPE_CHECKING", "Any", "importlib"}
    assert names - means <= expected | later | modules | {"exporting", "export", "cli", "demo"}


def test_public_losses_and_layers_come_back_from_a_file_by_name():
    for path, thing in public():
        if inspect.isclass(thing) and issubclass(thing, (keras.losses.Loss, keras.layers.Layer)):
            if thing.__module__ == "keras_kd.losses._base":
                continue
            registered = keras.saving.get_registered_name(thing)
            assert registered == f"keras_kd>{thing.__name__}", path


def test_public_things_are_documented():
    bare = [path for path, thing in public() if not (thing.__doc__ or "").strip()]
    assert not bare, bare


def _documented():
    for info in pkgutil.walk_packages(keras_kd.__path__, "keras_kd."):
        if info.name.rsplit(".", 1)[-1] in ("__main__", *(f"_{b}" for b in BACKENDS)):
            continue
        yield info.name


ROUNDING = (
    "keras_kd.compression._fake_quantization", "keras_kd.compression._quantize",
    "keras_kd.compat.tfmot._quantization",
    "keras_kd.compression._recover", "keras_kd.compression._search_bits",
    "keras_kd.compression._steps",
)  # fmt: skip


@pytest.mark.parametrize("name", _documented())
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    if name in ROUNDING and older_than("3.9"):
        pytest.skip("rounds by what Keras 3.9 brought")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")
    names = {"keras_kd": keras_kd, "keras": keras, "np": np, "ops": ops}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    monkeypatch.chdir(tmp_path)  # some write files
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, globs=dict(names)):
        runner.run(test)
    assert not runner.failures


def _python(code, **env):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=300,
    )


#: What importing came to, in a process of its own; the checks read it.
IMPORTING = """
import json, logging, os, sys, warnings
import keras, numpy as np

def modules():
    return {name for name in sys.modules if "." not in name}

def state():
    return (dict(os.environ), logging.root.level, len(logging.root.handlers),
            list(warnings.filters), keras.config.floatx(), keras.config.dtype_policy().name,
            keras.config.image_data_format(), np.geterr())

others, before = modules(), state()
import keras_kd
same, new = state() == before, sorted(modules() - others)
rooms = ["auto", "callbacks", "data", "exporting", "report", "stores"]
opened = [room for room in rooms if f"keras_kd.{room}" in sys.modules]
listed = dir(keras_kd)
assert keras_kd.data.load and keras_kd.report.compare and callable(keras_kd.export)
for name in [name for name in sys.modules if name.split(".")[0] == "keras_kd"]:
    del sys.modules[name]
import keras_kd  # anew, and another room is the first to be opened
assert keras_kd.exporting.ExportError and keras_kd.exporting.verify
print(json.dumps({"same": same, "new": new, "opened": opened, "listed": listed}))
"""


@pytest.fixture(scope="module")
def importing():
    run = _python(IMPORTING)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_a_room_is_opened_when_it_is_asked_for(importing):
    assert importing["opened"] == []
    rooms = {"data", "export", "exporting", "report", "stores", "callbacks"}
    assert rooms <= set(importing["listed"])
    with pytest.raises(AttributeError, match="no attribute 'distil'"):
        _ = keras_kd.distil


def test_importing_sets_nothing(importing):
    assert importing["same"]


def test_importing_brings_no_other_backend_and_nothing_heavy(importing):
    others = BACKENDS - {keras.config.backend()}
    heavy = {"matplotlib", "sklearn", "tensorflow_datasets", "ai_edge_litert", "keras_tuner"}
    assert "keras_kd" in importing["new"]
    assert set(importing["new"]) & (others | heavy) == set()


@pytest.mark.skipif(not os.environ.get("KERAS_KD_SLOW"), reason="a timing: KERAS_KD_SLOW=1")
def test_importing_takes_little_more_than_keras():
    """At most 1.1 times `import keras`: the ratio of the medians, both in one process each time."""
    code = (
        "import time; a = time.perf_counter(); import keras; b = time.perf_counter(); "
        "import keras_kd; print((time.perf_counter() - a) / (b - a))"
    )
    ratios = sorted(float(_python(code).stdout) for _ in range(5))
    assert ratios[2] <= 1.1, ratios


def test_the_core_of_the_suite_is_there():
    from tests.conftest import CORE, HERE

    assert all((HERE / name).is_file() for name in CORE)
