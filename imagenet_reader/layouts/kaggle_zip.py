"""Kaggle's zip of all images, read in place."""

import array
import zipfile
from typing import ClassVar

import numpy as np
import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.zip_directory import entries
from imagenet_reader.index.members import MEMBERS, last_of_each_name, names_array
from imagenet_reader.layouts.base import ImageSet, Layout
from imagenet_reader.sources import open_file

PATTERN = "imagenet-object-localization-challenge*.zip"
METHODS, LOCKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), 1  # flag: a password is needed
# packed: the size of the image in the zip, in bytes
PACKED_MEMBERS = MEMBERS.append(pa.field("packed", pa.int64()))


class KaggleZip(Layout):
    """Kaggle's zip."""

    name: ClassVar = "Kaggle's zip"
    format: ClassVar = "zip"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "KaggleZip | None":
        """The last zip of Kaggle's name."""
        return cls.newest(data_dir, PATTERN)

    def list_members(self, files: list[str]) -> pa.Table:
        """Read the central directory."""
        try:
            return _list_members(self.path)
        except zipfile.BadZipFile as error:
            raise ArchiveError(f"{self.path} is cut off or damaged ({error}). Download it again.") from error


def _list_members(path: str) -> pa.Table:
    names, lengths = bytearray(), array.array("i")
    numbers = {column: array.array("q") for column in ("offset", "size", "packed")}
    with open_file(path) as file:
        for image in entries(file):
            if not image.name.endswith(b".JPEG"):
                continue
            if image.method not in METHODS or image.flags & LOCKED:
                raise ArchiveError(f"{path} has images that are encrypted, or compressed with an unsupported method.")
            name = image.name.rpartition(b"/")[2]
            names += name
            lengths.append(len(name))
            for column, values in numbers.items():
                values.append(getattr(image, column))
    columns = [names_array(names, np.frombuffer(lengths, np.int32))]
    columns += [np.frombuffer(numbers[column], np.int64) for column in PACKED_MEMBERS.names[1:]]
    return last_of_each_name(pa.table(columns, schema=PACKED_MEMBERS), path)
