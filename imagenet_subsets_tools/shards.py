"""Writing one shard, on any host: atomic and repeatable.

A shard is written under a temporary name and renamed once it is on disk. So existing shards are complete, even if their
writer was killed, and several builds may write the same shard at once.
"""

import dataclasses
import errno
import functools
import hashlib
import inspect
import os
import re
import secrets
import socket
from pathlib import Path

import datasets
import numpy as np
import PIL
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import imagenet_subsets
from imagenet_reader.errors import ArchiveError
from imagenet_reader.reading.batches import read_batches
from imagenet_reader.sources.local import naming
from imagenet_subsets_tools.contents import FOLDERS, IMAGE_BYTES, SHARD_PATH, Contents, Part

_LAYOUT = "1"  # part of the mark of a finished shard; increased when shards are written differently
_MARK = b"imagenet_subsets.mark"  # in the metadata of a shard
_LONGEST_REASON = 1500  # characters of an error
# SHARD.HOST.PROCESS.RANDOM.unfinished; up to 1.1, SHARD.PROCESS.unfinished
_UNFINISHED = re.compile(
    rf"({SHARD_PATH.pattern}|README\.md)\.((?P<host>[\w-]+)\.)?(?P<process>\d+)(\.[0-9a-f]+)?\.unfinished"
)


class BuildError(OSError):
    """A shard could not be written. The message says which one, on which host, why, and what to do."""


@dataclasses.dataclass(frozen=True, eq=False)
class Shard:
    """A shard and its rows.

    Args:
        path: its path, relative to the output folder.
        config: a config that contains it; several may share it.
        split: the split of the config.
        part: the ``Part`` that it belongs to.
    """

    path: str
    config: str
    split: str
    part: Part

    @property
    def groups(self):
        """Its row groups, ``list[np.ndarray]``."""
        return self.part.shards[self.path]

    @property
    def image_bytes(self):
        """The bytes of its images in the archive, ``int``."""
        return sum(int(rows["size"].sum()) for rows in self.groups)

    @functools.cached_property
    def mark(self):
        """Fingerprint of the finished shard: SHA-256 (hex) of the features and the rows, by row group."""
        mark = hashlib.sha256(f"{_LAYOUT} {imagenet_subsets.ROWS_VERSION} ".encode())
        mark.update(self.part.features.arrow_schema.metadata[b"huggingface"])
        for group in self.groups:
            mark.update(repr(group[["name", "label", "size"]].tolist()).encode())
        return mark.hexdigest()

    def has_mark(self, output_dir):
        """Whether the shard exists, is complete and has its mark."""
        try:
            return pq.read_metadata(Path(output_dir, self.path)).metadata.get(_MARK) == self.mark.encode()
        except (OSError, pa.ArrowException):  # missing or incomplete
            return False

    def is_finished(self, output_dir):
        """Whether it also has the right images: its first and last row groups equal those of the archive now."""
        groups, reader, schema = self.groups, self.part.images.reader, self.part.features.arrow_schema
        if not self.has_mark(output_dir):
            return False
        try:
            with pq.ParquetFile(Path(output_dir, self.path)) as file:
                return all(
                    file.read_row_group(k).equals(next(_tables(reader, [groups[k]], schema)))
                    for k in {0, len(groups) - 1}
                )
        except (OSError, pa.ArrowException):
            return False


@dataclasses.dataclass(frozen=True)
class Task:
    """A shard to write, as sent to the process that writes it: without its rows, which that process computes.

    Attributes:
        contents: the contents of the folder.
        config, split, path, mark: those of the ``Shard``.
        output_dir: absolute path of the output folder.
        versions: the result of ``versions`` where the build was called.
    """

    contents: Contents
    config: str
    split: str
    path: str
    mark: str
    output_dir: str
    versions: dict


def write_shard(task, stop=None):
    """Write a shard unless it is finished.

    The process computes the rows itself from the archives at ``data_dir``, which must be those of the build.

    Args:
        task: the ``Task``.
        stop: ``processes.Stop``; once set, the shard is abandoned.

    Returns:
        ``int``, the bytes of its images.

    Raises:
        ArchiveError: an archive is not as expected, or differs from that of the build.
        BuildError: the shard could not be written.
    """
    try:
        shard = _planned_shard(task)
        if not shard.is_finished(task.output_dir):
            _write(shard, Path(task.output_dir, shard.path), stop)
    except Exception as error:
        kind = ArchiveError if isinstance(error, ArchiveError) else BuildError
        raise kind(failure(task, error)) from error
    return shard.image_bytes


def failure(task, error):
    """The message about a shard that could not be written."""
    reason = str(error) if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {error}"
    reason = " ".join(reason.split()).rstrip(".: ")[:_LONGEST_REASON]
    return (
        f"{task.output_dir}/{task.path} could not be written on host {socket.gethostname()}: {reason}. Finished shards "
        "are kept: fix the problem and run the build again."
    )


def versions():
    """The versions of the packages that determine the bytes of a shard, ``dict[str, str]``."""
    return {
        "imagenet-subsets": imagenet_subsets.VERSION,
        "datasets": datasets.__version__,
        "pyarrow": pa.__version__,
        "pillow": PIL.__version__,
    }


# ------------------------------------------------------------------------------------------ unfinished files


def unfinished(path):
    """A temporary name for a file, ``Path``, that no other process on any host uses."""
    return path.with_name(f"{path.name}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.unfinished")


def remove_leftovers(output_dir, finished=()):
    """Delete temporary files of builds.

    Args:
        output_dir: ``Path`` of the output folder.
        finished: folders whose shards are all finished. All temporary files in these folders are deleted: a process
            still writing one will use the finished shard. In other folders, only files whose writer on this host has
            exited are deleted; writers on other hosts cannot be checked.
    """
    for pattern in ("README.md.*", *(f"{folder}/*.parquet.*" for folder in FOLDERS)):
        for path in output_dir.glob(pattern):
            found = _UNFINISHED.fullmatch(path.relative_to(output_dir).as_posix())
            if found and (pattern.partition("/")[0] in finished or _writer_has_exited(found["host"], found["process"])):
                path.unlink(missing_ok=True)


def _host():
    return re.sub(r"[^\w-]", "-", socket.gethostname())


def _writer_has_exited(host, process):
    if host not in (_host(), None):
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        pass
    return False


# ------------------------------------------------------------------------------------------------- writing


def _planned_shard(task):
    """The ``Shard`` of a task, planned on this host; raise an error if it differs from that of the build."""
    if versions() != task.versions:
        raise BuildError(
            f"the packages here are {versions()}, those of the build {task.versions}: install the same versions"
        )
    data_dir = task.contents.data_dir
    try:
        part = task.contents.parts(task.config)[task.split]
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{error} Every host needs the same files at {data_dir}.") from error
    shard = Shard(task.path, task.config, task.split, part)
    if task.path not in part.shards or shard.mark != task.mark:
        raise ArchiveError(
            f"{data_dir} gives different rows here than where the build was called. Every host needs the same archives "
            "and lists at the same path."
        )
    return shard


def _tables(reader, groups, schema):
    """The rows of each row group as ``pa.Table``."""
    tables = (batch.table() for batch in read_batches(reader, np.concatenate(groups)))
    # Copies, because the next batch reuses the buffer.
    batches = (table.take(np.arange(len(table))) for table in tables)
    ahead = pa.table([pa.array([], column.type) for column in schema], schema)
    for rows in groups:
        while len(ahead) < len(rows):
            ahead = pa.concat_tables([ahead, next(batches).cast(schema)])
        yield ahead.slice(0, len(rows)).combine_chunks()
        ahead = ahead.slice(len(rows))


def _write(shard, path, stop):
    path.parent.mkdir(parents=True, exist_ok=True)
    written = unfinished(path)
    try:
        with naming(str(path), "writing"):
            _write_file(shard, written, stop)
        written.replace(path)
    except OSError:
        # Another build that finished the shard may have deleted this temporary file; on NFS, writing then fails.
        if not shard.is_finished(path.parent.parent):
            raise
    finally:
        written.unlink(missing_ok=True)


def _write_file(shard, path, stop):
    # Arrow's own file: an interrupt inside a Python file that Arrow writes to would abort the process.
    schema, image_bytes = shard.part.features.arrow_schema, 0
    with pa.OSFile(str(path), "wb") as file, pq.ParquetWriter(file, schema, **_writer_options()) as writer:
        for table in _tables(shard.part.images.reader, shard.groups, schema):
            if stop is not None and stop.is_set():
                raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
            writer.write_table(table)
            image_bytes += pc.sum(pc.binary_length(pc.struct_field(table["image"], "bytes"))).as_py()
        writer.add_key_value_metadata({_MARK: shard.mark, IMAGE_BYTES: str(image_bytes)})
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)  # the content must reach the disk before the name
    finally:
        os.close(fd)


def _writer_options():
    columns = dict.fromkeys(("image.path", "label", "file_name"), "zstd")
    options = {
        "compression": {**columns, "image.bytes": "none"},  # JPEGs do not shrink
        "use_dictionary": ["label"],
        "write_statistics": list(columns),
        "write_page_index": True,
    }
    if "use_content_defined_chunking" in inspect.signature(pq.ParquetWriter).parameters:  # pyarrow 21
        options["use_content_defined_chunking"] = True
    return options
