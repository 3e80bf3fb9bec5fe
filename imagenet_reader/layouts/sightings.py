"""Files of ImageNet that cannot be read unchanged: what they are, and what to do with them."""

import os
import re

from imagenet_reader.layouts.base import ImageSet
from imagenet_reader.layouts.folders import entries_of
from imagenet_reader.layouts.messages import download_advice

SHOWN = 3
OTHER_DATA = "holds other data than the images of ILSVRC 2012"
TAR_GZ = "imagenet_object_localization_patched2019.tar.gz"
ZIP = "imagenet-object-localization-challenge.zip"
# What follows the name of an archive without ".tar" -> what such a file is; {archive} is the name.
OF_ARCHIVE = {
    r"\.(?:tar\.(?:gz|bz2|xz|zst)|tgz)": "is the archive, compressed: decompress it to {archive}",
    r"\.tar\.\d{1,2}": "is a repeated download: if it is complete, rename it to {archive}",
    r"\.tar\.?(?:part|partial|crdownload|download|aria2|filepart|tmp|!ut)":
        "is an unfinished download: finish it, as {archive}",
    r"\.tar\.?(?:part[-_.]?\w+|[a-z]{2}|\d{3,})": "is a piece of the archive: join all pieces (cat PIECES > {archive})",
}  # fmt: skip
OF_ANY_SET = {
    r"ILSVRC201\d_CLS-LOC\.(?:tar|tar\.gz|tgz)":
        "holds these images as files: unpack it, and pass the folder .../Data/CLS-LOC that it makes as data_dir",
    r"ILSVRC201\d_(?:DET|VID|LOC|place|Scene).*": OTHER_DATA,
    r".*\.zip": f"is a zip: if it is Kaggle's, of ILSVRC/Data/CLS-LOC, rename it to {ZIP}; unpack any other",
    r"(?!ILSVRC201|(?:train|val|test)_images).*\.(?:tar\.gz|tgz)":
        f"is a .tar.gz: if it is Kaggle's, of ILSVRC/Data/CLS-LOC, rename it to {TAR_GZ}; unpack any other",
}  # fmt: skip


def describe_sights(images: ImageSet, data_dir: str) -> str:
    """Name the files of a folder that may hold a set of images, with what to do; empty if there are none."""
    sights = [sight for name in sorted(entries_of(data_dir)) if (sight := _sight(images, data_dir, name))]
    if not sights:
        return ""
    more = f"{len(sights) - SHOWN:,} more files look like these. " if len(sights) > SHOWN else ""
    advice = download_advice(images.archives, data_dir) if all(sight.endswith(OTHER_DATA) for sight in sights) else ""
    return f"But {'; '.join(sights[:SHOWN])}. {more}{advice}".rstrip()


def _sight(images: ImageSet, data_dir: str, name: str) -> str:
    path = os.path.join(data_dir, name)
    if name in images.archives and not os.path.exists(path):
        return (
            f"{path} is a broken link, to {os.readlink(path)}: put back what it leads to, such as a disk that is not "
            "mounted, or replace the link"
        )
    if name in images.archives:
        return f"{path} is a folder: put the archive there, as it was downloaded"
    for archive in images.archives:
        for pattern, what in OF_ARCHIVE.items():
            if re.fullmatch(re.escape(archive.removesuffix(".tar")) + pattern, name, re.IGNORECASE):
                return f"{path} {what.format(archive=archive)}"
    what = next((what for pattern, what in OF_ANY_SET.items() if re.fullmatch(pattern, name, re.IGNORECASE)), "")
    return what and f"{path} {what}"
