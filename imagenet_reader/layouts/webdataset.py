"""Tars in WebDataset form, as ``timm/imagenet-1k-wds`` on the Hub has them."""

import concurrent.futures
from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.formats.webdataset import list_images
from imagenet_reader.hf.progress import progress_bar
from imagenet_reader.layouts.indexable import Advance, Indexable, Passed, pass_files
from imagenet_reader.layouts.sharded import Sharded, joined
from imagenet_reader.sources import File, open_file
from imagenet_reader.sources.folders import total_size
from imagenet_reader.sources.local import stamp_of
from imagenet_reader.walk.archive import walk_tar

THREADS = 16


class WebDataset(Sharded, Indexable):
    """Tars of samples, each an image and what belongs to it."""

    name: ClassVar = "WebDataset tars"
    format: ClassVar = "range"
    folders: ClassVar = ("", "data", "train", "validation", "test", "snapshots/*", "snapshots/*/data")
    patterns: ClassVar = {
        "train": "imagenet1k-train-*.tar",
        "validation": "imagenet1k-validation-*.tar",
        "test": "imagenet1k-test-*.tar",
    }
    counts: ClassVar = {"train": 1024, "validation": 64}

    def list_members(self, files: list[str]) -> pa.Table:
        """Walk over all tars."""
        with (
            progress_bar(f"Indexing {self.path}", total_size(files)) as bar,
            concurrent.futures.ThreadPoolExecutor(THREADS) as pool,
        ):
            tables = []
            for file, table in zip(files, pool.map(_list_tar, files)):
                tables.append(table)
                bar.update(stamp_of(file).size)
        return joined(tables, files)

    def passes(self, files: list[str], advance: Advance) -> Iterator[Passed]:
        """Pass over the files."""
        return pass_files(files, _list_images, advance)


def _list_tar(path: str) -> pa.Table:
    with open_file(path) as file:
        return _list_images(file)


def _list_images(file: File) -> pa.Table:
    return list_images(walk_tar(file), file)
