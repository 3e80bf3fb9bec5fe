"""Opening files, disk space, temporary folders, digests."""

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
    """Context of a file descriptor, opened for reading."""
    fd = os.open(path, os.O_RDONLY)
    try:
        with naming(path, "reading"):
            yield fd
    finally:
        os.close(fd)


def check_space(folder, needed, what, advice=""):
    """Raise ``OSError`` if the disk of a folder, which may not exist yet, has less than ``needed`` bytes for ``what``.

    The message ends with ``advice`` and the folder.
    """
    folder = Path(folder).absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        message = f"{what} need {in_words(needed)}, but only {in_words(free)} are free{advice}"
        raise OSError(errno.ENOSPC, message, str(existing))


def in_words(size):
    """Format a number of bytes, as in ``"8.2 GB"`` or ``"31.0 MB"``."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def unused_cache():
    """Context of an empty folder, for builders that prepare nothing but need a writable ``cache_dir``."""
    return tempfile.TemporaryDirectory(prefix="imagenet-subsets-")


def note_use(path):
    """Touch a file to record its last use; ignore failures."""
    with contextlib.suppress(OSError):
        os.utime(path)


def as_utf_8(path: str | os.PathLike) -> str:
    """A path as text that UTF-8 can encode: invalid bytes are escaped, as in ``\\xe9``."""
    return os.fsencode(path).decode(errors="backslashreplace")


def digest(value):
    """The SHA-256 (hex) of the ``repr`` of a value."""
    return hashlib.sha256(repr(value).encode()).hexdigest()
