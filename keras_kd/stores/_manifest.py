"""The manifest: what a store holds, of whom, for which data, and how each file must look.

    store/
      manifest.json          the settings; once all is written, the shards and their checksums too
      examples.json          how many examples there are; known when the data have come to an end
      index.ids.npy          every id, sorted; with index.rows.npy, the place of its outputs
      shard-00000/           shard.json, ids.npy, data.npy and the columns of each signal

Shard `s` holds the examples `s * size` to `(s + 1) * size` of the data, whoever wrote it.
"""

import json
import os
import pathlib
import re
import zlib
from typing import Any

import numpy as np

from keras_kd.stores._codecs import Codec, StoreError
from keras_kd.stores._digest import Digest
from keras_kd.stores._digest_of_format_1 import DigestOfFormat1
from keras_kd.stores._draws import Draws
from keras_kd.stores._form import from_config
from keras_kd.stores._ragged import Ragged, Rows, TopP, ends_of
from keras_kd.stores._top_k_bytes import TopKBytes

#: 1: nothing but the manifest has a checksum of its own; such stores are read, not written on.
FORMAT = 2
#: Of stores that know ids and no inputs.
WITHOUT_INPUTS = 3
#: Of stores with classes that were drawn, or whose examples differ in size.
OF_TEXTS = 4
#: Of stores with the largest logits as probabilities in a byte each.
IN_BYTES = 5
_OF_TEXTS = (Draws.name, TopP.name, Ragged.name)
MANIFEST, EXAMPLES, RECORD = "manifest.json", "examples.json", "shard.json"
INDEX = ("index.ids.npy", "index.rows.npy")
#: The bytes that one checksum is of.
BLOCK = 1 << 20
Path = pathlib.Path


def checksums(path: Path) -> list[int]:
    """CRC-32 of each block of a file: what is read of a large one is checked, and no more."""
    with open(path, "rb") as file:
        return [zlib.crc32(block) for block in iter(lambda: file.read(BLOCK), b"")]


def replace(path: Path, content: dict[str, Any]) -> None:
    """Writes `content` as JSON, so that `path` holds the former content or this one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(temporary, "w") as file:
        file.write(json.dumps(content, indent=1, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """A manifest's content with its own checksum."""
    rest = {key: value for key, value in content.items() if key != "crc32"}
    return {**rest, "crc32": zlib.crc32(json.dumps(rest, sort_keys=True).encode())}


def load(path: Path) -> dict[str, Any]:
    """The content of a store's JSON file."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise TypeError("not an object")
        return content
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, OSError) as error:
        raise StoreError(f"'{path}' is damaged: it is no JSON that a store writes.") from error


def examples_in(folder: Path) -> int:
    """How many examples the data had, which is known once they came to an end."""
    content = load(folder / EXAMPLES)
    if content != sealed(content):
        raise StoreError(
            f"'{folder / EXAMPLES}' is damaged: it does not have the checksum it was written with. "
            "Run the same write again, and it is made anew."
        )
    return int(content["examples"])


def shard_name(number: int) -> str:
    return f"shard-{number:05d}"


def file_names(signals: list[str], codecs: list[Codec]) -> list[dict[str, str]]:
    """For each signal, the file of each of its columns."""
    return [
        {
            column: f"{number}-{re.sub(r'[^A-Za-z0-9_.-]', '-', signal)}.{column}.npy"
            for column in codec.columns()
        }
        for number, (signal, codec) in enumerate(zip(signals, codecs, strict=True))
    ]


def format_of(settings: dict[str, Any]) -> int:
    """The lowest format that can hold these settings."""
    codecs = {one["codec"] for e in settings["signals"] for one in (e, e.get("of", e))}
    if TopKBytes.name in codecs:
        return IN_BYTES
    if codecs & set(_OF_TEXTS):
        return OF_TEXTS
    return FORMAT if settings["data"]["inputs"] else WITHOUT_INPUTS


class Manifest:
    """What stands in `manifest.json`, once it is known to make sense.

    Args:
        folder: The store.
        content: What the file holds.
    """

    def __init__(self, folder: Path, content: dict[str, Any]):
        self.folder, self.content = folder, content
        version = content.get("format")
        if not isinstance(version, int):
            raise StoreError(f"'{folder / MANIFEST}' is damaged: it names no format.")
        if version > IN_BYTES:
            raise StoreError(
                f"The store '{folder}' has format {version}, and this version of keras_kd reads "
                f"formats up to {IN_BYTES}. Upgrade keras_kd, or write the store again."
            )
        if content != sealed(content):
            raise StoreError(
                f"'{folder / MANIFEST}' is damaged: it does not have the checksum it was written "
                "with. Remove it and write the store again with the same arguments (the shards are "
                "kept), or copy it once more."
            )
        try:
            self.settings: dict[str, Any] = content["settings"]
            entries = self.settings["signals"]
            self.signals: list[str] = [entry["address"] for entry in entries]
            self.codecs = [from_config(entry) for entry in entries]
            self.views = int(self.settings["views"])
            self.shard_size = int(self.settings["shard_size"])
            self.batch_size = int(self.settings["batch_size"])
            self.augment: dict[str, Any] | None = self.settings["augment"]
            self.teacher: dict[str, Any] = self.settings["teacher"]
            self.values: dict[str, str | None] = {e["address"]: e.get("values") for e in entries}
            self.probe: dict[str, Any] | None = content.get("probe")
            self.complete = bool(content["complete"])
            self.examples = int(content.get("examples", 0))
            self.shards: list[dict[str, Any]] = list(content.get("shards", []))
            self.index: dict[str, Any] = dict(content.get("index", {}))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"'{folder / MANIFEST}' is damaged: {error}.") from error
        old = version == 1
        #: Decides whether an example is the one that it was.
        self.digest: Digest = DigestOfFormat1() if old else Digest(self.settings["data"]["inputs"])
        #: By which a shard knows that it belongs here.
        self.settings_sum = zlib.crc32(json.dumps(self.settings, sort_keys=True).encode())
        self.files = file_names(self.signals, self.codecs)
        #: For each file of rows, of which an example has any number, the file of their ends.
        self.ends = ends_of(self.codecs, self.files)

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a finished store."""
        try:
            manifest = cls(folder, load(folder / MANIFEST))
        except FileNotFoundError:
            raise StoreError(
                f"There is no store in '{folder}': no {MANIFEST} is there. Write one with "
                "keras_kd.stores.write(teacher, data, path)."
            ) from None
        if not manifest.complete:
            raise StoreError(f"The store '{folder}' is not finished: {manifest.missing()}")
        return manifest

    def missing(self) -> str:
        """What an unfinished store lacks, and what to do."""
        have = sorted(path.name for path in self.folder.glob("shard-?????"))
        try:
            total = examples_in(self.folder)
        except FileNotFoundError:
            return f"{len(have)} shards are written. Run the same write again, and it goes on."
        names = [shard_name(n) for n in range(-(-total // self.shard_size))]
        lacking = [name for name in names if name not in have]
        shown = ", ".join(lacking[:4]) + (", ..." if len(lacking) > 4 else "")
        return (
            f"{len(lacking)} of {len(names)} shards are missing ({shown}). Run the writers of all "
            "`shard_index`, then, if they wrote to different folders, keras_kd.stores.merge."
        )

    def record(self, number: int) -> dict[str, Any] | None:
        """The `shard.json` of a shard; `None` when the shard is not there yet."""
        shard = shard_name(number)
        try:
            content = load(self.folder / shard / RECORD)
        except FileNotFoundError:
            if (self.folder / shard).exists():
                raise self.damaged(shard, RECORD, "is missing") from None
            return None
        except StoreError:
            raise self.damaged(shard, RECORD, "is no JSON that a store writes") from None
        if content != sealed(content):
            raise self.damaged(shard, RECORD)
        if content["settings"] != self.settings_sum:
            raise StoreError(
                f"{shard} of '{self.folder}' belongs to a store with other settings. Write to "
                "another folder, or remove this one."
            )
        for name, entry in content["files"].items():
            self.check_file(shard, name, entry, content=False)
        return content

    def kept(self, number: int, name: str) -> np.ndarray:
        """A file of a shard that may belong to an unfinished store, once it is known to be whole."""
        shard, record = shard_name(number), self.record(number)
        if record is None:
            raise self.damaged(shard, RECORD, "is missing")
        self.check_file(shard, name, record["files"][name], content=True)
        return np.load(self.folder / shard / name)

    def bytes_per_example(self) -> int:
        """What one example takes, all views, without its id; on average, where examples differ."""
        if self.ends and self.shards:
            total = sum(self._bytes(names) for names in self.files)
            return round(total / max(self.examples, 1))
        return self.views * sum(codec.bytes() for codec in self.codecs)

    def bytes_per_token(self) -> float | None:
        """What one position of a sequence takes, of all signals that have positions; padding that
        was left out counts as no position. `None` where no signal has positions."""
        sequences = [
            (names, codec)
            for names, codec in zip(self.files, self.codecs, strict=True)
            if len(codec.shape) == 2
        ]
        if not sequences or not self.shards:
            return None
        names, codec = sequences[0]
        positions = self.examples * self.views * codec.shape[0]
        for column, kind in codec.columns().items():
            if isinstance(kind, Rows) and kind.ends == "ends":
                positions = sum(shard["files"][names[column]]["rows"] for shard in self.shards)
                break
        return sum(self._bytes(names) for names, _ in sequences) / max(positions, 1)

    def _bytes(self, names: dict[str, str]) -> int:
        """What the columns of a signal take, without what stands before the numbers of a file."""
        header = 128
        files = [shard["files"][name] for shard in self.shards for name in names.values()]
        return sum(entry["bytes"] - header for entry in files)

    def check_file(self, shard: str, name: str, entry: dict[str, Any], content: bool) -> None:
        """Raises when a file is not there, or not as it was written."""
        path = self.folder / shard / name
        sums = entry["crc32"]
        try:
            size = path.stat().st_size
        except OSError:
            if shard and path.parent.exists():
                raise self.damaged(shard, name, "is missing") from None
            raise StoreError(
                f"{shard or 'index'} of the store '{self.folder}' is missing: no file "
                f"'{path}'. Write the store again (what is there is kept), or copy it once more."
            ) from None
        if size != entry["bytes"]:
            raise self.damaged(shard, name, f"has {size:,} bytes, expected {entry['bytes']:,}")
        if content and checksums(path) != sums:
            raise self.damaged(shard, name)

    def damaged(
        self, shard: str, name: str, what: str = "does not have the checksum it was written with"
    ) -> StoreError:
        """The error for a file that is not as it was written."""
        path = self.folder / shard / name
        return StoreError(
            f"{shard or 'index'} of the store '{self.folder}' is damaged: '{path}' {what}. Remove "
            f"'{self.folder / (shard or name)}' and write the store again: the other shards are "
            "kept."
        )


def to_go_on(folder: Path) -> Manifest:
    """The manifest of a store that is to be written on; raises when its format is an older one."""
    manifest = Manifest(folder, load(folder / MANIFEST))
    if manifest.content["format"] < FORMAT:
        raise StoreError(
            f"The store '{folder}' was written by an earlier version of keras_kd, in format "
            f"{manifest.content['format']}. It can be read as it is, and not written on. Write to "
            "another folder, or remove this one."
        )
    return manifest


def differences(wanted: dict[str, Any], found: dict[str, Any], prefix: str = "") -> list[str]:
    """The settings that differ, each with both values."""
    differing = []
    for key in sorted({*wanted, *found}):
        ours, theirs = wanted.get(key), found.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            differing += differences(ours, theirs, f"{prefix}{key}.")
        elif ours != theirs:
            differing.append(f"{prefix}{key} is {theirs!r} there and {ours!r} now")
    return differing
