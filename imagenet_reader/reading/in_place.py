"""The read-only ``fsspec`` file system of in-place images, whose paths are those of ``addresses``.

    >>> import fsspec
    >>> path = dataset.cast_column("image", datasets.Image(decode=False))[0]["image"]["path"]
    >>> with fsspec.open(path) as file:
    ...     image = PIL.Image.open(file)

Where this package is installed, the entry point ``fsspec.specs`` registers the scheme in every process.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.memory import MemoryFile

from imagenet_reader.facts import ChangedFile
from imagenet_reader.formats.names import official_name
from imagenet_reader.index.kept import doubt
from imagenet_reader.io.local import File, LocalFile, file_pool
from imagenet_reader.io.paths import is_url
from imagenet_reader.reading import addresses
from imagenet_reader.reading.batches import fetch_images, read_checked

THREADS = 16
_open_shared = file_pool(8)  # a config reads from three archives


class ImagenetFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Images in archives as files. It cannot list them: their paths are in the rows of a dataset.

    Raises, when it reads:
        FileNotFoundError: the archive no longer exists.
        ArchiveError: it was replaced or changed since the dataset was made, or the image is damaged.
        ValueError: this is no path of ``addresses``.
    """

    protocol = addresses.SCHEME

    def _open(self, path: str, mode: str = "rb", **options: Any) -> MemoryFile:
        if mode != "rb":
            raise OSError(f"{path} can only be read: archives stay as they are.")
        return MemoryFile(self, path, read_image(path))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """The bytes of an image, or a part of them."""
        return read_image(path)[start:end]

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **options: Any) -> Any:
        """As in ``fsspec``: the bytes of one image, or ``{path: bytes}`` of several, which are read at once."""
        if isinstance(path, str) or on_error != "raise":
            return super().cat(path, recursive, on_error, **options)
        remote = {name: address for name in path if is_url((address := addresses.parse(name)).where.file)}
        files = dict(zip(remote, fetch_images([(at.format, at.where) for at in remote.values()])))
        with ThreadPoolExecutor(THREADS) as pool:
            return dict(zip(path, pool.map(read_image, path, map(files.get, path))))

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name, size in bytes and type of an image."""
        path = self._strip_protocol(path)
        address = addresses.parse(path)
        size = address.where.size if address.pixels == "archive" else len(read_image(path))
        return {"name": path, "size": size, "type": "file"}


def read_image(path: str, file: File | None = None) -> bytes:
    """The bytes of an image, read from its file, or from ``file``, which holds it; raises as ``ImagenetFileSystem``."""
    image_format, where, pixels = addresses.parse(path)
    buffer = memoryview(bytearray(where.size))
    if file is None and is_url(where.file):
        [file] = fetch_images([(image_format, where)])
    try:
        image = read_checked((image_format, file or _open(where.file, image_format.shared), where), buffer)
    except ChangedFile:
        folder, name = os.path.dirname(where.file), official_name(os.fsdecode(where.name))
        for indexed in (os.path.join(folder, "*"), os.path.dirname(folder)):  # images side by side, or by class
            doubt(indexed, [str(name).encode()])
        raise
    return bytes(image if pixels == "benchmark" else buffer)


def _open(path: str, shared: bool) -> LocalFile:
    try:
        return (_open_shared if shared else LocalFile)(path, os.stat(path).st_ino)
    except FileNotFoundError:
        advice = "This dataset reads its images in place. Put the file back where it was, or load the dataset again."
        raise FileNotFoundError(f"{path} no longer exists. {advice}") from None
