"""Kaggle's zip of all images, read in place."""

import array
import contextlib
import dataclasses
import functools
import os
import struct
import zipfile
import zlib

import numpy as np
import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import confirm, opened, stamp
from imagenet_reader.formats.zip_directory import entries
from imagenet_reader.index.kept import archive_identity, kept_index
from imagenet_reader.index.members import MEMBERS, last_of_each_name, names_array
from imagenet_reader.layouts.base import Index, Layout, Snapshot
from imagenet_reader.layouts.tar_archive import TarReader, moved

# The header before a member: magic, flags, method, CRC-32, and the lengths of the name and of an extra field.
HEADER, MAGIC = struct.Struct("<4s2xHH4xL8xHH"), b"PK\3\4"
NAME_BYTES = 1024  # read for the name and the extra field
CRC_FOLLOWS, FOLLOWS_MAGIC = 8, b"PK\7\x08"  # flag: the CRC-32 stands behind the member, perhaps after this magic
METHODS, LOCKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), 1  # flag: a password is needed
# packed: the size of the image in the zip, in bytes
PACKED_MEMBERS = MEMBERS.append(pa.field("packed", pa.int64()))


class KaggleZip(Layout):
    """Kaggle's zip."""

    name = "Kaggle's zip"

    def look(self, wanted):
        before = stamp(os.stat(self.path))
        identity = archive_identity(self.path)
        return Snapshot(identity, functools.partial(self._index, identity, before))

    def _index(self, identity, before):
        reader = ZipReader(self.path, before)
        reader.check_unchanged()
        return Index(kept_index(self.path, identity, functools.partial(list_members, self.path)), reader)


def list_members(path):
    """The images in a zip, ``pa.Table`` of ``PACKED_MEMBERS``, each name once.

    Raises:
        ArchiveError: the zip is damaged, or packed in another way than Kaggle's.
    """
    names, lengths, numbers = bytearray(), array.array("i"), [array.array("q") for _ in PACKED_MEMBERS.names[1:]]
    try:
        with opened(path) as fd:
            for image in entries(fd):
                if not image.name.endswith(b".JPEG"):
                    continue
                if image.method not in METHODS or image.flags & LOCKED:
                    raise ArchiveError(f"{path} has images that are locked, or packed in another way than Kaggle's.")
                name = image.name.rpartition(b"/")[2]
                names += name
                lengths.append(len(name))
                for column, number in zip(numbers, (image.offset, image.size, image.packed)):
                    column.append(number)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{path} is cut off or damaged ({error}). Download it again.") from error
    columns = [
        names_array(names, np.frombuffer(lengths, np.int32)),
        *(np.frombuffer(column, np.int64) for column in numbers),
    ]
    return last_of_each_name(pa.table(columns, schema=PACKED_MEMBERS), path)


@dataclasses.dataclass(frozen=True)
class ZipReader(TarReader):
    """Reads the members of one zip, which had the stamp ``stamp`` when it was indexed."""

    kind = "zip"

    @contextlib.contextmanager
    def opened(self):
        with opened(self.path) as fd:
            yield (
                functools.partial(read_zip_member, fd, self.path),
                functools.partial(confirm, fd, self.path, self.stamp),
            )


def read_zip_member(fd, path, row, image):
    """Fill the buffer ``image`` with a member of a zip.

    Raises:
        ArchiveError: the header isn't that of the row.
        zlib.error: the member is damaged.
    """
    member = os.pread(fd, HEADER.size + NAME_BYTES + row.packed, row.offset)
    magic, flags, method, crc, name_length, extra_length = HEADER.unpack_from(member.ljust(HEADER.size))
    name_end = HEADER.size + name_length
    begin = name_end + extra_length
    packed, behind = member[begin : begin + row.packed], member[begin + row.packed :]
    name = member[HEADER.size : name_end].rpartition(b"/")[2]
    if magic != MAGIC or name != row.name or len(packed) != row.packed:
        raise moved(path, row)
    if flags & CRC_FOLLOWS:
        crc = int.from_bytes(behind.removeprefix(FOLLOWS_MAGIC)[:4], "little")
    data = zlib.decompress(packed, -zlib.MAX_WBITS) if method == zipfile.ZIP_DEFLATED else packed
    if len(data) != len(image) or zlib.crc32(data) != crc:
        raise zlib.error("its size or checksum is not that of the zip")
    image[:] = data
