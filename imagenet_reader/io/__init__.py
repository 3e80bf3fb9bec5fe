"""The bytes of a file, wherever it is: at a path of this machine, see ``local``, or at another URL, see ``remote``."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import IO

from imagenet_reader.io.local import File, LocalFile, Stamp, stamp_of_status
from imagenet_reader.io.paths import is_url
from imagenet_reader.io.remote import ABSENT, PythonFile, RemoteFile, remote_names, remote_stamp, remote_stamps

BEGIN = 3  # characters of names
READ_AHEAD = 32 << 20  # bytes of a remote file that are fetched together, by several requests


def open_file(url: str) -> File:
    """Open a file, at a path or URL; a context closes it."""
    return RemoteFile(url) if is_url(url) else LocalFile(url)


@contextlib.contextmanager
def open_python_file(url: str, buffer: int = READ_AHEAD) -> Iterator[IO[bytes]]:
    """Context of a file of Python at a path or URL; of a remote one, ``buffer`` bytes are fetched together."""
    with PythonFile(RemoteFile(url), buffer) if is_url(url) else open(url, "rb") as file:
        yield file


def stamp_of(url: str) -> Stamp:
    """The stamp of the file at a path or URL; ``OSError`` if there is none."""
    return remote_stamp(url) if is_url(url) else stamp_of_status(os.stat(url))


def stamps_of(urls: Sequence[str]) -> tuple[Stamp, ...]:
    """The stamps of files, which are all local or all remote; ``OSError`` if one does not exist."""
    return remote_stamps(urls) if urls and is_url(urls[0]) else tuple(map(stamp_of, urls))


def exists(url: str) -> bool:
    """Whether there is a file at a path or URL."""
    try:
        return remote_stamp(url).size >= 0 if is_url(url) else os.path.isfile(url)
    except ABSENT:
        return False


def is_unreachable(folder: str, error: OSError) -> bool:
    """Whether an error says that a folder, or the server of a URL, cannot be reached: the folder may be unmounted."""
    if is_url(folder):
        return not isinstance(error, ABSENT)
    if not os.path.isdir(folder) or not isinstance(error, FileNotFoundError):
        return not os.path.isdir(folder)
    with os.scandir(folder) as entries:
        return not any(entries)


class Listing:
    """The names in folders, at paths or URLs, each of which is listed once."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._lines: dict[str, tuple[str, set[str]]] = {}  # all names, and how they begin
        self._found: dict[tuple[str, str], list[str]] = {}

    def names(self, folder: str) -> list[str]:
        """The names in a folder, in any order; none if there is no such folder."""
        if folder not in self._names:
            self._names[folder] = []
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                names = remote_names(folder) if is_url(folder) else os.listdir(folder)
                self._names[folder] = [name for name in names if "\n" not in name]
        return self._names[folder]

    def matching(self, folder: str, pattern: str) -> list[str]:
        """The names in a folder that match a regular expression without groups completely, sorted."""
        if folder not in self._lines:
            names = self.names(folder)
            self._lines[folder] = "\n".join(["", *names, ""]), {name[:BEGIN] for name in names}
        if (folder, pattern) not in self._found:
            lines, begins = self._lines[folder]
            begin = re.split(r"\W", f"{pattern}.", maxsplit=1)[0][:BEGIN]
            # One search in all names takes a tenth of the time of one per name.
            may_match = any(each.startswith(begin) for each in begins)
            self._found[folder, pattern] = sorted(re.findall(rf"\n({pattern})(?=\n)", lines)) if may_match else []
        return self._found[folder, pattern]
