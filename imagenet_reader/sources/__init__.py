"""The bytes of a file, wherever it is: the only code that asks for them.

A path of this machine is read with ``preadv``, see ``local``; any other URL is read through ``fsspec``.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from imagenet_reader.sources.local import LocalFile
from imagenet_reader.sources.stamp import Stamp
from imagenet_reader.sources.urls import is_url


class File(Protocol):
    """An open file that is read by position, by several threads at once.

    ``path`` is what it was opened by. All methods raise ``OSError`` that names the file.
    """

    path: str

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from byte ``offset`` on, fewer only at the end of the file."""

    def read_into(self, offset: int, *buffers: memoryview) -> int:
        """Fill buffers one after the other, from byte ``offset`` on; return how many bytes were read."""

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges ``(offset, size)``, in their order; remote ones are fetched at once."""

    def stamp(self) -> Stamp:
        """The stamp of what is open."""

    def close(self) -> None:
        """Close it; files that nobody refers to any more are closed, too."""


@contextlib.contextmanager
def open_file(url: str) -> Iterator[File]:
    """Open a file, at a path or URL, for reading by position, and close it at the end of the context.

    Raises:
        OSError: it cannot be opened.
        ImportError: the package that ``fsspec`` needs for this URL is missing.
    """
    file = _remote(url) if is_url(url) else LocalFile(url)
    try:
        yield file
    finally:
        file.close()


def _remote(url: str) -> File:
    from imagenet_reader.sources.remote import RemoteFile  # local files do not need fsspec

    return RemoteFile(url)
