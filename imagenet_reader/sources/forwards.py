"""Files that are read from their beginning to their end, and as files of Python."""

import collections
import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

from imagenet_reader.sources.positional import PositionalFile
from imagenet_reader.sources.remote import RemoteFile
from imagenet_reader.sources.stamp import Stamp
from imagenet_reader.sources.urls import is_url

PIECE = 32 << 20  # bytes that are fetched together, by several requests
AHEAD = 2  # pieces that are fetched ahead
HELD = 3  # pieces in memory: an image that begins in one may end in the next, and the one before may still be needed


class Forwards(PositionalFile):
    """A remote file that is read forwards, in pieces that are fetched ahead; see ``sources.File``.

    The last ``HELD`` pieces can be read again. ``advance`` is called with the size of each piece that is taken.
    """

    def __init__(self, url: str, advance: Callable[[int], object]):
        self.path, self._advance, self._stop = url, advance, threading.Event()
        self._file = RemoteFile(url, stop=self._stop)
        self.known = self._file.known
        self._pool = ThreadPoolExecutor(AHEAD)
        self._held: collections.deque[bytes] = collections.deque()  # pieces with consecutive numbers
        self._first = 0  # the number of the first of them
        self._next: collections.deque[Future] = collections.deque()

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from byte ``offset`` on, fewer only at the end of the file."""
        end = min(offset + size, self.known.size)
        if offset >= end:
            return b""
        if offset // PIECE < self._first:
            return self._file.read(offset, size)
        while self._first + len(self._held) <= (end - 1) // PIECE:
            self._take()
        parts = []
        for number in range(offset // PIECE, (end - 1) // PIECE + 1):
            piece, start = self._held[number - self._first], number * PIECE
            parts.append(piece[max(0, offset - start) : end - start])
        return b"".join(parts)

    def stamp(self) -> Stamp:
        """The stamp of the file when it was opened."""
        return self.known

    def end_of_piece(self, offset: int) -> int:
        """The offset at which the piece ends that holds a byte."""
        return (offset // PIECE + 1) * PIECE

    def close(self) -> None:
        """Cancel what is being fetched."""
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def _take(self) -> None:
        """Take the next piece, and have those after it fetched."""
        number = self._first + len(self._held)
        while len(self._next) <= AHEAD:
            self._next.append(self._pool.submit(self._file.read, (number + len(self._next)) * PIECE, PIECE))
        self._held.append(self._next.popleft().result())
        self._advance(len(self._held[-1]))
        if len(self._held) > HELD:
            self._held.popleft()
            self._first += 1


@contextlib.contextmanager
def forwards(url: str, advance: Callable[[int], object] = lambda size: None) -> Iterator[Forwards]:
    """Open a remote file for one pass, and cancel what is being fetched at the end of the context."""
    file = Forwards(url, advance)
    try:
        yield file
    finally:
        file.close()


class _Raw(io.RawIOBase):
    """A file of Python that reads a remote file."""

    def __init__(self, file: RemoteFile | Forwards):
        self._file, self._size, self._at = file, file.known.size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer) -> int:
        count = self._file.read_into(self._at, memoryview(buffer).cast("B")) if self._at < self._size else 0
        self._at += count
        return count


@contextlib.contextmanager
def open_python_file(url: str, in_order: bool) -> Iterator[IO[bytes]]:
    """Open a file, at a path or URL, as a file of Python; ``in_order`` says that it is read from beginning to end."""
    if not is_url(url):
        with open(url, "rb") as file:
            yield file
        return
    with forwards(url) if in_order else contextlib.nullcontext(RemoteFile(url)) as source:
        yield io.BufferedReader(_Raw(source), 1 << 20 if in_order else 1 << 16)
