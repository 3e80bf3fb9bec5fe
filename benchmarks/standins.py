"""Stand-ins as large as ImageNet: images of photo size, and an archive with as many members, most of them holes."""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageChops

from imagenet_reader.facts import TRAIN_ARCHIVE
from imagenet_reader.lists import TRAIN_IMAGES, read_split_list, read_wnids
from imagenet_subsets_tools.standins import make_standins, training_names, unlisted_names
from imagenet_subsets_tools.standins.images import DrawnImages, jpeg_segment, name_hash
from imagenet_subsets_tools.standins.layouts import BLOCK, RECORD, header, write_archives

__all__ = ["PhotoImages", "make_extracted", "make_flat", "make_full", "make_many", "make_photos", "varied_size"]

PHOTO_BYTES = 110_000  # average size of an image in the official archive
BYTES_PER_PIXEL = 0.38  # at this quality and grain
SHARES = 0.35, 0.8  # sizes of the pictures of a class, relative to the average file


def varied_size(name: str, mean: int) -> int:
    """The size of an image in bytes, 0.4 to 1.9 times the mean; as with photos, few are very large."""
    return int(mean * (0.4 + 1.5 * (name_hash(name) / 2**32) ** 1.5))


class PhotoImages(DrawnImages):
    """Drawn images of about ``image_bytes`` bytes, with grain, and as many pixels as photos of that size have."""

    def __init__(self, names: Iterable[str], image_bytes: int) -> None:
        super().__init__(names)
        self.image_bytes = image_bytes
        self._padding = np.random.RandomState(0).bytes(0xFFFF)
        self._grains = [_grain(variant, image_bytes * share / BYTES_PER_PIXEL) for variant, share in enumerate(SHARES)]

    def __getitem__(self, name: str) -> bytes:
        """The image, with comments of random bytes up to its size."""
        content = super().__getitem__(name)
        room, comments = varied_size(name, self.image_bytes) - len(content), []
        while room >= 4:
            comments.append(jpeg_segment(0xFE, self._padding[: min(room, 0xFFFF) - 4]))
            room -= len(comments[-1])
        return b"".join((content[:2], *comments, content[2:])) if content[:2] == b"\xff\xd8" else content

    def variant(self, name: str) -> int:
        """Large images have more pixels."""
        return int(varied_size(name, self.image_bytes) > self.image_bytes)

    def picture(self, label: int, variant: int) -> Image.Image:
        """The drawn picture, enlarged, with grain: without it, pictures of this size would be small files."""
        grain = self._grains[variant]
        large = super().picture(label, variant).resize(grain.size, Image.Resampling.BICUBIC)
        return ImageChops.add(large, grain, offset=-128)


def _grain(seed: int, pixels: float) -> Image.Image:
    """Grey noise around 128, of about so many pixels."""
    height, width = round((pixels * 3 / 4) ** 0.5), round((pixels * 4 / 3) ** 0.5)
    noise = np.random.RandomState(seed).normal(128, 20, (height, width)).clip(0, 255)
    return Image.fromarray(noise.astype(np.uint8)).convert("RGB")


def make_photos(folder: Path, image_bytes: int) -> None:
    """The archives with the images of 1pct, of photo size."""
    names = [*itertools.chain(*training_names(["1pct"])), *(name for name, _ in read_split_list("validation"))]
    write_archives(PhotoImages(names, image_bytes), folder)


def make_many(folder: Path) -> None:
    """The archives with the images of 1pct and 10pct, small ones, for costs that grow with their number."""
    make_standins(folder, ["1pct", "10pct"])


def make_extracted(folder: Path) -> None:
    """Extracted images of 1pct."""
    make_standins(folder, ["1pct"], "folders")


def make_flat(folder: Path, files: int) -> None:
    """``few``, with the archives of 1pct; ``beside``, with them among other files; ``only``, with other files."""
    make_standins(folder / "few", ["1pct"])
    for name in ("beside", "only"):
        (folder / name).mkdir()
        for number in range(files):
            os.close(os.open(folder / name / f"photo_{number:06d}.JPEG", os.O_CREAT, 0o644))
    for archive in (folder / "few").iterdir():
        (folder / "beside" / archive.name).hardlink_to(archive)


def make_full(folder: Path) -> None:
    """A training archive of 1,281,167 members, of which those that 1pct and 10pct do not list are holes; 141 GB."""
    make_standins(folder, ["1pct"])
    images = PhotoImages([], PHOTO_BYTES)
    with open(folder / TRAIN_ARCHIVE, "wb", buffering=1 << 20) as file:
        for label, listed in enumerate(training_names(["1pct", "10pct"], unlisted=0)):
            count = TRAIN_IMAGES // 1000 + (label < TRAIN_IMAGES % 1000)
            holes = itertools.islice(unlisted_names(label), count - len(listed))
            drawn = set(listed)
            with _inner_tar(file, f"{read_wnids()[label]}.tar"):
                for name in sorted((*listed, *holes)):
                    content = images[name] if name in drawn else b""
                    size = len(content) or varied_size(name, PHOTO_BYTES)
                    file.write(header(name, size) + content)
                    file.seek(size - len(content) + -size % BLOCK, os.SEEK_CUR)
        _write_end(file, 0)


@contextlib.contextmanager
def _inner_tar(file: IO[bytes], name: str) -> Iterator[None]:
    """Context in which the members of a tar within a tar are written; its header is written at the end."""
    start = file.tell()
    file.write(bytes(BLOCK))
    yield
    _write_end(file, start + BLOCK)
    end = file.tell()
    file.seek(start)
    file.write(header(name, end - start - BLOCK))
    file.seek(end)


def _write_end(file: IO[bytes], start: int) -> None:
    """End the tar that begins at ``start``: two zero blocks, and zeros up to a full record."""
    length = file.tell() - start
    file.write(bytes(2 * BLOCK + -(length + 2 * BLOCK) % RECORD))
