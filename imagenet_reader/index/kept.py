"""The cached index of an archive: the members that a walk found, so that no archive is walked twice.

One folder per user, one file per archive path, overwritten when the archive changes. A file begins with the SHA-256 of
the rest, a Parquet file whose metadata has the identity of the archive.
"""

import contextlib
import hashlib
import io
import os

import filelock
import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq

from imagenet_reader.files import note_use
from imagenet_reader.hf.log import logger, warn
from imagenet_reader.lists import read_table
from imagenet_reader.sources import open_file
from imagenet_reader.sources.local import naming
from imagenet_reader.sources.urls import is_url

INDEX_VERSION = "1"  # part of every identity: raised when indexes change
SAMPLES = 16  # of an archive's bytes, which are part of its identity
SAMPLE_BYTES = 4096
ROW_GROUP = 1 << 17


def archive_identity(path):
    """The identity of an archive: SHA-256 (hex) over size, modification time and 16 samples of 4 KiB."""
    with open_file(path) as file:
        size, version = file.stamp()
        digest = hashlib.sha256(f"{INDEX_VERSION} {size} {version}".encode())
        for sample in file.read_many(samples(size)):
            digest.update(sample)
    return digest.hexdigest()


def samples(size):
    """The ranges (offset, size) of the samples of a file's bytes, at even distances."""
    last = max(0, size - SAMPLE_BYTES)
    return [(last * k // (SAMPLES - 1), SAMPLE_BYTES) for k in range(SAMPLES)]


def index_folder():
    """The folder below ``HF_HOME`` for indexes and extracted images, ``str``."""
    return os.path.join(huggingface_hub.constants.HF_HOME, "imagenet_subsets")


def index_path(path):
    """The path of the index of an archive, ``str``: below ``HF_HOME``, by the archive's URL or path without links."""
    name = hashlib.sha256(os.fsencode(real_path(path))).hexdigest()[:16]
    return os.path.join(index_folder(), f"{name}.index")


def real_path(path):
    """A path without links, or a URL, which stays as it is."""
    return path if isinstance(path, str) and is_url(path) else os.path.realpath(path)


def is_indexed(path, identity):
    """Whether the index of the archive at ``path`` is cached."""
    try:
        metadata = _metadata(index_path(path))
    except OSError:  # there is none, or it cannot be read
        return False
    return metadata is not None and metadata[b"identity"] == identity.encode()


def kept_index(path, identity, find):
    """The cached index of the archive at ``path``, ``pa.Table``; if there is none, ``find()`` makes it.

    Where it cannot be cached, a warning says so, and the next load makes it again.

    Args:
        path: the archive, or a folder of archives.
        identity: distinguishes it from others that were at this path.
        find: returns the table of its members.
    """
    file = index_path(path)
    table = _load(file, identity)
    if table is not None:
        logger.info("Index of %s: taken from %s", path, file)
        note_use(file)
        return table
    with contextlib.ExitStack() as locked:
        try:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            locked.enter_context(filelock.FileLock(file + ".lock"))  # one process walks, the others wait for it
        except OSError as error:
            _warn_not_kept(error)
            return find()
        table = _load(file, identity)
        if table is None:
            origin = {"identity": identity, "archive": os.fsencode(real_path(path))}
            table = find().replace_schema_metadata(origin)
            logger.info("Index of %s: made, %d images", path, len(table))
            try:
                write_index_file(table, file)
            except OSError as error:
                _warn_not_kept(error)
    return table


def _warn_not_kept(error):
    # The same words for every archive: Python then shows them once.
    warn(
        f"The indexes of archives cannot be kept in {index_folder()} ({error.strerror or error}), so that each load "
        "walks through the archives again. Set HF_HOME to a folder that can be written."
    )


def indexed_archive(file):
    """The path of the archive whose index is kept in a file, ``str``; ``None`` if the file is damaged or does not say.

    Raises:
        OSError: the file cannot be read.
    """
    archive = (_metadata(file) or {}).get(b"archive")
    return archive and os.fsdecode(archive)


def _load(file, identity):
    try:
        table = _read(file)
    except OSError:  # there is none, or it cannot be read
        return None
    return table if table is not None and table.schema.metadata[b"identity"] == identity.encode() else None


def _metadata(file):
    """The metadata of a cached index, whose members are not decoded; ``None`` if the file is damaged."""
    with open(file, "rb") as stream:
        content = _undamaged(stream.read())
    return None if content is None else pq.read_schema(pa.BufferReader(content)).metadata


def _read(file):
    """The table in a cached index; ``None`` if the file is damaged."""
    with open(file, "rb") as stream:
        return read_index_file(stream.read())


def read_index_file(content):
    """The table in the content of an index file; ``None`` if it is damaged."""
    parquet = _undamaged(content)
    return None if parquet is None else read_table(pa.BufferReader(parquet))


def _undamaged(content):
    """The Parquet file in the content of an index file; ``None`` if it is damaged."""
    digest, rest = content[:32], memoryview(content)[32:]
    return rest if hashlib.sha256(rest).digest() == digest else None


def write_index_file(table, file):
    """Write a table of members, with its metadata, to a file, which then is complete or as it was.

    Raises:
        OSError: it cannot be written.
    """
    encodings = dict.fromkeys(table.column_names, "DELTA_BINARY_PACKED") | {"name": "DELTA_BYTE_ARRAY"}
    content = io.BytesIO()
    options = {"compression": "zstd", "use_dictionary": False, "column_encoding": encodings}
    pq.write_table(table, content, row_group_size=ROW_GROUP, **options)
    try:
        with naming(file, "writing the index"), open(file + ".tmp", "wb") as stream:
            stream.write(hashlib.sha256(content.getvalue()).digest() + content.getvalue())
        os.replace(file + ".tmp", file)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file + ".tmp")
