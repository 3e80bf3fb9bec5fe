"""Kaggle's .tar.gz of all images, which can be read only from its beginning: what is wanted is kept in a tar."""

import contextlib
import dataclasses
import functools
import glob
import gzip
import os
import tarfile
import warnings
import zlib

import filelock

from imagenet_reader.errors import ArchiveError
from imagenet_reader.files import digest, naming, progress_bar
from imagenet_reader.index.kept import archive_identity, index_folder, index_path
from imagenet_reader.layouts.base import Index, Layout, Snapshot
from imagenet_reader.layouts.tar_archive import TarArchive, TarReader

PIECE_BYTES = 1 << 20
ORIGIN = "comment"  # the field of the kept tar's global header that has the path of the .tar.gz


class KaggleTarGz(Layout):
    """Kaggle's .tar.gz."""

    name = "Kaggle's .tar.gz"

    def look(self, wanted):
        identity = archive_identity(self.path)
        return Snapshot(identity, functools.partial(self._index, identity, wanted))

    def _index(self, identity, wanted):
        images = wanted()
        kept = self._kept_path(identity, images)
        with self._locked():
            self._forget_others(identity)
            if not os.path.exists(kept):
                keep_images(
                    self.path, images and {name for name, _ in images}, kept, f"{self._stem()}.tar.tmp", identity
                )
        index = TarArchive(kept).look(wanted).index()
        return Index(index.table, KeptReader(kept, index.reader.stamp, self.path))

    @contextlib.contextmanager
    def _locked(self):
        """Context in which no other process keeps images of this .tar.gz."""
        lock = filelock.FileLock(f"{self._stem()}.tar.lock")
        try:
            os.makedirs(index_folder(), exist_ok=True)
            lock.acquire()
        except OSError as error:
            message = (
                f"{error.strerror}: {self.path} can be read only from beginning to end, so its images are kept in a "
                "folder below HF_HOME, which cannot be written. Set HF_HOME to one that can, or unpack the .tar.gz"
            )
            raise OSError(error.errno, message, index_folder()) from error
        try:
            yield
        finally:
            lock.release()

    def _stem(self):
        return index_path(self.path).removesuffix(".index")

    def _kept_path(self, identity, images):
        return f"{self._stem()}-{identity[:16]}-{digest(images and sorted(images))[:16]}.tar"

    def _forget_others(self, identity):
        """Remove what was kept of another .tar.gz, which was at this path."""
        stem = glob.escape(self._stem())
        for kept in set(glob.glob(f"{stem}-*.tar")) - set(glob.glob(f"{stem}-{identity[:16]}-*.tar")):
            for path in (kept, index_path(kept)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def explain(self, missing):
        kept = f"{self._stem()}-*.tar"
        return f"Download it again; or if it is whole, delete {kept}, and load again."


@dataclasses.dataclass(frozen=True)
class KeptReader(TarReader):
    """Reads the tar in which images of ``origin``, a .tar.gz, are kept."""

    origin: str

    def place(self, row):
        return f"{self.origin}: the image {row.name.decode()}"


def keep_images(path, names, kept, unfinished, identity):
    """Copy images of a .tar.gz into a tar.

    Args:
        path: the .tar.gz, which has this ``identity``.
        names: which images to copy, ``None`` for all.
        kept: the tar, which is written under the name ``unfinished`` first.

    Raises:
        ArchiveError: the .tar.gz is damaged, has none of the images, or was changed meanwhile.
        OSError: the disk has too little space.
    """
    size = os.path.getsize(path)
    warnings.warn(
        f"{path}: a .tar.gz can be read only from beginning to end, here {size / 1e9:.1f} GB, once for each "
        f"config. The images that are wanted are kept in {kept}. Unpacked, it would do for all.",
        stacklevel=2,
    )
    try:
        with (
            open(path, "rb") as file,
            progress_bar(f"Reading {os.path.basename(path)}", size) as bar,
            naming(unfinished, f"unpacking {path}"),
            open(unfinished, "wb") as target,
        ):
            _copy(file, names, target, bar)
            os.fsync(target.fileno())
        if archive_identity(path) != identity:
            raise ArchiveError(f"{path} was changed while it was read. Load again once it is whole.")
        os.replace(unfinished, kept)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ArchiveError(f"{path} is cut off or damaged ({error}). Download it again.") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unfinished)


def origin_of(kept):
    """The path of the .tar.gz whose images a kept tar holds, ``str``; ``None`` if it does not say.

    Raises:
        OSError: the tar cannot be read.
        tarfile.TarError: it is none.
    """
    with tarfile.open(kept, "r:") as tar:
        return tar.pax_headers.get(ORIGIN)


def _copy(file, names, target_file, bar):
    with (
        gzip.open(file) as content,
        tarfile.open(fileobj=content, mode="r|") as source,
        tarfile.open(
            fileobj=target_file,
            mode="w",
            format=tarfile.PAX_FORMAT,
            pax_headers={ORIGIN: os.path.realpath(file.name)},
        ) as target,
    ):
        begin = target.offset
        for member in source:
            source.members = []  # else all headers stay in memory
            name = member.name.rpartition("/")[2]
            if member.isreg() and (name.endswith(".JPEG") if names is None else name in names):
                image = tarfile.TarInfo(name)
                image.size = member.size
                target.addfile(image, source.extractfile(member))
                bar.update(file.tell() - bar.n)
        if target.offset == begin:
            raise ArchiveError(f"{file.name} holds none of the images that are asked for.")
        while piece := content.read(PIECE_BYTES):  # to the end, where the checksum stands
            if piece.strip(b"\0"):
                raise tarfile.ReadError("no tar header, where one should be")
