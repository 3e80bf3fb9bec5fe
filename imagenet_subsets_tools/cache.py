"""List and remove what this project has cached: built datasets, indexes, and the extracted images of a tar.gz."""

import contextlib
import dataclasses
import datetime
import hashlib
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import filelock

from imagenet_reader.hf.builder import RECORD, read_record
from imagenet_reader.index.kept import index_folder, index_path, indexed_archive
from imagenet_reader.layouts.extracted import origin_of
from imagenet_reader.text import format_bytes, shorten
from imagenet_subsets_tools.check import text_table

# An index, the images of a tar.gz, or an unfinished one; its lock is named by the first digest and the suffix.
_FILE = re.compile(r"([0-9a-f]{16})(-[0-9a-f]{16}){0,2}(\.index|\.tar)(\.tmp)?")


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    name: str  # the config, "index", "images" or "unfinished", and a digest of the path
    path: Path  # the folder of a dataset, or a file
    archives: list[str]  # paths of the archives or folders that it was made from; empty if unknown
    options: dict[str, Any]  # of a dataset, those that differ from their defaults
    used: float  # the last use, or the creation if uses are not recorded, in seconds since 1970
    lock: Path  # what a process holds while writing it
    beside: list[Path]  # files to remove with it, such as locks; some may not exist

    @property
    def size(self) -> int:
        """Bytes on disk, including what ``datasets`` has added to the folder, such as results of ``map``."""
        files = [*(self.path.rglob("*") if self.path.is_dir() else [self.path]), *self.beside]
        return sum(file.stat().st_size for file in files if file.is_file())


def list_cache(cache_dir: str | os.PathLike[str] | None = None) -> list[Entry]:
    """List the cache entries, ``list[Entry]``: datasets first, then other files, each most recently used first.

    Args:
        cache_dir: that of ``load_dataset``; by default the cache of ``datasets``.

    Example:

        >>> [entry.name for entry in list_cache()]
        ['1pct-1f6a2c9d', 'index-77c0e3ab']
    """
    root = Path(cache_dir or datasets.config.HF_DATASETS_CACHE).expanduser().absolute()
    # One folder level each for dataset name, config, version and, usually, builder.
    folders = {path.parent for pattern in ("*/*/*/*.json", "*/*/*/*/*.json") for path in root.glob(pattern)}
    entries = [entry for folder in folders if (entry := _dataset(root, folder)) is not None]
    files = [path for path in Path(index_folder()).glob("*") if _FILE.fullmatch(path.name)]
    of_tars = {Path(index_path(path)).name for path in files if path.suffix == ".tar"}
    entries += [_file(path) for path in files if path.name not in of_tars]
    return sorted(entries, key=lambda entry: (entry.path.is_file(), -entry.used))


def _dataset(root: Path, folder: Path) -> Entry | None:
    """The entry of a dataset that we built, or were building when the process was killed; ``None`` for others."""
    record = read_record(folder)
    if record is None:
        return None
    finished = folder.with_name(folder.name.removesuffix(".incomplete"))
    kind = record["config"] if folder == finished else "unfinished"
    lock = Path(f"{finished}_builder.lock")
    beside = [lock, Path(f"{finished}.incomplete_info.lock"), root / f"{finished.as_posix().replace('/', '_')}.lock"]
    used = (folder / RECORD).stat().st_mtime
    return Entry(_name(kind, folder), folder, record["archives"], record["options"], used, lock, beside)


def _file(file: Path) -> Entry:
    """The entry of an index, of the images of a tar.gz, or of an unfinished one of these."""
    kind, archive, index = "index", None, file
    with contextlib.suppress(OSError, tarfile.TarError):
        if file.suffix == ".tmp":
            kind = "unfinished"
        elif file.suffix == ".tar":
            kind, index = "images", Path(index_path(file))
            archive = origin_of(file)
        else:
            archive = indexed_archive(file)
    used = max(path.stat().st_mtime for path in (file, index) if path.exists())
    lock = file.with_name(_FILE.sub(r"\1\3.lock", file.name))
    beside = [lock] if index == file else [index, index.with_name(f"{index.name}.lock"), lock]
    return Entry(_name(kind, file), file, [archive] if archive else [], {}, used, lock, beside)


def _name(kind: str, path: Path) -> str:
    return f"{kind}-{hashlib.sha256(str(path).encode(errors='surrogateescape')).hexdigest()[:8]}"


def format_entries(entries: list[Entry]) -> str:
    """One line per entry, and their total size."""
    if not entries:
        return "The caches hold no dataset, index or image of imagenet-subsets."
    rows = [("name", "options", "size", "last used", "from")]
    for entry in entries:
        options = ", ".join(f"{name}={value!r}" for name, value in entry.options.items()) or "-"
        used = format_bytes(entry.size), str(datetime.date.fromtimestamp(entry.used))
        rows.append((entry.name, options, *used, " ".join(entry.archives) or "?"))
    total = format_bytes(sum(entry.size for entry in entries))
    advice = f"{total} in total. To remove some: imagenet-subsets cache --remove NAME ..."
    return "\n".join([*text_table("<<><<", rows), "", advice])


def remove(entries: list[Entry], names: list[str]) -> Iterator[str]:
    """Remove entries with their locks; they are rebuilt on demand.

    Args:
        entries: what ``list_cache`` returns.
        names: the names of the entries to remove.

    Yields:
        ``str``, one line per removed entry.

    Raises:
        ValueError: no entry has one of these names; then nothing is removed.
        BlockingIOError: a process is writing one of the entries.

    Example:

        >>> list(remove(list_cache(), ["1pct-1f6a2c9d"]))
        ['1pct-1f6a2c9d: removed, 8.2 GB']
    """
    by_name = {entry.name: entry for entry in entries}
    if unknown := [name for name in names if name not in by_name]:
        raise ValueError(f"There is no entry {shorten(unknown)}. The entries: {shorten(list(by_name)) or 'none'}.")
    for entry in dict.fromkeys(by_name[name] for name in names):
        size = format_bytes(entry.size)
        try:
            with filelock.FileLock(entry.lock, timeout=0):
                if entry.path.is_dir():
                    shutil.rmtree(entry.path)
                for path in (entry.path, *entry.beside):
                    path.unlink(missing_ok=True)
        except filelock.Timeout:
            raise BlockingIOError(f"{entry.name} is being written by another process: {entry.path}") from None
        yield f"{entry.name}: removed, {size}"
