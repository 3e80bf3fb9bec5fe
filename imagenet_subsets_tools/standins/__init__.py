"""Stand-ins for ImageNet: the true layouts and names, with drawn pictures.

Only people who accepted its terms may download ImageNet, so tests, demos and continuous integration need archives of
the same form that anyone can make. The originals are:

- ``ILSVRC2012_img_train.tar``: 1,000 tars, ``n01440764.tar`` to ``n15075141.tar``, each with the images of its class,
  ``n01440764_10026.JPEG`` and so on.
- ``ILSVRC2012_img_val.tar``: ``ILSVRC2012_val_00000001.JPEG`` to ``ILSVRC2012_val_00050000.JPEG``.

The same call always makes the same bytes, and no two images of an archive are equal: the first segment of each JPEG is
a comment with the file name (in the one PNG, the text ``Comment``). ``forms`` writes the same images in every other
form that ``imagenet_subsets`` reads.
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

_UNLISTED = 3  # images per class that no published list names
_TRUE_BYTES = 110_000  # per image of the true archive, on average
_SMALL_BYTES = 1_024  # per small stand-in image, as stored, at most
_LEAST_IMAGE_BYTES = 4_000
_HOLE_BYTES = 4_096  # on disk, for the header before a hole
_FILE_BYTES = 4_096  # on disk, per file, in addition to its content, at most


def make_standins(directory, configs=("1pct", "10pct", "lt"), image_bytes=None, members="listed", layout=ARCHIVES):
    """Write stand-ins for ``ILSVRC2012_img_train.tar`` and ``ILSVRC2012_img_val.tar``, or another form of their images.

    The training archive holds all training images that the configs list, 3 more per class that no published list names,
    and the 23 images that are CMYK JPEGs or a PNG in the true archive. The validation archive always holds 50,000
    images. About 2 % of the images are grey and 0.3 % have an EXIF orientation.

    Args:
        directory: folder for the two archives, or for the other form, created if it does not exist.
        configs: names from ``"1pct"``, ``"10pct"``, ``"lt"``.
        image_bytes: average size of an image in bytes, at least 4,000; single images have 0.4 to 1.9 times as many.
            ``None`` makes images of 64 x 48 pixels with about 800 bytes.
        members: ``"listed"``, or ``"full"`` for a training archive with 1,281,167 members. Members that no config lists
            are then holes in a sparse file, of true size (141 GB in total): this needs a file system that supports
            sparse files, and 5 GB of space.
        layout: ``"archives"``, or a key of ``forms.FORMS``.

    Returns:
        ``Path``: the directory.

    Raises:
        FileExistsError: the directory holds one of the archives, or, for another layout, is not empty; nothing is ever
            overwritten.
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
    beside = BLOCK if layout == ARCHIVES else _FILE_BYTES
    needed = drawn * (beside + (image_bytes or _SMALL_BYTES)) + (total - drawn) * _HOLE_BYTES
    check_space(directory, needed, "the stand-ins")

    images = Images(image_bytes)
    with _made(directory) as made, tempfile.TemporaryDirectory(dir=directory, prefix=".standins-") as temporary:
        with progress_bar("Making stand-ins", total, unit=" images") as progress:
            if layout == ARCHIVES:
                _write_train(Path(temporary, TRAIN_ARCHIVE), train, images, progress)
                _write_validation(Path(temporary, VALIDATION_ARCHIVE), validation, images, progress)
            else:
                names = [(name, label) for name, label, _ in itertools.chain(*train.values())]
                write_form(layout, _Drawn(dict(names + validation), images, progress), Path(temporary))
        _check_absent(directory, layout, temporary)  # writing took a while
        for name in sorted(os.listdir(temporary)):
            made.append(directory / name)
            os.rename(Path(temporary, name), directory / name)
    return directory


class _Drawn(Mapping):
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
        raise ValueError(f"members is {members!r}; it can be {' or '.join(map(repr, MEMBERS))}")
    if layout not in (ARCHIVES, *FORMS):
        raise ValueError(f"unknown layout {layout!r}; the layouts are {', '.join(map(repr, (ARCHIVES, *FORMS)))}")
    if layout != ARCHIVES and members != "listed":
        raise ValueError(f"members is {members!r}; with layout {layout!r}, it can only be 'listed'")
    if image_bytes is not None and image_bytes < _LEAST_IMAGE_BYTES:
        raise ValueError(f"image_bytes is {image_bytes}; it can be None or {_LEAST_IMAGE_BYTES} and more")


def _check_absent(directory, layout, temporary=""):
    """Raise ``FileExistsError`` if the directory holds what must not be overwritten, other than ``temporary``."""
    if layout == ARCHIVES:
        for path in (directory / TRAIN_ARCHIVE, directory / VALIDATION_ARCHIVE):
            if os.path.lexists(path):
                raise FileExistsError(f"{path} exists; it may be the true archive, and is left as it is")
    elif directory.exists() and (others := set(os.listdir(directory)) - {os.path.basename(temporary)}):
        raise FileExistsError(f"{directory} holds {min(others)}; pass a new or empty folder")


@contextlib.contextmanager
def _made(directory):
    """Make the folder. If the body fails, remove what was made, and the paths in the list that the body is given."""
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
        with contextlib.suppress(OSError):  # somebody else put a file there
            for path in new:
                path.rmdir()
        raise


def _train_members(configs, members):
    """{wnid: [(name, label, is it drawn or a hole)]}, everything sorted as in the true archive."""
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
        counts = _levelled(counts, TRAIN_IMAGES)
    train = {}
    for label, (wnid, count, listed) in enumerate(zip(wnids, counts, chosen)):
        unlisted = _unlisted_numbers(label, published[label], count - len(listed))
        train[wnid] = sorted(
            (TRAIN_NAME.format(wnid=wnid, number=number), label, is_drawn)
            for numbers, is_drawn in ((listed, True), (unlisted, members == "listed"))
            for number in numbers
        )
    return train


def _levelled(counts, total):
    """Counts raised as evenly as possible, so that their sum is ``total``."""
    level = bisect.bisect_right(range(total), total, key=lambda level: sum(max(c, level) for c in counts)) - 1
    missing = total - sum(max(count, level) for count in counts)
    low = itertools.islice((label for label, count in enumerate(counts) if count <= level), missing)
    raised = set(low)
    return [max(count, level) + (label in raised) for label, count in enumerate(counts)]


def _unlisted_numbers(label, published, count):
    # Steps modulo a prime never repeat a number; ImageNet's numbers are of this size, too.
    numbers = (1 + (7919 * step + 31 * label) % 30_011 for step in itertools.count())
    return list(itertools.islice((number for number in numbers if number not in published), count))


def _write_train(path, train, images, progress):
    with path.open("wb", buffering=1 << 20) as file:
        for wnid, files in train.items():
            header_at = file.tell()
            file.write(bytes(BLOCK))  # the header, once the size is known
            for name, label, is_drawn in files:
                if is_drawn:
                    write_member(file, name, images.content(name, label))
                else:
                    size = varied_size(name, images.image_bytes or _TRUE_BYTES)
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
