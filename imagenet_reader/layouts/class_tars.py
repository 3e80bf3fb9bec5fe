"""A folder of the 1,000 class tars, as they are in the training archive."""

import os
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.layouts.base import ImageSet, Layout
from imagenet_reader.layouts.folders import class_tars_in, find_form
from imagenet_reader.layouts.messages import listing
from imagenet_reader.official import WNID
from imagenet_reader.walk.archive import walk_tars


class ClassTars(Layout):
    """A folder of class tars."""

    name: ClassVar = "class tars"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "ClassTars | None":
        """The folder that holds most classes, if all of them are class tars."""
        found = find_form("tars", images, data_dir)
        return cls(found.path) if found else None

    def files(self) -> list[str]:
        """The class tars."""
        return class_tars_in(self.path)

    def list_members(self, files: list[str]) -> pa.Table:
        """Walk over all class tars."""
        return walk_tars(files, [f"{os.path.basename(file)[WNID]}_".encode() for file in files])

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """Which class tars are absent."""
        there = {os.path.basename(file) for file in self.files()}
        absent = sorted({f"{name[WNID]}.tar" for name, _ in missing} - there)
        if not absent:
            return super().explain(missing)
        links = [name for name in absent if os.path.islink(os.path.join(self.path, name))]
        of_these = f" {len(links):,} of these are broken links, such as {links[0]}." if links else ""
        advice = "Unpack the training archive again."
        return f"{len(absent):,} class tars are missing: {listing(absent)}.{of_these} {advice}"
