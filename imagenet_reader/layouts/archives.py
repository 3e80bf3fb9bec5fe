"""Archives that are read in place: the official ones, class tars, and Kaggle's zip and unpacked tar."""

import os
import struct
import zipfile
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from imagenet_reader import facts
from imagenet_reader.facts import CLASS_TAR, TRAIN_ARCHIVE, WNID, ArchiveError
from imagenet_reader.files import naming
from imagenet_reader.formats import tar
from imagenet_reader.formats.tar import BLOCK, MEMBERS
from imagenet_reader.io import Listing, exists, open_file, stamps_of
from imagenet_reader.io.paths import is_url, join
from imagenet_reader.layouts.base import ALL, IMAGE_SETS, ImageSet, Layout, join_tables
from imagenet_reader.layouts.folders import fullest
from imagenet_reader.lists import Images, read_wnids
from imagenet_reader.text import shorten, what_is

TAR_DESCRIPTIONS = {  # by the name of the first member
    CLASS_TAR: "the training archive, a tar of 1,000 class tars",
    facts.VALIDATION_NAME: "the validation archive, a flat tar of 50,000 images",
    facts.TEST_NAME: "the test archive, a flat tar of 100,000 images",
    facts.TRAIN_NAME: "a class tar, or the training images in one flat tar",
}
METHODS, ENCRYPTED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), 1  # flag: a password is needed
DAMAGED_ZIP = zipfile.BadZipFile, NotImplementedError, struct.error, UnicodeError, EOFError
PACKED = MEMBERS.append(pa.field("packed", pa.int64()))  # the size of the image in the zip, in bytes


class OfficialTar(Layout):
    """An official archive, or any flat tar of images."""

    name: ClassVar = "official archive"
    remote: ClassVar = True
    indexable: ClassVar = True

    @classmethod
    def at(cls, path: str) -> "OfficialTar":
        """The archive at a path or URL."""
        return cls(path, (path,))

    @classmethod
    def find(cls, images: ImageSet, data_dir: str, listing: Listing) -> "OfficialTar | None":
        return next((cls.at(path) for name in images.archives if exists(path := join(data_dir, name))), None)

    def list_members(self) -> pa.Table:
        return tar.walk_archive(self.path)

    def check(self) -> None:
        """Check by its head that the archive can be the one that its name says."""
        if not exists(self.path):
            raise FileNotFoundError(f"{self.path} does not exist, or is not a file.")
        name = first_name(self.path)
        expected = facts.FIRST_MEMBERS.get(os.path.basename(self.path))
        if expected is not None and not expected.fullmatch(name):
            kinds = (what for pattern, what in TAR_DESCRIPTIONS.items() if pattern.fullmatch(name))
            raise ArchiveError(
                f"{self.path} begins with the member {name.decode(errors='replace')!r:.200}: found "
                f"{next(kinds, 'some other tar')}; expected {TAR_DESCRIPTIONS[expected]}. Put each archive, as it was "
                "downloaded, under its official name."
            )

    def explain(self, missing: Images) -> str:
        """Say that this is a stand-in or an unfinished download, unless its size is the official one."""
        return self.clarify(tar.compare_size(self.path) or "Download it again.")

    def clarify(self, message: str) -> str:
        """Also say that all training images exist beside the archive, too, extracted."""
        message, (folder, name) = super().clarify(message), os.path.split(self.path)
        beside = None if is_url(folder) or name != TRAIN_ARCHIVE else fullest(IMAGE_SETS["train"], folder, Listing())
        if beside is None or len(beside.class_folders) < len(read_wnids()):
            return message
        return f"{message} {beside.path} has all 1,000 class folders: to use it, move {self.path} away."


def first_name(path: str) -> bytes:
    """The name of the first regular member of a tar; empty if it has none."""
    with open_file(path) as file, naming(path, "reading"):
        if what := what_is(file.read(0, BLOCK)):
            raise ArchiveError(f"{path} is {what}; expected the tar as image-net.org has it.")
        return tar.first_member(file)


def read_index(path: str | os.PathLike[str]) -> pa.Table:
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
    archive = OfficialTar.at(os.fspath(path))
    archive.check()
    return archive.list_images(ALL)


class ClassTars(Layout):
    """A folder of the 1,000 class tars, as they are in the training archive."""

    name: ClassVar = "class tars"
    remote: ClassVar = True
    indexable: ClassVar = True

    @classmethod
    def find(cls, images: ImageSet, data_dir: str, listing: Listing) -> "ClassTars | None":
        found = fullest(images, data_dir, listing)
        if found is None or found.is_flat or not found.class_tars:
            return None
        paths = [join(found.path, f"{wnid}.tar") for wnid in found.class_tars]
        return cls(found.path, tuple(path for path in paths if is_url(path) or os.path.isfile(path)))

    def list_members(self) -> pa.Table:
        sizes = [stamp.size for stamp in stamps_of(self.files)]
        return join_tables(tar.walk_class_tars(self.files, sizes), self.files)

    def check(self) -> None:
        """Raise ``ArchiveError`` if some of the tars were unpacked and removed."""
        names = [] if is_url(self.path) else os.listdir(self.path)
        tars = {os.path.basename(path)[WNID] for path in self.files}
        folders = sorted({name for name in names if CLASS_TAR.fullmatch(f"{name}.tar".encode())} - tars)
        if folders:
            raise ArchiveError(
                f"{self.path} is partly unpacked: {len(tars):,} classes are tars, such as {min(tars)}.tar, and "
                f"{len(folders):,} are folders only: {shorten(folders)}. Finish unpacking, and remove the tars; or put "
                "back the tars of these classes."
            )

    def explain(self, missing: Images) -> str:
        """Say which class tars are absent."""
        absent = sorted({f"{name[WNID]}.tar" for name, _ in missing} - set(map(os.path.basename, self.files)))
        if not absent:
            return super().explain(missing)
        return f"{len(absent):,} class tars are missing: {shorten(absent)}. Unpack the training archive again."


class KaggleArchive(Layout):
    """One of Kaggle's archives: the newest, since "..._patched2019" comes last."""

    pattern: ClassVar[str]

    @classmethod
    def find(cls, images: ImageSet, data_dir: str, listing: Listing) -> "Layout | None":
        found = listing.matching(data_dir, cls.pattern)
        return cls(path := join(data_dir, found[-1]), (path,)) if found else None


class KaggleZip(KaggleArchive):
    """Kaggle's zip of all images."""

    name: ClassVar = "Kaggle's zip"
    format: ClassVar = "zip"
    magic: ClassVar = (b"PK",)
    pattern: ClassVar = r"imagenet-object-localization-challenge.*\.zip"

    def list_members(self) -> pa.Table:
        try:
            with zipfile.ZipFile(self.path) as archive:
                images = [info for info in archive.infolist() if info.filename.endswith(".JPEG")]
            if any(image.header_offset < 0 for image in images):
                raise zipfile.BadZipFile("a member is before its start")
        except DAMAGED_ZIP as error:
            raise ArchiveError(f"{self.path} is cut off or damaged ({error}). Download it again.") from error
        if any(image.compress_type not in METHODS or image.flag_bits & ENCRYPTED for image in images):
            raise ArchiveError(f"{self.path} has images that are encrypted, or compressed with an unsupported method.")
        names = [image.filename.rpartition("/")[2].encode() for image in images]
        numbers = [(image.header_offset, image.file_size, image.compress_size) for image in images]
        columns = zip(*numbers) if numbers else ((), (), ())
        table = pa.table([pa.array(names, pa.binary()), *(pa.array(column, pa.int64()) for column in columns)], PACKED)
        return tar.last_of_each_name(table, self.path)


class KaggleTar(KaggleArchive):
    """Kaggle's .tar.gz after gunzip; its annotations and lists are left out."""

    name: ClassVar = "Kaggle's tar"
    pattern: ClassVar = r"imagenet_object_localization.*\.tar"

    def list_members(self) -> pa.Table:
        table = tar.walk_archive(self.path)
        return table.filter(pc.ends_with(table["name"], ".JPEG"))
