"""The layout interface: find, list and explain the images in one layout; the rest is done here, once."""

import contextlib
import dataclasses
import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar, NamedTuple

import pyarrow as pa

from imagenet_reader.facts import TEST_ARCHIVES, TRAIN_ARCHIVE, VALIDATION_ARCHIVE, WNID, ArchiveError
from imagenet_reader.files import digest
from imagenet_reader.formats.names import check_unique
from imagenet_reader.formats.tar import BLOCK
from imagenet_reader.index.kept import SUFFIX, archive_identity, kept_index, read_beside
from imagenet_reader.io import Listing, stamps_of
from imagenet_reader.io.local import LocalFile, Stamp
from imagenet_reader.io.paths import is_url
from imagenet_reader.lists import Images
from imagenet_reader.log import warn
from imagenet_reader.reading.batches import Reader
from imagenet_reader.text import format_bytes, what_is


class ImageSet(NamedTuple):
    """One of the three sets of images, and where people have it."""

    name: str
    archives: tuple[str, ...]  # names of the official archive
    folders: tuple[str, ...]  # below ``data_dir``, that may hold the images

    @property
    def image(self) -> str:
        """A regular expression of the names of its images that lie side by side, also renamed ones and the Hub's."""
        stem = r"n\d{8}_\d+" if self.name == "train" else rf"ILSVRC2012_{self.folders[0]}_\d+"
        return rf"{stem}(?:_n\d{{8}})?\.(?:jpe?g|JPE?G)"


IMAGE_SETS = {
    "train": ImageSet("train", (TRAIN_ARCHIVE,), ("train", "ILSVRC2012_img_train", "")),
    "validation": ImageSet("validation", (VALIDATION_ARCHIVE,), ("val", "validation", "ILSVRC2012_img_val", "")),
    "test": ImageSet("test", TEST_ARCHIVES, ("test", "ILSVRC2012_img_test", "")),
}


@dataclasses.dataclass(frozen=True)
class Request:
    """The images that are wanted of a layout."""

    all: bool = False
    images: dict[str, int] = dataclasses.field(default_factory=dict)  # file name -> label of single images
    wnids: Collection[str] = ()  # classes whose training images are all wanted

    def covers(self, name: str) -> bool:
        """Whether the image with an official file name is wanted."""
        return self.all or name in self.images or name[WNID] in self.wnids


ALL = Request(all=True)


class Snapshot(NamedTuple):
    """The state of a layout: an identity, SHA-256 (hex); it differs after any change; and the stamps of files."""

    identity: str
    stamps: tuple[Stamp, ...] = ()


class Index(NamedTuple):
    """The images of a layout: ``table`` has the columns ``name``, ``size`` and those that ``reader`` needs."""

    table: pa.Table
    reader: Reader


@dataclasses.dataclass(frozen=True)
class Layout(ABC):
    """Images in one layout, at ``path``: a file, a folder or a pattern of files. Equal layouts hold the same images."""

    path: str
    files: tuple[str, ...] = dataclasses.field(compare=False)  # that hold the images, in a fixed order
    name: ClassVar[str] = ""  # what to call the layout
    format: ClassVar[str] = "tar"  # how its images lie in their files, a key of ``formats.images.FORMATS``
    remote: ClassVar[bool] = False  # whether it can be at a URL, too
    indexable: ClassVar[bool] = False  # whether it has an index of all images, for reading by ranges at a URL, too
    magic: ClassVar[tuple[bytes, ...]] = ()  # how its files begin, if they begin like other files without images
    index_version: ClassVar[str] = ""  # changes with ``list_members``, so that cached indexes are made again
    in_place: ClassVar[bool] = True  # whether images are read where they are, and not extracted first

    @classmethod
    @abstractmethod
    def find(cls, images: ImageSet, data_dir: str, listing: Listing) -> "Layout | None":
        """The layout of a set of images in a folder; ``None`` if the folder has none of this kind."""

    @abstractmethod
    def list_members(self) -> pa.Table:
        """All images, once: ``name`` (``binary``, the official file name), ``size`` (bytes), the columns of the format,
        and, if there are several files, ``file`` (``int64``, a number in ``files``). ``ArchiveError`` if one is wrong.
        """

    def check(self) -> None:  # noqa: B027 (most have nothing to check)
        """Fail early: raise any error of listing the images that is cheap to detect."""

    def explain(self, missing: Images) -> str:
        """Why images, of which ``missing`` has examples, may be missing, and what to do."""
        return self.clarify("Download it again.")

    def snapshot(self) -> Snapshot:
        """The current state of the files."""
        stamps = stamps_of(self.files)
        if self.files == (self.path,):
            return Snapshot(archive_identity(self.path), stamps)
        return Snapshot(digest([(os.path.basename(file), *stamp) for file, stamp in zip(self.files, stamps)]), stamps)

    def is_unchanged(self, snapshot: Snapshot) -> bool:
        """Whether the files are still as they were."""
        return stamps_of(self.files) == snapshot.stamps

    def list_images(self, request: Request) -> pa.Table:
        """All images, or of a folder those that are requested, with ``name`` and ``size``; nothing is extracted."""
        return self.index(self.snapshot(), request).table

    def index(self, snapshot: Snapshot, request: Request) -> Index:
        """The index of a snapshot, from the cache or made now; ``ArchiveError`` as of ``list_members``."""
        table = kept_index(self.path, self._key(snapshot), self._find_members)
        return Index(table, Reader(self.format, self.files, snapshot.stamps))

    def make_index(self) -> pa.Table:
        """The index of all images; remote files without one are read completely."""
        return kept_index(self.path, self._key(self.snapshot()), functools.partial(self._find_members, read_all=True))

    def _key(self, snapshot: Snapshot) -> str:
        return snapshot.identity + self.index_version

    @property
    def index_url(self) -> str:
        """Where the index of remote files is expected: beside them."""
        folder, _, name = self.path.rpartition("/")
        return f"{folder}/{name.partition('*')[0].rstrip('-.')}{SUFFIX}"

    def _find_members(self, read_all: bool = False) -> pa.Table:
        """All images; of remote files, from the index beside them, unless they may be read completely."""
        if not (self.indexable and is_url(self.path)):
            with self.clarifying():
                return self.list_members()
        found = read_beside(self.index_url, self.files)
        if found is not None:
            return found
        if read_all:
            size = format_bytes(sum(stamp.size for stamp in stamps_of(self.files)))
            warn(f"{self.path} has no index: {size} are read once to make it.")
            return self.list_members()
        place = os.path.dirname(self.path) if "*" in self.path else self.path
        raise ArchiveError(
            f"{self.path} has no index, so its images cannot be found without reading all of it. Run once: "
            f"imagenet-subsets index {place}. It reads all bytes and keeps the index. Or write the index where the "
            f"files are on a disk (imagenet-subsets index FOLDER --output INDEXES), and put it beside them, as "
            f"{self.index_url}."
        )

    @contextlib.contextmanager
    def clarifying(self) -> Iterator[None]:
        """Context in which the message of an ``ArchiveError`` is clarified."""
        try:
            yield
        except ArchiveError as error:
            raise type(error)(self.clarify(str(error))) from error

    def clarify(self, message: str) -> str:
        """What files without images are, by their first bytes; ``message`` if these do not tell."""
        starts = {path: LocalFile(path).read(0, BLOCK) for path in self.files if not is_url(path)}
        whats = {path: what_is(start) for path, start in starts.items() if not start.startswith(self.magic)}
        others = [f"{path} is {what}" for path, what in whats.items() if what]
        return f"{others[0]} (files without images: {len(others):,} of {len(self.files):,})." if others else message


def numbered(tables: Sequence[pa.Table]) -> pa.Table:
    """The members of several files as one table, with the column ``file``."""
    numbers = [pa.array([number] * len(table), pa.int64()) for number, table in enumerate(tables)]
    columns = zip(tables, numbers)
    return pa.concat_tables([table.append_column("file", number) for table, number in columns]).combine_chunks()


def join_tables(tables: Sequence[pa.Table], files: Sequence[str]) -> pa.Table:
    """As ``numbered``; an error if two files hold the same image."""
    table = numbered(tables)
    check_unique(table, files)
    return table
