"""The tar format: headers, and the walk over them."""

import contextlib
import os
import re

import numpy as np
import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.official import TRAIN_NAME

# POSIX ustar and GNU tar agree on these fields; numbers are octal digits or, in GNU tar, base 256.
BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
NAME = slice(0, 100)
SIZE = slice(124, 136)
CHECKSUM = slice(148, 156)
TYPE = 156
REGULAR = b"0\x007"
WITHOUT_PAYLOAD = b"123456"  # links, devices, folders, pipes: tar ignores their size
EXTENSIONS = b"LSxgX"  # GNU long names and sparse files, PAX records: they overrule the header
MAX_PAX = 1 << 16  # bytes
PAX_OVERRULES = re.compile(rb"\d (?:path|size|GNU\.sparse\.[a-z]+)=")

# The columns of an index: the name without folders, the byte at which the header stands in the archive, and the size
# of the image in bytes.
MEMBERS = pa.schema({"name": pa.binary(), "offset": pa.int64(), "size": pa.int64()})


def padded(size):
    """How many bytes a payload of ``size`` bytes takes, which is a multiple of ``BLOCK``."""
    return size + BLOCK - 1 & -BLOCK


def base_name(field):
    """The file name in a name field, which ends at its first NUL, without folders."""
    return field.split(b"\0", 1)[0].rpartition(b"/")[2]


def payload_size(header):
    """How many bytes follow a header.

    Raises:
        ValueError: this is no header.
    """
    if len(header) < BLOCK:
        raise ValueError("the end of the archive within a header")
    if header[TYPE] in WITHOUT_PAYLOAD or (header[TYPE] == 0 and header[NAME].split(b"\0", 1)[0].endswith(b"/")):
        return 0
    try:  # nearly every size is 11 octal digits and a NUL, and int() is fast
        return int(header[124:135], 8) if header[135] in b"\0 " else _number(header[SIZE])
    except ValueError:
        return _number(header[SIZE])


def _number(field):
    """The number in a field of a header; ``ValueError`` if it has none."""
    if field[0] in b"\x80\xff":  # base 256: a positive or a negative number follows
        return int.from_bytes(field[1:], "big") - (field[0] == 0xFF) * 256 ** (len(field) - 1)
    return int(field.split(b"\0", 1)[0].strip() or b"0", 8)


def checksums_fit(headers):
    """Whether each header, of ``list[bytes]``, holds the checksum of its own bytes: ``list[bool]``."""
    table = np.frombuffer(b"".join(headers), "u1").reshape(-1, BLOCK)
    field = table[:, CHECKSUM]
    sums = table.sum(axis=1, dtype=np.int64) - field.sum(axis=1, dtype=np.int64) + sum(b" " * 8)
    fit = (field[:, :6].astype(np.int64) - ord("0")) @ 8 ** np.arange(6)[::-1] == sums
    for odd in np.flatnonzero(~fit):  # the number may be written in another way
        with contextlib.suppress(ValueError):
            fit[odd] = _number(field[odd].tobytes()) == sums[odd]
    return fit.tolist()


class TarWalk:
    """The walk from header to header over one tar, from byte ``start`` to ``end`` of an archive; it can pause.

    ``tables`` holds the regular members passed so far whose names begin with ``prefix``, ``list[pa.Table]`` of
    ``MEMBERS``. ``position`` is where the next header stands, and ``done`` says whether the end is reached.
    """

    CHUNK = 4096  # headers parsed at once; bounds the memory

    def __init__(self, fd, path, start, end, prefix=b""):
        self.fd, self.path, self.position, self.end, self.prefix = fd, path, start, end, prefix
        self.tables = []
        self.done = False

    def advance(self, read, limit, progress=lambda passed: None):
        """Pass ``limit`` headers, or all that are left, and return how many were passed.

        ``read(position)`` gives the 512 bytes that stand there; ``progress(passed)`` is called with the bytes passed.

        Raises:
            ArchiveError: the tar is damaged, truncated, or of a kind that ImageNet's are not.
        """
        headers = 0
        while headers < limit and not self.done:
            start = self.position
            headers += self._advance_chunk(read, min(limit - headers, self.CHUNK))
            progress(self.position - start)
        return headers

    def _advance_chunk(self, read, limit):
        headers, offsets, sizes = [], [], []
        position, end = self.position, self.end
        while len(headers) < limit:
            header = read(position) if position + BLOCK <= end else ZERO_BLOCK  # tar forgives a missing end
            if header == ZERO_BLOCK:
                self.done = True
                break
            try:
                size = payload_size(header)
            except ValueError:
                raise self._no_header(position) from None
            headers.append(header)
            offsets.append(position)
            sizes.append(size)
            position += BLOCK + padded(size)
            if not 0 <= size <= end - offsets[-1] - BLOCK:
                break
        self._keep(headers, offsets, sizes)
        self.position = position
        return len(headers)

    def _keep(self, headers, offsets, sizes):
        fit = checksums_fit(headers)
        if not all(fit):
            raise self._no_header(offsets[fit.index(False)])
        members = []
        for header, offset, size in zip(headers, offsets, sizes):
            name, kind = base_name(header[NAME]), header[TYPE]
            if not 0 <= size <= self.end - offset - BLOCK:
                found = (
                    f"that {name.decode(errors='replace')!r} is said to have {size:,} bytes, but its tar ends at byte"
                )
                raise self._error(offset, f"{found} {self.end:,}: the archive is cut off or damaged")
            if kind in REGULAR and name and name.startswith(self.prefix):
                members.append((name, offset, size))
            elif kind in REGULAR and TRAIN_NAME.fullmatch(name):
                raise self._error(
                    offset, f"{name.decode()}, which stands in the class tar of {self.prefix[:-1].decode()}"
                )
            elif kind in EXTENSIONS and self._overrules(kind, offset, size):
                found = "a header for long names or sparse files, which ImageNet's archives don't have"
                raise self._error(offset, found)
        self.tables.append(members_table(members, MEMBERS))

    def _overrules(self, kind, offset, size):
        return kind in b"LS" or size > MAX_PAX or PAX_OVERRULES.search(os.pread(self.fd, padded(size), offset + BLOCK))

    def _no_header(self, position):
        return self._error(position, "no tar header, where one is due")

    def _error(self, position, found):
        advice = "Compare its SHA-256 with the official one (README), and download it again if they differ."
        return ArchiveError(f"{self.path}, byte {position:,}: found {found}. {advice}")


def members_table(members, schema):
    """A table of members, of tuples in the order of the schema's columns."""
    columns = zip(*members) if members else ((),) * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema)], schema)
