"""Images in files of their own."""

import os
from typing import Any, ClassVar

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.base import Format, Where
from imagenet_reader.sources import File, Stamp


class WholeFile(Format):
    """An extracted image.

    Its row refers to a folder instead of a file; the column ``changed`` is the image's modification time (ns).
    """

    columns: ClassVar = ("changed",)
    shared: ClassVar = False

    def where(self, file: str, stamp: Stamp | None, row: Any) -> Where:
        """Where the image of a row is: a file in the folder ``file``, with a stamp made from the row."""
        path = os.path.join(file, os.fsdecode(self.file_name(row.name, row.label)))
        return Where(path, Stamp(row.size, row.changed), row.name, 0, row.size, row.size)

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        """Read the file into the buffer."""
        count = file.read_into(0, buffer)
        if count != where.size:
            raise ArchiveError(f"{where.file}: only {count:,} of its {where.size:,} bytes could be read. Load again.")

    def describe(self, where: Where) -> str:
        """The file."""
        return f"The image {where.file}"
