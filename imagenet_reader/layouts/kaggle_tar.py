"""Kaggle's .tar.gz after gunzip, read in place."""

from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.layouts.base import ImageSet, Layout
from imagenet_reader.walk.archive import walk_archive

PATTERN = "imagenet_object_localization*.tar"


class KaggleTar(Layout):
    """A tar of Kaggle's tree."""

    name: ClassVar = "Kaggle's tar"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "KaggleTar | None":
        """The last tar of Kaggle's name."""
        return cls.newest(data_dir, PATTERN)

    def list_members(self, files: list[str]) -> pa.Table:
        """Walk over the tar; annotations and lists are left out."""
        table = walk_archive(self.path)
        return table.filter(pc.ends_with(table["name"], ".JPEG"))
