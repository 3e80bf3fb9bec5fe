"""Layouts of many files: those of the Hub, WebDataset tars and TFDS records."""

import os
import tarfile

import fsspec
import pytest
from helpers.layout_rows import contents, load, message_of_reading, stream
from helpers.rows import paths, rows_of
from makers.hub_parquet import hub_parquet
from makers.hub_tar_gz import hub_tar_gz
from makers.layouts import truncate
from makers.tfds import tfds
from makers.webdataset import webdataset

from imagenet_subsets import ArchiveError, ImagenetSubsets

pytestmark = [pytest.mark.oldest_and_newest, pytest.mark.filterwarnings("ignore:.*are read once")]
LAYOUTS = {"hub parquet": hub_parquet, "hub tar.gz": hub_tar_gz, "webdataset": webdataset, "tfds": tfds}


def files(folder):
    return sorted(
        path for path in folder.rglob("*") if path.suffix in (".parquet", ".gz", ".tar") or "tfrecord" in path.name
    )


def train_files(folder):
    return [path for path in files(folder) if "train" in path.name]


def names_in(kept_tar):
    with tarfile.open(kept_tar) as images:
        return images.getnames()[1:]


@pytest.fixture(params=LAYOUTS)
def data(request, small_images, tmp_path):
    LAYOUTS[request.param](small_images, tmp_path / "data")
    return tmp_path / "data"


def test_copied_in_place_and_streaming_are_the_same(data, small_images, list_options, tmp_path, cached_files):
    copied = load(data, cache_dir=tmp_path / "copied", image_bytes="archive", **list_options)
    in_place = load(data, cache_dir=tmp_path / "in_place", image_bytes="archive", in_place=True, **list_options)
    streamed = stream(data, image_bytes="archive", **list_options)
    for split, rows in copied.items():
        assert contents(rows) == contents(streamed[split])
        assert rows_of(in_place[split]) == rows_of(rows)
        images = fsspec.filesystem("imagenet").cat(paths(in_place[split]))
        assert list(images.values()) == list(contents(rows).values())


def test_an_absent_file_is_named(data, list_options):
    absent = train_files(data)[1]
    absent.unlink()
    message = message_of_reading(data, **list_options)
    assert absent.name in message and "Download" in message and len(message) < 2000


def test_a_truncated_file_is_named(data, list_options):
    truncated = train_files(data)[1]
    truncate(truncated, 0.6)
    message = message_of_reading(data, **list_options)
    assert str(truncated) in message and len(message) < 2000


def test_file_with_other_content_is_named(data, list_options):
    other = train_files(data)[0]
    other.write_bytes(b"<html>log in</html>" * 100)
    message = message_of_reading(data, **list_options)
    assert str(other) in message and len(message) < 2000


def test_image_in_two_files_is_an_error(data, list_options):
    first, second = train_files(data)[:2]
    if first.suffix == ".gz":
        pytest.skip("as in a tar, the last one counts")
    second.write_bytes(first.read_bytes())
    message = message_of_reading(data, **list_options)
    assert "n0" in message and str(first) in message and str(second) in message


def test_files_that_change_after_the_builder_was_made(data, list_options, tmp_path):
    builder = ImagenetSubsets(
        config_name="custom", data_dir=str(data), cache_dir=str(tmp_path / "cache"), **list_options
    )
    os.utime(train_files(data)[0], (1, 1))
    with pytest.raises(ArchiveError, match="was changed after this builder was made"):
        builder.download_and_prepare()


@pytest.mark.parametrize("make", [hub_parquet, hub_tar_gz])
def test_second_config_extracts_only_new_images(make, small_images, list_options, tmp_path, cached_files):
    make(small_images, tmp_path / "data")
    names = sorted(name for name in small_images if name.startswith("n"))
    few = load(tmp_path / "data", cache_dir=tmp_path / "a", train_list=names[:20], splits=["train"])["train"]
    more = load(tmp_path / "data", cache_dir=tmp_path / "b", train_list=names[:50], splits=["train"])["train"]
    assert sorted(contents(few)) == names[:20] and sorted(contents(more)) == names[:50]
    assert sorted(len(names_in(path)) for path in tmp_path.glob("home/*/*.tar")) == [20, 30]
    with pytest.warns(UserWarning, match="are read once") as warned:
        full = load(tmp_path / "data", "full", tmp_path / "c", splits=["train"], on_missing="skip")["train"]
    assert sorted(contents(full)) == names
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("home/*/*.tar")}
    load(tmp_path / "data", cache_dir=tmp_path / "d", train_list=names, splits=["train"])
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("home/*/*.tar")} == before and warned


def test_absent_images_are_searched_for_once(small_images, tmp_path, cached_files, recwarn):
    hub_parquet(small_images, tmp_path / "data")
    names = [*sorted(name for name in small_images if name.startswith("n"))[:9], "n01440764_999999.JPEG"]
    for cache in ("a", "b"):
        options = {"train_list": names, "splits": ["train"], "on_missing": "skip"}
        assert len(load(tmp_path / "data", cache_dir=tmp_path / cache, **options)["train"]) == 9
    assert sum("are read once" in str(warning.message) for warning in recwarn) == 1


def test_leftovers_of_a_killed_process_are_not_used(small_images, list_options, tmp_path, cached_files):
    hub_parquet(small_images, tmp_path / "data")
    load(tmp_path / "data", cache_dir=tmp_path / "a", **list_options)
    cached_files = next(
        path for path in tmp_path.glob("home/*/*.tar") if any(name[0] == "n" for name in names_in(path))
    )
    unfinished = cached_files.with_name(f"{cached_files.name.partition('-')[0]}.tar.tmp")
    unfinished.write_bytes(cached_files.read_bytes()[:20_000])
    cached_files.unlink()
    rows = load(tmp_path / "data", cache_dir=tmp_path / "b", image_bytes="archive", **list_options)
    assert contents(rows["train"]) | contents(rows["validation"]) == small_images
    assert not unfinished.exists()
