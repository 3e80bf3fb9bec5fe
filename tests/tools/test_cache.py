"""The command ``cache`` lists existing entries and removes only those that are named."""

import json
import os
import time
from pathlib import Path

import filelock
import pytest
from helpers.faults import VAL_OPTIONS, files, images_of, load, paths_below
from helpers.rows import WAYS
from helpers.rows import load as load_by
from makers.layouts import KAGGLE_TAR_GZ, kaggle_tar_gz

import imagenet_subsets
from imagenet_subsets_tools.cache import list_cache
from imagenet_subsets_tools.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:.*left out", "ignore:.*can be read only from beginning to end")
LONG_AGO = 1_600_000_000  # seconds since 1970


@pytest.fixture
def cache(tmp_path, hf_home):
    """The ``cache_dir`` of a test, which has its own HF_HOME."""
    return tmp_path / "cache"


def entries(cache):
    """{kind: Entry}"""
    return {entry.name.rpartition("-")[0]: entry for entry in list_cache(cache)}


def all_files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("way", WAYS)
def test_listing_describes_each_dataset(way, val_tar, cache):
    options = {"splits": ["validation"], "on_missing": "skip", "label_names": "words"}
    load_by(way, "1pct", data_dir=str(val_tar.parent), cache_dir=str(cache), **options)
    found = entries(cache)
    assert set(found) == {"1pct", "index"}
    assert found["1pct"].options == options
    assert found["1pct"].archives == found["index"].archives == [str(val_tar)]
    assert found["1pct"].size > sum(path.stat().st_size for path in cache.rglob("*.arrow")) > 0
    assert found["index"].path == Path(imagenet_subsets.index_path(val_tar))


def test_last_use_is_recorded(val_tar, cache):
    load(val_tar, cache_dir=str(cache), **VAL_OPTIONS)
    for entry in list_cache(cache):
        os.utime(entry.path / "imagenet_subsets.json" if entry.path.is_dir() else entry.path, (LONG_AGO, LONG_AGO))
    assert {entry.used for entry in list_cache(cache)} == {LONG_AGO}  # listing is no use
    load(val_tar, cache_dir=str(cache), **VAL_OPTIONS)
    assert time.time() - entries(cache)["1pct"].used < 60
    load(val_tar, streaming=True, **VAL_OPTIONS)
    assert time.time() - entries(cache)["index"].used < 60


def test_own_list_is_described_by_path_or_length(val_tar, cache, tmp_path, images):
    names = list(images)[:10]
    (tmp_path / "my.txt").write_text("\n".join(names))
    for value, noted in ((names, "10 lines"), (tmp_path / "my.txt", str(tmp_path / "my.txt"))):
        options = {"train_list": value, "splits": ["train"], "cache_dir": str(cache / noted[-3:])}
        imagenet_subsets.load_dataset("custom", data_dir=val_tar.parent, **options)
        assert entries(options["cache_dir"])["custom"].options["train_list"] == noted


def test_removal_deletes_only_the_named_entry_and_its_locks(val_tar, cache, hf_home, images, capsys):
    """Files of others are not even listed."""
    other, index = cache / "imagenet_subsets" / "default" / "0.0.0" / "abc", hf_home / "imagenet_subsets" / "mine.index"
    for folder in (other, index.parent):
        folder.mkdir(parents=True)
    (other / "dataset_info.json").write_text(json.dumps({"builder_name": "parquet"}))
    index.touch()
    load(val_tar, cache_dir=str(cache), **VAL_OPTIONS)
    kept = entries(cache)["1pct"]
    before = all_files(cache)
    load(val_tar, cache_dir=str(cache), in_place=True, **VAL_OPTIONS)
    removed = next(entry for entry in list_cache(cache) if "in_place" in entry.options)
    assert main(["cache", "--cache-dir", str(cache), "--remove", removed.name]) == 0
    assert removed.name in capsys.readouterr().out
    assert all_files(cache) == before
    assert dict(images_of(load(val_tar, cache_dir=str(cache), **VAL_OPTIONS))) == images
    assert main(["cache", "--cache-dir", str(cache), "--remove", kept.name, entries(cache)["index"].name]) == 0
    assert (all_files(cache), all_files(hf_home)) == ([other / "dataset_info.json"], [index])
    assert main(["cache", "--cache-dir", str(cache)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("The caches hold no dataset")


def test_what_is_unknown_or_being_written_is_not_removed(val_tar, cache, capsys):
    load(val_tar, cache_dir=str(cache), **VAL_OPTIONS)
    entry, before = entries(cache)["1pct"], paths_below(cache)
    remove = ["cache", "--cache-dir", str(cache), "--remove", entry.name]
    assert main([*remove, "1pct-00000000"]) == 1
    assert f"There is no entry 1pct-00000000. The entries: {entry.name}" in capsys.readouterr().err
    with filelock.FileLock(entry.lock):
        assert main(remove) == 1
    assert "is being written by another process" in capsys.readouterr().err
    assert paths_below(cache) == before


def test_leftovers_of_killed_processes_are_listed_and_removed(val_tar, cache, hf_home):
    load(val_tar, cache_dir=str(cache), **VAL_OPTIONS)
    dataset, index = entries(cache)["1pct"], entries(cache)["index"]
    dataset.path.rename(f"{dataset.path}.incomplete")
    index.path.rename(f"{index.path}.tmp")
    left = list_cache(cache)
    assert [entry.name.partition("-")[0] for entry in left] == ["unfinished", "unfinished"]
    assert main(["cache", "--cache-dir", str(cache), "--remove", *(entry.name for entry in left)]) == 0
    assert files(cache) == []
    assert list(hf_home.rglob("*.*")) == []


def test_the_images_of_a_tar_gz(images, cache, hf_home, tmp_path):
    kaggle_tar_gz(images, tmp_path)
    load(tmp_path / KAGGLE_TAR_GZ, streaming=True, **VAL_OPTIONS)
    (entry,) = list_cache(cache)
    assert entry.name.startswith("images-") and entry.archives == [str(tmp_path / KAGGLE_TAR_GZ)]
    assert entry.size > sum(map(len, images.values()))
    assert main(["cache", "--cache-dir", str(cache), "--remove", entry.name]) == 0
    assert list(hf_home.rglob("*.*")) == []


def test_index_takes_a_folder(val_tar, hf_home, capsys, tmp_path):
    assert main(["index", str(val_tar.parent)]) == 0
    assert capsys.readouterr().out == f"{val_tar}: 300 images, index {imagenet_subsets.index_path(val_tar)}\n"
    (tmp_path / "empty").mkdir()
    assert main(["index", str(tmp_path / "empty")]) == 1
    assert "holds no official archives" in capsys.readouterr().err


def test_index_reports_that_no_index_can_be_cached(val_tar, hf_home, capsys):
    hf_home.touch()
    with pytest.warns(UserWarning, match="Set HF_HOME"):
        assert main(["index", str(val_tar)]) == 1
    assert capsys.readouterr().out == f"{val_tar}: 300 images, the index was not cached\n"
