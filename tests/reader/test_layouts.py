"""Every layout gives the rows of the official archives."""

import contextlib
import itertools
import multiprocessing
import os
import re
import shutil
import time
import warnings

import pyarrow.compute as pc
import pytest
from helpers.layout_rows import (
    COMPLETE_LAYOUTS,
    DESCRIPTIONS,
    TENCH,
    TRAIN_LAYOUTS,
    VERSION,
    contents,
    load,
    message_of,
    stream,
)
from helpers.rows import published_rows
from makers.layouts import (
    KAGGLE_TAR_GZ,
    VALIDATION,
    WNIDS,
    class_tars,
    extracted,
    kaggle_tar_gz,
    kaggle_zip,
    label_of,
    marked,
    official_tars,
    patched_test_tar,
    train_images,
    truncate,
    unlabelled_images,
    validation_images,
)

from imagenet_subsets import ArchiveError
from imagenet_subsets_tools import check
from imagenet_subsets_tools.cli import main

pytestmark = [
    pytest.mark.oldest_and_newest,
    pytest.mark.filterwarnings("ignore:.*can be read only from beginning to end"),
]


HUNDRED = WNIDS[:100]


@pytest.fixture(scope="module")
def hundred(train):
    """{name: bytes} of all training images of the first 100 classes."""
    return {name: content for name, content in train.items() if label_of(name) < 100}


@pytest.fixture(scope="module")
def hundred_rows(official_rows):
    """The rows of these classes in the table of 1pct train."""
    return official_rows.filter(pc.less(official_rows["label"], 100))


def assert_missing_class_is_reported(layout, train, tmp_path, capsys):
    """By the loader and by ``check``, once the layout in ``tmp_path / "data"`` lacks a class."""
    data_dir, (place, words) = tmp_path / "data", DESCRIPTIONS[layout]
    if layout == "extracted":
        shutil.rmtree(data_dir / "train" / TENCH)
    elif layout == "class tars":
        (data_dir / "train" / f"{TENCH}.tar").unlink()
    else:
        TRAIN_LAYOUTS[layout]({name: train[name] for name in train if not name.startswith(TENCH)}, data_dir)
    listed = [(name, label) for name, label in published_rows("1pct", "train") if label < 100]
    lost = [name for name, label in listed if label == 0]
    options = {"splits": ["train"], "classes": HUNDRED}
    message = message_of(data_dir, **options, kind=ArchiveError).replace(str(tmp_path), "")
    assert place in message
    assert re.search(rf"\b{len(lost)}\b", message)
    assert any(name in message for name in lost)
    if "kaggle" not in layout:  # it is a tar or a folder that is missing
        assert re.search(rf"{TENCH}(?!_)", message)
        with pytest.warns(UserWarning, match=f"left out: {len(lost)} of {len(listed):,} in train"):
            rows = load(data_dir, "1pct", tmp_path / "less", **options, on_missing="skip")["train"]
        assert rows["file_name"][:] == [name for name, label in listed if label != 0]

    assert main(["check", str(data_dir)]) == 1
    report_text = capsys.readouterr().out.replace(str(tmp_path), "")
    assert place in report_text and words in report_text.lower()
    found = len(listed) - len(lost)
    assert re.search(rf"1pct +train +{found:,} of 12,811 +901 .*{12_811 - found:,} absent", report_text)
    assert re.search(r"1pct +validation +(-|0 of 50,000) ", report_text)
    assert check.check_archives(data_dir)["ok"] is False


@pytest.mark.once
@pytest.mark.parametrize("layout", TRAIN_LAYOUTS)
def test_train_rows_are_those_of_the_tar(layout, hundred, hundred_rows, tmp_path, capsys):
    """Of 100 classes."""
    data_dir, options = tmp_path / "data", {"splits": ["train"], "classes": HUNDRED}
    TRAIN_LAYOUTS[layout](hundred, data_dir)
    costs = pytest.warns(UserWarning, match=r"tar\.gz") if layout == "kaggle tar.gz" else contextlib.nullcontext()
    with costs:
        loaded = load(data_dir, "1pct", tmp_path / "cache", num_proc=2, **options)
    assert list(loaded) == ["train"]
    assert loaded["train"].with_format("arrow")[:].equals(hundred_rows)

    options["image_bytes"] = "archive"
    rows = stream(data_dir, "1pct", **options)["train"]
    head = contents(rows.take(450))
    assert list(head.items()) == [(name, hundred[name]) for name in hundred_rows["file_name"][:450].to_pylist()]
    if VERSION >= (2, 20):  # 2.19 has no state_dict
        names = []
        for row in itertools.islice(rows, 260):
            names.append(row["file_name"])
            if len(names) == 150:
                state = rows.state_dict()
        again = stream(data_dir, "1pct", **options)["train"]
        again.load_state_dict(state)
        rest = [(row["file_name"], row["image"]["bytes"]) for row in itertools.islice(again, 110)]
        assert rest == [(name, hundred[name]) for name in names[150:]]
        assert names[150:] == list(head)[150:260]
    if layout in DESCRIPTIONS:
        assert_missing_class_is_reported(layout, hundred, tmp_path, capsys)


@pytest.mark.parametrize("layout", COMPLETE_LAYOUTS)
def test_all_splits_of_each_layout(layout, small_images, list_options, tmp_path):
    data_dir = tmp_path / "data"
    COMPLETE_LAYOUTS[layout](small_images | unlabelled_images(120), data_dir)
    list_options["splits"] = ["train", "validation"]
    loaded = load(data_dir, cache_dir=tmp_path / "cache", image_bytes="archive", **list_options)
    found = {split: contents(rows) for split, rows in loaded.items()}
    assert found["train"] | found["validation"] == small_images
    assert list(found["validation"]) == sorted(name for name in small_images if VALIDATION in name)
    for rows in loaded.values():
        assert rows["label"][:] == [label_of(name) for name in rows["file_name"][:]]
    list_options["splits"] = ["test"]
    with pytest.warns(UserWarning, match="left out: 99,880 of 100,000 in test"):
        test = load(data_dir, cache_dir=tmp_path / "cache", on_missing="skip", **list_options)["test"]
    assert list(contents(test).items()) == list(unlabelled_images(120).items())
    assert set(test["label"][:]) == {-1}


def test_mixtures_and_links_and_a_validation_set_by_class(small_images, list_options, tmp_path):
    data_dir, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    validation = {name: content for name, content in small_images.items() if name.startswith(VALIDATION)}
    class_tars(small_images, data_dir)
    extracted(validation, elsewhere, by_class=True)
    (data_dir / "val").symlink_to(elsewhere / "val")
    patched_test_tar(unlabelled_images(50), data_dir)
    loaded = load(data_dir, cache_dir=tmp_path / "cache", image_bytes="archive", num_proc=2, **list_options)
    assert list(loaded) == ["train", "validation"]
    assert contents(loaded["train"]) | contents(loaded["validation"]) == small_images
    with pytest.warns(UserWarning, match="99,950 of 100,000 in test"):
        test = stream(data_dir, "1pct", splits=["test"], on_missing="skip")["test"]
    assert contents(test) == unlabelled_images(50)

    # Three images stand with a class that they are not of; then a class is missing.
    val, names = elsewhere / "val", sorted(validation)
    one, other = WNIDS[label_of(names[0])], WNIDS[label_of(names[-1])]
    moved = {}  # name: (its place, a wrong one)
    for name in (names[0], names[70], names[-1]):
        wnid = WNIDS[label_of(name)]
        moved[name] = val / wnid / name, val / (one if wnid != one else other) / name
        os.rename(*moved[name])
    message = message_of(data_dir, "custom", **list_options).replace(str(tmp_path), "")
    assert re.search(r"\b3\b", message)
    assert any(name in message and WNIDS[label_of(name)] in message for name in moved)
    for places in moved.values():
        os.rename(*reversed(places))
    lost = len(os.listdir(val / one))
    (val / one).rename(elsewhere / one)
    message = message_of(data_dir, "custom", **list_options).replace(str(tmp_path), "")
    assert one in message and re.search(rf"\b{lost}\b", message) and names[0] in message


def test_a_whole_zip_of_kaggle(train, official_rows, standins_1pct, tmp_path):
    everything = train | validation_images(standins_1pct)  # more members than 16 bits count
    kaggle_zip(everything, tmp_path / "data")
    loaded = load(tmp_path / "data", "1pct", tmp_path / "cache", num_proc=2)
    assert loaded["train"].with_format("arrow")[:].equals(official_rows)
    validation = loaded["validation"]
    assert list(zip(validation["file_name"][:], validation["label"][:])) == published_rows("1pct", "validation")
    assert all(name.encode() in content for name, content in contents(validation).items())


def test_the_first_layout_wins(small_images, list_options, tmp_path):
    data_dir = tmp_path / "data"
    layouts = {  # the last first
        "tar.gz": (kaggle_tar_gz, {"train", "validation"}),
        "zip": (kaggle_zip, {"train", "validation"}),
        "files": (extracted, {"train", "validation"}),
        "class tars": (class_tars, {"train"}),
        "official": (official_tars, {"train", "validation"}),
    }
    expected = {}
    for mark, (make, splits) in layouts.items():
        make({name: marked(name, content, mark) for name, content in small_images.items()}, data_dir)
        expected |= dict.fromkeys(splits, mark.encode())
        for split, rows in stream(data_dir, image_bytes="archive", **list_options).items():
            assert {content[6 : 6 + len(expected[split])] for content in contents(rows).values()} == {expected[split]}


def test_tar_gz_is_streamed_once_per_config(small_images, list_options, tmp_path):
    data_dir, kept = tmp_path / "data", os.path.join(os.environ["HF_HOME"], "imagenet_subsets")
    kaggle_tar_gz(small_images, data_dir)
    before = set(os.listdir(kept)) if os.path.isdir(kept) else set()
    with pytest.warns(UserWarning, match=r"tar\.gz"):
        first = load(data_dir, cache_dir=tmp_path / "first", **list_options)
    assert set(os.listdir(kept)) > before
    assert os.listdir(data_dir) == [KAGGLE_TAR_GZ]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        second = load(data_dir, cache_dir=tmp_path / "second", label_names="words", **list_options)
        contents(stream(data_dir, **list_options)["train"])
    assert not [warning for warning in caught if "tar.gz" in str(warning.message)]
    for split in ("train", "validation"):
        assert contents(first[split]) == contents(second[split])

    names = [name for name in small_images if VALIDATION not in name]
    for wanted in (names[:5], names[3:9]):  # what was kept for others does not hold all of these, or too much
        (tmp_path / "some.txt").write_text("\n".join(wanted))
        rows = stream(data_dir, train_list=str(tmp_path / "some.txt"), splits=["train"], image_bytes="archive")["train"]
        assert contents(rows) == {name: small_images[name] for name in wanted}


def test_a_tar_gz_is_read_by_one_of_two_processes(small_images, list_options, cached_files, at_member, tmp_path):
    data_dir, fork = tmp_path / "data", multiprocessing.get_context("fork")
    kaggle_tar_gz(small_images, data_dir)
    at_member(0, lambda: time.sleep(0.3))
    both, results = fork.Barrier(2, timeout=60), fork.Queue()

    def work(number):
        both.wait()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rows = load(data_dir, cache_dir=tmp_path / f"cache-{number}", image_bytes="archive", **list_options)
        right = contents(rows["train"]) | contents(rows["validation"]) == small_images
        results.put((sum("beginning to end" in str(warning.message) for warning in caught), right))

    processes = [fork.Process(target=work, args=(number,), daemon=True) for number in range(2)]
    for process in processes:
        process.start()
    assert sorted(results.get(timeout=20) for _ in processes) == [(0, True), (1, True)]
    for process in processes:
        process.join()


def test_duplicate_members(small_images, list_options, tmp_path):
    name = next(iter(small_images))
    later = marked(name, small_images[name], "later")
    for make in (kaggle_zip, kaggle_tar_gz):
        data_dir = tmp_path / make.__name__
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Duplicate name")  # of zipfile, which writes it
            make(small_images, data_dir, more={f"train/{name[:9]}/{name}": later})
        with pytest.warns(UserWarning, match="1 duplicate member names; the last one wins"):
            rows = stream(data_dir, image_bytes="archive", **list_options)["train"]
        given = [(row["file_name"], row["image"]["bytes"]) for row in rows]
        assert len(given) == len(dict(given)) and dict(given)[name] == later


@pytest.mark.parametrize("make", [extracted, kaggle_zip, kaggle_tar_gz])
def test_data_dirs_with_unusual_names(make, small_images, list_options, tmp_path):
    data_dir, link = tmp_path / "a [b] *" / "ü 図 {c}", tmp_path / "link"
    make(small_images, data_dir)
    link.symlink_to(data_dir)
    options = {"image_bytes": "archive", **list_options}
    loaded = load(f"{data_dir}/", cache_dir=tmp_path / "a [b] cache", **options)
    for rows in (loaded, stream(str(data_dir), **options), stream(link, **options)):
        assert contents(rows["train"]) | contents(rows["validation"]) == small_images
    assert f"data_dir='{data_dir}" in message_of(data_dir.parent, splits=["train"])
    data_dir.rename(tmp_path / "a::b")
    assert "'::'" in message_of(tmp_path / "a::b", "custom", kind=ValueError, **list_options)


# ----------------------------------------------------------------------------------------- check


@pytest.mark.once
def test_check_passes_if_every_config_can_be_loaded(standins_all, tmp_path, capsys):
    class_tars(train_images(standins_all), tmp_path)
    (tmp_path / "ILSVRC2012_img_val.tar").symlink_to(standins_all / "ILSVRC2012_img_val.tar")
    assert main(["check", str(tmp_path)]) == 0
    report_text = capsys.readouterr().out
    assert f'imagenet_subsets.load_dataset("1pct", data_dir="{tmp_path}")' in report_text
    assert re.search(r"lt +train +115,846 of 115,846", report_text)


def test_check_of_files_without_an_archive(small_images, tmp_path, capsys):
    name = [name for name in small_images if VALIDATION in name][70]
    class_tars(small_images, tmp_path)
    extracted({name: content for name, content in small_images.items() if VALIDATION in name}, tmp_path)
    truncate(tmp_path / "val" / name, 0.5)
    report = check.check_archives(tmp_path, full=True, decode=True, num_proc=1)
    report_text = check.format_report(report)
    count = len(small_images) - 150
    assert re.search(rf"^train +- +- +{count} +7 +- +ok$", report_text, re.MULTILINE)
    assert re.search(r"^val +- +- +150 +- +- +ok$", report_text, re.MULTILINE)
    assert f"{tmp_path / 'val' / name} is damaged" in report_text
    [damaged] = [image for archive in report["archives"] for image in archive["damaged"]]
    assert (damaged["name"], damaged["offset"]) == (name, None)
