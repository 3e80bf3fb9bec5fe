"""Where an image is, and how a format reads it."""

import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from imagenet_reader.errors import ArchiveError
from imagenet_reader.sources import File, Stamp


class Where(NamedTuple):
    """Where one image is.

    Attributes:
        file: the path of the file that holds it.
        stamp: the stamp of this file when it was indexed.
        name: the image's official file name.
        offset: the offset of the image, or of its header, in the file, in bytes.
        size: the size of the image in bytes.
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
    """How one image is stored in a file.

    ``columns`` are the columns, ``int64``, that an index needs in addition to ``name`` and ``size``; ``shared`` says
    whether one file holds many images; ``header`` is the size of what precedes an image, in bytes.
    """

    columns: ClassVar[tuple[str, ...]] = ("offset",)
    header: ClassVar[int] = 0
    shared: ClassVar[bool] = True

    def where(self, file: str, stamp: Stamp | None, row: Any) -> Where:
        """Where the image of a row is; the row has the attributes ``name``, ``size`` and those in ``columns``."""
        assert stamp is not None
        return Where(file, stamp, row.name, row.offset, row.size, row.size)

    def file_name(self, name: bytes, label: int) -> bytes:
        """The last part of an image's address: its official file name, or the name of its file."""
        return name

    @abstractmethod
    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        """Read an image into a buffer of ``where.size`` bytes.

        Raises:
            ArchiveError: the file does not have that image there.
        """

    def describe(self, where: Where) -> str:
        """The place of an image, for messages."""
        return f"{where.file}: the image {where.file_name} at byte {where.offset:,}"


def not_at_its_offset(where: Where) -> ArchiveError:
    """The error that an image is not at the offset in its index."""
    return ArchiveError(
        f"{where.file} does not contain {where.file_name} ({where.size:,} bytes) at byte {where.offset:,}, as its "
        "index says: the archive has changed or is truncated. Load again once the file is complete."
    )
