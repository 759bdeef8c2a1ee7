"""The program as such: help, exit codes, the backend, and what it leaves alone."""

import json
import os
import subprocess
import sys

import keras
import pytest

from keras_kd.cli import _main, _options, _students, main
from tests.cli.program import ROOT, started

COMMANDS = ("demo", "doctor", "distill", "store", "report", "export", "recipes")


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_has_examples_and_the_exit_codes(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*filter(None, [command]), "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"  keras-kd {command or 'demo'}" in said.partition("examples:")[2]
    assert "exit codes: 0 done, 1 failed on the way, 2 a bad option" in said
    if command is None:
        assert all(name in said for name in COMMANDS)


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_does_not_wait_for_keras(command):
    """Which takes seconds: of `-X importtime`, what is imported."""
    argv = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "keras_kd",
        *filter(None, [command]),
        "--help",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "examples:" in done.stdout
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "keras_kd.cli._commands" in imported
    assert not imported & {"keras", "numpy", "tensorflow", "jax", "torch", "rich"}


def test_the_command_opens_everything_before_it_works():
    """Saved files need to find their classes, and its own modules the front door."""
    code = (
        "import sys; sys.argv = ['/usr/bin/keras-kd', 'recipes', 'dkd']\n"
        "import keras_kd; assert 'keras' not in sys.modules\n"
        "from keras_kd.cli import main; assert main() == 0\n"
        "import keras; assert keras.saving.get_registered_object('keras_kd>FakeQuant')\n"
        "assert issubclass(keras_kd.Distiller, keras.Model) and keras_kd.stores.write\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and "2203.08679" in done.stdout, done.stderr


def test_the_students_that_help_names_are_those_there_are():
    assert tuple(_students.STUDENTS) == _options.STUDENTS


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "the following arguments are required: COMMAND"),
        (["dmeo"], "invalid choice: 'dmeo'"),
        (["demo", "--backend", "theano"], "--backend: must be tensorflow, jax or torch, not 'th"),
        (["distill", "t.keras"], "the following arguments are required: STUDENT"),
        (["distill", "t.keras", "mlp-16", "--set", "temperature"], "must look like temperature=4"),
        (["distill", "t.keras", "mlp-16", "--validation", "2"], "must be a number from 0 to 1"),
        (["store", "t.keras"], "the following arguments are required: --out"),
        (["store", "t.keras", "--out", "a", "--dtype", "int3"], "invalid choice: 'int3'"),
    ],
)
def test_bad_options(argv, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_backend_that_is_not_installed(capsys, monkeypatch):
    monkeypatch.setattr(_options, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--backend", "torch"])
    assert ended.value.code == 2
    assert 'torch is not installed. Run: pip install "keras-kd[torch]"' in capsys.readouterr().err


def test_another_backend_is_another_process(monkeypatch, backend, tmp_path):
    """What would take the place of this process, run beside it."""
    other = "torch" if backend != "torch" else "jax"
    pytest.importorskip(other)
    taken = {}

    def execve(path, argv, env):
        taken.update(argv=argv, env=env)
        raise KeyboardInterrupt  # as far as this process is concerned, it is over

    monkeypatch.setattr(os, "execve", execve)
    with pytest.raises(KeyboardInterrupt):
        main(["recipes", "hinton", "--json", "--backend", other])
    assert taken["env"] == {**os.environ, "KERAS_BACKEND": other}
    code = taken["argv"].index("-c") + 1
    tell = "import keras; print(keras.config.backend(), file=sys.stderr); sys.exit(main())"
    taken["argv"][code] = taken["argv"][code].replace("sys.exit(main())", tell)
    done = subprocess.run(
        taken["argv"], env=taken["env"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == other
    assert json.loads(done.stdout)["name"] == "hinton"


@pytest.mark.parametrize(
    "error, code",
    [
        (ValueError("a bad option"), 2),
        (ModuleNotFoundError("Run: pip install x"), 2),
        (OSError(28, "No space left on device"), 1),
        (RuntimeError("failed on the way"), 1),
    ],
)
def test_exit_codes(error, code, monkeypatch, capsys):
    def fails(options):
        raise error

    parser = _main.parser()
    monkeypatch.setattr(_main, "parser", lambda: parser)
    parser.set_defaults(run=fails)
    monkeypatch.setattr("keras_kd.cli._recipes.known", lambda: fails(None))
    assert main(["recipes"]) == code
    said = capsys.readouterr()
    assert said.out == "" and said.err == f"keras-kd recipes: {error}\n"


def test_a_reader_who_has_seen_enough():
    """`keras-kd recipes | head -1`: no traceback, and nothing of Python's at the end."""
    running = started("recipes")
    running.stdout.close()  # before there is anything to read
    said = running.stderr.read()
    assert running.wait() == 141 and said == ""


def test_what_is_no_fault_of_the_user_is_shown_in_full(monkeypatch):
    def fails():
        raise ZeroDivisionError

    monkeypatch.setattr("keras_kd.cli._recipes.known", fails)
    with pytest.raises(ZeroDivisionError):
        main(["recipes"])


def test_called_from_python_it_leaves_the_process_as_it_is(capsys):
    import signal

    before = (signal.getsignal(signal.SIGINT), sys.stderr, dict(os.environ))
    assert main(["recipes", "--json"]) == 0
    assert (signal.getsignal(signal.SIGINT), sys.stderr, dict(os.environ)) == before
    found = json.loads(capsys.readouterr().out)
    assert keras.config.backend() not in [recipe["name"] for recipe in found]
