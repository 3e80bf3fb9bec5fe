"""Images in Parquet files, in a column ``image`` {``bytes``, ``path``} as ``datasets`` writes it.

The names are read first. Then threads read the image bytes of those row groups that hold wanted images, at most
``AHEAD`` bytes ahead.
"""

import collections
import contextlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.hub_names import official_names
from imagenet_reader.index.members import fixed_width
from imagenet_reader.sources.forwards import open_python_file
from imagenet_reader.sources.urls import is_url

PATH, BYTES = "image.path", "image.bytes"
THREADS = 3  # each uses about four times the memory of a row group
PIECE = 16 << 20  # bytes of images in row groups read together: opening a file takes as long as reading 0.3 MB
AHEAD = 64 << 20  # bytes of wanted images read ahead
BATCH = 2 << 20  # bytes of images that a thread holds in memory at once, however large a row group is
BUFFER = 1 << 20  # bytes that a thread reads at once
CURE = "Download it again"


class Piece(NamedTuple):
    """Row groups of a file that hold wanted images and are read together.

    Attributes:
        file: the path of the Parquet file.
        groups: the numbers of the row groups, counted from 0.
        rows: the wanted rows, ``int64`` ``[n]``, ascending, counted from 0 over these row groups.
        names: their official file names, ``pa.StringArray`` ``[n]``.
        size: the stored size of all images in these row groups, in bytes.
        wanted_size: the size of the wanted images in bytes, an estimate.
        batch: the number of rows to read at once.
    """

    file: str
    groups: list[int]
    rows: np.ndarray
    names: pa.StringArray
    size: int
    wanted_size: int
    batch: int


def find_pieces(files: list[str], wanted: Collection[str] | None, threads: int = THREADS) -> list[Piece]:
    """Find the row groups that hold wanted images, in the order of the files, reading names only.

    Args:
        files: paths of Parquet files.
        wanted: official file names, a ``set``; ``None`` for all. Names that no file has are ignored.
        threads: the number of files to read at once.

    Raises:
        ArchiveError: a file is not a Parquet file, is truncated, or has no such column or no names; or a wanted image
            is in two rows.
        OSError: a file cannot be read.
    """
    with ThreadPoolExecutor(threads) as pool:
        pieces = [piece for found in pool.map(lambda file: _pieces(file, wanted), files) for piece in found]
    names = np.sort(fixed_width(pa.chunked_array([piece.names.cast(pa.binary()) for piece in pieces], pa.binary())))
    twice = names[1:][names[1:] == names[:-1]]
    if len(twice):
        name = twice[0].decode()
        holders = [piece.file for piece in pieces for found in piece.names.to_pylist() if found == name]
        raise ArchiveError(
            f"{name} is in {len(holders)} rows, of {' and of '.join(holders[:2])}; expected each image once. Remove "
            "files that are copies or belong to another download."
        )
    return pieces


def read_images(
    pieces: list[Piece], advance: Callable[[int], object] = lambda size: None, threads: int = THREADS
) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted images, (official file name, bytes), in the order of their rows.

    Args:
        pieces: the result of ``find_pieces``.
        advance: called with the ``Piece.size`` of each piece that was read, like a progress bar's ``update``.
        threads: the number of pieces to read at once.

    Raises:
        ArchiveError: a file is damaged, or an image has no bytes.
        OSError: a file cannot be read.
    """
    waiting: collections.deque[tuple[Piece, Future]] = collections.deque()
    left = collections.deque(pieces)
    pool = ThreadPoolExecutor(threads)
    try:
        while waiting or left:
            held = sum(piece.wanted_size for piece, _ in waiting)
            if left and len(waiting) <= threads and held + left[0].wanted_size <= AHEAD:
                piece = left.popleft()
                waiting.append((piece, pool.submit(list, _images(piece))))
                continue
            if waiting:
                piece, future = waiting.popleft()
                yield from future.result()
            else:  # a piece larger than AHEAD
                piece = left.popleft()
                yield from _images(piece)
            advance(piece.size)
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _parquet(file: str) -> Iterator[pq.ParquetFile]:
    """Context of an open file, which turns Arrow's errors about its content into ``ArchiveError``."""
    try:
        with contextlib.ExitStack() as opened:
            if is_url(file):  # whole columns of a row group are fetched, not a buffer at a time
                options = {"source": opened.enter_context(open_python_file(file, in_order=False)), "pre_buffer": True}
            else:
                options = {"source": file, "buffer_size": BUFFER}
            yield opened.enter_context(pq.ParquetFile(**options))
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and (error.errno is not None or type(error) is not OSError):
            raise  # from the system or a server; Arrow's have neither a number nor a type of their own
        raise ArchiveError(
            f"{file} is truncated, damaged or not a Parquet file: {str(error)[:300]}. {CURE}."
        ) from error


def _pieces(file: str, wanted: Collection[str] | None) -> list[Piece]:
    metadata, column, names = _names(file)
    pieces: list[_Growing] = []
    start = 0
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        here = names[start : start + group.num_rows].to_pylist()
        start += group.num_rows
        rows = [row for row, name in enumerate(here) if name and (wanted is None or name in wanted)]
        if rows:
            images = group.column(column)
            if not pieces or pieces[-1].unpacked + images.total_uncompressed_size > PIECE:
                pieces.append(_Growing())
            pieces[-1].add(number, images, rows, [here[row] for row in rows])
    return [piece.grown(file) for piece in pieces]


class _Growing:
    """A piece to which row groups are added."""

    def __init__(self):
        self.groups, self.rows, self.names = [], [], []
        self.count = self.size = self.unpacked = 0

    def add(self, number: int, images: pq.ColumnChunkMetaData, rows: list[int], names: list[str]) -> None:
        self.groups.append(number)
        self.rows += [self.count + row for row in rows]
        self.names += names
        self.count += images.num_values
        self.size += images.total_compressed_size
        self.unpacked += images.total_uncompressed_size

    def grown(self, file: str) -> Piece:
        rows, names = np.array(self.rows, np.int64), pa.array(self.names)
        wanted_size = self.unpacked * len(rows) // self.count
        batch = max(1, BATCH * self.count // max(1, self.unpacked))
        return Piece(file, self.groups, rows, names, self.size, wanted_size, batch)


def _names(file: str) -> tuple[pq.FileMetaData, int, pa.ChunkedArray]:
    """The metadata of a file, the number of the column of image bytes, and the official name of each row, or null."""
    with _parquet(file) as parquet:
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


def _images(piece: Piece) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted images of a piece, reading it batch by batch."""
    with _parquet(piece.file) as parquet:
        start = first = 0
        for batch in parquet.iter_batches(piece.batch, piece.groups, [BYTES], use_threads=False):
            last = int(np.searchsorted(piece.rows, start + len(batch)))
            column = batch["image"].field("bytes")
            contents = (column[row].as_py() for row in (piece.rows[first:last] - start).tolist())
            for name, content in zip(piece.names[first:last].to_pylist(), contents):
                if content is None:
                    raise ArchiveError(
                        f"{piece.file}: {name} has no bytes in column {BYTES}; expected the image itself. {CURE}, with "
                        "embedded images."
                    )
                yield name, content
            start, first = start + len(batch), last
