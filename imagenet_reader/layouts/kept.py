"""Layouts that can be read only from beginning to end: the images that are wanted are kept in tars below ``HF_HOME``.

A kept tar begins with a member that lists the names that were asked for, so that images which the source lacks are
looked for only once.
"""

import contextlib
import dataclasses
import glob
import io
import os
import tarfile
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import IO, ClassVar

import filelock
import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import check_space, digest, in_words
from imagenet_reader.hf.log import logger, warn
from imagenet_reader.hf.progress import progress_bar
from imagenet_reader.index.kept import archive_identity, index_folder, index_path, kept_index, real_path
from imagenet_reader.layouts.base import Index, Layout, Snapshot, Wanted, changed_since
from imagenet_reader.layouts.folders import CLASS_FOLDER
from imagenet_reader.lists import TRAIN_IMAGES_PER_CLASS
from imagenet_reader.official import WNID
from imagenet_reader.reading.reader import Reader
from imagenet_reader.sources.folders import stamps_of, total_size
from imagenet_reader.sources.local import naming
from imagenet_reader.walk.archive import walk_archive

ORIGIN = "comment"  # the field of a kept tar's global header that has the path of what it was made from
ASKED = "asked.txt"  # the first member of a kept tar; empty if all images were asked for
BUFFER = 1 << 20  # bytes that are written at once
IMAGE_BYTES = 150_000  # per image: more than the average


class Names(set[str]):
    """Official file names, and wnids, each of which means all training images of that class."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and super().__contains__(name[WNID]))

    @property
    def images(self) -> int:
        """The most images that these can be."""
        return sum(TRAIN_IMAGES_PER_CLASS[1] if CLASS_FOLDER.fullmatch(name) else 1 for name in self)


Member = tuple[str, bytes]  # official file name, image


@dataclasses.dataclass(frozen=True)
class Stream:
    """Images that are read one after the other.

    Attributes:
        size: bytes that will be read.
        needed: bytes of the images, at most.
        members: ``members(advance)`` yields the images, in any order, and calls ``advance`` with the bytes it has read.
            Damaged files raise ``ArchiveError``.
    """

    size: int
    needed: int
    members: Callable[[Callable[[int], object]], Iterator[Member]]

    @classmethod
    def of_files(
        cls, files: list[str], names: Names | None, members: Callable[[Callable[[int], object]], Iterator[Member]]
    ) -> "Stream":
        """A stream that reads all bytes of files, for images of these names; ``None`` for all images."""
        size = total_size(files)
        return cls(size, size if names is None else min(size, IMAGE_BYTES * names.images), members)


class Kept(Layout):
    """A form of ImageNet from which images are extracted once: each config adds those that no other has asked for."""

    in_place: ClassVar = False
    obstacle: ClassVar[str] = "can be read only from beginning to end"
    way_out: ClassVar[str] = "Unpack it once to avoid this."

    @abstractmethod
    def stream(self, names: Names | None) -> Stream:
        """The images of these official file names; ``None`` for all.

        Raises:
            ArchiveError: a file is not what it should be.
        """

    def list_images(self, wanted: Wanted) -> pa.Table:
        """All images, which reads all files to their ends."""
        stream, sizes = self.stream(None), {}
        with progress_bar(f"Reading {os.path.basename(self.path)}", stream.size) as bar:
            for name, image in stream.members(bar.update):
                sizes[name.encode()] = len(image)
        return pa.table({"name": pa.array(sizes, pa.binary()), "size": pa.array(sizes.values(), pa.int64())})

    def list_members(self, files: list[str]) -> pa.Table:
        """The images in kept tars."""
        tables = []
        for number, file in enumerate(files):
            table = kept_index(file, archive_identity(file), lambda file=file: walk_archive(file))
            tables.append(table.append_column("file", pa.array([number] * len(table), pa.int64())))
        return pa.concat_tables([table.replace_schema_metadata() for table in tables])

    def index(self, snapshot: Snapshot, wanted: Wanted) -> Index:
        """The kept images, once those that are wanted and were not asked for before have been extracted."""
        if self.snapshot(wanted).identity != snapshot.identity:
            raise changed_since(self.path)
        names = None if wanted.images is None else Names({name for name, _ in wanted.images} | wanted.wnids)
        tars = self._tars(snapshot.identity)
        if _not_asked_for(names, tars) != set():
            with self._locked():
                self._forget_others(snapshot.identity)
                tars = self._tars(snapshot.identity)  # another process may have added some
                missing = _not_asked_for(names, tars)
                if missing is None or missing:
                    tars = sorted([*tars, self._extract(missing, tars, snapshot)])
        stamps = stamps_of(tars)
        return Index(self.list_members(tars), Reader(self.format, tuple(tars), stamps, self.path))

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """That what is kept may be removed."""
        return f"Download it again; or if it is complete, delete {self._stem()}-*.tar, and load again."

    def _stem(self) -> str:
        return index_path(self.path).removesuffix(".index")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Context in which no other process extracts images of these files."""
        lock = filelock.FileLock(f"{self._stem()}.tar.lock")
        try:
            os.makedirs(index_folder(), exist_ok=True)
            lock.acquire()
        except OSError as error:
            message = (
                f"{error.strerror}: {self.path} {self.obstacle}, so its images are kept in a folder below HF_HOME, "
                f"which cannot be written. Set HF_HOME to one that can. {self.way_out}"
            )
            raise OSError(error.errno, message, index_folder()) from error
        try:
            yield
        finally:
            lock.release()

    def _tars(self, identity: str) -> list[str]:
        return sorted(glob.glob(f"{glob.escape(self._stem())}-{identity[:16]}-*.tar"))

    def _forget_others(self, identity: str) -> None:
        """Remove what was kept of other files, which were at this path."""
        for tar in set(glob.glob(f"{glob.escape(self._stem())}-*.tar")) - set(self._tars(identity)):
            for path in (tar, index_path(tar)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def _extract(self, names: Names | None, tars: list[str], snapshot: Snapshot) -> str:
        """Extract images into a tar, whose path is returned, in addition to those in other ``tars``."""
        tar = f"{self._stem()}-{snapshot.identity[:16]}-{digest(names and sorted(names))[:16]}.tar"
        unfinished, stream = f"{self._stem()}.tar.tmp", self.stream(names)
        warn(
            f"{self.path} {self.obstacle}: {in_words(stream.size)} are read once, and the images that are asked for "
            f"are extracted into {index_folder()}, where later loads find them. {self.way_out}".rstrip()
        )
        check_space(index_folder(), stream.needed, f"images of {self.path}")
        try:
            with naming(unfinished, f"extracting images of {self.path}"), open(unfinished, "wb", BUFFER) as file:
                found = self._copy(names, tars, file, stream)
                os.fsync(file.fileno())
            if not found and not tars:
                advice = "Download those that hold them, or pass splits=[...] to build only other splits."
                raise ArchiveError(f"{self.path} holds none of the images that are asked for. {advice}")
            if self.snapshot(Wanted(lambda: None)).identity != snapshot.identity:
                raise ArchiveError(f"{self.path} has changed while it was read. Load again once it is complete.")
            os.replace(unfinished, tar)
            logger.info("%d images of %s extracted into %s", found, self.path, tar)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(unfinished)
        return tar

    def _copy(self, names: Names | None, tars: list[str], file: IO[bytes], stream: Stream) -> int:
        """Copy images into an open file, as a tar; return how many there were."""
        have = set(self.list_members(tars)["name"].to_pylist()) if tars else set()
        headers, found = {ORIGIN: real_path(self.path)}, 0
        with (
            progress_bar(f"Reading {os.path.basename(self.path)}", stream.size) as bar,
            tarfile.TarFile(
                mode="w", fileobj=file, format=tarfile.PAX_FORMAT, pax_headers=headers, copybufsize=BUFFER
            ) as target,
        ):
            asked = "\n".join(sorted(names or ())).encode()
            _add(target, ASKED, asked)
            for name, image in stream.members(bar.update):
                if name.encode() not in have:
                    _add(target, name, image)
                    found += 1
        return found


def _add(target: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    target.addfile(member, io.BytesIO(content))
    target.members = []  # type: ignore[attr-defined]  # else all headers stay in memory


def _not_asked_for(names: Names | None, tars: list[str]) -> Names | None:
    """The names that no kept tar was made for; ``None`` for all images, if no kept tar has all."""
    for tar in tars:
        with tarfile.open(tar, "r:") as kept:
            member = kept.next()
            content = kept.extractfile(member) if member is not None and member.name == ASKED else None
            asked = Names(content.read().decode().split()) if content is not None else Names()
        if not asked:
            return Names()
        names = None if names is None else Names(name for name in names if name not in asked)
    return names


def origin_of(tar: str | os.PathLike) -> str | None:
    """The path of what a kept tar was made from; ``None`` if it does not say.

    Raises:
        OSError: the tar cannot be read.
        tarfile.TarError: it is none.
    """
    with tarfile.open(tar, "r:") as kept:
        return kept.pax_headers.get(ORIGIN)
