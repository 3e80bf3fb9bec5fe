"""Which layout a folder has."""

import contextlib
import dataclasses
import glob
import itertools
import os
import re

from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import opened
from imagenet_reader.layouts.base import Layout, Snapshot
from imagenet_reader.layouts.class_tars import ClassTars
from imagenet_reader.layouts.folder import Folder
from imagenet_reader.layouts.kaggle_tar_gz import KaggleTarGz
from imagenet_reader.layouts.kaggle_zip import KaggleZip
from imagenet_reader.layouts.tar_archive import TarArchive, describe_absent
from imagenet_reader.official import CLASS_TAR, FIRST_MEMBERS, TEST_ARCHIVES, TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_reader.walk.archive import first_member

KAGGLE_TREE = "ILSVRC/Data/CLS-LOC"
KAGGLE_ZIP = "imagenet-object-localization-challenge*.zip"
KAGGLE_TAR_GZ = "imagenet_object_localization*.tar.gz"
WNID_FOLDER = re.compile(r"n\d{8}")
SYSTEM_FILES = ".", "Thumbs.db"  # how the names of files begin that systems put into folders
MAX_FOLDERS = 200  # searched for images that are one or two levels too deep


@dataclasses.dataclass(frozen=True)
class Kind:
    """Where images of a kind may be: the archives, the folders, and the names of images that lie side by side."""

    archives: tuple
    folders: tuple
    image: re.Pattern | None


KINDS = {
    "train": Kind((TRAIN_ARCHIVE,), ("train", "ILSVRC2012_img_train", ""), None),
    "validation": Kind(
        (VALIDATION_ARCHIVE,),
        ("val", "validation", "ILSVRC2012_img_val", ""),
        re.compile(r"ILSVRC2012_val_\d+\.jpe?g", re.IGNORECASE),
    ),
    "test": Kind(
        TEST_ARCHIVES,
        ("test", "ILSVRC2012_img_test", ""),
        re.compile(r"ILSVRC2012_test_\d+\.jpe?g", re.IGNORECASE),
    ),
}


def find_layout(kind, data_dir, wnids):
    """Where the images of a kind are in a folder: the first of the layouts that is there.

    Args:
        kind: ``"train"``, ``"validation"`` or ``"test"``.
        data_dir: the folder.
        wnids: the 1,000 wnids in label order.

    Returns:
        ``base.Layout``; if there is none, a ``Missing`` one, which raises when it is used.
    """
    archives = KINDS[kind].archives
    for name in archives:
        if os.path.lexists(os.path.join(data_dir, name)):
            return TarArchive(os.path.join(data_dir, name))
    for base in (data_dir, os.path.join(data_dir, KAGGLE_TREE)):
        for name in KINDS[kind].folders:
            layout = _find_folder(kind, os.path.normpath(os.path.join(base, name)), wnids)
            if layout is not None:
                return layout
    for layout, pattern in ((KaggleZip, KAGGLE_ZIP), (KaggleTarGz, KAGGLE_TAR_GZ)):
        found = glob.glob(os.path.join(glob.escape(data_dir), pattern))
        if found:
            return layout(max(found))  # "..._patched2019" comes last
    return Missing(os.path.join(data_dir, archives[0]), kind, tuple(wnids))


def _find_folder(kind, path, wnids):
    try:
        entries = list(os.scandir(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    class_tars = sum(CLASS_TAR.fullmatch(os.fsencode(entry.name)) is not None for entry in entries)
    classes = sorted(entry.path for entry in entries if WNID_FOLDER.fullmatch(entry.name) and entry.is_dir())
    if kind == "train" and class_tars >= max(len(classes), 1):
        return ClassTars(path)
    inside = (entry.name for folder in classes for entry in os.scandir(folder))
    first = next((name for name in inside if not name.startswith(SYSTEM_FILES)), None)
    by_label = first is not None and KINDS["validation"].image.fullmatch(first) is not None
    if first is not None and kind == ("validation" if by_label else "train"):
        return Folder(path, tuple(wnids), by_label)
    if kind != "train" and any(KINDS[kind].image.fullmatch(entry.name) for entry in entries):
        return Folder(path)
    return None


@dataclasses.dataclass(frozen=True)
class Missing(Layout):
    """No layout is there; ``path`` is where the official archive would be."""

    kind: str
    wnids: tuple

    def check(self):
        folder = os.path.dirname(self.path)
        if os.path.isfile(folder):
            raise FileNotFoundError(f"data_dir={folder!r} is a file: pass the folder that it is in.")
        raise FileNotFoundError(describe_absent(self.path, self._hint(folder)))

    def look(self, wanted):
        return Snapshot("", self.check)

    def _hint(self, folder):
        """Where such images are after all: one or two folders deeper, or in an archive of another name."""
        patterns = (os.path.join(glob.escape(folder), pattern, "") for pattern in ("*", "*/*"))
        deeper = itertools.chain.from_iterable(map(glob.iglob, patterns))
        for found in itertools.islice(deeper, MAX_FOLDERS):
            with contextlib.suppress(PermissionError):
                if not isinstance(find_layout(self.kind, found.rstrip("/"), self.wnids), Missing):
                    advice = f"pass data_dir={found!r}, or move what is in there one level up."
                    return f" But {found} has such images: {advice}"
        expected = FIRST_MEMBERS[os.path.basename(self.path)]
        for found in sorted(glob.glob(os.path.join(glob.escape(folder), "*.tar"))):
            with contextlib.suppress(ArchiveError, OSError), opened(found) as fd:
                if expected.fullmatch(first_member(fd, found, os.fstat(fd).st_size)):
                    return f" But {found} looks like it: rename it."
        return ""
