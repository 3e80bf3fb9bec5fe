"""Tar headers: their fields and checksums."""

import functools
import re
from collections.abc import Sequence

import numpy as np

# POSIX ustar and GNU tar agree on these fields; numbers are octal digits or, in GNU tar, base 256.
BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
NAME = slice(0, 100)
SIZE = slice(124, 136)
CHECKSUM = slice(148, 156)
TYPE = 156
REGULAR = b"0\x007"
WITHOUT_PAYLOAD = b"123456"  # links, devices, folders, pipes: tar ignores their size
EXTENSIONS = b"LSxgX"  # GNU long names and sparse files, PAX records: they can override the header
PAX_OVERRIDES = re.compile(rb"\d (?:path|size|GNU\.sparse\.[a-z]+)=")


def padded(size: int) -> int:
    """The number of bytes that a payload of ``size`` bytes occupies, a multiple of ``BLOCK``."""
    return size + BLOCK - 1 & -BLOCK


def base_name(field: bytes) -> bytes:
    """The file name, without folders, in a name field, which ends at its first NUL."""
    return field.split(b"\0", 1)[0].rpartition(b"/")[2]


def payload_size(header: bytes) -> int:
    """The size in bytes of the payload after a header.

    Raises:
        ValueError: this is no header.
    """
    if len(header) < BLOCK:
        raise ValueError("the archive ends within a header")
    if header[TYPE] in WITHOUT_PAYLOAD or (header[TYPE] == 0 and header[NAME].split(b"\0", 1)[0].endswith(b"/")):
        return 0
    return _number(header[SIZE])


def _number(field: bytes) -> int:
    """The number in a header field; raises ``ValueError`` if the field has none."""
    if field[0] in b"\x80\xff":  # base 256: a positive or a negative number follows
        return int.from_bytes(field[1:], "big") - (field[0] == 0xFF) * 256 ** (len(field) - 1)
    return int(field.split(b"\0", 1)[0].strip() or b"0", 8)


def checksum_fits(header: bytes) -> bool:
    """Whether the checksum of a header is correct."""
    return sum(header) == _stated_sum(header[CHECKSUM])


def first_wrong_checksum(headers: Sequence[bytes]) -> int | None:
    """The position in ``headers``, of 512 bytes each, of the first wrong checksum; ``None`` if all are correct."""
    sums = np.frombuffer(b"".join(headers), np.uint8).reshape(-1, BLOCK).sum(axis=1, dtype=np.uint32)
    wrong = np.flatnonzero(sums != [_stated_sum(header[CHECKSUM]) for header in headers])
    return int(wrong[0]) if len(wrong) else None


@functools.lru_cache(1 << 14)  # an archive has some thousands of different checksums
def _stated_sum(field: bytes) -> int:
    """The sum of a header's bytes that this checksum field states; -1 if the field has no number.

    The field itself counts as spaces, but the caller's sum includes its bytes, so they are added.
    """
    try:
        total = _number(field) - sum(b" " * 8) + sum(field)
    except ValueError:
        return -1
    return total if 0 <= total <= 255 * BLOCK else -1
