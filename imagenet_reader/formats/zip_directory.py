"""The central directory of a zip, read in pieces: ``zipfile`` would keep an object for each of its two million entries.

The format is that of PKWARE's APPNOTE 6.3.3, sections 4.3.12 to 4.3.16 and 4.5.3. Zips that ``zipfile`` rejects are
rejected here, too.
"""

import struct
import typing
import zipfile
from collections.abc import Iterator

from imagenet_reader.sources import File

PIECE_BYTES = 4 << 20
# magic; disk numbers and entries; bytes of the directory; its offset; bytes of the comment
END = struct.Struct("<4s8xIIH")
LOCATOR_64 = struct.Struct("<4sIQI")  # magic, disk, offset of the 64-bit end record, disks
END_64 = struct.Struct("<4s36xQQ")  # magic, bytes of the directory, its offset
END_MAGIC, LOCATOR_64_MAGIC, END_64_MAGIC = b"PK\5\6", b"PK\6\7", b"PK\6\6"
MAX_COMMENT = 1 << 16
# magic, flags, method, packed size, size, bytes of the name, of the extra fields, of the comment, offset of the header
ENTRY, ENTRY_MAGIC = struct.Struct("<4s4xHH8xIIHHH8xI"), b"PK\1\2"
EXTRA, EXTRA_64 = struct.Struct("<HH"), 1  # kind and bytes; the kind of 64-bit numbers
MORE = 0xFFFFFFFF  # means that the number has 64 bits and is in an extra field


class Entry(typing.NamedTuple):
    """A member: its name with folders, fields as in ``zipfile.ZipInfo``, and the offset of its header."""

    name: bytes
    flags: int
    method: int
    packed: int
    size: int
    offset: int


def entries(file: File) -> Iterator[Entry]:
    """The members of an open zip, in the order of its central directory.

    Raises:
        zipfile.BadZipFile: the file is not a zip, or its directory is damaged.
    """
    begin, end, before = _directory(file)
    content, at, position = b"", 0, begin
    while position < end or at < len(content):
        if position < end and len(content) - at < ENTRY.size + 3 * 0xFFFF:  # the longest entry
            piece = file.read(position, min(PIECE_BYTES, end - position))
            if not piece:
                raise zipfile.BadZipFile("its central directory is cut off")
            content, at, position = content[at:] + piece, 0, position + len(piece)
            continue
        entry, at = _entry(content, at, before)
        yield entry


def _entry(content, at, before):
    """The entry at an offset in a piece of the directory, and the offset of the next."""
    if len(content) - at < ENTRY.size:
        raise zipfile.BadZipFile("its central directory is cut off")
    magic, flags, method, packed, size, *lengths, offset = ENTRY.unpack_from(content, at)
    if magic != ENTRY_MAGIC:
        raise zipfile.BadZipFile("its central directory is damaged: an entry does not begin with its magic number")
    name_end = at + ENTRY.size + lengths[0]
    extra_end = name_end + lengths[1]
    if extra_end + lengths[2] > len(content):
        raise zipfile.BadZipFile("its central directory is cut off")
    if MORE in (packed, size, offset):
        size, packed, offset = _numbers_64(content[name_end:extra_end], (size, packed, offset))
    name = content[at + ENTRY.size : name_end].split(b"\0", 1)[0]
    return Entry(name, flags, method, packed, size, offset + before), extra_end + lengths[2]


def _numbers_64(extra, numbers):
    """The numbers of an entry; 64-bit ones are taken from an extra field, which has them in the same order."""
    at = 0
    while at + EXTRA.size <= len(extra):
        kind, length = EXTRA.unpack_from(extra, at)
        if kind == EXTRA_64:
            field = extra[at + EXTRA.size : at + EXTRA.size + length]
            count = sum(number == MORE for number in numbers)
            if len(field) < 8 * count:
                raise zipfile.BadZipFile("an entry of its central directory lacks a 64-bit number")
            found = iter(struct.unpack_from(f"<{count}Q", field))
            return [next(found) if number == MORE else number for number in numbers]
        at += EXTRA.size + length
    return numbers


def _directory(file):
    """The offsets of the beginning and end of the central directory, and the number of bytes before the zip."""
    file_size = file.stamp().size
    place, size, begin = _end_record(file, file_size)
    end = place
    position = place - LOCATOR_64.size
    locator = file.read(position, LOCATOR_64.size) if position >= 0 else b""
    if len(locator) == LOCATOR_64.size and locator.startswith(LOCATOR_64_MAGIC):
        _, disk, _, disks = LOCATOR_64.unpack(locator)
        if disk != 0 or disks > 1:
            raise zipfile.BadZipFile("it is one of several parts")
        position -= END_64.size  # where zipfile, too, expects the record
        record = file.read(position, END_64.size) if position >= 0 else b""
        if len(record) == END_64.size and record.startswith(END_64_MAGIC):
            _, size, begin = END_64.unpack(record)
            end = position
    before = end - size - begin
    if end - size < 0 or before < 0:
        raise zipfile.BadZipFile("its end record says that its central directory begins before the file")
    return end - size, end, before


def _end_record(file, file_size):
    """The offset of the end record, and the directory's size and offset according to that record."""
    begin = max(0, file_size - END.size - MAX_COMMENT)
    tail = file.read(begin, file_size - begin)
    last = tail[-END.size :]
    at_end = last.startswith(END_MAGIC) and last.endswith(b"\0\0")  # without a comment
    at = len(tail) - END.size if at_end else tail.rfind(END_MAGIC)
    if at < 0 or at + END.size > len(tail):
        raise zipfile.BadZipFile("File is not a zip file")
    _, size, directory, _ = END.unpack_from(tail, at)
    return begin + at, size, directory
