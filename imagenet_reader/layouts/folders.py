"""The folders of a ``data_dir`` that may hold images, and what they hold, whatever other files they have."""

import collections
import contextlib
import dataclasses
import os
import re
from collections.abc import Iterable, Iterator

from imagenet_reader.layouts.base import IMAGE_SETS, ImageSet
from imagenet_reader.official import CLASS_TAR
from imagenet_reader.sources.folders import names_in
from imagenet_reader.sources.urls import is_url, join

KAGGLE_TREE = "ILSVRC/Data/CLS-LOC"
CLASS_FOLDER = re.compile(r"n\d{8}")
SAMPLED = 5  # class folders that tell which set such folders hold
FEW = 5  # classes, or images side by side
SYSTEM_FILES = ".", "Thumbs.db", "desktop.ini", "@eaDir"  # prefixes of files that operating systems add


def candidates(images: ImageSet, data_dir: str) -> Iterator[str]:
    """The folders of a ``data_dir`` that may hold a set of images, the likeliest first."""
    for base in (data_dir, os.path.join(data_dir, KAGGLE_TREE)):
        for name in images.folders:
            yield os.path.normpath(os.path.join(base, name))


@dataclasses.dataclass(frozen=True)
class Holdings:
    """What a folder holds of a set of images, each list sorted.

    Attributes:
        path: the folder.
        class_tars: wnids of class tars.
        class_folders: wnids of class folders; none if they hold another set.
        flat: names of images that lie side by side.
        sample: names of images in some of the class folders.
    """

    path: str
    class_tars: list[str]
    class_folders: list[str]
    flat: list[str]
    sample: list[str]

    @classmethod
    def of(cls, images: ImageSet, path: str) -> "Holdings":
        """What a folder holds; nothing if there is no such folder."""
        class_tars, class_folders, flat = [], [], []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(path) as entries:
            for entry in entries:
                if images.image.fullmatch(entry.name):
                    flat.append(entry.name)
                elif CLASS_FOLDER.fullmatch(entry.name) and entry.is_dir():
                    class_folders.append(entry.name)
                elif images.name == "train" and CLASS_TAR.fullmatch(os.fsencode(entry.name)) and entry.is_file():
                    class_tars.append(entry.name.removesuffix(".tar"))
        class_folders.sort()
        is_of_set, sample = _sample(images, path, class_folders)
        return cls(path, sorted(class_tars), class_folders if is_of_set else [], sorted(flat), sample)

    @property
    def unpacked(self) -> list[str]:
        """The wnids of class folders whose class tar is absent."""
        return sorted({*self.class_folders} - {*self.class_tars})

    @property
    def count(self) -> int:
        """The number of classes, or of images side by side."""
        return max(self._classes, len(self.flat))

    @property
    def form(self) -> str:
        """The form of most of the images: ``"flat"``, ``"folders"``, ``"tars"`` or ``"tars and folders"``."""
        if len(self.flat) > self._classes:
            return "flat"
        if not self.class_tars:
            return "folders"
        return "tars and folders" if self.unpacked else "tars"

    @property
    def _classes(self) -> int:
        return len({*self.class_tars, *self.class_folders})


def fullest(images: ImageSet, data_dir: str) -> Holdings | None:
    """The folder of a ``data_dir`` that holds most of a set of images; left-over files elsewhere do not count."""
    holdings = [Holdings.of(images, path) for path in candidates(images, data_dir)]
    most = max(holdings, key=lambda holding: holding.count)
    return most if most.count else None


def is_left_over(images: ImageSet, path: str) -> bool:
    """Whether a folder holds so few of a set that they may be left over, if the set exists elsewhere."""
    return os.path.isdir(path) and Holdings.of(images, path).count < FEW


def find_form(form: str, images: ImageSet, data_dir: str) -> Holdings | None:
    """What ``fullest`` finds, if it has this form."""
    found = fullest(images, data_dir)
    return found if found is not None and found.form == form else None


def class_tars_in(folder: str) -> list[str]:
    """The paths of the class tars in a folder, sorted."""
    names = names_in(folder) if is_url(folder) else sorted(entries_of(folder))
    paths = [join(folder, name) for name in names if CLASS_TAR.fullmatch(os.fsencode(name))]
    return paths if is_url(folder) else list(filter(os.path.isfile, paths))


def entries_of(folder: str) -> list[str]:
    """The names in a folder; none if there is no such folder."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return os.listdir(folder)
    return []


def _sample(images: ImageSet, path: str, class_folders: Iterable[str]) -> tuple[bool, list[str]]:
    """Whether class folders hold a set of images, and names in the first of them that hold images of any set.

    Folders without such images count as training images: their error says what is wrong.
    """
    shares: dict[str, float] = collections.defaultdict(float)
    told, others, sample = 0, False, []
    for wnid in class_folders:
        names = entries_of(os.path.join(path, wnid))
        sets = collections.Counter(filter(None, map(_set_of_name, names)))
        for name, count in sets.items():
            shares[name] += count / sets.total()
        told += bool(sets)
        others = others or not all(name.startswith(SYSTEM_FILES) for name in names)
        sample += [name for name in names if images.image.fullmatch(name)]
        if told == SAMPLED:
            break
    if not shares:
        return images.name == "train" and others, []
    return shares[images.name] == max(shares.values()), sample


def _set_of_name(name: str) -> str | None:
    return next((images.name for images in IMAGE_SETS.values() if images.image.fullmatch(name)), None)
