"""Reading ahead: several threads read images in the order of the archive; batches come in row order."""

import collections
import concurrent.futures
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from imagenet_reader.hf.log import warn
from imagenet_reader.reading.checked import DamagedImage, Place, confirm_all, read_unconfirmed
from imagenet_reader.reading.reader import OpenReader, Reader
from imagenet_reader.rows import Columns, file_names, named_tuples

BATCH_ROWS = 100  # of a record batch: the most that one random access reads
BATCH_BYTES = 64 << 20
THREADS = 16
REMOTE_WINDOWS = 6  # batches that are fetched ahead
DAMAGE_SHOWN = 3  # images that a warning names
SKIP_ADVICE = "Download the archive again, or pass on_missing='skip'."


class Batch:
    """Rows and their images; ``table`` has them as they are written.

    Attributes:
        rows: structured array ``[n]``, see ``rows``.
        columns: those of the table.
        buffer: ``uint8``, the images as they were read, one after the other.
        begins: ``int32 [n + 1]``, the offset of each image in the buffer, and the end.
        changed: ``dict``, row number -> what to use instead of the buffer's bytes: ``bytes``, or ``None`` for a
            damaged image that is left out.
    """

    def __init__(self, rows: np.ndarray, buffer: np.ndarray, columns: Columns):
        self.rows, self.columns = rows, columns
        self.begins = np.concatenate([[0], np.cumsum(rows["size"])]).astype(np.int32)
        self.buffer = buffer if len(buffer) >= self.begins[-1] else np.empty(self.begins[-1], np.uint8)
        self.changed: dict[int, memoryview | bytes | None] = {}

    def view(self, k):
        """The bytes of row ``k`` in the buffer, ``memoryview``."""
        return memoryview(self.buffer)[self.begins[k] : self.begins[k + 1]]

    def table(self) -> pa.Table:
        """The rows without damaged ones, as ``rows.Columns`` has them.

        It shares the buffer, without a copy, if no image was changed.
        """
        kept, rows = self._kept()
        return self.columns.table(rows, self._images(kept))

    def examples(self) -> Iterator[dict[str, Any]]:
        """The same rows as dicts, each with a copy of its image: faster than from the table, which copies twice."""
        kept, rows = self._kept()
        names = file_names(rows)
        columns = self.columns.beside(names, rows["label"])
        for k, name, *values in zip(kept, names.to_pylist(), *(column.to_pylist() for column in columns.values())):
            image = {"bytes": bytes(self.changed.get(k, self.view(k))), "path": name}
            yield {"image": image, **dict(zip(columns, values))}

    def _kept(self) -> tuple[list[int], np.ndarray]:
        """The numbers of the rows that are not left out, and these rows."""
        kept = [k for k in range(len(self.rows)) if self.changed.get(k, b"") is not None]
        return kept, self.rows[kept] if self.changed else self.rows

    def _images(self, kept):
        # A table of one row is copied: datasets 5 keeps those to write them later, when the buffer has other images.
        if not self.changed and len(kept) > 1:
            buffers = [None, pa.py_buffer(self.begins), pa.py_buffer(self.buffer)]
            return pa.Array.from_buffers(pa.binary(), len(self.rows), buffers)
        return pa.array([bytes(self.changed.get(k, self.view(k))) for k in kept], pa.binary())


class Damage:
    """The damaged images that are left out, with one warning for all: ``messages`` has a sentence per image."""

    def __init__(self):
        self.messages, self._due = [], 1

    def add(self, damaged):
        """Add damaged images, {row number: message}, in row order, whichever thread finished first."""
        self.messages += [damaged[k] for k in sorted(damaged)]

    def warn(self):
        """Warn of them; then only once the count has grown tenfold, or every shard would repeat it."""
        count = len(self.messages)
        if count >= self._due:
            self._due = 10 * count
            more = f" And {count - DAMAGE_SHOWN:,} more." if count > DAMAGE_SHOWN else ""
            shown = " ".join(self.messages[:DAMAGE_SHOWN])
            warn(f"Damaged images are left out: {count:,}. {shown}{more}")


def read_batches(
    reader: Reader, rows: np.ndarray, image_bytes: str = "benchmark", damage: Damage | None = None
) -> Iterator[Batch]:
    """Read the images of rows ahead of their use.

    Args:
        reader: reads the images.
        rows: structured array, see ``rows``.
        image_bytes: ``"benchmark"``, the images as ``pixels.as_benchmark`` returns them, or ``"archive"``, the bytes of
            the archive.
        damage: collects the images that cannot be decoded, which are left out; without it, the first is an error.

    Yields:
        ``Batch`` of up to 100 rows, whose buffer the next batch reuses; copy what you keep.

    Raises:
        ArchiveError: an archive has changed, does not hold an image where the index has it, or the image is damaged.
    """
    with reader.opened() as opened, concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        read_some = functools.partial(_read_some, opened, image_bytes, damage is not None)
        ahead = _ReadAhead(reader, functools.partial(pool.submit, read_some), damage)
        started: collections.deque = collections.deque()
        try:
            for window in _windows(rows):
                started.append(ahead.start(window))
                if len(started) > ahead.windows:
                    yield from ahead.finish(*started.popleft())
            for batch, reads in started:
                yield from ahead.finish(batch, reads)
        finally:
            opened.stop.set()  # do not make Ctrl-C wait for slow storage
            pool.shutdown(cancel_futures=True)
            if damage is not None:
                damage.warn()


class _ReadAhead:
    """Starts and finishes the reading of batches, with as many threads as the storage needs."""

    def __init__(self, reader: Reader, submit: Callable[..., concurrent.futures.Future], damage: Damage | None):
        self.reader, self.submit, self.damage = reader, submit, damage
        self.buffers: list = []
        # Of remote files, all that a window needs is fetched at once, so that a thread per window is enough.
        self.windows, self.threads = (REMOTE_WINDOWS, 1) if reader.remote else (1, 2)
        self.used_for = float("inf")

    def start(self, rows: np.ndarray) -> tuple[Batch, list[concurrent.futures.Future]]:
        """Start reading rows."""
        batch = Batch(rows, self.buffers.pop() if self.buffers else np.empty(0, np.uint8), self.reader.columns)
        parts = np.array_split(self.reader.reading_order(rows), min(self.threads, len(rows)))
        return batch, [self.submit(batch, part.tolist()) for part in parts]

    def finish(self, batch: Batch, reads: list[concurrent.futures.Future]) -> Iterator[Batch]:
        """Yield a batch once it is read, and reuse its buffer afterwards."""
        asked, damaged = time.perf_counter(), {}
        for part in reads:
            changed, left_out = part.result()
            batch.changed.update(changed)
            damaged.update(left_out)
        if self.damage is not None:
            self.damage.add(damaged)
        given = time.perf_counter()
        if given - asked > self.used_for and not self.reader.remote:  # slow storage: more threads hide its latency
            self.threads = min(2 * self.threads, THREADS)
        yield batch
        self.buffers.append(batch.buffer)
        self.used_for = time.perf_counter() - given


def _windows(rows):
    """Consecutive runs of at most ``BATCH_ROWS`` rows and about ``BATCH_BYTES``."""
    for start in range(0, len(rows), BATCH_ROWS):
        run = rows[start : start + BATCH_ROWS]
        number = np.cumsum(run["size"]) // BATCH_BYTES
        yield from np.split(run, np.flatnonzero(np.diff(number)) + 1)


def _read_some(opened: OpenReader, image_bytes: str, skip: bool, batch: Batch, numbers: list[int]) -> tuple[dict, dict]:
    """Read the rows of these numbers into the buffer; return what ``Batch.changed`` and ``Damage.add`` take."""
    changed: dict[int, memoryview | bytes | None] = {}
    damaged: dict[int, str] = {}
    read: list[Place] = []
    for k, place in zip(numbers, opened.places(list(named_tuples(batch.rows[numbers])))):
        if opened.stop.is_set():
            break
        read.append(place)
        buffer = batch.view(k)
        try:
            image = read_unconfirmed(*place, buffer)
        except DamagedImage as error:
            if not skip:
                raise DamagedImage(error.place, error.reason, SKIP_ADVICE) from error
            changed[k], damaged[k] = None, f"{error.place} is damaged ({error.reason})."
        else:
            if image is not buffer and image_bytes == "benchmark":
                changed[k] = image
    confirm_all(read)
    return changed, damaged
