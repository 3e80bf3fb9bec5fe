"""Reading ahead: each of several threads reads a batch of rows, in the order of the archive."""

import collections
import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image
import pyarrow as pa

from imagenet_reader.facts import ArchiveError, ChangedFile
from imagenet_reader.formats.images import FORMATS, Format, Where
from imagenet_reader.index.kept import doubt
from imagenet_reader.io.local import File, LocalFile, Stamp, file_pool
from imagenet_reader.io.paths import is_url
from imagenet_reader.io.remote import fetch
from imagenet_reader.log import progress_bar, warn
from imagenet_reader.reading import addresses
from imagenet_reader.reading.pixels import as_benchmark, shrunk
from imagenet_reader.rows import PUBLISHED, Columns, Rows, columns_of, named_tuples

BATCH_ROWS = 100  # of a record batch: the most that one random access reads
BATCH_BYTES = 32 << 20
THREADS = 8  # and batches that are read ahead
ROWS_AT_ONCE = 10_000  # in place
RESIZED_BYTES = 30_000  # of a photo whose shorter side has 256 pixels
DAMAGE_SHOWN = 3  # images that a warning names
DAMAGE_ADVICE = "Download the archive again, or pass on_missing='skip'."
# Errors of text in metadata, Pillow's limits that a program has set, and warnings that were turned into errors.
NOT_DAMAGE = ArchiveError, MemoryError, UnicodeError, PIL.Image.DecompressionBombError, Warning

_T = TypeVar("_T")
Place = tuple[Format, File, Where]  # how an image lies in its file, the open file, and where it is


# ---------------------------------------------------------------------------------------------- one image


class DamagedImage(ArchiveError):
    """An image cannot be decoded; the message says where it is, and what is wrong with it."""


def read_checked(
    place: Place, buffer: memoryview, confirm: bool = True, resize: int | None = None
) -> memoryview | bytes:
    """Read an image into a buffer, and check it; return what is decoded, see ``as_benchmark``, or that resized."""
    image_format, file, where = place
    try:
        image_format.read(file, where, buffer)
        image = as_benchmark(buffer)
        if resize is not None:
            image = shrunk(image, resize)
    except Exception as error:  # Pillow's errors have no common base
        if not is_damage(error):
            raise
        _confirm(place)
        raise DamagedImage(f"{image_format.describe(where)} is damaged ({reason(error)}). {DAMAGE_ADVICE}") from error
    if confirm:  # else the caller confirms that the file is the one that was indexed
        _confirm(place)
    return image


def _confirm(place: Place) -> None:
    _, file, where = place
    if file.stamp() != where.stamp:
        raise ChangedFile(f"{where.file} has changed since it was indexed. Load the dataset again once it is complete.")


def is_damage(error: Exception) -> bool:
    """Whether an error of reading an image is due to its pixels, not to metadata, the archive or the system."""
    return not isinstance(error, NOT_DAMAGE) and getattr(error, "errno", None) is None


def reason(error: BaseException | None) -> str:
    """The text of an error of Pillow's, without the memory address at its end."""
    return str(error).partition(" <_io")[0]


# ----------------------------------------------------------------------------------- the images of a layout


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads the images of an index."""

    format: str  # how they lie in the files, a key of ``FORMATS``
    files: tuple[str, ...]  # of whose numbers a row has one, 0 if absent; folders, if each image is a file
    stamps: tuple[Stamp, ...] = ()  # of each file when it was indexed; none for folders, whose rows have stamps
    folder: str = ""  # of extracted images, in whose index changed and damaged ones are doubted; else empty
    columns: Columns = PUBLISHED
    resize: int | None = None  # the shorter side of larger images, in pixels, once they are read

    def where(self, row: Any) -> Where:
        """Where the image of a row of ``rows.named_tuples`` is."""
        number = getattr(row, "file", 0)
        stamp = self.stamps[number] if self.stamps else Stamp(0, 0)
        return FORMATS[self.format].where(self.files[number], stamp, row)

    def describe(self, row: Any) -> str:
        """The place of the image of a row, in words."""
        return FORMATS[self.format].describe(self.where(row))

    def sizes(self, rows: Rows) -> npt.NDArray[np.int64]:
        """The sizes of the images once they are read, ``int64 [n]``; estimates, if they are resized."""
        sizes: npt.NDArray[np.int64] = rows["size"]
        return sizes if self.resize is None else np.minimum(sizes, round(RESIZED_BYTES * (self.resize / 256) ** 2))

    def tables(self, rows: Rows, pixels: str) -> Iterator[pa.Table]:
        """In-place rows, as ``rows.Columns`` has them; ``pixels`` is ``"benchmark"`` or ``"archive"``."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = np.ascontiguousarray(rows[start : start + ROWS_AT_ONCE])
            paths = addresses.format_addresses(self.format, self.files, self.stamps, some, pixels)
            yield self.columns.table(some, pa.nulls(len(some), pa.binary()), paths)

    def reading_order(self, rows: Rows) -> npt.NDArray[np.int64]:
        """The order in which to read rows, ``int64 [n]``: by file, and as they lie in it."""
        within = "offset" if "offset" in columns_of(rows) else "name"
        return np.lexsort([rows[column] for column in (within, "file") if column in columns_of(rows)])

    @contextlib.contextmanager
    def opened(self) -> Iterator["OpenReader"]:
        """Context in which images are read; at its end, threads stop reading."""
        opened = OpenReader(self)
        try:
            yield opened
        finally:
            opened.stop.set()


class OpenReader:
    """A reader whose files stay open; several threads may read at once, until ``stop`` is set."""

    def __init__(self, reader: Reader):
        self.reader, self.stop = reader, threading.Event()
        self._format = FORMATS[reader.format]
        self._open = file_pool() if self._format.shared else LocalFile

    def places(self, rows: Sequence[Any]) -> Iterator[Place]:
        """Where to read each of the rows, in this order; of remote files, all that they need is fetched at once."""
        places = [(self._format, self.reader.where(row)) for row in rows]
        remote = is_url(self.reader.files[0])
        files = fetch_images(places, self.stop) if remote else (self._open(where.file) for _, where in places)
        return ((self._format, file, where) for (_, where), file in zip(places, files))


def work_in_parts(
    reader: Reader, rows: Rows, work: Callable[[OpenReader, list[int]], _T], threads: int, doing: str
) -> list[_T]:
    """What ``work`` returns for parts of rows, given their numbers, in reading order; each thread works on a part."""
    order = reader.reading_order(rows).tolist()
    parts = [order[start : start + BATCH_ROWS] for start in range(0, len(order), BATCH_ROWS)]
    bar, results = progress_bar(doing, len(rows), unit=" images"), list[_T]()
    # The reader is closed first, so that Ctrl-C does not wait for slow storage.
    with bar, ThreadPoolExecutor(threads) as pool, reader.opened() as opened:

        def work_on(part: list[int]) -> _T:
            with _doubting(reader, rows[part]):
                return work(opened, part)

        for part, result in zip(parts, pool.map(work_on, parts)):
            results.append(result)
            bar.update(len(part))
    return results


@contextlib.contextmanager
def _doubting(reader: Reader, rows: Rows) -> Iterator[None]:
    """Context in which extracted images are doubted if one of them has changed."""
    try:
        yield
    except ChangedFile:
        doubt(reader.folder, rows["name"].tolist())
        raise


def fetch_images(places: Sequence[tuple[Format, Where]], stop: threading.Event | None = None) -> Sequence[File]:
    """The parts of remote files that hold these images, with their headers, fetched at once."""
    return fetch([(at.file, at.stamp, at.offset, how.header + at.packed) for how, at in places], stop)


# ------------------------------------------------------------------------------------------------- batches


class Batch:
    """Rows and their images, which are read into ``buffer`` one after the other."""

    def __init__(self, rows: Rows, buffer: npt.NDArray[np.uint8], columns: Columns):
        self.rows, self.columns = rows, columns
        self.begins = np.concatenate([[0], np.cumsum(rows["size"])]).astype(np.int32)
        self.buffer = buffer if len(buffer) >= self.begins[-1] else np.empty(self.begins[-1], np.uint8)
        view = memoryview(self.buffer.data)
        self.images: list[memoryview | bytes] = [view[begin:end] for begin, end in itertools.pairwise(self.begins)]
        self.changed = False  # whether some are no longer in the buffer
        self.left_out: dict[int, str] = {}  # row number -> what is wrong with a damaged image that is left out

    def table(self) -> pa.Table:
        """The rows without damaged ones, as ``rows.Columns`` has them; a copy only if an image was changed."""
        kept = [k for k in range(len(self.rows)) if k not in self.left_out]
        rows = self.rows[kept] if self.left_out else self.rows
        # A table of one row is copied: datasets 5 keeps those to write them later, when the buffer has other images.
        if self.changed or self.left_out or len(kept) == 1:
            images = pa.array([bytes(self.images[k]) for k in kept], pa.binary())
        else:
            buffers = [None, pa.py_buffer(self.begins), pa.py_buffer(self.buffer)]
            images = pa.Array.from_buffers(pa.binary(), len(rows), buffers)
        return self.columns.table(rows, images)


class Damage:
    """The damaged images that are left out, with one warning for all: file name -> a sentence per image."""

    def __init__(self) -> None:
        self.messages: dict[bytes, str] = {}
        self._due = 1

    def warn(self) -> None:
        """Warn of them; then only once the count has grown tenfold, or every shard would repeat it."""
        count = len(self.messages)
        if count >= self._due:
            self._due = 10 * count
            more = f" And {count - DAMAGE_SHOWN:,} more." if count > DAMAGE_SHOWN else ""
            shown = " ".join(itertools.islice(self.messages.values(), DAMAGE_SHOWN))
            warn(f"Damaged images are left out: {count:,}. {shown}{more}")


def read_batches(
    reader: Reader,
    rows: Rows,
    image_bytes: str = "benchmark",
    damage: Damage | None = None,
    threads: int | None = None,
) -> Iterator[Batch]:
    """Read the images of rows ahead of their use."""
    most, ahead = threads or THREADS, 1  # reading begins with few, so that the first batch comes soon
    reading: collections.deque[tuple[Batch, Future[None]]] = collections.deque()
    buffers: list[npt.NDArray[np.uint8]] = []
    windows = _windows(rows)
    # The reader is closed first, so that Ctrl-C does not wait for slow storage.
    with ThreadPoolExecutor(most) as pool, reader.opened() as opened:
        try:
            while True:
                for window in itertools.islice(windows, ahead + 1 - len(reading)):
                    batch = Batch(window, buffers.pop() if buffers else np.empty(0, np.uint8), reader.columns)
                    reading.append((batch, pool.submit(_read, opened, image_bytes, damage is not None, batch)))
                if not reading:
                    break
                batch, future = reading.popleft()
                with _doubting(reader, batch.rows):
                    future.result()
                if damage is not None and batch.left_out:
                    left_out = {batch.rows["name"][k]: batch.left_out[k] for k in sorted(batch.left_out)}
                    doubt(reader.folder, left_out.keys())
                    damage.messages |= left_out
                yield batch
                buffers.append(batch.buffer)
                ahead = min(ahead + 1, most)
        finally:
            if damage is not None:
                damage.warn()


def _windows(rows: Rows) -> Iterator[Rows]:
    """Consecutive runs of at most ``BATCH_ROWS`` rows and about ``BATCH_BYTES``."""
    for start in range(0, len(rows), BATCH_ROWS):
        run = rows[start : start + BATCH_ROWS]
        number = np.cumsum(run["size"]) // BATCH_BYTES
        yield from np.split(run, np.flatnonzero(np.diff(number)) + 1)


def _read(opened: OpenReader, image_bytes: str, skip: bool, batch: Batch) -> None:
    """Read the images of a batch into its buffer."""
    order = opened.reader.reading_order(batch.rows).tolist()
    read: dict[str, Place] = {}  # one of each file of many images
    for k, place in zip(order, opened.places(list(named_tuples(batch.rows[order])))):
        if opened.stop.is_set():
            break
        shared = place[0].shared
        if shared:
            read[place[2].file] = place
        try:
            image = read_checked(place, memoryview(batch.images[k]), not shared, opened.reader.resize)
        except DamagedImage as error:
            if not skip:
                raise
            batch.left_out[k] = str(error).removesuffix(f" {DAMAGE_ADVICE}")
        else:
            if isinstance(image, bytes) and image_bytes == "benchmark":
                batch.images[k], batch.changed = image, True
    # Each file is confirmed once: threads would wait for each other, since each question releases Python's lock.
    for place in read.values():
        _confirm(place)
