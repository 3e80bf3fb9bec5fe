"""A disk that is full, a folder that cannot be written, input errors: an error that names what failed."""

import errno
import gzip
import itertools
import os
import re
import shutil
import subprocess
import tarfile

import huggingface_hub
import pytest
from datasets.exceptions import DatasetGenerationError
from helpers.faults import FEW, NAMES, TRAIN, chain, fails_right, files, images_of, load, tree
from helpers.programs import command
from makers.layouts import KAGGLE_TAR_GZ

import imagenet_subsets
from imagenet_reader.official import TRAIN_ARCHIVE
from imagenet_subsets import read_index

# ------------------------------------------------------------------------------ disks and permissions


NOT_KEPT = "cannot be kept in .*{}.*HF_HOME"


def test_disk_full_while_indexing(standins_1pct, small_disk, monkeypatch):
    disk = small_disk("64k")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(disk / "hf_home"))
    archive = standins_1pct / TRAIN_ARCHIVE
    with pytest.warns(UserWarning, match=NOT_KEPT.format(disk)):
        assert read_index(archive).num_rows > 12_811
    assert not [name for name in files(disk) if not name.endswith(".lock")]
    small_disk("1m")
    assert read_index(archive).num_rows > 12_811
    assert [name for name in files(disk) if name.endswith(".index")]


def test_a_disk_that_is_too_small_is_found_before_anything_is_written(standins_1pct, small_disk, monkeypatch):
    disk = small_disk("4m")
    monkeypatch.setattr(imagenet_subsets.ImagenetSubsets, "_generate_tables", lambda *_: pytest.fail("it is written"))
    options = {"data_dir": standins_1pct, "cache_dir": str(disk), **TRAIN}
    expected = rf"1pct need \d+\.\d MB, but only \d\.\d MB are free \(.*in_place=True.*cache_dir=.*HF_HOME\): '{disk}"
    with pytest.raises(OSError, match=expected) as raised:
        imagenet_subsets.load_dataset("1pct", **options)
    assert raised.value.errno == errno.ENOSPC
    assert not [name for name in files(disk) if not name.endswith(".lock")]


def test_a_dataset_in_the_cache_needs_no_space(few, small_disk):
    disk = small_disk("700k")
    options = {"cache_dir": str(disk), **FEW}
    assert len(load(few, **options)) == 300
    (disk / "other").write_bytes(bytes(shutil.disk_usage(disk).free))
    assert len(load(few, **options)) == 300


@pytest.mark.parametrize("num_proc", [None, 2])
def test_disk_full_while_preparing(num_proc, standins_1pct, small_disk, undisturbed, monkeypatch):
    """As it is where somebody else writes meanwhile, or a quota ends, of which the free space says nothing."""
    cache = small_disk("4m")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 0, 1 << 40))
    options = {"data_dir": standins_1pct, "cache_dir": str(cache), "num_proc": num_proc, **TRAIN}
    with pytest.raises((OSError, DatasetGenerationError)) as raised:
        imagenet_subsets.load_dataset("1pct", **options)
    assert "No space left on device" in chain(raised.value)
    assert str(cache) in chain(raised.value)
    assert not [name for name in files(cache) if not name.endswith(".lock")]
    small_disk("32m")
    assert len(imagenet_subsets.load_dataset("1pct", **options)) == 12_811
    assert tree(cache) == tree(undisturbed[num_proc])


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("home", ["read only", "a file"])
def test_without_a_home_that_can_be_written_all_else_works(home, few, images, tmp_path, hf_home, read_only):
    if home == "read only":
        hf_home.mkdir()
        read_only(hf_home)
    else:
        hf_home.touch()
    for options in ({"streaming": True}, {"cache_dir": str(tmp_path / "cache")}):
        with pytest.warns(UserWarning, match=NOT_KEPT.format(hf_home)):
            assert dict(images_of(load(few, **options, **FEW))) == images


def test_the_tools_work_without_a_home_that_can_be_written(standins_1pct, tmp_path):
    """In separate processes, as for a new user: nothing can be written below HOME, and HF_HOME is not set."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    environment["HOME"] = os.devnull
    folder = ["--data-dir", standins_1pct, "--output-dir"]
    for expected, *arguments in (
        (1, "check", standins_1pct),  # they lack 10pct and lt
        (0, "show", "1pct", *folder, tmp_path),
        (0, "build", "1pct", *folder, tmp_path / "hub"),
    ):
        done = subprocess.run(command("command", *arguments), env=environment, capture_output=True, text=True)
        assert done.returncode == expected, done.stderr
        assert done.stderr.count("Set HF_HOME to a folder that can be written") == 1
        assert arguments[0] != "check" or re.search(r"12,811 of 12,811 +0  ok", done.stdout)
    assert {"1pct-train.png", "hub"} <= set(os.listdir(tmp_path))


def test_the_images_of_a_tar_gz_need_a_home(few, tmp_path, hf_home):
    hf_home.touch()
    (tmp_path / "kaggle").mkdir()
    with gzip.open(tmp_path / "kaggle" / KAGGLE_TAR_GZ, "wb", 1) as archive:
        archive.write(few.read_bytes())
    with pytest.raises(OSError, match=f"are kept in a folder below HF_HOME, which cannot be written.*{hf_home}"):
        load(tmp_path / "kaggle" / KAGGLE_TAR_GZ, streaming=True, **FEW)


@pytest.mark.filterwarnings("ignore:.*are read once")
def test_kept_images_and_their_index_may_be_read_only(few, images, tmp_path, hf_home, read_only, monkeypatch):
    (tmp_path / "kaggle").mkdir()
    with gzip.open(tmp_path / "kaggle" / KAGGLE_TAR_GZ, "wb", 1) as archive:
        archive.write(few.read_bytes())
    load(tmp_path / "kaggle" / KAGGLE_TAR_GZ, streaming=True, **FEW)
    load(few, streaming=True, **FEW)
    read_only(hf_home)
    monkeypatch.setattr("imagenet_reader.layouts.official_tar.walk_archive", None)
    monkeypatch.setattr("imagenet_reader.layouts.kept.walk_archive", None)
    for path in (few, tmp_path / "kaggle" / KAGGLE_TAR_GZ):
        assert dict(images_of(load(path, streaming=True, **FEW))) == images


def test_a_cache_that_cannot_be_written(few, tmp_path, read_only):
    cache = tmp_path / "cache"
    cache.mkdir()
    read_only(cache)
    with pytest.raises(OSError, match=f"(Read-only file system|Permission denied).*{cache}"):
        load(few, cache_dir=str(cache), **FEW)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_data_dir_that_cannot_be_written_is_all_right(few, images, tmp_path, read_only):
    read_only(few.parent)
    with pytest.raises(OSError, match=r"Read-only|denied"):
        (few.parent / "file").touch()
    assert dict(images_of(load(few, streaming=True, **FEW))) == images
    assert dict(images_of(load(few, cache_dir=str(tmp_path / "cache"), **FEW))) == images


# -------------------------------------------------------------------------------------- input errors


@pytest.mark.parametrize("call", [1, 2, 18, 30, 200])
def test_an_input_error_while_indexing(call, few, hf_home, before_reads):
    calls = itertools.count(1)

    def fail(position, size):
        if next(calls) == call:
            raise OSError(errno.EIO, "Input/output error")

    before_reads(fail)
    with pytest.raises(OSError, match="Input/output error") as raised:
        read_index(str(few))
    assert (raised.value.errno, raised.value.filename) == (errno.EIO, str(few))
    assert not [name for name in files(hf_home) if not name.endswith(".lock")]
    assert read_index(str(few)).num_rows == 300


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("num_proc", [None, 2])
def test_an_input_error_while_images_are_read(num_proc, few, images, tmp_path, before_reads):
    read_index(str(few))
    with tarfile.open(few) as tar:
        bad = tar.getmember(NAMES[250]).offset

    def fail(position, size):
        if position <= bad < position + size and size > 512:
            raise OSError(errno.EIO, "Input/output error")

    streamed = load(few, streaming=True, **FEW)
    before_reads(fail)
    message = fails_right(streamed, images)
    assert "Input/output error" in message
    assert str(few) in message
    options = {"cache_dir": str(tmp_path / "cache"), "num_proc": num_proc, **FEW}
    with pytest.raises((OSError, DatasetGenerationError)) as raised:
        load(few, **options)
    assert "Input/output error, while reading" in chain(raised.value)
    assert str(few) in chain(raised.value)
    assert not [name for name in files(tmp_path / "cache") if not name.endswith(".lock")]
    before_reads(lambda position, size: None)
    assert dict(images_of(load(few, **options))) == images


@pytest.mark.filterwarnings("ignore:.*left out")
def test_a_read_that_gives_less_than_it_was_asked_for_is_no_image(few, images, monkeypatch):
    dataset, preadv = load(few, streaming=True, **FEW), os.preadv

    def short(fd, buffers, position):
        return preadv(fd, [buffers[0], buffers[1][:-10]], position)

    monkeypatch.setattr(os, "preadv", short)
    assert str(few) in fails_right(dataset, images)
