"""Results as rows of a CSV file, kept as they come: a script that is run again goes on."""

import csv
import os
import pathlib
import platform
import subprocess
import time

import keras

from keras_kd.report import Paired


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


def points(change: Paired) -> str:
    """A difference and its interval; of too few seeds the difference alone."""
    if change.too_few:
        return f"{change.mean:+.2f}"
    return f"{change.mean:+.2f} ({change.low:+.2f} to {change.high:+.2f})"


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
