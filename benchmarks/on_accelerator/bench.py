"""What every part is given: how large, how long, on what; and how to wait for the device."""

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np


@dataclasses.dataclass
class Bench:
    """One part's circumstances.

    Args:
        tiny: Whether everything is as small as it can be, to try the script on a CPU.
        end: When the part's time is up, by `time.monotonic()`.
        out: Folder for what a part writes beside its rows.
        data: A file with `x_train`, `y_train`, `x_test`, `y_test`, or `None`: random images.
        row: The one row asked of a part, where each needs a process of its own.
    """

    tiny: bool
    end: float
    out: pathlib.Path
    data: pathlib.Path | None = None
    row: str | None = None

    def left(self) -> float:
        return self.end - time.monotonic()

    def images(self) -> dict[str, np.ndarray]:
        """CIFAR-10 as the file has it, normalised; random images where there is no file."""
        if self.data is None:
            rng = np.random.default_rng(0)
            few = {"train": 512, "test": 128}
            found = {f"x_{k}": rng.random((n, 32, 32, 3), "float32") for k, n in few.items()}
            return {**found, **{f"y_{k}": rng.integers(0, 10, n) for k, n in few.items()}}
        found = dict(np.load(self.data))
        mean, deviation = np.array([(0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)], "float32")
        for part, few in (("train", 512), ("test", 128)):
            some = slice(few if self.tiny else None)
            x = found[f"x_{part}"][some].astype("float32") / 255
            found[f"x_{part}"] = (x - mean) / deviation
            found[f"y_{part}"] = found[f"y_{part}"][some].astype("int32")
        return found


def wait(*arrays) -> None:
    """Until the device has made them, and has nothing left to do."""
    if keras.config.backend() == "jax":
        import jax

        jax.block_until_ready(arrays)
    if keras.config.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()


def in_turns(
    contestants: dict[str, Callable], rounds: int, left: Callable[[], float] = lambda: 1e9
) -> dict[str, list[float]]:
    """Seconds of each contestant in every round, in an order that rotates; warmed up before.

    A contestant returns the arrays to wait for. One that fails in its warm-up is left out and its
    seconds are the error's text. With the time gone, what has been measured counts.
    """
    seconds: dict = {name: [] for name in contestants}
    running = dict(contestants)
    for name, run in contestants.items():
        try:
            wait(run())
            wait(run())
        except Exception as error:
            seconds[name] = f"{type(error).__name__}: {error}"[:500]
            del running[name]
    names = list(running)
    for turn in range(rounds):
        if turn and left() < 0:
            break
        for i in range(len(names)):
            name = names[(i + turn) % len(names)]
            start = time.perf_counter()
            wait(running[name]())
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median(values: list[float]) -> float:
    return round(statistics.median(values), 6)


def device() -> dict[str, str]:
    """The device's name and the versions of all that took part."""
    import platform

    found = {"keras": keras.__version__, "backend": keras.config.backend(),
             "python": platform.python_version(), "numpy": np.__version__}  # fmt: skip
    if keras.config.backend() == "jax":
        import jax

        found |= {"jax": jax.__version__, "device": jax.devices()[0].device_kind}
    if keras.config.backend() == "torch":
        import torch

        cuda = torch.cuda.is_available()
        found |= {"torch": torch.__version__,
                  "device": torch.cuda.get_device_name() if cuda else "cpu"}  # fmt: skip
    return found
