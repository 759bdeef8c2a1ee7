"""What each extra costs: megabytes on disk, packages, and the seconds that an import takes.

    python benchmarks/install_size.py            # measures; takes minutes and some gigabytes
    python benchmarks/install_size.py --table    # prints the table of the last measurement

The package is installed in an environment of its own. For each extra, pip says what it would add,
and that is installed into a folder and weighed. Imports are those of a fresh process, the fastest
of five, byte code written before.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "install_size.json"
EXTRAS = {
    "jax": "the JAX backend",
    "torch": "the PyTorch backend",
    "report": "pictures in reports, by matplotlib",
    "export": "`.tflite` files run and proven",
    "quant": "4 bits and 16x8 in `.tflite` files",
    "micro": "microcontrollers: tflite-micro",
    "onnx": "`.onnx` files from TensorFlow",
    "onnx-jax": "`.onnx` files from JAX",
    "onnx-torch": "`.onnx` files from PyTorch",
    "beam": "stores written on a cluster",
}


def megabytes(folder):
    """What the files of a folder take, byte code left out: it is written with the first import."""
    files = (f for f in folder.rglob("*") if f.is_file() and not f.is_symlink())
    return round(sum(f.stat().st_size for f in files if f.suffix != ".pyc") / 1e6, 1)


def pip(python, *arguments):
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def added(python, extra, work):
    """The packages that an extra adds to the environment, and what they take."""
    report = work / f"{extra}.json"
    pip(python, "install", "--dry-run", "--quiet", "--report", report, f".[{extra}]")
    packages = [
        f"{p['metadata']['name']}=={p['metadata']['version']}"
        for p in json.loads(report.read_text())["install"]
        if p["metadata"]["name"] != "keras-kd"
    ]
    folder = work / extra
    if packages:
        pip(
            python, "install", "--quiet", "--no-deps", "--no-compile", "--target", folder, *packages
        )
    return {"extra": extra, "packages": len(packages), "megabytes": megabytes(folder)}


def seconds(python, code, backend):
    """The fastest of five fresh processes, without the start of Python."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def once(code):
        start = time.perf_counter()
        run = [python, "-c", code]
        subprocess.run(run, env=environment, check=True, capture_output=True, cwd="/")
        return time.perf_counter() - start

    once(code)  # writes the byte code
    return min(once(code) for _ in range(5)) - min(once("pass") for _ in range(5))


def measure():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
        python = work / "venv" / "bin" / "python"
        packages = next((work / "venv" / "lib").glob("python*/site-packages"))
        before = megabytes(packages)
        pip(python, "install", "--quiet", ".")
        found = {
            "base": {
                "megabytes": round(megabytes(packages) - before, 1),
                "tensorflow": megabytes(packages / "tensorflow"),
                "keras_kd": megabytes(packages / "keras_kd"),
            },
            "import": {
                "keras": round(seconds(python, "import keras", "tensorflow"), 2),
                "keras_kd": round(seconds(python, "import keras_kd", "tensorflow"), 2),
                "help": round(seconds(python, "import runpy, sys; sys.argv = ['keras-kd', '--help']\n"
                    "try: runpy.run_module('keras_kd', run_name='__main__')\n"
                    "except SystemExit: pass", "tensorflow"), 2),
            },
            "extras": [],
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        }  # fmt: skip
        for extra in EXTRAS:
            found["extras"].append(added(python, extra, work))
            print(found["extras"][-1], flush=True)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def table():
    """The measurement as Markdown."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    base = found["base"]
    lines = ["| extra | what for | packages | MB |", "|---|---|---:|---:|"]
    what = f"the package and what it needs, TensorFlow's {base['tensorflow']:,.0f} MB among it"
    lines.append(f"| none | {what} | | {base['megabytes']:,.0f} |")
    for row in found["extras"]:
        size = f"{row['megabytes']:,.1f}" if row["megabytes"] < 10 else f"{row['megabytes']:,.0f}"
        lines.append(f"| `{row['extra']}` | {EXTRAS[row['extra']]} | {row['packages']} | {size} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the last measurement")
    if parser.parse_args().table:
        print(table(), end="")
    else:
        measure()
