"""Stand-ins for ImageNet: the official layouts and names, with drawn images.

Tests and demos use them, since only people who accepted its terms may download ImageNet. The same call always makes the
same bytes, and no two images are equal: each has its file name in a comment.
"""

import functools
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_reader.files import check_space, existing
from imagenet_reader.lists import read_split_list, read_wnids
from imagenet_reader.log import progress_bar
from imagenet_subsets_tools.standins.images import CMYK_IMAGES, PNG_IMAGE, DrawnImages
from imagenet_subsets_tools.standins.layouts import FORMS, by_class

# Config -> the lists of its training images.
LISTS = {"1pct": ("1pct",), "10pct": ("10pct",), "lt": ("lt_train", "lt_validation")}
ARCHIVES = "archives"

_FILE_BYTES, _MEMBER_BYTES = 5_120, 1_536  # maximum size of an image on disk: as a file, and as a member of an archive
_UNLISTED = 3  # images per class that are in no published list
_UNFINISHED = ".standins-"  # begins the name of the folder that is written


def make_standins(
    directory: str | os.PathLike[str], configs: str | Iterable[str] = ("1pct", "10pct", "lt"), layout: str = ARCHIVES
) -> Path:
    """Write stand-ins for ``ILSVRC2012_img_train.tar`` and ``ILSVRC2012_img_val.tar``, or for another layout.

    There is every training image that the configs list, 3 more per class that are in no published list, the 23 images
    that are CMYK JPEGs or a PNG in the official archive, and all 50,000 validation images: 64 x 48 pixels in about 700
    bytes. About 2 % are grey, and 0.3 % have an EXIF orientation. After an error or Ctrl-C, nothing is left behind.

    Args:
        directory: folder for the two archives or the other layout; created if it does not exist.
        configs: names from ``"1pct"``, ``"10pct"``, ``"lt"``.
        layout: a key of ``layouts.FORMS``.

    Returns:
        ``Path``: the directory.

    Raises:
        FileExistsError: the directory has one of the archives or, for another layout, any file. Nothing is written.
        OSError: the disk has too little space.
        ValueError: a config or ``layout`` is invalid.

    Example:

        >>> make_standins("standins", configs=["1pct"])
        PosixPath('standins')
    """
    directory = Path(directory)
    configs = [configs] if isinstance(configs, str) else list(configs)
    for kind, names, known in (("config", configs, LISTS), ("layout", [layout], FORMS)):
        for name in names:
            if name not in known:
                raise ValueError(f"unknown {kind} {name!r}; the {kind}s are {', '.join(map(repr, known))}")
    _check_absent(directory, layout)
    names = [*itertools.chain(*training_names(configs)), *(name for name, _ in read_split_list("validation"))]
    check_space(directory, len(names) * (_MEMBER_BYTES if layout == ARCHIVES else _FILE_BYTES), "the stand-ins")
    with tempfile.TemporaryDirectory(dir=existing(directory), prefix=_UNFINISHED) as temporary:
        with progress_bar("Making stand-ins", len(names), unit=" images") as progress:
            FORMS[layout](DrawnImages(names, progress.update), Path(temporary))
        _check_absent(directory, layout)  # writing took a while
        directory.mkdir(parents=True, exist_ok=True)
        for name in sorted(os.listdir(temporary)):
            os.rename(Path(temporary, name), directory / name)
    return directory


def _check_absent(directory: Path, layout: str) -> None:
    for name in sorted(os.listdir(directory)) if directory.exists() else []:
        if name in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE) or (layout != ARCHIVES and not name.startswith(_UNFINISHED)):
            raise FileExistsError(f"{directory / name} exists and is not overwritten; pass a new or empty folder")


def training_names(configs: Iterable[str], unlisted: int = _UNLISTED) -> list[list[str]]:
    """The names of the training images of each class, sorted as in the official archive."""
    chosen = by_class(_listed(*configs))
    return [
        sorted((*chosen.get(wnid, ()), *itertools.islice(unlisted_names(label), unlisted)))
        for label, wnid in enumerate(read_wnids())
    ]


def unlisted_names(label: int) -> Iterator[str]:
    """Names of images of a class that are in no published list, 30,000 of them."""
    # Steps modulo a prime never repeat a number; ImageNet's numbers have the same magnitude.
    published = _listed(*LISTS)
    names = (f"{read_wnids()[label]}_{1 + (7919 * step + 31 * label) % 30_011}.JPEG" for step in itertools.count())
    return (name for name in names if name not in published)


@functools.cache
def _listed(*configs: str) -> set[str]:
    """The images that the configs list, and those that are no RGB JPEGs."""
    lists = itertools.chain(*(LISTS[config] for config in configs))
    return {name for file in lists for name, _ in read_split_list(file)} | CMYK_IMAGES | {PNG_IMAGE}
