"""A proof as text, for a terminal: tables as those of a report."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from keras_kd._core.plain_text import plain_text
from keras_kd.exporting._tensors import Tensor

#: What the examples of a proof are, in words.
PROVEN_ON = {
    "examples": "examples",
    "held_out": "examples held out of the calibration data",
    "calibration": "examples of the calibration data itself",
    "random": "random inputs",
}


def shown(proof: Any) -> str:
    """What `print(proof)` prints."""
    lines = (
        line.rstrip() for line in plain_text(lambda console: _show(proof, console)).split("\n")
    )
    return "\n".join(line for line in lines if line)


def _show(proof: Any, console: Console) -> None:
    console.print(
        f"{proof.path}: {proof.format}, {proof.quantization}, {proof.bytes:,} bytes "
        f"({proof.gzip_bytes:,} compressed)",
        soft_wrap=True,  # a path stays in one piece
    )
    console.print(
        f"It decides as the student on {proof.agreeing:,} of {proof.examples:,} "
        f"{PROVEN_ON[proof.proven_on]}."
    )
    console.print(_answers(proof), end="")
    console.print(_tensors(proof), end="")
    for line in _lines(proof):
        console.print(line, soft_wrap=False)


def _table(first: str, *headings: str, right: bool) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    drawn.add_column(first)
    for heading in headings:
        drawn.add_column(heading, justify="right" if right else "left")
    return drawn


def _answers(proof: Any) -> Table:
    drawn = _table(
        "output", "decision", "agreement", "accuracy", "student's", "off by at most", right=True
    )
    for answer in proof.answers:
        drawn.add_row(
            answer.name,
            str(answer.decision),
            _percent(answer.agreement),
            _percent(answer.accuracy),
            _percent(answer.student_accuracy),
            f"{answer.max_difference:.3g}",
        )
    return drawn


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _tensors(proof: Any) -> Table:
    drawn = _table("", "name", "type", "shape", "over the examples", "", right=False)
    for word, tensors in (("takes", proof.inputs), ("gives", proof.outputs)):
        for tensor in tensors:
            drawn.add_row(
                word,
                tensor.name,
                tensor.dtype,
                f"{shape_of(tensor)} {tensor.layout or ''}".rstrip(),
                f"{tensor.low:.4g} to {tensor.high:.4g}",
                _meaning(tensor, proof),
            )
    return drawn


def shape_of(tensor: Tensor) -> str:
    """A shape, with `n` where any number of examples will do."""
    sizes = ["n" if size is None else str(size) for size in tensor.shape]
    return f"({', '.join(sizes)})"


def _meaning(tensor: Tensor, proof: Any) -> str:
    said = []
    if tensor.scale is not None:
        said.append(f"scale {tensor.scale:.4g}, zero {tensor.zero_point}")
    decision = next((a.decision for a in proof.answers if a.name == tensor.name), None)
    if tensor.ending:
        said.append(f"probabilities ({tensor.ending})")
    elif decision == "classes":
        said.append("logits")
    return "; ".join(said)


def _lines(proof: Any) -> list[str]:
    low, high = proof.milliseconds_spread
    lines = [
        f"One example takes {proof.milliseconds:.3f} ms ({low:.3f} to {high:.3f}) on one thread "
        "of this machine."
    ]
    if proof.preprocessing.text:
        order = proof.preprocessing.color_order
        lines.append(f"Inputs: {proof.preprocessing.text}{f', {order}' if order else ''}.")
    if proof.classes:
        lines.append(f"Classes: {', '.join(proof.classes)}.")
    if (micro := proof.micro) is not None:
        lines.append(
            f"In tflite-micro it agrees on {_percent(micro.agreement)} of {micro.examples:,} "
            f"examples, in an arena of {micro.arena_bytes:,} bytes."
        )
    lines += [f"{key}: {value}" for key, value in proof.card.items() if isinstance(value, str)]
    lines += [*proof.notes, f"sha256 {proof.sha256}"]
    return lines
