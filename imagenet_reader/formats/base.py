"""Where an image is, and how a format reads it."""

import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from imagenet_reader.errors import ArchiveError
from imagenet_reader.sources import File, Stamp


class Where(NamedTuple):
    """Where one image is.

    Attributes:
        file: path of the file that holds it.
        stamp: the stamp that this file had when it was indexed.
        name: the image's official file name.
        offset: the offset of the image, or of its header, in the file, in bytes.
        size: bytes of the image.
        packed: its size in the file in bytes, smaller than ``size`` if it is compressed.
    """

    file: str
    stamp: Stamp
    name: bytes
    offset: int
    size: int
    packed: int

    @property
    def file_name(self) -> str:
        """The image's official file name, ``str``."""
        return os.fsdecode(self.name)


class Format(ABC):
    """How one image lies in a file.

    ``columns`` are the columns, ``int64``, that an index needs beside ``name`` and ``size``; ``shared`` says whether
    one file holds many images.
    """

    columns: ClassVar[tuple[str, ...]] = ("offset",)
    shared: ClassVar[bool] = True

    def where(self, file: str, stamp: Stamp | None, row: Any) -> Where:
        """Where the image of a row is, which has the attributes ``name``, ``size`` and those of ``columns``."""
        assert stamp is not None
        return Where(file, stamp, row.name, row.offset, row.size, row.size)

    def file_name(self, name: bytes, label: int) -> bytes:
        """The last part of an image's address: its official file name, or the name of its own file."""
        return name

    @abstractmethod
    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        """Fill a buffer of ``where.size`` bytes with an image.

        Raises:
            ArchiveError: the file does not hold that image there.
        """

    def describe(self, where: Where) -> str:
        """The place of an image, in words."""
        return f"{where.file}: the image {where.file_name} at byte {where.offset:,}"


def not_at_its_offset(where: Where) -> ArchiveError:
    """The error that an image is not where the index has it."""
    return ArchiveError(
        f"{where.file} does not hold {where.file_name} ({where.size:,} bytes) at byte {where.offset:,}, where its "
        "index has it: the archive was changed or truncated. Load again once the file is complete."
    )
