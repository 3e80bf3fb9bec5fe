"""Numbered files, such as ``train-00000-of-00294.parquet``: WebDataset tars and TFDS records, read in place."""

import contextlib
import functools
import glob
import os
import re
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pyarrow as pa

from imagenet_reader.formats.names import list_samples
from imagenet_reader.formats.tfrecord import list_corrupt, list_examples
from imagenet_reader.io import Listing, open_file
from imagenet_reader.io.local import File, Pieces
from imagenet_reader.io.paths import is_url, join
from imagenet_reader.layouts.base import ImageSet, Layout, join_tables
from imagenet_reader.lists import Images
from imagenet_reader.log import progress_bar
from imagenet_reader.text import shorten

THREADS, REMOTE_THREADS = 16, 2  # of which each remote one holds a complete file in memory


class Sharded(Layout):
    """Numbered files; ``path`` is their pattern, as of ``glob``."""

    patterns: ClassVar[dict[str, str]] = {}  # name of a set of images -> pattern of its files
    counts: ClassVar[dict[str, int]] = {}  # pattern -> how many files there are, if their names do not say it

    @classmethod
    def find(cls, images: ImageSet, data_dir: str, listing: Listing) -> "Sharded | None":
        pattern = cls.patterns[images.name]
        for folder in cls.folders(data_dir, listing):
            found = listing.matching(folder, re.escape(pattern).replace(r"\*", ".*"))
            if found:
                place = folder if is_url(folder) else glob.escape(folder)
                return cls(join(place, pattern), tuple(join(folder, name) for name in found))
        return None

    @classmethod
    def folders(cls, data_dir: str, listing: Listing) -> Iterator[str]:
        """The folders that may hold the files, the likeliest first: those of a repository, or of the Hub's cache."""
        yield data_dir
        yield join(data_dir, "data")
        snapshots = listing.names(join(data_dir, "snapshots"))
        if snapshots:
            snapshot = join(join(data_dir, "snapshots"), _current(data_dir, snapshots))
            yield snapshot
            yield join(snapshot, "data")

    def explain(self, missing: Images) -> str:
        """Say which files of the series are absent."""
        names = [os.path.basename(file) for file in self.files]
        number = re.fullmatch(r"(.*?)(\d+)(-of-(\d+).*|\.tar.*)", names[0])
        if number is None:
            return super().explain(missing)
        count = int(number[4] or self.counts.get(os.path.basename(self.path), 0))
        absent = sorted({f"{number[1]}{k:0{len(number[2])}d}{number[3]}" for k in range(count)} - {*names})
        if not absent:
            return super().explain(missing)
        return (
            f"{self.clarify('')} {len(absent):,} of {len(absent) + len(names):,} files are absent from "
            f"{os.path.dirname(self.files[0])}: {shorten(absent)}. Download them, too."
        ).lstrip()


def _current(data_dir: str, snapshots: list[str]) -> str:
    """The snapshot of ``refs/main`` in a folder of the Hub's cache; else the last one."""
    with contextlib.suppress(OSError), open(os.path.join(data_dir, "refs", "main"), encoding="ascii") as file:
        commit = file.read().strip()
        if commit in snapshots:
            return commit
    return max(snapshots)


class _IndexedShards(Sharded):
    """Shards whose images are ranges of bytes, found by reading each file's structure."""

    format: ClassVar = "range"
    remote: ClassVar = True
    indexable: ClassVar = True
    list_file: ClassVar[Any]  # a function of an open file: the images in it

    def list_members(self) -> pa.Table:
        return join_tables(list(self._of_each_file("Indexing", self.list_file)), self.files)

    def _of_each_file(self, doing: str, find: Callable[[File], Any]) -> Iterator[Any]:
        """Yield what ``find`` returns for each open file, with a progress bar."""

        def find_in(path: str) -> Any:
            with open_file(path) as file:
                return find(Pieces(file, file.stamp().size) if is_url(path) else file)

        with (
            progress_bar(f"{doing} {self.path}", len(self.files), unit=" files") as bar,
            ThreadPoolExecutor(REMOTE_THREADS if is_url(self.path) else THREADS) as pool,
        ):
            for found in pool.map(find_in, self.files):
                yield found
                bar.update(1)


class WebDataset(_IndexedShards):
    """Tars of samples, each an image and what belongs to it, as ``timm/imagenet-1k-wds`` on the Hub has them."""

    name: ClassVar = "WebDataset tars"
    list_file: ClassVar = staticmethod(list_samples)
    patterns: ClassVar = {
        "train": "imagenet1k-train-*.tar",
        "validation": "imagenet1k-validation-*.tar",
        "test": "imagenet1k-test-*.tar",
    }
    index_version: ClassVar = " with folders"
    counts: ClassVar = {"imagenet1k-train-*.tar": 1024, "imagenet1k-validation-*.tar": 64}

    @classmethod
    def folders(cls, data_dir: str, listing: Listing) -> Iterator[str]:
        """Also folders of the sets."""
        yield from super().folders(data_dir, listing)
        yield from (join(data_dir, name) for name in ("train", "validation", "test"))


class Tfds(_IndexedShards):
    """TFRecord files that TensorFlow Datasets has prepared of ``imagenet2012``, read without TensorFlow."""

    name: ClassVar = "TFDS records"
    list_file: ClassVar = staticmethod(list_examples)
    patterns: ClassVar = {name: f"imagenet2012-{name}.tfrecord-*-of-*" for name in ("train", "validation", "test")}

    @classmethod
    def folders(cls, data_dir: str, listing: Listing) -> Iterator[str]:
        """The folder itself, and the newest versions in it, or in the dataset's folder in it."""
        yield data_dir
        for folder in (join(data_dir, "imagenet2012"), data_dir):
            versions = listing.matching(folder, r"\d+\.\d+\.\d+")
            for version in sorted(versions, key=lambda name: tuple(map(int, name.split("."))), reverse=True):
                yield join(folder, version)

    def corrupt_images(self, names: Collection[bytes]) -> set[bytes]:
        """Those of the named images whose records differ from their checksums."""
        of_files = self._of_each_file("Comparing checksums of", functools.partial(list_corrupt, names=set(names)))
        return {name for of_file in of_files for name in of_file}
