"""Images that are a range of bytes, such as those in records."""

from imagenet_reader.formats.base import Format, Where, not_at_its_offset
from imagenet_reader.sources import File

STARTS = b"\xff\xd8\xff", b"\x89PNG"  # of JPEG and PNG files


class ByteRange(Format):
    """A plain range of bytes that begins as an image does."""

    def read(self, file: File, where: Where, buffer: memoryview) -> None:
        """Fill the buffer with the range."""
        count = file.read_into(where.offset, buffer)
        if count != where.size or not bytes(buffer[:4]).startswith(STARTS):
            raise not_at_its_offset(where)
