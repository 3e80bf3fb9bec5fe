"""split_files/ has exactly the published lists, shown by this project alone."""

import csv
import hashlib
import json
import shutil

import pyarrow.parquet as pq
import pytest

from imagenet_reader import lists
from imagenet_subsets_tools.lists import JSON, SOURCES, published_text
from imagenet_subsets_tools.make.split_files import make_split_files

pytestmark = pytest.mark.once

PUBLISHED = {  # `sha256sum FILE` of each published text
    "1percent.txt": "71e82a48ba78252683ae334c4d019ebd5c6e855b9599c1389fbe83eb9549cf17",
    "10percent.txt": "6d09de11e7bdaf5b1f3b1f249b6183695f97310cdd20f0c03e7235b6b9392091",
    "ImageNet_LT_train.txt": "efdbdad4f050237c310b2f354cf95a8b1d7c8d57a63c4ea4bb6bf2bcb012f37f",
    "ImageNet_LT_val.txt": "9af7ba688acf9532ff5845a8fb14a1e97fdc4c51ac48bc72c08ea9c3f7ff142e",
    "ImageNet_LT_test.txt": "d1590191cf8a71fada7b1aaedaa2d139a2aea93ff2f1b755319d0bd8dbaa55d5",
    "validation_labels.txt": "313fc3f23c864dde9183c9a368809065765dd1b657a6904fded44e3e46d34604",
    "labels.txt": "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
    "synset_words.txt": "acf75ef0abe89694b19056e0796401068b459c457baa30335f240c7692857355",
    "imagenet100.txt": "79f3f1552ccc478ce24bd934b4573625db584ddc1f4643ae23c994a94cb11397",
    "real.json": "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b",
}


@pytest.mark.parametrize(("split_file", "published", "line"), SOURCES)
def test_each_list_is_the_published_one(split_file, published, line):
    text = published_text(lists.SPLIT_FILES, split_file, line)
    assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED[published]


def test_sources_of_each_list():
    with open(lists.SPLIT_FILES / "sources.csv", encoding="utf-8", newline="") as file:
        sources = {row["published_name"]: row for row in csv.DictReader(file)}
    assert {name: source["sha256"] for name, source in sources.items()} == PUBLISHED
    assert all(source["address"].startswith("https://") and source["paper"] for source in sources.values())
    for split_file, published, line in SOURCES:
        text = published_text(lists.SPLIT_FILES, split_file, line)
        rows = len(json.loads(text)) if line == JSON else len(text.splitlines())
        assert (int(sources[published]["rows"]), int(sources[published]["bytes"])) == (rows, len(text.encode()))


def test_lists_are_reproducible(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for split_file, published, line in SOURCES:
        (texts / published).write_text(published_text(lists.SPLIT_FILES, split_file, line), encoding="utf-8")
    make_split_files(texts, tmp_path / "made")
    for split_file in {source[0] for source in SOURCES}:
        assert (tmp_path / "made" / split_file).read_bytes() == (lists.SPLIT_FILES / split_file).read_bytes()
    (texts / "1percent.txt").write_text("n01440764_10026.jpg\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"n01440764_10026\.jpg"):
        make_split_files(texts, tmp_path / "other")


@pytest.mark.parametrize("name", ["1pct", "imagenet100", "real"])
def test_changed_files_are_not_loaded(name, tmp_path, monkeypatch):
    shutil.copytree(lists.SPLIT_FILES, tmp_path / "split_files")
    path = tmp_path / "split_files" / f"{name}.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    monkeypatch.setattr(lists, "SPLIT_FILES", tmp_path / "split_files")
    lists.read_class_set.cache_clear()
    lists.read_real_labels.cache_clear()
    read = {"1pct": lists.read_split_list, "imagenet100": lists.read_class_set}
    with pytest.raises(ValueError, match=rf"{name}\.parquet is not the published list: the SHA-256"):
        lists.read_real_labels() if name == "real" else read[name](name)
