"""The official archives, as downloaded: a tar of class tars, or a flat tar of images."""

import os
from collections.abc import Iterator
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.formats.tar_header import BLOCK, ZERO_BLOCK
from imagenet_reader.index.members import MEMBERS, last_of_each_name
from imagenet_reader.layouts.base import ImageSet, Snapshot, Wanted
from imagenet_reader.layouts.indexable import Advance, Indexable, Passed
from imagenet_reader.layouts.messages import NOT_TAR, TAR_DESCRIPTIONS
from imagenet_reader.official import FIRST_MEMBERS, OFFICIAL_SIZES
from imagenet_reader.sources import open_file
from imagenet_reader.sources.folders import exists, stamp_of
from imagenet_reader.sources.forwards import forwards
from imagenet_reader.sources.local import naming
from imagenet_reader.walk.archive import first_member, walk_archive, walk_forwards


class OfficialTar(Indexable):
    """An official archive, or any flat tar of images."""

    name: ClassVar = "official archive"

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> "OfficialTar | None":
        """The archive of an official name."""
        paths = [os.path.join(data_dir, name) for name in images.archives]
        return next((cls(path) for path in paths if exists(path)), None)

    def list_members(self, files: list[str]) -> pa.Table:
        """Walk over the archive."""
        return walk_archive(self.path)

    def passes(self, files: list[str], advance: Advance) -> Iterator[Passed]:
        """Pass over the archive, tens of megabytes at a time."""
        with forwards(self.path, advance) as file:
            for members in walk_forwards(file):
                yield Passed(members, file)

    def join(self, tables: list[pa.Table], files: list[str]) -> pa.Table:
        """The members of all parts; the last of each name."""
        return last_of_each_name(pa.concat_tables([MEMBERS.empty_table(), *tables]).combine_chunks(), self.path)

    def check(self) -> None:
        """Check by its head that the archive can be the one that its name says.

        Raises:
            FileNotFoundError: there is none.
            ArchiveError: it is not a tar, or another one.
        """
        if not exists(self.path):
            raise FileNotFoundError(f"{self.path} does not exist, or is no file.")
        name = first_name(self.path)
        expected = FIRST_MEMBERS.get(os.path.basename(self.path))
        if expected is not None and not expected.fullmatch(name):
            kinds = (what for pattern, what in TAR_DESCRIPTIONS.items() if pattern.fullmatch(name))
            raise ArchiveError(
                f"{self.path} begins with the member {name.decode(errors='replace')!r:.200}: found "
                f"{next(kinds, 'some other tar')}; expected {TAR_DESCRIPTIONS[expected]}. Put each archive, as it was "
                "downloaded, under its official name."
            )

    def snapshot(self, wanted: Wanted) -> Snapshot:
        """As for any layout; an empty one if there is no such file, of which ``check`` says more."""
        return super().snapshot(wanted) if exists(self.path) else Snapshot("")

    def explain(self, missing: list[tuple[str, int]]) -> str:
        """That the size is not the official one, if so."""
        sizes = self._sizes()
        return f"{sizes}. {super().explain(missing)}" if sizes else super().explain(missing)

    def explain_incomplete(self, missing: list[tuple[str, int]]) -> str:
        """That this is a stand-in, unless its size is the official one."""
        if stamp_of(self.path).size == OFFICIAL_SIZES.get(os.path.basename(self.path)):
            return super().explain_incomplete(missing)
        advice = "Stand-ins have only the images of the published lists; this needs the complete official archive."
        return f"{self._sizes() or 'It is not the official archive'}: it is a stand-in, or incomplete. {advice}"

    def _sizes(self) -> str | None:
        official = OFFICIAL_SIZES.get(os.path.basename(self.path))
        if official is None:
            return None
        return f"It has {stamp_of(self.path).size:,} bytes, the official archive {official:,}"


def first_name(path: str) -> bytes:
    """The name of the first regular member of a tar; empty if it has none.

    Raises:
        ArchiveError: it is not a tar.
    """
    with open_file(path) as file, naming(path, "reading"):
        size, start = file.stamp().size, file.read(0, BLOCK)
        for magic, what in NOT_TAR.items():
            if start.lstrip().startswith(magic):
                raise ArchiveError(f"{path} is {what}; expected the tar as image-net.org has it.")
        if len(start) < BLOCK or start == ZERO_BLOCK:
            raise ArchiveError(f"{path} is no tar archive: it has {size:,} bytes and no member. Download it again.")
        return first_member(file)


def read_index(path: str | os.PathLike) -> pa.Table:
    """The members of an archive, from its index, which is made by walking the archive if there is none yet.

    Args:
        path: a tar of images, or a tar of class tars.

    Returns:
        ``pa.Table`` with columns ``name`` (without folders), ``offset`` (of the header in the archive, in bytes) and
        ``size`` (of the image, in bytes), each name once.

    Raises:
        FileNotFoundError: there is no archive at ``path``.
        ArchiveError: it is not a tar, damaged, or not the one that its name says.

    Example:

        >>> read_index("/data/ILSVRC2012_img_val.tar").num_rows
        50000
    """
    archive = OfficialTar(os.fspath(path))
    archive.check()
    return archive.list_images(Wanted(lambda: None))
