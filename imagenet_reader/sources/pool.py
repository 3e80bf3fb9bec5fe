"""Files that are kept open."""

import functools

from imagenet_reader.sources.local import LocalFile


class FilePool:
    """Open files, the ``most`` used last; a dropped file is closed as soon as no thread reads it any more."""

    def __init__(self, most: int = 32):
        self._open = functools.lru_cache(most)(_open)

    def get(self, path: str, version: int = 0) -> LocalFile:
        """The open file at a path; another ``version`` of it, such as an inode, is opened again.

        Raises:
            OSError: it cannot be opened.
        """
        return self._open(path, version)


def _open(path: str, version: int) -> LocalFile:
    return LocalFile(path)
