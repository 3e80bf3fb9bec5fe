"""The subsets beside the published training lists: all of ImageNet, what a list leaves out, the test set, own lists."""

import hashlib
import itertools
import random
import re
import shutil

import datasets
import pytest
from helpers.rows import WAYS, load, published_rows, rows_of
from makers.layouts import (
    PATCHED_TEST_ARCHIVE,
    VALIDATION,
    WNIDS,
    class_tars,
    extracted,
    kaggle_tar_gz,
    kaggle_zip,
    label_of,
    official_tars,
    patched_test_tar,
    train_images,
    unlabelled_images,
    validation_images,
)

import imagenet_subsets
from imagenet_reader import lists as published_lists
from imagenet_reader.facts import TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets import ArchiveError

pytestmark = pytest.mark.oldest_and_newest

FIRST_VALIDATION = "ILSVRC2012_val_00000001.JPEG"


@pytest.fixture(scope="module")
def train(standins_1pct):
    """{name: bytes} of all training images of the stand-in."""
    return train_images(standins_1pct)


@pytest.fixture(scope="module")
def listed(train):
    """40 training images of at least 36 classes, sorted."""
    return sorted(random.Random(0).sample(sorted(train), 40))


@pytest.fixture
def complete_train(train, monkeypatch):
    """Make the training images of the stand-in the complete training set."""
    monkeypatch.setattr(published_lists, "TRAIN_IMAGES", len(train))


@pytest.fixture
def write_list(tmp_path):
    """``write_list(lines)`` -> the path of a new list"""
    numbers = iter(range(1000))

    def write_list(lines, end="\n"):
        path = tmp_path / f"list-{next(numbers)}.txt"
        path.write_bytes("".join(line + end for line in lines).encode())
        return str(path)

    return write_list


def in_train_order(names):
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def labelled(names):
    return [(name, label_of(name)) for name in names]


def unlabelled(names):
    return [(name, -1) for name in names]


def streams(data_dir, name, **options):
    """The streams of a config, with the bytes of the archive, which contain the names."""
    options = {"image_bytes": "archive", **options}
    return imagenet_subsets.load_dataset(name, data_dir=data_dir, streaming=True, **options)


def streamed(stream):
    """[(file name, label)] of a stream; asserts that the images match the names."""
    rows = []
    for batch in stream.cast_column("image", datasets.Image(decode=False)).iter(batch_size=500):
        assert all(name.encode() in image["bytes"] for name, image in zip(batch["file_name"], batch["image"]))
        rows += zip(batch["file_name"], batch["label"])
    return rows


def message_of(data_dir, name, kind=ValueError, **options):
    """The error of making a dataset, before any image is read."""
    with pytest.raises(kind) as raised:
        streams(data_dir, name, **options)
    return str(raised.value)


# ------------------------------------------------------------------------------------------ full


def test_full_is_every_training_image(complete_train, train, standins_1pct, tmp_path):
    loaded = streams(standins_1pct, "full")
    assert list(loaded) == ["train", "validation"]
    assert streamed(loaded["validation"].take(300)) == published_rows("1pct", "validation")[:300]
    options = {"splits": ["train"], "cache_dir": str(tmp_path), "image_bytes": "archive"}
    rows = imagenet_subsets.load_dataset("full", data_dir=standins_1pct, **options)["train"]
    assert rows_of(rows) == labelled(in_train_order(train))
    images = rows.with_format("arrow")[:]["image"].to_pylist()
    assert [image["bytes"] for image in images] == [train[name] for name in rows["file_name"][:]]


@pytest.mark.parametrize("make", [extracted, kaggle_zip, kaggle_tar_gz])
@pytest.mark.filterwarnings("ignore:.*can be read only from beginning to end")
def test_everything_is_the_same_from_other_layouts(make, train, tmp_path, monkeypatch):
    few = dict(itertools.islice(train.items(), 5_000, 5_060))
    rest = few.keys() - {name for name, _ in published_rows("1pct", "train")}
    assert 0 < len(rest) < len(few)
    official_tars(few, tmp_path / "official")
    folder = f"train/{next(iter(few))[:9]}"
    strays = ("train/.DS_Store", "train/notes.txt", f"{folder}/Thumbs.db", f"{folder}/notes.txt")
    strays += tuple(f"{folder}/._{name}" for name in [*few][:3])  # as macOS leaves them
    if make is extracted:  # in an archive, it would be the image that comes twice
        strays += (f"{folder}/{[*few][-1]}",)
    make(few, tmp_path / "other", more=dict.fromkeys(strays, b"\0\5\x16\7"))
    for count, config, options in (
        (len(few), "full", {"splits": ["train"]}),
        (12_811 + len(rest), "1pct", {"splits": ["unlabeled"], "unlabeled": True}),
    ):
        monkeypatch.setattr(published_lists, "TRAIN_IMAGES", count)
        [(split, rows)] = streams(tmp_path / "other", config, **options).items()
        given = list(rows.cast_column("image", datasets.Image(decode=False)))
        expected = streams(tmp_path / "official", config, **options)[split]
        assert given == list(expected.cast_column("image", datasets.Image(decode=False)))
        assert {row["file_name"]: row["image"]["bytes"] for row in given} == {
            name: few[name] for name in (few if config == "full" else rest)
        }


def test_full_from_folders_names_absent_classes(train, tmp_path, monkeypatch):
    monkeypatch.setattr(published_lists, "TRAIN_IMAGES", 999)
    extracted(dict.fromkeys({name[:9]: name for name in train}.values(), b""), tmp_path)  # one of each class
    for wnid in (WNIDS[7], WNIDS[500]):
        shutil.rmtree(tmp_path / "train" / wnid)
    message = message_of(tmp_path, "full", kind=ArchiveError, splits=["train"]).replace(str(tmp_path), "")
    assert "998" in message and "999" in message
    assert re.findall(r"n\d{8}", message) == [WNIDS[7], WNIDS[500]]


def test_full_needs_every_training_image(train, standins_1pct, tmp_path, monkeypatch):
    message = message_of(standins_1pct, "full", kind=ArchiveError, splits=["train"])
    assert "1,281,167" in message and f"{len(train):,}" in message
    options = {"splits": ["train"], "on_missing": "skip", "cache_dir": str(tmp_path)}
    for _ in range(2):  # built, then from the cache
        with pytest.warns(UserWarning, match=f"left out: {1_281_167 - len(train):,} of 1,281,167 in train"):
            rows = imagenet_subsets.load_dataset("full", data_dir=standins_1pct, **options)["train"]
        assert rows_of(rows) == labelled(in_train_order(train))
    monkeypatch.setattr(published_lists, "TRAIN_IMAGES", len(train) - 1)  # one too many is not the archive either
    message = message_of(standins_1pct, "full", kind=ArchiveError, splits=["train"])
    assert f"{len(train) - 1:,}" in message and f"{len(train):,}" in message


# ------------------------------------------------------------------------------------- unlabeled


def test_unlabeled_has_the_images_that_are_not_listed(complete_train, train, standins_1pct, tmp_path):
    assert set(streams(standins_1pct, "1pct", unlabeled=True)) == {"train", "validation", "unlabeled"}
    assert "unlabeled" not in streams(standins_1pct, "1pct")
    options = {"unlabeled": True, "splits": ["train", "unlabeled"], "cache_dir": str(tmp_path), "num_proc": 2}
    options["image_bytes"] = "archive"
    loaded = imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct, **options)
    assert rows_of(loaded["train"]) == published_rows("1pct", "train")
    rest = set(train) - set(loaded["train"]["file_name"][:])
    assert rows_of(loaded["unlabeled"]) == unlabelled(in_train_order(rest))
    assert len(loaded["unlabeled"]) == len(train) - 12_811
    assert loaded["unlabeled"][0]["label"] == -1
    assert loaded["unlabeled"].features == loaded["train"].features
    images = loaded["unlabeled"].with_format("arrow")[:]
    for name, image in zip(images["file_name"].to_pylist(), images["image"].to_pylist()):
        assert image["bytes"] == train[name]


def test_unlabeled_of_10pct(train, standins_1pct, tmp_path):
    options = {"unlabeled": True, "splits": ["unlabeled"], "on_missing": "skip"}
    with pytest.warns(UserWarning, match="of 1,153,051 in unlabeled"):
        rows = streams(standins_1pct, "10pct", **options)["unlabeled"]
    rest = set(train) - {name for name, _ in published_rows("10pct", "train")}
    assert streamed(rows) == unlabelled(in_train_order(rest))


def test_unlabeled_needs_every_training_image(standins_1pct, train, tmp_path):
    message = message_of(standins_1pct, "1pct", kind=ArchiveError, unlabeled=True, splits=["unlabeled"])
    assert "1,281,167" in message or "1,268,356" in message
    listed = {name: train[name] for name, _ in published_rows("1pct", "train")}
    official_tars(listed, tmp_path)  # and no others
    options = {"unlabeled": True, "splits": ["unlabeled"], "on_missing": "skip"}
    assert "0 training images for unlabeled" in message_of(tmp_path, "1pct", kind=ArchiveError, **options)


@pytest.mark.parametrize("config", ["lt", "full", "custom"])
def test_unlabeled_exists_for_1pct_and_10pct_only(config, standins_1pct, write_list, listed):
    options = {"train_list": write_list(listed)} if config == "custom" else {}
    assert "unlabeled=True" in message_of(standins_1pct, config, unlabeled=True, **options)


# ------------------------------------------------------------------------------------------ test


def test_the_official_test_set(tmp_path):
    images = unlabelled_images()
    patched_test_tar(images, tmp_path / "data")
    options = {"data_dir": tmp_path / "data", "splits": ["test"], "cache_dir": str(tmp_path / "cache"), "num_proc": 2}
    loaded = imagenet_subsets.load_dataset("1pct", **options)
    assert list(loaded) == ["test"]
    assert rows_of(loaded["test"]) == unlabelled(images)
    for place in (0, 12_345, 99_999):
        assert loaded["test"].with_format("arrow")[place]["image"][0]["bytes"].as_py() in images.values()
        assert loaded["test"][place]["image"].mode == "RGB"

    shutil.move(tmp_path / "data" / PATCHED_TEST_ARCHIVE, tmp_path / "data" / "ILSVRC2012_img_test.tar")
    for config in ("10pct", "full"):
        rows = streams(tmp_path / "data", config, splits=["test"])["test"]
        assert streamed(rows.take(300)) == unlabelled(list(images)[:300])


def test_a_part_of_the_test_set(standins_1pct, train, write_list, listed, tmp_path):
    images = unlabelled_images(300)
    official_tars(dict(reversed(images.items())), tmp_path)  # ILSVRC2012_img_test.tar, in another order
    for archive in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE):
        (tmp_path / archive).symlink_to(standins_1pct / archive)
    message = message_of(tmp_path, "1pct", kind=ArchiveError, splits=["train", "test"])
    assert "99,700 of the 100,000" in message
    options = {"splits": ["train", "test"], "on_missing": "skip", "train_list": write_list(listed)}
    with pytest.warns(UserWarning, match="left out: 99,700 of 100,000 in test"):
        loaded = streams(tmp_path, "custom", **options)
    assert {split: streamed(rows) for split, rows in loaded.items()} == {
        "train": labelled(in_train_order(listed)),
        "test": unlabelled(images),
    }
    lt = streams(tmp_path, "lt", splits=["test"])["test"]  # the official validation set
    assert streamed(lt.take(300)) == published_rows("lt", "test")[:300]
    (tmp_path / "ILSVRC2012_img_test.tar").unlink()
    assert "test" not in streams(tmp_path, "1pct")
    message = message_of(tmp_path, "1pct", kind=FileNotFoundError, splits=["test"])
    assert "ILSVRC2012_img_test" in message


# ---------------------------------------------------------------------------------------- custom


@pytest.mark.parametrize("way", WAYS)
def test_own_lists(way, standins_1pct, write_list, train, listed, tmp_path):
    forms = ["{name}", "train/{wnid}/{name} {label}", "{wnid}/{name}", "{name} {label}"]
    lines = [""]
    for k, name in enumerate(random.Random(1).sample(listed, len(listed))):
        lines += [forms[k % 4].format(name=name, wnid=name[:9], label=label_of(name)), *["", "  "][: k % 3]]
    validation = [f"{VALIDATION}{number:08d}.JPEG" for number in range(1, 50_001, 1_777)]
    options = {"data_dir": str(standins_1pct), "cache_dir": str(tmp_path / "cache"), "image_bytes": "archive"}
    options["train_list"] = write_list(lines, end="\r\n")
    options["validation_list"] = write_list([f"val/{name} {label_of(name)}" for name in reversed(validation)])
    loaded = load(way, "custom", num_proc=2, **options)
    assert list(loaded) == ["train", "validation"]
    assert rows_of(loaded["train"]) == labelled(in_train_order(listed))
    assert rows_of(loaded["validation"]) == labelled(validation)
    images = train | validation_images(standins_1pct)
    for rows in loaded.values():
        table = rows.with_format("arrow")[:]
        for name, image in zip(table["file_name"].to_pylist(), table["image"].to_pylist()):
            assert image["bytes"] == images[name]
    again = load(way, "custom", streaming=True, **options)
    assert {split: streamed(rows) for split, rows in again.items()} == {
        "train": labelled(in_train_order(listed)),
        "validation": labelled(validation),
    }


def test_accepted_lines_of_lists(standins_1pct, write_list, listed):
    loaded = streams(standins_1pct, "custom", train_list=write_list(listed[:1], end=""))  # one image, no end of line
    assert list(loaded) == ["train", "validation"]
    assert streamed(loaded["train"]) == labelled(listed[:1])
    assert streamed(loaded["validation"].take(300)) == published_rows("1pct", "validation")[:300]
    assert loaded["train"].features["label"].names == WNIDS

    numbers = [f"{VALIDATION}{number:08d}.JPEG" for number in (50_000, 3, 1, 2)]
    lists = {
        "train_list": write_list(numbers),
        "validation_list": write_list(listed[::-1]),
    }  # of the other archive each
    loaded = streams(standins_1pct, "custom", **lists)
    assert streamed(loaded["train"]) == labelled(in_train_order(numbers))
    assert streamed(loaded["validation"]) == labelled(listed)


def test_only_listed_classes_must_exist(train, write_list, tmp_path):
    names = sorted(train)[100:130]
    class_tars({name: train[name] for name in names}, tmp_path)
    loaded = streams(tmp_path, "custom", train_list=write_list(names), splits=["train"])
    assert list(loaded) == ["train"]
    assert streamed(loaded["train"]) == labelled(in_train_order(names))


def test_lists_are_compared_by_content_not_path(standins_1pct, write_list, listed, tmp_path):
    options = {"data_dir": standins_1pct, "splits": ["train"], "cache_dir": str(tmp_path / "cache")}

    def rows(path):
        return rows_of(imagenet_subsets.load_dataset("custom", train_list=path, **options)["train"])

    path = write_list(listed)
    assert rows(path) == labelled(in_train_order(listed))
    other = listed[5:] + [name for name in sorted(train_images(standins_1pct)) if name not in listed][:5]
    for names in (other, listed, other[:-1]):
        with open(path, "w") as file:
            file.write("\n".join(names))
        assert rows(path) == labelled(in_train_order(names))
        assert rows(write_list(names)) == labelled(in_train_order(names))
    assert rows(write_list(random.Random(2).sample(other, len(other)))) == labelled(in_train_order(other))


def test_names_that_the_archive_lacks(standins_1pct, write_list, listed):
    unknown = [f"{WNIDS[k]}_{90_000 + k}.JPEG" for k in range(0, 1000, 20)]
    path = write_list(sorted(unknown + listed))
    message = message_of(standins_1pct, "custom", kind=ArchiveError, train_list=path, splits=["train"])
    assert sum(name in message for name in unknown) >= 20
    assert [name for name in listed if name in message] == []
    options = {"train_list": path, "splits": ["train"], "on_missing": "skip"}
    with pytest.warns(UserWarning, match="left out: 50 of 90 in train"):
        rows = streams(standins_1pct, "custom", **options)["train"]
    assert streamed(rows) == labelled(in_train_order(listed))


TENCH, GOLDFISH = "n01440764_190.JPEG", "n01443537_2.JPEG"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ["empty"]),
        (["", " "], ["empty"]),
        ([TENCH, "cat.jpg", "", "n01440764_190.png", GOLDFISH, "train/n01440764/"], [2, "cat.jpg", 4, "190.png", 6]),
        ([TENCH, "n01440764_190.JPEG x", "n01440764_1.JPEG 0 0"], [2, "JPEG x", 3, "0 0"]),
        ([TENCH, "n99999999_1.JPEG"], ["n99999999_1.JPEG"]),
        (["ILSVRC2012_val_00050001.JPEG", "ILSVRC2012_val_00000000.JPEG"], ["val_00050001", "val_00000000"]),
        ([TENCH, GOLDFISH, f"train/n01440764/{TENCH} 0"], [TENCH, 3, "twice"]),
        ([f"{TENCH} 0", f"{GOLDFISH} 0"], [2, GOLDFISH, "label"]),
        ([f"{TENCH} 1000"], [1, TENCH, "label"]),
        ([f"val/{FIRST_VALIDATION} 64"], [1, FIRST_VALIDATION, 65, "label"]),
        ([TENCH, f"train/n01440764/{GOLDFISH}"], [2, GOLDFISH, r"n01440764(?!_)", r"n01443537(?!_)"]),
        ([TENCH, f"n01440764/{GOLDFISH}"], [2, GOLDFISH, r"n01440764(?!_)", r"n01443537(?!_)"]),
        ([TENCH, GOLDFISH, FIRST_VALIDATION], ["training", "validation"]),
        ([f"{k}.jpg" for k in range(1, 31)], [1, r"\D20\.jpg", r"^((?!\D21\.jpg).)*$", "and 10 more"]),
    ],
)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_lists_with_errors(lines, expected, split, write_list, listed, standins_1pct):
    lists = {"train_list": write_list(listed), f"{split}_list": write_list(lines)}
    path = lists[f"{split}_list"]
    message = message_of(standins_1pct, "custom", **lists)
    assert path in message
    rest = message.replace(path, "")
    patterns = [rf"(?<!\w){part}\b" if isinstance(part, int) else part for part in expected]
    assert [pattern for pattern in patterns if not re.search(pattern, rest)] == []


def test_default_options_give_the_same_cache(standins_1pct, write_list, listed, tmp_path):
    options = {
        "data_dir": standins_1pct,
        "train_list": write_list(listed),
        "validation_list": write_list(listed[:2]),
    }
    options["cache_dir"] = str(tmp_path / "cache")
    defaults = {"label_names": "wnid", "splits": None, "on_missing": "error", "image_bytes": "benchmark"}
    defaults["unlabeled"] = False
    folders = []
    for more in ({}, defaults, {"label_names": "words"}):
        imagenet_subsets.load_dataset("custom", **options, **more)
        folders.append({path for path in (tmp_path / "cache").rglob("*") if path.is_dir()})
    assert folders[0] == folders[1] < folders[2]


def test_options_of_lists(standins_1pct, write_list, listed, tmp_path):
    absent = str(tmp_path / "absent.txt")
    for lists in ({"train_list": absent}, {"train_list": write_list(listed), "validation_list": absent}):
        assert absent in message_of(standins_1pct, "custom", kind=(ValueError, FileNotFoundError), **lists)
    assert "train_list" in message_of(standins_1pct, "custom")
    assert "train_list" in message_of(standins_1pct, "custom", validation_list=write_list(listed))
    for config in ("1pct", "10pct", "lt", "full"):
        for option in ("train_list", "validation_list"):
            message = message_of(standins_1pct, config, **{option: write_list(listed)})
            assert option in message and "custom" in message
