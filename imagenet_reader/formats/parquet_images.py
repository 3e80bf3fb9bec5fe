"""Images in Parquet files, in a column ``image`` {``bytes``, ``path``} as ``datasets`` writes it.

The names are read first; then the bytes of only those row groups that hold wanted images, by threads, as far ahead as
``BUDGET`` allows.
"""

import bisect
import collections
import contextlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.hub_names import official_names

PATH, BYTES = "image.path", "image.bytes"
THREADS = 3  # each takes about four times the bytes of a row group
BUDGET = 32 << 20  # bytes of wanted images in row groups that are read ahead
BATCH = 16  # images that a thread reads at once; a page of Parquet has about 10
BUFFER = 1 << 20  # bytes that a thread reads at once of a column, however large a row group is
CURE = "Download it again"


class RowGroup(NamedTuple):
    """A row group that holds wanted images.

    Attributes:
        file: path of the Parquet file.
        metadata: that of the file, so that it is parsed only once.
        number: which row group of the file it is, from 0 on.
        rows: the wanted rows, numbers from 0 on in this row group, ascending.
        names: their official file names.
        size: bytes of all its images, as they are stored in the file.
        wanted_size: bytes of the wanted images, an estimate.
    """

    file: str
    metadata: pq.FileMetaData
    number: int
    rows: list[int]
    names: list[str]
    size: int
    wanted_size: int


def find_row_groups(files: list[str], wanted: Collection[str] | None, threads: int = THREADS) -> list[RowGroup]:
    """The row groups that hold wanted images, in the order of the files.

    Args:
        files: paths of Parquet files.
        wanted: official file names, a ``set``; ``None`` for all. Those that no file holds are ignored.
        threads: files that are read at once.

    Raises:
        ArchiveError: a file is no Parquet file or truncated, has no such column or no names, or a wanted image is in
            two rows.
        OSError: a file cannot be read.
    """
    with ThreadPoolExecutor(threads) as pool:
        groups = [group for found in pool.map(lambda file: _row_groups(file, wanted), files) for group in found]
    holders: dict[str, str] = {}
    for group in groups:
        for name in group.names:
            if name in holders:
                raise ArchiveError(
                    f"{name} is in two rows, of {holders[name]} and of {group.file}; expected each image once. Remove "
                    "the files that are copies or of another download."
                )
            holders[name] = group.file
    return groups


def read_images(
    groups: list[RowGroup], advance: Callable[[int], object] = lambda size: None, threads: int = THREADS
) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted images of row groups, (official file name, bytes), in the order of their rows.

    Args:
        groups: what ``find_row_groups`` returned.
        advance: is called with ``RowGroup.size`` of each row group that was read, as a progress bar's ``update``.
        threads: row groups that are read at once.

    Raises:
        ArchiveError: a file is damaged, or an image has no bytes.
        OSError: a file cannot be read.
    """
    waiting: collections.deque[tuple[RowGroup, Future]] = collections.deque()
    left = collections.deque(groups)
    pool = ThreadPoolExecutor(threads)
    try:
        while waiting or left:
            held = sum(group.wanted_size for group, _ in waiting)
            if left and len(waiting) <= threads and held + left[0].wanted_size <= BUDGET:
                group = left.popleft()
                waiting.append((group, pool.submit(list, _images(group))))
                continue
            if waiting:
                group, future = waiting.popleft()
                yield from future.result()
            else:  # more than the budget: never held as a whole
                group = left.popleft()
                yield from _images(group)
            advance(group.size)
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _parquet(file: str, metadata: pq.FileMetaData | None = None) -> Iterator[pq.ParquetFile]:
    """The opened file. What Arrow says of its content becomes an ``ArchiveError``."""
    try:
        with pq.ParquetFile(file, metadata=metadata, buffer_size=BUFFER) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's
        raise ArchiveError(f"{file} is truncated, damaged or no Parquet file: {str(error)[:300]}. {CURE}.") from error


def _row_groups(file: str, wanted: Collection[str] | None) -> list[RowGroup]:
    with _parquet(file) as parquet:
        metadata = parquet.metadata
        columns = {metadata.schema.column(number).path: number for number in range(metadata.num_columns)}
        if not {PATH, BYTES} <= columns.keys():
            raise ArchiveError(
                f"{file} has the columns {', '.join(columns)[:300]}; expected {BYTES} and {PATH}, as in the Hub's "
                "ImageNet. Without the paths, nobody can say which image is which."
            )
        paths = parquet.read(columns=[PATH], use_threads=False)["image"]
    names = official_names(pc.struct_field(paths, "path").cast(pa.string())).to_pylist()
    if names and not any(names):
        found = pc.struct_field(paths, "path")[:3].to_pylist()
        raise ArchiveError(
            f"{file}: found the paths {str(found)[:300]} in column {PATH}; expected names of ImageNet's images, as "
            "n01440764_10026_n01440764.JPEG. Without them, nobody can say which image is which."
        )
    rows = [row for row, name in enumerate(names) if name and (wanted is None or name in wanted)]
    groups, start = [], 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        first, last = (bisect.bisect_left(rows, end) for end in (start, start + group.num_rows))
        if first < last:
            column = group.column(columns[BYTES])
            here = rows[first:last]
            wanted_size = column.total_uncompressed_size * len(here) // group.num_rows
            groups.append(
                RowGroup(
                    file,
                    metadata,
                    number,
                    [row - start for row in here],
                    [names[row] for row in here],
                    column.total_compressed_size,
                    wanted_size,
                )
            )
        start += group.num_rows
    return groups


def _images(group: RowGroup) -> Iterator[tuple[str, bytes]]:
    """The wanted images of a row group, which is read piece by piece."""
    with _parquet(group.file, group.metadata) as parquet:
        start = first = 0
        for batch in parquet.iter_batches(BATCH, [group.number], [BYTES], use_threads=False):
            last = bisect.bisect_left(group.rows, start + len(batch))
            for row, name in zip(group.rows[first:last], group.names[first:last]):
                content = batch["image"][row - start]["bytes"].as_py()
                if content is None:
                    raise ArchiveError(
                        f"{group.file}: {name} has no bytes in column {BYTES}; expected the image itself. {CURE}, with "
                        "the images in it."
                    )
                yield name, content
            start, first = start + len(batch), last
