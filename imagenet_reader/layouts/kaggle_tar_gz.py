"""Kaggle's .tar.gz of all images."""

import functools
import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import ClassVar

from imagenet_reader.errors import ArchiveError
from imagenet_reader.layouts.base import ImageSet
from imagenet_reader.layouts.kept import Kept, Member, Names, Stream
from imagenet_reader.sources.forwards import open_python_file

PATTERN = "imagenet_object_localization*.tar.gz"
PIECE_BYTES = 1 << 20
DAMAGED = tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile


class KaggleTarGz(Kept):
    """Kaggle's .tar.gz."""

    name: ClassVar = "Kaggle's .tar.gz"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "KaggleTarGz | None":
        """The last .tar.gz of Kaggle's name."""
        return cls.newest(data_dir, PATTERN)

    def stream(self, names: Names | None) -> Stream:
        """The images in the order of the archive, which is read to its end, where its checksum is."""
        return Stream.of_files(self.files(), names, functools.partial(_members, self.path, names))


def _members(path: str, names: Names | None, advance: Callable[[int], object]) -> Iterator[Member]:
    def name_of(member: str) -> str | None:
        name = member.rpartition("/")[2]
        return name if name.endswith(".JPEG") and (names is None or name in names) else None

    return stream_tar_gz(path, name_of, advance)


def stream_tar_gz(
    path: str, name_of: Callable[[str], str | None], advance: Callable[[int], object]
) -> Iterator[Member]:
    """The images in a .tar.gz, which is read to its end.

    Args:
        path: the .tar.gz.
        name_of: the official file name of a member that is wanted, given its path; else ``None``.
        advance: is called with the bytes that were read of the file since the last call.

    Raises:
        ArchiveError: it is damaged or cut off.
    """
    before = 0
    try:
        with open_python_file(path, in_order=True) as file, gzip.open(file) as content:
            with tarfile.open(fileobj=content, mode="r|") as source:
                for member in source:
                    source.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
                    name = name_of(member.name) if member.isreg() else None
                    if name is not None:
                        yield name, source.extractfile(member).read()  # type: ignore[union-attr]  # a regular member
                        advance(file.tell() - before)
                        before = file.tell()
            while piece := content.read(PIECE_BYTES):
                if piece.strip(b"\0"):
                    raise tarfile.ReadError("expected a tar header")
    except DAMAGED as error:
        raise ArchiveError(f"{path} is cut off or damaged ({error}). Download it again.") from error
