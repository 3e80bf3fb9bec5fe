"""Images in Parquet files, in a column ``image`` {``bytes``, ``path``} as ``datasets`` writes it.

The names are read first. Then threads read the image bytes of those row groups that hold wanted images.
"""

import collections
import contextlib
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imagenet_reader.facts import ArchiveError
from imagenet_reader.formats.names import check_unique, official_names
from imagenet_reader.io import open_python_file
from imagenet_reader.io.paths import is_url

PATH, BYTES = "image.path", "image.bytes"
THREADS = 3  # each uses about four times the memory of a row group
BATCH_ROWS = 16  # that a thread decodes at once, however large a row group is
BUFFER = 1 << 20  # bytes that a thread reads at once
CURE = "Download it again"
Image = tuple[str, bytes]  # official file name, content


class RowGroup(NamedTuple):
    """A row group that holds wanted images; sizes are in bytes."""

    file: str
    number: int  # in the file, counted from 0
    rows: list[int]  # the wanted rows in it, ascending, counted from 0
    names: list[str]  # their official file names
    size: int  # as all its images are stored
    wanted_size: int  # of the wanted images, an estimate


def find_row_groups(files: tuple[str, ...], is_wanted: Callable[[str], bool]) -> list[RowGroup]:
    """Find the row groups that hold wanted images, in the order of the files, reading names only."""
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda file: _find_in_file(file, is_wanted), files)
        groups = [group for of_file in found for group in of_file]
    names = [name.encode() for group in groups for name in group.names]
    numbers = [number for number, group in enumerate(groups) for _ in group.names]
    check_unique(pa.table({"name": pa.array(names, pa.binary()), "file": numbers}), [group.file for group in groups])
    return groups


def read_images(groups: list[RowGroup], advance: Callable[[int], object]) -> Iterator[Image]:
    """Yield the wanted images in the order of their rows; a few row groups are in memory."""
    left, reading = iter(groups), collections.deque[tuple[RowGroup, Future[list[Image]]]]()
    pool = ThreadPoolExecutor(THREADS)
    try:
        while True:
            for group in itertools.islice(left, THREADS - len(reading)):
                reading.append((group, pool.submit(list, _images(group))))
            if not reading:
                return
            group, future = reading.popleft()
            yield from future.result()
            advance(group.size)
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _open_parquet(file: str) -> Iterator[pq.ParquetFile]:
    """Context of an open file, which turns Arrow's errors about its content into ``ArchiveError``."""
    try:
        with contextlib.ExitStack() as opened:
            options: dict[str, Any] = {"source": file, "buffer_size": BUFFER}
            if is_url(file):  # whole columns of a row group are fetched, not a buffer at a time
                options = {"source": opened.enter_context(open_python_file(file, 1 << 16)), "pre_buffer": True}
            yield opened.enter_context(pq.ParquetFile(**options))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and (error.errno is not None or type(error) is not OSError):
            raise  # from the system or a server; Arrow's have neither a number nor a type of their own
        raise ArchiveError(
            f"{file} is truncated, damaged or not a Parquet file: {str(error)[:300]}. {CURE}."
        ) from error


def _find_in_file(file: str, is_wanted: Callable[[str], bool]) -> list[RowGroup]:
    metadata, column, names = _read_names(file)
    groups, start = [], 0
    for number in range(metadata.num_row_groups):
        count, images = metadata.row_group(number).num_rows, metadata.row_group(number).column(column)
        here = names[start : start + count].to_pylist()
        start += count
        rows = [row for row, name in enumerate(here) if name and is_wanted(name)]
        if rows:
            wanted_size = images.total_uncompressed_size * len(rows) // count
            named = [here[row] for row in rows]
            groups.append(RowGroup(file, number, rows, named, images.total_compressed_size, wanted_size))
    return groups


def _read_names(file: str) -> tuple[pq.FileMetaData, int, pa.ChunkedArray]:
    """The metadata of a file, the number of the column of image bytes, and the official name of each row, or null."""
    with _open_parquet(file) as parquet:
        metadata = parquet.metadata
        columns = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
        if not {PATH, BYTES} <= set(columns):
            raise ArchiveError(
                f"{file} has the columns {', '.join(columns)[:300]}; expected {BYTES} and {PATH}, as in the Hub's "
                "ImageNet. Without the paths, the images cannot be identified."
            )
        paths = pc.struct_field(parquet.read(columns=[PATH], use_threads=False)["image"], "path")
    names = official_names(paths.cast(pa.string()))
    if len(names) and names.null_count == len(names):
        raise ArchiveError(
            f"{file}: found the paths {str(paths[:3].to_pylist())[:300]} in column {PATH}; expected names of ImageNet "
            "images, such as n01440764_10026_n01440764.JPEG. Without them, the images cannot be identified."
        )
    return metadata, columns.index(BYTES), names


def _images(group: RowGroup) -> Iterator[Image]:
    """Yield the wanted images of a row group, decoding it batch by batch."""
    with _open_parquet(group.file) as parquet:
        start, wanted = 0, dict(zip(group.rows, group.names))
        for batch in parquet.iter_batches(BATCH_ROWS, [group.number], [BYTES], use_threads=False):
            column = batch["image"].field("bytes")
            for row in filter(wanted.__contains__, range(start, start + len(batch))):
                content = column[row - start].as_py()
                if content is None:
                    raise ArchiveError(
                        f"{group.file}: {wanted[row]} has no bytes in column {BYTES}; expected the image itself. "
                        f"{CURE}, with embedded images."
                    )
                yield wanted[row], content
            start += len(batch)
