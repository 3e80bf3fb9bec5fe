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
    "podnet100.txt": "b332dbd149be58bd06982a583959d80f93d796938a70c0db0146a9e4fc9d661f",
    "gcd100.txt": "a215e2f016446332e8f770cc207a18d0ae2ac0df4d7dcc92ade497d459a03be5",
    "lucir100.txt": "dbf96adcdd5a29fca14c65283bb178686b464d20ddfee751b8a96b7937cbd00c",
    "kaggle100.txt": "86bc5c0b92179267729b4b1efc27c5cf14a321fdc3a689b3cc217a5c492a8a6b",
    "imagenet_a.txt": "9826a24166e74ce62fb87b27889874ca26917542c745712309d6e25855d63bc2",
    "imagenet_r.txt": "a6a0729f7a99230280639cab6e51e01485a3b41a676ea35621a501c9d6e83ca4",
    "paws_val.txt": "fde94a027633486479402248efb6c938763417979227555e4d541d36547a93a0",
    "real.json": "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b",
}


@pytest.mark.parametrize(("split_file", "published", "line"), SOURCES)
def test_each_list_is_the_published_one(split_file, published, line):
    """As its source says."""
    with open(lists.SPLIT_FILES / "sources.csv", encoding="utf-8", newline="") as file:
        (source,) = (row for row in csv.DictReader(file) if row["published_name"] == published)
    text = published_text(lists.SPLIT_FILES, split_file, line)
    assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED[published] == source["sha256"]
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
