"""split_files/ has exactly the published lists, shown by this project alone."""

import csv
import hashlib
import json
import shutil

import pyarrow.parquet as pq
import pytest

from imagenet_reader import lists
from imagenet_subsets_tools.make.split_files import JSON, SOURCES, make_split_files, published_text

pytestmark = pytest.mark.once

# `sha256sum FILE` of each published text whose order the split file keeps, `LC_ALL=C sort FILE | sha256sum` of others.
IN_ORDER = {
    "validation_labels.txt": "313fc3f23c864dde9183c9a368809065765dd1b657a6904fded44e3e46d34604",
    "labels.txt": "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
    "synset_words.txt": "acf75ef0abe89694b19056e0796401068b459c457baa30335f240c7692857355",
    "imagenet100.txt": "79f3f1552ccc478ce24bd934b4573625db584ddc1f4643ae23c994a94cb11397",
    "real.json": "d83e9bff374c631aae8439eb064c7019acc56e1b3bc3f56b8380c2a710b0220b",
}
SORTED = {
    "1percent.txt": "c03b85c3942f663c123a38b0d7a0eecb01730a1e96bd97384f0f3e60c6f3397c",
    "10percent.txt": "d9bc1445836f11cbba81b22781ccafab15a3a6a31dd14e22e6cf7617e1ee3f68",
    "ImageNet_LT_train.txt": "0399d9a68fff860b81b18b4adfd2e0f47957047c599f0e4674f671c57a2c5e2f",
    "ImageNet_LT_val.txt": "dd2bcf4af2184acb672c7da83ece901f856e7ab97f06f1fdcff2499ab5dc3122",
    "ImageNet_LT_test.txt": "228cdfbc8dd6ef299c9e36bb52b952dacdd470c1e0160c3acdba92ac47ec1603",
}


@pytest.mark.parametrize(("split_file", "published", "line"), [source[:3] for source in SOURCES])
def test_each_list_is_the_published_one(split_file, published, line):
    text = published_text(lists.SPLIT_FILES, split_file, line)
    if published not in IN_ORDER:
        text = "".join(sorted(text.splitlines(keepends=True)))
    assert hashlib.sha256(text.encode()).hexdigest() == (SORTED | IN_ORDER)[published]


def test_sources_of_each_list():
    with open(lists.SPLIT_FILES / "sources.csv", encoding="utf-8", newline="") as file:
        sources = {row["published_name"]: row for row in csv.DictReader(file)}
    assert set(sources) == {*SORTED, *IN_ORDER}
    assert all(source["address"].startswith("https://") and source["paper"] for source in sources.values())
    for split_file, published, line, *_ in SOURCES:
        text = published_text(lists.SPLIT_FILES, split_file, line)
        rows = len(json.loads(text)) if line == JSON else len(text.splitlines())
        assert (int(sources[published]["rows"]), int(sources[published]["bytes"])) == (rows, len(text.encode()))
        assert sources[published]["sha256"] == IN_ORDER.get(published, sources[published]["sha256"])


def test_lists_are_reproducible(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for split_file, published, line, *_ in SOURCES:
        lines = published_text(lists.SPLIT_FILES, split_file, line).splitlines(keepends=True)
        ordered = lines if published in IN_ORDER else lines[::-1]
        (texts / published).write_text("".join(ordered), encoding="utf-8")
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
