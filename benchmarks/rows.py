"""Results as rows of a CSV file, kept as they come: a script that is run again goes on."""

import csv
import os
import pathlib
import platform
import statistics
import subprocess
import time

import keras

from keras_kd.report import Paired, paired


def circumstances() -> dict[str, str]:
    """What every row says of where it was measured."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
        cwd=pathlib.Path(__file__).parent,
    ).stdout.strip()  # fmt: skip
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "keras": keras.__version__,
        "backend": keras.config.backend(),
        "commit": commit,
    }


def points(change: Paired, digits: int = 2) -> str:
    """A difference and its interval; of too few seeds the difference alone."""
    mean = f"{change.mean:+.{digits}f}"
    if change.too_few:
        return mean
    return f"{mean} ({change.low:+.{digits}f} to {change.high:+.{digits}f})"


def difference_table(
    rows: list, column: str, control: str, heading: str, digits: int = 2, way: str = "way"
) -> str:
    """A Markdown table of `column` by `way`: mean, each seed, difference to `control`, seconds."""
    by: dict[str, dict] = {}
    for row in rows:
        by.setdefault(row[way], {})[row["seed"]] = row
    lines = [
        f"| | {heading} | each seed | difference to {control} | seconds |",
        "|---|---:|---|---:|---:|",
    ]
    for name, found in by.items():
        values = {seed: float(row[column]) for seed, row in found.items()}
        both = [seed for seed in values if seed in by.get(control, {})]
        change = ""
        if name != control and both:
            before = [float(by[control][seed][column]) for seed in both]
            change = points(paired(before, [values[seed] for seed in both]), digits)
        each = ", ".join(f"{value:.{digits}f}" for value in values.values())
        seconds = [float(row["seconds"]) for row in found.values() if row["seconds"]]
        shown = f"{statistics.median(seconds):.0f}" if seconds else ""
        mean = f"{statistics.mean(values.values()):.{digits}f}"
        lines.append(f"| {name} | {mean} | {each} | {change} | {shown} |")
    return "\n".join(lines)


class Rows(list):
    """The rows of `path`, each a dictionary of texts."""

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.path, self.about = path, circumstances()
        if path.exists():
            with open(path, newline="") as file:
                self.extend(csv.DictReader(file))

    def have(self, **which: object) -> bool:
        """Whether there is a row with these values."""
        asked = {name: str(value) for name, value in which.items()}
        return any(asked.items() <= row.items() for row in self)

    def keep(self, **row: object) -> None:
        """One row more, in the file at once: written aside, then renamed."""
        self.append({name: str(value) for name, value in {**row, **self.about}.items()})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".tmp")
        with open(aside, "w", newline="") as file:
            writer = csv.DictWriter(file, self[-1])
            writer.writeheader()
            writer.writerows(self)
        os.replace(aside, self.path)


class Deadline(keras.callbacks.Callback):
    """Ends the slice after the epoch in which its time runs out."""

    def __init__(self, end: float):
        super().__init__()
        self.end, self.reached = end, False

    def on_epoch_end(self, epoch, logs=None):
        if time.monotonic() > self.end:
            self.reached = self.model.stop_training = True
