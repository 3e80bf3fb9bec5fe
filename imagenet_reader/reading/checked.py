"""Reading one image: its bytes, checked against the index, and whether they can be decoded."""

from collections.abc import Iterable

import PIL.Image

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.base import Format, Where
from imagenet_reader.reading.pixels import as_benchmark
from imagenet_reader.sources import File

# Errors of text in metadata, Pillow's limits that a program has set, and warnings that were turned into errors.
NOT_DAMAGE = ArchiveError, MemoryError, UnicodeError, PIL.Image.DecompressionBombError, Warning


Place = tuple[Format, File, Where]  # how an image lies in its file, the open file, and where it is


class DamagedImage(ArchiveError):
    """An image cannot be decoded.

    Attributes:
        place: where it is, in words.
        reason: what is wrong with it.
    """

    def __init__(self, place: str, reason: str, advice: str = "Download the archive again."):
        super().__init__(f"{place} is damaged ({reason}). {advice}")
        self.place, self.reason = place, reason

    def __reduce__(self):
        return _unpickled, (str(self), self.place, self.reason)


def _unpickled(message: str, place: str, reason: str) -> DamagedImage:
    error = DamagedImage(place, reason)
    error.args = (message,)
    return error


def read_checked(image_format: Format, file: File, where: Where, buffer: memoryview) -> memoryview | bytes:
    """As ``read_unconfirmed``; then confirm that the file is still the one that was indexed."""
    image = read_unconfirmed(image_format, file, where, buffer)
    confirm(file, where)
    return image


def read_unconfirmed(image_format: Format, file: File, where: Where, buffer: memoryview) -> memoryview | bytes:
    """Read an image and check it. Before it is used, the file must be confirmed, see ``confirm``.

    Args:
        image_format: how it lies in the file.
        file: the open file ``where.file``.
        where: where the image is.
        buffer: ``where.size`` bytes, filled with the image as it is in the file.

    Returns:
        The image as ``pixels.as_benchmark`` returns it: ``buffer`` itself if nothing changes.

    Raises:
        DamagedImage: it cannot be decoded.
        ArchiveError: the file is not the one that was indexed.
        OSError: the file cannot be read.
    """
    try:
        image_format.read(file, where, buffer)
        image = as_benchmark(buffer)
    except Exception as error:  # Pillow's errors have no common base
        if not is_damage(error):
            raise
        confirm(file, where)
        raise DamagedImage(image_format.describe(where), reason(error)) from error
    return image


def confirm_all(places: Iterable[Place]) -> None:
    """Confirm each file of some places once.

    For each image, threads would wait for each other, since each question to the system releases Python's lock.
    """
    for file, where in {where.file: (file, where) for _, file, where in places}.values():
        confirm(file, where)


def confirm(file: File, where: Where) -> None:
    """Raise ``ArchiveError`` if an open file is not the one that was indexed."""
    if file.stamp() != where.stamp:
        raise ArchiveError(f"{where.file} has changed since it was indexed. Load again once the file is complete.")


def is_damage(error: Exception) -> bool:
    """Whether an error of reading an image is due to its pixels, not to metadata, the archive or the system."""
    return not isinstance(error, NOT_DAMAGE) and getattr(error, "errno", None) is None


def reason(error: Exception) -> str:
    """The text of an error of Pillow's, without the memory address at its end."""
    return str(error).partition(" <_io")[0]
