"""Layouts that can be read only from beginning to end: the images that are wanted are extracted once, into tars below
``HF_HOME``.

A member of such a tar lists the names that were asked for, so that images which the source lacks are looked for only
once.
"""

import contextlib
import functools
import glob
import gzip
import io
import os
import tarfile
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.facts import WNID, ArchiveError
from imagenet_reader.files import check_space, digest, naming, write_atomically
from imagenet_reader.formats.names import official_name
from imagenet_reader.formats.parquet import find_row_groups, read_images
from imagenet_reader.formats.tar import BLOCK, walk_archive
from imagenet_reader.index.kept import acquire_lock, archive_identity, index_folder, index_path, kept_index, real_path
from imagenet_reader.io import open_file, open_python_file, stamps_of
from imagenet_reader.io.remote import RemoteError
from imagenet_reader.layouts.archives import KaggleArchive
from imagenet_reader.layouts.base import ALL, Index, Layout, Request, Snapshot, numbered
from imagenet_reader.layouts.shards import Sharded
from imagenet_reader.lists import TRAIN_IMAGES_PER_CLASS
from imagenet_reader.log import logger, progress_bar, warn
from imagenet_reader.reading.batches import Reader
from imagenet_reader.text import format_bytes

ORIGIN = "comment"  # the field of a tar's global header that has the path of what it was made from
ASKED = "asked.txt"  # this member of such a tar; empty if all images were asked for
BUFFER = 1 << 20  # bytes that are read or written at once
IMAGE_BYTES = 150_000  # per image: more than the average
DAMAGED = tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile

Advance = Callable[[int], object]  # is called with numbers of bytes, like a progress bar's ``update``
Member = tuple[str, bytes]  # official file name, image


class Stream(NamedTuple):
    """Images that are read one after the other; sizes are in bytes."""

    size: int  # of what will be read
    needed: int  # of the images, at most
    members: Callable[[Advance], Iterator[Member]]  # yields them in any order; damaged files raise ArchiveError


class Extracted(Layout):
    """A layout from which images are extracted once: each config adds those that no other has asked for."""

    in_place: ClassVar = False
    obstacle: ClassVar[str] = "can be read only from beginning to end"
    way_out: ClassVar[str] = "Unpack it once to avoid this."

    @abstractmethod
    def stream(self, request: Request) -> Stream:
        """The images of a request."""

    def list_members(self) -> pa.Table:
        stream, sizes = self.stream(ALL), {}
        with progress_bar(f"Reading {os.path.basename(self.path)}", stream.size) as bar:
            for name, image in stream.members(bar.update):
                sizes[name.encode()] = len(image)
        return pa.table({"name": pa.array(sizes, pa.binary()), "size": pa.array(sizes.values(), pa.int64())})

    def list_images(self, request: Request) -> pa.Table:
        return self._find_members()

    def index(self, snapshot: Snapshot, request: Request) -> Index:
        """The extracted images, once those that are wanted and were not asked for before have been extracted."""
        tars = self._tars(snapshot.identity)
        if _missing(request, tars):
            with self._locked():
                self._remove_others(snapshot.identity)
                missing = _missing(request, self._tars(snapshot.identity))  # another process may have added some
                if missing:
                    with self.clarifying():
                        self._extract(missing, snapshot)
            tars = self._tars(snapshot.identity)
        paths = tuple(tar.path for tar in tars)
        return Index(numbered([tar.table for tar in tars]), Reader(self.format, paths, stamps_of(paths)))

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """Say that what was extracted may be removed."""
        return f"Download it again; or if it is complete, delete {self._stem()}-*.tar, and load again."

    def _stem(self) -> str:
        return index_path(self.path).removesuffix(".index")

    def _locked(self) -> contextlib.AbstractContextManager[Any]:
        """Context in which no other process extracts images of these files."""
        try:
            return acquire_lock(f"{self._stem()}.tar.lock")
        except OSError as error:
            message = (
                f"{error.strerror}: {self.path} {self.obstacle}, so its images are kept in a folder below HF_HOME, "
                f"which cannot be written. Set HF_HOME to one that can. {self.way_out}"
            )
            raise OSError(error.errno, message, index_folder()) from error

    def _tars(self, identity: str) -> "list[_Tar]":
        return [_read_tar(path, self.path) for path in sorted(self._found(f"-{identity[:16]}-*.tar"))]

    def _found(self, pattern: str) -> set[str]:
        return set(glob.glob(glob.escape(self._stem()) + pattern))

    def _remove_others(self, identity: str) -> None:
        """Remove what was extracted from other files, which were at this path, or by a process that was killed."""
        old = self._found("-*.tar") - self._found(f"-{identity[:16]}-*.tar")
        for tar in old | self._found("*.tar.tmp"):
            for path in (tar, index_path(tar)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def _extract(self, request: Request, snapshot: Snapshot) -> None:
        """Extract images into another tar; after a failure of the transfer, those that have arrived."""
        names = None if request.all else sorted({*request.images, *request.wnids})
        tar = f"{self._stem()}-{snapshot.identity[:16]}-{digest(names)[:16]}.tar"
        others, stream = self._tars(snapshot.identity), self.stream(request)
        warn(
            f"{self.path} {self.obstacle}: {format_bytes(stream.size)} are read once, and the images that are asked "
            f"for are extracted into {index_folder()}, where later loads find them. {self.way_out}".rstrip()
        )
        check_space(index_folder(), stream.needed, f"images of {self.path}")
        have, found = {name for tar in others for name in tar.table["name"].to_pylist()}, list[str]()
        headers, failure = {ORIGIN: real_path(self.path)}, None
        with write_atomically(tar) as written:
            with (
                naming(written, f"extracting images of {self.path}"),
                progress_bar(f"Reading {os.path.basename(self.path)}", stream.size) as bar,
                tarfile.TarFile(written, "w", format=tarfile.PAX_FORMAT, pax_headers=headers) as target,
            ):
                try:
                    for name, image in stream.members(bar.update):
                        if name.encode() not in have:
                            _add(target, name, image)
                            found.append(name)
                except RemoteError as error:
                    if not found:
                        raise
                    failure, names = error, found
                _add(target, ASKED, "\n".join(names or ()).encode())
            if not found and not others:
                advice = "Download those that hold them, or pass splits=[...] to build only other splits."
                raise ArchiveError(f"{self.path} holds none of the images that are asked for. {advice}")
            if failure is None and self.snapshot() != snapshot:
                raise ArchiveError(f"{self.path} has changed while it was read. Load again once it is complete.")
        logger.info("%d images of %s extracted into %s", len(found), self.path, tar)
        if failure is not None:
            raise failure


def _add(target: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    target.addfile(member, io.BytesIO(content))
    target.members = []  # type: ignore[attr-defined]  # else all headers stay in memory


class _Tar(NamedTuple):
    """An extracted tar, and the file names and wnids that it was made for: none if it was made for all images."""

    path: str
    table: pa.Table
    asked: list[str]


def _read_tar(path: str, made_of: str) -> _Tar:
    try:
        table = kept_index(path, archive_identity(path), functools.partial(walk_archive, path, made_of))
        is_list = pc.equal(table["name"], ASKED.encode())
        [member] = table.filter(is_list).to_pylist()
    except ValueError as error:
        raise ArchiveError(
            f"{path}, which has extracted images, is damaged ({error}). Delete it, and load again."
        ) from error
    with open_file(path) as file:
        asked = file.read(member["offset"] + BLOCK, member["size"]).decode().split()
    return _Tar(path, table.filter(pc.invert(is_list)).replace_schema_metadata(), asked)


def _missing(request: Request, tars: list[_Tar]) -> Request | None:
    """What no tar was made for; ``None`` if that is nothing."""
    if not all(tar.asked for tar in tars):  # one was made for all images
        return None
    known = {name for tar in tars for name in tar.asked}
    images = {name: label for name, label in request.images.items() if not {name, name[WNID]} & known}
    wnids = sorted(set(request.wnids) - known)
    return Request(request.all, images, wnids) if request.all or images or wnids else None


def origin_of(tar: str | os.PathLike[str]) -> str | None:
    """The path of what an extracted tar was made from; ``None`` if it does not say."""
    with tarfile.open(tar, "r:") as source:
        return source.pax_headers.get(ORIGIN)


# -------------------------------------------------------------------------------------------- the layouts


class _TarGz(Extracted):
    """.tar.gz files, which are read to their ends, where their checksums are."""

    magic: ClassVar = (b"\x1f\x8b",)

    def stream(self, request: Request) -> Stream:
        size = sum(stamp.size for stamp in stamps_of(self.files))
        most = len(request.images) + TRAIN_IMAGES_PER_CLASS[1] * len(request.wnids)
        needed = size if request.all else min(size, IMAGE_BYTES * most)
        read = functools.partial(_read_tar_gz, request)
        return Stream(size, needed, lambda advance: (image for file in self.files for image in read(file, advance)))


def _read_tar_gz(request: Request, path: str, advance: Advance) -> Iterator[Member]:
    """The images in a .tar.gz that are requested."""
    before = 0
    try:
        with open_python_file(path) as file, gzip.open(file) as content:
            with tarfile.open(fileobj=content, mode="r|") as source:
                for member in source:
                    source.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
                    is_image = member.isreg() and member.name.endswith(".JPEG")
                    name = official_name(member.name) if is_image else None
                    image = source.extractfile(member) if name and request.covers(name) else None
                    if name and image is not None:
                        yield name, image.read()
                        advance(file.tell() - before)
                        before = file.tell()
            while piece := content.read(BUFFER):
                if piece.strip(b"\0"):
                    raise tarfile.ReadError("expected a tar header")
    except DAMAGED as error:
        raise ArchiveError(f"{path} is cut off or damaged ({error}). Download it again.") from error


class KaggleTarGz(KaggleArchive, _TarGz):
    """Kaggle's .tar.gz of all images."""

    name: ClassVar = "Kaggle's .tar.gz"
    pattern: ClassVar = r"imagenet_object_localization.*\.tar\.gz"


class HubTarGz(Sharded, _TarGz):
    """The flat .tar.gz files that ``ILSVRC/imagenet-1k`` had on the Hub: ``train_images_0.tar.gz`` and so on."""

    remote: ClassVar = True
    name: ClassVar = "Hub .tar.gz"
    way_out: ClassVar = "To avoid this, unpack them on a disk."
    patterns: ClassVar = {
        "train": "train_images_*.tar.gz",
        "validation": "val_images.tar.gz",
        "test": "test_images.tar.gz",
    }
    counts: ClassVar = {"train_images_*.tar.gz": 5}


class HubParquet(Sharded, Extracted):
    """The Parquet files of ``ILSVRC/imagenet-1k``, of which only row groups that hold wanted images are read."""

    remote: ClassVar = True
    name: ClassVar = "Hub Parquet"
    obstacle: ClassVar = "has no random access"
    way_out: ClassVar = ""
    patterns: ClassVar = {name: f"{name}-*-of-*.parquet" for name in ("train", "validation", "test")}

    def list_members(self) -> pa.Table:
        groups = find_row_groups(self.files, ALL.covers)
        sizes = [max(1, group.wanted_size // len(group.names)) for group in groups for _ in group.names]
        names = [name.encode() for group in groups for name in group.names]
        return pa.table({"name": pa.array(names, pa.binary()), "size": pa.array(sizes, pa.int64())})

    def stream(self, request: Request) -> Stream:
        groups = find_row_groups(self.files, request.covers)
        needed = sum(group.wanted_size for group in groups)
        return Stream(sum(group.size for group in groups), needed, functools.partial(read_images, groups))
