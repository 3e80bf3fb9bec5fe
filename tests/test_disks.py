"""A disk that is full, a folder that cannot be written, input errors: an error that names what failed."""

import errno
import itertools
import os
import tarfile

import huggingface_hub
import pytest
from datasets.exceptions import DatasetGenerationError
from faults import FEW, NAMES, TRAIN, chain, fails_right, files, images_of, load, tree

import imagenet_subsets
from imagenet_reader.official import TRAIN_ARCHIVE
from imagenet_subsets import read_index

# ------------------------------------------------------------------------------ disks and permissions


def test_disk_full_while_indexing(standins_1pct, small_disk, monkeypatch):
    disk = small_disk("64k")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(disk / "hf_home"))
    archive = standins_1pct / TRAIN_ARCHIVE
    with pytest.raises(OSError, match=rf"No space left on device.*{disk}") as raised:
        read_index(archive)
    assert raised.value.errno == errno.ENOSPC
    assert not [name for name in files(disk) if not name.endswith(".lock")]
    small_disk("1m")
    assert read_index(archive).num_rows > 12_811


@pytest.mark.parametrize("num_proc", [None, 2])
def test_disk_full_while_preparing(num_proc, standins_1pct, small_disk, undisturbed):
    cache = small_disk("4m")
    options = {"data_dir": standins_1pct, "cache_dir": str(cache), "num_proc": num_proc, **TRAIN}
    with pytest.raises((OSError, DatasetGenerationError)) as raised:
        imagenet_subsets.load_dataset("1pct", **options)
    assert "No space left on device" in chain(raised.value)
    assert str(cache) in chain(raised.value)
    assert not [name for name in files(cache) if not name.endswith(".lock")]
    small_disk("32m")
    assert len(imagenet_subsets.load_dataset("1pct", **options)) == 12_811
    assert tree(cache) == tree(undisturbed[num_proc])


def test_an_hf_home_that_cannot_be_written(few, hf_home, read_only):
    hf_home.mkdir()
    read_only(hf_home)
    with pytest.raises(OSError, match=f"(Read-only file system|Permission denied).*{hf_home}"):
        load(few, streaming=True, **FEW)


def test_an_hf_home_that_is_a_file(few, hf_home):
    hf_home.touch()
    with pytest.raises(OSError, match=str(hf_home)):
        load(few, streaming=True, **FEW)


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
