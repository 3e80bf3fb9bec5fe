"""The race between ways to walk: the fastest one is used."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from imagenet_reader.hf.progress import progress_bar
from imagenet_reader.sources.pool import FilePool
from imagenet_reader.walk.tar_walk import TarWalk
from imagenet_reader.walk.ways import THREADS, Hop, HopByThreads, Stream, Way, unfinished

ALONE = 0.05  # seconds for the first way: small archives, which are done by then, need no other
SLICE = 1.0  # seconds that the fastest way runs before the next comparison
RETRYING = 0.05  # fraction of the time that is spent on slower ways, which may have become faster


def finish(walks: Sequence[TarWalk], files: FilePool, what: str) -> None:
    """Advance all walks to their ends, in the way that is currently fastest, with a progress bar.

    Raises:
        ArchiveError, OSError: the error of the first walk that has one.
    """
    total = sum(walk.end - walk.position for walk in walks)
    with progress_bar(f"Indexing {what}", total) as bar, ThreadPoolExecutor(THREADS) as pool:
        race = _Race(walks, bar)
        alone, stream = Hop(files), Stream(files)
        race.run(alone, ALONE)
        if len(unfinished(walks)) > 1:  # one walk is a chain of headers
            race.run(HopByThreads(files, pool), HopByThreads.trial)
        race.expect(stream)
        while unfinished(walks):
            race.run(race.fastest(), SLICE)
            race.retry()
        for walk in walks:
            if walk.error is not None:
                raise walk.error
        bar.update(bar.total - bar.n)  # the end blocks of tars


class _Race:
    """Measures the pace of ways, in headers per second.

    Hopping costs the same per image, streaming the same per byte, except in holes of a sparse file. The remaining work
    consists of headers, so they are the measure of both.
    """

    def __init__(self, walks: Sequence[TarWalk], bar: Any):
        self.walks, self.bar, self.began, self.retried = walks, bar, time.perf_counter(), 0.0
        # Per way, least recently used first: headers per second, and seconds of the last run.
        self.pace: dict[Way, float] = {}
        self.took: dict[Way, float] = {}

    def expect(self, way: Way) -> None:
        """Add a way that ``retry`` will try once its share of the time permits."""
        self.pace[way], self.took[way] = 0.0, way.trial

    def run(self, way: Way, seconds: float) -> None:
        """Advance the walks for some seconds."""
        headers, position, started = self._passed(), self._position(), time.perf_counter()
        way.advance(self.walks, seconds)
        self.took.pop(way, None)  # so that it becomes the last
        self.took[way] = time.perf_counter() - started
        self.pace[way] = (self._passed() - headers) / self.took[way]
        self.bar.update(self._position() - position)

    def fastest(self) -> Way:
        """The way with the best pace in its last run."""
        return max(self.pace, key=self.pace.__getitem__)

    def retry(self) -> None:
        """Run the least recently used of the slower ways, if ``RETRYING`` permits."""
        slower = next(way for way in self.took if way is not self.fastest())
        if self.retried + self.took[slower] <= RETRYING * (time.perf_counter() - self.began):
            self.run(slower, slower.trial)
            self.retried += self.took[slower]

    def _passed(self) -> int:
        return sum(walk.headers for walk in self.walks)

    def _position(self) -> int:
        return sum(walk.position for walk in self.walks)
