"""The tar format: headers, and the walk over them.

The processes of ``walk_worker`` import this module: it needs nothing but Python, so that they start in no time.
"""

import array
import contextlib
import os
import re
import time
import zlib

from imagenet_reader.errors import ArchiveError
from imagenet_reader.official import TRAIN_NAME

# POSIX ustar and GNU tar agree on these fields; numbers are octal digits or, in GNU tar, base 256.
BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
NAME = slice(0, 100)
SIZE = slice(124, 136)
DIGITS = b"01234567"
OCTAL, NUL = slice(124, 135), 135  # where a size is 11 octal digits and a NUL, as nearly every one
CHECKSUM = slice(148, 156)
TYPE = 156
FILE = ord("0")
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
    return _number(header[SIZE])


def _number(field):
    """The number in a field of a header; ``ValueError`` if it has none."""
    if field[0] in b"\x80\xff":  # base 256: a positive or a negative number follows
        return int.from_bytes(field[1:], "big") - (field[0] == 0xFF) * 256 ** (len(field) - 1)
    return int(field.split(b"\0", 1)[0].strip() or b"0", 8)


def checksum_fits(header, adler32=zlib.adler32):
    """Whether a header holds the checksum of its own bytes, in which the field itself counts as spaces.

    Raises:
        ValueError: it holds no number.
    """
    # The low half of an Adler-32 is 1 and the bytes added up, modulo 65,521: more than 256 bytes can come to.
    total = (adler32(header[:256]) & 0xFFFF) + (adler32(header[256:]) & 0xFFFF) - 2
    return total == _sum_by(header[CHECKSUM])


def _sum_by(field):
    """What the bytes of a header add up to if this is its checksum."""
    return _number(field) - sum(b" " * 8) + sum(field)


class _Adlers(dict):
    """By checksum field: the low half of the Adler-32 of a header whose bytes come to less than ``MODULUS``."""

    MODULUS = 65521
    MOST = 1 << 16  # fields that are kept; an archive has some thousands

    def __missing__(self, field):
        if len(self) == self.MOST:
            self.clear()
        try:
            total = 1 + _sum_by(field)
        except ValueError:
            total = None
        self[field] = total
        return total


_ADLERS = _Adlers()


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
    STEPS = 16  # headers between two looks at the clock

    def __init__(self, path, fd, position, end, prefix=b""):
        self.path, self.fd, self.prefix = os.fspath(path), fd, prefix
        self.position, self.end = position, end
        self.members, self.done, self.error = [], False, None
        self._tail = b"none yet"  # of the last simple header, from its type on
        self._names, self._offsets, self._sizes = [], [], []

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

    def advance(self, fd, read, deadline=float("inf")):
        """Pass headers up to the end, until ``read`` pauses, or until a deadline; return how many were passed.

        ``read(position)`` gives the 512 bytes that stand there, or ``None`` to pause. The deadline, by
        ``time.perf_counter()``, is looked at now and then.

        Raises:
            ArchiveError: the tar is damaged, truncated, or of a kind that ImageNet's are not.
        """
        headers, going = 0, True
        try:
            while going and not self.done and time.perf_counter() < deadline:
                passed, going = self._advance_some(fd, read)
                headers += passed
                if len(self._names) >= self.CHUNK:
                    self._keep()
        finally:
            self._keep()  # which may find an earlier error
        return headers

    def _advance_some(self, fd, read):
        """How many headers were passed, and whether to go on."""
        # A call for each image of ImageNet would take as long as reading its header: simple headers, which nearly all
        # are, get what they need right here, and _keep looks at their names together.
        adler32, adlers, tail, last = zlib.adler32, _ADLERS, self._tail, self.end - BLOCK
        names, offsets, sizes, position = self._names, self._offsets, self._sizes, self.position
        for passed in range(self.STEPS):
            header = read(position) if position <= last else ZERO_BLOCK  # tar forgives a missing end
            if header is None:
                self.position = position
                return passed, False
            octal = header[OCTAL]
            simple = header.endswith(tail) and header[NUL] == 0 and not octal.strip(DIGITS)
            if simple and adler32(header) & 0xFFFF == adlers[header[CHECKSUM]]:
                size = int(octal, 8)
                if size > last - position:
                    raise self._cut_off(position, header, size)
                names.append(header[: header.find(0)])
                offsets.append(position)
                sizes.append(size)
            elif header == ZERO_BLOCK:
                self.position, self.done = position, True
                return passed, False
            else:
                size = self._pass_other(fd, position, header)
                tail = self._tail
            position += BLOCK + (size + BLOCK - 1 & -BLOCK)
        self.position = position
        return self.STEPS, True

    def _pass_other(self, fd, position, header):
        """Do the same for a header of any kind, and return the size of its payload."""
        try:
            size, fits = payload_size(header), checksum_fits(header)
        except ValueError:
            fits = False
        if not fits:
            raise self._error(position, "no tar header, where one should be")
        if not 0 <= size <= self.end - BLOCK - position:
            raise self._cut_off(position, header, size)
        kind = header[TYPE]
        if kind in REGULAR:
            self._names.append(header[NAME].split(b"\0", 1)[0])
            self._offsets.append(position)
            self._sizes.append(size)
            # With such a tail, no header comes to the modulus, up to which the quick check is as exact as the other.
            if kind == FILE and sum(header[TYPE:]) + TYPE * 255 < _Adlers.MODULUS - 1:
                self._tail = header[TYPE:]
        elif kind in EXTENSIONS and self._overrules(fd, position, kind, size):
            found = "a header for long names or sparse files, which ImageNet's archives don't have"
            raise self._error(position, found)
        return size

    def _keep(self):
        """Move what the lists hold to ``members``, but for members of other names."""
        names = b"\0".join([b"", *self._names])
        lengths = array.array("i", map(len, self._names))
        simple = names.count(b"\0" + self.prefix) == len(lengths) and b"/" not in names
        if lengths and not (simple and min(lengths) > 0 and max(lengths) <= 100):
            self._remove_others()
            names, lengths = b"".join(self._names), array.array("i", map(len, self._names))
        if lengths:
            numbers = lengths, array.array("q", self._offsets), array.array("q", self._sizes)
            self.members.append((names.replace(b"\0", b""), *(column.tobytes() for column in numbers)))
        for column in (self._names, self._offsets, self._sizes):
            column.clear()

    def _remove_others(self):
        members = []
        for field, offset, size in zip(self._names, self._offsets, self._sizes):
            name = base_name(field[:100])
            if name and name.startswith(self.prefix):
                members.append((name, offset, size))
            elif TRAIN_NAME.fullmatch(name):
                found = f"{name.decode()}, which stands in the class tar of {self.prefix[:-1].decode()}"
                raise self._error(offset, found)
        for column, values in zip((self._names, self._offsets, self._sizes), zip(*members) if members else ((),) * 3):
            column[:] = values

    def _overrules(self, fd, position, kind, size):
        return kind in b"LS" or size > MAX_PAX or PAX_OVERRULES.search(os.pread(fd, padded(size), position + BLOCK))

    def _cut_off(self, position, header, size):
        name = base_name(header[NAME]).decode(errors="replace")
        found = f"that {name!r} is said to have {size:,} bytes, but its tar ends at byte"
        return self._error(position, f"{found} {self.end:,}: the archive is cut off or damaged")

    def _error(self, position, found):
        advice = "Compare its SHA-256 with the official one (README), and download it again if they differ."
        return ArchiveError(f"{self.path}, byte {position:,}: found {found}. {advice}")
