"""Layouts of many files: those of the Hub, WebDataset tars and TFDS records."""

import os
import tarfile

import fsspec
import pytest
from helpers.layout_rows import contents, load, message_of_reading, stream
from helpers.rows import paths, rows_of
from makers.hub_parquet import hub_parquet
from makers.hub_tar_gz import hub_tar_gz
from makers.layouts import cut
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
def data(request, small, tmp_path):
    LAYOUTS[request.param](small, tmp_path / "data")
    return tmp_path / "data"


def test_copied_in_place_and_streaming_are_the_same(data, small, lists, tmp_path, kept):
    copied = load(data, cache_dir=tmp_path / "copied", image_bytes="archive", **lists)
    in_place = load(data, cache_dir=tmp_path / "in_place", image_bytes="archive", in_place=True, **lists)
    streamed = stream(data, image_bytes="archive", **lists)
    for split, rows in copied.items():
        assert contents(rows) == contents(streamed[split])
        assert rows_of(in_place[split]) == rows_of(rows)
        images = fsspec.filesystem("imagenet").cat(paths(in_place[split]))
        assert list(images.values()) == list(contents(rows).values())


def test_an_absent_file_is_named(data, lists):
    absent = train_files(data)[1]
    absent.unlink()
    message = message_of_reading(data, **lists)
    assert absent.name in message and "Download" in message and len(message) < 2000


def test_a_truncated_file_is_named(data, lists):
    truncated = train_files(data)[1]
    cut(truncated, 0.6)
    message = message_of_reading(data, **lists)
    assert str(truncated) in message and len(message) < 2000


def test_a_file_of_something_else_is_named(data, lists):
    other = train_files(data)[0]
    other.write_bytes(b"<html>log in</html>" * 100)
    message = message_of_reading(data, **lists)
    assert str(other) in message and len(message) < 2000


def test_an_image_in_two_files_is_an_error(data, lists):
    first, second = train_files(data)[:2]
    if first.suffix == ".gz":
        pytest.skip("as in a tar, the last one counts")
    second.write_bytes(first.read_bytes())
    message = message_of_reading(data, **lists)
    assert "n0" in message and str(first) in message and str(second) in message


def test_files_that_change_after_the_builder_was_made(data, lists, tmp_path):
    builder = ImagenetSubsets(config_name="custom", data_dir=str(data), cache_dir=str(tmp_path / "cache"), **lists)
    os.utime(train_files(data)[0], (1, 1))
    with pytest.raises(ArchiveError, match="was changed after this builder was made"):
        builder.download_and_prepare()


@pytest.mark.parametrize("make", [hub_parquet, hub_tar_gz])
def test_a_second_config_extracts_only_what_is_not_kept_yet(make, small, lists, tmp_path, kept):
    make(small, tmp_path / "data")
    names = sorted(name for name in small if name.startswith("n"))
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


def test_absent_images_are_looked_for_once(small, tmp_path, kept, recwarn):
    hub_parquet(small, tmp_path / "data")
    names = [*sorted(name for name in small if name.startswith("n"))[:9], "n01440764_999999.JPEG"]
    for cache in ("a", "b"):
        options = {"train_list": names, "splits": ["train"], "on_missing": "skip"}
        assert len(load(tmp_path / "data", cache_dir=tmp_path / cache, **options)["train"]) == 9
    assert sum("are read once" in str(warning.message) for warning in recwarn) == 1


def test_what_a_killed_process_left_is_not_trusted(small, lists, tmp_path, kept):
    hub_parquet(small, tmp_path / "data")
    load(tmp_path / "data", cache_dir=tmp_path / "a", **lists)
    kept = next(path for path in tmp_path.glob("home/*/*.tar") if any(name[0] == "n" for name in names_in(path)))
    unfinished = kept.with_name(f"{kept.name.partition('-')[0]}.tar.tmp")
    unfinished.write_bytes(kept.read_bytes()[:20_000])
    kept.unlink()
    rows = load(tmp_path / "data", cache_dir=tmp_path / "b", image_bytes="archive", **lists)
    assert contents(rows["train"]) | contents(rows["validation"]) == small
    assert not unfinished.exists()
