"""What each extra costs: megabytes on disk, packages, and the seconds that an import takes.

    python benchmarks/install_size.py            # measures; takes minutes and some gigabytes
    python benchmarks/install_size.py --only size --extras hub   # one row, the others stay
    python benchmarks/install_size.py --table    # prints the table of the last measurement

The package is installed in an environment of its own. For each extra, pip says what it would install
with and without it, and what comes with it is installed into a folder and weighed. Imports are those of fresh processes that take
turns, the fastest of seven each, the start of Python included.
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
    "tune": "`kd.auto`: keras-tuner and scikit-learn, with `export` and `report`",
    "hub": "language models of KerasHub",
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


def resolved(python, wanted, work):
    """What pip would install in an empty environment: versions by name."""
    report = work / "report.json"
    ignoring = ("--dry-run", "--ignore-installed", "--quiet", "--report", report)
    pip(python, "install", *ignoring, wanted)
    found = json.loads(report.read_text())["install"]
    return {p["metadata"]["name"]: p["metadata"]["version"] for p in found}


def added(python, extra, work):
    """The packages that an extra adds to the environment, and what they take."""
    base, whole = (resolved(python, wanted, work) for wanted in (".", f".[{extra}]"))
    packages = [f"{name}=={version}" for name, version in whole.items() if name not in base]
    folder = work / extra
    if packages:
        pip(
            python, "install", "--quiet", "--no-deps", "--no-compile", "--target", folder, *packages
        )
    return {"extra": extra, "packages": len(packages), "megabytes": megabytes(folder)}


COMMAND = """
import runpy, sys
sys.argv = ["keras-kd", "--help"]
try:
    runpy.run_module("keras_kd", run_name="__main__")
except SystemExit:
    pass
"""


def imports(python, rounds=7):
    """Seconds of fresh processes on TensorFlow, the fastest of each; they take turns."""
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    programs = {
        "python": "pass",
        "tensorflow": "import tensorflow",
        "keras": "import keras",
        "keras_kd": "import keras_kd",
        "help": COMMAND,
    }
    fastest = dict.fromkeys(programs, float("inf"))
    for _ in range(rounds + 1):  # the first one writes the byte code
        for name, code in programs.items():
            start = time.perf_counter()
            run = [python, "-c", code]
            subprocess.run(run, env=environment, check=True, capture_output=True, cwd="/")
            fastest[name] = min(fastest[name], time.perf_counter() - start)
    return {name: round(taken, 2) for name, taken in fastest.items()}


def measure(only, extras):
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    found |= {"python": platform.python_version()}
    found |= {"machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        subprocess.run([sys.executable, "-m", "venv", work / "venv"], check=True)
        python = work / "venv" / "bin" / "python"
        packages = next((work / "venv" / "lib").glob("python*/site-packages"))
        before = megabytes(packages)
        whole = "import" in only or set(extras) == set(EXTRAS)
        if whole:
            pip(python, "install", "--quiet", ".")
        if "size" in only and whole:
            found["base"] = {
                "megabytes": round(megabytes(packages) - before, 1),
                "tensorflow": megabytes(packages / "tensorflow"),
                "keras_kd": megabytes(packages / "keras_kd"),
            }
        if "size" in only:
            rows = {row["extra"]: row for row in found.get("extras", [])}
            rows |= {extra: added(python, extra, work) for extra in extras}
            found["extras"] = [rows[extra] for extra in EXTRAS if extra in rows]
        if "import" in only:
            found["import"] = imports(python)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def table():
    """The last measurement as Markdown, two tables."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    base = found["base"]
    lines = ["| extra | what for | packages | MB |", "|---|---|---:|---:|"]
    what = f"the package and what it needs, TensorFlow's {base['tensorflow']:,.0f} MB among it"
    lines.append(f"| none | {what} | | {base['megabytes']:,.0f} |")
    for row in found["extras"]:
        size = f"{row['megabytes']:,.1f}" if row["megabytes"] < 10 else f"{row['megabytes']:,.0f}"
        lines.append(f"| `{row['extra']}` | {EXTRAS[row['extra']]} | {row['packages']} | {size} |")
    took = found["import"]
    lines += ["", "| | seconds |", "|---|---:|"]
    lines += [
        f"| `import {name}` | {took[name]:.2f} |" for name in ("tensorflow", "keras", "keras_kd")
    ]
    lines.append(f"| `keras-kd --help` | {took['help']:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the last measurement")
    parser.add_argument("--only", nargs="+", choices=["size", "import"], default=["size", "import"])
    parser.add_argument("--extras", nargs="+", choices=EXTRAS, default=list(EXTRAS))
    options = parser.parse_args()
    if options.table:
        print(table(), end="")
    else:
        measure(options.only, options.extras)
