"""The subsets beside the published training lists: all of ImageNet, what a list leaves out, the test set, own lists."""

import hashlib
import random
import re
import shutil

import pytest
from helpers.layout_rows import contents, message_of, stream
from helpers.rows import WAYS, load, published_rows, rows_of
from helpers.rows import streamed as rows_streamed
from makers.layouts import (
    VALIDATION,
    WNIDS,
    extracted,
    label_of,
    official_tars,
    patched_test_tar,
    unlabelled_images,
    validation_images,
)

import imagenet_subsets
from imagenet_reader import lists as published_lists
from imagenet_reader import plan
from imagenet_reader.facts import TEST_ARCHIVES, TRAIN_ARCHIVE, VALIDATION_ARCHIVE
from imagenet_subsets import ArchiveError

pytestmark = pytest.mark.oldest_and_newest


@pytest.fixture(scope="module")
def listed(train):
    """40 training images of at least 36 classes, sorted."""
    return sorted(random.Random(0).sample(sorted(train), 40))


def in_train_order(names):
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def labelled(names):
    return [(name, label_of(name)) for name in names]


def unlabelled(names):
    return [(name, -1) for name in names]


def streams(data_dir, name, **options):
    """The streams of a config, with the bytes of the archive, which contain the names."""
    return stream(data_dir, name, **{"image_bytes": "archive", **options})


def streamed(rows):
    """[(file name, label)] of a stream; asserts that the images match the names."""
    found = rows_streamed(rows)
    assert all(matches for *_, matches in found)
    return [row[:2] for row in found]


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


def test_unlabeled_has_the_images_that_are_not_listed(train, standins_1pct, tmp_path, monkeypatch):
    monkeypatch.setattr(published_lists, "TRAIN_IMAGES", len(train))
    assert set(streams(standins_1pct, "1pct", unlabeled=True)) == {"train", "validation", "unlabeled"}
    assert "unlabeled" not in streams(standins_1pct, "1pct")
    options = {"unlabeled": True, "splits": ["train", "unlabeled"], "cache_dir": str(tmp_path), "num_proc": 2}
    options["image_bytes"] = "archive"
    loaded = imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct, **options)
    assert rows_of(loaded["train"]) == published_rows("1pct", "train")
    rest = set(train) - set(loaded["train"]["file_name"][:])
    assert rows_of(loaded["unlabeled"]) == unlabelled(in_train_order(rest))
    assert loaded["unlabeled"].features == loaded["train"].features
    assert contents(loaded["unlabeled"]) == {name: train[name] for name in rest}


def test_the_official_test_set(tmp_path, monkeypatch):
    images = unlabelled_images(1_000)
    for module in (plan, published_lists):
        monkeypatch.setattr(module, "TEST_IMAGES", len(images))
    patched_test_tar(images, tmp_path / "data")
    options = {"data_dir": tmp_path / "data", "splits": ["test"], "cache_dir": str(tmp_path / "cache"), "num_proc": 2}
    loaded = imagenet_subsets.load_dataset("1pct", **options)
    assert list(loaded) == ["test"]
    assert rows_of(loaded["test"]) == unlabelled(images)
    assert contents(loaded["test"]) == images

    shutil.move(tmp_path / "data" / TEST_ARCHIVES[1], tmp_path / "data" / TEST_ARCHIVES[0])
    for config in ("10pct", "full"):
        rows = streams(tmp_path / "data", config, splits=["test"])["test"]
        assert streamed(rows.take(300)) == unlabelled(list(images)[:300])


def test_a_part_of_the_test_set(standins_1pct, listed, tmp_path):
    images = unlabelled_images(300)
    official_tars(dict(reversed(images.items())), tmp_path)  # ILSVRC2012_img_test.tar, in another order
    for archive in (TRAIN_ARCHIVE, VALIDATION_ARCHIVE):
        (tmp_path / archive).symlink_to(standins_1pct / archive)
    message = message_of(tmp_path, "1pct", kind=ArchiveError, splits=["train", "test"])
    assert "99,700 of the 100,000" in message
    options = {"splits": ["train", "test"], "on_missing": "skip", "train_list": listed}
    with pytest.warns(UserWarning, match="left out: 99,700 of 100,000 in test"):
        loaded = streams(tmp_path, "custom", **options)
    assert streamed(loaded["train"]) == labelled(in_train_order(listed))
    assert streamed(loaded["test"]) == unlabelled(images)
    (tmp_path / "ILSVRC2012_img_test.tar").unlink()
    assert "test" not in streams(tmp_path, "1pct")
    message = message_of(tmp_path, "1pct", kind=FileNotFoundError, splits=["test"])
    assert "ILSVRC2012_img_test" in message


@pytest.mark.parametrize("way", WAYS)
def test_own_lists(way, standins_1pct, train, listed, tmp_path):
    forms = ["{name}", "train/{wnid}/{name} {label}", "{wnid}/{name}", "{name} {label}"]
    lines = [""]
    for k, name in enumerate(random.Random(1).sample(listed, len(listed))):
        lines += [forms[k % 4].format(name=name, wnid=name[:9], label=label_of(name)), *["", "  "][: k % 3]]
    validation = [f"{VALIDATION}{number:08d}.JPEG" for number in range(1, 50_001, 1_777)]
    expected = {"train": labelled(in_train_order(listed)), "validation": labelled(validation)}
    options = {"data_dir": str(standins_1pct), "cache_dir": str(tmp_path / "cache"), "image_bytes": "archive"}
    options["train_list"] = str(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_bytes("\r\n".join(lines).encode())
    options["validation_list"] = [f"val/{name} {label_of(name)}" for name in reversed(validation)]
    loaded = load(way, "custom", num_proc=2, **options)
    assert {split: rows_of(rows) for split, rows in loaded.items()} == expected
    images = train | validation_images(standins_1pct)
    for rows in loaded.values():
        assert contents(rows) == {name: images[name] for name in rows["file_name"]}
    again = load(way, "custom", streaming=True, **options)
    assert {split: streamed(rows) for split, rows in again.items()} == expected


def test_a_list_of_training_images_only(standins_1pct, listed):
    loaded = streams(standins_1pct, "custom", train_list=listed[:1])
    assert list(loaded) == ["train", "validation"]
    assert streamed(loaded["train"]) == labelled(listed[:1])
    assert streamed(loaded["validation"].take(300)) == published_rows("1pct", "validation")[:300]
    assert loaded["train"].features["label"].names == WNIDS


def test_each_list_may_name_images_of_the_other_archive(standins_1pct, listed):
    numbers = [f"{VALIDATION}{number:08d}.JPEG" for number in (50_000, 3, 1, 2)]
    loaded = streams(standins_1pct, "custom", train_list=numbers, validation_list=listed[::-1])
    assert streamed(loaded["train"]) == labelled(in_train_order(numbers))
    assert streamed(loaded["validation"]) == labelled(listed)


def test_lists_are_compared_by_content_not_path(standins_1pct, listed, tmp_path):
    """A file that gets other content is read again; and lists of the same images have the same cache."""
    options = {"data_dir": standins_1pct, "splits": ["train"], "cache_dir": str(tmp_path / "cache")}
    files = []
    for names in (listed, listed[5:], listed):
        (tmp_path / "one").write_text("\n".join(names))
        (tmp_path / "other").write_text("\n".join([*names[::-1], ""]))
        for given in (tmp_path / "one", str(tmp_path / "other"), names, tuple(names)):
            rows = imagenet_subsets.load_dataset("custom", train_list=given, **options)["train"]
            assert rows_of(rows) == labelled(in_train_order(names))
            files.append(str(rows.cache_files))
    assert len({*files[:4]}) == 1 and files[4] not in files[:4] and files[8:] == files[:4]
