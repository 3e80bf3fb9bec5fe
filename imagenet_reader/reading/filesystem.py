"""The read-only file system of ``fsspec`` for images in place, whose paths are those of ``places``.

    >>> import fsspec
    >>> path = dataset.cast_column("image", datasets.Image(decode=False))[0]["image"]["path"]
    >>> with fsspec.open(path) as file:
    ...     image = PIL.Image.open(file)

Where this package is installed, the entry point ``fsspec.specs`` makes the scheme known to every process.
"""

import concurrent.futures
import functools
import io
import os
import time

from fsspec import AbstractFileSystem

from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import naming, stamp
from imagenet_reader.layouts.folder import read_file
from imagenet_reader.layouts.kaggle_zip import read_zip_member
from imagenet_reader.layouts.tar_archive import read_member
from imagenet_reader.reading import addresses
from imagenet_reader.reading.batches import THREADS, is_damage, reason
from imagenet_reader.reading.pixels import as_benchmark

SLOW = 0.001  # seconds to read an image: below, threads would only wait for each other
OPEN_ARCHIVES = 8  # a process keeps at most; a config reads from three
READ = {"tar": read_member, "zip": read_zip_member, "file": read_file}


class ImagenetFileSystem(AbstractFileSystem):
    """Images in archives as files. It can't list: its paths are in the rows of a dataset.

    Raises, when it reads:
        FileNotFoundError: the archive is not there any more.
        ArchiveError: it was replaced or changed since the dataset was made, or the image is damaged.
        ValueError: this is no path of ``places``.
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
        return _ImageFile(read_image(path))

    def cat_file(self, path, start=None, end=None, **options):
        return read_image(path)[start:end]

    def cat(self, path, recursive=False, on_error="raise", **options):
        """As in ``fsspec``: the bytes of one image, or ``{path: bytes}`` of several.

        As soon as the storage keeps it waiting for one of several, it reads the rest by threads.
        """
        if isinstance(path, str):
            return self.cat_file(path)
        read, images = functools.partial(_read_or_error, on_error), {}
        for k, name in enumerate(path, start=1):
            started = time.perf_counter()
            images[name] = read(name)
            if time.perf_counter() - started > SLOW:
                with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
                    images |= zip(path[k:], pool.map(read, path[k:]))
                break
        return {name: image for name, image in images.items() if image is not None}

    def info(self, path, **options):
        path = self._strip_protocol(path)
        return {"name": path, "size": len(read_image(path)), "type": "file"}

    def ls(self, path, detail=True, **options):
        info = self.info(path)
        return [info] if detail else [info["name"]]

    def modified(self, path):
        return addresses.parse(path).stamp[1] / 1e9


class _ImageFile(io.BytesIO):
    """An image in memory. Unlike those of ``BytesIO``, its methods can be replaced, as ``datasets`` does."""

    @property
    def size(self):
        """Bytes, as files of ``fsspec`` have it."""
        return len(self.getbuffer())


def _read_or_error(on_error, path):
    try:
        return read_image(path)
    except (OSError, ValueError) as error:
        if on_error == "raise":
            raise
        return error if on_error == "return" else None


class _OpenFile:
    """A file descriptor, closed when nobody uses it any more: other threads may still read what is dropped here."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)

    def __del__(self, close=os.close):  # at the end of the process, the name os is gone
        if hasattr(self, "fd"):
            close(self.fd)


@functools.lru_cache(OPEN_ARCHIVES)
def _open_archive(path, inode):
    """The open archive; with the number of its inode, so that another file of this name is opened, too."""
    return _OpenFile(path)


def read_image(path):
    """The bytes of an image, ``bytes``; raises as ``ImagenetFileSystem``.

    Safe to call from several threads and after a fork: nothing depends on the position in an open file.
    """
    place = addresses.parse(path)
    image = bytearray(place.size)
    with naming(place.file, "reading"):
        _fill(place, image)
    try:
        benchmark = as_benchmark(image)
    except Exception as error:  # Pillow's errors have no common base
        raise _damage_error(place, error) if is_damage(error) else error from error
    return bytes(benchmark if place.pixels == "benchmark" else image)


def _fill(place, image):
    try:
        status = os.stat(place.file)
    except FileNotFoundError:
        advice = "This dataset reads its images in place. Put the file back where it was, or load the dataset again."
        raise FileNotFoundError(f"{place.file} is not there any more. {advice}") from None
    if stamp(status) == place.stamp:
        opened = _OpenFile(place.file) if place.kind == "file" else _open_archive(place.file, status.st_ino)
        try:
            READ[place.kind](opened.fd, place.file, place, image)
        except Exception as error:
            if is_damage(error):
                raise _damage_error(place, error) from error
            raise
        if stamp(os.fstat(opened.fd)) == place.stamp:
            return
    raise ArchiveError(
        f"{place.file} was changed since the dataset was made, which reads its images in place. "
        "Load the dataset again once the file is whole."
    )


def _damage_error(place, error):
    return ArchiveError(f"{place} is damaged ({reason(error)}). Download the archive again.")
