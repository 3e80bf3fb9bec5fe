"""Addresses: paths that say where an image is, for rows whose images stay in the archive.

A path holds all that a read needs, and is valid in every process of the machine::

    imagenet://FORMAT:OFFSET:SIZE:PACKED:FILE_SIZE:FILE_VERSION:PIXELS/FOLDERS/FILE/NAME

- ``FORMAT``: a key of ``formats.images.FORMATS``, such as ``tar``.
- ``OFFSET``, ``SIZE``, ``PACKED``: bytes, see ``formats.images.Where``.
- ``FILE_SIZE``, ``FILE_VERSION``: the stamp of the file when it was indexed; a version that is no number, such as an
  ETag, is percent-encoded, after ``e``.
- ``PIXELS``: ``benchmark``, the image as ``pixels.as_benchmark`` returns it, or ``archive``, the bytes of the archive.
- ``/FOLDERS/FILE``: the absolute path of the file, percent-encoded; without the file's name if that is ``NAME``. Of a
  remote file, a slash and its URL, percent-encoded, such as ``/s3%3A%2F%2Fbucket/FILE``.
- ``NAME``: the file name of the image.
"""

import os
import urllib.parse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.formats.images import FORMATS, Format, Where
from imagenet_reader.io.local import Stamp
from imagenet_reader.io.paths import is_url
from imagenet_reader.rows import Rows, columns_of

SCHEME = "imagenet"
PREFIX = f"{SCHEME}://"


class Address(NamedTuple):
    """A parsed path, see above."""

    format: Format
    where: Where
    pixels: str


def parse(path: str) -> Address:
    """Parse a path, with or without ``imagenet://``."""
    head, slash, rest = path.removeprefix(PREFIX).partition("/")
    folder, _, name = rest.rpartition("/")
    try:
        file = os.fsdecode(urllib.parse.unquote_to_bytes(slash + folder))
        format_name, offset, size, packed, file_size, version, pixels = head.split(":")
        image_format = FORMATS[format_name]
        if is_url(file[1:]):
            file = file[1:]
        elif not image_format.shared:
            file = os.path.join(file, name)
        stamp = Stamp(int(file_size), urllib.parse.unquote(version[1:]) if version.startswith("e") else int(version))
        where = Where(file, stamp, name.encode(), int(offset), int(size), int(packed))
        if not name or min(where.offset, where.size, where.packed) < 0:
            raise ValueError
    except (ValueError, KeyError):
        raise ValueError(f"{path!r} is not a valid {PREFIX} path of an image") from None
    return Address(image_format, where, pixels)


def format_addresses(
    format_name: str, files: Sequence[str], stamps: Sequence[Stamp], rows: Rows, pixels: str
) -> pa.StringArray:
    """The addresses of the images of rows, ``[n]``."""
    columns = {"file": np.zeros(len(rows), int), "offset": np.zeros(len(rows), int), "packed": rows["size"]}
    columns |= {name: rows[name] for name in columns_of(rows)}
    file = pa.array(map(_quoted, files), pa.string()).take(columns["file"])
    file_size, version = columns["size"], columns.get("changed")
    if FORMATS[format_name].shared:
        file_size = pa.array([stamp.size for stamp in stamps], pa.int64()).take(columns["file"])
        texts = [str(of) if isinstance(of, int) else "e" + urllib.parse.quote(of, safe="") for _, of in stamps]
        version = pa.array(texts, pa.string()).take(columns["file"])
    numbers = columns["offset"], columns["size"], columns["packed"], file_size, version
    head = (PREFIX + format_name, *(pa.array(value).cast(pa.string()) for value in numbers), pixels)
    file_name = FORMATS[format_name].file_name
    names = pa.array([file_name(*row) for row in rows[["name", "label"]].tolist()], pa.binary()).cast(pa.string())
    joined = pc.binary_join_element_wise(*head, ":")
    return pc.binary_join_element_wise(pc.binary_join_element_wise(joined, file, ""), names, "/")


def _quoted(file: str) -> str:
    quoted = urllib.parse.quote(os.fsencode(file), safe="/")
    return "/" + quoted.replace("//", "%2F%2F") if is_url(file) else quoted  # some versions of datasets merge slashes
