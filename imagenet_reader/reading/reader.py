"""The reader of the images of one layout: small, since it is sent to other processes."""

import contextlib
import dataclasses
import itertools
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from imagenet_reader.formats import format_of
from imagenet_reader.formats.base import Format, Where
from imagenet_reader.reading import addresses
from imagenet_reader.reading.checked import Place
from imagenet_reader.reading.remote import fetch
from imagenet_reader.rows import PUBLISHED, Columns, columns_of
from imagenet_reader.sources import File, Stamp
from imagenet_reader.sources.local import LocalFile
from imagenet_reader.sources.pool import FilePool
from imagenet_reader.sources.urls import is_url

ROWS_AT_ONCE = 10_000


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads the images of an index.

    Attributes:
        format: how they lie in the files, a key of ``formats.FORMATS``.
        files: paths of the files; folders, if each image is a file. A row's ``file`` is a number in it, 0 if absent.
        stamps: the stamp of each file when it was indexed; none for folders, whose rows have stamps.
        origin: what the files were made from, for messages; empty if they are originals.
        formats: the format of each file, if they differ.
        columns: the columns of the rows.
    """

    format: str
    files: tuple[str, ...]
    stamps: tuple[Stamp, ...] = ()
    origin: str = ""
    formats: tuple[str, ...] = ()
    columns: Columns = PUBLISHED

    def format_of(self, row: Any) -> Format:
        """How the image of a row of ``rows.named_tuples`` lies in its file."""
        return format_of(self.formats[row.file] if self.formats else self.format)

    def where(self, row: Any) -> Where:
        """Where the image of a row of ``rows.named_tuples`` is."""
        number = getattr(row, "file", 0)
        stamp = self.stamps[number] if self.stamps else None
        return self.format_of(row).where(self.files[number], stamp, row)

    def describe(self, row: Any) -> str:
        """The place of the image of a row, in words."""
        if self.origin:
            return f"{self.origin}: the image {os.fsdecode(row.name)}"
        return self.format_of(row).describe(self.where(row))

    def paths(self, rows: np.ndarray, pixels: str) -> pa.StringArray:
        """The addresses of the images of rows, ``[n]``; ``pixels`` is ``"benchmark"`` or ``"archive"``."""
        if not self.formats:
            return addresses.format_addresses(self.format, self.files, self.stamps, rows, pixels)
        formats, paths = np.array(self.formats)[rows["file"]], np.empty(len(rows), object)
        for name in set(self.formats):
            some = addresses.format_addresses(name, self.files, self.stamps, rows[formats == name], pixels)
            paths[formats == name] = some.to_pylist()
        return pa.array(paths, pa.string())

    def tables(self, rows: np.ndarray, pixels: str) -> Iterator[pa.Table]:
        """In-place rows, as ``rows.Columns`` has them, up to 10,000 at a time."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            some = np.ascontiguousarray(rows[start : start + ROWS_AT_ONCE])
            yield self.columns.table(some, pa.nulls(len(some), pa.binary()), self.paths(some, pixels))

    def reading_order(self, rows: np.ndarray) -> np.ndarray:
        """The order in which to read rows, ``int64 [n]``: by file, and as they lie in it."""
        within = "offset" if "offset" in columns_of(rows) else "name"
        return np.lexsort([rows[column] for column in (within, "file") if column in columns_of(rows)])

    @property
    def remote(self) -> bool:
        """Whether the images are in remote files."""
        return is_url(self.files[0])

    @contextlib.contextmanager
    def opened(self) -> Iterator["OpenReader"]:
        """Context in which images are read; at its end, transfers are interrupted."""
        opened = OpenReader(self)
        try:
            yield opened
        finally:
            opened.stop.set()


class OpenReader:
    """A reader whose files stay open; several threads may read at once. ``stop`` interrupts them once it is set."""

    def __init__(self, reader: Reader):
        self._reader, self._pool, self.stop = reader, FilePool(), threading.Event()

    def places(self, rows: Sequence[Any]) -> Iterable[Place]:
        """Where to read each of the rows, in this order; of remote files, all that they need is fetched at once.

        Raises:
            OSError: a file cannot be opened, or fetching failed.
        """
        places = [(self._reader.format_of(row), self._reader.where(row)) for row in rows]
        files = fetch(places, self.stop) if self._reader.remote else itertools.starmap(self._open, places)
        return ((image_format, file, where) for (image_format, where), file in zip(places, files))

    def _open(self, image_format: Format, where: Where) -> File:
        return self._pool.get(where.file) if image_format.shared else LocalFile(where.file)
