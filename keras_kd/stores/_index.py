"""The index: where in the store the outputs for each id are; and the end of writing."""

import os
import shutil

import numpy as np

from keras_kd._core.files import named
from keras_kd._examples._ids import shown
from keras_kd.stores._codecs import StoreError
from keras_kd.stores._manifest import (
    EXAMPLES,
    INDEX,
    MANIFEST,
    Manifest,
    Path,
    checksums,
    differences,
    examples_in,
    load,
    replace,
    sealed,
    to_go_on,
)
from keras_kd.stores._probe import check_probe


def finish(folder: Path) -> Manifest | None:
    """Once every shard is there: the index and the last form of the manifest."""
    manifest = to_go_on(folder)
    total = examples_in(folder)
    found = [manifest.record(n) for n in range(-(-total // manifest.shard_size))]
    shards = [record for record in found if record is not None]
    if len(shards) < len(found):
        return None
    if sum(shard["examples"] for shard in shards) != total:
        raise StoreError(
            f"The shards of '{folder}' hold {sum(s['examples'] for s in shards)} examples, "
            f"expected {total}: they were written for different data. Write to another folder."
        )
    if not _index_is_whole(manifest):
        _write_index(manifest, len(shards))
    index = {
        name: {"bytes": (folder / name).stat().st_size, "crc32": checksums(folder / name)}
        for name in INDEX
    }
    content = {
        **manifest.content, "complete": True, "examples": total, "shards": shards, "index": index
    }  # fmt: skip
    content = sealed(content)
    if content != manifest.content:
        replace(folder / MANIFEST, content)
    return Manifest(folder, content)


def _index_is_whole(manifest: Manifest) -> bool:
    """Whether there is an index, just as it was when the store was sealed."""
    try:
        for name in INDEX:
            manifest.check_file("", name, manifest.index[name], content=True)
    except (StoreError, KeyError):
        return False
    return True


def _write_index(manifest: Manifest, shards: int) -> None:
    folder = manifest.folder
    ids = np.concatenate([manifest.kept(number, "ids.npy") for number in range(shards)])
    rows = np.argsort(ids, kind="stable")
    ids = ids[rows]
    twice = ids[1:] == ids[:-1]
    if twice.any():
        raise StoreError(
            f"{int(twice.sum())} ids stand for more than one example, {shown(ids[twice.argmax()])} "
            "for one. An id must be an example's own."
        )
    for name, array in zip(INDEX, (ids, rows.astype("int64")), strict=True):
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        with open(temporary, "wb") as file:
            np.save(file, array)
        os.replace(temporary, folder / name)


def merge(paths: list[str | os.PathLike[str]], path: str | os.PathLike[str]) -> Manifest:
    """Puts together what several writers wrote to several folders.

    The result is, byte for byte, what one writer would have written. Shards are linked where the
    disk allows it, else copied; the folders given stay as they are.

    Args:
        paths: The folders, one for each `shard_index`.
        path: The folder of the whole store; it may be one of `paths`.

    Returns:
        The `Manifest` of the whole store.

    Raises:
        StoreError: If a folder holds a store with other settings, or shards are missing.
    """
    folder = named(path)
    folder.mkdir(parents=True, exist_ok=True)
    first: Manifest | None = None
    for source in map(Path, paths):
        try:
            manifest = to_go_on(source)
        except FileNotFoundError:
            raise StoreError(f"There is no store in '{source}': no {MANIFEST} is there.") from None
        first = first or manifest
        whose = f"'{source}' and '{first.folder}' are not parts of one store:"
        if differing := differences(manifest.settings, first.settings):
            raise StoreError(f"{whose} {'; '.join(differing[:3])}.")
        if manifest.probe is not None:
            check_probe(manifest.probe, first.probe, first.digest, f"{whose} the second")
        for shard in sorted(source.glob("shard-?????")):
            if (folder / shard.name).exists():
                continue
            aside = folder / f".{shard.name}.tmp"
            shutil.rmtree(aside, ignore_errors=True)
            shutil.copytree(shard, aside, copy_function=_link)
            os.rename(aside, folder / shard.name)
        if (source / EXAMPLES).exists() and not (folder / EXAMPLES).exists():
            replace(folder / EXAMPLES, load(source / EXAMPLES))
    if first is None:
        raise ValueError("`paths` must name at least one folder. Received: an empty list.")
    if not (folder / MANIFEST).exists():
        content = {k: first.content[k] for k in ("format", "settings", "probe")}
        replace(folder / MANIFEST, sealed({**content, "complete": False}))
    finished = finish(folder) if (folder / EXAMPLES).exists() else None
    if finished is None:
        whole = Manifest(folder, load(folder / MANIFEST))
        raise StoreError(f"The store '{folder}' is not finished: {whole.missing()}")
    return finished


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
