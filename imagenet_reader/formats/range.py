"""Images that are plain ranges of bytes, such as those in records."""

from imagenet_reader.formats.base import Format, Where, not_at_its_offset
from imagenet_reader.sources import File

STARTS = b"\xff\xd8\xff", b"\x89PNG"  # of JPEG and PNG files


class ByteRange(Format):
    """A range of bytes that begins like an image file."""

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        """Read the range into the buffer."""
        count = file.read_into(where.offset, buffer)
        if count != where.size or not bytes(buffer[:4]).startswith(STARTS):
            raise not_at_its_offset(where)
