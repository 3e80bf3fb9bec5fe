"""Damaged layouts, and folders that are almost a layout, give a short error that says where and why."""

import gzip
import os
import random
import re
import zipfile

import pytest
from helpers.layout_rows import LAYOUTS, TENCH, contents, message_of, message_of_reading, stream
from makers.images import numbered_jpeg
from makers.layouts import (
    DATA,
    KAGGLE_TAR_GZ,
    KAGGLE_ZIP,
    VALIDATION,
    WNIDS,
    extracted,
    flip_byte,
    kaggle_tar_gz,
    kaggle_tree,
    kaggle_zip,
    label_of,
    official_tars,
    truncate,
    zip_data,
)

from imagenet_reader.facts import TRAIN_ARCHIVE
from imagenet_subsets import ArchiveError

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:.*read only from beginning to end", "ignore:.*read once"),
]

TRAIN = [f"{wnid}_{number}.JPEG" for wnid in WNIDS[:8] for number in range(1, 4)]
IMAGES = {name: numbered_jpeg(k) for k, name in enumerate(TRAIN)}
IMAGES |= {f"{VALIDATION}{k:08d}.JPEG": numbered_jpeg(100 + k) for k in range(1, 31)}
LISTS = {"train_list": TRAIN, "validation_list": [name for name in IMAGES if name.startswith(VALIDATION)]}
FIRST = LISTS["validation_list"][0]


def rows_of(data_dir, **options):
    """{file name: bytes} of all splits."""
    return contents(stream(data_dir, image_bytes="archive", **(LISTS | options)))


def error_of(data_dir, **options):
    """The error of making a dataset."""
    return message_of(data_dir, "custom", kind=(ArchiveError, FileNotFoundError), **(LISTS | options))


@pytest.mark.parametrize("make", [official_tars, extracted, kaggle_tree])
def test_folder_one_level_too_high(make, tmp_path):
    make(IMAGES, tmp_path / "data" / "x")
    message = error_of(tmp_path / "data", splits=["train"])
    assert re.search(rf"data_dir='{re.escape(str(tmp_path / 'data' / 'x'))}/?'", message)


@pytest.mark.parametrize("below", ["train", "val", f"train/{TENCH}"])
def test_folder_of_only_some_of_the_images(below, tmp_path):
    extracted(IMAGES, tmp_path)
    assert re.search(rf"data_dir='{re.escape(str(tmp_path))}(/train)?'", error_of(tmp_path / below))


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("train/train/{wnid}", "train/train|data_dir='.*/train/?'"),
        ("train/{wnid}/{wnid}", r"train/(n\d{8}|<wnid>)/\1"),
    ],
)
def test_images_one_level_too_deep(form, pattern, tmp_path):
    extracted(IMAGES, tmp_path / "data", train=form)
    assert re.search(pattern, error_of(tmp_path / "data", splits=["train"]))


@pytest.mark.filterwarnings("ignore:.*left out")
def test_images_that_are_not_regular_files(tmp_path):
    extracted(IMAGES, tmp_path, by_class=True)
    path = tmp_path / "val" / WNIDS[label_of(FIRST)] / FIRST
    faults = {
        ":": path.touch,
        ", a broken link to /nowhere/else:": lambda: path.symlink_to("/nowhere/else"),
    }
    for words, make in faults.items():
        path.unlink()
        make()
        assert f"1 of them are empty files, broken links or no files, such as {path}{words}" in error_of(tmp_path)
        assert rows_of(tmp_path, on_missing="skip") == {name: IMAGES[name] for name in IMAGES if name != FIRST}


def test_nothing_is_found(tmp_path):
    (tmp_path / "pictures").mkdir()
    for number in range(100):
        (tmp_path / "pictures" / f"{number}{'x' * 200}").touch()
    for folder, found in ((tmp_path, "pictures"), (tmp_path / "pictures", "xxx")):
        message = error_of(folder)
        known = [TRAIN_ARCHIVE, "n01440764.tar", "train/", KAGGLE_ZIP, KAGGLE_TAR_GZ, "Parquet", "WebDataset"]
        assert [part for part in [str(folder), found, *known] if part not in message] == []
    assert "there is no such folder" in error_of(tmp_path / "nowhere")


SHARDED = ["hub parquet", "hub tar.gz", "webdataset", "tfds"]


def train_files(folder):
    """The files that have training images."""
    kinds = (".parquet", ".gz", ".tar", ".zip")
    found = (path for path in folder.rglob("*") if path.suffix in kinds or "tfrecord-" in path.name)
    return sorted(path for path in found if "val" not in path.name and "test" not in path.name)


def duplicate(one, other):
    other.write_bytes(one.read_bytes())


@pytest.mark.parametrize("layout", SHARDED)
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda one, other: other.unlink(), r"{other.name}.*Download"),
        (lambda one, other: truncate(other, 0.6), "{other}"),
        (duplicate, "{one}.*{other}|{other}.*{one}"),
    ],
    ids=["absent", "truncated", "twice"],
)
def test_a_shard_that_is_wrong_is_named(layout, damage, words, tmp_path):
    LAYOUTS[layout](IMAGES, tmp_path)
    one, other = train_files(tmp_path)[:2]
    damage(one, other)
    if damage is duplicate and layout == "hub tar.gz":
        pytest.skip("as in a tar, the last one counts")
    message = message_of_reading(tmp_path, **LISTS)
    assert re.search(words.format(one=one, other=other), message)


@pytest.mark.parametrize("layout", ["archives", "class tars", "kaggle zip", "kaggle tar.gz", *SHARDED])
def test_a_file_without_images_is_said_to_be_what_it_is(layout, tmp_path):
    LAYOUTS[layout](IMAGES, tmp_path)
    path = train_files(tmp_path)[-1]
    for content, what in {
        b"version https://git-lfs.github.com/spec/v1\n": "a Git LFS pointer: run git lfs pull",
        b"<html>log in</html>" * 100: "a web page",
        b"Access denied. " * 40: "a text",
        bytes(10_240): "filled with zeros",
        b"": "empty",
    }.items():
        path.write_bytes(content)
        message = message_of_reading(tmp_path, **LISTS)
        assert f"{path} is {what}" in message


def test_a_damaged_image_file(tmp_path):
    extracted(IMAGES, tmp_path / "data")
    path = tmp_path / "data" / "train" / TENCH / TRAIN[0]
    truncate(path, 0.5)
    assert f"{path} is damaged" in message_of_reading(tmp_path / "data", cache_dir=tmp_path / "cache", **LISTS)


IN_JFIF = 14  # of a JPEG, which decodes whatever this byte is


@pytest.mark.parametrize("form", [{}, {"deflated": True}, {"streamed": True}], ids=str)
def test_a_damaged_zip(form, tmp_path):
    kaggle_zip(IMAGES, tmp_path / "data", **form)
    path = tmp_path / "data" / KAGGLE_ZIP
    start, size = zip_data(path, f"{DATA}/train/{TENCH}/{TRAIN[0]}")
    flip_byte(path, start + (size // 2 if "deflated" in form else IN_JFIF))
    message = message_of_reading(tmp_path / "data", cache_dir=tmp_path / "cache", **LISTS)
    assert str(path) in message and TRAIN[0] in message
    truncate(path, 0.7)
    assert str(path) in error_of(tmp_path / "data")


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_damaged_directory_of_a_zip_never_gives_wrong_images(tmp_path):
    """Any damage to the last bytes, where the directory is: right images, or an error."""
    kaggle_zip(IMAGES, tmp_path)
    valid, numbers, refused = (tmp_path / KAGGLE_ZIP).read_bytes(), random.Random(0), 0
    for _ in range(60):
        content = bytearray(valid)
        for _ in range(numbers.randint(1, 3)):
            at = len(content) - numbers.randint(1, numbers.choice([22, 98, 400, 4000]))
            if numbers.randrange(2):
                content[at] = numbers.choice([content[at] ^ 1 << numbers.randrange(8), 0, 1, 0xFF])
            else:
                content[at : at + numbers.randrange(30)] = numbers.randbytes(numbers.randrange(9))
        (tmp_path / KAGGLE_ZIP).write_bytes(content)
        try:
            rows = rows_of(tmp_path, splits=["validation"], on_missing="skip")
        except ArchiveError:
            refused += 1
        else:
            assert rows.items() <= IMAGES.items()
    assert 10 < refused < 60


@pytest.mark.parametrize("damage", ["cut off", "another byte"])
def test_a_damaged_tar_gz(damage, tmp_path):
    kaggle_tar_gz(IMAGES, tmp_path)
    path = tmp_path / KAGGLE_TAR_GZ
    if damage == "cut off":
        truncate(path, 0.6)
    else:
        content = gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0)
        path.write_bytes(content)
        flip_byte(path, content.index(IMAGES[TRAIN[0]]) + IN_JFIF)
    for _ in range(2):  # images extracted before the damage was found are not used
        assert str(path) in error_of(tmp_path)
    kaggle_tar_gz(IMAGES, tmp_path)
    assert rows_of(tmp_path) == IMAGES


@pytest.mark.parametrize("on_missing", ["error", "skip"])
def test_short_read_of_an_image_file(on_missing, tmp_path, monkeypatch):
    extracted(IMAGES, tmp_path / "data")
    options = {"on_missing": on_missing, **LISTS}
    stream(tmp_path / "data", **options)  # at the first, datasets gives the script its own copy of the module os
    preadv, size = os.preadv, len(IMAGES[TRAIN[0]])
    status = os.stat(tmp_path / "data" / "train" / TENCH / TRAIN[0])

    def short(fd, buffers, position):  # as network storage may
        part = os.path.samestat(os.fstat(fd), status)
        return preadv(fd, [buffers[0][:-9]] if part else buffers, position)

    monkeypatch.setattr(os, "preadv", short)
    message = message_of_reading(tmp_path / "data", cache_dir=tmp_path / "cache", **options)
    assert TRAIN[0] in message and f"{size - 9:,} of its {size:,} bytes" in message


def test_zip_with_unsupported_compression(tmp_path):
    with zipfile.ZipFile(tmp_path / "imagenet-object-localization-challenge.zip", "w", zipfile.ZIP_BZIP2) as archive:
        for name, content in IMAGES.items():
            archive.writestr(f"ILSVRC/Data/CLS-LOC/train/{name[:9]}/{name}", content)
    assert "an unsupported method" in message_of(tmp_path, kind=ArchiveError, splits=["train"])
