"""Images behind URLs: an index, few bytes, few requests, and clear errors."""

import functools
import re

import datasets
import multiprocess
import pytest
from datasets.exceptions import DatasetGenerationError
from helpers.faults import chain
from helpers.layout_rows import contents, load
from helpers.programs import output
from helpers.remote import files_of, indexes_of, served
from helpers.rows import published_rows
from makers.layouts import VALIDATION

import imagenet_subsets
from imagenet_reader.facts import TRAIN_ARCHIVE
from imagenet_reader.io import remote
from imagenet_subsets import ArchiveError
from imagenet_subsets_tools.check import check_archives
from imagenet_subsets_tools.cli import main

pytestmark = [pytest.mark.oldest_and_newest, pytest.mark.filterwarnings("ignore:.*are read once")]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(remote, "PAUSES", (0, 0, 0, 0))


@pytest.fixture
def archives(small_images, tmp_path):
    """A server that has the official archives, of few images, and their indexes."""
    with served("archives", small_images, tmp_path) as server:
        yield server


@pytest.fixture
def load_from(list_options, hf_home, tmp_path):
    """``load_from(url, ...)`` loads the images of the servers, with the bytes of the archive."""
    return functools.partial(load, cache_dir=tmp_path / "cache", image_bytes="archive", **list_options)


@pytest.mark.once
@pytest.mark.parametrize("layout", ["archives", "tfds"])
def test_an_index_is_needed_and_made_by_the_command_of_the_error(layout, small_images, load_from, tmp_path):
    with served(layout, small_images, tmp_path, indexed=False) as server:
        with pytest.raises(ArchiveError, match=rf"no index.*imagenet-subsets index {server.url}"):
            load_from(server.url)
        assert server.sent < 1_000_000
        with pytest.warns(UserWarning, match=r"has no index: [\d.]+ MB are read once"):
            assert main(["index", server.url]) == 0
        assert contents(load_from(server.url)) == small_images


@pytest.mark.once
def test_only_the_wanted_bytes_are_fetched(standins_1pct, train, hf_home, tmp_path):
    names = list(train)[::200]
    with served("archives", {}, tmp_path, indexed=False) as server:
        server.files = files_of(standins_1pct) | indexes_of(standins_1pct, tmp_path / "indexes")
        options = {"train_list": names, "splits": ["train"], "image_bytes": "archive"}
        loaded = load(server.url, cache_dir=tmp_path / "cache", **options)["train"]
        assert contents(loaded) == {name: train[name] for name in loaded["file_name"]}
        assert sorted(loaded["file_name"]) == sorted(names)
        index, archive = (len(server.files[f"{TRAIN_ARCHIVE}{suffix}"]) for suffix in (".index", ""))
        # Images that are less than 64 KiB apart are fetched together, and samples tell which archive it is.
        assert server.sent < index + len(names) * 80_000 < archive


@pytest.mark.once
def test_index_command_writes_the_expected_file(small_images, tmp_path, capsys):
    with served("class tars", small_images, tmp_path) as server:
        assert {name for name in server.files if ".index" in name} == {"ILSVRC2012_img_val.tar.index", "train.index"}
    folder, file = tmp_path / "served", tmp_path / "file.index"
    assert main(["index", str(folder / "ILSVRC2012_img_val.tar"), "--output", str(file)]) == 0
    assert f"150 images, index {file}" in capsys.readouterr().out
    assert file.read_bytes() == server.files["ILSVRC2012_img_val.tar.index"]
    assert main(["index", str(folder), "--output", str(file)]) == 1
    assert "File exists" in capsys.readouterr().err


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (TRAIN_ARCHIVE, lambda content: content + bytes(10_240), "is the index of files with other .*--output"),
        (TRAIN_ARCHIVE, lambda content: content[:-20_480] + b"x" * 20_480, "is the index of files with other content"),
        (f"{TRAIN_ARCHIVE}.index", lambda content: content[:-1], "is damaged"),
    ],
    ids=["another size", "other content", "damaged"],
)
def test_an_index_that_does_not_fit(name, change, message, archives, load_from):
    archives.files[name] = change(archives.files[name])
    with pytest.raises(ArchiveError, match=rf"img_train\.tar\.index {message}"):
        load_from(archives.url)


@pytest.mark.once
@pytest.mark.parametrize("failure", [503, "reset", "short", "stall"])
@pytest.mark.parametrize("layout", ["archives", "hub tar.gz"])
def test_single_failed_requests_are_retried(failure, layout, small_images, load_from, tmp_path):
    import aiohttp

    with served(layout, small_images, tmp_path) as server:
        server.fail = lambda number: failure if number % 5 == 0 else None
        options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(sock_read=0.5)}}
        assert contents(load_from(server.url, storage_options=options)) == small_images


@pytest.mark.once
@pytest.mark.parametrize(("layout", "settings"), [("archives", {"listing": False}), ("webdataset", {"absent": 403})])
def test_server_without_lists_or_which_forbids_absent_files(layout, settings, small_images, load_from, tmp_path):
    with served(layout, small_images, tmp_path, **settings) as server:
        assert contents(load_from(server.url)) == small_images


@pytest.mark.once
@pytest.mark.parametrize(
    ("settings", "message"),
    [({"ranges": False}, "ignores ranges.*download"), ({"fail": lambda number: 403}, "failed.*403")],
)
@pytest.mark.parametrize("layout", ["archives", "hub parquet"])
def test_server_that_refuses(layout, settings, message, small_images, load_from, tmp_path):
    with served(layout, small_images, tmp_path) as server:
        vars(server).update(settings)
        with pytest.raises((OSError, DatasetGenerationError)) as caught:
            load_from(server.url)
    error = chain(caught.value)
    assert server.url in error and re.search(message, error) and "damaged" not in error


@pytest.mark.once
def test_nothing_at_a_url(archives, load_from):
    with pytest.raises(FileNotFoundError, match=rf"{archives.url}/none has no {TRAIN_ARCHIVE} .*official archives"):
        load_from(f"{archives.url}/none")


def test_object_that_is_replaced_after_it_was_indexed(archives, list_options, load_from, tmp_path):
    rows = load_from(archives.url, in_place=True)["train"]
    options = {"data_dir": archives.url, "cache_dir": str(tmp_path / "c"), **list_options}
    copying = imagenet_subsets.ImagenetSubsets(config_name="custom", **options)
    assert copying.config.plan.splits
    archives.versions[TRAIN_ARCHIVE] = "2"
    for read in (lambda: rows[0], lambda: rows[:5], copying.download_and_prepare):
        with pytest.raises((ArchiveError, DatasetGenerationError)) as caught:
            read()
        error = chain(caught.value)
        assert f"{archives.url}/{TRAIN_ARCHIVE} " in error and "change" in error
    assert load_from(archives.url, cache_dir=tmp_path / "new", in_place=True)["train"][0]["image"]


@pytest.mark.once
def test_a_failed_transfer_keeps_what_has_arrived(small_images, load_from, tmp_path):
    with served("hub parquet", small_images, tmp_path) as server:
        server.headless = "data/train-00002-of-00003.parquet"
        with pytest.raises(OSError, match="503"):
            load_from(server.url)
        server.headless = "data/train-00000-of-00003.parquet"  # which has arrived
        assert contents(load_from(server.url)) == small_images


def first_sizes(rows):
    return [image.size for image in rows[:3]["image"]]


@pytest.mark.once
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_and_saved_rows(method, archives, load_from, tmp_path):
    rows = load_from(archives.url, in_place=True)["train"]
    expected = first_sizes(rows)
    with multiprocess.get_context(method).Pool(1) as pool:
        assert pool.apply_async(first_sizes, (rows,)).get(60) == expected
    rows.save_to_disk(str(tmp_path / "saved"))
    assert str(expected) in output("load_saved", tmp_path / "saved")


def test_secrets_are_used_but_never_stored(small_images, load_from, tmp_path):
    options = {"headers": {"Authorization": "Bearer geheim"}}
    with served("archives", small_images, tmp_path, token="geheim") as server:
        with pytest.raises(PermissionError) as caught:
            load_from(server.url)
        assert server.url in str(caught.value)
        for more in ({}, {"num_proc": 2, "unlabeled": False}, {"in_place": True}):
            loaded = load_from(server.url, storage_options=options, **more)
            assert loaded["train"][0]["image"]
    found = [path for path in tmp_path.rglob("*") if path.is_file() and b"geheim" in path.read_bytes()]
    assert not found


@pytest.mark.once
@pytest.mark.parametrize("url", ["https://user:geheim@host/folder", "https://host/folder?sig=geheim"])
def test_urls_with_secrets_are_refused(url):
    with pytest.raises(ValueError, match="storage_options") as caught:
        load(url, "1pct")
    assert "geheim" not in str(caught.value)


@pytest.mark.once
def test_check_and_build(small_images, list_options, hf_home, tmp_path, capsys):
    count = sum(not name.startswith(VALIDATION) for name in small_images)
    with served("archives", small_images, tmp_path) as server:
        report = check_archives(server.url)
        assert report["splits"][0]["found"] == sum(name in small_images for name, _ in published_rows("1pct", "train"))
        assert main(["check", server.url]) == 1  # which lacks images
        assert f"{server.url}/{TRAIN_ARCHIVE}" in capsys.readouterr().out
        assert main(["index", f"{server.url}/{TRAIN_ARCHIVE}", server.url]) == 0
        assert re.search(rf"{server.url}/{TRAIN_ARCHIVE}: {count:,} images, index ", capsys.readouterr().out)
        built = tmp_path / "built"
        options = ["--train-list", list_options["train_list"], "--splits", "train", "--output-dir", str(built)]
        assert main(["build", "custom", "--data-dir", server.url, *options]) == 0
        rows = datasets.load_dataset(str(built), split="train", cache_dir=str(tmp_path / "cache"))
        assert len(rows) == count
