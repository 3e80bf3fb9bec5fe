"""Which layout a folder has."""

import contextlib
import dataclasses
import glob
import itertools
import os
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.errors import ArchiveError
from imagenet_reader.layouts.base import IMAGE_SETS, ImageSet, Layout, Snapshot, Wanted
from imagenet_reader.layouts.class_tars import ClassTars
from imagenet_reader.layouts.folder import Folder
from imagenet_reader.layouts.hub_parquet import HubParquet
from imagenet_reader.layouts.hub_tar_gz import HubTarGz
from imagenet_reader.layouts.kaggle_tar import KaggleTar
from imagenet_reader.layouts.kaggle_tar_gz import KaggleTarGz
from imagenet_reader.layouts.kaggle_zip import KaggleZip
from imagenet_reader.layouts.messages import describe_absent
from imagenet_reader.layouts.official_tar import OfficialTar, first_name
from imagenet_reader.layouts.partly_unpacked import PartlyUnpacked
from imagenet_reader.layouts.tfds import Tfds
from imagenet_reader.layouts.webdataset import WebDataset
from imagenet_reader.official import FIRST_MEMBERS

LAYOUTS: tuple[type[Layout], ...] = (
    OfficialTar,
    ClassTars,
    PartlyUnpacked,
    Folder,
    KaggleZip,
    KaggleTar,
    KaggleTarGz,
    WebDataset,
    Tfds,
    HubParquet,
    HubTarGz,
)  # the first one counts
MAX_FOLDERS = 200  # searched for images that are one or two levels too deep


def find_layout(set_name: str, data_dir: str) -> Layout:
    """The layout of a set of images in a folder: the first of ``LAYOUTS`` that finds them.

    Args:
        set_name: ``"train"``, ``"validation"`` or ``"test"``.
        data_dir: the folder.

    Returns:
        If there are no such images, a ``Missing`` layout, which raises when it is used.
    """
    images = IMAGE_SETS[set_name]
    found = (layout.find(images, data_dir) for layout in LAYOUTS)
    path = os.path.join(data_dir, images.archives[0])
    return next((layout for layout in found if layout is not None), Missing(path, set_name))


@dataclasses.dataclass(frozen=True)
class Missing(Layout):
    """There are no images; ``path`` is where the official archive would be."""

    set_name: str
    exists: ClassVar = False

    @classmethod
    def find(cls, images: ImageSet, data_dir: str) -> None:
        """Nothing."""

    def list_members(self, files: list[str]) -> pa.Table:
        """Raise, as ``check``."""
        raise self._error()

    def snapshot(self, wanted: Wanted) -> Snapshot:
        """An empty one."""
        return Snapshot("")

    def check(self) -> None:
        """Raise ``FileNotFoundError``, which says where such images are, if they are near."""
        raise self._error()

    def _error(self) -> FileNotFoundError:
        folder = os.path.dirname(self.path)
        if os.path.isfile(folder):
            return FileNotFoundError(f"data_dir={folder!r} is a file: pass the folder that it is in.")
        return FileNotFoundError(describe_absent(self.path, self._hint(folder)))

    def _hint(self, folder: str) -> str:
        """Where such images are after all: one or two folders deeper, or in an archive of another name."""
        patterns = (os.path.join(glob.escape(folder), pattern, "") for pattern in ("*", "*/*"))
        deeper = itertools.chain.from_iterable(map(glob.iglob, patterns))
        for found in itertools.islice(deeper, MAX_FOLDERS):
            with contextlib.suppress(PermissionError):
                if find_layout(self.set_name, found.rstrip("/")).exists:
                    advice = f"pass data_dir={found!r}, or move its contents one level up."
                    return f" But {found} has such images: {advice}"
        expected = FIRST_MEMBERS[os.path.basename(self.path)]
        for found in sorted(glob.glob(os.path.join(glob.escape(folder), "*.tar"))):
            with contextlib.suppress(ArchiveError, OSError):
                if expected.fullmatch(first_name(found)):
                    return f" But {found} looks like that archive; rename it to {os.path.basename(self.path)}."
        return ""
