"""The folders of a ``data_dir`` that may hold images, and what they hold."""

import dataclasses
import os
import re
from collections.abc import Iterator

from imagenet_reader.layouts.base import ImageSet
from imagenet_reader.official import CLASS_TAR

KAGGLE_TREE = "ILSVRC/Data/CLS-LOC"
CLASS_FOLDER = re.compile(r"n\d{8}")


def candidates(images: ImageSet, data_dir: str) -> Iterator[str]:
    """The folders of a ``data_dir`` that may hold a set of images, the likeliest first."""
    for base in (data_dir, os.path.join(data_dir, KAGGLE_TREE)):
        for name in images.folders:
            yield os.path.normpath(os.path.join(base, name))


@dataclasses.dataclass(frozen=True)
class Entries:
    """What a folder holds, each list sorted: names of class tars, of class folders, and of all other entries."""

    class_tars: list[str]
    class_folders: list[str]
    others: list[str]

    @classmethod
    def of(cls, path: str) -> "Entries":
        """The entries of a folder; none if there is no such folder."""
        class_tars, class_folders, others = [], [], []
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            entries = []
        for entry in entries:
            if CLASS_TAR.fullmatch(os.fsencode(entry.name)):
                class_tars.append(entry.name)
            elif CLASS_FOLDER.fullmatch(entry.name) and entry.is_dir():
                class_folders.append(entry.name)
            else:
                others.append(entry.name)
        return cls(class_tars, class_folders, others)
