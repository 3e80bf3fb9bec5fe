"""Parts of messages about files that are absent or something else."""

import os
from collections.abc import Sequence

from imagenet_reader.official import (
    CLASS_TAR,
    DOWNLOAD_PAGE,
    DOWNLOAD_SIZES,
    FORMS,
    TEST_DOWNLOAD,
    TEST_NAME,
    TRAIN_NAME,
    VALIDATION_NAME,
)
from imagenet_reader.sources.folders import names_in

NOT_TAR = {  # by the first bytes
    b"\x1f\x8b": "gzip data: rename it to .tar.gz, and unpack it with gunzip",
    b"BZh": "bzip2 data: rename it to .tar.bz2, and unpack it with bunzip2",
    b"\xfd7zXZ": "xz data: rename it to .tar.xz, and unpack it with unxz",
    b"PK\x03\x04": "a zip archive",
    b"<": "a web page, such as a log-in page saved under the archive's name: log in, and download it again",
}
TAR_DESCRIPTIONS = {  # by the name of the first member
    CLASS_TAR: "the training archive, a tar of 1,000 class tars",
    VALIDATION_NAME: "the validation archive, a flat tar of 50,000 images",
    TEST_NAME: "the test archive, a flat tar of 100,000 images",
    TRAIN_NAME: "a class tar, or the training images in one flat tar",
}
FILES = ".tar", ".gz", ".zip", ".parquet"
ENTRIES_SHOWN = 8
NAMES_SHOWN = 20
NAME_SHOWN = 80  # characters
PATH_SHOWN = 400  # characters


def listing(names: Sequence[str], most: int = NAMES_SHOWN, longest: int = NAME_SHOWN) -> str:
    """Names in words: up to 20 of them, shortened if they are long, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(name if len(name) <= longest else f"{name[:longest]}..." for name in names[:most]) + more


def download_advice(archives: Sequence[str], folder: str = "") -> str:
    """How to get official archives, for a folder that has other images already."""
    sizes = [f"{name} ({DOWNLOAD_SIZES[name]})" for name in archives if name in DOWNLOAD_SIZES]
    if not sizes:
        return TEST_DOWNLOAD
    where = f"into {folder}, and do not unpack it." if folder else "into one folder, do not unpack them, and pass it."
    return (
        f"ImageNet cannot be downloaded by a program: register at {DOWNLOAD_PAGE}, accept the terms, download "
        f"{' and '.join(sizes)} of ILSVRC2012 {where}"
    )


def describe_absent_remotely(path: str) -> str:
    """The message for an archive that a URL does not have, in any form."""
    folder, archive = os.path.split(path)
    if folder.endswith(FILES):
        return f"data_dir={folder!r} is a file: pass the URL of the folder that it is in."
    return (
        f"{folder} has no {archive} (found: {listing(names_in(folder), ENTRIES_SHOWN) or 'nothing that is listed'})"
        ". At a URL, expected the official archives, the class tars (train/n01440764.tar), or files of the Hugging "
        "Face Hub (Parquet, .tar.gz, WebDataset) or of TensorFlow Datasets (TFRecords); download other forms first. To "
        "build only the splits that do not need it, pass splits=[...]."
    )


def describe_absent(folder: str, what: str, hint: str, archives: Sequence[str]) -> str:
    """The message for images that a folder has in no known form.

    Args:
        folder: the folder.
        what: what to call the images.
        hint: where they are; empty if that is unknown.
        archives: the official archives to download then.
    """
    entries = listing(sorted(os.listdir(folder)), ENTRIES_SHOWN)
    found = f"{folder} has no {what} in a known form (it holds: {entries or 'nothing'})."
    if hint:
        return f"{found} {hint}"
    skipping = "To build only the splits that do not need them, pass splits=[...]."
    return f"{found} {FORMS} {download_advice(archives, folder)} {skipping}"
