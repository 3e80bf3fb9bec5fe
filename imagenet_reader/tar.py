"""The tar format: headers, and the walk over them.

The processes of ``walk_worker`` import this module: it needs nothing but Python, so that they start in no time.
"""

import array
import contextlib
import functools
import os
import re
import zlib

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


@functools.lru_cache(1 << 12)
def _sum_by(field):
    """What the bytes of a header add up to if this is its checksum, in which the field itself counts as spaces."""
    with contextlib.suppress(ValueError):
        return _number(field) - sum(b" " * 8) + sum(field)
    return None


def checksum_fits(header, adler32=zlib.adler32):
    """Whether a header holds the checksum of its own bytes."""
    # The low half of an Adler-32 is 1 and the bytes added up, modulo 65,521: more than 256 bytes can come to.
    total = (adler32(header[:256]) & 0xFFFF) + (adler32(header[256:]) & 0xFFFF) - 2
    return total == _sum_by(header[CHECKSUM])


class TarWalk:
    """The walk from header to header over one tar, from byte ``position`` to ``end`` of a file; it can pause.

    Args:
        path: the file. ``fd``, if it is not ``None``, is its open descriptor.

    Attributes:
        position: the byte at which the next header stands.
        done: whether the end is reached.
        error: what another process has met in it, an exception, or ``None``.
        members: the regular members passed so far whose names begin with ``prefix``: a list of tuples of ``bytes``,
            (their names without folders, side by side; the ``int32`` lengths of the names; the ``int64`` bytes at
            which the headers stand; the ``int64`` sizes).
    """

    CHUNK = 4096  # members that are lists of Python's objects; bounds the memory

    def __init__(self, path, fd, position, end, prefix=b""):
        self.path, self.fd, self.prefix = os.fspath(path), fd, prefix
        self.position, self.end = position, end
        self.members, self.done, self.error = [], False, None

    @contextlib.contextmanager
    def opened(self):
        """The file descriptor of the file."""
        if self.fd is not None:
            yield self.fd
            return
        fd = os.open(self.path, os.O_RDONLY)
        try:
            yield fd
        finally:
            os.close(fd)

    def advance(self, fd, read):
        """Pass headers up to the end, or until ``read`` pauses, and return how many were passed.

        ``read(position)`` gives the 512 bytes that stand there, or ``None`` to pause.

        Raises:
            ArchiveError: the tar is damaged, truncated, or of a kind that ImageNet's are not.
        """
        headers, going = 0, True
        while going and not self.done:
            members = [], [], []
            passed, going = self._advance_chunk(fd, read, *members)
            self._keep(*members)
            headers += passed
        return headers

    def _keep(self, names, offsets, sizes):
        if names:
            numbers = array.array("i", map(len, names)), array.array("q", offsets), array.array("q", sizes)
            self.members.append((b"".join(names), *(column.tobytes() for column in numbers)))

    def _advance_chunk(self, fd, read, names, offsets, sizes):
        """Add members to the lists; how many headers were passed, and whether to go on."""
        position, end, prefix = self.position, self.end, self.prefix
        for passed in range(self.CHUNK):
            header = read(position) if position + BLOCK <= end else ZERO_BLOCK  # tar forgives a missing end
            if header is None or header == ZERO_BLOCK:
                self.position, self.done = position, header is not None
                return passed, False
            try:
                size = payload_size(header)
            except ValueError:
                raise self._no_header(position) from None
            if not checksum_fits(header):
                raise self._no_header(position)
            name, kind = base_name(header[NAME]), header[TYPE]
            if not 0 <= size <= end - position - BLOCK:
                raise self._cut_off(position, name, size)
            if kind in REGULAR and name and name.startswith(prefix):
                names.append(name)
                offsets.append(position)
                sizes.append(size)
            elif kind in REGULAR or kind in EXTENSIONS:
                self._check_other(fd, position, name, kind, size)
            position += BLOCK + (size + BLOCK - 1 & -BLOCK)
        self.position = position
        return self.CHUNK, True

    def _check_other(self, fd, position, name, kind, size):
        if kind in REGULAR and TRAIN_NAME.fullmatch(name):
            found = f"{name.decode()}, which stands in the class tar of {self.prefix[:-1].decode()}"
            raise self._error(position, found)
        if kind in EXTENSIONS and self._overrules(fd, position, kind, size):
            found = "a header for long names or sparse files, which ImageNet's archives don't have"
            raise self._error(position, found)

    def _overrules(self, fd, position, kind, size):
        return kind in b"LS" or size > MAX_PAX or PAX_OVERRULES.search(os.pread(fd, padded(size), position + BLOCK))

    def _cut_off(self, position, name, size):
        found = f"that {name.decode(errors='replace')!r} is said to have {size:,} bytes, but its tar ends at byte"
        return self._error(position, f"{found} {self.end:,}: the archive is cut off or damaged")

    def _no_header(self, position):
        return self._error(position, "no tar header, where one should be")

    def _error(self, position, found):
        advice = "Compare its SHA-256 with the official one (README), and download it again if they differ."
        return ArchiveError(f"{self.path}, byte {position:,}: found {found}. {advice}")
