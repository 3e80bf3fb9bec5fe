"""Images that are files."""

import os
from typing import Any, ClassVar

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.base import Format, Where
from imagenet_reader.sources import File, Stamp


class WholeFile(Format):
    """An extracted image.

    Its row names a folder instead of a file, and has the modification time (ns) of the image in ``changed``.
    """

    columns: ClassVar = ("changed",)
    shared: ClassVar = False

    def where(self, file: str, stamp: Stamp | None, row: Any) -> Where:
        """Where the image of a row is: a file in the folder ``file``, of the row's own stamp."""
        path = os.path.join(file, os.fsdecode(self.file_name(row.name, row.label)))
        return Where(path, Stamp(row.size, row.changed), row.name, 0, row.size, row.size)

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        """Fill the buffer with the file."""
        count = file.read_into(0, buffer)
        if count != where.size:
            raise ArchiveError(f"{where.file}: {count:,} of its {where.size:,} bytes were read. Load again.")

    def describe(self, where: Where) -> str:
        """The file."""
        return f"The image {where.file}"
