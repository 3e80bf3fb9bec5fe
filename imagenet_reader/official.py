"""Facts that image-net.org publishes about ILSVRC 2012: names, sizes, numbers, and how to get the files."""

import re

TRAIN_ARCHIVE = "ILSVRC2012_img_train.tar"
VALIDATION_ARCHIVE = "ILSVRC2012_img_val.tar"
TEST_ARCHIVES = "ILSVRC2012_img_test.tar", "ILSVRC2012_img_test_v10102019.tar"
OFFICIAL_SIZES = {TRAIN_ARCHIVE: 147_897_477_120, VALIDATION_ARCHIVE: 6_744_924_160}  # bytes
TEST_IMAGES = 100_000

CLASS_TAR = re.compile(rb"n\d{8}\.tar")
TRAIN_NAME = re.compile(rb"n\d{8}_\d+\.JPEG")
VALIDATION_NAME = re.compile(rb"ILSVRC2012_val_\d{8}\.JPEG")
TEST_NAME = re.compile(rb"ILSVRC2012_test_\d{8}\.JPEG")
WNID = slice(0, 9)  # in the names of training images and of class tars
# The name of each archive's first member.
FIRST_MEMBERS = {TRAIN_ARCHIVE: CLASS_TAR, VALIDATION_ARCHIVE: VALIDATION_NAME} | dict.fromkeys(
    TEST_ARCHIVES, TEST_NAME
)

MANUAL_DOWNLOAD = f"""\
ImageNet cannot be downloaded by a program: register at https://image-net.org/download-images.php, accept the \
terms, download {TRAIN_ARCHIVE} (138 GB) and {VALIDATION_ARCHIVE} (6.3 GB) of ILSVRC2012 into one folder, do not \
unpack them, and pass that folder as data_dir=..."""
TEST_DOWNLOAD = f"""\
The test images are only useful with the evaluation server: download {TEST_ARCHIVES[1]} (13 GB) from \
https://image-net.org/download-images.php."""
OTHER_LAYOUTS = """\
Instead of an archive, data_dir may hold the class tars (train/n01440764.tar), the extracted images \
(train/n01440764/*.JPEG, val/*.JPEG or val/<wnid>/*.JPEG), Kaggle's tree (ILSVRC/Data/CLS-LOC), its \
imagenet-object-localization-challenge.zip or its imagenet_object_localization_patched2019.tar.gz (or .tar), or files \
of the Hugging Face Hub (Parquet, .tar.gz, WebDataset) or of TensorFlow Datasets (TFRecords)."""
