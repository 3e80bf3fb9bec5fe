"""split_files/ has exactly the published lists, shown by this project alone."""

import csv
import hashlib
import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from imagenet_reader import lists
from imagenet_subsets_tools.lists import JSON, SOURCES, published_text
from imagenet_subsets_tools.make.split_files import make_split_files

pytestmark = pytest.mark.once

with open(lists.SPLIT_FILES / "sources.csv", encoding="utf-8", newline="") as file:
    DESCRIBED = {row["published_name"]: row for row in csv.DictReader(file)}


@pytest.mark.parametrize(("split_file", "published", "line"), SOURCES)
def test_each_list_is_the_published_one(split_file, published, line):
    """As its source says."""
    source, text = DESCRIBED[published], published_text(lists.SPLIT_FILES, split_file, line)
    assert hashlib.sha256(text.encode()).hexdigest() == source["sha256"]
    rows = len(json.loads(text)) if line == JSON else len(text.splitlines())
    assert (int(source["rows"]), int(source["bytes"])) == (rows, len(text.encode()))
    assert source["address"].startswith("https://") and source["paper"]


def test_derived_sets_of_classes():
    """By the definitions of their papers, which no text is needed for."""
    wnids = lists.read_wnids()
    assert lists.read_class_set("podnet100") == wnids[:100]
    drawn = np.random.RandomState(0).choice(range(1000), 100, replace=False)
    assert lists.read_class_set("gcd100") == [wnids[label] for label in sorted(drawn)]
    assert lists.read_class_set("lucir100") == np.random.RandomState(1993).choice(wnids, 100, replace=False).tolist()


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


@pytest.mark.parametrize("name", ["1pct", "gcd100", "real"])
def test_changed_files_are_not_loaded(name, tmp_path, monkeypatch):
    shutil.copytree(lists.SPLIT_FILES, tmp_path / "split_files")
    path = tmp_path / "split_files" / f"{name}.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    monkeypatch.setattr(lists, "SPLIT_FILES", tmp_path / "split_files")
    lists.read_class_set.cache_clear()
    lists.read_real_labels.cache_clear()
    read = {"1pct": lists.read_split_list, "gcd100": lists.read_class_set}
    with pytest.raises(ValueError, match=rf"{name}\.parquet is not the published list: the SHA-256"):
        lists.read_real_labels() if name == "real" else read[name](name)
