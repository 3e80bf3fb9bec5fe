"""``imagenet-subsets check`` on complete, partial, damaged and absent archives."""

import collections
import hashlib
import json
import os
import shutil
import subprocess
import sys
import warnings

import pytest
from helpers.layout_rows import LAYOUTS
from helpers.programs import PROJECT
from makers.images import numbered_jpeg
from makers.layouts import flip_byte, hub_parquet, hub_tar_gz, kaggle_tar_gz, tfds
from makers.tars import signed

import imagenet_subsets
from imagenet_reader import facts, lists
from imagenet_reader.lists import LISTS
from imagenet_subsets import SUBSETS
from imagenet_subsets_tools import check
from imagenet_subsets_tools.cli import main
from imagenet_subsets_tools.standins import CMYK_IMAGES, PNG_IMAGE

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("lists_are_read_once")]

TRAIN, VALIDATION = facts.TRAIN_ARCHIVE, facts.VALIDATION_ARCHIVE
SPLITS = [(config, split) for config, subset in SUBSETS.items() for split in subset]
FULL = ("full", "train")  # of which stand-ins have only a part
OF_VALIDATION = {("1pct", "validation"), ("10pct", "validation"), ("lt", "test"), ("full", "validation")}
UNLISTED = 3_000 + 23  # training images of the 1pct stand-in that 1pct does not list


def listed(of):
    return [name for name, _ in lists.read_split_list(of)]


@pytest.fixture
def folder(standins_1pct, tmp_path):
    """A folder with copies of both 1pct stand-ins; a test may modify it."""
    for name in (TRAIN, VALIDATION):
        shutil.copyfile(standins_1pct / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def run_check(capsys):
    """``run_check(folder, *options)`` -> (exit code, the report that --json prints, the same as text)"""

    def run_check(folder, *options):
        code = main(["check", str(folder), *options, "--json"])
        report = json.loads(capsys.readouterr().out)
        return code, report, check.format_report(report)

    return run_check


def header_of(path, name):
    """The offset of the header of an image."""
    return path.read_bytes().index(name.encode() + bytes(100 - len(name)))


def overwrite(path, position, content):
    """Change bytes but not the size or modification time, like a failing disk."""
    times = os.stat(path)
    with path.open("r+b") as file:
        file.seek(position)
        file.write(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def results(report):
    """{(config, split): ok}"""
    return {(split["config"], split["split"]): split["ok"] for split in report["splits"]}


def row(text, *start):
    """The one line of a report that begins with these words, as words."""
    (words,) = [line.split() for line in text.splitlines() if line.split()[: len(start)] == list(start)]
    return words[len(start) :]


def test_complete_archives_give_every_config(standins_all, capsys):
    assert main(["check", str(standins_all)]) == 0
    text = capsys.readouterr().out
    for config, split in set(SPLITS) - {FULL}:
        count = f"{LISTS[SUBSETS[config][split]][0]:,}"
        assert row(text, config, split) == [count, "of", count, "0", "ok"]
    images = (
        {name for of in LISTS if of not in ("validation", "holdout") for name in listed(of)} | CMYK_IMAGES | {PNG_IMAGE}
    )
    size, there = f"{(standins_all / TRAIN).stat().st_size:,}", f"{len(images) + 3_000:,}"
    assert row(text, TRAIN) == [size, "no", there, "1,000", "-", "ok"]
    absent = f"{1_281_167 - len(images) - 3_000:,}"
    assert row(text, *FULL) == [there, "of", "1,281,167", "-", absent, "absent"]


def test_some_images_give_some_configs(standins_1pct, run_check):
    code, report, text = run_check(standins_1pct)
    assert code == 1 and not report["ok"]
    assert results(report) == {place: place in OF_VALIDATION | {("1pct", "train")} for place in SPLITS}
    there = {*listed("1pct"), *CMYK_IMAGES, PNG_IMAGE}
    for split in report["splits"]:
        of = SUBSETS[split["config"]][split["split"]]
        if of in ("validation", "full"):
            continue
        names = listed(of)
        due = collections.Counter(name.partition("_")[0] for name in names)
        found = collections.Counter(name.partition("_")[0] for name in names if name in there)
        assert (split["found"], split["listed"]) == (found.total(), due.total())
        assert split["absent"] == [name for name in names if name not in there][:3]
        assert split["lacking_classes"] == {wnid: [found[wnid], n] for wnid, n in due.items() if found[wnid] < n}
    assert report["archives"][0]["images"] == len(listed("1pct")) + UNLISTED
    assert all(archive["ok"] and archive["sha256"] is archive["damaged"] is None for archive in report["archives"])
    loadable = "1pct; 10pct with splits=['validation']; lt with splits=['test']; full with splits=['validation']"
    assert f"Can be loaded: {loadable}.\n" in text
    assert 'on_missing="skip"' in text


def test_absent_images_are_counted_and_named(folder, run_check):
    in_class = [name for name in listed("1pct") if name.startswith("n01443537_")]
    gone = {TRAIN: in_class[1:3], VALIDATION: [f"ILSVRC2012_val_{k:08d}.JPEG" for k in (2, 77, 50_000, 49_999)]}
    for archive, names in gone.items():
        for name in names:
            offset = header_of(folder / archive, name)
            rest = (folder / archive).read_bytes()[offset + 100 : offset + 512]
            overwrite(folder / archive, offset, signed((b"%d" % offset).ljust(100, b"\0") + rest))
    code, report, text = run_check(folder)
    train, validation = report["splits"][:2]
    assert code == 1 and not any(results(report).values())
    assert (train["found"], train["absent"]) == (12_809, gone[TRAIN])
    assert train["lacking_classes"] == {"n01443537": [len(in_class) - 2, len(in_class)]}
    assert (validation["found"], validation["absent"]) == (49_996, sorted(gone[VALIDATION])[:3])
    assert f"1  2 absent, such as {', '.join(gone[TRAIN])}\n" in text
    assert "Can be loaded: nothing." in text


def test_the_other_archive_is_checked_if_one_is_truncated_or_missing(folder, run_check):
    good = {place: place in OF_VALIDATION for place in SPLITS}
    os.truncate(folder / TRAIN, size := os.path.getsize(folder / TRAIN) // 2 + 100)
    code, report, text = run_check(folder)
    assert code == 1 and results(report) == good
    assert "the archive is cut off or damaged" in text
    assert row(text, TRAIN) == [f"{size:,}", "no", "-", "-", "-", "see", "below"]
    (folder / TRAIN).unlink()
    code, report, text = run_check(folder)
    assert code == 1 and results(report) == good
    (absent,) = (archive for archive in report["archives"] if archive["name"] == TRAIN)
    assert (absent["bytes"], absent["images"], absent["sha256"], absent["ok"]) == (None, None, None, False)
    (error,) = absent["errors"]
    assert f"{folder} has no training images" in error and error in text
    unknown = {(split["config"], split["split"]) for split in report["splits"] if split["found"] is None}
    assert unknown == {*SPLITS} - OF_VALIDATION
    assert row(text, *sorted(unknown)[0]) == ["-", "-", "see", "below"]


def test_folder_without_images(tmp_path, run_check):
    code, report, text = run_check(tmp_path)
    assert code == 1 and not any(results(report).values())
    assert text == report["archives"][0]["errors"][0]
    assert text.startswith(f"{tmp_path} has no training images in a supported layout")


def test_full_compares_digests(standins_all, run_check, monkeypatch):
    code, report, text = run_check(standins_all, "--full")
    assert code == 1 and {place for place, ok in results(report).items() if not ok} == {FULL}
    for archive in report["archives"]:
        with open(standins_all / archive["name"], "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()
        assert archive["sha256"] == digest and not archive["ok"]
        assert f"its SHA-256, {digest}, is not the official one" in text
        assert row(text, archive["name"])[4:] == ["differs", "see", "below"]
        monkeypatch.setitem(check.OFFICIAL_SHA256, archive["name"], digest)
        monkeypatch.setitem(facts.OFFICIAL_SIZES, archive["name"], archive["bytes"])
    monkeypatch.setattr(lists, "TRAIN_IMAGES", report["archives"][0]["images"])
    code, report, text = run_check(standins_all, "--full")
    assert code == 0 and report["ok"]
    assert "Every config can be loaded: imagenet_subsets.load_dataset(" in text
    assert row(text, TRAIN)[1::3] == ["yes", "official"] and row(text, VALIDATION)[-2:] == ["official", "ok"]
    assert "stand-in" not in text


def test_readme_has_the_official_digests():
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    for name, digest in check.OFFICIAL_SHA256.items():
        assert f"| `{name}` | {facts.OFFICIAL_SIZES[name]:,} | `{digest}` |" in text


def test_decode_names_damaged_images_with_their_offsets(folder, run_check):
    path = folder / TRAIN
    (folder / VALIDATION).unlink()
    everything = imagenet_subsets.read_index(str(path))["name"].to_pylist()
    names = listed("1pct")
    no_image, no_tables, no_header = names[300], names[5_000], names[9_000]  # not where the archive's identity looks
    others = {*names, *listed("10pct"), *listed("lt_train"), *listed("lt_validation")}
    unlisted = next(name.decode() for name in everything[700:] if name.decode() not in others)
    at = {name: header_of(path, name) for name in (no_image, no_tables, no_header, unlisted)}
    content = path.read_bytes()
    overwrite(path, at[no_image] + 512, b"<html>")
    overwrite(path, content.index(b"\xff\xc4", at[no_tables]) + 5, b"\xff" * 16)
    overwrite(path, at[no_header], b"another name")
    overwrite(path, at[unlisted] + 512, b"<html>")
    code, report, text = run_check(folder, "--decode")
    assert code == 1
    train, validation = report["archives"]
    assert [(image["name"], image["offset"]) for image in train["damaged"]] == [
        (name, at[name]) for name in (no_image, no_tables, no_header)
    ]
    errors = [image["error"] for image in train["damaged"]]
    assert errors[:2] == ["cannot identify image file", "broken data stream when reading image file"]
    assert f"does not contain {no_header}" in errors[2]
    assert validation["damaged"] is None
    found = {(split["config"], split["split"]): (split["found"], split["damaged"]) for split in report["splits"]}
    assert found["1pct", "train"] == (12_811, 3) and found["10pct", "train"][1] == 3  # 1pct is a part of 10pct
    assert row(text, "1pct", "train")[-2:] == ["3", "damaged"]
    assert f"{no_tables} at byte {at[no_tables]:,} is damaged: broken data stream" in text
    assert "Can be loaded: nothing." in text


def test_decode_compares_the_checksums_of_records(tmp_path):
    images = {name: numbered_jpeg(k) + name.encode() for k, name in enumerate(listed("1pct")[:9])}
    tfds(images, tmp_path, shards={"train": 1})
    [path] = tmp_path.rglob("*train.tfrecord*")
    name = list(images)[3]
    flip_byte(path, path.read_bytes().index(images[name]) + len(images[name]) - 1)
    [damaged] = check.check_archives(tmp_path, decode=True)["archives"][0]["damaged"]
    assert (damaged["name"], damaged["error"]) == (name, "its checksum differs")


@pytest.mark.parametrize(
    ("make", "layout"),
    [(hub_parquet, "Hub Parquet"), (hub_tar_gz, "Hub .tar.gz"), (kaggle_tar_gz, "Kaggle's .tar.gz")],
)
def test_layouts_with_extracted_images(make, layout, images, tmp_path, cached_files):
    """Their images are listed, once, and none is extracted."""
    train = {f"n01440764_{k}.JPEG": numbered_jpeg(k) for k in (10040, 10043, 7)}
    make(images | train, tmp_path / "data")
    with warnings.catch_warnings(record=True) as warned:
        report = check.check_archives(tmp_path / "data", decode=True)
        assert check.check_archives(tmp_path / "data", decode=True) == report
    announced = [" is read to its end, " in str(warning.message) for warning in warned]
    assert announced.count(True) == len(report["archives"]) * layout.endswith("tar.gz")
    assert {archive["layout"] for archive in report["archives"]} == {layout}
    assert all("cannot be decoded in place" in archive["errors"][0] for archive in report["archives"])
    found = {(split["config"], split["split"]): split["found"] for split in report["splits"]}
    assert found["1pct", "validation"] == 300 and found["full", "train"] == 3
    assert [file for file in cached_files() if not file.endswith(".index")] == []


def test_the_command_prints_json_alone_on_stdout(val_tar):
    """Of good images, all of which are decoded."""
    command = [sys.executable, "-m", "imagenet_subsets_tools.cli", "check", str(val_tar.parent)]
    environment = {**os.environ, "HF_DATASETS_DISABLE_PROGRESS_BARS": "0"}
    options = {"capture_output": True, "text": True, "cwd": PROJECT, "env": environment}
    result = subprocess.run([*command, "--full", "--decode", "--json"], **options)
    assert result.returncode == 1
    report = json.loads(result.stdout)
    archive, split = report["archives"][0], report["splits"][1]
    assert (split["found"], split["damaged"], archive["damaged"]) == (300, 0, [])
    assert f"Indexing {VALIDATION}" in result.stderr and f"Hashing {VALIDATION}: 100%" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.once
def test_an_image_that_has_changed_is_looked_up_again(small_images, hf_home, tmp_path):
    LAYOUTS["extracted"](small_images, tmp_path)
    check.check_archives(tmp_path, decode=True)
    with next(tmp_path.rglob("n*_*.JPEG")).open("ab") as image:
        image.write(b"more")
    before, after = (check.check_archives(tmp_path, decode=True)["archives"][0] for _ in range(2))
    assert "has changed since it was indexed" in before["errors"][0]
    assert (after["errors"], after["damaged"]) == ([], [])
