"""Foreign files beside the images are ignored; errors say what is wrong with a folder and what to do."""

import io
import os
import re
import shutil
import tarfile

import fsspec
import pyarrow as pa
import pytest
from datasets import Image
from helpers.layout_rows import TENCH, contents, load, message_of, stream
from makers.images import numbered_jpeg
from makers.layouts import (
    DATA,
    VALIDATION,
    WNIDS,
    class_tars,
    extracted,
    kaggle_tar_gz,
    kaggle_zip,
    label_of,
    official_tars,
    partly_unpacked,
)
from makers.tars import END, member
from pyarrow import parquet

from imagenet_reader.official import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets import ArchiveError
from imagenet_subsets_tools.cli import main

pytestmark = pytest.mark.once

TRAIN = [f"{wnid}_{number}.JPEG" for wnid in WNIDS[:8] for number in range(1, 4)]
IMAGES = {name: numbered_jpeg(k) for k, name in enumerate(TRAIN)}
IMAGES |= {f"{VALIDATION}{k:08d}.JPEG": numbered_jpeg(100 + k) for k in range(1, 31)}
LISTS = {"train_list": TRAIN, "validation_list": [name for name in IMAGES if name.startswith(VALIDATION)]}
IMAGE = TRAIN[0]
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
    """A tar as made by macOS: a member with attributes precedes each member."""
    parts = [
        part
        for name, content in members.items()
        for part in ((f"./._{name}", b"Mac OS X" * 20), (f"./{name}", content))
    ]
    return b"".join(member(name.encode(), content) for name, content in parts) + END


# ------------------------------------------------------------------------- images that cannot be used


@pytest.mark.parametrize("name", [IMAGE, FIRST])
def test_images_that_are_not_regular_files(name, tmp_path):
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
    """Files that systems and people leave beside images."""
    stray = numbered_jpeg(999)
    for folder in (*data_dir.glob("*"), *data_dir.glob("*/n*")):
        for name in ("desktop.ini", "Thumbs.db", "README", ".DS_Store", "n99999999.txt"):
            (folder / name).write_bytes(b"x")
        (folder / "@eaDir").mkdir()
        (folder / "@eaDir" / IMAGE).mkdir()
    (data_dir / "train" / WNIDS[0] / f"{VALIDATION}00000099.JPEG").write_bytes(stray)
    (data_dir / "val" / WNIDS[0]).mkdir(exist_ok=True)
    (data_dir / "val" / WNIDS[0] / f"{WNIDS[0]}.tar").write_bytes(b"left over")
    (data_dir / "val" / WNIDS[0] / f"{WNIDS[0]}_99.JPEG").write_bytes(stray)
    (data_dir / f"{WNIDS[3]}.tar").write_bytes(b"left over")
    (data_dir / f"{WNIDS[3]}_9.JPEG").write_bytes(stray)
    (data_dir / f"{VALIDATION}00000077.JPEG").write_bytes(stray)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("make", [by_class, extracted])
def test_foreign_entries_do_not_change_the_layout(make, backwards, tmp_path, monkeypatch):
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


def test_synology_folder_is_not_mistaken_for_nested_images(tmp_path):
    by_class(IMAGES, tmp_path)
    foreign_entries(tmp_path)
    (tmp_path / "train" / WNIDS[0] / IMAGE).unlink()
    assert "@eaDir" not in error_of(tmp_path)


@pytest.mark.parametrize(
    "left_over", [IMAGE, f"train/{TENCH}/{IMAGE}", f"{TENCH}.tar", f"{DATA}/train/{TENCH}/{IMAGE}"]
)
def test_leftovers_beside_a_zip(left_over, tmp_path):
    kaggle_zip(IMAGES, tmp_path)
    (tmp_path / left_over).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / left_over).write_bytes(b"left over")
    assert rows_of(tmp_path) == IMAGES


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


def test_partly_unpacked_folder_with_absent_images(tmp_path):
    half_unpacked(tmp_path)
    (tmp_path / "train" / WNIDS[2] / f"{WNIDS[2]}_1.JPEG").write_bytes(b"")
    assert "1 of them are empty files" in error_of(tmp_path)
    shutil.rmtree(tmp_path / "train" / WNIDS[2])
    assert f"1 class folders are missing: {WNIDS[2]}." in error_of(tmp_path)


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
    assert str(data_dir) in error_of(data_dir, splits=["test"])
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


def test_archives_packed_by_macos(tmp_path):
    official_tars(IMAGES, tmp_path)
    train, validation = tmp_path / TRAIN_ARCHIVE, tmp_path / VALIDATION_ARCHIVE
    class_tars = {name: with_apple_double(untar(content)) for name, content in untar(train.read_bytes()).items()}
    train.write_bytes(with_apple_double(class_tars))
    validation.write_bytes(with_apple_double(untar(validation.read_bytes())))
    assert rows_of(tmp_path) == IMAGES


# ------------------------------------------------------------------------------------------------ hints

VAL = {name: content for name, content in IMAGES.items() if name.startswith(VALIDATION)}


def hint_of(data_dir, **options):
    """The hint of an error, which neither begins with downloading nor lists all forms."""
    hint = error_of(data_dir, **options).partition("). ")[2]
    assert hint.startswith("But ") and "TFRecords" not in hint
    return hint


def test_validation_images_in_folders_of_labels(tmp_path):
    extracted(IMAGES, tmp_path)
    for name in VAL:
        (tmp_path / "val" / str(label_of(name))).mkdir(exist_ok=True)
        (tmp_path / "val" / name).rename(tmp_path / "val" / str(label_of(name)) / name)
    for options in ({}, {"splits": ["validation"]}):
        hint = hint_of(tmp_path, **options)
        assert re.fullmatch(rf"But {tmp_path}/val/\d+, .* hold such images: .* directly into {tmp_path}/val\.", hint)


def test_validation_images_one_level_too_deep(tmp_path):
    extracted(IMAGES, tmp_path)
    (tmp_path / "val").rename(tmp_path / "all")
    (tmp_path / "val").mkdir()
    (tmp_path / "all").rename(tmp_path / "val" / "all")
    assert hint_of(tmp_path) == f"But {tmp_path}/val/all has such images: move what is in it to {tmp_path}/val."
    assert f"pass data_dir='{tmp_path}/val/all'" in hint_of(tmp_path, splits=["validation"])


def test_folder_is_recommended_only_if_it_is_complete(tmp_path):
    half, complete = tmp_path / "a", tmp_path / "b"
    official_tars({name: IMAGES[name] for name in TRAIN}, half)
    official_tars(IMAGES, complete)
    assert hint_of(tmp_path) == f"But {complete} has such images: pass data_dir={str(complete)!r}."
    shutil.rmtree(complete)
    official_tars(VAL, tmp_path)
    assert hint_of(tmp_path) == f"But {half}/{TRAIN_ARCHIVE} has such images: move it to {tmp_path}."


@pytest.mark.parametrize("make", [extracted, by_class, half_unpacked])
def test_folder_of_only_some_of_the_images(make, tmp_path):
    if make is half_unpacked:
        make(tmp_path)
    else:
        make(IMAGES, tmp_path)
    for folder in [path for path in tmp_path.rglob("*") if path.is_dir()]:
        assert hint_of(folder) == f"But {tmp_path} has such images: pass data_dir={str(tmp_path)!r}."


def test_unrelated_things_beside_the_folder(tmp_path):
    """They neither become a hint nor an error of their own."""
    for name in ("train", "validation"):
        parquet.write_table(pa.table({"file_name": ["1.jpg"]}), tmp_path / f"{name}-00000-of-00001.parquet")
    (tmp_path / "coco").mkdir()
    shutil.copy(tmp_path / "train-00000-of-00001.parquet", tmp_path / "coco")
    (tmp_path / "n01440764").symlink_to("n01440764")
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "coco"):
        assert "pass data_dir" not in error_of(folder) and "built" not in error_of(folder)


def test_folder_of_one_class(tmp_path):
    by_class(IMAGES, tmp_path)
    message = error_of(tmp_path / "train" / TENCH, splits=["train"])
    assert f"the folder of one class: pass the folder of all as data_dir, such as '{tmp_path / 'train'}'" in message


def test_folder_that_was_built(tmp_path):
    extracted(IMAGES, tmp_path / "images")
    lists = {name: tmp_path / name for name in LISTS}
    for name, path in lists.items():
        path.write_text("\n".join(LISTS[name]))
    options = [f"--{name.replace('_', '-')}={path}" for name, path in lists.items()]
    built = tmp_path / "built"
    assert main(["build", "custom", "--data-dir", str(tmp_path / "images"), "--output-dir", str(built), *options]) == 0
    for folder in (built, built / "custom"):
        assert hint_of(folder, splits=["test"]) == (
            f"But {built} is a dataset that is already built: datasets.load_dataset({str(built)!r}, 'custom')."
        )


@pytest.mark.parametrize("tree", ["ILSVRC2015/Data/CLS-LOC", "downloads/ILSVRC2015/Data/CLS-LOC"])
def test_images_three_levels_down(tree, tmp_path):
    for number in range(300):
        (tmp_path / "Annotations" / str(number)).mkdir(parents=True)
    extracted(IMAGES, tmp_path / tree)
    assert f"pass data_dir='{tmp_path / tree}'" in hint_of(tmp_path)


def test_archives_with_other_names(tmp_path):
    official_tars(VAL, tmp_path)
    others = {wnid: member(f"{wnid}.tar".encode(), END) for wnid in WNIDS}
    (tmp_path / "ILSVRC2012_img_train_t3.tar").write_bytes(b"".join(list(others.values())[151:271]) + END)
    hint = hint_of(tmp_path)
    assert "ILSVRC2012_img_train_t3.tar begins like that archive, but has 120 of its 1,000 members" in hint
    assert "rename" not in hint
    (tmp_path / "imagenet.tar").write_bytes(b"".join(others.values()) + END)
    assert hint_of(tmp_path) == f"But {tmp_path}/imagenet.tar looks like that archive; rename it to {TRAIN_ARCHIVE}."


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("ILSVRC2017_CLS-LOC.tar.gz", "unpack it, and pass the folder .../Data/CLS-LOC"),
        ("ILSVRC2015_CLS-LOC.tar.gz", "unpack it, and pass the folder .../Data/CLS-LOC"),
        ("ILSVRC2015_VID.tar.gz", "holds other data"),
        ("ILSVRC2012_img_train.tar.gz", f"decompress it to {TRAIN_ARCHIVE}"),
        ("ILSVRC2012_img_train.tar.1", f"rename it to {TRAIN_ARCHIVE}"),
        ("ILSVRC2012_img_train.tar.part0", f"join all pieces (cat PIECES > {TRAIN_ARCHIVE})"),
        ("ILSVRC2012_img_train.tar.part", "finish it"),
        ("ILSVRC2012_img_train.tar.crdownload", "finish it"),
        ("ILSVRC.zip", "rename it to imagenet-object-localization-challenge.zip; unpack any other"),
        ("kaggle.tar.gz", "rename it to imagenet_object_localization_patched2019.tar.gz; unpack any other"),
    ],
)
def test_files_that_need_conversion(name, advice, tmp_path):
    (tmp_path / name).write_bytes(b"x" * 1000)
    hint = hint_of(tmp_path)
    assert hint.startswith(f"But {tmp_path / name} ") and advice in hint
    assert "1,000" not in hint
    assert ("download ILSVRC2012_img_train.tar" in hint) == (advice == "holds other data")


def test_a_broken_link_to_an_archive(tmp_path):
    link = tmp_path / TRAIN_ARCHIVE
    link.symlink_to("/mnt/gone/train.tar")
    hint = hint_of(tmp_path)
    assert hint.startswith(f"But {link} is a broken link, to /mnt/gone/train.tar: put back what it leads to")
    extracted(IMAGES, tmp_path)
    assert rows_of(tmp_path) == IMAGES


def test_an_unknown_folder(tmp_path):
    for number in range(100):
        (tmp_path / f"{number}{'x' * 200}").touch()
    message = error_of(tmp_path)
    for form in ("image-net.org", "class tars", "extracted images", "Kaggle", "Parquet", "WebDataset", "TFRecords"):
        assert form in message


def test_no_such_folder(tmp_path):
    extracted(IMAGES, tmp_path / "ImageNet" / "data")
    there = str(tmp_path / "ImageNet" / "data")
    for data_dir, advice in {
        tmp_path / "imagnet" / "data": f"Did you mean {there!r}?",
        tmp_path / "ImageNet" / "dat": f"Did you mean {there!r}?",
        "/no/such/place": "(/ has no 'no'). Pass the folder of the images.",
        "ILSVRC/imagenet-1k": "imagenet_subsets.select(datasets.load_dataset('ILSVRC/imagenet-1k'), ...).",
    }.items():
        message = error_of(data_dir)
        assert message.startswith(f"data_dir={os.path.abspath(data_dir)!r}: there is no such folder")
        assert message.endswith(advice)
    (tmp_path / "link").symlink_to("/mnt/gone")
    assert "is a broken link, to /mnt/gone" in error_of(tmp_path / "link")


# -------------------------------------------------------------------------------------- long messages


def test_messages_are_short_and_end_with_advice(tmp_path):
    absent = [f"{wnid}_{number}.JPEG" for wnid in WNIDS for number in range(5000, 5012)]
    for make in (official_tars, class_tars, extracted, half_unpacked, kaggle_zip):
        data_dir = tmp_path / make.__name__
        make(*((data_dir,) if make is half_unpacked else (IMAGES, data_dir)))
        for name, options in {
            "custom": {"train_list": absent, "splits": ["train"]},
            "full": {"splits": ["train"]},
        }.items():
            message = message_of(data_dir, name, kind=ArchiveError, **options)
            assert len(message) < 2000
            assert "12,000 of the 12,000" in message or "1,281,167" in message
            assert message.endswith("on_missing='skip'.") or name == "full"
            assert len(re.findall(r"n\d{8}", message)) <= 45
