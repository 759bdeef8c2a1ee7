"""What exports do in processes of their own, in processes forked off one that has imported already.

A conversion takes half a second, and the imports before it five. `python -m tests.forked` reads a job
from each line of its input and writes its exit code.
"""

import contextlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from keras_kd.exporting import _standalone_runner, _subprocess

CONVERSION = "from keras_kd.exporting._conversion_worker import work; work()"
RUNNER = _standalone_runner.__file__
alone = _subprocess.ended


def forkable(command, env, timeout):
    known = CONVERSION in command or RUNNER in command
    return known and env["KERAS_BACKEND"] == "tensorflow" and (timeout is None or timeout >= 60)


class Server:
    """In place of `keras_kd.exporting._subprocess.ended`."""

    process = None

    def ended(self, command, env, timeout):
        if not forkable(command, env, timeout):
            return alone(command, env, timeout)
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "tests.forked"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
            )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            job = {
                "argv": command,
                "env": dict(env),
                "cwd": os.getcwd(),
                "out": str(out),
                "err": str(err),
            }
            print(json.dumps(job), file=self.process.stdin, flush=True)
            code = int(self.process.stdout.readline())
            return code, out.read_text(errors="replace"), err.read_text(errors="replace")

    def stop(self):
        if self.process is not None:
            self.process.communicate()


def work(job):
    """What the forked process does."""
    for number, path in ((1, job["out"]), (2, job["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["env"])
    sys.path += [p for p in job["env"]["PYTHONPATH"].split(os.pathsep) if p not in sys.path]
    what = RUNNER if RUNNER in job["argv"] else CONVERSION
    sys.argv = job["argv"][job["argv"].index(what) :]
    if what is RUNNER:
        runpy.run_path(RUNNER, run_name="__main__")
    else:
        exec(CONVERSION)


def main():
    import tensorflow

    from keras_kd.exporting import _conversion_worker

    assert tensorflow and _conversion_worker
    held, holding = os.pipe()  # which ends with this process
    for line in sys.stdin:
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        code = 1
        try:
            os.dup2(held, 0), os.close(holding)
            work(json.loads(line))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)


if __name__ == "__main__":
    main()
