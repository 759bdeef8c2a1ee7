"""Work in a process of its own: it ends in time, and leaves none behind."""

import importlib
import os
import subprocess
import sys
import time

import keras
import pytest

from keras_kd.exporting import ExportError, _subprocess, export
from tests.exporting.conftest import converts

pytestmark = pytest.mark.skipif(os.name != "posix", reason="looks for processes by signals")

#: A process that has a child of its own, tells of both and never ends.
ENDLESS = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(f"{child.pid} ")
print("'tf.Erfinv' op is neither a custom op nor a flex op", file=sys.stderr, flush=True)
time.sleep(600)
"""


def alive(number):
    """Whether a process runs; a dead one that nobody waited for counts as gone."""
    try:
        with open(f"/proc/{number}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(number, seconds=20):
    end = time.monotonic() + seconds
    while alive(number) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(number)


linux = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")


@linux
def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path):
    path = tmp_path / "children"
    with pytest.raises(ExportError) as error:
        _subprocess.run_python(["-c", ENDLESS, str(path)], "The conversion of 'x'", timeout=3.0)
    assert str(error.value) == (
        "The conversion of 'x' was not done after 3 seconds and was ended. Give it longer by "
        "`timeout` (--timeout), or use other operators. The operators in question: 'Erfinv'. It "
        "said:\n'tf.Erfinv' op is neither a custom op nor a flex op"
    )
    assert gone(int(path.read_text()))


@linux
def test_an_interrupt_ends_it_too(tmp_path, monkeypatch):
    path, kept, numbers = tmp_path / "children", subprocess.Popen.communicate, []

    def interrupted(self, *args, **kwargs):
        monkeypatch.setattr(subprocess.Popen, "communicate", kept)
        numbers.append(self.pid)
        while not (path.exists() and path.read_text()):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _subprocess.run_python(["-c", ENDLESS, str(path)], "", timeout=None)
    assert all(gone(number) for number in (*numbers, int(path.read_text())))


PARENT = """
import os, sys
from keras_kd.exporting._subprocess import ended
ended([sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ, None)
"""
CHILD = """
import os, sys, time
from keras_kd.exporting._standalone_runner import end_with_parent
end_with_parent()
with open(sys.argv[1] + ".tmp", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".tmp", sys.argv[1])
time.sleep(600)
"""


@linux
def test_it_does_not_outlive_who_asked_for_it(tmp_path):
    path = tmp_path / "number"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    asking = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(path)], env=env)
    while not path.exists():
        assert asking.poll() is None
        time.sleep(0.01)
    asking.kill()
    asking.wait()
    assert gone(int(path.read_text()))


@converts
def test_a_conversion_has_the_limit(tmp_path):
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="slow")
    with pytest.raises(
        ExportError, match=r"^The conversion of the student 'slow' to .tflite was n"
    ):
        export(student, tmp_path / "student.tflite", timeout=0.01)
    assert list(tmp_path.iterdir()) == []


#: A module with a layer and no `if __name__ == "__main__":`, so that the conversion exports as well.
EXPORTS_AT_IMPORT = """
import keras, keras_kd

@keras.saving.register_keras_serializable("again")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

student = keras.Sequential([keras.Input((4,)), Twice()])
keras_kd.export(student, "student.tflite")
"""


@converts
def test_a_module_that_exports_when_imported_does_not_export_without_end(tmp_path, monkeypatch):
    (tmp_path / "exports_at_import.py").write_text(EXPORTS_AT_IMPORT)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match="exports when it is imported") as error:
        importlib.import_module("exports_at_import")
    assert 'Export below `if __name__ == "__main__":`' in str(error.value)
    assert [path.name for path in tmp_path.iterdir() if "student" in path.name] == []
