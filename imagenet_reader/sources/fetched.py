"""Bytes that have been fetched already."""

from collections.abc import Sequence

from imagenet_reader.sources.folders import stamps_of
from imagenet_reader.sources.positional import PositionalFile
from imagenet_reader.sources.remote import RemoteFile, read_ranges
from imagenet_reader.sources.stamp import Stamp


class FetchedFile(PositionalFile):
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

    def stamp(self) -> Stamp:
        """The stamp of the file after the bytes were fetched."""
        return self._stamp


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
