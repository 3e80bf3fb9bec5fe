"""Measure indexing; see ``benchmarks.contenders``."""

import os
from pathlib import Path

import imagenet_subsets
from benchmarks.common import archive_of, measured
from benchmarks.devices import move_away

__all__ = ["index", "index_from_afar", "plain_walk_from_afar"]

BLOCK = 512


def index(folder):
    """Build the index of the training archive."""
    path = archive_of(folder, "train")
    Path(imagenet_subsets.index_path(path)).unlink(missing_ok=True)
    with measured() as result:
        result["members"] = len(imagenet_subsets.read_index(path))
    return result


def _hop(fd, position, end, limit=None):
    """(offset, size) of the members between two offsets, at most ``limit``."""
    found, pread = [], os.pread
    while position + BLOCK <= end and len(found) != limit:
        header = pread(fd, BLOCK, position)
        if header[0] == 0:
            break
        size = int(header[124:135], 8)
        found.append((position, size))
        position += BLOCK + (size + BLOCK - 1 & -BLOCK)
    return found


def plain_walk_from_afar(folder, reads=1000):
    """Hop from header to header on distant storage, one at a time, extrapolated from the first ``reads`` headers."""
    path = archive_of(folder, "train")
    members = len(imagenet_subsets.read_index(path))
    move_away()
    with measured() as result, open(path, "rb") as archive:
        passed = len(_hop(archive.fileno(), BLOCK, path.stat().st_size, reads))
    return result | {"seconds": result["seconds"] * members / passed}


def index_from_afar(folder):
    """Build the index of the training archive, on distant storage."""
    move_away()
    return index(folder)
