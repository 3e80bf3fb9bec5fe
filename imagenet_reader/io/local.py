"""Files that are read by position, and those of this machine."""

import functools
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from imagenet_reader.files import naming

SAMPLES, SAMPLE_BYTES = 16, 4096


class Stamp(NamedTuple):
    """What changes when a file is replaced."""

    size: int  # in bytes
    version: int | str  # its modification time in ns; of a remote one, its ETag


class File(ABC):
    """An open file, read by position, by several threads at once; all methods raise ``OSError`` that names it."""

    path: str  # by which it was opened, or a URL

    @abstractmethod
    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from byte ``offset`` on, fewer only at the end of the file."""

    @abstractmethod
    def stamp(self) -> Stamp:
        """The stamp of what is open."""

    def read_into(self, offset: int, *buffers: memoryview) -> int:
        """Fill buffers one after the other, from byte ``offset`` on; return how many bytes were read."""
        stream = io.BytesIO(self.read(offset, sum(map(len, buffers))))
        return sum(stream.readinto(buffer) for buffer in buffers)

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges ``(offset, size)``, in their order; remote ones are fetched at once."""
        return [self.read(offset, size) for offset, size in ranges]

    def samples(self, size: int) -> bytes:
        """Samples of a file of ``size`` bytes, at even distances, that tell whether it is another one."""
        last = max(0, size - SAMPLE_BYTES)
        return b"".join(self.read_many([(last * k // (SAMPLES - 1), SAMPLE_BYTES) for k in range(SAMPLES)]))

    def holds(self, offset: int) -> bool:
        """Whether a byte is in memory."""
        return False

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 (most keep nothing open)
        """Close it; files that nobody refers to any more are closed, too."""


class LocalFile(File):
    """An open file of this machine; ``version`` tells files apart that were at the same path."""

    fd = -1

    def __init__(self, path: str, version: int = 0):
        self.path, self.fd = path, os.open(path, os.O_RDONLY)

    def read(self, offset: int, size: int) -> bytes:
        with naming(self.path, "reading"):
            return os.pread(self.fd, size, offset)

    def read_into(self, offset: int, *buffers: memoryview) -> int:
        with naming(self.path, "reading"):
            return os.preadv(self.fd, buffers, offset)

    def stamp(self) -> Stamp:
        return stamp_of_status(os.fstat(self.fd))

    def close(self, close: Callable[[int], None] = os.close) -> None:  # when the interpreter exits, os is gone
        fd, self.fd = self.fd, -1
        if fd >= 0:
            close(fd)

    __del__ = close


class Pieces(File):
    """A file that is read forwards: its bytes are taken from the last piece of ``size`` bytes that was read."""

    def __init__(self, file: File, size: int):
        self.path, self._file, self._size = file.path, file, size
        self._start, self._piece = 0, b""

    def read(self, offset: int, size: int) -> bytes:
        begin = offset - self._start
        if begin < 0 or begin + size > len(self._piece):
            end = self._start + len(self._piece)
            # The next piece continues this one if it then contains what is asked for.
            self._start = end if end <= offset <= end + self._size - size else offset
            self._piece = b""  # free the memory before reading
            self._piece = self._file.read(self._start, max(size, self._size))
            begin = offset - self._start
        return self._piece[begin : begin + size]

    def holds(self, offset: int) -> bool:
        return self._start <= offset < self._start + len(self._piece)

    def stamp(self) -> Stamp:
        return self._file.stamp()


def stamp_of_status(status: os.stat_result) -> Stamp:
    """The stamp in what ``os.stat`` returns."""
    return Stamp(status.st_size, status.st_mtime_ns)


def file_pool(most: int = 32) -> Callable[..., LocalFile]:
    """``LocalFile`` that keeps the ``most`` last ones open; others are closed once no thread reads them any more."""
    return functools.lru_cache(most)(LocalFile)
