"""Every layout gives the rows of the official archives, in every way to load them."""

import hashlib
import multiprocessing
import os
import re
import resource
import time
import warnings

import pytest
from datasets import Dataset
from helpers.layout_rows import LAYOUTS, TENCH, contents, digests, load, message_of, stream
from helpers.remote import RANGED, REMOTE, served
from makers.images import numbered_jpeg
from makers.layouts import (
    DATA,
    KAGGLE_TAR_GZ,
    KAGGLE_ZIP,
    VALIDATION,
    WNIDS,
    class_tars,
    extracted,
    hub_parquet,
    kaggle_tar_gz,
    kaggle_zip,
    label_of,
    official_tars,
    patched_test_tar,
    truncate,
    unlabelled_images,
)

import imagenet_subsets
from imagenet_reader import lists as published_lists
from imagenet_subsets import ArchiveError
from imagenet_subsets_tools import check
from imagenet_subsets_tools.cli import main

pytestmark = [
    pytest.mark.oldest_and_newest,
    pytest.mark.filterwarnings("ignore:.*read only from beginning to end", "ignore:.*read once", "ignore:.*left out"),
]

TRAIN = [f"{wnid}_{number}.JPEG" for wnid in WNIDS[:8] for number in range(1, 6)]
HELD_OUT = [f"{VALIDATION}{k:08d}.JPEG" for k in range(1, 31)]
IMAGES = {name: numbered_jpeg(k) for k, name in enumerate([*TRAIN, *HELD_OUT])}
LISTS = {"train_list": TRAIN, "validation_list": HELD_OUT}
TESTED = unlabelled_images(20)


def copied(where, tmp_path, **options):
    return load(where, cache_dir=tmp_path / "copied", num_proc=2, **options)


def in_place(where, tmp_path, **options):
    return load(where, cache_dir=tmp_path / "in_place", in_place=True, **options)


def streamed(where, tmp_path, **options):
    return stream(where, **options)


def selected(where, tmp_path, image_bytes, **options):
    loaded = load(where, cache_dir=tmp_path / "selected", image_bytes=image_bytes, **options)
    for split in loaded:
        loaded[split] = loaded[split].shuffle(seed=0)
    return imagenet_subsets.select(loaded, "custom", **options)


@pytest.fixture(scope="module")
def expected():
    """The digests of the rows: training images sorted by the SHA-256 of their names, others by their names."""
    order = {"train": lambda name: hashlib.sha256(name.encode()).digest(), "validation": str, "test": str}
    splits = {}
    for split, images in {"train": TRAIN, "validation": HELD_OUT, "test": TESTED}.items():
        names = sorted(images, key=order[split])
        content = [{"bytes": (IMAGES | TESTED)[name], "path": None} for name in names]
        rows = {"image": content, "label": [label_of(name) for name in names], "file_name": names}
        splits[split] = Dataset.from_dict(rows)
    return digests(splits)


@pytest.fixture
def only_these(monkeypatch):
    """``full`` and ``test`` are the images of this module."""
    monkeypatch.setattr(published_lists, "TRAIN_IMAGES", len(TRAIN))
    monkeypatch.setattr(published_lists, "TEST_IMAGES", len(TESTED))


@pytest.mark.usefixtures("hf_home", "only_these")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_gives_the_same_rows_in_each_way(layout, expected, tmp_path):
    where, options = tmp_path / "data", {"image_bytes": "archive", **LISTS}
    LAYOUTS[layout](IMAGES | TESTED, where)
    labelled = {split: expected[split] for split in ("train", "validation")}
    for way in (copied, in_place, streamed, selected):
        assert digests(way(where, tmp_path, **options)) == labelled
    for way in (in_place, streamed):
        whole = way(where, tmp_path, name="full", splits=["train", "test"], image_bytes="archive")
        assert digests(whole) == {split: expected[split] for split in ("train", "test")}


@pytest.mark.usefixtures("hf_home")
@pytest.mark.parametrize("layout", REMOTE)
def test_layouts_behind_a_url_give_the_same_rows_in_each_way(layout, expected, tmp_path):
    with served(layout, IMAGES, tmp_path) as server, warnings.catch_warnings():
        if layout in RANGED:
            warnings.filterwarnings("error", ".*once")
        for way in (copied, in_place, streamed):
            rows = way(server.url, tmp_path, image_bytes="archive", **LISTS)
            assert digests(rows) == {split: expected[split] for split in ("train", "validation")}


@pytest.mark.usefixtures("only_these")
def test_mixtures_and_links_and_a_validation_set_by_class(tmp_path):
    data_dir, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    class_tars(IMAGES, data_dir)
    extracted({name: IMAGES[name] for name in HELD_OUT}, elsewhere, by_class=True)
    (data_dir / "val").symlink_to(elsewhere / "val")
    patched_test_tar(TESTED, data_dir)
    rows = stream(data_dir, splits=["validation", "test"], image_bytes="archive", **LISTS)
    assert contents(rows) == {name: IMAGES[name] for name in HELD_OUT} | TESTED


def test_the_first_layout_wins(tmp_path):
    layouts = {  # the last first
        b"tar.gz": (kaggle_tar_gz, {"train", "validation"}),
        b"zip": (kaggle_zip, {"train", "validation"}),
        b"files": (extracted, {"train", "validation"}),
        b"class tars": (class_tars, {"train"}),
        b"official": (official_tars, {"train", "validation"}),
    }
    expected = {}
    for mark, (make, splits) in layouts.items():
        make({name: content + mark for name, content in IMAGES.items()}, tmp_path / "data")
        expected |= dict.fromkeys(splits, mark)
        for split, rows in stream(tmp_path / "data", image_bytes="archive", **LISTS).items():
            assert contents(rows) == {name: IMAGES[name] + expected[split] for name in LISTS[f"{split}_list"]}


@pytest.mark.parametrize("make", [kaggle_zip, kaggle_tar_gz])
def test_the_last_duplicate_member_wins(make, tmp_path):
    later = numbered_jpeg(999)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")  # of zipfile, which writes it
        make(IMAGES, tmp_path / "data", more={f"train/{TENCH}/{TRAIN[0]}": later})
    with pytest.warns(UserWarning, match="1 duplicate member names; the last one wins"):
        rows = stream(tmp_path / "data", image_bytes="archive", **LISTS)["train"]
    given = [(row["file_name"], row["image"]["bytes"]) for row in rows]
    assert len(given) == len(TRAIN) and dict(given)[TRAIN[0]] == later


@pytest.mark.parametrize("make", [official_tars, extracted, kaggle_zip, kaggle_tar_gz])
def test_folders_with_unusual_names(make, tmp_path):
    data_dir = tmp_path / os.fsdecode("a [b] *{c} ü 図#?d=%20e;f&g'h\"i".encode() + b"latin-\xe9")
    link = tmp_path / TENCH
    make(IMAGES, data_dir)
    link.symlink_to(data_dir)
    options = {"image_bytes": "archive", **LISTS}
    loaded = [stream(link, **options), load(f"{data_dir}/", cache_dir=tmp_path / "a [b] cache", **options)]
    loaded.append(load(data_dir, cache_dir=tmp_path / "cache", in_place=True, **options))
    assert len({str(digests(splits)) for splits in loaded}) == 1
    assert contents(loaded[0]) == IMAGES
    assert str(data_dir) in message_of(data_dir, splits=["test"])
    assert "'::'" in message_of(tmp_path / "a::b", "custom", kind=ValueError, **LISTS)


@pytest.mark.once
@pytest.mark.parametrize("layout", ["class tars", "extracted"])
def test_few_files_are_open_at_once(layout, hf_home, tmp_path):
    """There are 1,000 class tars, and macOS allows 256 open files."""
    images = {f"{wnid}_1.JPEG": numbered_jpeg(k) for k, wnid in enumerate(WNIDS[:200])}
    LAYOUTS[layout](images, tmp_path / "data")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 120, hard))
    try:
        options = {"train_list": [*images], "splits": ["train"], "image_bytes": "archive"}
        assert contents(load(tmp_path / "data", cache_dir=tmp_path / "cache", **options)) == images
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def foreign_entries(data_dir):
    """Files that systems and people leave beside images."""
    stray = numbered_jpeg(999)
    for folder in (*data_dir.glob("*"), *data_dir.glob("*/n*")):
        for name in ("desktop.ini", "Thumbs.db", "README", ".DS_Store", "._x", "n99999999.txt"):
            (folder / name).write_bytes(b"x")
        (folder / "@eaDir").mkdir()
        (folder / "@eaDir" / TRAIN[0]).mkdir()
    (data_dir / "train" / TENCH / f"{VALIDATION}00000099.JPEG").write_bytes(stray)
    (data_dir / "val" / TENCH).mkdir(exist_ok=True)
    (data_dir / "val" / TENCH / f"{TENCH}_99.JPEG").write_bytes(stray)
    (data_dir / f"{WNIDS[3]}_9.JPEG").write_bytes(stray)
    (data_dir / f"{VALIDATION}00000077.JPEG").write_bytes(stray)


@pytest.mark.parametrize("by_class", [False, True])
def test_foreign_entries_do_not_change_the_layout(by_class, tmp_path):
    extracted(IMAGES, tmp_path, by_class=by_class)
    foreign_entries(tmp_path)
    rows = stream(tmp_path, image_bytes="archive", **LISTS)
    assert contents(rows) == IMAGES
    (tmp_path / "train" / TENCH / TRAIN[0]).unlink()
    message = message_of(tmp_path, "custom", **LISTS)
    assert TRAIN[0] in message and "@eaDir" not in message


@pytest.mark.parametrize("left_over", [TRAIN[0], f"train/{TENCH}/{TRAIN[0]}", f"{DATA}/train/{TENCH}/{TRAIN[0]}"])
def test_leftovers_beside_a_zip(left_over, tmp_path):
    kaggle_zip(IMAGES, tmp_path)
    (tmp_path / left_over).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / left_over).write_bytes(b"left over")
    rows = stream(tmp_path, image_bytes="archive", **LISTS)
    assert contents(rows) == IMAGES


@pytest.mark.parametrize("make", [kaggle_tar_gz, hub_parquet, LAYOUTS["hub tar.gz"]])
def test_images_are_extracted_once(make, cached_files, tmp_path):
    """Of Kaggle's tar.gz for each config, of the Hub's files for each image."""
    make(IMAGES, tmp_path / "data")

    def readings(names, number, **options):
        """How often the files are read when the rows with these names are loaded."""
        options |= {"train_list": names, "splits": ["train"], "cache_dir": tmp_path / str(number)}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            loaded = load(tmp_path / "data", **options)["train"]
        assert sorted(contents(loaded)) == sorted(set(names) & IMAGES.keys())
        return sum(bool(re.search("once|beginning to end", str(warning.message))) for warning in caught)

    absent = [*TRAIN[:20], f"{TENCH}_999999.JPEG"]
    assert [readings(absent, number, on_missing="skip") for number in range(2)] == [1, 0]
    assert readings(TRAIN[10:30], 2) == 1
    assert [readings(TRAIN[5:25], number, label_names="words") for number in (3, 4)][1] == 0
    assert any(name.endswith(".tar") for name in cached_files())
    contents(load(tmp_path / "data", "full", tmp_path / "full", splits=["train"], on_missing="skip")["train"])
    assert readings(TRAIN, 5) == 0
    message = message_of(tmp_path / "data", "custom", train_list=[f"{TENCH}_9.JPEG"], splits=["train"])
    assert str(tmp_path / "data") in message and "1 of the 1 images" in message


def read_once(data_dir, cache_dir):
    """How often a tar.gz is read for a load, and whether the rows are right."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = load(data_dir, cache_dir=cache_dir, image_bytes="archive", **LISTS)
    return sum("beginning to end" in str(warning.message) for warning in caught), contents(rows) == IMAGES


def test_a_tar_gz_is_read_by_one_of_two_processes(hf_home, at_member, tmp_path):
    kaggle_tar_gz(IMAGES, tmp_path / "data")
    at_member(0, lambda: time.sleep(0.3))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        calls = [(tmp_path / "data", tmp_path / cache) for cache in ("one", "two")]
        assert sorted(pool.starmap_async(read_once, calls, chunksize=1).get(60)) == [(0, True), (1, True)]


@pytest.mark.parametrize(
    ("layout", "place"),
    [("class tars", "train"), ("extracted", "train"), ("kaggle zip", KAGGLE_ZIP), ("kaggle tar.gz", KAGGLE_TAR_GZ)],
)
def test_a_missing_class_is_reported(layout, place, tmp_path, capsys):
    data_dir, lost = tmp_path / "data", TRAIN[:5]
    LAYOUTS[layout]({name: content for name, content in IMAGES.items() if name not in lost}, data_dir)
    message = message_of(data_dir, "custom", kind=ArchiveError, **LISTS).replace(str(tmp_path), "")
    assert place in message and re.search(r"\b5\b", message) and any(name in message for name in lost)
    if "kaggle" not in layout:  # a tar or a folder is missing
        assert re.search(rf"{TENCH}(?!_)", message)
    with pytest.warns(UserWarning, match="left out: 5 of 40 in train"):
        rows = stream(data_dir, on_missing="skip", **LISTS)["train"]
    assert set(contents(rows)) == set(TRAIN) - set(lost)

    assert main(["check", str(data_dir)]) == 1
    report = capsys.readouterr().out.replace(str(tmp_path), "")
    assert place in report and layout.removeprefix("kaggle ") in report.lower()
    assert re.search(r"1pct +train +.* of 12,811 .* absent", report)


def test_check_of_files_without_an_archive(tmp_path):
    class_tars(IMAGES, tmp_path)
    extracted({name: IMAGES[name] for name in HELD_OUT}, tmp_path)
    damaged = tmp_path / "val" / HELD_OUT[20]
    truncate(damaged, 0.5)
    report = check.check_archives(tmp_path, full=True, decode=True, num_proc=1)
    text = check.format_report(report)
    assert re.search(r"^train +- +- +40 +8 +- +ok$", text, re.MULTILINE)
    assert re.search(r"^val +- +- +30 +- +- +ok$", text, re.MULTILINE)
    assert f"{damaged} is damaged" in text
    [found] = [image for archive in report["archives"] for image in archive["damaged"]]
    assert (found["name"], found["offset"]) == (damaged.name, None)
