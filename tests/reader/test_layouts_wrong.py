"""Damaged layouts, and folders that are almost a layout, give an error that says where and why."""

import gzip
import os
import re
import shutil
import warnings
import zipfile

import pytest
from helpers.layout_rows import (
    TENCH,
    contents,
    load,
    message_of,
    message_of_reading,
    stream,
)
from makers.layouts import (
    DATA,
    KAGGLE_TAR_GZ,
    KAGGLE_ZIP,
    VALIDATION,
    WNIDS,
    class_tars,
    extracted,
    flip_byte,
    kaggle_tar_gz,
    kaggle_tree,
    kaggle_zip,
    label_of,
    official_tars,
    set_encryption_flag,
    truncate,
    zip_data,
)

from imagenet_subsets import ArchiveError

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:.*can be read only from beginning to end"),
]

# ----------------------------------------------------------------------- what is almost a layout


@pytest.mark.parametrize("suffix", [".jpeg", ".JPG"])
def test_files_of_another_suffix(suffix, small_images, list_options, tmp_path):
    data_dir = tmp_path / "data"
    extracted(small_images, data_dir, suffix=suffix)
    for split in ("train", "validation"):
        message = message_of(data_dir, "custom", splits=[split], **list_options)
        assert re.search(rf"{re.escape(suffix)}\b", message)
        assert "rename" in message.lower() and ".JPEG" in message


@pytest.mark.parametrize("make", [extracted, class_tars, official_tars, kaggle_tree, kaggle_zip, kaggle_tar_gz])
def test_folder_one_level_too_high(make, small_images, tmp_path):
    make(small_images, tmp_path / "data" / "x")
    message = message_of(tmp_path / "data", splits=["train"])
    assert re.search(rf"data_dir='{re.escape(str(tmp_path / 'data' / 'x'))}/?'", message)


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("train/train/{wnid}", "train/train|data_dir='.*/train/?'"),
        ("train/{wnid}/{wnid}", r"train/(n\d{8}|<wnid>)/\1"),
        ("train/{wnid}/images", r"train/(n\d{8}|<wnid>)/images"),
    ],
)
def test_folder_one_level_too_deep(form, pattern, small_images, list_options, tmp_path):
    extracted(small_images, tmp_path / "data", train=form)
    message = message_of(tmp_path / "data", "custom", splits=["train"], **list_options)
    assert re.search(pattern, message)


def test_a_training_image_in_the_folder_of_a_wrong_class(small_images, list_options, tmp_path):
    extracted(small_images, tmp_path)
    name = next(name for name in small_images if name.startswith(WNIDS[150]))
    os.rename(tmp_path / "train" / WNIDS[150] / name, tmp_path / "train" / WNIDS[300] / name)
    message = message_of(tmp_path, "custom", kind=ArchiveError, **list_options)
    assert re.search(rf"{name} is in {WNIDS[300]}\b.* {WNIDS[150]}\b", message)


def test_a_file_in_place_of_the_folder_of_a_class(small_images, list_options, tmp_path, monkeypatch):
    extracted(small_images, tmp_path)
    shutil.rmtree(tmp_path / "train" / WNIDS[0])
    (tmp_path / "train" / WNIDS[0]).touch()
    assert re.search(rf"{WNIDS[0]}(?!_)", message_of(tmp_path, "custom", kind=ArchiveError, **list_options))
    assert re.search(rf"{WNIDS[0]}(?!_)", message_of(tmp_path, "full", kind=ArchiveError, splits=["train"]))
    with pytest.warns(UserWarning, match="left out"):
        rows = stream(tmp_path, on_missing="skip", image_bytes="archive", **list_options)
    assert contents(rows["train"]) | contents(rows["validation"]) == {
        name: content for name, content in small_images.items() if not name.startswith(WNIDS[0])
    }


@pytest.mark.parametrize("stray", [".DS_Store", "Thumbs.db", "._x"])
def test_a_class_folder_of_validation_with_a_stray_file_alone(stray, small_images, list_options, tmp_path):
    wanted = [name for name in small_images if VALIDATION in name and label_of(name)]
    extracted(
        {name: small_images[name] for name in wanted},
        tmp_path / "data",
        by_class=True,
        more={f"val/{TENCH}/{stray}": b"x"},
    )
    (tmp_path / "few.txt").write_text("\n".join(wanted))
    list_options["validation_list"] = str(tmp_path / "few.txt")
    rows = stream(tmp_path / "data", splits=["validation"], image_bytes="archive", **list_options)["validation"]
    assert contents(rows) == {name: small_images[name] for name in wanted}


def test_nothing_is_found(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "pictures").mkdir()
    for folder, found in ((tmp_path, ["notes.txt", "pictures"]), (tmp_path / "pictures", [])):
        message = message_of(folder, kind=FileNotFoundError)
        known = ["ILSVRC2012_img_train.tar", "n01440764.tar", "train/", KAGGLE_ZIP, KAGGLE_TAR_GZ]
        assert [part for part in [str(folder), *found, *known] if part not in message] == []


def test_only_files_of_the_requested_splits_must_exist(small_images, list_options, tmp_path):
    data_dir = tmp_path / "data"
    extracted({name: content for name, content in small_images.items() if VALIDATION not in name}, data_dir)
    assert list(stream(data_dir, splits=["train"], **list_options)) == ["train"]
    message = message_of(data_dir, "custom", **list_options)
    assert "ILSVRC2012_img_val.tar" in message and "splits=[" in message


# ---------------------------------------------------------------------------------------- damage


def test_empty_and_truncated_files(small_images, list_options, tmp_path):
    data_dir = tmp_path / "data"
    extracted(small_images, data_dir)
    options = {"train_list": list_options["train_list"], "splits": ["train"]}
    rows = [name for name in small_images if VALIDATION not in name]
    empty, half = rows[3], rows[-3]
    path = data_dir / "train" / half[:9] / half
    truncate(path, 0.5)
    message = message_of_reading(data_dir, cache_dir=tmp_path / "half", **options)
    assert half in message and str(path.parent) in message and "damaged" in message
    (data_dir / "train" / empty[:9] / empty).write_bytes(b"")
    message = message_of_reading(data_dir, cache_dir=tmp_path / "empty", **options)
    assert empty in message and "empty" in message
    with pytest.warns(UserWarning, match=f"left out: 2 of {len(rows)} in train"):
        kept = load(data_dir, cache_dir=tmp_path / "skip", on_missing="skip", **options)["train"]
    assert set(kept["file_name"][:]) == set(rows) - {empty, half}


@pytest.mark.parametrize("on_missing", ["error", "skip"])
def test_short_read_of_an_image_file(on_missing, small_images, list_options, tmp_path, monkeypatch):
    extracted(small_images, tmp_path / "data")
    options = {"train_list": list_options["train_list"], "splits": ["train"], "on_missing": on_missing}
    stream(tmp_path / "data", **options)  # at the first, datasets gives the script its own copy of the module os
    preadv, name = os.preadv, next(iter(small_images))
    status = os.stat(tmp_path / "data" / "train" / name[:9] / name)

    def short(fd, buffers, position):  # as network storage may
        part = os.path.samestat(os.fstat(fd), status)
        return preadv(fd, [buffers[0][:-9]] if part else buffers, position)

    monkeypatch.setattr(os, "preadv", short)
    message = message_of_reading(tmp_path / "data", cache_dir=tmp_path / "cache", **options)
    size = len(small_images[name])
    assert name in message and f"{size - 9:,} of its {size:,} bytes" in message


@pytest.mark.parametrize("form", ["bzip2", "lzma", "locked"])
def test_zip_with_unsupported_compression(form, small_images, list_options, tmp_path):
    method = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}.get(form, zipfile.ZIP_STORED)
    kaggle_zip(small_images, tmp_path, method=method)
    if form == "locked":
        name = next(iter(small_images))
        set_encryption_flag(tmp_path / KAGGLE_ZIP, f"{DATA}/train/{name[:9]}/{name}")
    for on_missing in ("error", "skip"):  # once, and not of each image
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            message = message_of(tmp_path, "custom", kind=ArchiveError, on_missing=on_missing, **list_options)
        assert str(tmp_path / KAGGLE_ZIP) in message and "encrypted" in message


@pytest.mark.parametrize("form", [{}, {"deflated": True}, {"streamed": True}], ids=str)
def test_a_damaged_zip(form, small_images, list_options, tmp_path):
    data_dir = tmp_path / "data"
    path = data_dir / KAGGLE_ZIP
    name = next(name for name in small_images if name.startswith(WNIDS[150]))
    kaggle_zip(small_images, data_dir, **form)
    start, size = zip_data(path, f"{DATA}/train/{name[:9]}/{name}")
    flip_byte(path, start + (size // 2 if "deflated" in form else 10))  # 10: in the comment, so that the JPEG decodes
    message = message_of_reading(data_dir, cache_dir=tmp_path / "cache", **list_options)
    assert str(path) in message and name in message

    kaggle_zip(small_images, data_dir, **form)
    assert contents(stream(data_dir, **list_options)["train"])
    truncate(path, 0.7)
    assert str(path) in message_of(data_dir, "custom", kind=ArchiveError, **list_options)


@pytest.mark.parametrize("damage", ["cut off", "not gzip", "another byte"])
def test_a_damaged_tar_gz(damage, small_images, list_options, tmp_path):
    data_dir = tmp_path / "data"
    path = data_dir / KAGGLE_TAR_GZ
    kaggle_tar_gz(small_images, data_dir)
    if damage == "cut off":
        truncate(path, 0.6)
    elif damage == "another byte":  # in the comment of an image, so that the JPEG decodes
        content = gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0)
        path.write_bytes(content)
        flip_byte(path, content.rindex(next(iter(small_images)).encode()))
    else:
        path.write_bytes(b"<!DOCTYPE html><html><title>Log in</title>" + b" " * 1000)
    for _ in range(2):  # images extracted before the damage was found are not used
        assert str(path) in message_of(data_dir, "custom", kind=ArchiveError, **list_options)
    kaggle_tar_gz(small_images, data_dir)
    rows = stream(data_dir, image_bytes="archive", **list_options)
    assert contents(rows["train"]) | contents(rows["validation"]) == small_images
