"""Places: paths that say where an image is, for rows whose images stay in the archive.

A path holds all that a read needs, and is valid in every process of the machine::

    imagenet://KIND:OFFSET:SIZE:PACKED:FILE_SIZE:FILE_TIME:PIXELS/FOLDERS/ARCHIVE/NAME

- ``KIND``: ``tar`` or ``zip``, a member of an archive; ``file``, an extracted image.
- ``OFFSET``: the byte at which the member's header stands; 0 for ``file``.
- ``SIZE``, ``PACKED``: bytes of the image, and of what an archive holds of it; they differ in a compressed zip.
- ``FILE_SIZE``, ``FILE_TIME``: size (bytes) and time of change (ns) of the archive, or of the extracted image, when it
  was indexed.
- ``PIXELS``: ``benchmark``, the image as ``pixels.as_benchmark`` gives it, or ``archive``, the bytes of the archive.
- ``/FOLDERS/ARCHIVE``: the absolute path of the archive, or of an extracted image's folder, percent-encoded.
- ``NAME``: the file name of the image.
"""

import os
import typing
import urllib.parse

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SCHEME = "imagenet"
PREFIX = f"{SCHEME}://"
KINDS = "tar", "zip", "file"
ROWS_AT_ONCE = 10_000


class Place(typing.NamedTuple):
    """What a path says, see above; ``archive`` is the path of the archive or folder, ``name`` is ``bytes``."""

    kind: str
    offset: int
    size: int
    packed: int
    stamp: tuple
    pixels: str
    archive: str
    name: bytes

    @property
    def file(self):
        """The path of the file that is read."""
        return os.path.join(self.archive, os.fsdecode(self.name)) if self.kind == "file" else self.archive

    def __str__(self):
        if self.kind == "file":
            return f"The image {self.file}"
        return f"{self.archive}: the image {os.fsdecode(self.name)} at byte {self.offset:,}"


def parse(path):
    """The ``Place`` that a path says, with or without ``imagenet://``.

    Raises:
        ValueError: the path is of another form.
    """
    head, slash, rest = path.removeprefix(PREFIX).partition("/")
    archive, _, name = rest.rpartition("/")
    try:
        kind, *numbers, pixels = head.split(":")
        offset, size, packed, *file_stamp = map(int, numbers)
        if kind not in KINDS or len(file_stamp) != 2 or not name or min(offset, size, packed) < 0:
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{path!r} is not the place of an image; expected a path of imagenet_reader.reading.addresses"
        ) from None
    archive = os.fsdecode(urllib.parse.unquote_to_bytes(slash + archive))
    return Place(kind, offset, size, packed, tuple(file_stamp), pixels, archive, name.encode())


def paths_of(kind, rows, pixels, archives, stamps):
    """The paths of the images of rows, ``pa.StringArray [n]``.

    Args:
        kind: one of ``KINDS``.
        rows: structured array ``[n]``, see ``rows``.
        pixels: ``"benchmark"`` or ``"archive"``.
        archives: path of the archive or folder of all rows, or a list of one path a row.
        stamps: ``(size, time)`` as in ``files.stamp``, of all rows or an array of one number a row each.
    """
    size = rows["size"]
    numbers = (_column(rows, "offset", 0), size, _column(rows, "packed", size), *stamps)
    head = pc.binary_join_element_wise(PREFIX + kind, *map(_text, numbers), pixels, ":")
    if isinstance(archives, str):
        where = _quoted(archives)
    else:
        quoted = {archive: _quoted(archive) for archive in dict.fromkeys(archives)}
        where = pa.array([quoted[archive] for archive in archives])
    names = pa.array(rows["name"].tolist(), pa.binary()).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_join_element_wise(head, where, ""), names, "/")


def _column(rows, name, default):
    return rows[name] if name in rows.dtype.names else default


def _text(numbers):
    return pa.array(numbers).cast(pa.string()) if isinstance(numbers, np.ndarray) else str(numbers)


def _quoted(path):
    return urllib.parse.quote(os.fsencode(path), safe="/")


def tables(reader, rows, pixels):
    """The rows as ``pa.Table`` of up to 10,000, as ``batches.Batch.table`` has them, but with paths and no bytes."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = np.ascontiguousarray(rows[start : start + ROWS_AT_ONCE])
        names = pa.array(part["name"].tolist(), pa.binary()).cast(pa.string())
        images = [pa.nulls(len(part), pa.binary()), reader.paths(part, pixels)]
        image = pa.StructArray.from_arrays(images, ["bytes", "path"])
        yield pa.table({"image": image, "label": pa.array(part["label"]), "file_name": names})
