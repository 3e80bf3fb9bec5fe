"""Stand-ins for ImageNet: the official layouts and names, with drawn images.

Only people who accepted its terms may download ImageNet, so tests, demos and continuous integration need similar
archives that anyone may make. The same call always makes the same bytes, and no two images are equal: the first segment
of each JPEG is a comment with the file name (in the only PNG, it is the text ``Comment``).
"""

import contextlib
import functools
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_reader.files import check_space
from imagenet_reader.lists import read_split_list
from imagenet_reader.log import progress_bar
from imagenet_subsets_tools.standins.images import CMYK_IMAGES, PNG_IMAGE, Images
from imagenet_subsets_tools.standins.layouts import FORMS, write_form
from imagenet_subsets_tools.standins.names import by_class, label_of, wnids

# Config -> the lists of its training images.
LISTS = {"1pct": ("1pct",), "10pct": ("10pct",), "lt": ("lt_train", "lt_validation")}
ARCHIVES = "archives"

_FILE_BYTES = 5_120  # maximum size of an image on disk, as a file
_MEMBER_BYTES = 1_536  # and as a member of an archive
_UNLISTED = 3  # images per class that are in no published list


def make_standins(
    directory: str | os.PathLike[str], configs: str | Iterable[str] = ("1pct", "10pct", "lt"), layout: str = ARCHIVES
) -> Path:
    """Write stand-ins for ``ILSVRC2012_img_train.tar`` and ``ILSVRC2012_img_val.tar``, or for another layout.

    There is every training image that the configs list, 3 more per class that are in no published list, the 23 images
    that are CMYK JPEGs or a PNG in the official archive, and all 50,000 validation images: 64 x 48 pixels in about 800
    bytes. About 2 % are grey, and 0.3 % have an EXIF orientation. After an error or Ctrl-C, nothing is left behind.

    Args:
        directory: folder for the two archives or the other layout; created if it does not exist.
        configs: names from ``"1pct"``, ``"10pct"``, ``"lt"``.
        layout: a key of ``layouts.FORMS``.

    Returns:
        ``Path``: the directory.

    Raises:
        FileExistsError: the directory has one of the archives or, for another layout, any file; nothing is ever
            overwritten.
        OSError: the disk has too little space.
        ValueError: a config or ``layout`` is invalid.

    Example:

        >>> import tarfile
        >>> folder = make_standins("standins", configs=["1pct"])
        >>> with tarfile.open(folder / "ILSVRC2012_img_val.tar") as archive:
        ...     print(archive.next().name)
        ILSVRC2012_val_00000001.JPEG
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
    with _created(directory), tempfile.TemporaryDirectory(dir=directory, prefix=".standins-") as temporary:
        with progress_bar("Making stand-ins", len(names), unit=" images") as progress:
            write_form(layout, DrawnFiles(names, Images(), progress.update), Path(temporary))
        _check_absent(directory, layout, os.path.basename(temporary))  # writing took a while
        for name in sorted(os.listdir(temporary)):
            os.rename(Path(temporary, name), directory / name)
    return directory


class DrawnFiles(Mapping[str, bytes]):
    """File name -> content of images, drawn on access."""

    def __init__(self, names: Iterable[str], images: Images, advance: Any = lambda: None) -> None:
        self.names, self.images, self.advance = dict.fromkeys(names), images, advance

    def __getitem__(self, name: str) -> bytes:
        self.advance()
        return self.images.content(name, label_of(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _check_absent(directory: Path, layout: str, temporary: str = "") -> None:
    """Raise ``FileExistsError`` if the directory has anything to preserve, other than ``temporary``."""
    present = sorted({*os.listdir(directory)} - {temporary}) if directory.exists() else []
    for name in present:
        if layout != ARCHIVES:
            raise FileExistsError(f"{directory} has {name}; pass a new or empty folder")
        if name in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE):
            raise FileExistsError(f"{directory / name} exists; it may be the official archive and is not overwritten")


@contextlib.contextmanager
def _created(directory: Path) -> Iterator[None]:
    """Create the folder; if the body fails, remove what was created of it."""
    new = list(itertools.takewhile(lambda path: not path.exists(), (directory, *directory.parents)))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # another process put a file there
            for path in new:
                path.rmdir()
        raise


def training_names(configs: Iterable[str], unlisted: int = _UNLISTED) -> list[list[str]]:
    """The names of the training images of each class, sorted as in the official archive."""
    chosen = by_class({*_names_in(itertools.chain(*(LISTS[config] for config in configs))), *CMYK_IMAGES, PNG_IMAGE})
    return [
        sorted((*chosen.get(wnid, ()), *itertools.islice(unlisted_names(label), unlisted)))
        for label, wnid in enumerate(wnids())
    ]


def unlisted_names(label: int) -> Iterator[str]:
    """Names of images of a class that are in no published list, 30,000 of them."""
    # Steps modulo a prime never repeat a number; ImageNet's numbers have the same magnitude.
    names = (f"{wnids()[label]}_{1 + (7919 * step + 31 * label) % 30_011}.JPEG" for step in itertools.count())
    return (name for name in names if name not in _published())


@functools.cache
def _published() -> set[str]:
    return {*_names_in(itertools.chain(*LISTS.values())), *CMYK_IMAGES, PNG_IMAGE}


def _names_in(lists: Iterable[str]) -> Iterator[str]:
    return (name for file in lists for name, _ in read_split_list(file))
