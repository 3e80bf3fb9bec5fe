"""Files: opening them, the space that they need, temporary folders, digests."""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from imagenet_reader.sources.local import naming


@contextlib.contextmanager
def opened(path):
    """The file descriptor of a file that is read."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with naming(path, "reading"):
            yield fd
    finally:
        os.close(fd)


def check_space(folder, needed, what, advice=""):
    """Raise ``OSError`` if the disk of a folder, which may not exist yet, lacks the ``needed`` bytes for ``what``.

    The message ends with ``advice``, and the folder.
    """
    folder = Path(folder).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        message = f"{what} take {in_words(needed)}, and {in_words(free)} are free{advice}"
        raise OSError(errno.ENOSPC, message, str(existing))


def in_words(size):
    """A number of bytes as people say it, ``"8.2 GB"`` or ``"31.0 MB"``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def unused_cache():
    """Context of an empty folder for builders that prepare nothing: each wants a ``cache_dir`` that it can write."""
    return tempfile.TemporaryDirectory(prefix="imagenet-subsets-")


def note_use(path):
    """Note in a file's time of change that it is used now, where that can be written."""
    with contextlib.suppress(OSError):
        os.utime(path)


def as_utf_8(path: str | os.PathLike) -> str:
    """A path as text that can be encoded: bytes that are not UTF-8 as ``\\xe9``."""
    return os.fsencode(path).decode(errors="backslashreplace")


def digest(value):
    """SHA-256 (hex) of a value's text."""
    return hashlib.sha256(repr(value).encode()).hexdigest()
