"""Facts that image-net.org publishes about ILSVRC 2012: names, sizes, numbers, and how to get the files."""

import re

TRAIN_ARCHIVE = "ILSVRC2012_img_train.tar"
VALIDATION_ARCHIVE = "ILSVRC2012_img_val.tar"
TEST_ARCHIVES = "ILSVRC2012_img_test.tar", "ILSVRC2012_img_test_v10102019.tar"
OFFICIAL_SIZES = {TRAIN_ARCHIVE: 147_897_477_120, VALIDATION_ARCHIVE: 6_744_924_160}  # bytes
TEST_IMAGES = 100_000
MAX_IMAGE = 1 << 28  # bytes; the largest image has 16 MB

CLASS_TAR = re.compile(rb"n\d{8}\.tar")
TRAIN_NAME = re.compile(rb"n\d{8}_\d+\.JPEG")
VALIDATION_NAME = re.compile(rb"ILSVRC2012_val_\d{8}\.JPEG")
TEST_NAME = re.compile(rb"ILSVRC2012_test_\d{8}\.JPEG")
WNID = slice(0, 9)  # in the names of training images and of class tars
# The name of each archive's first member.
FIRST_MEMBERS = {TRAIN_ARCHIVE: CLASS_TAR, VALIDATION_ARCHIVE: VALIDATION_NAME}
FIRST_MEMBERS |= dict.fromkeys(TEST_ARCHIVES, TEST_NAME)

DOWNLOAD_PAGE = "https://image-net.org/download-images.php"
DOWNLOAD_SIZES = {TRAIN_ARCHIVE: "148 GB", VALIDATION_ARCHIVE: "6.7 GB"}
SUPPORTED_LAYOUTS = f"""\
data_dir may hold the official archives ({TRAIN_ARCHIVE}, {VALIDATION_ARCHIVE}), class tars (train/n01440764.tar), \
extracted images (train/n01440764/*.JPEG, val/*.JPEG or val/<wnid>/*.JPEG), Kaggle's tree (ILSVRC/Data/CLS-LOC), \
imagenet-object-localization-challenge.zip or imagenet_object_localization_patched2019.tar.gz (or .tar), or files of \
the Hugging Face Hub (Parquet, .tar.gz, WebDataset) or of TensorFlow Datasets (TFRecords)."""


class ArchiveError(ValueError):
    """An archive is not as expected. The message says which one, what was found and what to do."""


class ChangedFile(ArchiveError):
    """A file is not the one that was indexed."""


def download_advice(archives: list[str], folder: str = "") -> str:
    """How to get official archives, into ``folder`` if there is one."""
    sizes = [f"{name} ({DOWNLOAD_SIZES[name]})" for name in archives if name in DOWNLOAD_SIZES]
    if not sizes:
        use = "The test images are only useful with the evaluation server"
        return f"{use}: download {TEST_ARCHIVES[1]} (13 GB) from {DOWNLOAD_PAGE}."
    where = f"into {folder}, and unpack nothing." if folder else "into one folder, unpack nothing, and pass it."
    return (
        f"ImageNet cannot be downloaded by a program: register at {DOWNLOAD_PAGE}, accept the terms, download "
        f"{' and '.join(sizes)} of ILSVRC2012 {where}"
    )
