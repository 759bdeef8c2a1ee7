"""The page of the command `keras-kd`: what each subcommand says with --help."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def on_files(files, config):
    from mkdocs.structure.files import File

    files.append(File.generated(config, "reference/cli.md", content=page()))
    return files


def page():
    made = [
        "# keras-kd\n\nThe command of the package: each subcommand is a short call into the library. "
        "`python -m keras_kd` is the same.\n\n",
        f"```text\n{help_of()}\n```\n",
    ]
    for name in re.findall(r"^ {4}(\w+) ", help_of(), flags=re.MULTILINE):
        made.append(f"\n## keras-kd {name}\n\n```text\n{help_of(name)}\n```\n")
    return "".join(made)


def help_of(*subcommand):
    environment = {**os.environ, "COLUMNS": "88", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "keras_kd", *subcommand, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.rstrip()
