"""Extracted images, side by side or in class folders."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import re
import time
from collections.abc import Iterable, Iterator
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.files import digest
from imagenet_reader.formats import format_of
from imagenet_reader.formats.hub_names import official_name
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
HUB_NAME = re.compile(r"(?:n\d{8}|ILSVRC2012_val)_\d+_n\d{8}\.JPEG")
TOLD_APART = 5  # images that tell which set class folders hold
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
        """The first folder whose class folders hold such images, or that holds them side by side."""
        for path in candidates(images, data_dir):
            entries = Entries.of(path)
            names = _first_names(path, entries.class_folders)
            if _set_of(names) == images.name:
                by_label = images.name == "validation"
                return cls(path, by_class=True, by_label=by_label, format=_format_of(names))
            names = [name for name in entries.others if images.image.fullmatch(name)]
            if names:
                return cls(path, format=_format_of(names))
        return None

    def files(self) -> list[str]:
        """The folders that the images are in."""
        return [os.path.join(self.path, wnid) for wnid in read_wnids()] if self.by_class else [self.path]

    def list_members(self, files: list[str]) -> pa.Table:
        """Look up all training images."""
        return self._look_up(self._everything(None))

    def snapshot(self, wanted: Wanted) -> Snapshot:
        """What is there of the images that are wanted: there may be a million others."""
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
            for entry in _entries(folder):
                name = official_name(entry) if self.format == "hub_file" else entry
                if not name or not TRAIN_NAME.fullmatch(os.fsencode(name)) or not name.startswith(wnid):
                    continue
                if wnids is None or name[WNID] in wnids:
                    yield name, -1

    def _look_up(self, images: Iterable[tuple[str, int]]) -> pa.Table:
        """The table of the images that exist; by threads, if the storage keeps one waiting."""
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

    def _path(self, name: str, label: int) -> str:
        return os.path.join(self.files()[self._folder_number(name, label)], self._file_name(name, label))

    def _file_name(self, name: str, label: int) -> str:
        return os.fsdecode(format_of(self.format).file_name(name.encode(), label))

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


def _look_up_some(folders: list[str], images: list[tuple[str, int, str]]) -> list[tuple]:
    """Those of the images, (name, number of its folder, name of its file), that exist, as rows of ``FILES``."""
    members = []
    for name, number, file_name in images:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            size, changed = stamp_of(os.path.join(folders[number], file_name))
            members.append((name.encode(), changed, size, number))
    return members


def _first_names(path: str, class_folders: list[str]) -> list[str]:
    """The names in the first class folders, up to the first that tell which images they are."""
    names: list[str] = []
    for wnid in class_folders:
        names += (name for name in _entries(os.path.join(path, wnid)) if not name.startswith(SYSTEM_FILES))
        if sum(_set_of_name(name) is not None for name in names) >= TOLD_APART:
            break
    return names


def _set_of(names: list[str]) -> str | None:
    """The set that more of the names belong to; training images, if none does: their error says what is wrong."""
    sets = collections.Counter(filter(None, map(_set_of_name, names)))
    return max(("train", "validation"), key=sets.__getitem__) if names else None


def _set_of_name(name: str) -> str | None:
    return next((images.name for images in IMAGE_SETS.values() if images.image.fullmatch(name)), None)


def _format_of(names: list[str]) -> str:
    return "hub_file" if any(map(HUB_NAME.fullmatch, names)) else "file"


def _entries(folder: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)
    return []
