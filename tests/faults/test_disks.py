"""Full disks, read-only folders and input errors: each error names what failed."""

import errno
import fcntl
import itertools
import os
import re
import shutil
import tarfile

import huggingface_hub
import pytest
from datasets.exceptions import DatasetGenerationError
from helpers.faults import NAMES, TRAIN, VAL_OPTIONS, chain, error_after_correct_rows, files, images_of, load
from makers.layouts import KAGGLE_TAR_GZ, kaggle_tar_gz

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE
from imagenet_subsets import read_index

pytestmark = pytest.mark.oldest_and_newest

NOT_CACHED = "cannot be kept in .*{}.*HF_HOME"


def test_disk_full_while_indexing(standins_1pct, small_disk, monkeypatch):
    disk = small_disk("64k")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HOME", str(disk / "hf_home"))
    archive = standins_1pct / TRAIN_ARCHIVE
    with pytest.warns(UserWarning, match=NOT_CACHED.format(disk)):
        assert read_index(archive).num_rows > 12_811
    assert not files(disk)
    small_disk("1m")
    assert read_index(archive).num_rows > 12_811
    assert [name for name in files(disk) if name.endswith(".index")]


def test_small_disk_is_detected_before_writing(standins_1pct, small_disk, monkeypatch):
    disk = small_disk("4m")
    monkeypatch.setattr(imagenet_subsets.ImagenetSubsets, "_generate_tables", lambda *_: pytest.fail("it is written"))
    options = {"data_dir": standins_1pct, "cache_dir": str(disk), **TRAIN}
    expected = rf"1pct need \d+\.\d MB, but only \d\.\d MB are free \(.*in_place=True.*cache_dir=.*HF_HOME\): '{disk}"
    with pytest.raises(OSError, match=expected) as raised:
        imagenet_subsets.load_dataset("1pct", **options)
    assert raised.value.errno == errno.ENOSPC
    assert not files(disk)


def test_a_dataset_in_the_cache_needs_no_space(val_tar, small_disk):
    disk = small_disk("700k")
    options = {"cache_dir": str(disk), **VAL_OPTIONS}
    assert len(load(val_tar, **options)) == 300
    (disk / "other").write_bytes(bytes(shutil.disk_usage(disk).free))
    assert len(load(val_tar, **options)) == 300


def test_disk_full_while_preparing(standins_1pct, small_disk, complete_cache, monkeypatch):
    """As if another process filled the disk, or a quota were reached, which free space does not show."""
    cache = small_disk("4m")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1 << 40, 0, 1 << 40))
    options = {"data_dir": standins_1pct, "cache_dir": str(cache), "num_proc": 2, **TRAIN}
    with pytest.raises(OSError, match=rf"^\[Errno 28\] No space left on device, while writing the dataset: '{cache}"):
        imagenet_subsets.load_dataset("1pct", **options)
    assert not files(cache)
    small_disk("32m")
    assert len(imagenet_subsets.load_dataset("1pct", **options)) == 12_811
    assert files(cache) == files(complete_cache)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_loading_works_with_a_read_only_home(val_tar, images, tmp_path, hf_home, read_only):
    hf_home.mkdir()
    read_only(hf_home)
    for options in ({"streaming": True}, {"cache_dir": str(tmp_path / "cache")}):
        with pytest.warns(UserWarning, match=NOT_CACHED.format(hf_home)):
            assert dict(images_of(load(val_tar, **options, **VAL_OPTIONS))) == images


def test_a_disk_without_locks(val_tar, images, hf_home, monkeypatch):
    lock = fcntl.flock

    def without_locks(file, operation):
        path = os.readlink(f"/proc/self/fd/{file if isinstance(file, int) else file.fileno()}")
        if path.startswith(str(hf_home)):
            raise OSError(errno.ENOLCK, "No locks available")
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", without_locks)
    with pytest.warns(UserWarning, match=f"{hf_home}.* is on a disk without locks"):
        assert dict(images_of(load(val_tar, streaming=True, **VAL_OPTIONS))) == images


def test_images_of_a_tar_gz_need_a_writable_home(images, tmp_path, hf_home):
    hf_home.touch()
    kaggle_tar_gz(images, tmp_path / "kaggle")
    with pytest.raises(OSError, match=f"are kept in a folder below HF_HOME, which cannot be written.*{hf_home}"):
        load(tmp_path / "kaggle" / KAGGLE_TAR_GZ, streaming=True, **VAL_OPTIONS)


@pytest.mark.filterwarnings("ignore:.*are read once", "error:.*cannot be kept")
def test_extracted_images_and_their_index_may_be_read_only(val_tar, images, tmp_path, hf_home, read_only):
    kaggle_tar_gz(images, tmp_path / "kaggle")
    load(tmp_path / "kaggle" / KAGGLE_TAR_GZ, streaming=True, **VAL_OPTIONS)
    load(val_tar, streaming=True, **VAL_OPTIONS)
    read_only(hf_home)
    for path in (val_tar, tmp_path / "kaggle" / KAGGLE_TAR_GZ):
        assert dict(images_of(load(path, streaming=True, **VAL_OPTIONS))) == images


def test_read_only_cache(val_tar, tmp_path, read_only):
    cache = tmp_path / "cache"
    cache.mkdir()
    read_only(cache)
    for folder in (cache, cache / "absent" / "folder"):
        with pytest.raises(OSError, match=f"(Read-only file system|Permission denied): the cache.*{cache}'"):
            load(val_tar, cache_dir=str(folder), **VAL_OPTIONS)


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("folder", [".", "imagenet_subsets"])
def test_a_finished_dataset_in_a_read_only_cache(folder, val_tar, images, tmp_path, read_only):
    cache = tmp_path / "cache"
    load(val_tar, cache_dir=str(cache), **VAL_OPTIONS)
    read_only(cache / folder)
    assert dict(images_of(load(val_tar, cache_dir=str(cache), **VAL_OPTIONS))) == images
    with pytest.raises(OSError, match=r"Set HF_DATASETS_CACHE .*or pass streaming=True"):
        load(val_tar, cache_dir=str(cache), download_mode="force_redownload", **VAL_OPTIONS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads whatever the mode is")
@pytest.mark.parametrize("closed", ["data", "data/ILSVRC2012_img_val.tar"])
def test_images_that_cannot_be_read(closed, val_tar, tmp_path, request):
    request.addfinalizer(lambda: os.chmod(tmp_path / closed, 0o755))
    os.chmod(tmp_path / closed, 0)
    with pytest.raises(PermissionError, match=rf"the images cannot be read.*chmod -R a\+rX.*{tmp_path / closed}'"):
        load(val_tar, cache_dir=str(tmp_path / "cache"), **VAL_OPTIONS)


@pytest.mark.parametrize("call", [1, 30, 200])
def test_an_input_error_while_indexing(call, val_tar, hf_home, before_reads):
    calls = itertools.count(1)

    def fail(position, size):
        if next(calls) == call:
            raise OSError(errno.EIO, "Input/output error")

    before_reads(fail)
    with pytest.raises(OSError, match="Input/output error") as raised:
        read_index(str(val_tar))
    assert (raised.value.errno, raised.value.filename) == (errno.EIO, str(val_tar))
    assert not files(hf_home)
    assert read_index(str(val_tar)).num_rows == 300


@pytest.mark.filterwarnings("ignore:.*left out")
@pytest.mark.parametrize("num_proc", [None, 2])
def test_an_input_error_while_images_are_read(num_proc, val_tar, images, tmp_path, before_reads):
    read_index(str(val_tar))
    with tarfile.open(val_tar) as tar:
        bad = tar.getmember(NAMES[250]).offset

    def fail(position, size):
        if position <= bad < position + size and size > 512:
            raise OSError(errno.EIO, "Input/output error")

    streamed = load(val_tar, streaming=True, **VAL_OPTIONS)
    before_reads(fail)
    message = error_after_correct_rows(streamed, images)
    assert "Input/output error" in message and str(val_tar) in message
    options = {"cache_dir": str(tmp_path / "cache"), "num_proc": num_proc, **VAL_OPTIONS}
    with pytest.raises((OSError, DatasetGenerationError)) as raised:
        load(val_tar, **options)
    assert re.search(f"Input/output error, while reading.*{val_tar}", chain(raised.value))
    assert not files(tmp_path / "cache")
    before_reads(lambda position, size: None)
    assert dict(images_of(load(val_tar, **options))) == images


@pytest.mark.filterwarnings("ignore:.*left out")
def test_read_only_data_dir_works(val_tar, images, tmp_path, read_only):
    read_only(val_tar.parent)
    with pytest.raises(OSError, match=r"Read-only|denied"):
        (val_tar.parent / "file").touch()
    assert dict(images_of(load(val_tar, streaming=True, **VAL_OPTIONS))) == images
    assert dict(images_of(load(val_tar, cache_dir=str(tmp_path / "cache"), **VAL_OPTIONS))) == images
