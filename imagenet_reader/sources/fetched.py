"""Bytes that have been fetched already."""

from collections.abc import Sequence

from imagenet_reader.sources.folders import stamps_of
from imagenet_reader.sources.remote import RemoteFile, fill, read_ranges
from imagenet_reader.sources.stamp import Stamp


class FetchedFile:
    """A part of a file, in memory; see ``sources.File``.

    Args:
        path: the file.
        start: the offset of the part in the file.
        content: its bytes.
        stamp: the stamp of the file after they were fetched.
    """

    def __init__(self, path: str, start: int, content: bytes, stamp: Stamp):
        self.path, self._start, self._content, self._stamp = path, start, content, stamp

    def read(self, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes from byte ``offset`` on, fewer only at the end of the part."""
        return self._content[offset - self._start : offset - self._start + size]

    def read_into(self, offset: int, *buffers: memoryview) -> int:
        """Fill buffers one after the other; return how many bytes there were."""
        return fill(buffers, self.read(offset, sum(map(len, buffers))))

    def read_many(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of ranges ``(offset, size)``."""
        return [self.read(offset, size) for offset, size in ranges]

    def stamp(self) -> Stamp:
        """The stamp of the file after the bytes were fetched."""
        return self._stamp

    def close(self) -> None:
        """Nothing is open."""


def fetched(places: Sequence[tuple[RemoteFile, int, int]]) -> list[FetchedFile]:
    """The parts (file, offset, size) of remote files, fetched at once.

    Raises:
        OSError: it failed for good, or an object was replaced.
    """
    contents = read_ranges(places)
    paths = list(dict.fromkeys(file.path for file, _, _ in places))
    stamps = dict(zip(paths, stamps_of(paths)))
    return [
        FetchedFile(file.path, offset, content, stamps[file.path])
        for (file, offset, _), content in zip(places, contents)
    ]
