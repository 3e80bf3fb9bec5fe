"""What a layout is to the rest: from a place on the disk to an index, and from an index to images."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from imagenet_reader.official import WNID


@dataclasses.dataclass(frozen=True)
class Layout:
    """A place where images are, in one of the layouts: an archive or a folder.

    ``name`` is what to call the layout, ``path`` the file or folder. Two that are equal hold the same images.
    """

    path: str
    name = ""

    def check(self):
        """Raise what making the index would, as far as a glance at the place shows it."""

    def look(self, wanted):
        """What is there now, a ``Snapshot``.

        Args:
            wanted: ``wanted()`` gives the images that will be asked for, ``set[tuple[str, int]]`` of (file name,
                label), or ``None`` for all; called only by layouts whose index depends on it.

        Raises:
            OSError: the place cannot be read.
        """
        raise NotImplementedError

    def explain(self, missing):
        """Why images may be missing, and what to do, ``str``.

        Args:
            missing: ``list[tuple[str, int]]``, (file name, label) an image.
        """
        return "Download it again."

    def explain_incomplete(self, missing):
        """Why not all training images are there, and what to do, ``str``; the argument is that of ``explain``."""
        return self.explain(missing)


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """What was at a place at a moment.

    ``identity``, SHA-256 (hex), distinguishes it from what may be there at another moment; it's empty if nothing could
    be read. ``index()`` makes the ``Index``, or takes the one that is kept, and raises ``ArchiveError`` if the images
    are not what they should be or were changed since, and ``FileNotFoundError`` if they are not there.
    """

    identity: str
    index: Callable[[], "Index"]


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """The images at a place, ``pa.Table`` with the columns ``name`` and ``size`` and those that ``reader`` needs."""

    table: pa.Table
    reader: "Reader"


@dataclasses.dataclass(frozen=True)
class Reader:
    """Reads the images of one index; small, and can be sent to other processes. ``path`` is the file or folder."""

    path: str

    def opened(self):
        """Context in which images are read: ``(read, confirm)``.

        ``read(row, buffer)`` fills the buffer with the image of a row of ``rows.named_tuples``. ``confirm()``, called
        before what was read is used, raises ``ArchiveError`` if it may not be what was indexed. Several threads may
        read at once.
        """
        raise NotImplementedError

    def place(self, row):
        """The place of an image, in words."""
        return f"{self.path}: the image {row.name.decode()} at byte {row.offset:,}"

    def paths(self, rows, pixels):
        """The paths of ``places`` that say where the images of rows are, ``pa.StringArray [n]``.

        Args:
            rows: structured array ``[n]``, see ``rows``.
            pixels: ``"benchmark"`` or ``"archive"``, see ``places``.
        """
        raise NotImplementedError

    def reading_order(self, rows):
        """In which order to read rows, ``int64 [n]``: by class first, which may have a file of its own."""
        return np.lexsort((rows["offset"], rows["name"].astype(f"S{WNID.stop}")))
