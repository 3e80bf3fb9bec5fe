"""Stand-ins for ImageNet: the official layouts and names, with drawn images.

Only people who accepted its terms may download ImageNet, so tests, demos and continuous
integration need similar archives that anyone may make. Those of image-net.org are:

- ``ILSVRC2012_img_train.tar``: 1,000 tars, ``n01440764.tar`` to ``n15075141.tar``, each with the images of its class,
  ``n01440764_10026.JPEG`` and so on.
- ``ILSVRC2012_img_val.tar``: ``ILSVRC2012_val_00000001.JPEG`` to ``ILSVRC2012_val_00050000.JPEG``.

The same call always makes the same bytes, and no two images of an archive are equal: the first
segment of each JPEG is a comment with the file name (in the only PNG, it is the text ``Comment``).
The same images can be written in every other layout that ``imagenet_subsets`` reads, see ``forms``.
"""

import bisect
import contextlib
import itertools
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from imagenet_reader.files import check_space
from imagenet_reader.hf.progress import progress_bar
from imagenet_reader.lists import SPLIT_FILES, TRAIN_IMAGES
from imagenet_reader.official import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets_tools.split_lists import TRAIN_NAME, VALIDATION_NAME
from imagenet_subsets_tools.standins.forms import FORMS, write_form
from imagenet_subsets_tools.standins.images import CMYK_IMAGES, PNG_IMAGE, Images, varied_size
from imagenet_subsets_tools.standins.tars import BLOCK, header, write_end, write_member

# Config -> the lists of its training images.
LISTS = {
    "1pct": ("1pct.parquet",),
    "10pct": ("10pct.parquet",),
    "lt": ("lt_train.parquet", "lt_validation.parquet"),
}
MEMBERS = ("listed", "full")
ARCHIVES = "archives"

_UNLISTED = 3  # images per class that are in no published list
_OFFICIAL_BYTES = 110_000  # average size of an image in the official archive
_SMALL_BYTES = 1_024  # maximum size of a small stand-in image, as stored
_MIN_IMAGE_BYTES = 4_000
_HOLE_BYTES = 4_096  # on disk, for the header before a hole
_FILE_BYTES = 4_096  # on disk, maximum overhead per file


def make_standins(directory, configs=("1pct", "10pct", "lt"), image_bytes=None, members="listed", layout=ARCHIVES):
    """Write stand-ins for ``ILSVRC2012_img_train.tar`` and ``ILSVRC2012_img_val.tar``, or for another layout.

    The training archive gets every training image that the configs list, 3 more per class that are
    in no published list, and the 23 images that are CMYK JPEGs or a PNG in the official archive. The
    validation archive always gets all 50,000 images. About 2 % of the images are grey and 0.3 %
    have an EXIF orientation.

    Args:
        directory: folder for the two archives or the other layout; created if it does not exist.
        configs: names from ``"1pct"``, ``"10pct"``, ``"lt"``.
        image_bytes: average size of an image in bytes, at least 4,000; sizes vary from 0.4 to
            1.9 times the average. ``None`` makes 64 x 48 pixels in about 800 bytes.
        members: ``"listed"``, or ``"full"`` for a training archive of 1,281,167 images. Images
            that no config lists are then holes in a sparse file, of realistic size (141 GB in total)
            but without content: this needs a file system with sparse files, and 5 GB of space.
        layout: ``"archives"``, or a key of ``forms.FORMS``.

    Returns:
        ``Path``: the directory.

    Raises:
        FileExistsError: the directory holds one of the archives or, for another layout, any file; nothing
            is ever overwritten.
        OSError: the disk has too little space.
        ValueError: a config, ``image_bytes``, ``members`` or ``layout`` is invalid.

    After an error or Ctrl-C, nothing is left behind.

    Example:

        >>> import tarfile
        >>> folder = make_standins("standins", configs=["1pct"])
        >>> with tarfile.open(folder / "ILSVRC2012_img_val.tar") as archive:
        ...     print(archive.next().name)
        ILSVRC2012_val_00000001.JPEG
    """
    directory = Path(directory)
    configs = [configs] if isinstance(configs, str) else list(configs)
    _check_arguments(configs, image_bytes, members, layout)
    _check_absent(directory, layout)
    train = _train_members(configs, members)
    labels = pq.read_table(SPLIT_FILES / "validation.parquet")["label"].to_pylist()
    validation = [(VALIDATION_NAME.format(number=k), label) for k, label in enumerate(labels, start=1)]
    drawn = sum(is_drawn for files in train.values() for _, _, is_drawn in files) + len(validation)
    total = sum(map(len, train.values())) + len(validation)
    overhead = BLOCK if layout == ARCHIVES else _FILE_BYTES
    needed = drawn * (overhead + (image_bytes or _SMALL_BYTES)) + (total - drawn) * _HOLE_BYTES
    check_space(directory, needed, "the stand-ins")

    images = Images(image_bytes)
    with _created(directory) as created, tempfile.TemporaryDirectory(dir=directory, prefix=".standins-") as temporary:
        with progress_bar("Making stand-ins", total, unit=" images") as progress:
            if layout == ARCHIVES:
                _write_train(Path(temporary, TRAIN_ARCHIVE), train, images, progress)
                _write_validation(Path(temporary, VALIDATION_ARCHIVE), validation, images, progress)
            else:
                names = [(name, label) for name, label, _ in itertools.chain(*train.values())]
                write_form(layout, _DrawnImages(dict(names + validation), images, progress), Path(temporary))
        _check_absent(directory, layout, temporary)  # writing took a while
        for name in sorted(os.listdir(temporary)):
            created.append(directory / name)
            os.rename(Path(temporary, name), directory / name)
    return directory


class _DrawnImages(Mapping):
    """File name -> content of images, drawn on access."""

    def __init__(self, labels, images, progress):
        self.labels, self.images, self.progress = labels, images, progress

    def __getitem__(self, name):
        content = self.images.content(name, self.labels[name])
        self.progress.update()
        return content

    def __iter__(self):
        return iter(self.labels)

    def __len__(self):
        return len(self.labels)


def _check_arguments(configs, image_bytes, members, layout):
    unknown = sorted(set(configs) - set(LISTS))
    if unknown:
        raise ValueError(f"unknown config {unknown[0]!r}; the configs are {', '.join(map(repr, LISTS))}")
    if members not in MEMBERS:
        raise ValueError(f"members is {members!r}; expected {' or '.join(map(repr, MEMBERS))}")
    if layout not in (ARCHIVES, *FORMS):
        raise ValueError(f"unknown layout {layout!r}; the layouts are {', '.join(map(repr, (ARCHIVES, *FORMS)))}")
    if layout != ARCHIVES and members != "listed":
        raise ValueError(f"members is {members!r}; layout {layout!r} accepts only 'listed'")
    if image_bytes is not None and image_bytes < _MIN_IMAGE_BYTES:
        raise ValueError(f"image_bytes is {image_bytes}; expected None or at least {_MIN_IMAGE_BYTES}")


def _check_absent(directory, layout, temporary=""):
    """Raise ``FileExistsError`` if the directory holds anything to preserve, other than ``temporary``."""
    if layout == ARCHIVES:
        for path in (directory / TRAIN_ARCHIVE, directory / VALIDATION_ARCHIVE):
            if os.path.lexists(path):
                raise FileExistsError(f"{path} exists; it may be the official archive and is not overwritten")
    elif directory.exists() and (others := set(os.listdir(directory)) - {os.path.basename(temporary)}):
        raise FileExistsError(f"{directory} holds {min(others)}; pass a new or empty folder")


@contextlib.contextmanager
def _created(directory):
    """Create the folder and yield a list for the paths made in it; if the body fails, remove all of them."""
    new = list(itertools.takewhile(lambda path: not path.exists(), (directory, *directory.parents)))
    files = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        yield files
    except BaseException:
        for path in files:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another process put a file there
            for path in new:
                path.rmdir()
        raise


def _train_members(configs, members):
    """{wnid: [(name, label, whether it is drawn)]}, sorted as in the official archive; the others are holes."""
    wnids = pq.read_table(SPLIT_FILES / "classes.parquet")["wnid"].to_pylist()
    published, chosen = ([set() for _ in wnids] for _ in range(2))
    for config, files in LISTS.items():
        for file in files:
            table = pq.read_table(SPLIT_FILES / file)
            for label, number in zip(table["label"].to_pylist(), table["number"].to_pylist()):
                published[label].add(number)
                if config in configs:
                    chosen[label].add(number)
    for name in (*CMYK_IMAGES, PNG_IMAGE):
        wnid, number = name.removesuffix(".JPEG").split("_")
        label = wnids.index(wnid)
        published[label].add(int(number))
        chosen[label].add(int(number))

    counts = [len(numbers) + _UNLISTED for numbers in chosen]
    if members == "full":
        counts = _raised(counts, TRAIN_IMAGES)
    train = {}
    for label, (wnid, count, listed) in enumerate(zip(wnids, counts, chosen)):
        unlisted = _unlisted_numbers(label, published[label], count - len(listed))
        train[wnid] = sorted(
            (TRAIN_NAME.format(wnid=wnid, number=number), label, is_drawn)
            for numbers, is_drawn in ((listed, True), (unlisted, members == "listed"))
            for number in numbers
        )
    return train


def _raised(counts, total):
    """Counts, raised as evenly as possible to a sum of ``total``."""
    level = bisect.bisect_right(range(total), total, key=lambda level: sum(max(c, level) for c in counts)) - 1
    missing = total - sum(max(count, level) for count in counts)
    low = itertools.islice((label for label, count in enumerate(counts) if count <= level), missing)
    raised = set(low)
    return [max(count, level) + (label in raised) for label, count in enumerate(counts)]


def _unlisted_numbers(label, published, count):
    # Steps modulo a prime never repeat a number; ImageNet's numbers have the same magnitude.
    numbers = (1 + (7919 * step + 31 * label) % 30_011 for step in itertools.count())
    return list(itertools.islice((number for number in numbers if number not in published), count))


def _write_train(path, train, images, progress):
    with path.open("wb", buffering=1 << 20) as file:
        for wnid, files in train.items():
            header_at = file.tell()
            file.write(bytes(BLOCK))  # replaced by the header once the size is known
            for name, label, is_drawn in files:
                if is_drawn:
                    write_member(file, name, images.content(name, label))
                else:
                    size = varied_size(name, images.image_bytes or _OFFICIAL_BYTES)
                    file.write(header(name, size))
                    file.seek(size + -size % BLOCK, os.SEEK_CUR)
            write_end(file, header_at + BLOCK)
            inner = tarfile.TarInfo(f"{wnid}.tar")
            inner.size = file.tell() - header_at - BLOCK
            file.seek(header_at)
            file.write(inner.tobuf(tarfile.GNU_FORMAT))
            file.seek(0, os.SEEK_END)
            progress.update(len(files))
        write_end(file, 0)


def _write_validation(path, validation, images, progress):
    with path.open("wb", buffering=1 << 20) as file:
        for name, label in validation:
            write_member(file, name, images.content(name, label))
            progress.update()
        write_end(file, 0)
