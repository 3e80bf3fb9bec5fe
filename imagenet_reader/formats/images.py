"""How one image is stored in a file: by itself, as a range of bytes, as a member of a tar or a zip."""

import os
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from imagenet_reader.facts import TRAIN_NAME, WNID, ArchiveError, ChangedFile
from imagenet_reader.formats.tar import BLOCK, base_name, payload_size
from imagenet_reader.io.local import File, Stamp
from imagenet_reader.lists import read_wnids

STARTS = b"\xff\xd8\xff", b"\x89PNG"  # of JPEG and PNG files
# The header before a zip member: magic, flags, method, CRC-32, and the lengths of the name and of the extra field.
ZIP_HEADER, ZIP_MAGIC = struct.Struct("<4s2xHH4xL8xHH"), b"PK\3\4"
ZIP_NAME_BYTES = 1024  # read for the name and the extra field
CRC_FOLLOWS, FOLLOWS_MAGIC = 8, b"PK\7\x08"  # flag: the CRC-32 follows the member, perhaps after this magic


class Where(NamedTuple):
    """Where one image is: in ``file``, which had this ``stamp`` when it was indexed; offset and sizes are in bytes."""

    file: str
    stamp: Stamp
    name: bytes  # its official file name
    offset: int  # of the image, or of its header, in the file
    size: int
    packed: int  # its size in the file, smaller than ``size`` if it is compressed


class Format(ABC):
    """How one image is stored in a file."""

    header: ClassVar[int] = 0  # bytes that precede an image
    shared: ClassVar[bool] = True  # whether one file holds many images

    def where(self, file: str, stamp: Stamp, row: Any) -> Where:
        """Where the image of a row is; the row has the attributes ``name``, ``size`` and the columns of the index."""
        return Where(file, stamp, row.name, row.offset, row.size, getattr(row, "packed", row.size))

    def file_name(self, name: bytes, label: int) -> bytes:
        """The last part of an image's address: its official file name, or the name of its file."""
        return name

    @abstractmethod
    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        """Read an image into a buffer of ``where.size`` bytes."""

    def describe(self, where: Where) -> str:
        """The place of an image, for messages."""
        return f"{where.file}: the image {os.fsdecode(where.name)} at byte {where.offset:,}"


class ByteRange(Format):
    """A range of bytes that begins like an image file."""

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        count = file.read_into(where.offset, buffer)
        if count != where.size or not bytes(buffer[:4]).startswith(STARTS):
            raise _not_at_its_offset(where)


class Tar(Format):
    """A tar member, whose header is checked; ``offset`` is that of the header."""

    header = BLOCK

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        header = bytearray(BLOCK)
        count = file.read_into(where.offset, memoryview(header), buffer)
        try:
            found = base_name(bytes(header)), payload_size(bytes(header)), count
        except ValueError:
            raise _not_at_its_offset(where) from None
        if found != (where.name, where.size, BLOCK + where.size):
            raise _not_at_its_offset(where)


class Zip(Format):
    """A zip member, stored or deflated; ``offset`` is that of its header."""

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        member = file.read(where.offset, ZIP_HEADER.size + ZIP_NAME_BYTES + where.packed)
        magic, flags, method, crc, name_length, extra_length = ZIP_HEADER.unpack_from(member.ljust(ZIP_HEADER.size))
        name_end = ZIP_HEADER.size + name_length
        begin = name_end + extra_length
        packed, behind = member[begin : begin + where.packed], member[begin + where.packed :]
        name = member[ZIP_HEADER.size : name_end].rpartition(b"/")[2]
        if magic != ZIP_MAGIC or name != where.name or len(packed) != where.packed:
            raise _not_at_its_offset(where)
        if flags & CRC_FOLLOWS:
            crc = int.from_bytes(behind.removeprefix(FOLLOWS_MAGIC)[:4], "little")
        data = zlib.decompress(packed, -zlib.MAX_WBITS) if method == zipfile.ZIP_DEFLATED else packed
        if len(data) != where.size or zlib.crc32(data) != crc:
            raise zlib.error("its size or checksum differs from the zip's")
        buffer[:] = data


class WholeFile(Format):
    """An extracted image. Its row refers to a folder, and has the image's modification time (ns), ``changed``."""

    shared = False

    def where(self, file: str, stamp: Stamp, row: Any) -> Where:
        path = os.path.join(file, os.fsdecode(self.file_name(row.name, row.label)))
        return Where(path, Stamp(row.size, row.changed), row.name, 0, row.size, row.size)

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        count = file.read_into(0, buffer)
        if count != where.size:
            raise ChangedFile(f"{where.file}: only {count:,} of its {where.size:,} bytes could be read. Load again.")

    def describe(self, where: Where) -> str:
        return f"The image {where.file}"


class HubFile(WholeFile):
    """An extracted image whose name ends with its class, such as ``n01440764_10026_n01440764.JPEG``."""

    def file_name(self, name: bytes, label: int) -> bytes:
        if label < 0 and not TRAIN_NAME.fullmatch(name):
            return name  # of a test image
        wnid = name[WNID] if TRAIN_NAME.fullmatch(name) else read_wnids()[label].encode()
        return name.removesuffix(b".JPEG") + b"_" + wnid + b".JPEG"


# By the names in indexes and addresses.
FORMATS = {"tar": Tar(), "zip": Zip(), "range": ByteRange(), "file": WholeFile(), "hub_file": HubFile()}


def _not_at_its_offset(where: Where) -> ArchiveError:
    return ArchiveError(
        f"{where.file} does not contain {os.fsdecode(where.name)} ({where.size:,} bytes) at byte {where.offset:,}, as "
        "its index says: the archive has changed or is truncated. Load the dataset again once it is complete."
    )
