"""Shared by all contenders: the timer, and the images of a config."""

import contextlib
import hashlib
import time

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_reader.formats.tar import BLOCK
from imagenet_reader.lists import read_split_list
from imagenet_reader.rows import as_arrays, locate
from imagenet_subsets import SUBSETS


@contextlib.contextmanager
def measured():
    """A dict that gets the ``seconds`` of the body, and the ``read_mb`` of this process and its children."""
    result = {}
    before, started = _bytes_read(), time.perf_counter()
    yield result
    result["seconds"] = time.perf_counter() - started
    result["read_mb"] = None if before is None else (_bytes_read() - before) / 1e6


def _bytes_read():
    try:
        with open("/proc/self/io") as file:
            return int(file.readline().split()[1])
    except FileNotFoundError:  # only Linux counts them
        return None


def images_of(config):
    """The images of each split in row order, ``{split: [(name, label)]}``."""
    images = {}
    for split, name in SUBSETS[config].items():
        images[split] = read_split_list(name)
    images["train"].sort(key=lambda image: hashlib.sha256(image[0].encode()).digest())
    return images


def archive_of(folder, split):
    """The archive of a split of 1pct or 10pct."""
    return folder / (TRAIN_ARCHIVE if split == "train" else VALIDATION_ARCHIVE)


def plan_of(folder, config, splits=None):
    """The locations of the images of the splits (all by default), ``{archive: [(offset, size)]}``, in row order."""
    plan = {}
    for split, images in images_of(config).items():
        if splits is None or split in splits:
            path = archive_of(folder, split)
            rows = locate(*as_arrays(images), imagenet_subsets.read_index(path))
            plan[path] = list(zip((rows["offset"] + BLOCK).tolist(), rows["size"].tolist()))
    return plan


def wanted_mb(folder, config, splits=None):
    """The size of the images of the splits in megabytes."""
    return sum(size for rows in plan_of(folder, config, splits).values() for _, size in rows) / 1e6
