"""Foreign files beside the images decide nothing; and what is wrong with a folder is said, with what to do."""

import io
import os
import shutil
import tarfile

import fsspec
import pytest
from datasets import Image
from layout_rows import contents, load, message_of, stream
from makers.images import numbered_jpeg
from makers.layouts import (
    VALIDATION,
    WNIDS,
    extracted,
    kaggle_tar_gz,
    kaggle_zip,
    label_of,
    official_tars,
    partly_unpacked,
)
from makers.tars import END, member

from imagenet_reader.official import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets import ArchiveError

TRAIN = [f"{wnid}_{number}.JPEG" for wnid in WNIDS[:8] for number in range(1, 4)]
IMAGES = {name: numbered_jpeg(k) for k, name in enumerate(TRAIN)}
IMAGES |= {f"{VALIDATION}{k:08d}.JPEG": numbered_jpeg(100 + k) for k in range(1, 31)}
LISTS = {"train_list": TRAIN, "validation_list": [name for name in IMAGES if name.startswith(VALIDATION)]}
ONE = TRAIN[0]
FIRST = next(name for name in IMAGES if name.startswith(VALIDATION))


def error_of(data_dir, kind=(ArchiveError, FileNotFoundError), **options):
    """The error, which is short."""
    message = message_of(data_dir, "custom", kind=kind, **(LISTS | options))
    assert len(message) < 2000
    return message


def rows_of(data_dir, **options):
    """{file name: bytes} of all splits."""
    loaded = stream(data_dir, image_bytes="archive", **(LISTS | options))
    return {name: content for rows in loaded.values() for name, content in contents(rows).items()}


def by_class(images, data_dir):
    extracted(images, data_dir, by_class=True)


def untar(content):
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def with_apple_double(members):
    """A tar as that of macOS makes it: a member of attributes comes before each."""
    parts = [
        part
        for name, content in members.items()
        for part in ((f"./._{name}", b"Mac OS X" * 20), (f"./{name}", content))
    ]
    return b"".join(member(name.encode(), content) for name, content in parts) + END


# ------------------------------------------------------------------------- images that cannot be used


@pytest.mark.parametrize("name", [ONE, FIRST])
def test_images_that_are_no_usable_files(name, tmp_path):
    by_class(IMAGES, tmp_path)
    path = tmp_path / ("val" if name == FIRST else "train") / WNIDS[label_of(name)] / name
    faults = {
        "empty": lambda: path.touch(),
        f"broken links, such as {path}, to /nowhere/else": lambda: path.symlink_to("/nowhere/else"),
        "no regular files": lambda: os.mkfifo(path),
    }
    for words, make in faults.items():
        path.unlink()
        make()
        message = error_of(tmp_path)
        assert f"1 of them are {words}" in message and str(path) in message
        assert "wrong class" not in message and "Move all" not in message
        assert rows_of(tmp_path, on_missing="skip") == {other: IMAGES[other] for other in IMAGES if other != name}


# ------------------------------------------------------------------------------------ foreign entries


def foreign_entries(data_dir):
    """What systems and people leave beside images."""
    stray = numbered_jpeg(999)
    for folder in (*data_dir.glob("*"), *data_dir.glob("*/n*")):
        for name in ("desktop.ini", "Thumbs.db", "README", ".DS_Store", "n99999999.txt"):
            (folder / name).write_bytes(b"x")
        (folder / "@eaDir").mkdir()
        (folder / "@eaDir" / ONE).mkdir()
    (data_dir / "train" / WNIDS[0] / f"{VALIDATION}00000099.JPEG").write_bytes(stray)
    (data_dir / "val" / WNIDS[0]).mkdir(exist_ok=True)
    (data_dir / "val" / WNIDS[0] / f"{WNIDS[0]}.tar").write_bytes(b"left over")
    (data_dir / "val" / WNIDS[0] / f"{WNIDS[0]}_99.JPEG").write_bytes(stray)
    (data_dir / f"{WNIDS[3]}.tar").write_bytes(b"left over")
    (data_dir / f"{WNIDS[3]}_9.JPEG").write_bytes(stray)
    (data_dir / f"{VALIDATION}00000077.JPEG").write_bytes(stray)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("make", [by_class, extracted])
def test_foreign_entries_do_not_decide(make, backwards, tmp_path, monkeypatch):
    make(IMAGES, tmp_path)
    foreign_entries(tmp_path)
    listdir, scandir = os.listdir, os.scandir

    class Scan(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "listdir", lambda path=".": sorted(listdir(path), reverse=backwards))
    monkeypatch.setattr(
        os, "scandir", lambda path=".": Scan(sorted(scandir(path), key=lambda entry: entry.name, reverse=backwards))
    )
    assert rows_of(tmp_path) == IMAGES


def test_a_synology_folder_is_not_taken_for_images_too_deep(tmp_path):
    by_class(IMAGES, tmp_path)
    foreign_entries(tmp_path)
    (tmp_path / "train" / WNIDS[0] / ONE).unlink()
    assert "@eaDir" not in error_of(tmp_path)


# ------------------------------------------------------------------------------ an interrupted unpacking


def half_unpacked(data_dir):
    partly_unpacked(IMAGES, data_dir)
    extracted({name: content for name, content in IMAGES.items() if name.startswith(VALIDATION)}, data_dir)


def test_a_partly_unpacked_folder(tmp_path):
    half_unpacked(tmp_path)
    assert rows_of(tmp_path) == IMAGES
    with pytest.warns(UserWarning, match="left out: 1,281,143 of 1,281,167 in train"):
        rows = stream(tmp_path, "full", splits=["train"], image_bytes="archive", on_missing="skip")["train"]
    assert contents(rows) == {name: IMAGES[name] for name in TRAIN}


def test_what_a_partly_unpacked_folder_lacks(tmp_path):
    half_unpacked(tmp_path)
    (tmp_path / "train" / WNIDS[2] / f"{WNIDS[2]}_1.JPEG").write_bytes(b"")
    assert "1 of them are empty files" in error_of(tmp_path)
    shutil.rmtree(tmp_path / "train" / WNIDS[2])
    assert f"1 class folders are not there: {WNIDS[2]}." in error_of(tmp_path)


def test_a_partly_unpacked_folder_that_changes(tmp_path):
    half_unpacked(tmp_path)
    options = {"splits": ["train"], "split": "train", "cache_dir": str(tmp_path / "cache"), "in_place": True}
    rows = load(tmp_path, **LISTS, **options)
    names = rows["file_name"][:]
    assert [rows[k]["label"] for k in range(24)] == [label_of(name) for name in names]
    (tmp_path / "train" / f"{WNIDS[1]}.tar").touch()
    (tmp_path / "train" / WNIDS[0] / f"{WNIDS[0]}_1.JPEG").touch()
    for name in (f"{WNIDS[1]}_1.JPEG", f"{WNIDS[0]}_1.JPEG"):
        with pytest.raises(ArchiveError, match="changed since"):
            rows[names.index(name)]
    assert rows[names.index(f"{WNIDS[0]}_2.JPEG")]["image"].size == (8, 8)


# ----------------------------------------------------------------------------------- names and archives


@pytest.mark.filterwarnings("ignore:.*can be read only from beginning to end")
@pytest.mark.parametrize("make", [official_tars, extracted, by_class, half_unpacked, kaggle_zip, kaggle_tar_gz])
def test_a_folder_whose_name_is_not_utf_8(make, tmp_path):
    data_dir = tmp_path / os.fsdecode(b"latin-\xe9")
    if make is half_unpacked:
        make(data_dir)
    else:
        make(IMAGES, data_dir)
    assert "test images" in error_of(data_dir, splits=["test"])
    for _ in range(2):
        assert rows_of(data_dir) == IMAGES
    options = LISTS | {"image_bytes": "archive", "in_place": make is not kaggle_tar_gz}
    copied = load(data_dir, cache_dir=tmp_path / "cache", **options)["train"].cast_column("image", Image(decode=False))
    for row in copied:
        if options["in_place"]:
            with fsspec.open(row["image"]["path"]) as file:
                assert file.read() == IMAGES[row["file_name"]]
        else:
            assert row["image"]["bytes"] == IMAGES[row["file_name"]]


def test_archives_that_macos_packed(tmp_path):
    official_tars(IMAGES, tmp_path)
    train, validation = tmp_path / TRAIN_ARCHIVE, tmp_path / VALIDATION_ARCHIVE
    class_tars = {name: with_apple_double(untar(content)) for name, content in untar(train.read_bytes()).items()}
    train.write_bytes(with_apple_double(class_tars))
    validation.write_bytes(with_apple_double(untar(validation.read_bytes())))
    assert rows_of(tmp_path) == IMAGES
