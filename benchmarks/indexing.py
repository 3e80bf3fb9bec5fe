"""Measure indexing: walk an archive, list a zip; see ``benchmarks.contenders``."""

import os
import struct
from pathlib import Path

import imagenet_subsets
from benchmarks.common import archive_of, measured
from benchmarks.devices import move_away, move_to_disk
from imagenet_reader.layouts.kaggle_zip import KaggleZip
from imagenet_reader.lists import TRAIN_IMAGES, read_wnids

__all__ = [
    "index",
    "index_from_afar",
    "index_on_disk",
    "list_zip",
    "plain_walk_from_afar",
    "sequential_pass",
]

BLOCK = 512
DISK_SPEED = 150e6  # bytes per second
PHOTO_BYTES = 110_000  # average size of an ImageNet image
PIECE = 8 << 20


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


def index_on_disk(folder):
    """Build the index of the training archive, on a disk."""
    _move_to_disk(archive_of(folder, "train"))
    return index(folder)


def sequential_pass(folder):
    """Read the training archive, on a disk, from start to end."""
    path = archive_of(folder, "train")
    _move_to_disk(path)
    with measured() as result, open(path, "rb") as archive:
        for offset in range(0, path.stat().st_size, PIECE):
            os.pread(archive.fileno(), PIECE, offset)
    return result


def _move_to_disk(path):
    """Simulate a disk that reads an image of this archive as fast as a real disk reads a photo."""
    speed = DISK_SPEED * path.stat().st_size / len(imagenet_subsets.read_index(path)) / PHOTO_BYTES
    move_to_disk(speed)


def list_zip(folder):
    """List a zip with as many images as Kaggle's, which consists only of a central directory."""
    path = os.path.join(os.environ["HF_HOME"], "kaggle.zip")
    _write_directory(path, [f"train/{wnid}/{wnid}" for wnid in read_wnids()], TRAIN_IMAGES // 1000)
    with measured() as result:
        result["members"] = len(KaggleZip(path).list_members([path]))
    return result


def _write_directory(path, stems, images):
    """Write a complete central directory: ``images`` images per stem, and as many annotations."""
    count = 0
    with open(path, "wb") as file:
        for stem in stems:
            for k in range(images):
                for folder, suffix in (("Data", "JPEG"), ("Annotations", "xml")):
                    name = f"ILSVRC/{folder}/CLS-LOC/{stem}_{k}.{suffix}".encode()
                    numbers = (0, 0, 0, 0, 0, PHOTO_BYTES, PHOTO_BYTES, len(name), 20, 0, 0, 0, 0, 0xFFFFFFFF)
                    file.write(struct.pack("<4s6H3I5H2I", b"PK\1\2", 45, 45, *numbers) + name)
                    file.write(struct.pack("<HHQQ", 1, 16, count * PHOTO_BYTES, 0))
                    count += 1
        size = file.tell()
        file.write(struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, 0))
        file.write(struct.pack("<4sIQI", b"PK\6\7", 0, size, 1))
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))
