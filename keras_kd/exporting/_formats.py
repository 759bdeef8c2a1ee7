"""The formats that there are, found by name, suffix and target."""

from pathlib import Path

from keras_kd._core.messages import did_you_mean, listing
from keras_kd.exporting._format import Format, Quantization
from keras_kd.exporting._litert import LiteRT
from keras_kd.exporting._litert_micro import LiteRTMicro
from keras_kd.exporting._onnx import Onnx
from keras_kd.exporting._saved_model import SavedModel

FORMATS: dict[str, Format] = {form.name: form for form in (LiteRT(), Onnx(), SavedModel())}

#: A format's form for a device of little memory, by `export(target=...)`.
TARGETS: dict[str, Format] = {"micro": LiteRTMicro()}


def format_of(path: Path, name: str | None, target: str | None = None) -> Format:
    """The format of that name, or the one that the suffix of `path` tells; for `target`."""
    if name is not None and name not in FORMATS:
        raise ValueError(
            f"`format` must be one of {listing(FORMATS)}. Received: format={name!r}."
            + did_you_mean(str(name), FORMATS)
        )
    by_suffix = {form.suffix: form for form in FORMATS.values()}
    form = by_suffix.get(path.suffix) if name is None else FORMATS[name]
    if form is None:
        ends = " or ".join(f"'{s}' ({form.title})" for s, form in by_suffix.items() if s)
        folder = by_suffix[""].title
        raise ValueError(
            f"`path` must end with {ends}, or have no suffix (a folder, for a {folder}). Received: "
            f"'{path}'."
        )
    if form.suffix and path.suffix != form.suffix:
        raise ValueError(f"`path` must end with '{form.suffix}'. Received: '{path}'.")
    if target is None:
        return form
    if target not in TARGETS:
        raise ValueError(f"`target` must be None or 'micro'. Received: target={target!r}.")
    if form.name != TARGETS[target].name:
        raise ValueError(_not_for_target(target, f"the format '{form.name}'"))
    return TARGETS[target]


def quantization_of(
    name: str, form: Format, target: str | None = None, integer_io: bool = False
) -> Quantization:
    """The settings of that name, where `form` has them."""
    known = {name: form for form in FORMATS.values() for name in form.quantizations}
    if name not in known:
        raise ValueError(
            f"`quantization` must be one of {listing(known)}. "
            f"Received: quantization={name!r}." + did_you_mean(str(name), known)
        )
    came = f"quantization={name!r} for the format '{form.name}'"
    if name not in form.quantizations and target is not None:
        raise ValueError(_not_for_target(target, came))
    if name not in form.quantizations:
        able = known[name]
        raise ValueError(
            f"Only a {able.title} file ('{able.suffix}') can be quantized. Received: {came}."
        )
    found = form.quantizations[name]
    if integer_io and not found.calibrated:
        raise ValueError(
            "`integer_io` needs quantization='int8' or 'int16x8', whose activations are integers. "
            f"Received: quantization={name!r}."
        )
    return found


def _not_for_target(target: str, came: str) -> str:
    form = TARGETS[target]
    return (
        f"target='{target}' takes a {form.title} file ('{form.suffix}') with a quantization of "
        f"{listing(form.quantizations)}. Received: {came}."
    )
