"""What can only be measured on an accelerator, in minutes: five parts, two backends, one command.

    python benchmarks/accelerator.py --minutes 8.5 --data cifar10.npz --out accelerator
    python benchmarks/accelerator.py --parts step vocabulary --backend jax --budget 120 --out DIR
    python benchmarks/accelerator.py --tiny --minutes 5 --out DIR
    python benchmarks/accelerator.py --keep DIR/rows.jsonl
    python benchmarks/accelerator.py --table

The parts are `laws`, `step`, `vocabulary`, `store` and `cifar`; what each measures stands at the
top of its file in `on_accelerator/`. Without `--backend` each part runs in a process of its own,
one after the other, the cheap and telling ones first, within `--minutes`; the last has what is
left. With `--backend` the named parts run in this process. Needs jax or torch, and no tensorflow.

A row is a JSON line, printed and appended to `--out`/rows.jsonl as soon as it is there. A part
that fails, or is out of time, leaves a row that says so, and the others go on. `--tiny` is for
trying it on a CPU. `--keep` puts rows in place of those of the same case in
`results/accelerator.json`; `--table` prints the tables of README.md from there.
"""

import argparse
import importlib
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "accelerator.json"
#: Part, backend, seconds: in this order, and what is not used is the next ones'.
PLAN = [
    ("laws", "jax", 45), ("laws", "torch", 35), ("step", "jax", 140), ("step", "torch", 80),
    ("vocabulary", "torch", 45), ("vocabulary", "jax", 80), ("store", "jax", 40),
    ("cifar", "jax", 600), ("store", "torch", 30),
]  # fmt: skip
PARTS = ("laws", "step", "vocabulary", "store", "cifar")


def add(out: pathlib.Path, row: dict) -> None:
    line = json.dumps(row)
    print(line, flush=True)
    with open(out / "rows.jsonl", "a") as file:
        file.write(line + "\n")


def run_here(options) -> None:
    """The named parts, in this process."""
    from on_accelerator import bench

    about = {**bench.device(), "date": time.strftime("%Y-%m-%d"), "tiny": options.tiny}
    for name in options.parts:
        part = importlib.import_module(f"on_accelerator.{name}")
        start = time.monotonic()
        given = bench.Bench(
            options.tiny, start + options.budget, options.out, options.data, options.row
        )
        try:
            for row in part.rows(given):
                whole = {"part": name, **row, **about}
                if options.row:  # for the process that asked
                    print(json.dumps(whole), flush=True)
                else:
                    add(options.out, whole)
        except Exception as error:
            if options.row:
                raise
            told = f"{type(error).__name__}: {error}"[:1500]
            add(options.out, {"part": name, "case": "(the part)", "error": told, **about})
        print(f"# {name}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


def run_apart(options) -> None:
    """Each part in a process of its own, one after the other."""
    end = time.monotonic() + 60 * options.minutes
    for name, backend, seconds in PLAN:
        left = end - time.monotonic() - 8  # a start, and writing down
        if name not in options.parts or left < 15:
            continue
        budget = min(seconds, left)
        command = [sys.executable, __file__, "--parts", name, "--backend", backend,
                   "--budget", f"{budget:.0f}", "--out", str(options.out)]  # fmt: skip
        command += ["--tiny"] if options.tiny else []
        command += ["--data", str(options.data)] if options.data else []
        start, told = time.monotonic(), None
        with open(options.out / "log.txt", "a") as log:
            log.write(f"\n== {name}, {backend}, {budget:.0f} s\n")
            log.flush()
            try:  # a part ends by itself, some seconds late at the most: what is in hand, it ends
                code = subprocess.run(
                    command, stderr=log, env=surroundings(options, backend, name),
                    timeout=min(budget + 25, end - time.monotonic()),
                ).returncode  # fmt: skip
                told = f"ended with {code}; see log.txt" if code else None
            except subprocess.TimeoutExpired:
                told = "cut off: its time was up"
        if told:
            add(options.out, {"part": name, "backend": backend, "case": "(the part)",
                              "error": told})  # fmt: skip
        print(f"# {name}, {backend}: {time.monotonic() - start:.0f} s", flush=True)


def surroundings(options, backend: str, part: str) -> dict[str, str]:
    found = {**os.environ, "KERAS_BACKEND": backend}
    if backend == "jax":  # programs that two parts share are compiled once
        found["JAX_COMPILATION_CACHE_DIR"] = str((options.out / "cache").resolve())
    if part == "vocabulary":  # what is taken is what is needed, up to all that there is
        found |= {"XLA_PYTHON_CLIENT_PREALLOCATE": "false",
                  "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"}  # fmt: skip
    return found


def keep(path: pathlib.Path) -> None:
    """Puts the file's rows in place of those of the same case."""

    def key(row):
        return tuple(str(row.get(k)) for k in ("part", "backend", "case", "seed"))

    old = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    # What was printed will do as well, where a run was cut off before its files came back.
    new = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    whole = {key(row): row for row in [*old, *(row for row in new if not row.get("tiny"))]}
    RESULTS.write_text(json.dumps(list(whole.values()), indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--backend", choices=("jax", "torch"), help="run in this process")
    parser.add_argument("--budget", type=float, default=120, help="seconds of each part")
    parser.add_argument("--minutes", type=float, default=8.5, help="of all parts together")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("accelerator"))
    parser.add_argument("--data", type=pathlib.Path, help="CIFAR-10 as a .npz file")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=pathlib.Path, help="rows to put into results/")
    parser.add_argument("--table", action="store_true", help="print the tables, no more")
    options = parser.parse_args()
    if options.keep:
        keep(options.keep)
    if options.table or options.keep:
        from on_accelerator import tables

        print(tables.of(json.loads(RESULTS.read_text()) if RESULTS.exists() else []))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    if options.backend is None:
        run_apart(options)
    else:
        os.environ["KERAS_BACKEND"] = options.backend
        run_here(options)


if __name__ == "__main__":
    main()
