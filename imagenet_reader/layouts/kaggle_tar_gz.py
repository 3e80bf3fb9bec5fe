"""Kaggle's .tar.gz of all images."""

import gzip
import tarfile
from collections.abc import Iterator
from typing import IO, ClassVar

from imagenet_reader.layouts.base import ImageSet
from imagenet_reader.layouts.kept import Kept

PATTERN = "imagenet_object_localization*.tar.gz"
PIECE_BYTES = 1 << 20


class KaggleTarGz(Kept):
    """Kaggle's .tar.gz."""

    name: ClassVar = "Kaggle's .tar.gz"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "KaggleTarGz | None":
        """The last .tar.gz of Kaggle's name."""
        return cls.newest(data_dir, PATTERN)

    def stream(self, names: set[str] | None, bar) -> Iterator[tuple[str, int, IO[bytes]]]:
        """Images in the order of the archive, which is read to its end, where its checksum is."""
        for name, size, image in stream_tar_gz(self.path, bar):
            if name.endswith(".JPEG") if names is None else name in names:
                yield name, size, image


def stream_tar_gz(path: str, bar) -> Iterator[tuple[str, int, IO[bytes]]]:
    """The regular members of a .tar.gz, (name without folders, size in bytes, file).

    Args:
        path: the .tar.gz.
        bar: a progress bar, updated by the bytes that are read of the file.

    Raises an error of ``kept.DAMAGED`` if it is damaged or cut off.
    """
    before = bar.n
    with open(path, "rb") as file, gzip.open(file) as content:
        with tarfile.open(fileobj=content, mode="r|") as source:
            for member in source:
                source.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
                image = source.extractfile(member) if member.isreg() else None
                if image is not None:
                    yield member.name.rpartition("/")[2], member.size, image
                    bar.update(before + file.tell() - bar.n)
        while piece := content.read(PIECE_BYTES):
            if piece.strip(b"\0"):
                raise tarfile.ReadError("expected a tar header")
