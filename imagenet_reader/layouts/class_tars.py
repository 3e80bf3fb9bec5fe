"""A folder of the 1,000 class tars, as they are in the training archive."""

import os
from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.layouts.base import ImageSet
from imagenet_reader.layouts.folders import class_tars_in, find_form
from imagenet_reader.layouts.indexable import Advance, Indexable, Passed, pass_files
from imagenet_reader.layouts.messages import listing
from imagenet_reader.official import WNID
from imagenet_reader.sources.urls import is_url, join
from imagenet_reader.walk.archive import walk_tar, walk_tars


class ClassTars(Indexable):
    """A folder of class tars."""

    name: ClassVar = "class tars"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "ClassTars | None":
        """The folder that holds most classes, if all of them are class tars."""
        if is_url(data_dir):
            folders = [join(data_dir, name).rstrip("/") for name in images.folders] if images.name == "train" else []
            return next((cls(folder) for folder in folders if class_tars_in(folder)), None)
        found = find_form("tars", images, data_dir)
        return cls(found.path) if found else None

    def files(self) -> list[str]:
        """The class tars."""
        return class_tars_in(self.path)

    def list_members(self, files: list[str]) -> pa.Table:
        """Walk over all class tars."""
        return walk_tars(files, list(map(_prefix, files)))

    def passes(self, files: list[str], advance: Advance) -> Iterator[Passed]:
        """Pass over the class tars."""
        return pass_files(files, lambda file: walk_tar(file, _prefix(file.path)), advance)

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


def _prefix(class_tar: str) -> bytes:
    """How the names of the images in a class tar begin."""
    return f"{os.path.basename(class_tar)[WNID]}_".encode()
