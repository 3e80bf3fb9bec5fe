"""Images of remote files, fetched at once."""

import threading
from collections.abc import Iterable

from imagenet_reader.formats.base import Format, Where
from imagenet_reader.sources.fetched import FetchedFile, fetched
from imagenet_reader.sources.remote import RemoteFile


def fetch(places: Iterable[tuple[Format, Where]], stop: threading.Event | None = None) -> list[FetchedFile]:
    """Fetch images, with their headers.

    Args:
        places: how the images lie in their files, and where.
        stop: ends the transfer once it is set, with an ``OSError``.

    Returns:
        for each image, the part of the file that holds it.

    Raises:
        OSError: a file cannot be read, or was replaced since it was indexed.
    """
    files: dict[str, RemoteFile] = {}
    ranges = []
    for image_format, where in places:
        file = files.setdefault(where.file, RemoteFile(where.file, where.stamp, stop))
        ranges.append((file, where.offset, image_format.header + where.packed))
    return fetched(ranges)
