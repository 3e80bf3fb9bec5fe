"""The read-only ``fsspec`` file system of in-place images, whose paths are those of ``addresses``.

    >>> import fsspec
    >>> path = dataset.cast_column("image", datasets.Image(decode=False))[0]["image"]["path"]
    >>> with fsspec.open(path) as file:
    ...     image = PIL.Image.open(file)

Where this package is installed, the entry point ``fsspec.specs`` registers the scheme in every process.
"""

import concurrent.futures
import functools
import io
import os
import sys
import time

from fsspec import AbstractFileSystem

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats import format_of
from imagenet_reader.formats.base import Format, Where
from imagenet_reader.reading import addresses
from imagenet_reader.reading.batches import THREADS
from imagenet_reader.reading.checked import read_checked
from imagenet_reader.reading.remote import fetch
from imagenet_reader.sources import File
from imagenet_reader.sources.local import LocalFile, stamp_of_status
from imagenet_reader.sources.pool import FilePool
from imagenet_reader.sources.urls import is_url

SLOW = 0.001  # seconds per image; if reads are faster, threads only wait for each other
FETCHED = 256  # remote images at once
OPEN_ARCHIVES = 8  # at most, per process; a config reads from three


class ImagenetFileSystem(AbstractFileSystem):
    """Images in archives as files. It cannot list them: their paths are in the rows of a dataset.

    Raises, when it reads:
        FileNotFoundError: the archive no longer exists.
        ArchiveError: it was replaced or changed since the dataset was made, or the image is damaged.
        ValueError: this is no path of ``addresses``.
    """

    protocol = addresses.SCHEME

    @classmethod
    def _strip_protocol(cls, path):
        if isinstance(path, list):
            return [cls._strip_protocol(part) for part in path]
        return os.fspath(path).removeprefix(addresses.PREFIX)

    def unstrip_protocol(self, name):
        return addresses.PREFIX + self._strip_protocol(name)

    def _open(self, path, mode="rb", **options):
        if mode != "rb":
            raise OSError(f"{path} can only be read: archives stay as they are.")
        if addresses.is_remote(path) and "datasets" in sys.modules:
            from imagenet_reader.hf.decoding import fetch_batches_at_once

            fetch_batches_at_once()  # from the next batch on
        return _ImageFile(read_image(path))

    def cat_file(self, path, start=None, end=None, **options):
        return read_image(path)[start:end]

    def cat(self, path, recursive=False, on_error="raise", **options):
        """As in ``fsspec``: the bytes of one image, or ``{path: bytes}`` of several.

        After the first slow read, the rest use a thread pool.
        """
        if isinstance(path, str):
            return self.cat_file(path)
        read = functools.partial(_read_or_error, on_error)
        remote = [name for name in path if addresses.is_remote(name)]
        local = [name for name in path if not addresses.is_remote(name)]
        images = _read_remote(remote, read, on_error) | _read_local(local, read)
        return {name: images[name] for name in path if images[name] is not None}

    def info(self, path, **options):
        path = self._strip_protocol(path)
        address = addresses.parse(path)
        size = address.where.size if address.pixels == "archive" else len(read_image(path))
        return {"name": path, "size": size, "type": "file"}

    def ls(self, path, detail=True, **options):
        info = self.info(path)
        return [info] if detail else [info["name"]]

    def modified(self, path):
        version = addresses.parse(path).where.stamp.version
        if isinstance(version, str):
            raise NotImplementedError("a remote file has an ETag instead of a time")
        return version / 1e9


class _ImageFile(io.BytesIO):
    """An image in memory. Unlike those of ``BytesIO``, its methods can be replaced, as ``datasets`` does."""

    @property
    def size(self):
        """Bytes, as files of ``fsspec`` have it."""
        return len(self.getbuffer())


def _read_local(paths, read):
    images = {}
    for k, path in enumerate(paths, start=1):
        started = time.perf_counter()
        images[path] = read(path)
        if time.perf_counter() - started > SLOW:
            with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
                images |= zip(paths[k:], pool.map(read, paths[k:]))
            break
    return images


def _read_remote(paths, read, on_error):
    images = {}
    for start in range(0, len(paths), FETCHED):
        some = paths[start : start + FETCHED]
        places = [(format_of(address.format), address.where) for address in map(addresses.parse, some)]
        try:
            files = fetch(places)
        except OSError:
            if on_error == "raise":
                raise
            files = [None] * len(some)  # each by itself
        images |= zip(some, map(read, some, files))
    return images


def _read_or_error(on_error, path, file=None):
    try:
        return read_image(path, file)
    except (OSError, ValueError) as error:
        if on_error == "raise":
            raise
        return error if on_error == "return" else None


_FILES = FilePool(OPEN_ARCHIVES)


def read_image(path: str, file: File | None = None) -> bytes:
    """The bytes of an image, read from its file, or from ``file``, which holds it; raises as ``ImagenetFileSystem``.

    Safe to call from several threads and after a fork: no read depends on a file position.
    """
    address = addresses.parse(path)
    where, image_format = address.where, format_of(address.format)
    buffer = memoryview(bytearray(where.size))
    if file is None:
        file = fetch([(image_format, where)])[0] if is_url(where.file) else _open_unchanged(where, image_format)
    image = read_checked(image_format, file, where, buffer)
    return bytes(image if address.pixels == "benchmark" else buffer)


def _open_unchanged(where: Where, image_format: Format) -> LocalFile:
    """The open file of an image; an error if it is not the one that was indexed."""
    try:
        status = os.stat(where.file)
    except FileNotFoundError:
        advice = "This dataset reads its images in place. Put the file back where it was, or load the dataset again."
        raise FileNotFoundError(f"{where.file} no longer exists. {advice}") from None
    if stamp_of_status(status) != where.stamp:
        raise ArchiveError(
            f"{where.file} has changed since this in-place dataset was built. "
            "Load the dataset again once the file is complete."
        )
    # The inode is part of the key, so that another file of this name is opened, too.
    return _FILES.get(where.file, status.st_ino) if image_format.shared else LocalFile(where.file)
