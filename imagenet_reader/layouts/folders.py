"""Extracted images, side by side or in class folders, and the folders of a ``data_dir`` that may hold images.

The identity of extracted images is that of their folders: inode and modification time. Under it, their index is kept,
which grows by the images that are looked up. Overwriting an image in place changes no folder: so images that were empty
or damaged are looked up again by each load, and any other is compared with its index when it is read.
"""

import collections
import contextlib
import dataclasses
import os
import re
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.facts import CLASS_TAR, TRAIN_NAME, WNID
from imagenet_reader.files import digest
from imagenet_reader.formats.images import FORMATS
from imagenet_reader.formats.names import official_name
from imagenet_reader.index.kept import DOUBTED, SOUND, load_index, locked_index, store_index
from imagenet_reader.io import Listing
from imagenet_reader.io.local import stamp_of_status
from imagenet_reader.io.paths import is_url, join
from imagenet_reader.layouts.base import ALL, IMAGE_SETS, ImageSet, Index, Layout, Request, Snapshot
from imagenet_reader.lists import Images, label_of, label_of_wnid, read_wnids
from imagenet_reader.reading.batches import Reader
from imagenet_reader.text import shorten

KAGGLE_TREE = "ILSVRC/Data/CLS-LOC"
CLASS_FOLDER = r"n\d{8}"
SAMPLED = 5  # class folders that tell which set such folders hold
FEW = 5  # classes, or images side by side
SYSTEM_FILES = ".", "Thumbs.db", "desktop.ini", "@eaDir"  # prefixes of files that operating systems add
HUB_NAME = re.compile(r"(?:n\d{8}|ILSVRC2012_val)_\d+_n\d{8}\.JPEG")
THREADS, PART = 16, 1000  # images that a thread looks up at once
# changed: the modification time of the image's file, in ns; file: the number of its folder
FILES = pa.schema({"name": pa.binary(), **dict.fromkeys(("changed", "size", "file", DOUBTED), pa.int64())})


# --------------------------------------------------------------------------------- what folders hold


class Holdings(NamedTuple):
    """What a folder holds of a set of images, each list sorted."""

    path: str
    class_tars: list[str]  # their wnids
    class_folders: list[str]  # their wnids; none if they hold another set
    flat: list[str]  # names of images that lie side by side
    sample: list[str]  # names of images in some of the class folders

    @property
    def classes(self) -> int:
        """The number of classes."""
        return len({*self.class_tars, *self.class_folders})

    @property
    def images_or_classes(self) -> int:
        """The number of classes, or of images side by side."""
        return max(self.classes, len(self.flat))

    @property
    def is_flat(self) -> bool:
        """Whether most of the images lie side by side."""
        return len(self.flat) > self.classes


def holdings_of(images: ImageSet, path: str, listing: Listing) -> Holdings:
    """What a folder holds of a set of images; nothing if there is no such folder."""
    flat = listing.matching(path, images.image)
    tars = [name[WNID] for name in listing.matching(path, CLASS_TAR.pattern.decode())] if images.name == "train" else []
    folders = [] if is_url(path) else listing.matching(path, CLASS_FOLDER)
    is_of_set, sample = _sample(images, path, folders, listing)
    return Holdings(path, tars, folders if is_of_set else [], flat, sample)


def _sample(images: ImageSet, path: str, folders: Iterable[str], listing: Listing) -> tuple[bool, list[str]]:
    """Whether class folders hold a set of images, and names in the first of them that hold images of any set.

    Folders without such images count as training images: their error says what is wrong.
    """
    shares: dict[str, float] = collections.defaultdict(float)
    told, others, sample = 0, False, list[str]()
    for folder in (os.path.join(path, name) for name in folders):
        names = listing.names(folder)
        counts = {name: len(listing.matching(folder, of_set.image)) for name, of_set in IMAGE_SETS.items()}
        for name, count in counts.items():
            shares[name] += count / max(1, sum(counts.values()))
        told += any(counts.values())
        others = others or not all(name.startswith(SYSTEM_FILES) for name in names)
        sample += listing.matching(folder, images.image)
        if told == SAMPLED:
            break
    if not told:
        return images.name == "train" and others, []
    return shares[images.name] == max(shares.values()), sample


def fullest(images: ImageSet, data_dir: str, listing: Listing) -> Holdings | None:
    """The folder of a ``data_dir`` that holds most of a set of images; left-over files elsewhere do not count."""
    bases = [data_dir] if is_url(data_dir) else [data_dir, os.path.join(data_dir, KAGGLE_TREE)]
    paths = [join(base, name) if name else base for base in bases for name in images.folders]
    holdings = [holdings_of(images, path, listing) for path in paths]
    most = max(holdings, key=lambda holding: holding.images_or_classes)
    return most if most.images_or_classes else None


# ---------------------------------------------------------------------------------- extracted images


@dataclasses.dataclass(frozen=True)
class Folder(Layout):
    """A folder of extracted images; ``files`` are the folders that the images are in."""

    by_class: bool = False  # whether the images are in class folders; else side by side
    by_label: bool = False  # whether the class folder follows from the label, as for validation; else from the name
    name: ClassVar = "extracted images"
    format: ClassVar = "file"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str, listing: Listing) -> "Folder | None":
        found = None if is_url(data_dir) else fullest(images, data_dir, listing)
        if found is None or (found.class_tars and not found.is_flat):
            return None
        if found.is_flat:
            return _kind(found.flat)(found.path, (found.path,))
        folders = tuple(os.path.join(found.path, wnid) for wnid in read_wnids())
        return _kind(found.sample)(found.path, folders, by_class=True, by_label=images.name == "validation")

    @property
    def _kept_at(self) -> str:
        """Under which path its index is kept: a folder can hold one set by class, and another one side by side."""
        return self.path if self.by_class else os.path.join(self.path, "*")

    def list_members(self) -> pa.Table:
        return self.list_images(ALL)

    def is_unchanged(self, snapshot: Snapshot) -> bool:
        return self.snapshot() == snapshot

    def snapshot(self) -> Snapshot:
        """The state of the folders, and of the images that were found empty or damaged before."""
        identity = self._identity()
        table = load_index(self._kept_at, identity)
        doubted = table and table.filter(pc.greater(table[DOUBTED], SOUND))
        if not doubted:
            return Snapshot(identity)
        names = [os.fsdecode(name) for name in doubted["name"].to_pylist()]
        now = self._look_up([(name, label_of(name)) for name in names])
        before = dict(zip(names, doubted[DOUBTED].to_pylist()))
        mended = [row for row in now if row[1] + row[2] != before[os.fsdecode(row[0])]]
        return Snapshot(digest([identity, mended]) if mended else identity)

    def _identity(self) -> str:
        states = []
        for folder in self.files:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                status = os.stat(folder)
                states.append((os.path.basename(folder), status.st_ino, status.st_mtime_ns))
        return digest(states)

    def index(self, snapshot: Snapshot, request: Request) -> Index:
        """The index of the images that are requested; those that it lacks, or doubts, are looked up."""
        identity = self._identity()
        wanted = dict(self._list(request)) | request.images
        with locked_index(self._kept_at):
            kept = load_index(self._kept_at, identity)
            table = FILES.empty_table() if kept is None else kept.replace_schema_metadata()
            doubts = dict(zip(table["name"].to_pylist(), table[DOUBTED].to_pylist()))
            unknown = [image for image in wanted.items() if doubts.get(image[0].encode()) != SOUND]
            rows = [(*row, doubts.get(row[0], SOUND if row[2] else row[1])) for row in self._look_up(unknown)]
            names = pa.array([name.encode() for name, _ in unknown], pa.binary())
            others = table.filter(pc.invert(pc.is_in(table["name"], value_set=names)))
            found = pa.table([pa.array(column) for column in zip(*rows)], FILES) if rows else FILES.empty_table()
            grown = pa.concat_tables([others, found]).sort_by("name")
            if not grown.equals(table):
                store_index(self._kept_at, identity, grown)
        return Index(grown.drop_columns(DOUBTED), Reader(self.format, self.files, folder=self._kept_at))

    def _path(self, name: str, label: int) -> tuple[int, str]:
        """The number of the folder of an image, and where its file is."""
        number = 0
        if self.by_class:
            number = label if self.by_label else label_of_wnid()[name[WNID]]
        file_name = os.fsdecode(FORMATS[self.format].file_name(name.encode(), label))
        return number, os.path.join(self.files[number], file_name)

    def _list(self, request: Request) -> Iterator[tuple[str, int]]:
        """The training images that a request wants completely."""
        for folder in self.files if request.all or request.wnids else ():
            wnid = os.path.basename(folder) if self.by_class else ""
            if wnid and not request.all and wnid not in request.wnids:
                continue
            for entry in Listing().names(folder):
                name = official_name(entry) if isinstance(self, HubFolder) else entry
                if name and TRAIN_NAME.fullmatch(os.fsencode(name)) and name.startswith(wnid) and request.covers(name):
                    yield name, -1

    def _look_up(self, images: Images) -> list[tuple[Any, ...]]:
        """The first columns of ``FILES`` for those of the images that exist."""
        parts = [images[start : start + PART] for start in range(0, len(images), PART)]
        with ThreadPoolExecutor(THREADS) as pool:
            return [row for part in pool.map(self._look_up_part, parts) for row in part]

    def _look_up_part(self, images: Images) -> list[tuple[Any, ...]]:
        """What is no regular file, or a broken link, has size 0."""
        rows = []
        for name, label in images:
            number, path = self._path(name, label)
            try:
                status = os.stat(path)
                size, changed = stamp_of_status(status)
                rows.append((name.encode(), changed, size if stat.S_ISREG(status.st_mode) else 0, number))
            except (FileNotFoundError, NotADirectoryError):
                if os.path.islink(path):
                    rows.append((name.encode(), 0, 0, number))
        return rows

    def explain(self, missing: Images) -> str:
        """Which class folders are absent, or what is wrong with the images or their folders."""
        if not self.by_class and re.fullmatch(CLASS_FOLDER, os.path.basename(self.path)):
            return f"It is the folder of one class: pass data_dir={os.path.dirname(self.path)!r}, the folder of all."
        paths = [self._path(name, label)[1] for name, label in missing]
        folders = dict.fromkeys(map(os.path.dirname, paths))
        absent = sorted(os.path.basename(folder) for folder in folders if not os.path.isdir(folder))
        if absent:
            return f"{len(absent):,} class folders are missing: {shorten(absent)}. Unpack these classes again."
        return _explain_unusable(paths) or _explain_deeper(paths) or "Unpack the archive again."


class HubFolder(Folder):
    """The same, with names that end in the class."""

    format: ClassVar = "hub_file"


def _kind(names: list[str]) -> type[Folder]:
    """The kind of a folder, by whether most of the names of its images are the Hub's."""
    return HubFolder if 2 * sum(map(bool, map(HUB_NAME.fullmatch, names))) > len(names) else Folder


def _explain_unusable(paths: list[str]) -> str:
    found = [path for path in paths if os.path.lexists(path)]
    if not found:
        return ""
    target = f", a broken link to {os.readlink(found[0])}" if not os.path.exists(found[0]) else ""
    return (
        f"{len(found):,} of them are empty files, broken links or no files, such as {found[0]}{target}: unpack them "
        "again; a disk that was full leaves empty files."
    )


def _explain_deeper(paths: list[str]) -> str:
    names, listing = set(map(os.path.basename, paths)), Listing()
    for folder in dict.fromkeys(map(os.path.dirname, paths)):
        for deeper in (os.path.join(folder, name) for name in listing.matching(folder, r"[^.@\n].*")):
            if names.intersection(listing.names(deeper)):
                return f"There is a folder {deeper}: move what is in such folders one level up."
    return ""
