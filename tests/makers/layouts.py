"""The layouts in which people have ImageNet, made of any images, in well under a second per 10,000.

Every function takes ``images``, a ``dict`` of file name -> bytes, training, validation and test images alike, and a
target folder, the ``data_dir`` that the layout makes. Images keep the order of ``images`` within their class or folder.
"""

import functools
import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import PIL.Image

from imagenet_reader.facts import TEST_ARCHIVES, TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_reader.lists import read_wnids
from imagenet_subsets_tools.standins.images import jpeg_segment
from imagenet_subsets_tools.standins.layouts import (
    DATA,
    PREFIXES,
    by_class,
    kaggle_members,
    label_of,
    split_of,
    write_hub_parquet,
    write_tar,
    write_tfds,
    write_webdataset,
)
from imagenet_subsets_tools.standins.layouts import TAR_GZ as KAGGLE_TAR_GZ
from imagenet_subsets_tools.standins.layouts import ZIP as KAGGLE_ZIP
from imagenet_subsets_tools.standins.layouts import write_archives as official_tars
from imagenet_subsets_tools.standins.layouts import write_hub_folders as hub_folders
from imagenet_subsets_tools.standins.layouts import write_hub_tar_gz as hub_tar_gz
from imagenet_subsets_tools.standins.layouts import write_kaggle_folders as kaggle_tree

__all__ = ["hub_folders", "hub_tar_gz", "kaggle_tree", "label_of", "official_tars"]

BLOCK = 512
WNIDS = read_wnids()
VALIDATION, TEST = PREFIXES
SHARDS = {"train": 3, "validation": 2, "test": 1}


@functools.cache
def train_images(folder):
    """The images of a training stand-in, ``dict``, sorted as in the archive; not to be modified."""
    content = memoryview((folder / TRAIN_ARCHIVE).read_bytes())
    return {name: bytes(image) for _, tar in _members(content) for name, image in _members(tar)}


@functools.cache
def validation_images(folder):
    """The images of a validation stand-in, ``dict``, sorted as in the archive; not to be modified."""
    content = memoryview((folder / VALIDATION_ARCHIVE).read_bytes())
    return {name: bytes(image) for name, image in _members(content)}


def _members(content):
    at = 0
    while content[at : at + 1] != b"\0":
        size = int(bytes(content[at + 124 : at + 135]), 8)
        yield bytes(content[at : at + 100]).rstrip(b"\0").decode(), content[at + BLOCK : at + BLOCK + size]
        at += BLOCK + size + -size % BLOCK


def unlabelled_images(count=100_000):
    """The first ``count`` images of the test set: grey 8 x 8 JPEGs, each with its name in a comment."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.full((8, 8), 128, np.uint8)).save(file, "JPEG")
    jpeg = file.getvalue()
    names = (f"{TEST}{number:08d}.JPEG" for number in range(1, count + 1))
    return {name: b"".join((jpeg[:2], jpeg_segment(0xFE, name.encode()), jpeg[2:])) for name in names}


def marked(name, content, mark):
    """The image at the same size, with ``mark`` instead of the name in its comment."""
    changed = content.replace(name.encode(), mark.encode().ljust(len(name), b"."))
    assert changed != content and len(changed) == len(content)
    return changed


def of_split(images, split):
    """The images of a split, ``dict``."""
    return {name: content for name, content in images.items() if split_of(name) == split}


hub_parquet = functools.partial(write_hub_parquet, shards=SHARDS)
webdataset = functools.partial(write_webdataset, shards=SHARDS)
tfds = functools.partial(write_tfds, shards=SHARDS)


def hub_cache(images, target):
    """The same as ``hub_parquet``, as a snapshot in the Hub's cache, with links to ``blobs/``; returns its folder."""
    snapshot, blobs = target / "snapshots" / "0123abc", target / "blobs"
    hub_parquet(images, snapshot)
    blobs.mkdir()
    for file in sorted((snapshot / "data").iterdir()):
        blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
        file.rename(blob)
        file.symlink_to(f"../../../blobs/{blob.name}")
    return snapshot


def patched_test_tar(images, target):
    """The test archive of 2019, whose images are in a folder."""
    if test := of_split(images, "test"):
        target.mkdir(parents=True, exist_ok=True)
        write_tar(target / TEST_ARCHIVES[1], ((f"test/{name}", content) for name, content in test.items()))


def class_tars(images, target, folder="train"):
    """``target/train/n01440764.tar`` and so on, as the official training archive unpacks."""
    (target / folder).mkdir(parents=True, exist_ok=True)
    for wnid, names in by_class(images).items():
        write_tar(target / folder / f"{wnid}.tar", ((name, images[name]) for name in names))


def extracted(images, target, by_class=False, train="train/{wnid}"):
    """``target/train/<wnid>/*.JPEG``, ``target/val/*.JPEG`` (by class: ``val/<wnid>/*.JPEG``), ``target/test/*.JPEG``.

    ``train`` is the folder of a class, for layouts that are almost right.
    """
    folders = {"train": train, "validation": "val/{wnid}" if by_class else "val", "test": "test"}
    for name, content in images.items():
        path = target / folders[split_of(name)].format(wnid=WNIDS[label_of(name)]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def kaggle_zip(images, target, deflated=False, streamed=False, start=0, more=()):
    """``target/imagenet-object-localization-challenge.zip``.

    Args:
        deflated: its members are compressed; else stored, with headers of other lengths than the directory tells.
        streamed: sizes and checksums follow the members, as programs write that cannot seek.
        start: bytes of a hole that the first member comes after: true positions are beyond 4 GiB.
        more: other members, at the end, ``dict`` of path beside ``train/`` -> bytes; perhaps of images once more.
    """
    target.mkdir(parents=True, exist_ok=True)
    kind = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with open(target / KAGGLE_ZIP, "wb") as file:
        file.seek(start)
        with zipfile.ZipFile(_Unseekable(file) if streamed else file, "w", kind, compresslevel=1) as archive:
            for name, content in _kaggle_members(images, more):
                if deflated or streamed:
                    archive.writestr(name, content)
                else:
                    with archive.open(name, "w", force_zip64=True) as member:
                        member.write(content)


class _Unseekable:
    def __init__(self, file):
        self.write, self.flush = file.write, file.flush


def kaggle_tar_gz(images, target, more=()):
    """``target/imagenet_object_localization_patched2019.tar.gz``; ``more`` as for ``kaggle_zip``."""
    target.mkdir(parents=True, exist_ok=True)
    write_tar(target / KAGGLE_TAR_GZ, _kaggle_members(images, more))


def kaggle_tar(images, target):
    """``target/imagenet_object_localization_patched2019.tar``: the ``tar.gz``, gunzipped."""
    target.mkdir(parents=True, exist_ok=True)
    write_tar(target / KAGGLE_TAR_GZ.removesuffix(".gz"), kaggle_members(images))


def _kaggle_members(images, more):
    return [*kaggle_members(images), *((f"{DATA}/{path}", content) for path, content in dict(more).items())]


def zip_data(path, name):
    """The range of a member's data in a zip, ``(start, size in bytes)``, found by CPython's zipfile."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        lengths = file.read(4)
    start = info.header_offset + 30 + sum(int.from_bytes(lengths[k : k + 2], "little") for k in (0, 2))
    return start, info.compress_size


def flip_byte(path, position):
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x55]))


def truncate(path, part):
    """Truncate a file to a fraction ``part`` of its size."""
    os.truncate(path, int(Path(path).stat().st_size * part))
