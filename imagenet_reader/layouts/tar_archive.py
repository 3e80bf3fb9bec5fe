"""The official archives, as downloaded: a tar of class tars, or a flat tar of images."""

import contextlib
import dataclasses
import functools
import os

from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import confirm, opened, stamp
from imagenet_reader.formats.tar_header import BLOCK, NAME, ZERO_BLOCK, base_name, payload_size
from imagenet_reader.index.kept import archive_identity, kept_index
from imagenet_reader.layouts.base import Index, Layout, Reader, Snapshot
from imagenet_reader.official import (
    CLASS_TAR,
    FIRST_MEMBERS,
    MANUAL_DOWNLOAD,
    OFFICIAL_SIZES,
    OTHER_LAYOUTS,
    TEST_ARCHIVES,
    TEST_DOWNLOAD,
    TEST_NAME,
    TRAIN_NAME,
    VALIDATION_NAME,
)
from imagenet_reader.reading.addresses import paths_of
from imagenet_reader.walk.archive import first_member, walk_archive

NOT_TAR = {  # by the first bytes
    b"\x1f\x8b": "gzip data (a .tar.gz): unpack it with gunzip",
    b"BZh": "bzip2 data: unpack it with bunzip2",
    b"\xfd7zXZ": "xz data: unpack it with unxz",
    b"PK\x03\x04": "a zip archive",
    b"<": "a web page, such as a log-in page saved under the archive's name",
}
KINDS = {  # by the name of the first member
    CLASS_TAR: "the training archive, a tar of 1,000 class tars",
    VALIDATION_NAME: "the validation archive, a flat tar of 50,000 images",
    TEST_NAME: "the test archive, a flat tar of 100,000 images",
    TRAIN_NAME: "a class tar, or the training images in one flat tar",
}


class TarArchive(Layout):
    """An official archive, or any flat tar of images."""

    name = "official archive"

    def check(self):
        check_archive(self.path)

    def look(self, wanted):
        if not os.path.isfile(self.path):
            return Snapshot("", functools.partial(check_archive, self.path))
        before = stamp(os.stat(self.path))
        identity = archive_identity(self.path)
        return Snapshot(identity, functools.partial(self._index, identity, before))

    def _index(self, identity, before):
        check_archive(self.path)
        reader = TarReader(self.path, before)
        reader.check_unchanged()
        return Index(kept_index(self.path, identity, functools.partial(walk_archive, self.path)), reader)

    def explain(self, missing):
        sizes = self._sizes()
        return f"{sizes}. {super().explain(missing)}" if sizes else super().explain(missing)

    def explain_incomplete(self, missing):
        if os.path.getsize(self.path) == OFFICIAL_SIZES.get(os.path.basename(self.path)):
            return super().explain_incomplete(missing)
        advice = "Stand-ins have the images of the published lists alone; this needs the official archive, whole."
        return f"{self._sizes() or 'It is not the official archive'}: it is a stand-in, or not whole. {advice}"

    def _sizes(self):
        official = OFFICIAL_SIZES.get(os.path.basename(self.path))
        return official and f"It has {os.path.getsize(self.path):,} bytes, the official archive {official:,}"


@dataclasses.dataclass(frozen=True)
class TarReader(Reader):
    """Reads the members of one tar, which had the stamp ``stamp`` when it was indexed."""

    stamp: tuple
    kind = "tar"

    def check_unchanged(self):
        """Raise ``ArchiveError`` if the archive isn't the one that had this stamp."""
        if stamp(os.stat(self.path)) != self.stamp:
            raise changed_since(self.path)

    def paths(self, rows, pixels):
        return paths_of(self.kind, rows, pixels, self.path, self.stamp)

    @contextlib.contextmanager
    def opened(self):
        with opened(self.path) as fd:
            yield functools.partial(read_member, fd, self.path), functools.partial(confirm, fd, self.path, self.stamp)


def changed_since(path):
    """The error that something was changed between making a builder and preparing its dataset."""
    return ArchiveError(f"{path} was changed after this builder was made. Make a new one, or load again.")


def read_member(fd, path, row, image):
    """Fill the buffer ``image`` with a member of a tar, before which its header stands.

    Raises:
        ArchiveError: the header isn't that of the row.
    """
    header = bytearray(BLOCK)
    count = os.preadv(fd, [header, image], row.offset)
    with contextlib.suppress(ValueError):
        if count == BLOCK + len(image) and base_name(header[NAME]) == row.name and payload_size(header) == len(image):
            return
    raise moved(path, row)


def moved(path, row):
    """The error that an image is not where the index has it."""
    return ArchiveError(
        f"{path} does not hold {row.name.decode()} ({row.size:,} bytes) at byte {row.offset:,}, where its "
        "index has it: the archive was changed or cut off. Load again once it is whole."
    )


def check_archive(path):
    """Check by its head that an archive can be the one that its name says.

    Raises:
        FileNotFoundError: there is none at ``path``.
        ArchiveError: it is not a tar, or another one.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(describe_absent(path))
    with opened(path) as fd:
        size, start = os.fstat(fd).st_size, os.pread(fd, BLOCK, 0)
        for magic, what in NOT_TAR.items():
            if start.lstrip().startswith(magic):
                raise ArchiveError(f"{path} is {what}; expected the tar as image-net.org has it.")
        if len(start) < BLOCK or start == ZERO_BLOCK:
            raise ArchiveError(f"{path} is no tar archive: it has {size:,} bytes and no member. Download it again.")
        name = first_member(fd, path, size)
    expected = FIRST_MEMBERS.get(os.path.basename(path))
    if expected is not None and not expected.fullmatch(name):
        found = next((what for pattern, what in KINDS.items() if pattern.fullmatch(name)), "some other tar")
        raise ArchiveError(
            f"{path} begins with the member {name.decode(errors='replace')!r}: found {found}; expected "
            f"{KINDS[expected]}. Put each archive, as it was downloaded, under its official name."
        )


def describe_absent(path, hint=""):
    """What to say if an archive is absent: what its folder holds, a hint, and how to get it."""
    folder = os.path.dirname(os.path.abspath(path))
    entries = "no such folder"
    if os.path.isdir(folder):
        entries = ", ".join(sorted(os.listdir(folder))[:8]) or "nothing"
    found = "is a folder" if os.path.isdir(path) else f"is not there (its folder holds: {entries})"
    download = TEST_DOWNLOAD if os.path.basename(path) in TEST_ARCHIVES else f"{MANUAL_DOWNLOAD} {OTHER_LAYOUTS}"
    return f"{path} {found}.{hint} {download} Splits that do not read it can be built without it: splits=[...]."
