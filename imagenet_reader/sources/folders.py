"""Folders and stamps of files, wherever they are."""

import fnmatch
import functools
import glob
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fsspec

from imagenet_reader.sources import local
from imagenet_reader.sources.remote import AT_ONCE, asked, remote_stamp, stamp_in
from imagenet_reader.sources.stamp import Stamp
from imagenet_reader.sources.urls import is_http, is_url, join

FEW = 4  # remote files; of more, the stamps are taken from a listing of their folder
SAME_LISTING = 3  # seconds for which a listing of a remote folder is used again


def listdir(url: str) -> list[str]:
    """The names in a folder, sorted.

    Raises:
        OSError: it cannot be listed, or does not exist.
    """
    if not is_url(url):
        return sorted(os.listdir(url))
    folder = url.rstrip("/") + "/" if is_http(url) else url  # servers redirect to it, and lists are relative to it
    return sorted(info["name"].rstrip("/").rsplit("/", 1)[-1] for info in asked(folder, _infos))


def matching(pattern: str) -> list[str]:
    """The paths of all files that match a pattern, as of ``glob``, sorted. None of a folder that cannot be listed."""
    if not is_url(pattern):
        return sorted(glob.glob(pattern))
    folder, _, name = pattern.rpartition("/")
    folders = matching(folder) if "*" in folder else [folder]
    return sorted(join(path, found) for path in folders for found in fnmatch.filter(names_in(path), name))


def names_in(url: str) -> tuple[str, ...]:
    """The names in a remote folder; none if there is no such folder, or if it is on a web server that lists nothing.

    Raises:
        OSError: it cannot be listed.
    """
    return _names_in(url, int(time.monotonic() / SAME_LISTING))


@functools.lru_cache
def _names_in(url: str, now: int) -> tuple[str, ...]:
    try:
        return tuple(listdir(url))
    except FileNotFoundError:
        return ()
    except OSError:
        if is_http(url):
            return ()
        raise


def stamp_of(url: str) -> Stamp:
    """The stamp of the file at a path or URL; ``OSError`` if there is none."""
    return remote_stamp(url) if is_url(url) else local.stamp_of(url)


def stamps_of(urls: Sequence[str]) -> tuple[Stamp, ...]:
    """The stamps of files, which are all local or all remote; ``OSError`` if one does not exist."""
    if not urls or not is_url(urls[0]):
        return tuple(map(local.stamp_of, urls))
    listed: dict[str, Stamp | None] = {}
    if len(urls) > FEW:
        for folder in dict.fromkeys(url.rpartition("/")[0] for url in urls if not is_http(url)):
            listed |= _listed_stamps(folder)
    with ThreadPoolExecutor(min(AT_ONCE, len(urls))) as pool:
        return tuple(pool.map(lambda url: listed.get(url) or remote_stamp(url), urls))


def total_size(urls: Sequence[str]) -> int:
    """The bytes of files, as ``stamps_of``."""
    return sum(stamp.size for stamp in stamps_of(urls))


def _listed_stamps(folder: str) -> dict[str, Stamp | None]:
    files = [info for info in asked(folder, _infos) if info.get("type") != "directory"]
    return {join(folder, info["name"].rsplit("/", 1)[-1]): stamp_in(info) for info in files}


def _infos(system: fsspec.AbstractFileSystem, path: str) -> list[dict[str, Any]]:
    """What a file system says of the files in a folder now."""
    system.invalidate_cache()
    return system.ls(path, detail=True)


def exists(url: str) -> bool:
    """Whether there is a file at a path or URL.

    Raises:
        OSError: a server did not say.
    """
    if not is_url(url):
        return os.path.isfile(url)
    try:
        remote_stamp(url)
    except (FileNotFoundError, IsADirectoryError):
        return False
    return True
