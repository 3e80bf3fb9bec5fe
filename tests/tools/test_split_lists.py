"""split_files/ holds exactly the published lists: shown from the project alone."""

import collections
import csv
import hashlib
import shutil

import pyarrow.parquet as pq
import pytest

import imagenet_subsets
from imagenet_reader import lists
from imagenet_subsets_tools.split_lists import SOURCES, TRAIN_NAME, make_split_files, published_lines

pytestmark = pytest.mark.once

# `LC_ALL=C sort FILE | sha256sum` of each published text.
SORTED_SHA256 = {
    "1percent.txt": "c03b85c3942f663c123a38b0d7a0eecb01730a1e96bd97384f0f3e60c6f3397c",
    "10percent.txt": "d9bc1445836f11cbba81b22781ccafab15a3a6a31dd14e22e6cf7617e1ee3f68",
    "ImageNet_LT_train.txt": "0399d9a68fff860b81b18b4adfd2e0f47957047c599f0e4674f671c57a2c5e2f",
    "ImageNet_LT_val.txt": "dd2bcf4af2184acb672c7da83ece901f856e7ab97f06f1fdcff2499ab5dc3122",
    "ImageNet_LT_test.txt": "228cdfbc8dd6ef299c9e36bb52b952dacdd470c1e0160c3acdba92ac47ec1603",
    "validation_labels.txt": "21451569bccc2012ae447e30b1ae13429763f8c4d2b9fd59d2eaf7e809f0c45d",
    "labels.txt": "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
    "synset_words.txt": "acf75ef0abe89694b19056e0796401068b459c457baa30335f240c7692857355",
}
# The SHA-256 of a published text itself, where its order is that of the split file.
SHA256 = {
    "validation_labels.txt": "313fc3f23c864dde9183c9a368809065765dd1b657a6904fded44e3e46d34604",
    "labels.txt": "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
    "synset_words.txt": "acf75ef0abe89694b19056e0796401068b459c457baa30335f240c7692857355",
}


def sha256(lines):
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def names(split_file):
    return published_lines(lists.SPLIT_FILES, split_file, TRAIN_NAME)


def per_class(split_file):
    return collections.Counter(name[:9] for name in names(split_file))


@pytest.mark.parametrize(("split_file", "published", "line"), [source[:3] for source in SOURCES])
def test_each_list_is_the_published_one(split_file, published, line):
    lines = published_lines(lists.SPLIT_FILES, split_file, line)
    assert sha256(sorted(lines)) == SORTED_SHA256[published]
    assert sha256(lines) == SHA256.get(published, sha256(lines))


def test_sources_tell_where_each_list_is_from():
    with open(lists.SPLIT_FILES / "sources.csv", encoding="utf-8", newline="") as file:
        sources = {row["published_name"]: row for row in csv.DictReader(file)}
    assert set(sources) == set(SORTED_SHA256)
    assert all(source["address"].startswith("https://") and source["paper"] for source in sources.values())
    for split_file, published, line, *_ in SOURCES:
        lines = published_lines(lists.SPLIT_FILES, split_file, line)
        text = "".join(f"{line}\n" for line in lines)
        assert (int(sources[published]["rows"]), int(sources[published]["bytes"])) == (len(lines), len(text.encode()))
        assert sources[published]["sha256"] == SHA256.get(published, sources[published]["sha256"])


def test_images_per_class():
    assert collections.Counter(per_class("1pct.parquet").values()) == {12: 189, 13: 811}
    assert collections.Counter(per_class("10pct.parquet").values()) == {128: 884, 129: 116}
    assert (min(per_class("lt_train.parquet").values()), max(per_class("lt_train.parquet").values())) == (5, 1280)
    assert set(per_class("lt_validation.parquet").values()) == {20}


def test_overlaps():
    one, ten = set(names("1pct.parquet")), set(names("10pct.parquet"))
    lt_train, lt_validation = set(names("lt_train.parquet")), set(names("lt_validation.parquet"))
    assert one < ten
    assert not lt_train & lt_validation
    assert (len(lt_validation & ten), len(lt_validation & one)) == (1992, 191)


def test_labels_are_the_ranks_of_the_sorted_wnids():
    wnids = pq.read_table(lists.SPLIT_FILES / "classes.parquet")["wnid"].to_pylist()
    assert wnids == sorted(set(wnids))
    assert len(wnids) == 1000


def test_both_published_lists_of_validation_labels_agree():
    wnids = published_lines(lists.SPLIT_FILES, "validation.parquet", "{wnid}")
    lines = published_lines(lists.SPLIT_FILES, "validation.parquet", SOURCES[4][2])
    assert lines[0] == f"val/{wnids[0]}/ILSVRC2012_val_00000001.JPEG {sorted(set(wnids)).index(wnids[0])}"
    assert len(lines) == 50_000


def test_the_maker_makes_the_same_lists_again(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for split_file, published, line, *_ in SOURCES:
        lines = published_lines(lists.SPLIT_FILES, split_file, line)
        ordered = lines if published in SHA256 else lines[::-1]
        (texts / published).write_text("".join(f"{line}\n" for line in ordered), encoding="utf-8")
    make_split_files(texts, tmp_path / "made")
    for split_file in {source[0] for source in SOURCES}:
        assert pq.read_table(tmp_path / "made" / split_file).equals(pq.read_table(lists.SPLIT_FILES / split_file))


def test_the_maker_refuses_a_line_of_another_form(tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for split_file, published, line, *_ in SOURCES:
        lines = published_lines(lists.SPLIT_FILES, split_file, line)
        (texts / published).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (texts / "1percent.txt").write_text("n01440764_10026.jpg\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"n01440764_10026\.jpg"):
        make_split_files(texts, tmp_path / "made")


def test_a_changed_list_is_not_loaded(tmp_path, standins_1pct, monkeypatch):
    shutil.copytree(lists.SPLIT_FILES, tmp_path / "split_files")
    table = pq.read_table(tmp_path / "split_files" / "1pct.parquet")
    pq.write_table(table.slice(1), tmp_path / "split_files" / "1pct.parquet")
    monkeypatch.setattr(lists, "SPLIT_FILES", tmp_path / "split_files")
    with pytest.raises(ValueError, match="not the published list: it has 12,810 images"):
        imagenet_subsets.load_dataset("1pct", data_dir=standins_1pct, split="train", streaming=True)
