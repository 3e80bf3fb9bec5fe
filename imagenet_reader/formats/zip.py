"""Images in zips."""

import struct
import zipfile
import zlib
from typing import Any, ClassVar

from imagenet_reader.formats.base import Format, Where, not_at_its_offset
from imagenet_reader.sources import File, Stamp

# The header before a member: magic, flags, method, CRC-32, and the lengths of the name and of the extra field.
HEADER, MAGIC = struct.Struct("<4s2xHH4xL8xHH"), b"PK\3\4"
NAME_BYTES = 1024  # read for the name and the extra field
CRC_FOLLOWS, FOLLOWS_MAGIC = 8, b"PK\7\x08"  # flag: the CRC-32 follows the member, perhaps after this magic


class Zip(Format):
    """A zip member, stored or deflated; ``offset`` is that of its header, ``packed`` its size in the zip."""

    columns: ClassVar = ("offset", "packed")

    def where(self, file: str, stamp: Stamp | None, row: Any) -> Where:
        """Where the member of a row is."""
        assert stamp is not None
        return Where(file, stamp, row.name, row.offset, row.size, row.packed)

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        """Read a member into the buffer.

        Raises:
            ArchiveError: the header is not that of the image.
            zlib.error: the member is damaged.
        """
        member = file.read(where.offset, HEADER.size + NAME_BYTES + where.packed)
        magic, flags, method, crc, name_length, extra_length = HEADER.unpack_from(member.ljust(HEADER.size))
        name_end = HEADER.size + name_length
        begin = name_end + extra_length
        packed, behind = member[begin : begin + where.packed], member[begin + where.packed :]
        name = member[HEADER.size : name_end].rpartition(b"/")[2]
        if magic != MAGIC or name != where.name or len(packed) != where.packed:
            raise not_at_its_offset(where)
        if flags & CRC_FOLLOWS:
            crc = int.from_bytes(behind.removeprefix(FOLLOWS_MAGIC)[:4], "little")
        data = zlib.decompress(packed, -zlib.MAX_WBITS) if method == zipfile.ZIP_DEFLATED else packed
        if len(data) != where.size or zlib.crc32(data) != crc:
            raise zlib.error("its size or checksum differs from the zip's")
        buffer[:] = data
