"""Files of this machine, read with ``preadv``."""

import contextlib
import os
from collections.abc import Iterator, Sequence

from imagenet_reader.sources.stamp import Stamp


class LocalFile:
    """An open file of this machine; see ``sources.File``."""

    def __init__(self, path: str):
        self.path = path
        self.fd = os.open(path, os.O_RDONLY)

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from byte ``offset`` on."""
        try:
            return os.pread(self.fd, size, offset)
        except OSError as error:
            raise named(error, self.path, "reading") from error

    def read_into(self, offset: int, *buffers: memoryview) -> int:
        """Fill buffers one after the other; return how many bytes were read."""
        try:
            return os.preadv(self.fd, buffers, offset)
        except OSError as error:
            raise named(error, self.path, "reading") from error

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges ``(offset, size)``."""
        return [self.read(offset, size) for offset, size in ranges]

    def stamp(self) -> Stamp:
        """Size and modification time (ns) of what is open."""
        return stamp_of_status(os.fstat(self.fd))

    def close(self, close=os.close) -> None:  # when the interpreter exits, the name os is gone
        """Close it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            close(fd)

    def __del__(self):
        if hasattr(self, "fd"):  # it could be opened
            self.close()


def stamp_of_status(status: os.stat_result) -> Stamp:
    """The stamp in what ``os.stat`` returns."""
    return Stamp(status.st_size, status.st_mtime_ns)


def named(error: OSError, path: str, doing: str) -> OSError:
    """The error with ``path`` as its file name, if it names no file; ``doing`` says what was done with the file."""
    if error.errno is None or error.filename is not None:
        return error
    return OSError(error.errno, f"{os.strerror(error.errno)}, while {doing}", path)


@contextlib.contextmanager
def naming(path: str, doing: str) -> Iterator[None]:
    """Add ``path`` to an ``OSError`` that names no file; ``doing`` says what was done with it."""
    try:
        yield
    except OSError as error:
        raise named(error, path, doing) from error


def stamp_of(path: str) -> Stamp:
    """The stamp of the file at a path; ``OSError`` if there is none."""
    return stamp_of_status(os.stat(path))
