"""A folder of the 1,000 class tars, as they are in the training archive."""

import os
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.layouts.base import ImageSet, Layout
from imagenet_reader.layouts.folders import Entries, candidates
from imagenet_reader.official import WNID
from imagenet_reader.walk.archive import walk_tars


class ClassTars(Layout):
    """A folder of class tars."""

    name: ClassVar = "class tars"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "ClassTars | None":
        """The first folder that has class tars, and no more class folders than these."""
        if images.name != "train":
            return None
        for path in candidates(images, data_dir):
            entries = Entries.of(path)
            if len(entries.class_tars) >= max(len(entries.class_folders), 1):
                return cls(path)
        return None

    def files(self) -> list[str]:
        """The class tars."""
        return [os.path.join(self.path, name) for name in Entries.of(self.path).class_tars]

    def list_members(self, files: list[str]) -> pa.Table:
        """Walk over all class tars."""
        return walk_tars(files, [f"{os.path.basename(file)[WNID]}_".encode() for file in files])

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """Which class tars are absent."""
        there = {os.path.basename(file) for file in self.files()}
        absent = sorted({f"{name[WNID]}.tar" for name, _ in missing} - there)
        if absent:
            return f"{len(absent):,} class tars are not there: {', '.join(absent)}."
        return super().explain(missing)
