"""Tars: their headers, and the walk over all headers that lists their members.

POSIX ustar and GNU tar agree on the fields that are used; numbers are octal digits or, in GNU tar, base 256.
"""

import functools
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.facts import CLASS_TAR, OFFICIAL_SIZES, TRAIN_NAME, ArchiveError
from imagenet_reader.io import READ_AHEAD, open_file, stamp_of
from imagenet_reader.io.local import File, Pieces, file_pool
from imagenet_reader.io.paths import is_url
from imagenet_reader.log import progress_bar, warn

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)
NAME = slice(0, 100)
SIZE = slice(124, 136)
CHECKSUM = slice(148, 156)
TYPE, FILE = 156, ord("0")
MAGIC, USTAR = slice(257, 263), b"ustar\0"
PREFIX = slice(345, 500)  # of the name, in ustar
REGULAR = b"0\x007"
WITHOUT_PAYLOAD = b"123456"  # links, devices, folders, pipes: tar ignores their size
EXTENSIONS = b"LSxgX"  # GNU long names and sparse files, PAX records: they can override the header
PAX_OVERRIDES = re.compile(rb"\d (?:path|size|GNU\.sparse\.[a-z]+)=")
MAX_PAX = 1 << 16  # bytes
DIGITS = b"01234567"
CHUNK = 1024  # headers checked together
NO_HEADER = "no tar header"
APPLE_DOUBLE = b"._"  # macOS's tar stores attributes in such a member before each member (RFC 1740)

THREADS = 16
STREAM_BYTES = 8 << 20
TRIAL = 0.1  # seconds that each way to walk is measured; small archives are done by then
SLICE = 1.0  # seconds between two updates of the progress bar

# The name (with folders only in WebDataset tars), the offset of the header in the archive, and the size of the payload.
MEMBERS = pa.schema({"name": pa.binary(), "offset": pa.int64(), "size": pa.int64()})

GoOn = Callable[[int], bool]
Open = Callable[[str], File]
NameOf = Callable[[bytes], bytes]


# ------------------------------------------------------------------------------------------------- headers


def padded(size: int) -> int:
    """The number of bytes that a payload of ``size`` bytes occupies, a multiple of ``BLOCK``."""
    return size + BLOCK - 1 & -BLOCK


def base_name(header: bytes) -> bytes:
    """The file name of a member, without folders; the field ends at its first NUL."""
    return header[NAME].split(b"\0", 1)[0].rpartition(b"/")[2]


def full_name(header: bytes) -> bytes:
    """The name of a member with its folders, which ustar may put into another field."""
    fields = (header[PREFIX], header[NAME]) if header[MAGIC] == USTAR else (header[NAME],)
    return b"/".join(filter(None, (field.split(b"\0", 1)[0] for field in fields)))


def payload_size(header: bytes) -> int:
    """The size in bytes of the payload after a header."""
    if len(header) < BLOCK:
        raise ValueError("the archive ends within a header")
    if header[TYPE] in WITHOUT_PAYLOAD or (header[TYPE] == 0 and header[NAME].split(b"\0", 1)[0].endswith(b"/")):
        return 0
    return _number(header[SIZE])


def _number(field: bytes) -> int:
    """The number in a header field; raises ``ValueError`` if the field has none."""
    if field[0] in b"\x80\xff":  # base 256: a positive or a negative number follows
        return int(int.from_bytes(field[1:], "big") - (field[0] == 0xFF) * 256 ** (len(field) - 1))
    return int(field.split(b"\0", 1)[0].strip() or b"0", 8)


@functools.lru_cache(1 << 14)  # an archive has some thousands of different checksums
def _stated_sum(field: bytes) -> int:
    """The sum of a header's bytes that this checksum field states; -1 if the field has no number."""
    try:
        total = _number(field) - sum(b" " * 8) + sum(field)  # it states the sum with spaces in its own place
    except ValueError:
        return -1
    return total if 0 <= total <= 255 * BLOCK else -1


# -------------------------------------------------------------------------------------------- the walk


class _Walk:
    """A walk from header to header over one tar, which can pause.

    The tar lies in a file between ``position``, the offset of the next header, and ``end``; members whose names begin
    with ``prefix`` are listed. The walk ends when it is ``done``, or with an ``error``.
    """

    def __init__(self, path: str, position: int, end: int, prefix: bytes = b"", name_of: NameOf = base_name):
        self.path, self.prefix, self.name_of = path, prefix, name_of
        self.position, self.end = position, end
        self.headers, self.done = 0, False  # how many were passed; whether it has reached the end
        self.error: Exception | None = None
        self._tables: list[pa.Table] = []
        self._unchecked: list[tuple[bytes, int, int]] = []  # header, offset and size of regular members

    def advance(self, file: File, go_on: GoOn = lambda offset: True) -> None:
        """Pass headers up to the end or an error, or until ``go_on`` returns false; what is in memory is used up."""
        while not self.done and self.error is None and (file.holds(self.position) or go_on(self.position)):
            try:
                self._pass_headers(file, go_on)
            except (ArchiveError, OSError) as error:
                self.error = error
            self._check_headers()  # which may find an earlier error

    def take_members(self) -> pa.Table:
        """The regular members passed since the last call, ``MEMBERS``."""
        if self.error is not None:
            raise self.error
        tables, self._tables = [MEMBERS.empty_table(), *self._tables], []
        return pa.concat_tables(tables).combine_chunks()

    def _pass_headers(self, file: File, go_on: GoOn) -> None:
        unchecked, end, position = self._unchecked, self.end, self.position
        for _ in range(CHUNK):
            if not (file.holds(position) or go_on(position)):
                return
            # Like tar, accept missing end blocks.
            header = file.read(position, BLOCK) if position < end else ZERO_BLOCK
            # A call per header would take as long as reading it, so simple headers are handled here.
            # Nearly all are: those of a regular file, whose size is 11 octal digits and a NUL.
            digits = header[124:135]
            simple = len(header) == BLOCK and header[TYPE] == FILE and header[135] == 0 and not digits.strip(DIGITS)
            if simple and (size := int(digits, 8)) <= end - BLOCK - position:
                unchecked.append((header, position, size))
            elif header and not any(header):
                self.done = True
                return
            else:
                size = self._pass_other(file, position, header)
            position += BLOCK + (size + BLOCK - 1 & -BLOCK)
            self.position = position
            self.headers += 1

    def _pass_other(self, file: File, position: int, header: bytes) -> int:
        """Handle any other header; return the size of its payload."""
        try:
            size = payload_size(header)
        except ValueError:
            raise self._error(position, NO_HEADER) from None
        if sum(header) != _stated_sum(header[CHECKSUM]):
            raise self._error(position, NO_HEADER)
        if not 0 <= size <= self.end - BLOCK - position:
            name = base_name(header).decode(errors="replace")
            found = f"a header that says that {name!r} has {size:,} bytes, but its tar ends at byte {self.end:,}"
            raise self._error(position, f"{found}: the archive is cut off or damaged")
        kind = header[TYPE]
        if kind in REGULAR:
            self._unchecked.append((header, position, size))
        elif kind in EXTENSIONS and (
            kind in b"LS" or size > MAX_PAX or PAX_OVERRIDES.search(file.read(position + BLOCK, padded(size)))
        ):
            raise self._error(position, "a header for long names or sparse files, which no ImageNet archive has")
        return size

    def _check_headers(self) -> None:
        """Check the passed headers and keep their members; the first error replaces any later one."""
        if not self._unchecked:
            return
        (headers, offsets, sizes), self._unchecked = zip(*self._unchecked), []
        sums = np.frombuffer(b"".join(headers), np.uint8).reshape(-1, BLOCK).sum(axis=1, dtype=np.uint32)
        wrong = np.flatnonzero(sums != [_stated_sum(header[CHECKSUM]) for header in headers])
        end = int(wrong[0]) if len(wrong) else len(sums)
        if len(wrong):
            self.error = self._error(offsets[end], NO_HEADER)
        names = pa.array(map(self.name_of, headers[:end]), pa.binary())
        table = pa.table([names, offsets[:end], sizes[:end]], schema=MEMBERS)
        own = pc.starts_with(names, self.prefix)
        for member in table.filter(pc.invert(own)).to_pylist():
            if TRAIN_NAME.fullmatch(member["name"]):
                found = f"{member['name'].decode()} in the class tar of {self.prefix[:-1].decode()}"
                self.error = self._error(member["offset"], found)
                break
        self._tables.append(table.filter(pc.and_(own, pc.greater(pc.binary_length(names), 0))))

    def _error(self, position: int, found: str) -> ArchiveError:
        advice = compare_size(self.path) or "Compare its SHA-256 with the official one, or download it again."
        return ArchiveError(f"{self.path}, byte {position:,}: found {found}. {advice}")


def compare_size(path: str) -> str:
    """Say why an archive with an official name may have another size than the official one; empty if it has not."""
    size, official = stamp_of(path).size, OFFICIAL_SIZES.get(os.path.basename(path))
    if official in (size, None):
        return ""
    return (
        f"It has {size:,} bytes, the official archive {official:,}: the download is not finished, or it is a stand-in, "
        "which has only images of the published lists."
    )


def first_member(file: File) -> bytes:
    """The name of a tar's first regular member, without folders; AppleDouble members are skipped; empty if none."""
    walk = _Walk(file.path, 0, file.stamp().size)
    while not walk.done:
        walk.advance(file, walk.position.__eq__)  # by one header
        for name in walk.take_members()["name"].to_pylist():
            if not name.startswith(APPLE_DOUBLE):
                return bytes(name)
    return b""


def walk_tar(file: File, name_of: NameOf = base_name) -> pa.Table:
    """The regular members of an open tar, ``MEMBERS``, each name once; ``name_of`` finds it in a header."""
    walk = _Walk(file.path, 0, file.stamp().size, name_of=name_of)
    walk.advance(file)
    return last_of_each_name(walk.take_members(), file.path)


def walk_archive(path: str, made_of: str = "") -> pa.Table:
    """As ``walk_tar``, the images in a tar of images or in a tar of class tars, with a progress bar that names it."""
    with open_file(path) as file:
        walks = [_Walk(path, 0, file.stamp().size)]
        if CLASS_TAR.fullmatch(first_member(file)):
            tars = [member for member in walk_tar(file).to_pylist() if CLASS_TAR.fullmatch(member["name"])]
            starts = [tar["offset"] + BLOCK for tar in tars]
            walks = [_Walk(path, at, at + tar["size"], _prefix(tar["name"])) for tar, at in zip(tars, starts)]
    return pa.concat_tables([MEMBERS.empty_table(), *_finish(walks, os.path.basename(made_of or path))])


def walk_class_tars(paths: Sequence[str], sizes: Iterable[int]) -> list[pa.Table]:
    """As ``walk_tar``, the images in each of several class tars."""
    walks = [_Walk(path, 0, size, _prefix(os.path.basename(path).encode())) for path, size in zip(paths, sizes)]
    return list(_finish(walks, os.path.dirname(paths[0])))


def _prefix(class_tar: bytes) -> bytes:
    """How the names of the images in a class tar begin."""
    return class_tar.removesuffix(b".tar") + b"_"


def last_of_each_name(table: pa.Table, path: str) -> pa.Table:
    """Keep only the last member of each name, as unpacking would, with a warning."""
    last = {name: row for row, name in enumerate(table["name"].to_pylist())}
    if len(last) == len(table):
        return table
    warn(f"{path} has {len(table) - len(last):,} duplicate member names; the last one wins, as in tar.")
    return table.take(sorted(last.values()))


# ------------------------------------------------------------------------------------------- ways to walk


def _finish(walks: Sequence[_Walk], what: str) -> Iterator[pa.Table]:
    """Advance all walks to their ends, in the way that is fastest at first, and return the members of each.

    Hopping from header to header costs the same per image, streaming in large pieces the same per byte; threads help
    where the storage has a high latency. A remote tar is streamed.
    """
    total = sum(walk.end - walk.position for walk in walks)
    with progress_bar(f"Indexing {what}", total) as bar, ThreadPoolExecutor(THREADS) as pool:
        remote = bool(walks) and is_url(walks[0].path)
        pieces = functools.lru_cache(1)(lambda path: Pieces(open_file(path), READ_AHEAD if remote else STREAM_BYTES))
        ways = [functools.partial(_advance, walks, pool, pieces, 1)]
        if not remote:
            files = file_pool()
            ways = [*(functools.partial(_advance, walks, pool, files, threads) for threads in (1, THREADS)), *ways]
        advance = max(ways, key=functools.partial(_pace, walks))
        while _unfinished(walks):
            before = sum(walk.position for walk in walks)
            advance(time.perf_counter() + SLICE)
            bar.update(sum(walk.position for walk in walks) - before)
        bar.update(total - bar.n)
    return (last_of_each_name(walk.take_members(), walk.path) for walk in walks)


def _unfinished(walks: Iterable[_Walk]) -> list[_Walk]:
    """The walks that are not done; those after the first walk with an error are not needed."""
    sound = itertools.takewhile(lambda walk: walk.error is None, walks)
    return [walk for walk in sound if not walk.done]


def _pace(walks: Sequence[_Walk], advance: Callable[[float], None]) -> float:
    """How many headers a way passes per second: what remains consists of headers, so they are the measure."""
    began, before = time.perf_counter(), sum(walk.headers for walk in walks)
    advance(began + TRIAL)
    return (sum(walk.headers for walk in walks) - before) / (time.perf_counter() - began)


def _advance(walks: Iterable[_Walk], pool: ThreadPoolExecutor, opened: Open, threads: int, deadline: float) -> None:
    """Advance some walks at once, each by a thread."""
    shared, until = iter(_unfinished(walks)), deadline

    def has_time(_: object) -> bool:
        return time.perf_counter() < until

    def advance() -> None:
        for walk in itertools.takewhile(has_time, shared):
            walk.advance(opened(walk.path), has_time)

    futures = [pool.submit(advance) for _ in range(threads)]
    try:
        for future in futures:
            future.result()
    finally:
        until = 0.0  # after an interrupt, no thread continues
