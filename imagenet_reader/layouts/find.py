"""Which layout a folder has."""

import contextlib
import os

from imagenet_reader.io import Listing, stamp_of
from imagenet_reader.io.paths import is_url, join
from imagenet_reader.layouts.archives import ClassTars, KaggleTar, KaggleZip, OfficialTar
from imagenet_reader.layouts.base import IMAGE_SETS, Layout
from imagenet_reader.layouts.extracted import HubParquet, HubTarGz, KaggleTarGz
from imagenet_reader.layouts.folders import FEW, Folder, holdings_of
from imagenet_reader.layouts.hints import describe_missing
from imagenet_reader.layouts.shards import Tfds, WebDataset

LAYOUTS: tuple[type[Layout], ...] = (
    OfficialTar,
    ClassTars,
    Folder,
    KaggleZip,
    KaggleTar,
    KaggleTarGz,
    WebDataset,
    Tfds,
    HubParquet,
    HubTarGz,
)  # the first one counts, unless it is a few left-over files


def find_layouts(set_names: list[str], data_dir: str) -> dict[str, Layout]:
    """The layout of each of some sets of images in a folder; each folder is listed once."""
    listing, layouts = Listing(), {}
    for name in set_names:
        layout = find_layout(name, data_dir, listing)
        if layout is None:
            with contextlib.suppress(
                FileNotFoundError, NotADirectoryError
            ):  # at a URL, it may be forbidden, or a web page
                stamp_of(join(data_dir, IMAGE_SETS[name].archives[0]))
            raise FileNotFoundError(describe_missing(find_layout, name, set_names, data_dir, listing))
        layouts[name] = layout
    return layouts


def find_layout(set_name: str, data_dir: str, listing: Listing) -> Layout | None:
    """The layout of one set of images: the first of ``LAYOUTS`` that finds them; ``None`` if there is none."""
    images, left_over = IMAGE_SETS[set_name], None
    for kind in LAYOUTS:
        layout = kind.find(images, data_dir, listing) if kind.remote or not is_url(data_dir) else None
        if layout is None:
            continue
        if not os.path.isdir(layout.path) or holdings_of(images, layout.path, listing).images_or_classes >= FEW:
            return layout
        left_over = left_over or layout  # so few images may be left over, if the set exists elsewhere
    return left_over
