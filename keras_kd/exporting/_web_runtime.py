"""TensorFlow Lite for browsers: two files of an npm package, fetched once and known by digest."""

import gzip
import hashlib
import http.client
import io
import os
import tarfile
import urllib.request
from pathlib import Path
from typing import NamedTuple

from keras_kd._core.files import replacing

_PACKAGE, _VERSION = "@tensorflow/tfjs-tflite", "0.0.1-alpha.10"
_URL = f"https://registry.npmjs.org/{_PACKAGE}/-/{_PACKAGE.partition('/')[2]}-{_VERSION}.tgz"
_SCRIPT, _WASM = "tflite_web_api_cc_simd.js", "tflite_web_api_cc_simd.wasm"
#: The sha256 of each file of that version.
_DIGESTS = {
    _SCRIPT: "d5c71816525140d7a35b59a908d3b07d42741576630e647d246c19c6fa72d63d",
    _WASM: "40f49cc2d458ec09bb43db160e9e55f4b3c790a4c1d1fa280f8a61796296cf8e",
}
_SECONDS = 60
#: As the page names what it runs on.
NOTICE = f"{_PACKAGE} {_VERSION}, Apache License 2.0"


class Runtime(NamedTuple):
    """The script of the runtime, and its WebAssembly."""

    script: bytes
    wasm: bytes


def web_runtime(given: str | os.PathLike[str] | None = None) -> Runtime:
    """The runtime: from a folder or the package's archive, from the cache, or from the registry."""
    if given is not None:
        return _checked(_read(Path(given)), str(given))
    cache = _cache()
    if all((cache / name).exists() for name in _DIGESTS):
        return _checked({name: (cache / name).read_bytes() for name in _DIGESTS}, str(cache))
    found = _fetched()
    runtime = _checked(found, _URL)
    cache.mkdir(parents=True, exist_ok=True)
    for name, content in found.items():
        with replacing(cache / name) as unfinished:
            unfinished.write_bytes(content)
    return runtime


def _cache() -> Path:
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "keras_kd" / f"tfjs-tflite-{_VERSION}"


def _read(place: Path) -> dict[str, bytes]:
    """The files in a folder, at any depth, or in the package's `.tgz`."""
    if place.is_file():
        return _unpacked(place.read_bytes())
    if not place.is_dir():
        raise ValueError(f"`runtime` must be a folder or a .tgz file. There is none at '{place}'.")
    found = {name: next(place.rglob(name), None) for name in _DIGESTS}
    return {name: path.read_bytes() for name, path in found.items() if path is not None}


def _unpacked(archive: bytes) -> dict[str, bytes]:
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            for member in files.getmembers():
                name = member.name.rpartition("/")[2]
                if name in _DIGESTS and (file := files.extractfile(member)) is not None:
                    found[name] = file.read()
    except (tarfile.TarError, EOFError, OSError, gzip.BadGzipFile) as error:
        raise ValueError(f"`runtime` must be the .tgz file of {_PACKAGE}: {error}.") from error
    return found


def _fetched() -> dict[str, bytes]:
    try:
        with urllib.request.urlopen(_URL, timeout=_SECONDS) as answer:
            return _unpacked(answer.read())
    except (OSError, http.client.HTTPException) as error:  # the latter: cut short
        raise RuntimeError(
            f"The page needs {_PACKAGE} {_VERSION}, which could not be fetched from {_URL} "
            f"({error}). Fetch that file where there is a network, and give it: "
            "page(..., runtime='tfjs-tflite-0.0.1-alpha.10.tgz')."
        ) from error


def _checked(found: dict[str, bytes], where: str) -> Runtime:
    """An error when the files are not those of the version that was tried."""
    for name, wanted in _DIGESTS.items():
        if name not in found:
            raise ValueError(
                f"'{where}' lacks the file {name} of {_PACKAGE} {_VERSION}. Give its .tgz file, or "
                "a folder with what is in it."
            )
        if (came := hashlib.sha256(found[name]).hexdigest()) != wanted:
            raise ValueError(
                f"'{name}' in '{where}' is not that of {_PACKAGE} {_VERSION}: its sha256 is {came}, "
                f"expected {wanted}. Remove it, or give that version."
            )
    return Runtime(found[_SCRIPT], found[_WASM])
