"""Kaggle's .tar.gz of all images."""

import functools
import gzip
import tarfile
from collections.abc import Callable, Iterator
from typing import ClassVar

from imagenet_reader.layouts.base import ImageSet
from imagenet_reader.layouts.kept import Kept, Member, Names, Stream

PATTERN = "imagenet_object_localization*.tar.gz"
PIECE_BYTES = 1 << 20


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
    for name, size, image in stream_tar_gz(path, advance):
        if name.endswith(".JPEG") if names is None else name in names:
            yield name, size, image


def stream_tar_gz(path: str, advance: Callable[[int], object]) -> Iterator[Member]:
    """The regular members of a .tar.gz, (name without folders, size in bytes, file).

    Args:
        path: the .tar.gz.
        advance: is called with the bytes that were read of the file since the last call.

    Raises an error of ``kept.DAMAGED`` if it is damaged or cut off.
    """
    before = 0
    with open(path, "rb") as file, gzip.open(file) as content:
        with tarfile.open(fileobj=content, mode="r|") as source:
            for member in source:
                source.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
                image = source.extractfile(member) if member.isreg() else None
                if image is not None:
                    yield member.name.rpartition("/")[2], member.size, image
                    advance(file.tell() - before)
                    before = file.tell()
        while piece := content.read(PIECE_BYTES):
            if piece.strip(b"\0"):
                raise tarfile.ReadError("expected a tar header")
