"""Makes the notebooks from the scripts beside this file.

    python tutorials/make.py                 # every notebook, executed in full
    python tutorials/make.py 01 04           # only these
    python tutorials/make.py --check         # do notebooks and scripts say the same? runs nothing

A script in the py:percent form is the source; its notebook is the same cells with what they
printed and drew. Cells are numbered, so a notebook changes only where its script does. Needs the
extra "tutorials".
"""

import argparse
import os
import sys
import time
from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).parent


def notebook(script: Path) -> nbformat.NotebookNode:
    """The script's cells, with ids that stay as they are from one making to the next."""
    made = jupytext.read(script)
    for number, cell in enumerate(made.cells, 1):
        cell["id"] = f"{script.stem[:2]}-{number:02d}"
    made.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return made


def differences(script: Path) -> list[str]:
    """What the notebook says otherwise than its script; empty when they agree."""
    path = script.with_suffix(".ipynb")
    if not path.exists():
        return [f"{path.name} is missing"]
    cells, wanted = nbformat.read(path, as_version=4).cells, notebook(script).cells
    wrong = [
        f"{path.name}, cell {want['id']}"
        for cell, want in zip(cells, wanted, strict=False)
        if (cell["id"], cell.cell_type, cell.source) != (want["id"], want.cell_type, want.source)
    ]
    if len(cells) != len(wanted):
        wrong.append(f"{path.name} has {len(cells)} cells, its script {len(wanted)}")
    code = [cell for cell in cells if cell.cell_type == "code"]
    if any(cell.execution_count is None for cell in code):
        wrong.append(f"{path.name} holds cells that were not run")
    return wrong


def make(script: Path) -> float:
    """Runs the cells and writes the notebook; returns the seconds that took."""
    from nbclient import NotebookClient

    made = notebook(script)
    os.environ.pop("MPLBACKEND", None)  # "agg" would leave out every picture
    start = time.perf_counter()
    NotebookClient(made, timeout=3600, resources={"metadata": {"path": str(HERE)}}).execute()
    seconds = time.perf_counter() - start
    for cell in made.cells:
        cell.metadata.pop("execution", None)  # times of day: they differ each time
        if "outputs" in cell:
            cell["outputs"] = [out for out in cell.outputs if out.get("name") != "stderr"]
    temporary = script.with_suffix(".ipynb.new")
    nbformat.write(made, temporary)
    os.replace(temporary, script.with_suffix(".ipynb"))
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="beginnings of file names, such as 01")
    parser.add_argument("--check", action="store_true", help="compare, run nothing")
    args = parser.parse_args()
    scripts = sorted(
        script
        for script in HERE.glob("[0-9][0-9]_*.py")
        if not args.names or script.name.startswith(tuple(args.names))
    )
    if not scripts:
        parser.error(f"no tutorial begins with {' or '.join(args.names)}")
    if args.check:
        wrong = [line for script in scripts for line in differences(script)]
        print("\n".join(wrong) or f"{len(scripts)} notebooks say what their scripts say")
        return int(bool(wrong))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for script in scripts:
        print(f"{script.stem}: {make(script):.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
