"""The page beside a file that says how to load it, with an example and its answer."""

from pathlib import Path

import numpy as np

from keras_kd.exporting._proof import Proof
from keras_kd.exporting._show_proof import PROVEN_ON, shape_of
from keras_kd.exporting._signature import Arrays
from keras_kd.exporting._snippets import Example, by_classes, snippets
from keras_kd.exporting._standalone_runner import quantized
from keras_kd.exporting._tensors import Tensor

_TITLES = {"litert": "LiteRT", "onnx": "ONNX", "tf_saved_model": "SavedModel"}


def write_readme(
    proof: Proof,
    place: Path,
    inputs: Arrays,
    outputs: Arrays,
    order: tuple[list[str], list[str]],
) -> None:
    """Writes the page and the example beside `place`.

    Args:
        proof: Of the file.
        place: The file.
        inputs: Of one example.
        outputs: The file's, of that example.
        order: In which the file has its inputs and outputs.
    """
    files = {name: place.with_suffix(f".{name}.bin").name for name in inputs}
    for tensor in proof.inputs:
        content = _stored(inputs[tensor.name], tensor)
        place.with_name(files[tensor.name]).write_bytes(content)
    example = Example(place.name, files, _answer(proof, outputs), *order)
    parts = [_head(proof), _tables(proof), _example(proof, example), *snippets(proof, example)]
    page = place.with_suffix(".README.md")
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _stored(x: np.ndarray, tensor: Tensor) -> bytes:
    """The bytes that the file takes: integers where it takes integers, the smaller byte first."""
    kind = np.dtype(tensor.dtype)
    if tensor.scale is not None:
        x = quantized(x, tensor.scale, tensor.zero_point, kind)
    return x.astype(kind.newbyteorder("<")).tobytes()


def _answer(proof: Proof, outputs: Arrays) -> str:
    """What the file decides of the example, of its first output."""
    first = proof.answers[0]
    values = outputs[first.name][0]
    if by_classes(proof):
        best = int(values.argmax())
        named = len(proof.classes) == len(values)
        return proof.classes[best] if named else str(best)
    shown = np.array2string(values.ravel()[:8], precision=4, separator=", ")
    return " ".join(shown.split()) + (" ..." if values.size > 8 else "")


def _head(proof: Proof) -> str:
    said = [f"# {proof.path.name}"]
    if text := proof.card.get("description"):
        said.append(str(text))
    said.append(
        f"A {_TITLES[proof.format]} file of {proof.bytes:,} bytes, {proof.quantization}. On {proof.examples:,} "
        f"{PROVEN_ON[proof.proven_on]} it decides as its student on {proof.agreement:.1%}; the proof is "
        f"`{proof.path.name}.json`."
    )
    told = [f"{key}: {proof.card[key]}" for key in ("author", "license") if key in proof.card]
    return "\n\n".join([*said, *told])


def _tables(proof: Proof) -> str:
    lines = ["| | name | type | shape | |", "|---|---|---|---|---|"]
    for word, tensors in (("takes", proof.inputs), ("gives", proof.outputs)):
        for t in tensors:
            lines.append(
                f"| {word} | `{t.name}` | {t.dtype} | {shape_of(t)} {t.layout or ''} | {_said(t)} |"
            )
    text = "\n".join(lines)
    told = proof.preprocessing
    if told.text:
        color = f" ({told.color_order})" if told.color_order else ""
        text += f"\n\nBefore: {told.text}{color}."
    if told.mean:
        text += (
            f" Of pixels from 0 to 255 that is (pixel - mean) / std, with the mean "
            f"{_numbers(told.mean)} and the std {_numbers(told.std)}."
        )
    if proof.classes:
        text += f"\n\nClasses, in order: {', '.join(proof.classes)}."
    return text


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _said(tensor: Tensor) -> str:
    said = [f"probabilities ({tensor.ending})"] if tensor.ending else []
    if tensor.scale is not None:
        said.append(f"the number is {tensor.scale:.9g} * (integer - ({tensor.zero_point}))")
    return "; ".join(said)


def _example(proof: Proof, example: Example) -> str:
    names = ", ".join(f"`{name}`" for name in example.files.values())
    return (
        f"## An example\n\n{names} has one example, as the bytes that the file takes. The answer to "
        f"it is **{example.answer}**."
    )
