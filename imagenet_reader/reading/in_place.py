"""The read-only ``fsspec`` file system of in-place images, whose paths are those of ``addresses``.

    >>> import fsspec
    >>> path = dataset.cast_column("image", datasets.Image(decode=False))[0]["image"]["path"]
    >>> with fsspec.open(path) as file:
    ...     image = PIL.Image.open(file)

Where this package is installed, the entry point ``fsspec.specs`` registers the scheme in every process.
"""

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fsspec import AbstractFileSystem

from imagenet_reader.facts import ArchiveError
from imagenet_reader.formats.images import Format, Where
from imagenet_reader.index.kept import doubt
from imagenet_reader.io.local import File, LocalFile, file_pool, stamp_of_status
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

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        if mode != "rb":
            raise OSError(f"{path} can only be read: archives stay as they are.")
        return _ImageFile(read_image(path))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        """The bytes of an image, or a part of them."""
        return read_image(path)[start:end]

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **options: Any) -> Any:
        """As in ``fsspec``: the bytes of one image, or ``{path: bytes}`` of several, which are read at once."""
        if isinstance(path, str):
            return self.cat_file(path)
        files: dict[str, File] = {}
        if on_error == "raise":  # else each is read by itself
            remote = {name: address for name in path if is_url((address := addresses.parse(name)).where.file)}
            files = dict(zip(remote, fetch_images([(at.format, at.where) for at in remote.values()])))

        def read(name: str) -> Any:
            try:
                return read_image(name, files.get(name))
            except (OSError, ValueError) as error:
                if on_error == "raise":
                    raise
                return error if on_error == "return" else None

        with ThreadPoolExecutor(THREADS) as pool:
            return {name: image for name, image in zip(path, pool.map(read, path)) if image is not None}

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Name, size in bytes and type of an image."""
        path = self._strip_protocol(path)
        address = addresses.parse(path)
        size = address.where.size if address.pixels == "archive" else len(read_image(path))
        return {"name": path, "size": size, "type": "file"}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """The image itself."""
        info = self.info(path)
        return [info] if detail else [info["name"]]


class _ImageFile(io.BytesIO):
    """An image in memory. Unlike those of ``BytesIO``, its methods can be replaced, as ``datasets`` does."""

    @property
    def size(self) -> int:
        """Bytes, as files of ``fsspec`` have it."""
        return len(self.getbuffer())


def read_image(path: str, file: File | None = None) -> bytes:
    """The bytes of an image, read from its file, or from ``file``, which holds it; raises as ``ImagenetFileSystem``."""
    image_format, where, pixels = addresses.parse(path)
    buffer = memoryview(bytearray(where.size))
    if file is None:
        file = fetch_images([(image_format, where)])[0] if is_url(where.file) else _open_unchanged(where, image_format)
    image = read_checked((image_format, file, where), buffer)
    return bytes(image if pixels == "benchmark" else buffer)


def _open_unchanged(where: Where, image_format: Format) -> LocalFile:
    """The open file of an image; an error if it is not the one that was indexed."""
    try:
        status = os.stat(where.file)
    except FileNotFoundError:
        advice = "This dataset reads its images in place. Put the file back where it was, or load the dataset again."
        raise FileNotFoundError(f"{where.file} no longer exists. {advice}") from None
    if stamp_of_status(status) != where.stamp:
        if not image_format.shared:  # in a folder of images, or in a class folder below it
            folder = os.path.dirname(where.file)
            doubt(folder, [where.name])
            doubt(os.path.dirname(folder), [where.name])
        raise ArchiveError(
            f"{where.file} has changed since this in-place dataset was built. "
            "Load the dataset again once the file is complete."
        )
    return (_open_shared if image_format.shared else LocalFile)(where.file, status.st_ino)
