"""Options that several commands have, and what each may be."""

import argparse
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: What may stand where a student's file may stand; of `keras_kd.students` those for images.
STUDENTS = (
    "tiny", "small", "medium", "large", "cnn-small", "cnn-medium", "mlp-16", "mlp-64", "resnet8",
    "mobilenet-v1", "sound-tiny", "sound-small", "sound-medium", "sound-large",
)  # fmt: skip
#: What a teacher of another framework may give; written here, for `keras-kd --help` imports nothing.
KINDS = (
    "logits", "probabilities", "log_probabilities", "binary_probabilities", "values", "top_k"
)  # fmt: skip
RAW = argparse.RawDescriptionHelpFormatter
EXIT_CODES = """\
exit codes: 0 done, 1 failed on the way, 2 a bad option or data that cannot be had, 130 stopped,
141 nobody reads its output any more"""


def command(
    commands: Any, name: str, *, help: str, description: str, examples: str
) -> argparse.ArgumentParser:
    """A subcommand, with the options that all have."""
    made = commands.add_parser(
        name,
        help=help,
        description=description,
        epilog=f"examples:\n{examples}\n{EXIT_CODES}",
        formatter_class=RAW,
    )
    made.set_defaults(json=False)
    made.add_argument("--backend", type=_backend, metavar="NAME",
                      help="tensorflow, jax or torch (default: Keras's own choice)")  # fmt: skip
    return made


def takes_json(made: argparse.ArgumentParser) -> None:
    """The option `--json`."""
    made.add_argument("--json", action="store_true", help="print the result as JSON, for programs")


def takes_data(made: argparse.ArgumentParser, **kwargs: Any) -> None:
    """The options that say which images, with labels."""
    takes_images(
        made, **kwargs,
        what="digits, an image set of TensorFlow Datasets, or a folder of images with a subfolder "
        "for each class (or with train/ and test/ that have these)",
    )  # fmt: skip
    made.add_argument("--classes", type=class_names, metavar="A,B,C",
        help="the classes in the order of the models' outputs, or a file that ends with .txt and "
        "has one on each line (default: the order of the set; of folders, alphabetical)")  # fmt: skip


def takes_images(made: argparse.ArgumentParser, *, what: str, **kwargs: Any) -> None:
    """The options that say which images."""
    default = f" (default: {kwargs['default']})" if "default" in kwargs else ""
    made.add_argument("--data", metavar="SET", **kwargs, help=what + default)
    made.add_argument("--scale", type=above_zero, default=1.0, metavar="S",
        help="what images in [0, 1] are multiplied by for the models: 255 for those that rescale "
        "by themselves (default: 1)")  # fmt: skip


def takes_training(made: argparse.ArgumentParser, *, out: str, augment: str) -> None:
    """The options that say how a student is trained, and where what comes of it is written."""
    add = made.add_argument
    add("--epochs", type=whole, default=20, metavar="N",
        help="passes over the training images (default: 20)")  # fmt: skip
    add("--batch-size", type=whole, metavar="N",
        help="images in one step (default: 32 of fewer than 4,000 training images, otherwise 64)")  # fmt: skip
    add("--learning-rate", type=above_zero, metavar="R",
        help="the highest of Adam: it rises in the first tenth of all steps and then falls to 0 "
        "along a cosine (default: 0.01, or 0.001 for a student from a file)")  # fmt: skip
    add("--augment", type=changes, default=["none"], metavar="A,B",
        help="how the images are changed in each epoch, for student and teacher alike: shift, "
        f"mirror, both with a comma between them, {augment}")  # fmt: skip
    add("--seed", type=from_zero, default=0, metavar="N",
        help="of the weights and of the order of the images (default: 0)")  # fmt: skip
    add("--out", type=place, default=Path(out), metavar="DIR",
        help=f"where to write (default: {out})")  # fmt: skip
    takes_json(made)


def class_names(text: str) -> list[str]:
    """`"cat,dog"` -> its names; of a file that ends with .txt, those on its lines."""
    if text.endswith(".txt"):
        try:
            names = Path(text).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise argparse.ArgumentTypeError(f"cannot read '{text}': {error.strerror}") from error
    else:
        names = text.split(",")
    names = [name.strip() for name in names if name.strip()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if len(names) < 2 or twice:
        what = (
            f"names {', '.join(twice)} twice" if twice else "must name two classes or more: a,b,c"
        )
        raise argparse.ArgumentTypeError(what)
    return names


def names(text: str) -> list[str]:
    """`"tiny,small"` -> its names."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("names nothing: give names with commas between them")
    return found


def changes(text: str) -> list[str]:
    """`"shift,mirror"` -> its names."""
    names = text.split(",")
    alone = len(names) == 1 and text in ("auto", "none")
    if not alone and (set(names) - {"shift", "mirror"} or len(set(names)) < len(names)):
        raise argparse.ArgumentTypeError(
            f"must be auto, none, shift, mirror or shift,mirror, not {text!r}"
        )
    return names


def number(text: str, kind: Callable[[str], float], good: Callable[[float], bool], what: str):
    """`text` as a number, when it is a good one."""
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not good(value):
        raise argparse.ArgumentTypeError(f"must be {what}, not {text!r}")
    return value


def whole(text: str) -> int:
    return number(text, int, lambda n: n >= 1, "a whole number from 1 up")


def from_zero(text: str) -> int:
    return number(text, int, lambda n: n >= 0, "a whole number from 0 up")


def above_zero(text: str) -> float:
    return number(text, float, lambda t: 0 < t < float("inf"), "a number above 0")


def seconds(text: str) -> float | None:
    """A limit of time; 0 is none."""
    return (
        number(text, float, lambda t: 0 <= t < float("inf"), "seconds, or 0 for no limit") or None
    )


def share(text: str) -> float:
    return number(text, float, lambda a: 0 <= a <= 1, "a number from 0 to 1")


def place(text: str) -> Path:
    """A file or a folder; an empty name would be the folder one happens to be in."""
    if not text:
        raise argparse.ArgumentTypeError("is empty: give the name of a file or a folder")
    return Path(text)


def place_or_address(text: str) -> Path | str:
    """A file or a folder, or the address of a server."""
    return text if text.startswith(("http://", "https://")) else place(text)


def image_shape(text: str) -> tuple[int, int, int]:
    """`"28,28,1"` -> height, width and channels."""
    sizes = text.replace("x", ",").split(",")
    if len(sizes) != 3 or sizes[2] not in ("1", "3", "4"):
        raise argparse.ArgumentTypeError(
            f"must be height, width and 1, 3 or 4 channels, such as 32,32,3, not {text!r}"
        )
    height, width, channels = map(whole, sizes)
    return height, width, channels


def setting(text: str) -> tuple[str, str]:
    """`"temperature=4"` -> `("temperature", "4")`."""
    name, equals, value = text.partition("=")
    if not (name.isidentifier() and equals and value):
        raise argparse.ArgumentTypeError(f"must look like temperature=4, not {text!r}")
    return name, value


def named_model(text: str) -> tuple[str, Path]:
    """`"small=run/student.keras"` -> its name and path; a path alone is named by its file."""
    name, equals, path = text.partition("=")
    return (name, Path(path)) if equals and path else (Path(text).stem, place(text))


def _backend(name: str) -> str:
    if name not in ("tensorflow", "jax", "torch"):
        raise argparse.ArgumentTypeError(f"must be tensorflow, jax or torch, not {name!r}")
    if find_spec(name) is None:
        extra = "tensorflow" if name == "tensorflow" else f'"keras-kd[{name}]"'
        raise argparse.ArgumentTypeError(f"{name} is not installed. Run: pip install {extra}")
    return name
