"""What is almost a layout, or damaged, gets an error that says where and why."""

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
    cut,
    extracted,
    flip,
    kaggle_tar_gz,
    kaggle_tree,
    kaggle_zip,
    label_of,
    lock,
    official_tars,
    zip_data,
)

from imagenet_subsets import ArchiveError

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore:.*can be read only from beginning to end"),
]

# ----------------------------------------------------------------------- what is almost a layout


@pytest.mark.parametrize("suffix", [".jpeg", ".JPG"])
def test_files_of_another_suffix(suffix, small, lists, tmp_path):
    data_dir = tmp_path / "data"
    extracted(small, data_dir, suffix=suffix)
    for split in ("train", "validation"):
        message = message_of(data_dir, "custom", splits=[split], **lists)
        assert re.search(rf"{re.escape(suffix)}\b", message)
        assert "rename" in message.lower() and ".JPEG" in message


@pytest.mark.parametrize("make", [extracted, class_tars, official_tars, kaggle_tree, kaggle_zip, kaggle_tar_gz])
def test_one_folder_too_high(make, small, tmp_path):
    make(small, tmp_path / "data" / "x")
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
def test_one_folder_too_many(form, pattern, small, lists, tmp_path):
    extracted(small, tmp_path / "data", train=form)
    message = message_of(tmp_path / "data", "custom", splits=["train"], **lists)
    assert re.search(pattern, message)


def test_a_training_image_in_the_folder_of_a_wrong_class(small, lists, tmp_path):
    extracted(small, tmp_path)
    name = next(name for name in small if name.startswith(WNIDS[150]))
    os.rename(tmp_path / "train" / WNIDS[150] / name, tmp_path / "train" / WNIDS[300] / name)
    message = message_of(tmp_path, "custom", kind=ArchiveError, **lists)
    assert re.search(rf"{name} is in {WNIDS[300]}\b.* {WNIDS[150]}\b", message)


def test_a_file_in_place_of_the_folder_of_a_class(small, lists, tmp_path, monkeypatch):
    extracted(small, tmp_path)
    shutil.rmtree(tmp_path / "train" / WNIDS[0])
    (tmp_path / "train" / WNIDS[0]).touch()
    assert re.search(rf"{WNIDS[0]}(?!_)", message_of(tmp_path, "custom", kind=ArchiveError, **lists))
    assert re.search(rf"{WNIDS[0]}(?!_)", message_of(tmp_path, "full", kind=ArchiveError, splits=["train"]))
    with pytest.warns(UserWarning, match="left out"):
        rows = stream(tmp_path, on_missing="skip", image_bytes="archive", **lists)
    assert contents(rows["train"]) | contents(rows["validation"]) == {
        name: content for name, content in small.items() if not name.startswith(WNIDS[0])
    }


@pytest.mark.parametrize("stray", [".DS_Store", "Thumbs.db", "._x"])
def test_a_class_folder_of_validation_with_a_stray_file_alone(stray, small, lists, tmp_path):
    wanted = [name for name in small if VALIDATION in name and label_of(name)]
    extracted(
        {name: small[name] for name in wanted}, tmp_path / "data", by_class=True, more={f"val/{TENCH}/{stray}": b"x"}
    )
    (tmp_path / "few.txt").write_text("\n".join(wanted))
    lists["validation_list"] = str(tmp_path / "few.txt")
    rows = stream(tmp_path / "data", splits=["validation"], image_bytes="archive", **lists)["validation"]
    assert contents(rows) == {name: small[name] for name in wanted}


def test_nothing_is_found(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "pictures").mkdir()
    for folder, found in ((tmp_path, ["notes.txt", "pictures"]), (tmp_path / "pictures", [])):
        message = message_of(folder, kind=FileNotFoundError)
        known = ["ILSVRC2012_img_train.tar", "n01440764.tar", "train/", KAGGLE_ZIP, KAGGLE_TAR_GZ]
        assert [part for part in [str(folder), *found, *known] if part not in message] == []


def test_only_what_the_splits_need_has_to_be_there(small, lists, tmp_path):
    data_dir = tmp_path / "data"
    extracted({name: content for name, content in small.items() if VALIDATION not in name}, data_dir)
    assert list(stream(data_dir, splits=["train"], **lists)) == ["train"]
    message = message_of(data_dir, "custom", **lists)
    assert "ILSVRC2012_img_val.tar" in message and "splits=[" in message


# ---------------------------------------------------------------------------------------- damage


def test_files_that_are_empty_or_cut_off(small, lists, tmp_path):
    data_dir = tmp_path / "data"
    extracted(small, data_dir)
    options = {"train_list": lists["train_list"], "splits": ["train"]}
    rows = [name for name in small if VALIDATION not in name]
    empty, half = rows[3], rows[-3]
    path = data_dir / "train" / half[:9] / half
    cut(path, 0.5)
    message = message_of_reading(data_dir, cache_dir=tmp_path / "half", **options)
    assert half in message and str(path.parent) in message and "damaged" in message
    (data_dir / "train" / empty[:9] / empty).write_bytes(b"")
    message = message_of_reading(data_dir, cache_dir=tmp_path / "empty", **options)
    assert empty in message and "empty" in message
    with pytest.warns(UserWarning, match=f"left out: 2 of {len(rows)} in train"):
        kept = load(data_dir, cache_dir=tmp_path / "skip", on_missing="skip", **options)["train"]
    assert set(kept["file_name"][:]) == set(rows) - {empty, half}


@pytest.mark.parametrize("on_missing", ["error", "skip"])
def test_a_file_that_is_read_in_part(on_missing, small, lists, tmp_path, monkeypatch):
    extracted(small, tmp_path / "data")
    options = {"train_list": lists["train_list"], "splits": ["train"], "on_missing": on_missing}
    stream(tmp_path / "data", **options)  # at the first, datasets gives the script its own copy of the module os
    preadv, name = os.preadv, next(iter(small))
    status = os.stat(tmp_path / "data" / "train" / name[:9] / name)

    def short(fd, buffers, position):  # as network storage may
        part = os.path.samestat(os.fstat(fd), status)
        return preadv(fd, [buffers[0][:-9]] if part else buffers, position)

    monkeypatch.setattr(os, "preadv", short)
    message = message_of_reading(tmp_path / "data", cache_dir=tmp_path / "cache", **options)
    size = len(small[name])
    assert name in message and f"{size - 9:,} of its {size:,} bytes" in message


@pytest.mark.parametrize("form", ["bzip2", "lzma", "locked"])
def test_a_zip_that_is_packed_in_another_way(form, small, lists, tmp_path):
    method = {"bzip2": zipfile.ZIP_BZIP2, "lzma": zipfile.ZIP_LZMA}.get(form, zipfile.ZIP_STORED)
    kaggle_zip(small, tmp_path, method=method)
    if form == "locked":
        name = next(iter(small))
        lock(tmp_path / KAGGLE_ZIP, f"{DATA}/train/{name[:9]}/{name}")
    for on_missing in ("error", "skip"):  # once, and not of each image
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            message = message_of(tmp_path, "custom", kind=ArchiveError, on_missing=on_missing, **lists)
        assert str(tmp_path / KAGGLE_ZIP) in message and "encrypted" in message


@pytest.mark.parametrize("form", [{}, {"deflated": True}, {"streamed": True}], ids=str)
def test_a_damaged_zip(form, small, lists, tmp_path):
    data_dir = tmp_path / "data"
    path = data_dir / KAGGLE_ZIP
    name = next(name for name in small if name.startswith(WNIDS[150]))
    kaggle_zip(small, data_dir, **form)
    start, size = zip_data(path, f"{DATA}/train/{name[:9]}/{name}")
    flip(path, start + (size // 2 if "deflated" in form else 10))  # 10: in the comment, so that the JPEG decodes
    message = message_of_reading(data_dir, cache_dir=tmp_path / "cache", **lists)
    assert str(path) in message and name in message

    kaggle_zip(small, data_dir, **form)
    assert contents(stream(data_dir, **lists)["train"])
    cut(path, 0.7)
    assert str(path) in message_of(data_dir, "custom", kind=ArchiveError, **lists)


@pytest.mark.parametrize("damage", ["cut off", "not gzip", "another byte"])
def test_a_damaged_tar_gz(damage, small, lists, tmp_path):
    data_dir = tmp_path / "data"
    path = data_dir / KAGGLE_TAR_GZ
    kaggle_tar_gz(small, data_dir)
    if damage == "cut off":
        cut(path, 0.6)
    elif damage == "another byte":  # in the comment of an image, so that the JPEG decodes
        content = gzip.compress(gzip.decompress(path.read_bytes()), compresslevel=0)
        path.write_bytes(content)
        flip(path, content.rindex(next(iter(small)).encode()))
    else:
        path.write_bytes(b"<!DOCTYPE html><html><title>Log in</title>" + b" " * 1000)
    for _ in range(2):  # images extracted before the damage was found are not used
        assert str(path) in message_of(data_dir, "custom", kind=ArchiveError, **lists)
    kaggle_tar_gz(small, data_dir)
    rows = stream(data_dir, image_bytes="archive", **lists)
    assert contents(rows["train"]) | contents(rows["validation"]) == small
