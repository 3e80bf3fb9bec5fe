"""The layout interface: find, list and explain the images of one form of ImageNet; the rest is done here, once."""

import dataclasses
import functools
import glob
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import digest
from imagenet_reader.index.kept import archive_identity, kept_index
from imagenet_reader.official import TEST_ARCHIVES, TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_reader.reading.reader import Reader
from imagenet_reader.sources import Stamp
from imagenet_reader.sources.folders import stamps_of

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """One of the three sets of images, and where people have it.

    Attributes:
        name: ``"train"``, ``"validation"`` or ``"test"``.
        words: what to call the images in a message.
        archives: names of the official archive.
        folders: names of folders, below ``data_dir``, that may hold the images.
        image: the names of images that lie side by side, also those of renamed ones and the Hub's.
    """

    name: str
    words: str
    archives: tuple[str, ...]
    folders: tuple[str, ...]
    image: re.Pattern[str]


IMAGE_SETS = {
    image_set.name: image_set
    for image_set in (
        ImageSet(
            "train",
            "training images",
            (TRAIN_ARCHIVE,),
            ("train", "ILSVRC2012_img_train", ""),
            re.compile(r"n\d{8}_\d+(?:_n\d{8})?\.jpe?g", re.IGNORECASE),
        ),
        ImageSet(
            "validation",
            "validation images",
            (VALIDATION_ARCHIVE,),
            ("val", "validation", "ILSVRC2012_img_val", ""),
            re.compile(r"ILSVRC2012_val_\d+(?:_n\d{8})?\.jpe?g", re.IGNORECASE),
        ),
        ImageSet(
            "test",
            "test images",
            TEST_ARCHIVES,
            ("test", "ILSVRC2012_img_test", ""),
            re.compile(r"ILSVRC2012_test_\d+\.jpe?g", re.IGNORECASE),
        ),
    )
}

Images = set[tuple[str, int]]  # (file name, label)


class Wanted:
    """The images that are wanted of a layout.

    Args:
        find: gives the images; ``None`` for all of them.
        wnids: classes whose training images are all wanted, beside the images.
    """

    def __init__(self, find: Callable[[], Images | None], wnids: frozenset[str] = frozenset()):
        self._find, self.wnids = find, wnids

    @functools.cached_property
    def images(self) -> Images | None:
        """The images, made when they are first asked for."""
        return self._find()


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of a layout at one moment.

    Attributes:
        identity: SHA-256 (hex), which differs after any change; empty if nothing could be read.
        files: the files that hold images.
        stamps: the stamp of each.
        members: the images, if they had to be looked up.
        parts: the snapshots of the layouts that this one consists of, if any.
    """

    identity: str
    files: tuple[str, ...] = ()
    stamps: tuple[Stamp, ...] = ()
    members: pa.Table | None = None
    parts: "tuple[Snapshot, ...]" = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """The images of a layout: ``table`` has the columns ``name``, ``size`` and those that ``reader`` needs."""

    table: pa.Table
    reader: Reader


@dataclasses.dataclass(frozen=True)
class Layout(ABC):
    """Images in one form, at ``path``: a file, a folder, or a pattern of files. Equal layouts hold the same images.

    Attributes:
        name: what to call the form.
        format: how its images lie in their files, a key of ``formats.FORMATS``.
        remote: whether it can be at a URL, too.
        exists: whether it has any images.
        in_place: whether images are read where they are, and not extracted first.
    """

    path: str
    remote: ClassVar[bool] = False
    name: ClassVar[str] = ""
    format: ClassVar[str] = "tar"
    exists: ClassVar[bool] = True
    in_place: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def find(cls, images: ImageSet, data_dir: str) -> "Layout | None":
        """The layout of a set of images in a folder; ``None`` if the folder has none of this form."""

    @classmethod
    def newest(cls, data_dir: str, pattern: str) -> "Self | None":
        """The layout at the last of the files in a folder that match a pattern: "..._patched2019" comes last."""
        found = glob.glob(os.path.join(glob.escape(data_dir), pattern))
        return cls(max(found)) if found else None

    def files(self) -> list[str]:
        """The files that hold the images, in a fixed order."""
        return [self.path]

    @abstractmethod
    def list_members(self, files: list[str]) -> pa.Table:
        """List all images.

        Returns:
            ``pa.Table`` with ``name`` (``binary``, the official file name), ``size`` (bytes), the columns of the
            format, and, if there are several files, ``file`` (``int64``, a number in ``files``); each name once.

        Raises:
            ArchiveError: a file is not what it should be.
        """

    def find_members(self, files: list[str]) -> pa.Table:
        """As ``list_members``, for a layout of which there is no index on this machine."""
        return self.list_members(files)

    def list_images(self, wanted: Wanted) -> pa.Table:
        """All images, or of a folder those that are wanted, with ``name`` and ``size``; nothing is extracted.

        Raises:
            ArchiveError: a file is not what it should be.
        """
        return self.index(self.snapshot(wanted), wanted).table

    def check(self) -> None:  # noqa: B027 (most have nothing to check)
        """Fail early: raise any error of listing the images that is cheap to detect."""

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """Why images, (file name, label), may be missing, and what to do."""
        return "Download it again."

    def explain_incomplete(self, missing: list[tuple[str, int]]) -> str:
        """Why training images, of which ``missing`` has examples, may be missing, and what to do."""
        return self.explain(missing)

    def snapshot(self, wanted: Wanted) -> Snapshot:
        """The current state of the files.

        Raises:
            OSError: a file cannot be read.
        """
        files = tuple(self.files())
        stamps = stamps_of(files)
        return Snapshot(self._identity(files, stamps), files, stamps)

    def _identity(self, files: tuple[str, ...], stamps: tuple[Stamp, ...]) -> str:
        if files == (self.path,):
            return archive_identity(self.path)
        return digest([(os.path.basename(file), *stamp) for file, stamp in zip(files, stamps)])

    def index(self, snapshot: Snapshot, wanted: Wanted) -> Index:
        """The index of the images of a snapshot, made now or taken from the cache.

        Raises:
            ArchiveError: a file is not what it should be, or has changed since.
        """
        files = tuple(self.files())
        if files != snapshot.files or stamps_of(files) != snapshot.stamps:
            raise changed_since(self.path)
        table = kept_index(self.path, snapshot.identity, functools.partial(self.find_members, list(files)))
        return Index(table, Reader(self.format, files, snapshot.stamps))


def changed_since(path: str) -> ArchiveError:
    """The error that files changed after the builder of a dataset was made."""
    return ArchiveError(f"{path} was changed after this builder was made. Make a new one, or load again.")
