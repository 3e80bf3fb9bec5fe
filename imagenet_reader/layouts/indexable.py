"""Layouts that are read by ranges at a URL, too, with an index; without one, all bytes are passed once."""

import collections
import dataclasses
import functools
import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ClassVar, NamedTuple

import pyarrow as pa

from imagenet_reader.formats import format_of
from imagenet_reader.hf.progress import progress_bar
from imagenet_reader.index.beside import SUFFIX, read_beside
from imagenet_reader.index.kept import is_indexed, kept_index
from imagenet_reader.layouts.base import ImageSet, Layout, Wanted
from imagenet_reader.layouts.kept import Kept, Member, Names, Stream
from imagenet_reader.layouts.sharded import joined
from imagenet_reader.sources import File
from imagenet_reader.sources.fetched import FetchedFile
from imagenet_reader.sources.folders import stamps_of, total_size
from imagenet_reader.sources.remote import RemoteFile
from imagenet_reader.sources.urls import is_url

Advance = Callable[[int], object]  # is called with numbers of bytes, like a progress bar's ``update``


class Passed(NamedTuple):
    """A part of the files that was just passed.

    Attributes:
        members: the images in it, as ``Layout.list_members`` lists them.
        file: what their bytes can be read from, as long as the next part is not asked for.
    """

    members: pa.Table
    file: File


class Indexable(Layout):
    """A layout that is read by ranges. At a URL, its index is a file beside it, see ``index.beside``."""

    remote: ClassVar = True

    @abstractmethod
    def passes(self, files: list[str], advance: Advance) -> Iterator[Passed]:
        """Pass over all bytes of remote files, in their order.

        Raises:
            ArchiveError: a file is not what it should be.
            OSError: it cannot be read.
        """

    def join(self, tables: list[pa.Table], files: list[str]) -> pa.Table:
        """The members of all parts as one table, with the column ``file``; each part is a file, unless overridden."""
        return joined(tables, files)

    @property
    def index_url(self) -> str:
        """Where the index of remote files is expected: beside them."""
        folder, _, name = self.path.rpartition("/")
        return f"{folder}/{name.partition('*')[0].rstrip('-.')}{SUFFIX}"

    def find_members(self, files: list[str]) -> pa.Table:
        """All images; of remote files, from the index beside them, or by a pass over all their bytes."""
        if not is_url(self.path):
            return self.list_members(files)
        found = read_beside(self.index_url, files)
        if found is not None:
            return found
        with progress_bar(f"Indexing {os.path.basename(self.path)}", total_size(files)) as bar:
            return self.join([part.members for part in self.passes(files, bar.update)], files)

    def or_one_pass(self) -> Layout:
        """This layout, or, if it is remote and has no index, the one that extracts images in one pass.

        Raises:
            ArchiveError: the index beside it is damaged, or of other files.
        """
        if not is_url(self.path):
            return self
        files, identity = self.files(), self.snapshot(Wanted(lambda: None)).identity
        if not is_indexed(self.path, identity):
            beside = read_beside(self.index_url, files)
            if beside is None:
                return OnePass(self.path, self)
            kept_index(self.path, identity, lambda: beside)
        return self


@dataclasses.dataclass(frozen=True)
class OnePass(Kept):
    """Remote files without an index: a pass over all their bytes indexes them, and extracts wanted images on the way.

    Attributes:
        layout: the layout of the files.
    """

    layout: Indexable
    name: ClassVar = "remote files without an index"
    obstacle: ClassVar = "has no index"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> None:
        """Nothing: ``Indexable.or_one_pass`` makes it."""

    @property
    def way_out(self) -> str:  # type: ignore[override]  # it names the file
        """How to avoid the pass."""
        return (
            f"To avoid this, put an index beside it, as {self.layout.index_url}: where the files are on a disk, "
            "imagenet-subsets index FOLDER --output INDEXES writes it."
        )

    def files(self) -> list[str]:
        """The remote files."""
        return self.layout.files()

    def check(self) -> None:
        """Fail early, as the layout."""
        self.layout.check()

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """Why images may be missing."""
        return self.layout.explain(missing)

    def list_images(self, wanted: Wanted) -> pa.Table:
        """All images; nothing is extracted, but the files are indexed."""
        return self.layout.list_images(wanted)

    def stream(self, names: Names | None) -> Stream:
        """The images in the order of the files."""
        return Stream.of_files(self.files(), names, functools.partial(self._members, names))

    def _members(self, names: Names | None, advance: Advance) -> Iterator[Member]:
        files, identity = self.files(), self.snapshot(Wanted(lambda: None)).identity
        header, tables = format_of(self.layout.format).header, []
        for part in self.layout.passes(files, advance):
            tables.append(part.members)
            for name, offset, size in zip(*(part.members[column].to_pylist() for column in ("name", "offset", "size"))):
                official = os.fsdecode(name)
                if names is None or official in names:
                    yield official, part.file.read(offset + header, size)
        kept_index(self.path, identity, lambda: self.layout.join(tables, files))


def pass_files(files: list[str], list_file: Callable[[File], pa.Table], advance: Advance) -> Iterator[Passed]:
    """Pass over remote files that fit into memory; while one is used, the next is fetched.

    Args:
        files: URLs.
        list_file: lists the images in a file.
        advance: is called with the size of each file.
    """
    stop = threading.Event()
    left = collections.deque(RemoteFile(file, stamp, stop) for file, stamp in zip(files, stamps_of(files)))
    fetching: collections.deque[Future[FetchedFile]] = collections.deque()
    with ThreadPoolExecutor(1) as pool:
        try:
            while left or fetching:
                while left and len(fetching) < 2:
                    fetching.append(pool.submit(_content, left.popleft()))
                file = fetching.popleft().result()
                yield Passed(list_file(file), file)
                advance(file.stamp().size)
        finally:
            stop.set()


def _content(file: RemoteFile) -> FetchedFile:
    return FetchedFile(file.path, 0, file.read(0, file.known.size), file.known)
