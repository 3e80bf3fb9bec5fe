"""Extracted images, side by side or in a folder a class."""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import time

import numpy as np
import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import confirm, digest, opened, stamp
from imagenet_reader.index.members import members_table
from imagenet_reader.layouts.base import Index, Layout, Reader, Snapshot
from imagenet_reader.official import TRAIN_NAME, WNID
from imagenet_reader.reading.addresses import paths_of

OTHER_SUFFIXES = ".jpeg", ".jpg", ".JPG"  # of images that were renamed
LOOKED_UP_AT_ONCE = 100
WARM = 50e-6  # seconds an image: below, the answers come from memory and threads would only wait for each other
THREADS = 16
# changed: the time of change of the image's file, in ns
FILES = pa.schema({"name": pa.binary(), "changed": pa.int64(), "size": pa.int64()})


def image_path(folder, wnids, by_label, name, label):
    """The path of an extracted image; the arguments are those of ``Folder``, and its file name and label."""
    if wnids is None:
        return os.path.join(folder, name)
    return os.path.join(folder, wnids[label] if by_label else name[WNID], name)


@dataclasses.dataclass(frozen=True)
class Folder(Layout):
    """A folder of extracted images.

    Args:
        wnids: the 1,000 wnids if the images are in a folder a class, ``None`` if they are side by side.
        by_label: the class of an image is that of its label, as in validation; else that of its name.
    """

    wnids: tuple | None = None
    by_label: bool = False
    name = "extracted images"

    def _path(self, name, label):
        return image_path(self.path, self.wnids, self.by_label, name, label)

    def look(self, wanted):
        images = wanted()
        table = self._look_up(sorted(self._everything() if images is None else images))
        index = Index(table, FolderReader(self.path, self.wnids, self.by_label))
        return Snapshot(digest(table.to_pydict()), lambda: index)

    def _everything(self):
        for wnid in self.wnids:
            for name in _entries(os.path.join(self.path, wnid)):
                if TRAIN_NAME.fullmatch(os.fsencode(name)) and name[WNID] == wnid:
                    yield name, -1

    def _look_up(self, images):
        """The table of the images that exist; by threads, if the storage keeps one waiting."""
        starts = range(0, len(images), LOOKED_UP_AT_ONCE)
        first, *parts = [images[start : start + LOOKED_UP_AT_ONCE] for start in starts] or [[]]
        started = time.perf_counter()
        members = self._look_up_part(first)
        warm = time.perf_counter() - started < WARM * len(first)
        with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
            members += itertools.chain.from_iterable((map if warm else pool.map)(self._look_up_part, parts))
        return members_table(members, FILES)

    def _look_up_part(self, images):
        members = []
        for name, label in images:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                size, changed = stamp(os.stat(self._path(name, label)))
                members.append((name.encode(), changed, size))
        return members

    def explain(self, missing):
        folders = {os.path.dirname(self._path(*image)): image for image in missing}
        absent = sorted(folder for folder in folders if not os.path.isdir(folder))
        if absent:
            return f"{len(absent):,} class folders are not there: {', '.join(map(os.path.basename, absent))}."
        for folder, (name, _) in folders.items():
            advice = self._explain_folder(folder, os.path.splitext(name)[0])
            if advice:
                return advice
        return self._explain_classes(dict(missing)) or "Unpack the archive again."

    def _explain_folder(self, folder, stem):
        """What is wrong with a folder that lacks an image; ``stem`` is its name without the suffix."""
        entries = sorted(os.listdir(folder))
        renamed = [entry for entry in entries if entry in {stem + suffix for suffix in OTHER_SUFFIXES}]
        if renamed:
            return f"{folder} has {renamed[0]}: rename the files, so that they end in .JPEG as in the archive."
        deeper = [entry for entry in entries if os.path.isdir(os.path.join(folder, entry))]
        if deeper and self.wnids is not None:
            return f"There is a folder {os.path.join(folder, deeper[0])}: move what is in such folders one level up."
        return None

    def _explain_classes(self, classes):
        """How many of the missing images, {name: label}, are in the folder of another class."""
        found = {
            name: wnid
            for wnid in self.wnids or ()
            for name in _entries(os.path.join(self.path, wnid))
            if name in classes
        }
        if not found:
            return ""
        name, wnid = next(iter(found.items()))
        expected = os.path.basename(os.path.dirname(self._path(name, classes[name])))
        example = f"{name} is in {wnid}, and is of class {expected}."
        advice = f" Put all images into {self.path} itself, where no class is needed." if self.by_label else ""
        return f"{len(found):,} of them are in the folder of a wrong class: {example}{advice}"


def _entries(folder):
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)
    return []


@dataclasses.dataclass(frozen=True)
class FolderReader(Reader):
    """Reads extracted images; ``wnids`` and ``by_label`` are those of ``Folder``."""

    wnids: tuple | None
    by_label: bool

    def _path(self, row):
        return self._path_of(row.name, row.label)

    def _path_of(self, name, label):
        return image_path(self.path, self.wnids, self.by_label, name.decode(), label)

    @contextlib.contextmanager
    def opened(self):
        yield self._read, bool  # each image is confirmed as it is read

    def _read(self, row, image):
        path = self._path(row)
        with opened(path) as fd:
            read_file(fd, path, row, image)
            confirm(fd, path, (row.size, row.changed))

    def paths(self, rows, pixels):
        images = zip(rows["name"].tolist(), rows["label"].tolist())
        folders = [os.path.dirname(self._path_of(name, label)) for name, label in images]
        return paths_of("file", rows, pixels, folders, (rows["size"], rows["changed"]))

    def place(self, row):
        return f"The image {self._path(row)}"

    def reading_order(self, rows):
        return np.argsort(rows["name"], kind="stable")


def read_file(fd, path, row, image):
    """Fill the buffer ``image`` with an extracted image.

    Raises:
        ArchiveError: it has fewer bytes.
    """
    count = os.preadv(fd, [image], 0)
    if count != len(image):
        raise ArchiveError(f"{path}: {count:,} of its {len(image):,} bytes were read. Load again.")
