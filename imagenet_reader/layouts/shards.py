"""Numbered files, such as ``train-00000-of-00294.parquet``: WebDataset tars and TFDS records, read in place."""

import contextlib
import glob
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.formats.names import name_samples
from imagenet_reader.formats.tar import walk_tar
from imagenet_reader.formats.tfrecord import list_examples
from imagenet_reader.io import Listing, open_file
from imagenet_reader.io.local import File, Pieces
from imagenet_reader.io.paths import is_url, join
from imagenet_reader.layouts.base import ImageSet, Layout, join_tables
from imagenet_reader.lists import Images
from imagenet_reader.log import progress_bar
from imagenet_reader.text import shorten

THREADS, REMOTE_THREADS = 16, 2  # of which each remote one holds a complete file in memory


class Sharded(Layout):
    """Numbered files; ``path`` is their pattern, as of ``glob``.

    Attributes:
        patterns: name of a set of images -> pattern of its files.
        counts: name of a set of images -> how many files there are, if their names do not say it.
    """

    patterns: ClassVar[dict[str, str]] = {}
    counts: ClassVar[dict[str, int]] = {}

    @classmethod
    def find(cls, images: ImageSet, data_dir: str, listing: Listing) -> "Sharded | None":
        """The files of the pattern, in the first folder that has some."""
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
        """Say which files are absent."""
        absent = self._absent()
        if not absent:
            return super().explain(missing)
        return (
            f"{len(absent):,} of {len(absent) + len(self.files):,} files are absent from "
            f"{os.path.dirname(self.files[0])}: {shorten(absent)}. Download them, too."
        )

    def _absent(self) -> list[str]:
        """The names of the files that are absent from the series."""
        name = os.path.basename(self.files[0])
        numbers = list(re.finditer(r"\d+", name))
        number = next(
            (match for match in numbers if re.match(r"-of-\d", name[match.end() :])), numbers[-1:] and numbers[-1]
        )
        if not number:
            return []
        total = re.match(r"-of-(\d+)", name[number.end() :])
        sets = {pattern: images for images, pattern in self.patterns.items()}
        count = int(total[1]) if total else self.counts.get(sets.get(os.path.basename(self.path), ""), 0)
        width = len(number.group())
        expected = {f"{name[: number.start()]}{k:0{width}d}{name[number.end() :]}" for k in range(count)}
        return sorted(expected - set(map(os.path.basename, self.files)))


def _current(data_dir: str, snapshots: list[str]) -> str:
    """The snapshot of ``refs/main`` in a folder of the Hub's cache; else the last one."""
    with contextlib.suppress(OSError), open(os.path.join(data_dir, "refs", "main"), encoding="ascii") as file:
        commit = file.read().strip()
        if commit in snapshots:
            return commit
    return max(snapshots)


class _IndexedShards(Sharded):
    """Shards whose images are ranges of bytes, found by reading each file's structure."""

    remote: ClassVar = True
    indexable: ClassVar = True

    @property
    def format(self) -> str:
        return "range"

    def list_members(self) -> pa.Table:
        """List all files, by threads."""
        with (
            progress_bar(f"Indexing {self.path}", len(self.files), unit=" files") as bar,
            ThreadPoolExecutor(REMOTE_THREADS if is_url(self.path) else THREADS) as pool,
        ):
            tables = []
            for table in pool.map(self._list_file, self.files):
                tables.append(table)
                bar.update(1)
        return join_tables(tables, self.files)

    def _list_file(self, path: str) -> pa.Table:
        with open_file(path) as file:
            return self.list_file(Pieces(file, file.stamp().size) if is_url(path) else file)

    @staticmethod
    def list_file(file: File) -> pa.Table:
        """The images in an open file."""
        raise NotImplementedError


class WebDataset(_IndexedShards):
    """Tars of samples, each an image and what belongs to it, as ``timm/imagenet-1k-wds`` on the Hub has them."""

    name: ClassVar = "WebDataset tars"
    patterns: ClassVar = {
        "train": "imagenet1k-train-*.tar",
        "validation": "imagenet1k-validation-*.tar",
        "test": "imagenet1k-test-*.tar",
    }
    counts: ClassVar = {"train": 1024, "validation": 64}

    @classmethod
    def folders(cls, data_dir: str, listing: Listing) -> Iterator[str]:
        """Also folders of the sets."""
        yield from super().folders(data_dir, listing)
        yield from (join(data_dir, name) for name in ("train", "validation", "test"))

    @staticmethod
    def list_file(file: File) -> pa.Table:
        """Walk over a tar."""
        return name_samples(walk_tar(file), file)


class Tfds(_IndexedShards):
    """TFRecord files that TensorFlow Datasets has prepared of ``imagenet2012``, read without TensorFlow."""

    name: ClassVar = "TFDS records"
    patterns: ClassVar = {name: f"imagenet2012-{name}.tfrecord-*-of-*" for name in ("train", "validation", "test")}

    @classmethod
    def folders(cls, data_dir: str, listing: Listing) -> Iterator[str]:
        """The folder itself, and the newest versions in it, or in the dataset's folder in it."""
        yield data_dir
        for folder in (join(data_dir, "imagenet2012"), data_dir):
            versions = listing.matching(folder, r"\d+\.\d+\.\d+")
            for version in sorted(versions, key=lambda name: tuple(map(int, name.split("."))), reverse=True):
                yield join(folder, version)

    @staticmethod
    def list_file(file: File) -> pa.Table:
        """Hop over the records."""
        return list_examples(file)
