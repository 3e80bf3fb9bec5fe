"""Images in Parquet files, in a column ``image`` {``bytes``, ``path``} as ``datasets`` writes it.

The names are read first; then the bytes of only those row groups that hold wanted images, by threads, as far ahead as
``AHEAD`` allows.
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

PATH, BYTES = "image.path", "image.bytes"
THREADS = 3  # each takes about four times the bytes of a row group
PIECE = 16 << 20  # bytes of images in row groups that are read together: opening a file takes as long as reading 0.3 MB
AHEAD = 64 << 20  # bytes of wanted images that are read ahead
BATCH = 2 << 20  # bytes of images that a thread holds at once, however large a row group is
BUFFER = 1 << 20  # bytes that it reads at once
CURE = "Download it again"


class Piece(NamedTuple):
    """Row groups of a file that hold wanted images and are read together.

    Attributes:
        file: path of the Parquet file.
        groups: the numbers of the row groups, from 0 on.
        rows: the wanted rows, ``int64`` ``[n]``, numbers from 0 on in these row groups, ascending.
        names: their official file names, ``pa.StringArray`` ``[n]``.
        size: bytes of all images in these row groups, as they are stored in the file.
        wanted_size: bytes of the wanted images, an estimate.
        batch: rows that are read at once.
    """

    file: str
    groups: list[int]
    rows: np.ndarray
    names: pa.StringArray
    size: int
    wanted_size: int
    batch: int


def find_pieces(files: list[str], wanted: Collection[str] | None, threads: int = THREADS) -> list[Piece]:
    """The row groups that hold wanted images, in the order of the files; only names are read.

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
        pieces = [piece for found in pool.map(lambda file: _pieces(file, wanted), files) for piece in found]
    names = np.sort(fixed_width(pa.chunked_array([piece.names.cast(pa.binary()) for piece in pieces], pa.binary())))
    twice = names[1:][names[1:] == names[:-1]]
    if len(twice):
        name = twice[0].decode()
        holders = [piece.file for piece in pieces for found in piece.names.to_pylist() if found == name]
        raise ArchiveError(
            f"{name} is in {len(holders)} rows, of {' and of '.join(holders[:2])}; expected each image once. Remove "
            "the files that are copies or of another download."
        )
    return pieces


def read_images(
    pieces: list[Piece], advance: Callable[[int], object] = lambda size: None, threads: int = THREADS
) -> Iterator[tuple[str, bytes]]:
    """Yield the wanted images, (official file name, bytes), in the order of their rows.

    Args:
        pieces: what ``find_pieces`` returned.
        advance: is called with ``Piece.size`` of each piece that was read, as a progress bar's ``update``.
        threads: pieces that are read at once.

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
            else:  # more than may be held
                piece = left.popleft()
                yield from _images(piece)
            advance(piece.size)
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _parquet(file: str) -> Iterator[pq.ParquetFile]:
    """The opened file. What Arrow says of its content becomes an ``ArchiveError``."""
    try:
        with pq.ParquetFile(file, buffer_size=BUFFER) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's
        raise ArchiveError(f"{file} is truncated, damaged or no Parquet file: {str(error)[:300]}. {CURE}.") from error


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
    """A piece that row groups are added to."""

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
    """The metadata of a file, which column has the images' bytes, and the official name of each row or null."""
    with _parquet(file) as parquet:
        metadata = parquet.metadata
        columns = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
        if not {PATH, BYTES} <= set(columns):
            raise ArchiveError(
                f"{file} has the columns {', '.join(columns)[:300]}; expected {BYTES} and {PATH}, as in the Hub's "
                "ImageNet. Without the paths, nobody can say which image is which."
            )
        paths = pc.struct_field(parquet.read(columns=[PATH], use_threads=False)["image"], "path")
    names = official_names(paths.cast(pa.string()))
    if len(names) and names.null_count == len(names):
        raise ArchiveError(
            f"{file}: found the paths {str(paths[:3].to_pylist())[:300]} in column {PATH}; expected names of ImageNet "
            "images, as n01440764_10026_n01440764.JPEG. Without them, nobody can say which image is which."
        )
    return metadata, columns.index(BYTES), names


def _images(piece: Piece) -> Iterator[tuple[str, bytes]]:
    """The wanted images of a piece, which is read batch by batch."""
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
                        "the images in it."
                    )
                yield name, content
            start, first = start + len(batch), last
