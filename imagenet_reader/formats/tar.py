"""Images in tars."""

from typing import ClassVar

from imagenet_reader.formats.base import Format, Where, not_at_its_offset
from imagenet_reader.formats.tar_header import BLOCK, NAME, base_name, payload_size
from imagenet_reader.sources import File


class Tar(Format):
    """A tar member, whose header is checked; ``offset`` is that of the header."""

    header: ClassVar = BLOCK

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        """Read a member into the buffer."""
        header = bytearray(BLOCK)
        count = file.read_into(where.offset, memoryview(header), buffer)
        if count != BLOCK + where.size or not _is_header_of(bytes(header), where):
            raise not_at_its_offset(where)


def _is_header_of(header: bytes, where: Where) -> bool:
    try:
        return base_name(header[NAME]) == where.name and payload_size(header) == where.size
    except ValueError:
        return False
