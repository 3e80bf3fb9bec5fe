"""Where the images are in a TFRecord file of ``tf.train.Example``, as TensorFlow Datasets prepares ImageNet.

A record consists of its length (8 bytes), the masked CRC-32C of the length (4), the data, and the masked CRC-32C of the
data (4), see TensorFlow's ``lib/io/record_writer.h``. To find the images, only the first checksum is compared, because
the second would require reading the entire file.

The data is a protocol buffer with these fields (``tensorflow/core/example/{example,feature}.proto``):

    Example {Features features = 1}          Features {map<string, Feature> feature = 1}
    Feature {BytesList bytes_list = 1}       BytesList {repeated bytes value = 1}

A map entry has its key in field 1 and its value in field 2. Features have any order, so the name may precede or follow
the image. The image's bytes are skipped: this takes about one read per record, which extends into the next record.
"""

import struct
from collections.abc import Container, Iterator

import numpy as np
import pyarrow as pa

from imagenet_reader.facts import ArchiveError
from imagenet_reader.io.local import File, Pieces
from imagenet_reader.text import shorten

NAME, IMAGE = b"file_name", b"image"  # keys of the features to find
WINDOW = 512  # bytes per read: the end of a record, and the beginning of the next one
LENGTH = struct.Struct("<QI")
CHECKSUM = 4  # bytes, after the data
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
CURE = "Prepare or copy this file again"
POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), reflected; see RFC 3720, B.4
_CRC_TABLE = list(range(256))
for _ in range(8):
    _CRC_TABLE = [(value >> 1) ^ (POLYNOMIAL if value & 1 else 0) for value in _CRC_TABLE]
PART, PARTS_FROM = 256, 1 << 14  # bytes
_TABLE = np.array(_CRC_TABLE, np.uint32)
# What PART zero bytes make of a checksum: a table for each of its 4 bytes, whose values are combined by XOR.
_PART_TABLES = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
for _ in range(PART):
    _PART_TABLES = _TABLE[_PART_TABLES & 0xFF] ^ (_PART_TABLES >> 8)
MASK = 0xA282EAD8  # see TensorFlow's lib/hash/crc32c.h


def list_examples(file: File) -> pa.Table:
    """The images in a TFRecord file."""
    names, offsets, sizes = [], [], []
    window = Pieces(file, WINDOW)
    for start, end in _records(window):
        try:
            name, (offset, image_end) = _name_and_image(window, start, end)
        except _UnexpectedData as problem:
            raise ArchiveError(
                f"{file.path}: the record at byte {start - LENGTH.size:,} {problem}; expected a tf.train.Example with "
                "the features file_name and image, as in imagenet2012 of TensorFlow Datasets. "
                f"{CURE}, or remove it if it belongs to another dataset."
            ) from None
        names.append(name)
        offsets.append(offset)
        sizes.append(image_end - offset)
    columns = [pa.array(names, pa.binary()), pa.array(offsets, pa.int64()), pa.array(sizes, pa.int64())]
    return pa.table(columns, ["name", "offset", "size"])


def list_corrupt(file: File, names: Container[bytes]) -> list[bytes]:
    """Those of the named images in a TFRecord file whose records differ from the checksum of their data."""
    corrupt = []
    for name, (start, end) in zip(list_examples(file)["name"].to_pylist(), _records(Pieces(file, WINDOW))):
        if name in names:
            data, checksum = file.read(start, end - start), file.read(end, CHECKSUM)
            if masked_crc32c(data) != int.from_bytes(checksum, "little"):
                corrupt.append(name)
    return corrupt


def crc32c(data: bytes) -> int:
    """The CRC-32C of ``data``: of many bytes, by parts whose checksums are computed together."""
    crc, parts = 0xFFFFFFFF, len(data) // PART if len(data) >= PARTS_FROM else 0
    if parts:
        crcs = np.zeros(parts, np.uint32)
        for column in np.frombuffer(data, np.uint8, parts * PART).reshape(parts, PART).T:
            crcs = _TABLE[(crcs ^ column) & 0xFF] ^ (crcs >> 8)
        first, second, third, fourth = _PART_TABLES.tolist()
        for part in crcs.tolist():
            crc = first[crc & 0xFF] ^ second[crc >> 8 & 0xFF] ^ third[crc >> 16 & 0xFF] ^ fourth[crc >> 24] ^ part
    for byte in data[parts * PART :]:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """The CRC-32C of ``data`` as TFRecord files store it: rotated right by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


class _UnexpectedData(ValueError):
    """The data of a record is not as expected; the message completes a sentence about the record."""


def _records(window: Pieces) -> Iterator[tuple[int, int]]:
    """Yield the offsets of the beginning and the end of each record's data."""
    at, size = 0, window.stamp().size
    truncated = f"{window.path} is truncated: its {size:,} bytes end in the"
    while at < size:
        header, record = window.read(at, LENGTH.size), f"record at byte {at:,}"
        if len(header) < LENGTH.size:
            raise ArchiveError(f"{truncated} length of the {record}. {CURE}.")
        length, checksum = LENGTH.unpack(header)
        if masked_crc32c(header[:8]) != checksum:
            raise ArchiveError(
                f"{window.path}: found {header.hex(' ')} at byte {at:,}; expected the length of a TFRecord and its "
                f"checksum. The file is damaged or not a TFRecord file. {CURE}."
            )
        start = at + LENGTH.size
        at = start + length + CHECKSUM
        if at > size:
            raise ArchiveError(f"{truncated} {record}, which ends at {at:,}. {CURE}.")
        yield start, start + length


def _varint(window: Pieces, at: int, end: int) -> tuple[int, int]:
    """The varint at an offset (7-bit groups, least significant first), and the offset after it."""
    content, value = window.read(at, min(10, end - at)), 0
    if content and content[0] < 128:
        return content[0], at + 1  # most numbers have one byte
    for place, byte in enumerate(content):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise _UnexpectedData("has a number that does not end")


def _name_and_image(window: Pieces, start: int, end: int) -> tuple[bytes, tuple[int, int]]:
    """The name in the data of a record, and the byte range of its image; stops reading once both are known."""
    found, keys = {}, []
    for entry in _nested(window, start, end):
        fields = {number: (first, last) for number, first, last in _fields(window, *entry)}
        first, last = fields.get(1, (0, 0))
        keys.append(window.read(first, min(last - first, WINDOW)))
        if keys[-1] in (NAME, IMAGE) and 2 in fields:
            found[keys[-1]] = next(_nested(window, *fields[2]), None)
        name, image = found.get(NAME), found.get(IMAGE)
        if name is not None and image is not None:
            return window.read(name[0], name[1] - name[0]), image
    names = sorted(key.decode(errors="replace") + " without bytes" * (found.get(key, ()) is None) for key in keys)
    raise _UnexpectedData(f"has the features {shorten(names) or 'of none'}")


def _nested(window: Pieces, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The byte ranges of field 1 in field 1 of a message."""
    for number, *field in _fields(window, start, end):
        if number == 1:
            yield from ((first, last) for inner, first, last in _fields(window, *field) if inner == 1)


def _fields(window: Pieces, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number and byte range of each length-delimited field in a message."""
    at = start
    while at < end:
        tag, at = _varint(window, at, end)
        kind = tag & 7
        first = at
        if kind == BYTES:
            size, first = _varint(window, at, end)
            at = first + size
        elif kind == VARINT:
            at = _varint(window, at, end)[1]
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise _UnexpectedData(f"is no protocol buffer (wire type {kind})")
        if at > end:
            raise _UnexpectedData("has a field that ends after it")
        if kind == BYTES:
            yield tag >> 3, first, at
