"""`page`: a student as one page that runs it in a browser."""

import base64
import gzip
import html
import json
import os
import re
from pathlib import Path
from typing import Any

from keras_kd._core.files import named, replacing
from keras_kd.exporting._format import Format
from keras_kd.exporting._formats import format_of
from keras_kd.exporting._proof import check_digest, proof_path
from keras_kd.exporting._show_proof import PROVEN_ON
from keras_kd.exporting._web_runtime import NOTICE, web_runtime

_TEMPLATE = Path(__file__).with_name("page.html")
#: The largest file that a page is made of: it is inside of it, and read at once.
_MOST_BYTES = 16_000_000

#: What that runtime was seen to refuse.
_NOT_IN_BROWSERS = ("dynamic", "int4")


def page(
    path: str | os.PathLike[str],
    *,
    title: str | None = None,
    runtime: str | os.PathLike[str] | None = None,
) -> Path:
    """A page that runs a student in a browser: one file, `.html` instead of `.tflite`.

    Whoever opens it draws, drops an image or types numbers, and sees the answer, by the names of the
    classes, and the time that it took. Nothing leaves the device and nothing is loaded: the student
    and TensorFlow Lite for browsers are inside (about 1.8 MB, and four thirds of the compressed
    student), so that the page also works from a disk, in any browser since 2023. The page knows from
    the proof beside the file what the student takes; of images, `export(preprocessing=)` says how
    pixels become numbers. Without it, they are spread over the range of the proof's examples.

    The runtime, `@tensorflow/tfjs-tflite`, is fetched from the npm registry the first time, checked
    by its sha256, and kept in `~/.keras/keras_kd` (or under `KERAS_HOME`).

    Args:
        path: A LiteRT file of at most 16 MB that `export` wrote, its proof beside it; with floats or
            integers at both ends, in any quantization but `"dynamic"` and `"int4"`.
        title: What stands above the page. Defaults to the name of the file.
        runtime: Where there is no network: the `.tgz` file of that package, or a folder with what is
            in it. Defaults to `None`.

    Returns:
        The path of the page.

    Raises:
        ValueError: If there is no such file, it is too large or of another format, has no proof, or
            `runtime` is not the one that the page was tried with.
        RuntimeError: If the runtime cannot be fetched.
        keras_kd.exporting.ExportError: If the file is not the one of its proof.

    Example:

    ```python
    keras_kd.export(student, "student.tflite", preprocessing="float images in [0, 1]")
    keras_kd.exporting.page("student.tflite")  # student.html
    ```
    """
    path = named(path)
    if not path.exists():
        raise ValueError(f"There is no file '{path}'.")
    form = format_of(path, None)
    if form.name != "litert":
        raise ValueError(f"A page runs a LiteRT file ('.tflite'). Received: '{path}'.")
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise ValueError(
            f"A page is for small students, of at most {_MOST_BYTES:,} bytes. '{path}' has {size:,}. "
            "Quantize it, or put it behind a server."
        )
    record = check_digest(path)
    if not record:
        raise ValueError(
            f"There is no proof '{proof_path(path)}', which says what the student takes. Export it "
            "again."
        )
    if (came := record["quantization"]) in _NOT_IN_BROWSERS:
        raise ValueError(
            f"The runtime for browsers does not run quantization='{came}'. Export with 'float32', "
            "'float16', 'int8' or 'int16x8' for the page."
        )
    inside = web_runtime(runtime)
    filled = {
        "TITLE": html.escape(title or path.name),
        "TOLD": json.dumps(_told(form, path, record), ensure_ascii=False).replace("<", "\\u003c"),
        "WASM": _packed(inside.wasm),
        "FILE": _packed(path.read_bytes()),
        "RUNTIME": inside.script.decode("utf-8").replace("</script", "<\\/script"),
    }
    template = _TEMPLATE.read_text(encoding="utf-8")
    text = re.sub(f"@({'|'.join(filled)})@", lambda mark: filled[mark[1]], template)
    to = path.with_suffix(".html")
    with replacing(to) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return to


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode("ascii")


def _told(form: Format, path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What the page must know of the student."""
    takes, gives = form.order(path)
    inputs, outputs = record["inputs"], record["outputs"]
    told = dict(record["preprocessing"])
    if not told["mean"]:  # pixels from 0 to 255, spread over what the examples had
        low, high = inputs[0]["low"], inputs[0]["high"]
        scale = 255 / (high - low) if high > low else 255.0
        told.update(mean=[-low * scale], std=[scale])
    card, answer = record["card"], record["answers"][0]
    facts = [
        f"{record['bytes']:,} bytes, {record['quantization']}; as its student on "
        f"{record['agreement']:.1%} of {record['examples']:,} {PROVEN_ON[record['proven_on']]}.",
        *(f"{key}: {card[key]}." for key in ("author", "license") if key in card),
        f"Runs on {NOTICE}.",
    ]
    return {
        "takes": takes,
        "gives": gives,
        "inputs": inputs,
        "outputs": outputs,
        "classes": record["classes"],
        "decides": answer["decision"] == "classes" and len(outputs[0]["shape"]) == 2,
        "preprocessing": told,
        "about": str(card.get("description") or "It runs in this browser; nothing is sent."),
        "facts": " ".join(facts),
    }
