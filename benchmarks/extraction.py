"""Extract images from the Hub's Parquet files, or read the same row groups with pyarrow; see ``contenders``."""

import random
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq

from benchmarks.common import measured
from imagenet_reader.formats.parquet_images import THREADS
from imagenet_reader.layouts.base import Wanted
from imagenet_reader.layouts.find import find_layout
from imagenet_reader.lists import read_split_list

__all__ = ["extract_from_parquet", "read_parquet"]


def _layout(folder):
    return find_layout("validation", str(folder / "hub"))


def extract_from_parquet(folder, share):
    """Extract a share of the validation images, in random order, and index them."""
    images = read_split_list("validation")
    chosen = set(random.Random(0).sample(images, int(len(images) * share)))
    layout, wanted = _layout(folder), Wanted(lambda: chosen)
    with measured() as result:
        layout.index(layout.snapshot(wanted), wanted)
    return result


def read_parquet(folder):
    """Read the images of all row groups with pyarrow, with as many threads, and discard them."""
    with measured() as result, ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(_read_file, _layout(folder).files()):
            pass
    return result


def _read_file(path):
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            file.read_row_group(number, columns=["image"], use_threads=False)
