"""Which layout a folder has."""

import dataclasses
import os
from collections.abc import Iterable
from typing import ClassVar

import pyarrow as pa

from imagenet_reader.layouts.base import IMAGE_SETS, ImageSet, Layout, Snapshot, Wanted
from imagenet_reader.layouts.class_tars import ClassTars
from imagenet_reader.layouts.folder import Folder
from imagenet_reader.layouts.folders import is_left_over
from imagenet_reader.layouts.hub_parquet import HubParquet
from imagenet_reader.layouts.hub_tar_gz import HubTarGz
from imagenet_reader.layouts.indexable import Indexable
from imagenet_reader.layouts.kaggle_tar import KaggleTar
from imagenet_reader.layouts.kaggle_tar_gz import KaggleTarGz
from imagenet_reader.layouts.kaggle_zip import KaggleZip
from imagenet_reader.layouts.messages import describe_absent, describe_absent_remotely
from imagenet_reader.layouts.near import describe_near, describe_no_folder
from imagenet_reader.layouts.official_tar import OfficialTar
from imagenet_reader.layouts.partly_unpacked import PartlyUnpacked
from imagenet_reader.layouts.tfds import Tfds
from imagenet_reader.layouts.webdataset import WebDataset
from imagenet_reader.sources.urls import is_url, join

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
)  # the first one counts, unless it is a few left-over files


def find_layout(set_name: str, data_dir: str, needed: Iterable[str] = ()) -> Layout:
    """The layout of a set of images in a folder: the first of ``LAYOUTS`` that finds them.

    Args:
        set_name: ``"train"``, ``"validation"`` or ``"test"``.
        data_dir: the folder.
        needed: the names of all sets that a config needs, for hints where they are.

    Returns:
        If there are no such images, a ``Missing`` layout, which raises when it is used.
    """
    images = IMAGE_SETS[set_name]
    if is_url(data_dir):
        return _first_remote(images, data_dir) or Missing(join(data_dir, images.archives[0]), set_name, tuple(needed))
    path = os.path.join(data_dir, images.archives[0])
    return _first(images, data_dir) or Missing(path, set_name, tuple(needed))


def _first(images: ImageSet, data_dir: str) -> Layout | None:
    found = [layout for layout in (kind.find(images, data_dir) for kind in LAYOUTS) if layout is not None]
    if len(found) > 1 and is_left_over(images, found[0].path):
        return found[1]
    return found[0] if found else None


def _first_remote(images: ImageSet, data_dir: str) -> Layout | None:
    found = (kind.find(images, data_dir) for kind in LAYOUTS if kind.remote)
    layout = next((layout for layout in found if layout is not None), None)
    return layout.or_one_pass() if isinstance(layout, Indexable) else layout


@dataclasses.dataclass(frozen=True)
class Missing(Layout):
    """There are no images; ``path`` is where the official archive would be."""

    set_name: str
    needed: tuple[str, ...]
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
        folder, images, needed = os.path.dirname(self.path), IMAGE_SETS[self.set_name], self.needed or (self.set_name,)
        if is_url(folder):
            return FileNotFoundError(describe_absent_remotely(self.path))
        if not os.path.isdir(folder):
            return FileNotFoundError(describe_no_folder(folder))
        hint = describe_near(_first, images, needed, folder)
        absent = [IMAGE_SETS[name] for name in needed if _first(IMAGE_SETS[name], folder) is None]
        archives = [images.archives[0] for images in absent]
        return FileNotFoundError(describe_absent(folder, images.words, hint, archives))
