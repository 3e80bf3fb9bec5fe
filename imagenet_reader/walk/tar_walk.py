"""The walk over the headers of one tar."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.tar_header import (
    BLOCK,
    EXTENSIONS,
    NAME,
    PAX_OVERRIDES,
    REGULAR,
    TYPE,
    ZERO_BLOCK,
    base_name,
    checksum_fits,
    first_wrong_checksum,
    padded,
    payload_size,
)
from imagenet_reader.index.members import MEMBERS, last_of_each_name
from imagenet_reader.official import TRAIN_NAME

# Nearly all headers are simple: that of a regular file, whose size is 11 octal digits and a NUL.
FILE = ord("0")
OCTAL, NUL = slice(124, 135), 135
DIGITS = b"01234567"
CHUNK = 1024  # headers checked together
MAX_PAX = 1 << 16  # bytes
NO_HEADER = "no tar header"

Read = Callable[[int, int], bytes]
GoOn = Callable[[int], bool]


class TarWalk:
    """A walk from header to header over one tar, which can pause.

    Args:
        path: the file that holds the tar.
        position: the offset of the tar in the file.
        end: the offset of the tar's end.
        prefix: the name prefix of the members to list.

    Attributes:
        position: the offset of the next header.
        headers: the number of headers passed.
        done: whether the walk has reached the end.
        error: the ``ArchiveError`` or ``OSError`` that ended the walk, or ``None``.
    """

    def __init__(self, path: str, position: int, end: int, prefix: bytes = b""):
        self.path, self.prefix = path, prefix
        self.position, self.end = position, end
        self.headers, self.done = 0, False
        self.error: Exception | None = None
        self._tables: list[pa.Table] = []
        self._headers: list[bytes] = []  # of regular members, not checked yet
        self._offsets: list[int] = []
        self._sizes: list[int] = []

    def advance(self, read: Read, go_on: GoOn, stride: int = 1) -> None:
        """Pass headers up to the end or an error, or until ``go_on`` returns false.

        Args:
            read: ``read(offset, size)``, as of ``sources.File``.
            go_on: ``go_on(offset)`` says whether to pass the header at this offset.
            stride: ask that only of every ``stride``-th header.
        """
        while not self.done and self.error is None and go_on(self.position):
            try:
                self._pass_headers(read, go_on, stride)
            except (ArchiveError, OSError) as error:
                self.error = error
            self._check_headers()  # which may find an earlier error

    def take_members(self) -> pa.Table:
        """The regular members passed since the last call, ``MEMBERS``; only the last of each name, with a warning."""
        tables, self._tables = [MEMBERS.empty_table(), *self._tables], []
        return last_of_each_name(pa.concat_tables(tables).combine_chunks(), self.path)

    def take_names(self) -> list[bytes]:
        """The names of the members that ``take_members`` would return, without a warning."""
        tables, self._tables = self._tables, []
        return [name for table in tables for name in table["name"].to_pylist()]

    def _pass_headers(self, read: Read, go_on: GoOn, stride: int) -> None:
        headers, offsets, sizes, last = self._headers, self._offsets, self._sizes, self.end - BLOCK
        position = self.position
        for number in range(CHUNK):
            if number % stride == 0 and not go_on(position):
                return
            header = read(position, BLOCK) if position <= last else ZERO_BLOCK  # like tar, accept missing end blocks
            # A call per header would take as long as reading it, so simple headers are handled here.
            digits = header[OCTAL]
            simple = len(header) == BLOCK and header[TYPE] == FILE and header[NUL] == 0 and not digits.strip(DIGITS)
            if simple and (size := int(digits, 8)) <= last - position:
                headers.append(header)
                offsets.append(position)
                sizes.append(size)
            elif header == ZERO_BLOCK:
                self.done = True
                return
            else:
                size = self._pass_other(read, position, header)
            position += BLOCK + (size + BLOCK - 1 & -BLOCK)
            self.position = position
            self.headers += 1

    def _pass_other(self, read: Read, position: int, header: bytes) -> int:
        """Handle any other header; return the size of its payload."""
        try:
            size = payload_size(header)
        except ValueError:
            raise self._error(position, NO_HEADER) from None
        if not checksum_fits(header):
            raise self._error(position, NO_HEADER)
        if not 0 <= size <= self.end - BLOCK - position:
            raise self._cut_off(position, header, size)
        kind = header[TYPE]
        if kind in REGULAR:
            self._headers.append(header)
            self._offsets.append(position)
            self._sizes.append(size)
        elif kind in EXTENSIONS and (
            kind in b"LS" or size > MAX_PAX or PAX_OVERRIDES.search(read(position + BLOCK, padded(size)))
        ):
            found = "a header for long names or sparse files, which no ImageNet archive has"
            raise self._error(position, found)
        return size

    def _check_headers(self) -> None:
        """Check the passed headers and keep their members; the first error replaces any later one."""
        if not self._headers:
            return
        wrong = first_wrong_checksum(self._headers)
        if wrong is not None:
            self.error = self._error(self._offsets[wrong], NO_HEADER)
        names = pa.array([base_name(header[NAME]) for header in self._headers[:wrong]], pa.binary())
        columns = [names, *(pa.array(column[:wrong], pa.int64()) for column in (self._offsets, self._sizes))]
        table = pa.table(columns, schema=MEMBERS)
        for column in (self._headers, self._offsets, self._sizes):
            column.clear()
        own = pc.starts_with(names, self.prefix)
        if not pc.all(own).as_py():
            self._refuse_other_class(table.filter(pc.invert(own)))
        self._tables.append(table.filter(pc.and_(own, pc.greater(pc.binary_length(names), 0))))

    def _refuse_other_class(self, others: pa.Table) -> None:
        """Set ``error`` if there is an image of another class."""
        for name, offset in zip(others["name"].to_pylist(), others["offset"].to_pylist()):
            if TRAIN_NAME.fullmatch(name):
                found = f"{name.decode()} in the class tar of {self.prefix[:-1].decode()}"
                self.error = self._error(offset, found)
                return

    def _cut_off(self, position: int, header: bytes, size: int) -> ArchiveError:
        name = base_name(header[NAME]).decode(errors="replace")
        found = f"a header that says that {name!r} has {size:,} bytes, but its tar ends at byte"
        return self._error(position, f"{found} {self.end:,}: the archive is cut off or damaged")

    def _error(self, position: int, found: str) -> ArchiveError:
        advice = "Compare its SHA-256 with the official one (README), and download it again if they differ."
        return ArchiveError(f"{self.path}, byte {position:,}: found {found}. {advice}")
