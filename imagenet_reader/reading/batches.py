"""Reading ahead: images in the order of the archive, by several threads, given out in row order."""

import collections
import concurrent.futures
import functools
import itertools
import threading
import time
import warnings

import numpy as np
import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.reading.pixels import as_benchmark
from imagenet_reader.rows import named_tuples

BATCH_ROWS = 100  # of a record batch: what one random access reads at the most
BATCH_BYTES = 64 << 20
THREADS = 16
DAMAGE_SHOWN = 3  # images that a warning names


class Batch:
    """Rows and their images.

    Attributes:
        rows: structured array ``[n]``, see ``rows``.
        buffer: ``uint8``, the images side by side as they were read.
        begins: ``int32 [n + 1]``, the byte at which each image begins in the buffer, and the end.
        changed: ``dict``, row number -> what counts instead of the bytes in the buffer: ``bytes``, or ``None`` for a
            damaged image that is left out.
    """

    def __init__(self, rows, buffer):
        self.rows = rows
        self.begins = np.concatenate([[0], np.cumsum(rows["size"])]).astype(np.int32)
        self.buffer = buffer if len(buffer) >= self.begins[-1] else np.empty(self.begins[-1], np.uint8)
        self.changed = {}

    def view(self, k):
        """The bytes of row ``k`` in the buffer, ``memoryview``."""
        return memoryview(self.buffer)[self.begins[k] : self.begins[k + 1]]

    def examples(self):
        """The rows, ``(name, label, image)`` with ``str``, ``int`` and ``bytes``, without damaged ones."""
        for k, (name, label) in enumerate(self.rows[["name", "label"]].tolist()):
            image = self.changed.get(k, self.view(k))
            if image is not None:
                yield name.decode(), label, bytes(image)

    def table(self):
        """The rows without damaged ones, ``pa.Table`` with ``image`` (``bytes``, ``path``), ``label``, ``file_name``.

        It lies over the buffer, without a copy, where all images are as they were read.
        """
        kept = [k for k in range(len(self.rows)) if self.changed.get(k, b"") is not None]
        names = pa.array([name.decode() for name in self.rows["name"][kept].tolist()], pa.string())
        images = pa.StructArray.from_arrays([self._images(kept), names], ["bytes", "path"])
        labels = pa.array(self.rows["label"][kept], pa.int64())
        return pa.table({"image": images, "label": labels, "file_name": names})

    def _images(self, kept):
        # A table of one row is copied: datasets 5 keeps those to write them later, when the buffer has other images.
        if not self.changed and len(kept) > 1:
            buffers = [None, pa.py_buffer(self.begins), pa.py_buffer(self.buffer)]
            return pa.Array.from_buffers(pa.binary(), len(self.rows), buffers)
        return pa.array([bytes(self.changed.get(k, self.view(k))) for k in kept], pa.binary())


class Damage:
    """The damaged images that are left out, of which it warns together: ``messages`` has what is said of each."""

    def __init__(self):
        self.messages, self._due = [], 1

    def add(self, damaged):
        """Take in damaged images, {row number: what is said of it}, in the order of the rows, whoever came first."""
        self.messages += [damaged[k] for k in sorted(damaged)]

    def warn(self, stacklevel):
        """Warn of them at the end of a reading: not again before they are ten times as many, as in each shard."""
        count = len(self.messages)
        if count >= self._due:
            self._due = 10 * count
            more = f" And {count - DAMAGE_SHOWN:,} more." if count > DAMAGE_SHOWN else ""
            shown = " ".join(self.messages[:DAMAGE_SHOWN])
            warnings.warn(f"Damaged images are left out: {count:,}. {shown}{more}", stacklevel=stacklevel + 1)


def read_batches(reader, rows, image_bytes="benchmark", on_damage="error"):
    """Read the images of rows ahead of their use.

    Args:
        reader: reads the images, a ``layouts.base.Reader``.
        rows: structured array, see ``rows``.
        image_bytes: ``"benchmark"``, the images as ``pixels.as_benchmark`` gives them, or ``"archive"``, the bytes of
            the archive.
        on_damage: ``"error"``, or a ``Damage`` to leave out images that cannot be decoded, and to warn of them.

    Yields:
        ``Batch`` of up to 100 rows, whose buffer is written again once the next batch is asked for.

    Raises:
        ArchiveError: the archive was changed, what is at the place of an image is not the image, or it is damaged.
    """
    with reader.opened() as (read, confirm), concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        ended = threading.Event()
        read_some = functools.partial(_read_some, reader, read, image_bytes, on_damage, ended)
        ahead, buffers, threads, used_for = collections.deque(), [], 2, float("inf")
        try:
            for window in itertools.chain(_windows(rows), [None]):
                if window is not None:
                    batch = Batch(window, buffers.pop() if buffers else b"")
                    ahead.append((batch, _submit(pool, read_some, reader, batch, threads)))
                while len(ahead) > (window is not None):
                    batch, reads = ahead.popleft()
                    asked, damaged = time.perf_counter(), {}
                    for part in reads:
                        changed, left_out = part.result()
                        batch.changed.update(changed)
                        damaged.update(left_out)
                    if damaged:
                        on_damage.add(damaged)
                    given = time.perf_counter()
                    confirm()
                    if given - asked > used_for:  # the storage keeps us waiting: more threads hide its latency
                        threads = min(2 * threads, THREADS)
                    yield batch
                    buffers.append(batch.buffer)
                    used_for = time.perf_counter() - given
        finally:
            ended.set()  # slow storage must not keep waiting whoever interrupts
            pool.shutdown(cancel_futures=True)
            if on_damage != "error":
                on_damage.warn(stacklevel=2)


def _windows(rows):
    """Consecutive runs of at most ``BATCH_ROWS`` rows and about ``BATCH_BYTES``."""
    for start in range(0, len(rows), BATCH_ROWS):
        run = rows[start : start + BATCH_ROWS]
        number = np.cumsum(run["size"]) // BATCH_BYTES
        yield from np.split(run, np.flatnonzero(np.diff(number)) + 1)


def _submit(pool, read_some, reader, batch, threads):
    parts = np.array_split(reader.reading_order(batch.rows), min(threads, len(batch.rows)))
    return [pool.submit(read_some, batch, part.tolist()) for part in parts]


def _read_some(reader, read, image_bytes, on_damage, ended, batch, numbers):
    """Read the rows of these numbers into the buffer; return what ``Batch.changed`` and ``Damage.add`` take."""
    changed, damaged = {}, {}
    for k, row in zip(numbers, named_tuples(batch.rows[numbers])):
        if ended.is_set():
            break
        image = batch.view(k)
        try:
            read(row, image)
            benchmark = as_benchmark(image)
        except Exception as error:  # Pillow's errors have no common base
            if not is_damage(error):
                raise
            message = f"{reader.place(row)} is damaged ({reason(error)})."
            if on_damage == "error":
                raise ArchiveError(f"{message} Download the archive again, or pass on_missing='skip'.") from error
            damaged[k], benchmark = message, None
        if benchmark is None or (benchmark is not image and image_bytes == "benchmark"):
            changed[k] = benchmark
    return changed, damaged


def is_damage(error):
    """Whether an error of reading an image is due to the image, and not to the archive or the system."""
    return not isinstance(error, (ArchiveError, MemoryError)) and getattr(error, "errno", None) is None


def reason(error):
    """What an error of Pillow's says, without the address in memory that it may end with."""
    return str(error).partition(" <_io")[0]
