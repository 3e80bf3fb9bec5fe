"""The images in a zip, from its central directory."""

import struct
import zipfile

import pyarrow as pa

from imagenet_reader.facts import ArchiveError
from imagenet_reader.formats.tar import MEMBERS, last_of_each_name

METHODS, ENCRYPTED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), 1  # flag: a password is needed
DAMAGED = zipfile.BadZipFile, NotImplementedError, struct.error, UnicodeError, EOFError
# packed: the size of the image in the zip, in bytes
PACKED_MEMBERS = MEMBERS.append(pa.field("packed", pa.int64()))


def list_zip(path: str) -> pa.Table:
    """The images in a zip, ``PACKED_MEMBERS``, each name once."""
    try:
        with zipfile.ZipFile(path) as archive:
            images = [info for info in archive.infolist() if info.filename.endswith(".JPEG")]
    except DAMAGED as error:
        raise ArchiveError(f"{path} is cut off or damaged ({error}). Download it again.") from error
    if any(image.compress_type not in METHODS or image.flag_bits & ENCRYPTED for image in images):
        raise ArchiveError(f"{path} has images that are encrypted, or compressed with an unsupported method.")
    names = pa.array([image.filename.rpartition("/")[2].encode() for image in images], pa.binary())
    numbers = [
        pa.array([getattr(image, attribute) for image in images], pa.int64())
        for attribute in ("header_offset", "file_size", "compress_size")
    ]
    return last_of_each_name(pa.table([names, *numbers], schema=PACKED_MEMBERS), path)
