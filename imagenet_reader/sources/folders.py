"""Folders and stamps of files, wherever they are."""

import os

from imagenet_reader.sources import local
from imagenet_reader.sources.remote import remote_stamp
from imagenet_reader.sources.stamp import Stamp
from imagenet_reader.sources.systems import file_system
from imagenet_reader.sources.urls import is_url, shown


def listdir(url: str) -> list[str]:
    """The names in a folder, sorted.

    Raises:
        OSError: it cannot be listed, or does not exist.
    """
    if not is_url(url):
        return sorted(os.listdir(url))
    system, path = file_system(url)
    try:
        found = system.ls(path, detail=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"{shown(url)} does not exist, or cannot be listed") from None
    except Exception as error:
        raise OSError(f"{shown(url)} cannot be listed: {type(error).__name__}: {shown(str(error))[:500]}") from None
    return sorted(name.rstrip("/").rsplit("/", 1)[-1] for name in found)


def stamp_of(url: str) -> Stamp:
    """The stamp of the file at a path or URL; ``OSError`` if there is none."""
    return remote_stamp(url) if is_url(url) else local.stamp_of(url)


def exists(url: str) -> bool:
    """Whether there is a file at a path or URL.

    Raises:
        OSError: a server did not say.
    """
    if not is_url(url):
        return os.path.exists(url)
    try:
        remote_stamp(url)
    except FileNotFoundError:
        return False
    return True
