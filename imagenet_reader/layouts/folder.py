"""Extracted images, side by side or in class folders."""

import concurrent.futures
import dataclasses
import itertools
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.files import digest
from imagenet_reader.formats import format_of
from imagenet_reader.formats.hub_names import official_name
from imagenet_reader.index.members import members_table
from imagenet_reader.layouts.base import ImageSet, Index, Layout, Snapshot, Wanted
from imagenet_reader.layouts.folder_faults import explain_files
from imagenet_reader.layouts.folders import entries_of, fullest
from imagenet_reader.lists import label_of_wnid, read_wnids
from imagenet_reader.official import TRAIN_NAME, WNID
from imagenet_reader.reading.reader import Reader
from imagenet_reader.sources.local import stamp_of_status

LOOKED_UP_AT_ONCE = 100
WARM = 50e-6  # seconds per image; if look-ups are faster, threads only wait for each other
THREADS = 16
HUB_NAME = re.compile(r"(?:n\d{8}|ILSVRC2012_val)_\d+_n\d{8}\.JPEG")
# changed: the modification time of the image's file, in ns; file: the number of its folder
FILES = pa.schema({"name": pa.binary(), "changed": pa.int64(), "size": pa.int64(), "file": pa.int64()})


@dataclasses.dataclass(frozen=True)
class Folder(Layout):
    """A folder of extracted images.

    Args:
        by_class: whether the images are in class folders; else side by side.
        by_label: whether the class folder follows from the label, as for validation; else from the file name.
        format: ``"file"``, or ``"hub_file"`` if the names end in the class.
    """

    by_class: bool = False
    by_label: bool = False
    format: str = "file"  # type: ignore[misc]
    name: ClassVar = "extracted images"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "Folder | None":
        """The folder that holds most of the images, in class folders or side by side."""
        found = fullest(images, data_dir)
        if found is not None and found.form == "folders":
            by_label = images.name == "validation"
            return cls(found.path, by_class=True, by_label=by_label, format=_format_of(found.sample))
        if found is not None and found.form == "flat":
            return cls(found.path, format=_format_of(found.flat))
        return None

    def files(self) -> list[str]:
        """The folders that the images are in."""
        return [os.path.join(self.path, wnid) for wnid in read_wnids()] if self.by_class else [self.path]

    def list_members(self, files: list[str]) -> pa.Table:
        """Look up all training images."""
        return self._look_up(self._everything(None))

    def snapshot(self, wanted: Wanted) -> Snapshot:
        """Those of the wanted images that exist; a folder may hold a million others."""
        listed = self._everything(None) if wanted.images is None else wanted.images
        of_classes = self._everything(wanted.wnids) if wanted.wnids else ()
        table = self._look_up((dict(of_classes) | dict(listed)).items())
        return Snapshot(digest(table.to_pydict()), members=table)

    def index(self, snapshot: Snapshot, wanted: Wanted) -> Index:
        """The images that were looked up; each is confirmed when it is read."""
        assert snapshot.members is not None
        return Index(snapshot.members, Reader(self.format, tuple(self.files())))

    def _folder_number(self, name: str, label: int) -> int:
        if not self.by_class:
            return 0
        return label if self.by_label else label_of_wnid()[name[WNID]]

    def _everything(self, wnids: frozenset[str] | None) -> Iterator[tuple[str, int]]:
        """All training images of these classes; ``None`` for all classes."""
        for folder in self.files():
            wnid = os.path.basename(folder) if self.by_class else ""
            if wnid and wnids is not None and wnid not in wnids:
                continue
            for entry in entries_of(folder):
                name = official_name(entry) if self.format == "hub_file" else entry
                if not name or not TRAIN_NAME.fullmatch(os.fsencode(name)) or not name.startswith(wnid):
                    continue
                if wnids is None or name[WNID] in wnids:
                    yield name, -1

    def _look_up(self, images: Iterable[tuple[str, int]]) -> pa.Table:
        """The table of the images that exist, looked up by threads if the storage is slow."""
        images, folders = sorted(images), self.files()
        placed = [(name, self._folder_number(name, label), self._file_name(name, label)) for name, label in images]
        starts = range(0, len(placed), LOOKED_UP_AT_ONCE)
        first, *parts = [placed[start : start + LOOKED_UP_AT_ONCE] for start in starts] or [[]]
        started = time.perf_counter()
        members = _look_up_some(folders, first)
        warm = time.perf_counter() - started < WARM * len(first)
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            found = (map if warm else pool.map)(_look_up_some, itertools.repeat(folders), parts)
            members += itertools.chain.from_iterable(found)
        return members_table(members, FILES)

    def _file_name(self, name: str, label: int) -> str:
        return os.fsdecode(format_of(self.format).file_name(name.encode(), label))

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """Which class folders are absent, or what is wrong with the images or their folders."""
        folders = self.files()
        paths = [
            os.path.join(folders[self._folder_number(name, label)], self._file_name(name, label))
            for name, label in missing
        ]
        return explain_files(paths, self.path, folders if self.by_class else [], self.by_label)


def _look_up_some(folders: list[str], images: list[tuple[str, int, str]]) -> list[tuple]:
    """Those of the images, (name, number of its folder, name of its file), that exist, as rows of ``FILES``.

    What is no regular file, or a broken link, has size 0.
    """
    members: list[tuple] = []
    for name, number, file_name in images:
        path = os.path.join(folders[number], file_name)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.islink(path):  # a broken one
                members.append((name.encode(), 0, 0, number))
            continue
        size, changed = stamp_of_status(status)
        members.append((name.encode(), changed, size if stat.S_ISREG(status.st_mode) else 0, number))
    return members


def _format_of(names: list[str]) -> str:
    """The format of images that are files, by their names: most of them decide."""
    hub_names = sum(map(bool, map(HUB_NAME.fullmatch, names)))
    return "hub_file" if 2 * hub_names > len(names) else "file"
