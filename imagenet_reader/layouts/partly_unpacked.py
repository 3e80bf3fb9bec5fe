"""Class tars of which some were unpacked and removed, as after an interrupted unpacking."""

import os
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader.files import digest
from imagenet_reader.layouts.base import ImageSet, Index, Layout, Snapshot, Wanted
from imagenet_reader.layouts.class_tars import ClassTars
from imagenet_reader.layouts.folder import Folder
from imagenet_reader.layouts.folders import find_form
from imagenet_reader.lists import label_of_wnid
from imagenet_reader.official import WNID
from imagenet_reader.reading.reader import Reader
from imagenet_reader.sources import Stamp

COLUMNS = "name", "offset", "changed", "size", "file"


class PartlyUnpacked(Layout):
    """Class tars and class folders side by side; the tar of a class that has both: its folder may lack images."""

    name: ClassVar = "class tars and class folders"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "PartlyUnpacked | None":
        """The folder that holds most classes, if some are tars and others are folders."""
        found = find_form("tars and folders", images, data_dir)
        return cls(found.path) if found else None

    def files(self) -> list[str]:
        """The class tars, and the folders of all classes."""
        return [*self._tars.files(), *self._folder.files()]

    def list_members(self, files: list[str]) -> pa.Table:
        """Walk over the tars, and look up what is in folders."""
        tars, folders = self._tars.files(), self._folder.files()
        return _joined(self._tars.list_members(tars), self._folder.list_members(folders), tars)

    def snapshot(self, wanted: Wanted) -> Snapshot:
        """Those of the tars and of the folders."""
        parts = self._tars.snapshot(wanted), self._folder.snapshot(wanted)
        return Snapshot(digest([part.identity for part in parts]), parts=parts)

    def index(self, snapshot: Snapshot, wanted: Wanted) -> Index:
        """The index of the tars, and the images that were looked up in folders."""
        of_tars, of_folders = snapshot.parts
        tars, images = self._tars.index(of_tars, wanted), self._folder.index(of_folders, wanted)
        files, folders = tars.reader.files, images.reader.files
        reader = Reader(
            self.format,
            files + folders,
            tars.reader.stamps + (Stamp(0, 0),) * len(folders),  # rows have the stamps of files in folders
            formats=(tars.reader.format,) * len(files) + (images.reader.format,) * len(folders),
        )
        return Index(_joined(tars.table, images.table, list(files)), reader)

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """What is wrong with the folders of the classes that have no tar, if images of these are missing."""
        tars = {os.path.basename(path)[WNID] for path in self._tars.files()}
        of_folders = [image for image in missing if image[0][WNID] not in tars]
        return self._folder.explain(of_folders) if of_folders else self._tars.explain(missing)

    @property
    def _tars(self) -> ClassTars:
        return ClassTars(self.path)

    @property
    def _folder(self) -> Folder:
        return Folder(self.path, by_class=True)


def _joined(of_tars: pa.Table, of_folders: pa.Table, tars: list[str]) -> pa.Table:
    """The images in tars, and those in the folders of the other classes, whose numbers follow those of the tars."""
    labels = [label_of_wnid().get(os.path.basename(path)[WNID], -1) for path in tars]
    others = of_folders.filter(pc.invert(pc.is_in(of_folders["file"], pa.array(labels, pa.int64()))))
    numbers = pc.add(others["file"], len(tars))
    others = others.set_column(others.column_names.index("file"), "file", numbers)
    tables = [_with_zeros(of_tars, "changed"), _with_zeros(others, "offset")]
    return pa.concat_tables([table.replace_schema_metadata().select(COLUMNS) for table in tables])


def _with_zeros(table: pa.Table, column: str) -> pa.Table:
    return table.append_column(column, pa.array([0] * len(table), pa.int64()))
