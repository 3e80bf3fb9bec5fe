"""The cached indexes: one folder per user, one file per archive path, overwritten when the archive changes.

A file begins with the SHA-256 of the rest, a Parquet file whose metadata has the identity of the archive. An index that
is kept beside remote files (``imagenet-subsets index ARCHIVE --output FILE``) says of which ones: their names and
sizes, and the SHA-256 of samples of their bytes.
"""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import filelock
import huggingface_hub
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imagenet_reader.facts import ArchiveError
from imagenet_reader.files import note_use, write_atomically
from imagenet_reader.io import open_file, stamps_of
from imagenet_reader.io.paths import is_url
from imagenet_reader.io.remote import ABSENT
from imagenet_reader.lists import read_table
from imagenet_reader.log import logger, warn

SUFFIX = ".index"
_OF = b"files"
INDEX_VERSION = "1"  # part of every identity: raised when indexes change
ROW_GROUP = 1 << 17
# The column of an index of extracted images that says which to look up again: SOUND, or the sum of modification time
# and size that an image had when it was doubted.
DOUBTED, SOUND = "doubted", -1


def archive_identity(path: str) -> str:
    """The identity of an archive: SHA-256 (hex) over size, modification time and 16 samples of 4 KiB."""
    with open_file(path) as file:
        size, version = file.stamp()
        return hashlib.sha256(f"{INDEX_VERSION} {size} {version}".encode() + file.samples(size)).hexdigest()


def index_folder() -> str:
    """The folder below ``HF_HOME`` for indexes and extracted images."""
    return os.path.join(huggingface_hub.constants.HF_HOME, "imagenet_subsets")


def index_path(path: str | os.PathLike[str]) -> str:
    """The path of the index of an archive: below ``HF_HOME``, by the archive's URL or path without links."""
    name = hashlib.sha256(os.fsencode(real_path(path))).hexdigest()[:16]
    return os.path.join(index_folder(), f"{name}.index")


def real_path(path: str | os.PathLike[str]) -> str:
    """A path without links, or a URL, which stays as it is."""
    return path if isinstance(path, str) and is_url(path) else os.path.realpath(path)


def load_index(path: str, identity: str) -> pa.Table | None:
    """The cached index of what is at ``path``; ``None`` if there is none of this identity, or it cannot be read."""
    file = index_path(path)
    table = _read_cached(file)
    if table is None or (table.schema.metadata or {}).get(b"identity") != identity.encode():
        return None
    logger.info("Index of %s: taken from %s", path, file)
    note_use(file)
    return table


def kept_index(path: str, identity: str, find: Callable[[], pa.Table]) -> pa.Table:
    """The cached index of what is at ``path``; if there is none, ``find()`` makes it."""
    table = load_index(path, identity)
    if table is None:
        with locked_index(path):
            table = load_index(path, identity)
            if table is None:
                table = store_index(path, identity, find())
    return table


@contextlib.contextmanager
def locked_index(path: str) -> Iterator[None]:
    """Context in which no other process makes the index of what is at ``path``: the others wait for it."""
    with contextlib.ExitStack() as locked:
        with _warning_if_not_kept():
            locked.enter_context(acquire_lock(f"{index_path(path)}.lock"))
        yield


def acquire_lock(path: str) -> contextlib.AbstractContextManager[Any]:
    """Wait for a lock, which the returned context holds; on a disk without locks, warn and go on without it."""
    os.makedirs(index_folder(), exist_ok=True)
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # some versions of filelock would try for ever
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                warn(f"{index_folder()} is on a disk without locks ({error.strerror}): start one load at a time.")
                return contextlib.nullcontext()
    return filelock.FileLock(path).acquire()


def store_index(path: str, identity: str, table: pa.Table) -> pa.Table:
    """Cache the index of what is at ``path``, or warn that this is impossible; return it as it is cached."""
    logger.info("Index of %s: made, %d images", path, len(table))
    table = table.replace_schema_metadata({"identity": identity, "archive": os.fsencode(real_path(path))})
    with _warning_if_not_kept():
        write_index_file(table, index_path(path))
    return table


@contextlib.contextmanager
def _warning_if_not_kept() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # The same words for every archive: Python then shows them once.
        warn(
            f"The indexes of archives cannot be kept in {index_folder()} ({error.strerror or error}), so that each "
            "load walks through the archives again. Set HF_HOME to a folder that can be written."
        )


def doubt(folder: str, names: Collection[bytes]) -> None:
    """Have loads look up these extracted images of a folder, which are damaged or have changed: folders hide this."""
    file = index_path(folder)
    if not folder or not os.path.exists(file):
        return
    with contextlib.suppress(OSError, KeyError), locked_index(folder):
        table = _read_cached(file)
        if table is not None:
            named = pc.is_in(table["name"], value_set=pa.array(names, pa.binary()))
            damaged = pc.and_(named, pc.equal(table[DOUBTED], SOUND))
            doubted = pc.if_else(damaged, pc.add(table["changed"], table["size"]), table[DOUBTED])
            column = table.schema.get_field_index(DOUBTED)
            write_index_file(table.set_column(column, DOUBTED, doubted), file)


def indexed_archive(file: str | os.PathLike[str]) -> str | None:
    """The path of the archive whose index is kept in a file; ``None`` if the file is damaged or does not say."""
    table = _read_cached(file)
    metadata = {} if table is None else table.schema.metadata or {}
    return os.fsdecode(metadata[b"archive"]) if b"archive" in metadata else None


def read_index_file(content: bytes) -> pa.Table | None:
    """The table in the content of an index file; ``None`` if it is damaged."""
    digest, parquet = content[:32], memoryview(content)[32:]
    return read_table(pa.BufferReader(parquet)) if hashlib.sha256(parquet).digest() == digest else None


def _read_cached(file: str | os.PathLike[str]) -> pa.Table | None:
    with contextlib.suppress(OSError), open(file, "rb") as stream:
        return read_index_file(stream.read())
    return None


def write_index_file(table: pa.Table, file: str) -> None:
    """Write a table of members, with its metadata, to a file, which then is complete or as it was."""
    encodings = dict.fromkeys(table.column_names, "DELTA_BINARY_PACKED") | {"name": "DELTA_BYTE_ARRAY"}
    options = {"compression": "zstd", "use_dictionary": False, "column_encoding": encodings}
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=ROW_GROUP, **options)
    with write_atomically(file) as written, open(written, "wb") as stream:
        stream.write(hashlib.sha256(content.getvalue()).digest() + content.getvalue())


# ---------------------------------------------------------------------- beside remote files


def write_beside(table: pa.Table, files: Sequence[str], output: str | os.PathLike[str]) -> None:
    """Write the index of some files to ``output``."""
    write_index_file(table.replace_schema_metadata({_OF: json.dumps(_described(files))}), os.fspath(output))


def read_beside(url: str, files: Sequence[str]) -> pa.Table | None:
    """The index of some files that is kept at ``url``; ``None`` if there is no such file."""
    try:
        with open_file(url) as file:
            content = file.read(0, file.stamp().size)
    except ABSENT:
        return None
    table = read_index_file(content)
    cure = f"Write it again (imagenet-subsets index ... --output {url.rpartition('/')[2]}), or remove it."
    if table is None or _OF not in (table.schema.metadata or {}):
        raise ArchiveError(f"{url} is damaged, or not an index that imagenet-subsets has written. {cure}")
    expected, found = _described(files), json.loads(table.schema.metadata[_OF])
    if found["sizes"] != expected["sizes"]:
        names = sorted(dict(set(map(tuple, found["sizes"])) ^ set(map(tuple, expected["sizes"]))))
        raise ArchiveError(
            f"{url} is the index of files with other names or sizes, such as {names[0]}: it is of "
            f"{len(found['sizes']):,} files, and there are {len(files):,}. {cure}"
        )
    if found != expected:
        raise ArchiveError(f"{url} is the index of files with other content than {files[0]}. {cure}")
    return table.replace_schema_metadata()


def _described(files: Sequence[str]) -> dict[str, Any]:
    """The names and sizes of files, and the SHA-256 of samples of the first and the last of them, ready for JSON."""
    digest, sizes = hashlib.sha256(), [stamp.size for stamp in stamps_of(files)]
    for path, size in {files[0]: sizes[0], files[-1]: sizes[-1]}.items():
        with open_file(path) as file:
            digest.update(file.samples(size))
    names = map(os.path.basename, files)
    return {"sizes": [[name, size] for name, size in zip(names, sizes)], "samples": digest.hexdigest()}
