"""The bytes of a file, wherever it is: the only code that asks for them.

A path of this machine is read with ``preadv``, see ``local``; any other URL is read through ``fsspec``.
"""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from imagenet_reader.sources.local import LocalFile
from imagenet_reader.sources.stamp import Stamp


class File(Protocol):
    """An open file that is read by position, by several threads at once.

    ``path`` is what it was opened by. All methods raise ``OSError`` that names the file.
    """

    path: str

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from byte ``offset`` on, fewer only at the end of the file."""

    def read_into(self, offset: int, *buffers: memoryview) -> int:
        """Fill buffers one after the other, from byte ``offset`` on; return how many bytes were read."""

    def stamp(self) -> Stamp:
        """The stamp of what is open."""

    def close(self) -> None:
        """Close it; files that nobody refers to any more are closed, too."""


@contextlib.contextmanager
def open_file(url: str) -> Iterator[File]:
    """Open a file for reading by position, and close it at the end of the context.

    Raises:
        OSError: it cannot be opened.
    """
    file = LocalFile(url)
    try:
        yield file
    finally:
        file.close()
