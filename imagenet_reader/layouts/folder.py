"""Extracted images, side by side or in class folders."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.files import digest
from imagenet_reader.index.members import members_table
from imagenet_reader.layouts.base import IMAGE_SETS, ImageSet, Index, Layout, Snapshot, Wanted
from imagenet_reader.layouts.folders import Entries, candidates
from imagenet_reader.lists import label_of_wnid, read_wnids
from imagenet_reader.official import TRAIN_NAME, WNID
from imagenet_reader.reading.reader import Reader
from imagenet_reader.sources.local import stamp_of

OTHER_SUFFIXES = ".jpeg", ".jpg", ".JPG"  # of images that were renamed
LOOKED_UP_AT_ONCE = 100
WARM = 50e-6  # seconds per image: below, the answers come from memory and threads would only wait for each other
THREADS = 16
SYSTEM_FILES = ".", "Thumbs.db", "desktop.ini", "@eaDir"  # prefixes of files that operating systems add
TOLD_APART = 5  # images that tell which set class folders hold
# changed: the modification time of the image's file, in ns; file: the number of its folder
FILES = pa.schema({"name": pa.binary(), "changed": pa.int64(), "size": pa.int64(), "file": pa.int64()})


@dataclasses.dataclass(frozen=True)
class Folder(Layout):
    """A folder of extracted images.

    Args:
        by_class: whether the images are in class folders; else side by side.
        by_label: whether the class folder follows from the label, as for validation; else from the file name.
    """

    by_class: bool = False
    by_label: bool = False
    name: ClassVar = "extracted images"
    format: ClassVar = "file"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "Folder | None":
        """The first folder whose class folders hold such images, or that holds them side by side."""
        for path in candidates(images, data_dir):
            entries = Entries.of(path)
            if _set_in(path, entries.class_folders) == images.name:
                return cls(path, by_class=True, by_label=images.name == "validation")
            if images.image is not None and any(map(images.image.fullmatch, entries.others)):
                return cls(path)
        return None

    def files(self) -> list[str]:
        """The folders that the images are in."""
        return [os.path.join(self.path, wnid) for wnid in read_wnids()] if self.by_class else [self.path]

    def list_members(self, files: list[str]) -> pa.Table:
        """Look up all training images."""
        return self._look_up(self._everything())

    def snapshot(self, wanted: Wanted) -> Snapshot:
        """What is there of the images that are wanted: there may be a million others."""
        table = self.list_members([]) if wanted.images is None else self._look_up(wanted.images)
        return Snapshot(digest(table.to_pydict()), members=table)

    def index(self, snapshot: Snapshot, wanted: Wanted) -> Index:
        """The images that were looked up; each is confirmed when it is read."""
        assert snapshot.members is not None
        return Index(snapshot.members, Reader(self.format, tuple(self.files())))

    def _folder_number(self, name: str, label: int) -> int:
        if not self.by_class:
            return 0
        return label if self.by_label else label_of_wnid()[name[WNID]]

    def _everything(self) -> Iterator[tuple[str, int]]:
        for wnid in read_wnids():
            for name in _entries(os.path.join(self.path, wnid)):
                if TRAIN_NAME.fullmatch(os.fsencode(name)) and name[WNID] == wnid:
                    yield name, -1

    def _look_up(self, images: Iterable[tuple[str, int]]) -> pa.Table:
        """The table of the images that exist; by threads, if the storage keeps one waiting."""
        images, folders = sorted(images), self.files()
        placed = [(name, self._folder_number(name, label)) for name, label in images]
        starts = range(0, len(placed), LOOKED_UP_AT_ONCE)
        first, *parts = [placed[start : start + LOOKED_UP_AT_ONCE] for start in starts] or [[]]
        started = time.perf_counter()
        members = _look_up_some(folders, first)
        warm = time.perf_counter() - started < WARM * len(first)
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            found = (map if warm else pool.map)(_look_up_some, itertools.repeat(folders), parts)
            members += itertools.chain.from_iterable(found)
        return members_table(members, FILES)

    def _path(self, name: str, label: int) -> str:
        return os.path.join(self.files()[self._folder_number(name, label)], name)

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """Which class folders are absent, or what is wrong with those that lack an image."""
        folders = {os.path.dirname(self._path(*image)): image for image in missing}
        absent = sorted(folder for folder in folders if not os.path.isdir(folder))
        if absent:
            return f"{len(absent):,} class folders are not there: {', '.join(map(os.path.basename, absent))}."
        for folder, (name, _) in folders.items():
            advice = self._explain_folder(folder, os.path.splitext(name)[0])
            if advice:
                return advice
        return self._explain_classes(dict(missing)) or "Unpack the archive again."

    def _explain_folder(self, folder: str, stem: str) -> str | None:
        """What is wrong with a folder that lacks an image; ``stem`` is its name without the suffix."""
        entries = sorted(os.listdir(folder))
        renamed = [entry for entry in entries if entry in {stem + suffix for suffix in OTHER_SUFFIXES}]
        if renamed:
            return f"{folder} has {renamed[0]}: rename the files, so that they end in .JPEG as in the archive."
        deeper = [entry for entry in entries if os.path.isdir(os.path.join(folder, entry))]
        if deeper and self.by_class:
            return f"There is a folder {os.path.join(folder, deeper[0])}: move what is in such folders one level up."
        return None

    def _explain_classes(self, classes: dict[str, int]) -> str:
        """How many of the missing images, {name: label}, are in the folder of another class."""
        folders = self.files() if self.by_class else []
        found = {name: folder for folder in folders for name in _entries(folder) if name in classes}
        if not found:
            return ""
        name, folder = next(iter(found.items()))
        expected = os.path.basename(os.path.dirname(self._path(name, classes[name])))
        example = f"{name} is in {os.path.basename(folder)}, and is of class {expected}."
        advice = f" Move all images directly into {self.path}; class folders are not needed." if self.by_label else ""
        return f"{len(found):,} of them are in the folder of a wrong class: {example}{advice}"


def _look_up_some(folders: list[str], images: list[tuple[str, int]]) -> list[tuple]:
    """Those of the images, (name, number of its folder), that exist, as rows of ``FILES``."""
    members = []
    for name, number in images:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            size, changed = stamp_of(os.path.join(folders[number], name))
            members.append((name.encode(), changed, size, number))
    return members


def _set_in(path: str, class_folders: list[str]) -> str | None:
    """The name of the set whose images are in class folders: the one that more of the first images belong to."""
    is_train: list[bool] = []
    validation = IMAGE_SETS["validation"].image
    assert validation is not None
    for wnid in class_folders:
        names = _entries(os.path.join(path, wnid))
        of_train = sum(name.startswith(f"{wnid}_") for name in names)
        is_train += [True] * of_train + [False] * sum(map(bool, map(validation.fullmatch, names)))
        if len(is_train) >= TOLD_APART:
            break
    if not is_train:  # images that are too deep, or renamed: training images, whose error says so
        others = (name for wnid in class_folders for name in _entries(os.path.join(path, wnid)))
        return "train" if any(not name.startswith(SYSTEM_FILES) for name in others) else None
    return "train" if 2 * sum(is_train) >= len(is_train) else "validation"


def _entries(folder: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)
    return []
