"""Where the images are in a TFRecord file of ``tf.train.Example``, as TensorFlow Datasets prepares ImageNet.

A record consists of its length (8 bytes), the masked CRC-32C of the length (4), the data, and the masked CRC-32C of the
data (4), see TensorFlow's ``lib/io/record_writer.h``. Only the first checksum is compared, because the second would
require reading the entire file.

The data is a protocol buffer with these fields (``tensorflow/core/example/{example,feature}.proto``):

    Example {Features features = 1}          Features {map<string, Feature> feature = 1}
    Feature {BytesList bytes_list = 1}       BytesList {repeated bytes value = 1}

A map entry has its key in field 1 and its value in field 2. Features have any order, so the name may precede or follow
the image. The image's bytes are skipped: this takes about one read per record, which extends into the next record.
"""

import functools
import struct
from collections.abc import Iterator

import pyarrow as pa

from imagenet_reader.facts import ArchiveError
from imagenet_reader.io.local import File

NAME, IMAGE = b"file_name", b"image"  # keys of the features to find
WINDOW = 512  # bytes per read: the end of a record, and the beginning of the next one
LENGTH = struct.Struct("<QI")
CHECKSUM = 4  # bytes, after the data
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
CURE = "Prepare or copy this file again"
POLYNOMIAL = 0x82F63B78  # of CRC-32C (Castagnoli), reflected; see RFC 3720, B.4
MASK = 0xA282EAD8  # see TensorFlow's lib/hash/crc32c.h


def list_examples(file: File) -> pa.Table:
    """The images in a TFRecord file."""
    names, offsets, sizes = [], [], []
    window = _Window(file)
    for start, end in _records(window, file.path):
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


def crc32c(data: bytes) -> int:
    """The CRC-32C of ``data``, at about 50 ns per byte: meant for a few bytes."""
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@functools.cache
def _crc_table() -> tuple[int, ...]:
    values = list(range(256))
    for _ in range(8):
        values = [(value >> 1) ^ (POLYNOMIAL if value & 1 else 0) for value in values]
    return tuple(values)


def masked_crc32c(data: bytes) -> int:
    """The CRC-32C of ``data`` as TFRecord files store it: rotated right by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


class _UnexpectedData(ValueError):
    """The data of a record is not as expected; the message completes a sentence about the record."""


class _Window:
    """The part of a file that was read last, ``content``, which begins at byte ``start``."""

    def __init__(self, file: File):
        self.file, self.start, self.content, self.size = file, 0, b"", file.stamp().size

    def bytes_at(self, at: int, count: int) -> bytes:
        """Return ``count`` bytes from byte ``at`` on, fewer only at the end of the file."""
        first = at - self.start
        if first < 0 or first + count > len(self.content):
            self.content = self.file.read(at, max(count, WINDOW))
            self.start, first = at, 0
        return self.content[first : first + count]

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """Return the varint at an offset (7-bit groups, least significant first), and the offset after it."""
        first = at - self.start
        if 0 <= first < len(self.content) and at < end and (byte := self.content[first]) < 128:
            return byte, at + 1  # most numbers have one byte
        value = 0
        for place, byte in enumerate(self.bytes_at(at, min(10, end - at))):
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value, at + place + 1
        raise _UnexpectedData("has a number that does not end")


def _records(window: _Window, path: str) -> Iterator[tuple[int, int]]:
    """Yield the offsets of the beginning and the end of each record's data."""
    at = 0
    while at < window.size:
        header = window.bytes_at(at, LENGTH.size)
        if len(header) < LENGTH.size:
            raise _truncated(path, window.size, f"in the length of the record at byte {at:,}")
        length, checksum = LENGTH.unpack(header)
        if masked_crc32c(header[:8]) != checksum:
            raise ArchiveError(
                f"{path}: found {header.hex(' ')} at byte {at:,}; expected the length of a TFRecord and its checksum. "
                f"The file is damaged or not a TFRecord file. {CURE}."
            )
        start = at + LENGTH.size
        at = start + length + CHECKSUM
        if at > window.size:
            raise _truncated(path, window.size, f"in the record at byte {start - LENGTH.size:,}, which ends at {at:,}")
        yield start, start + length


def _truncated(path: str, size: int, where: str) -> ArchiveError:
    return ArchiveError(f"{path} is truncated: its {size:,} bytes end {where}. {CURE}.")


def _name_and_image(window: _Window, start: int, end: int) -> tuple[bytes, tuple[int, int]]:
    """The name in the data of a record, and the byte range of its image; stops reading once both are known."""
    found, keys = {}, []
    for key, *feature in _features(window, start, end):
        keys.append(key.decode(errors="replace"))
        if key in (NAME, IMAGE):
            found[key] = _only_bytes(window, *feature)
        if len(found) == 2:
            first, last = found[NAME]
            return window.bytes_at(first, last - first), found[IMAGE]
    raise _UnexpectedData(f"has the features {', '.join(sorted(keys)[:20])[:200] or 'of none'}")


def _features(window: _Window, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the key of each feature, and the byte range of its value."""
    for features, features_end in _messages(window, start, end, 1):
        for entry, entry_end in _messages(window, features, features_end, 1):
            key, value = b"", None
            for number, first, last in _fields(window, entry, entry_end):
                if number == 1:
                    key = window.bytes_at(first, min(last - first, WINDOW))
                elif number == 2:
                    value = first, last
            if value is not None:
                yield key, *value


def _only_bytes(window: _Window, start: int, end: int) -> tuple[int, int]:
    """The byte range of the first value in a bytes feature."""
    for first, last in _messages(window, start, end, 1):
        for value in _messages(window, first, last, 1):
            return value
    raise _UnexpectedData("has a feature without bytes")


def _messages(window: _Window, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    return ((first, last) for number, first, last in _fields(window, start, end) if number == wanted)


def _fields(window: _Window, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number and byte range of each length-delimited field in a message."""
    at = start
    while at < end:
        tag, at = window.varint(at, end)
        kind = tag & 7
        first = at
        if kind == BYTES:
            size, first = window.varint(at, end)
            at = first + size
        elif kind == VARINT:
            at = window.varint(at, end)[1]
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise _UnexpectedData(f"is no protocol buffer (wire type {kind})")
        if at > end:
            raise _UnexpectedData("has a field that ends after it")
        if kind == BYTES:
            yield tag >> 3, first, at
