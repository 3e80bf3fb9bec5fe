"""Stand-ins for the two official archives: the true layout and names, with drawn pictures.

ImageNet may be downloaded only by people who accepted its terms, so tests, demos and continuous
integration need archives of the same form that anyone may make:

- ``ILSVRC2012_img_train.tar`` holds 1,000 tars, ``n01440764.tar`` to ``n15075141.tar``, and each
  of these holds the images of its class, ``n01440764_10026.JPEG`` and so on.
- ``ILSVRC2012_img_val.tar`` holds ``ILSVRC2012_val_00000001.JPEG`` to ``ILSVRC2012_val_00050000.JPEG``.

The same call makes the same bytes again, and no two images of an archive are the same: the first
segment of each JPEG is a comment that holds the file name (in the one PNG, its text ``Comment``).
"""

import bisect
import contextlib
import errno
import functools
import io
import itertools
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datasets.utils import tqdm
from PIL import ExifTags, Image, ImageChops, PngImagePlugin

from imagenet_reader.lists import SPLIT_FILES, TRAIN_IMAGES
from imagenet_reader.official import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets_tools.split_lists import TRAIN_NAME, VALIDATION_NAME

# Config -> the lists of its training images.
LISTS = {
    "1pct": ("1pct.parquet",),
    "10pct": ("10pct.parquet",),
    "lt": ("lt_train.parquet", "lt_validation.parquet"),
}
MEMBERS = ("listed", "full")

# The training images of the true archive that are not what their names say.
CMYK_IMAGES = frozenset(
    f"{stem}.JPEG"
    for stem in """
    n01739381_1309 n02077923_14822 n02447366_23489 n02492035_15739 n02747177_10752 n03018349_4028
    n03062245_4620 n03347037_9675 n03467068_12171 n03529860_11437 n03544143_17228 n03633091_5218
    n03710637_5125 n03961711_5286 n04033995_2932 n04258138_17003 n04264628_27969 n04336792_7448
    n04371774_5854 n04596742_4225 n07583066_647 n13037406_4650
    """.split()
)
PNG_IMAGE = "n02105855_2933.JPEG"

_UNLISTED = 3  # a class: images that no published list names
_TRUE_BYTES = 110_000  # of an image of the true archive, on average
_SMALL_BYTES = 1_024  # of a small stand-in image at most, as stored
_LEAST_IMAGE_BYTES = 4_000
_BLOCK, _RECORD = 512, 10_240


def make_standins(directory, configs=("1pct", "10pct", "lt"), image_bytes=None, members="listed"):
    """Write stand-ins for ``ILSVRC2012_img_train.tar`` and ``ILSVRC2012_img_val.tar``.

    The training archive gets every training image that the configs list, 3 more a class that no
    published list names, and the 23 images that are CMYK JPEGs or a PNG in the true archive. The
    validation archive always gets its 50,000 images. About 2 % of the images are grey and 0.3 %
    carry an EXIF orientation.

    Args:
        directory: folder for the two archives; it is made if it is not there.
        configs: names from ``"1pct"``, ``"10pct"``, ``"lt"``.
        image_bytes: average size of an image in bytes, at least 4,000; single images have 0.4 to
            1.9 times as many. ``None`` makes 64 x 48 pixels in about 800 bytes.
        members: ``"listed"``, or ``"full"`` for a training archive of 1,281,167 images. Images
            that no config lists are then holes of a sparse file, of true size (141 GB in all) and
            not images: this needs a file system with sparse files, and 5 GB of it.

    Returns:
        ``Path``: the directory.

    Raises:
        FileExistsError: the directory holds one of the archives; nothing is ever overwritten.
        OSError: the disk has too little space.
        ValueError: a config, ``image_bytes`` or ``members`` is none of the above.

    On an error or Ctrl-C nothing is left behind.

    Example:

        >>> import tarfile
        >>> folder = make_standins("standins", configs=["1pct"])
        >>> with tarfile.open(folder / "ILSVRC2012_img_val.tar") as archive:
        ...     print(archive.next().name)
        ILSVRC2012_val_00000001.JPEG
    """
    directory = Path(directory)
    configs = [configs] if isinstance(configs, str) else list(configs)
    _check_arguments(configs, image_bytes, members)
    _check_absent(directory)
    train = _train_members(configs, members)
    labels = pq.read_table(SPLIT_FILES / "validation.parquet")["label"].to_pylist()
    validation = [(VALIDATION_NAME.format(number=k), label) for k, label in enumerate(labels, start=1)]
    drawn = sum(is_drawn for files in train.values() for _, _, is_drawn in files) + len(validation)
    total = sum(map(len, train.values())) + len(validation)
    _check_space(directory, drawn * (_BLOCK + (image_bytes or _SMALL_BYTES)) + (total - drawn) * 4096)

    images = _Images(image_bytes)
    with _made(directory), tempfile.TemporaryDirectory(dir=directory, prefix=".standins-") as temporary:
        with tqdm(total=total, unit=" images", desc="Making stand-ins") as progress:
            _write_train(Path(temporary, TRAIN_ARCHIVE), train, images, progress)
            _write_validation(Path(temporary, VALIDATION_ARCHIVE), validation, images, progress)
        _check_absent(directory)  # writing took a while
        for name in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE):
            os.rename(Path(temporary, name), directory / name)
    return directory


def _check_arguments(configs, image_bytes, members):
    unknown = sorted(set(configs) - set(LISTS))
    if unknown:
        raise ValueError(f"unknown config {unknown[0]!r}; the configs are {', '.join(map(repr, LISTS))}")
    if members not in MEMBERS:
        raise ValueError(f"members is {members!r}; it can be {' or '.join(map(repr, MEMBERS))}")
    if image_bytes is not None and image_bytes < _LEAST_IMAGE_BYTES:
        raise ValueError(f"image_bytes is {image_bytes}; it can be None or {_LEAST_IMAGE_BYTES} and more")


def _check_absent(directory):
    for name in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE):
        path = directory / name
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists; it may be the true archive, and is left as it is")


def _check_space(directory, needed):
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        text = f"the stand-ins take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
        raise OSError(errno.ENOSPC, text, str(there))


@contextlib.contextmanager
def _made(directory):
    """Make the folder, and take away again what was made if the body fails."""
    new = list(itertools.takewhile(lambda path: not path.exists(), (directory, *directory.parents)))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
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
    """Counts raised as evenly as can be, so that their sum is ``total``."""
    level = bisect.bisect_right(range(total), total, key=lambda level: sum(max(c, level) for c in counts)) - 1
    missing = total - sum(max(count, level) for count in counts)
    low = itertools.islice((label for label, count in enumerate(counts) if count <= level), missing)
    raised = set(low)
    return [max(count, level) + (label in raised) for label, count in enumerate(counts)]


def _unlisted_numbers(label, published, count):
    # Steps modulo a prime never meet a number twice; those of ImageNet are of this size, too.
    numbers = (1 + (7919 * step + 31 * label) % 30_011 for step in itertools.count())
    return list(itertools.islice((number for number in numbers if number not in published), count))


def _write_train(path, train, images, progress):
    with path.open("wb", buffering=1 << 20) as file:
        for wnid, files in train.items():
            header_at = file.tell()
            file.write(bytes(_BLOCK))  # the header, once the size is known
            for name, label, is_drawn in files:
                if is_drawn:
                    _write_member(file, name, images.content(name, label))
                else:
                    size = _varied(name, images.image_bytes or _TRUE_BYTES)
                    file.write(_header(name, size))
                    file.seek(size + -size % _BLOCK, os.SEEK_CUR)
            _write_end(file, header_at + _BLOCK)
            inner = tarfile.TarInfo(f"{wnid}.tar")
            inner.size = file.tell() - header_at - _BLOCK
            file.seek(header_at)
            file.write(inner.tobuf(tarfile.GNU_FORMAT))
            file.seek(0, os.SEEK_END)
            progress.update(len(files))
        _write_end(file, 0)


def _write_validation(path, validation, images, progress):
    with path.open("wb", buffering=1 << 20) as file:
        for name, label in validation:
            _write_member(file, name, images.content(name, label))
            progress.update()
        _write_end(file, 0)


def _write_member(file, name, content):
    file.write(_header(name, len(content)))
    file.write(content)
    file.write(bytes(-len(content) % _BLOCK))


def _write_end(file, start):
    """End the tar that began at ``start``: two zero blocks, and zeros up to a full record."""
    length = file.tell() - start
    file.write(bytes(2 * _BLOCK + -(length + 2 * _BLOCK) % _RECORD))


_EMPTY_HEADER = tarfile.TarInfo("").tobuf(tarfile.GNU_FORMAT)
_EMPTY_CHECKSUM = int(_EMPTY_HEADER[148:154], 8) - sum(_EMPTY_HEADER[124:135])


def _header(name, size):
    """``TarInfo.tobuf`` of a file, 20 times as fast: there are up to 1.3 million of them."""
    name, size = name.encode(), b"%011o" % size
    checksum = b"%06o" % (_EMPTY_CHECKSUM + sum(name) + sum(size))
    empty = _EMPTY_HEADER
    return b"".join((name.ljust(100, b"\0"), empty[100:124], size, empty[135:148], checksum, empty[154:]))


def _hash(name):
    return zlib.crc32(name.encode())


def _varied(name, mean):
    """A size in bytes for an image, 0.4 to 1.9 times the mean; as with photos, few are very large."""
    return int(mean * (0.4 + 1.5 * (_hash(name) / 2**32) ** 1.5))


class _Images:
    """The content of every image file. Few pictures are encoded, and many files are made of each."""

    _SMALL = ((64, 48),) * 4
    _PHOTO_SHARES = (0.35, 0.8)  # the pictures of a class, in parts of the average file
    _PHOTO_BYTES_A_PIXEL = 0.5  # at this quality and grain; the true images have about 0.6

    def __init__(self, image_bytes):
        self.image_bytes = image_bytes
        self._sizes = self._SMALL
        if image_bytes is not None:
            pixels = [image_bytes * share / self._PHOTO_BYTES_A_PIXEL for share in self._PHOTO_SHARES]
            self._sizes = [(round((n * 4 / 3) ** 0.5), round((n * 3 / 4) ** 0.5)) for n in pixels]
        self._padding = np.random.RandomState(0).bytes(0xFFFF)
        self._grain = functools.cache(self._grain)
        self._jpeg = functools.cache(self._jpeg)

    def content(self, name, label):
        """The bytes of the file ``name`` of class ``label``."""
        if name == PNG_IMAGE:
            return self._png(name, label)
        draw = (_hash(name) >> 2) % 1000  # 20 of 1,000 are grey, and another 3 are turned
        mode = "CMYK" if name in CMYK_IMAGES else "L" if draw < 20 else "RGB"
        turn = {20: 6, 21: 8, 22: 3}.get(draw)
        head = [b"\xff\xd8", _segment(0xFE, name.encode())]
        if turn is not None:
            exif = Image.Exif()
            exif[ExifTags.Base.Orientation] = turn
            head.append(_segment(0xE1, exif.tobytes()))
        if self.image_bytes is None:
            variant = _hash(name) % len(self._sizes) if mode == "RGB" else 0
            return b"".join((*head, self._jpeg(label, variant, mode)))

        room = _varied(name, self.image_bytes) - sum(map(len, head))
        variants = range(len(self._sizes)) if mode == "RGB" else (0,)
        jpegs = [self._jpeg(label, variant, mode) for variant in variants]
        jpeg = max((jpeg for jpeg in jpegs if len(jpeg) <= room), key=len, default=jpegs[0])
        return b"".join((*head, *self._comments(room - len(jpeg)), jpeg))

    def _comments(self, room):
        """Comment segments of random bytes that fill the room; random, so that they do not compress."""
        while room >= 4:
            comment = _segment(0xFE, self._padding[: min(room, 0xFFFF) - 4])
            room -= len(comment)
            yield comment

    def _png(self, name, label):
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", name)
        file = io.BytesIO()
        self._picture(label, 0).save(file, "PNG", pnginfo=text)
        return file.getvalue()

    def _jpeg(self, label, variant, mode):
        """A JPEG without its first two bytes, the start-of-image marker."""
        file = io.BytesIO()
        picture = self._picture(label, variant).convert(mode)
        if self.image_bytes is None:
            picture.save(file, "JPEG", quality=80, optimize=True)
        else:
            picture.save(file, "JPEG", quality=90)
        return file.getvalue()[2:]

    def _picture(self, label, variant):
        picture = _landscape(label, variant)
        if self.image_bytes is None:
            return picture
        large = picture.resize(self._sizes[variant], Image.Resampling.BICUBIC)
        return ImageChops.add(large, self._grain(variant), offset=-128)

    def _grain(self, variant):
        """Grey noise around 128; without it, a picture of this size would be a small file."""
        width, height = self._sizes[variant]
        noise = np.random.RandomState(variant).normal(128, 20, (height, width)).clip(0, 255)
        return Image.fromarray(noise.astype(np.uint8)).convert("RGB")


def _segment(marker, content):
    return b"\xff%c%b%b" % (marker, (len(content) + 2).to_bytes(2, "big"), content)


# Signed distances from the edge of a shape of size 1, negative inside.
_SHAPES = (
    lambda x, y: np.hypot(x, y) - 1,
    lambda x, y: abs(np.hypot(x, y) - 0.85) - 0.22,
    lambda x, y: abs(x) + abs(y) - 1.15,
    lambda x, y: np.hypot(x, y) - 0.85 - 0.2 * np.cos(5 * np.arctan2(x, -y)),
    lambda x, y: np.maximum(0.87 * abs(x) - 0.5 * y, y) - 0.6,
    lambda x, y: np.hypot(np.maximum(abs(x) - 0.55, 0), np.maximum(abs(y) - 0.55, 0)) - 0.3,
    lambda x, y: np.maximum(np.hypot(x, y) - 1, 0.85 - np.hypot(x - 0.5, y + 0.25)),
)


def _landscape(label, variant):
    """A 64 x 48 picture: the class gives colours and shape, the variant the place of the shape."""
    random = np.random.RandomState([label, variant])
    hue = label * 0.618034 % 1  # golden ratio: classes next to each other differ in colour
    y, x = (axis / 24 for axis in np.ogrid[-23.5:24, -31.5:32])

    slope = 0.45 * (label % 5 - 2)
    down = np.clip(0.5 + 0.36 * (y * np.cos(slope) - x * np.sin(slope)), 0, 1)[..., None]
    sky = _colour(hue, 0.74, 0.16) * (1 - down) + _colour(hue + 0.14, 0.46, 0.22) * down

    size = random.uniform(0.45, 0.62)
    left, top = random.uniform(-0.5, 0.5), random.uniform(-0.25, 0.1)
    distance = size * _SHAPES[label % len(_SHAPES)]((x - left) / size, (y - top) / size)[..., None]
    glow = 0.35 * np.exp(-3 * distance.clip(0))
    inside = np.clip(0.5 - 24 * distance, 0, 1)
    picture = sky + (_colour(hue + 0.5, 0.88, 0.11) - sky) * np.maximum(inside, glow)

    ground = np.clip(0.5 + 24 * (y - 0.62 - 0.16 * np.sin(1.7 * x + label + 2 * variant)), 0, 1)[..., None]
    picture += (_colour(hue + 0.2, 0.3, 0.16) - picture) * 0.9 * ground
    return Image.fromarray((255 * picture.clip(0, 1)).astype(np.uint8))


def _colour(hue, lightness, strength):
    return lightness + strength * np.cos(2 * np.pi * (hue + np.arange(3) / 3))
