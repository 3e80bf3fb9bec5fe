"""Ways to advance walks: hopping from header to header, by one thread or several, and streaming."""

import functools
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Protocol

from imagenet_reader.sources import File
from imagenet_reader.sources.pool import FilePool
from imagenet_reader.walk.tar_walk import TarWalk

THREADS = 16
STREAM_BYTES = 8 << 20
STRIDE = 8  # headers between two looks at the clock, each of which takes a tenth of the time of a header
STOPPED = float("-inf")


class Way(Protocol):
    """A way to advance walks; a trial of ``trial`` seconds is enough to measure its pace."""

    trial: ClassVar[float]

    def advance(self, walks: Sequence[TarWalk], seconds: float) -> None:
        """Advance walks, in order, for some seconds; each walk keeps its error in ``error``.

        Raises:
            OSError: a file cannot be opened.
        """


def unfinished(walks: Iterable[TarWalk]) -> list[TarWalk]:
    """The walks that are not done; those after the first walk with an error are not needed."""
    sound = itertools.takewhile(lambda walk: walk.error is None, walks)
    return [walk for walk in sound if not walk.done]


class Hop:
    """Reads headers one by one in the calling thread, the fastest way for cached files."""

    trial: ClassVar = 0.1  # on a busy machine, a thread may have to wait for some 0.01

    def __init__(self, files: FilePool):
        self.files, self.deadline = files, STOPPED

    def advance(self, walks: Sequence[TarWalk], seconds: float) -> None:
        """See ``Way``."""
        self.deadline = time.perf_counter() + seconds
        self.hop(iter(unfinished(walks)))

    def hop(self, walks: Iterator[TarWalk]) -> None:
        """Advance one walk after the other until the deadline."""
        for walk in walks:
            if not self._has_time(walk.position):
                break
            walk.advance(self.files.get(walk.path).read, self._has_time, STRIDE)

    def _has_time(self, offset: int) -> bool:
        return time.perf_counter() < self.deadline


class HopByThreads(Hop):
    """Reads headers one by one in each of several threads, for storage with a high latency."""

    def __init__(self, files: FilePool, pool: ThreadPoolExecutor):
        super().__init__(files)
        self.pool = pool

    def advance(self, walks: Sequence[TarWalk], seconds: float) -> None:
        """See ``Way``."""
        self.deadline = time.perf_counter() + seconds
        shared = iter(unfinished(walks))
        futures = [self.pool.submit(self.hop, shared) for _ in range(THREADS)]
        try:
            for future in futures:
                future.result()
        finally:
            self.deadline = STOPPED  # after an interrupt, no thread continues


class Stream:
    """Reads large consecutive pieces and takes the headers from them."""

    trial: ClassVar = 0.02  # one or a few pieces, most of whose bytes are not needed

    def __init__(self, files: FilePool):
        self.files, self.deadline = files, STOPPED
        self.path, self.start, self.piece = "", 0, b""

    def advance(self, walks: Sequence[TarWalk], seconds: float) -> None:
        """See ``Way``."""
        self.deadline = time.perf_counter() + seconds
        for walk in unfinished(walks):
            if walk.path != self.path:
                self.path, self.start, self.piece = walk.path, 0, b""
            walk.advance(functools.partial(self._read, self.files.get(walk.path)), self._has_time)

    def _has_time(self, offset: int) -> bool:
        """Whether to pass another header; a piece is always used up, so that no read is wasted."""
        return self._holds(offset, 1) or time.perf_counter() < self.deadline

    def _holds(self, offset: int, size: int) -> bool:
        return self.start <= offset and offset + size <= self.start + len(self.piece)

    def _read(self, file: File, offset: int, size: int) -> bytes:
        if not self._holds(offset, size):
            end = self.start + len(self.piece)
            # The next piece continues this one if it then contains the header.
            self.start = end if end <= offset <= end + STREAM_BYTES - size else offset
            self.piece = b""  # free the memory before reading
            self.piece = file.read(self.start, STREAM_BYTES)
        begin = offset - self.start
        return self.piece[begin : begin + size]
