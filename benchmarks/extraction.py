"""Images out of the Hub's Parquet files, against reading the same row groups with pyarrow; see ``contenders``."""

import random
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq

from benchmarks.common import measured
from imagenet_reader.formats.parquet_images import THREADS, find_pieces
from imagenet_reader.layouts.base import Wanted
from imagenet_reader.layouts.find import find_layout
from imagenet_reader.lists import read_split_list

__all__ = ["extract_from_parquet", "read_parquet"]


def _layout(folder):
    return find_layout("validation", str(folder / "hub"))


def _chosen(share):
    """A share of the validation images; in another random order than the stand-in, or they would share row groups."""
    images = read_split_list("validation")
    return set(random.Random("extraction").sample(images, int(len(images) * share)))


def extract_from_parquet(folder, share):
    """Extract a share of the validation images and index them."""
    chosen, layout = _chosen(share), _layout(folder)
    wanted = Wanted(lambda: chosen)
    with measured() as result:
        layout.index(layout.snapshot(wanted), wanted)
    return result


def read_parquet(folder, share):
    """Read the row groups that hold a share of the validation images with pyarrow, with as many threads."""
    groups = {}
    for piece in find_pieces(_layout(folder).files(), {name for name, _ in _chosen(share)}):
        groups.setdefault(piece.file, []).extend(piece.groups)
    with measured() as result, ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(_read_groups, groups, groups.values()):
            pass
    return result


def _read_groups(path, groups):
    with pq.ParquetFile(path) as file:
        for number in groups:
            file.read_row_group(number, columns=["image"], use_threads=False)
