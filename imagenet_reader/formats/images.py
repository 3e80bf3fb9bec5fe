"""How one image is stored in a file: by itself, as a range of bytes, as a member of a tar or a zip."""

import os
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from imagenet_reader.facts import TRAIN_NAME, WNID, ArchiveError, ChangedFile
from imagenet_reader.formats.tar import BLOCK, NAME, base_name, payload_size
from imagenet_reader.io.local import File, Stamp
from imagenet_reader.lists import read_wnids

STARTS = b"\xff\xd8\xff", b"\x89PNG"  # of JPEG and PNG files
# The header before a zip member: magic, flags, method, CRC-32, and the lengths of the name and of the extra field.
ZIP_HEADER, ZIP_MAGIC = struct.Struct("<4s2xHH4xL8xHH"), b"PK\3\4"
ZIP_NAME_BYTES = 1024  # read for the name and the extra field
CRC_FOLLOWS, FOLLOWS_MAGIC = 8, b"PK\7\x08"  # flag: the CRC-32 follows the member, perhaps after this magic


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


class Format(ABC):
    """How one image is stored in a file.

    ``shared`` says whether one file holds many images; ``header`` is the size of what precedes an image, in bytes.
    """

    header: ClassVar[int] = 0
    shared: ClassVar[bool] = True

    def where(self, file: str, stamp: Stamp, row: Any) -> Where:
        """Where the image of a row is; the row has the attributes ``name``, ``size`` and the columns of the index."""
        return Where(file, stamp, row.name, row.offset, row.size, row.size)

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
        if count != BLOCK + where.size or not _is_header_of(bytes(header), where):
            raise _not_at_its_offset(where)


class Zip(Format):
    """A zip member, stored or deflated; ``offset`` is that of its header. The row has a column ``packed``."""

    def where(self, file: str, stamp: Stamp, row: Any) -> Where:
        return Where(file, stamp, row.name, row.offset, row.size, row.packed)

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
        """Where the image of a row is: a file in the folder ``file``, with a stamp made from the row."""
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
        """The Hub's name of an image; test images, which have no label, keep their official names."""
        if TRAIN_NAME.fullmatch(name):
            wnid = name[WNID]
        elif label >= 0:
            wnid = read_wnids()[label].encode()
        else:
            return name
        return name.removesuffix(b".JPEG") + b"_" + wnid + b".JPEG"


# By the names in indexes and addresses.
FORMATS: dict[str, Format] = {
    "tar": Tar(),
    "zip": Zip(),
    "file": WholeFile(),
    "hub_file": HubFile(),
    "range": ByteRange(),
}


def _is_header_of(header: bytes, where: Where) -> bool:
    try:
        return base_name(header[NAME]) == where.name and payload_size(header) == where.size
    except ValueError:
        return False


def _not_at_its_offset(where: Where) -> ArchiveError:
    return ArchiveError(
        f"{where.file} does not contain {os.fsdecode(where.name)} ({where.size:,} bytes) at byte {where.offset:,}, as "
        "its index says: the archive has changed or is truncated. Load again once the file is complete."
    )
