"""Addresses: paths that say where an image is, for rows whose images stay in the archive.

A path holds all that a read needs, and is valid in every process of the machine::

    imagenet://FORMAT:OFFSET:SIZE:PACKED:FILE_SIZE:FILE_VERSION:PIXELS/FOLDERS/FILE/NAME

- ``FORMAT``: a key of ``formats.images.FORMATS``, such as ``tar``.
- ``OFFSET``, ``SIZE``, ``PACKED``: bytes, see ``formats.images.Where``.
- ``FILE_SIZE``, ``FILE_VERSION``: the stamp of the file when it was indexed; a version that is no number, such as an
  ETag, is percent-encoded, after ``e``.
- ``PIXELS``: ``benchmark``, the image as ``pixels.as_benchmark`` returns it, or ``archive``, the bytes of the archive.
- ``/FOLDERS/FILE``: the absolute path of the file, percent-encoded; without the file's name if that is ``NAME``. Of a
  remote file, a slash and its URL, percent-encoded, such as
  ``/s3%3A%2F%2Fbucket/FILE``.
- ``NAME``: the file name of the image.
"""

import os
import urllib.parse
from collections.abc import Sequence
from typing import Any, NamedTuple

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
    file, _, name = rest.rpartition("/")
    try:
        format_name, offset, size, packed, file_size, version, pixels = head.split(":")
        where = Where(
            file=_file(slash + file, "" if FORMATS[format_name].shared else name),
            stamp=Stamp(int(file_size), _version(version)),
            name=name.encode(),
            offset=int(offset),
            size=int(size),
            packed=int(packed),
        )
        if not name or min(where.offset, where.size, where.packed) < 0:
            raise ValueError
    except (ValueError, KeyError):
        raise ValueError(f"{path!r} is not a valid {PREFIX} path of an image") from None
    return Address(FORMATS[format_name], where, pixels)


def _file(quoted: str, name: str) -> str:
    path = os.fsdecode(urllib.parse.unquote_to_bytes(quoted))
    if is_url(path[1:]):
        return path[1:]
    return os.path.join(path, name) if name else path


def _quoted(file: str) -> str:
    quoted = urllib.parse.quote(os.fsencode(file), safe="/")
    return "/" + quoted.replace("//", "%2F%2F") if is_url(file) else quoted  # some versions of datasets merge slashes


def _version(text: str) -> int | str:
    return urllib.parse.unquote(text[1:]) if text.startswith("e") else int(text)


def _version_text(version: int | str) -> str:
    return str(version) if isinstance(version, int) else "e" + urllib.parse.quote(version, safe="")


def format_addresses(
    format_name: str, files: Sequence[str], stamps: Sequence[Stamp], rows: Rows, pixels: str
) -> pa.StringArray:
    """The addresses of the images of rows, ``[n]``."""
    size, number = rows["size"], _column(rows, "file", 0)
    file = _objects([_quoted(path) for path in files])[number]
    if not FORMATS[format_name].shared:
        file_size, version = size, rows["changed"]
    else:
        file_size = _objects([str(stamp.size) for stamp in stamps])[number]
        version = _objects([_version_text(stamp.version) for stamp in stamps])[number]
    numbers = (_column(rows, "offset", 0), size, _column(rows, "packed", size), file_size, version)
    head = pc.binary_join_element_wise(PREFIX + format_name, *map(_text, numbers), pixels, ":")
    file_name = FORMATS[format_name].file_name
    names = pa.array([file_name(*row) for row in rows[["name", "label"]].tolist()], pa.binary()).cast(pa.string())
    return pc.binary_join_element_wise(pc.binary_join_element_wise(head, _text(file), ""), names, "/")


def _objects(texts: list[str]) -> Any:
    return np.array(texts, object)


def _column(rows: Rows, name: str, default: Any) -> Any:
    return rows[name] if name in columns_of(rows) else default


def _text(value: Any) -> Any:
    return pa.array(value).cast(pa.string()) if isinstance(value, np.ndarray) else str(value)
