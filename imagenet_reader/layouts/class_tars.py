"""A folder of the 1,000 class tars, as they are in the training archive."""

import contextlib
import dataclasses
import functools
import os

import numpy as np

from imagenet_reader.files import confirm, digest, opened, stamp
from imagenet_reader.index.kept import kept_index
from imagenet_reader.layouts.base import Index, Layout, Reader, Snapshot
from imagenet_reader.layouts.tar_archive import changed_since, read_member
from imagenet_reader.official import CLASS_TAR, WNID
from imagenet_reader.reading.addresses import paths_of
from imagenet_reader.walk.archive import walk_class_tars


class ClassTars(Layout):
    """A folder of class tars."""

    name = "class tars"

    def look(self, wanted):
        stamps = self._stamps()
        identity = digest(stamps)
        return Snapshot(identity, functools.partial(self._index, identity, stamps))

    def _stamps(self):
        """{wnid: stamp} of the class tars in the folder."""
        names = sorted(name for name in os.listdir(self.path) if CLASS_TAR.fullmatch(os.fsencode(name)))
        return {name[WNID]: stamp(os.stat(os.path.join(self.path, name))) for name in names}

    def _index(self, identity, stamps):
        if self._stamps() != stamps:
            raise changed_since(self.path)
        table = kept_index(self.path, identity, functools.partial(walk_class_tars, self.path, stamps))
        return Index(table, ClassTarsReader(self.path, stamps))

    def explain(self, missing):
        absent = sorted({name[WNID] for name, _ in missing} - self._stamps().keys())
        if absent:
            return f"{len(absent):,} class tars are not there: {', '.join(f'{wnid}.tar' for wnid in absent)}."
        return super().explain(missing)


def class_tar_path(folder, wnid):
    """The path of a class tar."""
    return os.path.join(folder, f"{wnid}.tar")


@dataclasses.dataclass(frozen=True)
class ClassTarsReader(Reader):
    """Reads the members of class tars; ``stamps`` has the stamp of each by its wnid."""

    stamps: dict

    def paths(self, rows, pixels):
        wnids = [name[WNID].decode() for name in rows["name"].tolist()]
        stamps = np.array([self.stamps[wnid] for wnid in wnids]).T
        return paths_of("tar", rows, pixels, [class_tar_path(self.path, wnid) for wnid in wnids], stamps)

    @contextlib.contextmanager
    def opened(self):
        yield self._read, bool  # each image is confirmed as it is read

    def _read(self, row, image):  # not all kept open: 1,000 files are more than some systems allow
        wnid = row.name[WNID].decode()
        path = class_tar_path(self.path, wnid)
        with opened(path) as fd:
            read_member(fd, path, row, image)
            confirm(fd, path, self.stamps[wnid])
